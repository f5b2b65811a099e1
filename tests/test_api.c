/* include/telepathy.h: rows and ids give the same bits, pieces equal the whole, states equal the reference's, sessions
 * share an engine between threads, a bridge works with its two ends apart, wrong arguments give sentences, and the
 * examples run. */
#include "tiny_pair.h"

#include "base/mem.h"
#include "bridge/relay.h"
#include "wire/packet.h"

#include <math.h>
#include <pthread.h>
#include <sys/wait.h>

static const char *const families[] = {"llama2", "llama3_1", "mistral", "qwen2", NULL};

typedef struct {
    tp_engine *engine;
    const tp_engine_facts *facts;
    tp_safetensors *expected;
    const int32_t *ids; /* of the fixture's first prompt */
    int64_t n;
    float *rows; /* their embeddings, [n, d_model] */
} fixture;

static const tp_st_tensor *find(const fixture *f, const char *format, int i, int l) {
    char name[64];
    snprintf(name, sizeof name, format, i, l);
    const tp_st_tensor *t = tp_safetensors_find(f->expected, name);
    check_not_null(t);
    return t;
}

static fixture fixture_open(const char *family, unsigned flags) {
    fixture f;
    char path[1024];
    snprintf(path, sizeof path, "%s/tests/fixtures/lm/%s", TP_SOURCE_DIR, family);
    f.engine = tp_engine_load(path, flags | TP_ENGINE_NO_TOKENIZER);
    check_not_null(f.engine);
    f.facts = tp_engine_get_facts(f.engine);
    snprintf(path, sizeof path, "%s/tests/fixtures/lm/%s/expected.safetensors", TP_SOURCE_DIR, family);
    f.expected = tp_safetensors_open(path);
    check_not_null(f.expected);
    const tp_st_tensor *ids = find(&f, "input_ids_%d", 0, 0);
    f.ids = ids->data;
    f.n = ids->shape[0];
    f.rows = tp_alloc((size_t)(f.n * f.facts->d_model) * sizeof(float));
    tp_input input = {.ids = f.ids, .n = f.n};
    check_ok(tp_engine_states(f.engine, &input, 1, (const int32_t[]){0}, 1, f.rows));
    return f;
}

static void fixture_close(fixture *f) {
    tp_free(f->rows);
    tp_safetensors_close(f->expected);
    tp_engine_free(f->engine);
}

/* Largest difference, as a share of the largest expected value. */
static double difference(const float *got, const float *expected, int64_t n) {
    double worst = 0, most = 1e-30;
    for (int64_t i = 0; i < n; i++) {
        double d = fabs((double)got[i] - expected[i]);
        if (!(d <= worst)) worst = d; /* catches NaN as well */
        if (fabs((double)expected[i]) > most) most = fabs((double)expected[i]);
    }
    return worst / most;
}

/* The logits after the inputs, in a session of their own; free with tp_free. */
static float *logits_of(const fixture *f, const tp_input *inputs, int64_t n_inputs) {
    tp_session *session = tp_session_new(f->engine, 0);
    check_not_null(session);
    check_ok(tp_session_feed(session, inputs, n_inputs));
    float *logits = tp_alloc((size_t)f->facts->vocab_size * sizeof *logits);
    check_ok(tp_session_logits(session, logits));
    tp_session_free(session);
    return logits;
}

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
    tp_prompts prompts = {f.rows, (const int64_t[]){0, f.n}, 1};
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

/* ---- text ---- */

/* dir/sender and dir/receiver, and dir/bridge (untrained, which changes nothing here) with another seed in dir/other,
 * and for a receiver that reads the text too in dir/reading. */
