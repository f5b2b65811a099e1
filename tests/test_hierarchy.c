/* Long texts in two stages: a text that no model of the pair could read at once is read in segments, each as if it were
 * alone; a bridge of two stages learns what stands anywhere in it (a passkey), goes on bit by bit, is saved and loaded,
 * and has the gradients that differences give. */
#include "tiny_training.h"

#include "base/mem.h"
#include "bridge/relay.h"
#include "train/states.h"
#include "train/validate.h"

#include <math.h>

enum { SEGMENT = 16 };
static const char two_stages[] =
    "{\"sender\": {\"max_tokens\": 400, \"layer\": 1, \"position_dropout\": 0}, \"bridge\": {\"segment_tokens\": 16, "
    "\"segment_soft_tokens\": 2, \"dropout\": 0}}";

static tiny_stage stage;
static tp_task *haystack;

/* Much ado about nothing, and somewhere in it the word that decides. */
static void long_text(int k, int sentences, tp_str *text) {
    static const char *const filler[4] = {"Nobody knows. ", "I saw it there. ", "Tell me, please. ", "Like that. "};
    int at = (k * 7 + k / 5) % sentences;
    for (int i = 0; i < sentences; i++) {
        tp_str_append_text(text, filler[(i + k) % 4]);
        if (i == at) tp_str_appendf(text, "%s %s! ", tiny_words[k % 3][k / 3 % 6], tiny_words[k % 3][k / 3 % 6]);
    }
}

static void write_rows(const char *name, int from, int to) {
    char *path = tp_path_join(stage.dir, name);
    tp_writer *w = tp_writer_open(path);
    check_not_null(w);
    tp_writer_printf(w, "text,label\n");
    for (int k = from; k < to; k++) {
        tp_str text = {0};
        long_text(k, 16, &text);
        tp_writer_printf(w, "\"%s\",%s\n", text.data, tiny_labels[k % 3]);
        tp_str_free(&text);
    }
    check_ok(tp_writer_commit(w));
    free(path);
}

static int set_up(void **state) {
    (void)state;
    stage = tiny_stage_make();
    write_rows("train.csv", 0, 90);
    write_rows("test.csv", 90, 120);
    haystack = tiny_task(stage.dir);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    tp_task_free(haystack);
    tiny_stage_free(&stage);
    return 0;
}

static tp_status train(const char *name, const char *changes, int64_t stop_at, tp_train_result *result) {
    return tiny_train(&stage, haystack, name, changes, stop_at, result);
}

/* Each segment's states are those of its tokens read alone, and the tokens are the text's own with a BOS before each.
 */
static void segments_are_read_by_themselves(void **state) {
    (void)state;
    tp_tap whole = {.sender = stage.sender, .layer = 2, .prompt = "{text}", .max_tokens = 1000, .math = TP_MATH_F32};
    tp_tap parts = whole;
    parts.segment = SEGMENT;
    tp_str text = {0};
    long_text(3, 100, &text);
    tp_ids plain = {0}, ids = {0};
    bool cut;
    check_ok(tp_tap_tokens(&whole, text.data, text.len, &plain, &cut));
    assert_false(cut);
    check_ok(tp_tap_tokens(&parts, text.data, text.len, &ids, &cut));
    assert_false(cut);
    int32_t bos = tp_tokenizer_bos(stage.sender->tokenizer);
    size_t at = 0;
    for (size_t i = 0; i < ids.len; i++) {
        if (i > 0 && i % SEGMENT == 0)
            assert_int_equal(ids.data[i], bos);
        else
            assert_int_equal(ids.data[i], plain.data[at++]);
    }
    assert_int_equal(at, plain.len);
    assert_true(ids.len > (size_t)stage.sender->config.max_position_embeddings); /* more than it could read at once */
    int64_t n = (int64_t)ids.len, d = stage.sender->config.d_model;
    float *all = tp_alloc((size_t)(n * d) * sizeof(float)), alone[SEGMENT * 64];
    tp_tape *tape = tp_tape_new(TP_MATH_F32);
    tape->frozen = true;
    tp_tap_run(&parts, tape, ids.data, n, all);
    for (int64_t from = 0; from < n; from += SEGMENT) {
        int64_t some = n - from < SEGMENT ? n - from : SEGMENT;
        tp_tap_run(&whole, tape, ids.data + from, some, alone);
        assert_memory_equal(alone, all + from * d, (size_t)(some * d) * sizeof(float));
    }
    /* a bound counts the tokens that begin segments */
    for (int most = SEGMENT - 3; most < 3 * SEGMENT + 3; most++) {
        parts.max_tokens = most;
        ids.len = 0;
        check_ok(tp_tap_tokens(&parts, text.data, text.len, &ids, &cut));
        assert_true(cut);
        assert_in_range(ids.len, most - 1, most);
    }
    tp_tape_free(tape);
    tp_free(all);
    tp_ids_free(&plain);
    tp_ids_free(&ids);
    tp_str_free(&text);
}

