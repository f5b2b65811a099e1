/* include/telepathy.h: wrong arguments give sentences and leave no trace, and the examples run. */
#include "api_fixture.h"
#include "tiny_pair.h"

#include <sys/wait.h>

static int make_pair(void **state) {
    *state = check_temp_dir();
    tiny_pair_make(*state);
    return 0;
}

static int remove_pair(void **state) {
    check_remove_dir(*state);
    return 0;
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
        cmocka_unit_test(wrong_inputs_are_refused_and_change_nothing),
        cmocka_unit_test(wrong_engines_and_texts_are_refused),
        cmocka_unit_test(examples_run),
    };
    return cmocka_run_group_tests(tests, make_pair, remove_pair);
}