static int make_pair(void **state) {
    char *dir = check_temp_dir();
    tiny_pair_make(dir);
    tiny_pair_write_task(dir, 90);
    tiny_pair_recipe(dir, "recipe.json", 1);
    char *paths[6];
    const char *names[6] = {"recipe.json", "train.csv", "test.csv", "bridge", "other", "reading"};
    for (int i = 0; i < 6; i++) paths[i] = tp_path_join(dir, names[i]);
    tp_lm *sender = tiny_pair_load(dir, "sender"), *receiver = tiny_pair_load(dir, "receiver");
    tp_task *task = tp_task_load(&(tp_task_options){.train_file = paths[1], .test_file = paths[2]});
    check_not_null(task);
    for (int i = 3; i < 6; i++) {
        tp_recipe *recipe = tp_recipe_load(paths[0]);
        check_not_null(recipe);
        if (i == 5) {
            tp_free(recipe->layout);
            recipe->layout = tp_strdup("{bos}{soft}{text} {primer}");
        }
        tp_relay *relay = tp_relay_new(recipe, sender, receiver, task);
        check_not_null(relay);
        tp_bridge *bridge = tp_bridge_new(&recipe->bridge, 32, 24, NULL, (uint64_t)i);
        check_not_null(bridge);
        tp_relay_set_bridge(relay, bridge, task);
        check_ok(tp_bridge_save(paths[i], relay->trained));
        tp_relay_free(relay);
    }
    tp_task_free(task);
    tp_lm_free(sender);
    tp_lm_free(receiver);
    for (int i = 0; i < 6; i++) tp_free(paths[i]);
    *state = dir;
    return 0;
}

static int remove_pair(void **state) {
    check_remove_dir(*state);
    return 0;
}

static tp_engine *load_in(const char *dir, const char *name) {
    char *path = tp_path_join(dir, name);
    tp_engine *engine = tp_engine_load(path, TP_ENGINE_F32);
    check_not_null(engine);
    tp_free(path);
    return engine;
}

static tp_link *open_in(const char *dir, const char *name, const tp_engine *sender, const tp_engine *receiver) {
    char *path = tp_path_join(dir, name);
    tp_link *link = tp_link_open(path, sender, receiver);
    tp_free(path);
    return link;
}

static void texts_become_ids_and_texts_again(void **state) {
    const char *names[2] = {"sender", "receiver"}, text[] = "Tell me of cats, \xFF please.";
    for (int k = 0; k < 2; k++) {
        tp_engine *engine = load_in(*state, names[k]);
        const tp_engine_facts *facts = tp_engine_get_facts(engine);
        assert_true(facts->has_tokenizer && facts->n_eos == 1 && facts->d_model == (k ? 24 : 32));
        assert_string_equal(facts->family, k ? "mistral" : "llama");
        assert_int_equal(strlen(facts->fingerprint), 32);
        int64_t n, none;
        size_t length, total = 0;
        int32_t *ids = tp_engine_tokenize(engine, text, strlen(text), TP_TOKENS_ADD_SPECIAL, &n);
        check_not_null(ids);
        assert_true(n > 2 && n < (int64_t)strlen(text));
        char *back = tp_engine_detokenize(engine, ids, n, TP_TOKENS_SKIP_SPECIAL, &length);
        assert_int_equal(length, strlen(text));
        assert_memory_equal(back, text, length);
        for (int64_t i = 1; i < n; i++) { /* behind BOS */
            size_t piece;
            check_not_null(tp_engine_piece(engine, ids[i], &piece));
            total += piece;
        }
        assert_int_equal(total, strlen(text) + (size_t)k); /* SentencePiece puts a blank in front */
        assert_null(tp_engine_piece(engine, 100000, &length));
        assert_int_equal(length, 0);
        tp_free(back);
        tp_free(ids);
        ids = tp_engine_tokenize(engine, NULL, 0, TP_TOKENS_PLAIN, &none);
        check_not_null(ids);
        assert_int_equal(none, 0);
        tp_free(ids);
        tp_engine_free(engine);
    }
}

/* ---- links ---- */

