/* include/telepathy.h: rows and ids give the same bits, pieces equal the whole, states equal the reference's, scores
 * are those of plain forward passes, and sessions share an engine between threads. */
#include "api_fixture.h"

#include "lm/generate.h"

#include <pthread.h>

static const char *const families[] = {"llama2", "llama3_1", "mistral", "qwen2", NULL};

/* ---- numbers ---- */

static void rows_give_the_bits_of_ids(void **state) {
    (void)state;
    for (int k = 0; families[k]; k++)
        for (unsigned flags = 0; flags <= TP_ENGINE_F32; flags += TP_ENGINE_F32) {
            fixture f = fixture_open(families[k], flags);
            int64_t d = f.facts->d_model, v = f.facts->vocab_size;
            tp_input as_ids = {.ids = f.ids, .n = f.n}, as_rows = {.rows = f.rows, .n = f.n};
            tp_input mixed[4] = {
                {.ids = f.ids, .n = 2}, {.rows = f.rows + 2 * d, .n = 3}, {.n = 0}, {.ids = f.ids + 5, .n = f.n - 5}};
            float *a = logits_of(&f, &as_ids, 1), *b = logits_of(&f, &as_rows, 1), *c = logits_of(&f, mixed, 4);
            assert_memory_equal(a, b, (size_t)v * sizeof *a);
            assert_memory_equal(a, c, (size_t)v * sizeof *a);
            const float *wanted = (const float *)find(&f, "logits_%d", 0, 0)->data + (f.n - 1) * v;
            assert_true(difference(a, wanted, v) < (flags ? 2e-5 : 2e-2));
            tp_free(a);
            tp_free(b);
            tp_free(c);
            fixture_close(&f);
        }
}

/* Rewinds to the first `length` ids. Where sliding windows have dropped what comes before, that is refused, with a
 * sentence and without a change, and starting anew is the way. */
static void rewind_to(tp_session *session, const int32_t *ids, int64_t length) {
    int64_t before = tp_session_length(session);
    if (tp_session_rewind(session, length) == TP_OK) return;
    assert_int_equal(tp_last_status(), TP_ERR_UNSUPPORTED);
    assert_non_null(strstr(tp_last_error(), "sliding window"));
    assert_int_equal(tp_session_length(session), before);
    check_ok(tp_session_rewind(session, 0));
    check_ok(tp_session_feed(session, &(tp_input){.ids = ids, .n = length}, 1));
    check_ok(tp_session_rewind(session, length - 1)); /* one back is always possible */
    check_ok(tp_session_feed(session, &(tp_input){.ids = ids + length - 1, .n = 1}, 1));
}

static void feeding_in_pieces_equals_at_once(void **state) {
    (void)state;
    for (int k = 0; families[k]; k++) {
        fixture f = fixture_open(families[k], TP_ENGINE_F32);
        int64_t v = f.facts->vocab_size;
        float *whole = logits_of(&f, &(tp_input){.ids = f.ids, .n = f.n}, 1), *logits = tp_alloc((size_t)v * 4);
        tp_session *session = tp_session_new(f.engine, f.n);
        check_not_null(session);
        for (int64_t from = 0; from < f.n;) { /* 1, 2, 3, ... */
            int64_t n = from + 1 < f.n - from ? from + 1 : f.n - from;
            check_ok(tp_session_feed(session, &(tp_input){.ids = f.ids + from, .n = n}, 1));
            from += n;
            assert_int_equal(tp_session_length(session), from);
            check_ok(tp_session_logits(session, logits));
            const float *wanted = (const float *)find(&f, "logits_%d", 0, 0)->data + (from - 1) * v;
            assert_true(difference(logits, wanted, v) < 2e-5);
        }
        /* rewound into the middle and fed another end, then the first one again */
        int64_t kept = f.n / 2;
        rewind_to(session, f.ids, kept + 1);
        check_ok(tp_session_rewind(session, kept));
        assert_int_equal(tp_session_logits(session, logits), TP_ERR_ARGUMENT);
        check_ok(tp_session_feed(session, &(tp_input){.ids = f.ids, .n = f.n - kept}, 1));
        rewind_to(session, f.ids, kept);
        check_ok(tp_session_feed(session, &(tp_input){.ids = f.ids + kept, .n = f.n - kept}, 1));
        check_ok(tp_session_logits(session, logits));
        assert_true(difference(logits, whole, v) < 2e-5);
        check_ok(tp_session_rewind(session, 0));
        check_ok(tp_session_feed(session, &(tp_input){.ids = f.ids, .n = f.n}, 1));
        check_ok(tp_session_logits(session, logits));
        assert_memory_equal(logits, whole, (size_t)v * sizeof *logits);
        tp_session_free(session);
        tp_free(whole);
        tp_free(logits);
        fixture_close(&f);
    }
}

static void states_equal_the_reference(void **state) {
    (void)state;
    for (int k = 0; families[k]; k++) {
        fixture f = fixture_open(families[k], TP_ENGINE_F32);
        int32_t last = f.facts->n_layers, layers[64] = {1, last, 0, 1};
        int64_t n_layers = 4, size = f.n * f.facts->d_model;
        for (int32_t l = 0; l <= last; l++) layers[n_layers++] = l;
        float *out = tp_alloc((size_t)(n_layers * size) * sizeof *out);
        tp_input halves[2] = {{.ids = f.ids, .n = f.n / 2},
                              {.rows = f.rows + f.n / 2 * f.facts->d_model, .n = f.n - f.n / 2}};
        check_ok(tp_engine_states(f.engine, halves, 2, layers, n_layers, out));
        for (int64_t i = 0; i < n_layers; i++)
            assert_true(difference(out + i * size, find(&f, "hidden_states_%d_%d", 0, layers[i])->data, size) < 2e-5);
        tp_free(out);
        fixture_close(&f);
    }
}