static void it_finds_what_stands_anywhere(void **state) {
    (void)state;
    static const char learns[] =
        "{\"sender\": {\"max_tokens\": 400, \"layer\": 0, \"position_dropout\": 0}, \"bridge\": {\"kind\": "
        "\"mean_mlp\", \"segment_tokens\": "
        "16, "
        "\"segment_soft_tokens\": 2, \"dropout\": 0, \"width\": 32}, \"optimiser\": {\"steps\": 600, \"lr\": 0.003, "
        "\"batch\": 16, \"accumulate\": 1}, \"early_stopping\": {\"every\": 50}, \"quick_eval\": {\"every\": 0}}";
    tp_train_result result;
    check_ok(train("learns", learns, 0, &result));
    assert_int_equal(result.n_truncated, 0);
    if (!(result.valid_accuracy > 0.7)) fail_msg("accuracy is %g only", result.valid_accuracy); /* a third is chance */
    /* loaded again it is the same bridge */
    char *folder = tp_path_join(stage.dir, "learns");
    tp_relay *relay = tp_relay_load(folder, stage.sender, stage.receiver);
    check_not_null(relay);
    assert_int_equal(relay->tap.segment, SEGMENT);
    tp_state_cache *states =
        tp_state_cache_new(&relay->tap, haystack->valid.examples, haystack->valid.n, TP_CACHE_NONE, 0, NULL);
    check_not_null(states);
    tp_validation v;
    check_ok(tp_validate(relay, states, &haystack->valid, (int64_t)haystack->valid.n, &v));
    assert_true(v.accuracy == result.valid_accuracy);
    tp_state_cache_free(states);
    tp_relay_free(relay);
    free(folder);
}

static void it_goes_on_bit_by_bit(void **state) {
    (void)state;
    tiny_check_resume(&stage, haystack, two_stages);
}

