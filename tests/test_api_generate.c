/* tp_session_generate: what is drawn depends on the seed and the place alone, texts come out whole, stop texts stop.
 * The model is one of the repository's own, because random weights write no text. */
#include "check.h"

#include "base/mem.h"
#include "text/unicode.h"

#include <pthread.h>

typedef struct {
    int32_t ids[64];
    int n, stop_at;
} heard;

static bool hear(void *context, int32_t id) {
    heard *h = context;
    h->ids[h->n++] = id;
    return h->n != h->stop_at;
}

typedef struct {
    char text[4096];
    size_t n;
    int pieces, stop_at;
} read_text;

static bool hear_text(void *context, const char *text, size_t n) {
    read_text *r = context;
    memcpy(r->text + r->n, text, n);
    r->n += n;
    r->text[r->n] = '\0';
    return ++r->pieces != r->stop_at;
}

/* Generates behind "I saw" in a fresh session; the caller frees *session. */
static tp_ending write_behind(const tp_engine *engine, const tp_generation *options, tp_session **session) {
    int64_t n;
    int32_t *ids = tp_engine_tokenize(engine, "I saw", 5, TP_TOKENS_ADD_SPECIAL, &n);
    check_not_null(ids);
    *session = tp_session_new(engine, 0);
    check_not_null(*session);
    check_ok(tp_session_feed(*session, &(tp_input){.ids = ids, .n = n}, 1));
    tp_free(ids);
    tp_ending ending;
    check_ok(tp_session_generate(*session, options, &ending));
    return ending;
}

typedef struct {
    heard tokens;
    read_text text;
} both_heard;

static bool hear_one(void *context, int32_t id) {
    return hear(&((both_heard *)context)->tokens, id);
}

static bool hear_other(void *context, const char *text, size_t n) {
    return hear_text(&((both_heard *)context)->text, text, n);
}

static void sampled_text_depends_on_the_seed_alone(void **state) {
    tp_engine *engine = *state;
    tp_session *session;
    both_heard first = {0}, same = {0}, other = {0}, parts = {0};
    tp_generation options = {.max_new = 40,
                             .ignore_eos = true,
                             .on_token = hear_one,
                             .on_text = hear_other,
                             .sampling = {.temperature = 1.5, .top_p = 0.9, .repeat_penalty = 1.1, .seed = 5}};
    options.context = &first;
    assert_int_equal(write_behind(engine, &options, &session), TP_ENDING_LENGTH);
    assert_int_equal(first.tokens.n, 40);
    tp_session_free(session);
    options.context = &same;
    write_behind(engine, &options, &session);
    assert_memory_equal(first.tokens.ids, same.tokens.ids, 40 * sizeof(int32_t));
    assert_string_equal(first.text.text, same.text.text);
    tp_session_free(session);
    options.context = &parts; /* in three parts, and rewound in between */
    options.max_new = 7;
    write_behind(engine, &options, &session);
    int64_t before = tp_session_length(session);
    check_ok(tp_session_generate(session, &options, NULL));
    check_ok(tp_session_rewind(session, before - 1));
    check_ok(tp_session_feed(session, &(tp_input){.ids = &parts.tokens.ids[6], .n = 1}, 1));
    parts.tokens.n = 7;
    options.max_new = 33;
    check_ok(tp_session_generate(session, &options, NULL));
    assert_memory_equal(first.tokens.ids, parts.tokens.ids, 40 * sizeof(int32_t));
    tp_session_free(session);
    options = (tp_generation){
        .max_new = 40, .ignore_eos = true, .on_token = hear_one, .context = &other, .sampling = options.sampling};
    options.sampling.seed = 6;
    write_behind(engine, &options, &session);
    assert_memory_not_equal(first.tokens.ids, other.tokens.ids, 40 * sizeof(int32_t));
    tp_session_free(session);
}