static void a_link_works_with_its_ends_apart(void **state) {
    tp_engine *sender = load_in(*state, "sender"), *receiver = load_in(*state, "receiver");
    tp_link *both = open_in(*state, "bridge", sender, receiver), *there = open_in(*state, "bridge", NULL, receiver);
    tp_link *here = open_in(*state, "bridge", sender, NULL), *other = open_in(*state, "other", sender, receiver);
    check_not_null(both);
    check_not_null(here);
    check_not_null(there);
    check_not_null(other);
    const tp_link_facts *facts = tp_link_get_facts(here);
    assert_int_equal(facts->n_soft, 3);
    assert_int_equal(facts->width, 24);
    assert_int_equal(facts->n_labels, 3);
    assert_false(facts->reads_text);
    assert_string_equal(facts->fingerprint, tp_link_get_facts(there)->fingerprint);
    assert_string_not_equal(facts->fingerprint, tp_link_get_facts(other)->fingerprint);

    /* what this floor says is what the bridge floor says */
    const char *text = "Nobody knows cat like that.";
    size_t n = strlen(text), n_packet;
    char *path = tp_path_join(*state, "bridge");
    tp_lm *s = tiny_pair_load(*state, "sender"), *r = tiny_pair_load(*state, "receiver");
    tp_relay *relay = tp_relay_load(path, s, r);
    check_not_null(relay);
    tp_ids ids = {0};
    check_ok(tp_tap_tokens(&relay->tap, text, n, &ids, NULL));
    tp_tape *tape = tp_tape_new(relay->recipe->math);
    tape->frozen = true;
    float *hidden = tp_alloc(ids.len * 32 * sizeof *hidden), soft[3 * 24], arrived[3 * 24];
    tp_tap_run(&relay->tap, tape, ids.data, (int64_t)ids.len, hidden);
    tp_tape_reset(tape);
    const tp_var *wanted = tp_relay_soft(relay, tape, tp_var_wrap(tape, hidden, (int64_t)ids.len, 32),
                                         (const int64_t[]){0, (int64_t)ids.len}, 1);
    bool truncated = true;
    check_ok(tp_link_soft(here, text, n, soft, &truncated));
    assert_false(truncated);
    assert_memory_equal(soft, wanted->data, sizeof soft);

    double scores[3], directly[3];
    unsigned char *packet = tp_link_pack(here, soft, "f32", &n_packet);
    check_not_null(packet);
    assert_int_equal(n_packet, 56 + sizeof soft);
    check_ok(tp_link_unpack(there, packet, n_packet, arrived));
    assert_memory_equal(arrived, soft, sizeof soft);
    check_ok(tp_link_score(there, arrived, NULL, 0, scores));
    check_ok(tp_link_score(both, soft, text, n, directly));
    assert_memory_equal(scores, directly, sizeof scores);
    tp_prompts prompts;
    check_ok(tp_relay_prompts(relay, tape, tp_var_wrap(tape, soft, 3, 24), NULL, 1, &prompts));
    check_ok(tp_relay_score(relay, &prompts, directly));
    assert_memory_equal(scores, directly, sizeof scores);
    char *answer = tp_link_generate(there, arrived, NULL, 0, 0), *expected;
    check_not_null(answer);
    check_ok(tp_relay_generate(relay, &prompts, tp_relay_longest_answer(relay), &expected));
    assert_string_equal(answer, expected);
    tp_free(answer);
    tp_free(expected);

    /* each end refuses the other's work, foreign packets and damaged ones */
    assert_int_equal(tp_link_soft(there, text, n, soft, NULL), TP_ERR_ARGUMENT);
    assert_int_equal(tp_link_score(here, soft, text, n, scores), TP_ERR_ARGUMENT);
    assert_null(tp_link_generate(here, soft, text, n, 4));
    assert_int_equal(tp_link_unpack(other, packet, n_packet, arrived), TP_ERR_ARGUMENT);
    assert_non_null(strstr(tp_last_error(), "another bridge"));
    packet[60] ^= 1;
    assert_int_equal(tp_link_unpack(there, packet, n_packet, arrived), TP_ERR_FORMAT);
    tp_free(packet);
    packet = tp_link_pack(both, soft, "i8", &n_packet);
    check_not_null(packet);
    assert_int_equal(n_packet, 56 + 3 * 4 + 3 * 24);
    check_ok(tp_link_unpack(both, packet, n_packet, arrived));
    assert_true(difference(arrived, soft, 72) < 1.0 / 127);
    tp_free(packet);
    assert_null(tp_link_pack(both, soft, "f33", &n_packet));
    assert_null(tp_link_pack(both, soft, "i64", &n_packet));
    soft[5] = NAN;
    assert_int_equal(tp_link_score(both, soft, NULL, 0, scores), TP_ERR_ARGUMENT);
    assert_null(tp_link_generate(both, arrived, NULL, 0, 100000));

    /* models other than those it was trained for */
    assert_null(tp_link_open(path, receiver, sender));
    assert_non_null(strstr(tp_last_error(), "another sender"));
    assert_null(tp_link_open(path, NULL, sender));
    assert_non_null(strstr(tp_last_error(), "another receiver"));
    assert_null(tp_link_open(path, NULL, NULL));
    assert_null(tp_link_open(*state, sender, receiver));

    tp_free(path);
    tp_free(hidden);
    tp_ids_free(&ids);
    tp_tape_free(tape);
    tp_relay_free(relay);
    tp_lm_free(s);
    tp_lm_free(r);
    tp_link_free(both);
    tp_link_free(here);
    tp_link_free(there);
    tp_link_free(other);
    tp_link_free(NULL);
    tp_engine_free(sender);
    tp_engine_free(receiver);
}