/* ---- generating and scoring ---- */

typedef struct {
    int32_t ids[64];
    int n, stop_at;
} heard;

static bool hear(void *context, int32_t id) {
    heard *h = context;
    h->ids[h->n++] = id;
    return h->n != h->stop_at;
}

static void generation_goes_on_where_it_stopped(void **state) {
    (void)state;
    fixture f = fixture_open("mistral", TP_ENGINE_F32);
    tp_session *session = tp_session_new(f.engine, 0);
    heard once = {.n = 0}, twice = {.stop_at = 3};
    tp_input prompt = {.ids = f.ids, .n = f.n};
    check_ok(tp_session_feed(session, &prompt, 1));
    check_ok(tp_session_generate(session, &(tp_generation){.max_new = 12, .on_token = hear, .context = &once}, NULL));
    assert_true(once.n > 5);
    assert_int_equal(tp_session_length(session), f.n + once.n);
    check_ok(tp_session_rewind(session, 0));
    check_ok(tp_session_feed(session, &prompt, 1));
    check_ok(tp_session_generate(session, &(tp_generation){.max_new = 12, .on_token = hear, .context = &twice}, NULL));
    assert_int_equal(twice.n, 3);
    assert_int_equal(tp_session_length(session), f.n + 3);
    check_ok(tp_session_generate(session, &(tp_generation){.max_new = 9, .on_token = hear, .context = &twice}, NULL));
    assert_int_equal(twice.n, once.n);
    assert_memory_equal(twice.ids, once.ids, (size_t)once.n * sizeof(int32_t));

    tp_ids out = {0};
    tp_lm *lm = tp_lm_load(TP_SOURCE_DIR "/tests/fixtures/lm/mistral", false);
    tp_prompts prompts = {.rows = f.rows, .offsets = (const int64_t[]){0, f.n}, .n = 1};
    check_ok(tp_generate_greedy(lm, TP_MATH_F32, &prompts, 12, &out));
    assert_int_equal(out.len, once.n);
    assert_memory_equal(out.data, once.ids, (size_t)once.n * sizeof(int32_t));
    tp_ids_free(&out);
    tp_lm_free(lm);
    tp_session_free(session);
    fixture_close(&f);
}

/* ---- scoring ---- */

static void scores_are_sums_of_log_probabilities(void **state) {
    (void)state;
    fixture f = fixture_open("qwen2", TP_ENGINE_F32);
    int32_t answers[3][2] = {{3, 4}, {3, 9}, {8, 0}};
    tp_input inputs[3] = {{.ids = answers[0], .n = 2}, {.ids = answers[1], .n = 2}, {.ids = answers[2], .n = 1}};
    tp_input prompt[2] = {{.ids = f.ids, .n = 3}, {.rows = f.rows + 3 * f.facts->d_model, .n = 2}};
    double scores[3];
    check_ok(tp_engine_score(f.engine, prompt, 2, inputs, 3, scores));
    for (int a = 0; a < 3; a++) {
        double wanted = 0;
        for (int64_t i = 0; i < inputs[a].n; i++) {
            float *logits = logits_of(&f, (const tp_input[]){prompt[0], prompt[1], {.ids = answers[a], .n = i}}, 3);
            double sum = 0;
            for (int32_t v = 0; v < f.facts->vocab_size; v++) sum += exp((double)logits[v]);
            wanted += logits[answers[a][i]] - log(sum);
            tp_free(logits);
        }
        assert_true(fabs(scores[a] - wanted) < 1e-4);
    }
    fixture_close(&f);
}

/* ---- threads ---- */

typedef struct {
    const fixture *f;
    int64_t n; /* of the prompt */
    const float *wanted;
    bool same;
} work;

static void *feed_again_and_again(void *argument) {
    work *w = argument;
    tp_input prompt = {.ids = w->f->ids, .n = w->n};
    w->same = true;
    for (int round = 0; round < 10; round++) {
        float *logits = logits_of(w->f, &prompt, 1);
        w->same = w->same && memcmp(logits, w->wanted, (size_t)w->f->facts->vocab_size * sizeof *logits) == 0;
        tp_free(logits);
        w->same = w->same && tp_session_new(w->f->engine, -w->n) == NULL; /* each thread has its own sentence */
        char number[32];
        snprintf(number, sizeof number, "not -%lld", (long long)w->n);
        w->same = w->same && strstr(tp_last_error(), number) != NULL;
    }
    return NULL;
}

static void threads_share_an_engine(void **state) {
    (void)state;
    fixture f = fixture_open("llama3_1", 0), fresh = fixture_open("llama3_1", 0); /* forms not made yet */
    work works[2] = {{.f = &fresh, .n = f.n}, {.f = &fresh, .n = f.n - 4}};
    pthread_t threads[2];
    float *wanted[2];
    for (int t = 0; t < 2; t++)
        works[t].wanted = wanted[t] = logits_of(&f, &(tp_input){.ids = f.ids, .n = works[t].n}, 1);
    for (int t = 0; t < 2; t++) assert_int_equal(pthread_create(&threads[t], NULL, feed_again_and_again, &works[t]), 0);
    for (int t = 0; t < 2; t++) {
        pthread_join(threads[t], NULL);
        assert_true(works[t].same);
        tp_free(wanted[t]);
    }
    fixture_close(&f);
    fixture_close(&fresh);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_give_the_bits_of_ids),
        cmocka_unit_test(feeding_in_pieces_equals_at_once),
        cmocka_unit_test(states_equal_the_reference),
        cmocka_unit_test(generation_goes_on_where_it_stopped),
        cmocka_unit_test(scores_are_sums_of_log_probabilities),
        cmocka_unit_test(threads_share_an_engine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