static void texts_come_whole_and_stop_where_told(void **state) {
    tp_engine *engine = *state;
    tp_session *session;
    both_heard all = {0}, cut = {0}, few = {0};
    tp_generation options = {.max_new = 60,
                             .ignore_eos = true,
                             .on_token = hear_one,
                             .on_text = hear_other,
                             .context = &all,
                             .sampling = {.temperature = 0.7, .seed = 3}};
    write_behind(engine, &options, &session);
    tp_session_free(session);
    char *plain =
        tp_engine_detokenize(engine, all.tokens.ids, all.tokens.n, TP_TOKENS_NO_PREFIX | TP_TOKENS_SKIP_SPECIAL, NULL);
    size_t n = strlen(plain), whole = tp_utf8_valid_prefix(plain, n);
    assert_true(whole > 20 && memcmp(plain, all.text.text, whole) == 0);

    /* a stop text that begins in one token and ends in another: the six bytes around a middle token's border */
    size_t border = 0, piece;
    for (int i = 0; i < all.tokens.n && border < whole / 2; i++) {
        tp_engine_piece(engine, all.tokens.ids[i], &piece);
        border += piece;
    }
    char stop[8] = {0};
    memcpy(stop, plain + border - 2, 5);
    size_t at = (size_t)(strstr(plain, stop) - plain);
    options.context = &cut;
    options.stops = (const char *const[]){"never in there", stop};
    options.n_stops = 2;
    assert_int_equal(write_behind(engine, &options, &session), TP_ENDING_STOP);
    assert_int_equal(cut.text.n, at);
    assert_memory_equal(cut.text.text, plain, at);
    assert_int_equal(cut.tokens.n, tp_session_length(session) - 3);
    tp_session_free(session);

    options.n_stops = 0;
    options.context = &few;
    few.text.stop_at = 4;
    assert_int_equal(write_behind(engine, &options, &session), TP_ENDING_CALLER);
    assert_int_equal(few.text.pieces, 4);
    tp_session_free(session);
    tp_free(plain);
}

/* ---- threads ---- */

enum { N_THREADS = 4 };

typedef struct {
    const tp_engine *engine;
    uint64_t seed;
    both_heard heard;
    float *states; /* [5, d_model]: of layer 3, of the first five tokens written */
} job;

static void *write_and_read(void *argument) {
    job *j = argument;
    tp_session *session;
    tp_generation options = {.max_new = 24,
                             .ignore_eos = true,
                             .on_token = hear_one,
                             .on_text = hear_other,
                             .context = &j->heard,
                             .sampling = {.temperature = 1, .top_k = 50, .seed = j->seed}};
    write_behind(j->engine, &options, &session);
    tp_session_free(session);
    tp_input written = {.ids = j->heard.tokens.ids, .n = 5};
    check_ok(tp_engine_states(j->engine, &written, 1, (const int32_t[]){3}, 1, j->states));
    return NULL;
}

/* Sessions of one engine in four threads at once write and read what they do one after the other. */
static void sessions_do_not_disturb_each_other(void **state) {
    size_t bytes = 5 * (size_t)tp_engine_get_facts(*state)->d_model * sizeof(float);
    job alone[N_THREADS] = {{0}}, together[N_THREADS] = {{0}};
    pthread_t threads[N_THREADS];
    for (int t = 0; t < N_THREADS; t++) {
        alone[t] = (job){.engine = *state, .seed = (uint64_t)t, .states = tp_alloc(bytes)};
        together[t] = (job){.engine = *state, .seed = (uint64_t)t, .states = tp_alloc(bytes)};
        write_and_read(&alone[t]);
    }
    for (int t = 0; t < N_THREADS; t++)
        assert_int_equal(pthread_create(&threads[t], NULL, write_and_read, &together[t]), 0);
    for (int t = 0; t < N_THREADS; t++) {
        pthread_join(threads[t], NULL);
        assert_memory_equal(together[t].heard.tokens.ids, alone[t].heard.tokens.ids, 24 * sizeof(int32_t));
        assert_string_equal(together[t].heard.text.text, alone[t].heard.text.text);
        assert_memory_equal(together[t].states, alone[t].states, bytes);
        tp_free(alone[t].states);
        tp_free(together[t].states);
    }
    assert_memory_not_equal(alone[0].heard.tokens.ids, alone[1].heard.tokens.ids, 24 * sizeof(int32_t));
}

static int load(void **state) {
    *state = tp_engine_load(TP_SOURCE_DIR "/models/wren", TP_ENGINE_F32);
    return *state == NULL;
}

static int unload(void **state) {
    tp_engine_free(*state);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sampled_text_depends_on_the_seed_alone),
        cmocka_unit_test(texts_come_whole_and_stop_where_told),
        cmocka_unit_test(sessions_do_not_disturb_each_other),
    };
    return cmocka_run_group_tests(tests, load, unload);
}