static void a_receiver_may_read_the_text_too(void **state) {
    tp_engine *receiver = load_in(*state, "receiver");
    tp_link *link = open_in(*state, "reading", NULL, receiver);
    check_not_null(link);
    assert_true(tp_link_get_facts(link)->reads_text);
    float soft[3 * 24] = {0.5f};
    double one[3], two[3], again[3];
    check_ok(tp_link_score(link, soft, "a cat", 5, one));
    check_ok(tp_link_score(link, soft, "seven", 5, two));
    check_ok(tp_link_score(link, soft, "a cat and more", 5, again));
    assert_memory_equal(one, again, sizeof one);
    assert_memory_not_equal(one, two, sizeof one);
    assert_int_equal(tp_link_score(link, soft, NULL, 0, one), TP_ERR_ARGUMENT);
    assert_null(tp_link_generate(link, soft, NULL, 0, 2));
    tp_link_free(link);
    tp_engine_free(receiver);
}

/* ---- wrong arguments ---- */

static bool ignore_text(void *context, const char *text, size_t n) {
    (void)context;
    return text != NULL && n > 0;
}

#define check_refused(expr, words)                                                                                     \
    do {                                                                                                               \
        assert_int_equal(expr, TP_ERR_ARGUMENT);                                                                       \
        if (strstr(tp_last_error(), words) == NULL) fail_msg("%s: \"%s\"", #expr, tp_last_error());                    \
    } while (0)

static void wrong_inputs_are_refused_and_change_nothing(void **state) {
    (void)state;
    fixture f = fixture_open("llama2", TP_ENGINE_F32);
    const tp_engine *e = f.engine;
    int32_t v = f.facts->vocab_size, bad_ids[3] = {1, v, 1}, negative[1] = {-1}, layer = 0,
            above = f.facts->n_layers + 1;
    tp_input fine = {.ids = f.ids, .n = 4}, outside = {.ids = bad_ids, .n = 3}, below = {.ids = negative, .n = 1};
    tp_input both = {.ids = f.ids, .rows = f.rows, .n = 1}, neither = {.n = 1}, minus = {.ids = f.ids, .n = -1};
    tp_input empty = {.ids = f.ids, .n = 0}, long_one = {.ids = f.ids, .n = INT64_MAX};
    float *out = tp_alloc((size_t)(f.n * f.facts->d_model + v) * sizeof *out);
    double score;
    tp_session *s = tp_session_new(e, 8);
    check_not_null(s);
    check_refused(tp_session_logits(s, out), "feed");
    check_refused(tp_session_generate(s, &(tp_generation){.max_new = 1}, NULL), "feed");
    check_ok(tp_session_feed(s, &fine, 1));
    check_refused(tp_session_feed(s, &outside, 1), "id 1 is");
    check_refused(tp_session_feed(s, (const tp_input[]){{.ids = f.ids, .n = 2}, below}, 2), "input 1: id 0 is -1");
    check_refused(tp_session_feed(s, &both, 1), "only one of");
    check_refused(tp_session_feed(s, &neither, 1), "one of");
    check_refused(tp_session_feed(s, &minus, 1), "-1");
    check_refused(tp_session_feed(s, &empty, 1), "nothing to run");
    check_refused(tp_session_feed(s, NULL, 0), "no inputs");
    check_refused(tp_session_feed(s, &long_one, 1), "room for 4");
    check_refused(tp_session_feed(s, (const tp_input[]){fine, fine}, 2), "room for 0");
    f.rows[f.facts->d_model + 3] = INFINITY;
    check_refused(tp_session_feed(s, &(tp_input){.rows = f.rows, .n = 2}, 1), "row 1 holds inf");
    check_refused(tp_session_feed(NULL, &fine, 1), "`session` is NULL");
    check_refused(tp_session_generate(s, &(tp_generation){.max_new = 5}, NULL), "room for 4");
    check_refused(tp_session_generate(s, &(tp_generation){.max_new = -1}, NULL), "-1");
    check_refused(tp_session_generate(s, NULL, NULL), "`options` is NULL");
    check_refused(tp_session_generate(s, &(tp_generation){.max_new = 1, .on_text = ignore_text}, NULL), "tokenizer");
    check_refused(tp_session_generate(s, &(tp_generation){.max_new = 1, .n_stops = 1}, NULL), "`stops` is NULL");
    check_refused(
        tp_session_generate(s, &(tp_generation){.max_new = 1, .stops = (const char *[]){""}, .n_stops = 1}, NULL),
        "stop text 0 is empty");
    check_refused(tp_session_generate(s, &(tp_generation){.sampling.temperature = NAN}, NULL), "temperature is nan");
    check_refused(tp_session_generate(s, &(tp_generation){.sampling.top_k = -1}, NULL), "top_k is -1");
    check_refused(tp_session_generate(s, &(tp_generation){.sampling.top_p = 1.5}, NULL), "top_p is 1.5");
    check_refused(tp_session_generate(s, &(tp_generation){.sampling.min_p = -0.5}, NULL), "min_p is -0.5");
    check_refused(tp_session_generate(s, &(tp_generation){.sampling.repeat_penalty = -1}, NULL),
                  "repeat_penalty is -1");
    check_refused(tp_session_generate(s, &(tp_generation){.sampling.repeat_window = -1}, NULL), "repeat_window is -1");
    check_refused(tp_session_rewind(s, 5), "rewound to 5");
    check_refused(tp_session_rewind(s, -1), "rewound to -1");
    check_refused(tp_session_logits(s, NULL), "`logits` is NULL");
    assert_int_equal(tp_session_length(s), 4); /* none of it left a trace */
    check_ok(tp_session_logits(s, out));
    const float *wanted = (const float *)find(&f, "logits_%d", 0, 0)->data + 3 * v;
    assert_true(difference(out, wanted, v) < 2e-5);

    check_refused(tp_engine_states(NULL, &fine, 1, &layer, 1, out), "`engine` is NULL");
    check_refused(tp_engine_states(e, &fine, 1, NULL, 1, out), "`layers` is NULL");
    check_refused(tp_engine_states(e, &fine, 1, &layer, 1, NULL), "`out` is NULL");
    check_refused(tp_engine_states(e, &fine, 1, &above, 1, out), "no layer");
    check_refused(tp_engine_states(e, &fine, 1, negative, 1, out), "no layer -1");
    check_refused(tp_engine_states(e, &outside, 1, &layer, 1, out), "id 1 is");
    check_refused(tp_engine_states(e, &long_one, 1, &layer, 1, out), "there is room for");
    check_refused(tp_engine_score(e, &fine, 1, &empty, 1, &score), "answer 0");
    check_refused(tp_engine_score(e, &fine, 1, &both, 1, &score), "answer 0");
    check_refused(tp_engine_score(e, &fine, 1, &outside, 1, &score), "answer 0: id 1");
    check_refused(tp_engine_score(e, &fine, 1, &fine, 0, &score), "0 answers");
    check_refused(tp_engine_score(e, &empty, 1, &fine, 1, &score), "nothing to run");
    assert_null(tp_session_new(e, -1));
    assert_null(tp_session_new(e, INT64_MAX));
    assert_null(tp_session_new(NULL, 1));
    assert_int_equal(tp_session_length(NULL), -1);
    assert_null(tp_engine_get_facts(NULL));
    tp_session_free(s);
    tp_session_free(NULL);
    tp_free(out);
    fixture_close(&f);
}

static void wrong_engines_and_texts_are_refused(void **state) {
    fixture f = fixture_open("llama2", 0);
    int64_t n;
    assert_null(tp_engine_tokenize(f.engine, "a", 1, 0, &n));
    assert_non_null(strstr(tp_last_error(), "without its tokenizer"));
    assert_null(tp_engine_detokenize(f.engine, f.ids, 1, 0, NULL));
    assert_null(tp_link_open("somewhere", f.engine, f.engine));
    assert_non_null(strstr(tp_last_error(), "tokenizer"));
    fixture_close(&f);
    tp_engine *engine = load_in(*state, "sender");
    assert_null(tp_engine_tokenize(engine, NULL, 1, 0, &n));
    assert_null(tp_engine_tokenize(engine, "a", 1, 0, NULL));
    assert_null(tp_engine_tokenize(NULL, "a", 1, 0, &n));
    assert_null(tp_engine_detokenize(engine, NULL, 1, 0, NULL));
    assert_null(tp_engine_detokenize(engine, NULL, -1, 0, NULL));
    tp_engine_free(engine);
    tp_engine_free(NULL);
    assert_null(tp_engine_load(NULL, 0));
    assert_null(tp_engine_load(*state, 1u << 20));
    assert_null(tp_engine_load(*state, 0)); /* no model lies there */
    assert_int_equal(tp_last_status(), TP_ERR_IO);
    assert_non_null(strstr(tp_last_error(), *state));
    assert_true(tp_version()[0] >= '0' && tp_version()[0] <= '9');
}

/* ---- examples ---- */

/* Runs a program of examples/ on dir/sender; returns its exit status, and in out what it printed. */
static int example(const char *dir, const char *name, const char *arguments, char out[4096]) {
    char command[2048];
    snprintf(command, sizeof command, "'%s/example_%s' '%s/sender' %s 2>&1", TP_BINARY_DIR, name, dir, arguments);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    out[fread(out, 1, 4095, pipe)] = 0;
    int status = pclose(pipe);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int lines(const char *text) {
    int n = 0;
    for (; *text; text++) n += *text == '\n';
    return n;
}

static void examples_run(void **state) {
    char out[4096], again[4096];
    assert_int_equal(example(*state, "header", "'I saw cat'", out), 0);
    assert_non_null(strstr(out, "\ndistance in layer 2: "));
    assert_int_equal(example(*state, "generate", "'I saw cat' 20", out), 0);
    assert_true(strncmp(out, "I saw cat", 9) == 0 && strlen(out) > 11);
    assert_int_equal(example(*state, "generate", "'I saw cat' 20 7", out), 0);
    assert_int_equal(example(*state, "generate", "'I saw cat' 20 8", again), 0);
    assert_string_not_equal(out, again);
    assert_int_equal(example(*state, "generate", "'I saw cat' 10000", out), 1);
    assert_non_null(strstr(out, "positions"));
    assert_int_equal(example(*state, "read_states", "cat 0 4", out), 0);
    assert_true(strncmp(out, "layer 0 ", 8) == 0 && lines(out) >= 4 && lines(out) % 2 == 0);
    assert_int_equal(example(*state, "read_states", "cat 5", out), 1);
    assert_non_null(strstr(out, "no layer 5"));
    assert_int_equal(example(*state, "inject_embeddings", "'I saw' ' dog' ' there.'", out), 0);
    assert_int_equal(lines(out), 5);
    assert_int_equal(example(*state, "inject_embeddings", "'I saw' ' dog cat' ' there.'", again), 0);
    assert_string_not_equal(out, again);
    assert_int_equal(example(*state, "inject_embeddings", "", out), 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_give_the_bits_of_ids),
        cmocka_unit_test(feeding_in_pieces_equals_at_once),
        cmocka_unit_test(states_equal_the_reference),
        cmocka_unit_test(generation_goes_on_where_it_stopped),
        cmocka_unit_test(scores_are_sums_of_log_probabilities),
        cmocka_unit_test(threads_share_an_engine),
        cmocka_unit_test(texts_become_ids_and_texts_again),
        cmocka_unit_test(a_link_works_with_its_ends_apart),
        cmocka_unit_test(a_receiver_may_read_the_text_too),
        cmocka_unit_test(wrong_inputs_are_refused_and_change_nothing),
        cmocka_unit_test(wrong_engines_and_texts_are_refused),
        cmocka_unit_test(examples_run),
    };
    return cmocka_run_group_tests(tests, make_pair, remove_pair);
}