/* Families may be nested whatever they are; a batch is its texts one by one; and gradients reach both stages. */
static void stages_of_any_family(void **state) {
    (void)state;
    static const char *const kinds[] = {"perceiver",       "mean_mlp", "weighted_pool",
                                        "cross_attention", "qformer",  "linear"};
    enum { D = 12, OUT = 10, N = 60 };
    static const int64_t offsets[] = {0, 35, 44, N}; /* 3, 1 and 1 segments */
    float hidden[N * D], g[3 * 3 * OUT];
    tp_rng rng = tp_rng_stream(5, "states", 0);
    tp_rng_fill_normal(&rng, hidden, N * D, 1);
    tp_rng_fill_normal(&rng, g, 3 * 3 * OUT, 1);
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
        tp_bridge_recipe recipe = {.soft_tokens = 3, .depth = 1, .heads = 2, .width = 8, .ffn_multiple = 2, .steps = 3};
        recipe.segment_tokens = SEGMENT, recipe.segment_soft_tokens = 2;
        snprintf(recipe.kind, sizeof recipe.kind, "%s", kinds[k]);
        tp_bridge *b = tp_bridge_new(&recipe, D, OUT, NULL, 7);
        check_not_null(b);
        assert_int_equal(tp_bridge_count(&recipe, D, OUT), b->params.total + 2 * (D + OUT));
        tp_tape *tape = tp_tape_new(TP_MATH_F32);
        float batch[3 * 3 * OUT];
        tp_var *x = tp_bridge_forward(tape, b, tp_var_wrap(tape, hidden, N, D), offsets, 3);
        assert_int_equal(x->rows, 9);
        memcpy(batch, x->data, sizeof batch);
        for (int s = 0; s < 3; s++) {
            int64_t one[2] = {0, offsets[s + 1] - offsets[s]};
            tp_var *alone = tp_bridge_forward(tape, b, tp_var_wrap(tape, hidden + offsets[s] * D, one[1], D), one, 1);
            for (int i = 0; i < 3 * OUT; i++) assert_true(fabsf(alone->data[i] - batch[s * 3 * OUT + i]) < 1e-5f);
        }
        bool lower = false, upper = false;
        for (size_t p = 0; p < b->params.n; p++) {
            tp_weight *w = b->params.items[p];
            (strncmp(w->name, "segments.", 9) == 0 ? &lower : &upper)[0] = true;
            int64_t at = w->rows * w->cols / 3;
            float *value = tp_weight_values(w) + at, kept = *value, step = 0.02f * fmaxf(fabsf(kept), 0.02f);
            double sums[2];
            for (int side = 0; side < 3; side++) {
                *value = side == 0 ? kept + step : side == 1 ? kept - step : kept;
                tp_tape_reset(tape);
                tp_params_zero_grad(&b->params);
                tp_var *y = tp_bridge_forward(tape, b, tp_var_wrap(tape, hidden, N, D), offsets, 3);
                if (side < 2) {
                    sums[side] = 0;
                    for (int i = 0; i < 9 * OUT; i++) sums[side] += (double)y->data[i] * g[i];
                    continue;
                }
                tp_weight row = {.dtype = TP_F32, .rows = 1, .cols = 9 * OUT, .data = g};
                tp_backward(tape, tp_linear(tape, tp_reshape(tape, y, 1, 9 * OUT), &row, NULL), 1);
                double difference = (sums[0] - sums[1]) / (2 * (double)step), found = w->grad[at];
                if (!(fabs(difference - found) < 0.03 * fabs(difference) + 0.03))
                    fail_msg("%s, %s: gradient %g, difference %g", kinds[k], w->name, found, difference);
            }
        }
        assert_true(lower && upper);
        tp_tape_free(tape);
        tp_bridge_free(b);
    }
}

static void what_does_not_go_is_refused(void **state) {
    (void)state;
    static const struct {
        const char *changes, *words;
    } cases[] = {
        {"{\"sender\": {\"position_dropout\": 0}, \"bridge\": {\"segment_tokens\": 300}}",
         "at most 256 tokens at once"},
        {"{\"sender\": {\"position_dropout\": 0}, \"bridge\": {\"segment_tokens\": 16, \"kind\": \"vq\"}}",
         "cannot be two stages"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        tp_train_result result;
        assert_int_not_equal(train("refused", cases[i].changes, 0, &result), TP_OK);
        if (strstr(tp_last_error(), cases[i].words) == NULL)
            fail_msg("\"%s\" does not say \"%s\"", tp_last_error(), cases[i].words);
    }
    json_t *wrong =
        json_loads("{\"sender\": {\"position_dropout\": 0.1}, \"bridge\": {\"segment_tokens\": 16}}", 0, NULL);
    assert_null(tp_recipe_from_json(wrong, "wrong"));
    assert_non_null(strstr(tp_last_error(), "does not go with `sender.position_dropout`"));
    json_decref(wrong);
    tp_recipe *plain = tiny_recipe(NULL);
    json_t *value = tp_recipe_to_json(plain), *bridge = json_object_get(value, "bridge");
    assert_null(json_object_get(bridge, "segment_tokens"));
    assert_null(json_object_get(bridge, "segment_soft_tokens"));
    json_decref(value);
    tp_recipe_free(plain);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(segments_are_read_by_themselves), cmocka_unit_test(it_finds_what_stands_anywhere),
        cmocka_unit_test(it_goes_on_bit_by_bit),           cmocka_unit_test(stages_of_any_family),
        cmocka_unit_test(what_does_not_go_is_refused),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
