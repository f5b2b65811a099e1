/* Injected keys and values: those of tokens that were read, put in as if a bridge had made them, give what reading
 * gives, for every family of decoders, on the tape and through the cache; gradients reach them; and a bridge that makes
 * them trains, resumes, is saved and loaded, and evaluates like any other. */
#include "tiny_stage.h"

#include "base/mem.h"
#include "bridge/kv_statistics.h"
#include "bridge/relay.h"
#include "eval/evaluate.h"
#include "eval/single.h"
#include "train/objective.h"

#include <math.h>

static const char *const fixtures[] = {"llama2", "mistral", "qwen2", "qwen3",       "gemma2",
                                       "gemma3", "gpt2",    "neox",  "neox_serial", NULL};

/* Two texts of 17 and 14 tokens that begin with the same 4; the 6 behind these are injected. */
enum { READ = 4, BETWEEN = 6, FIRST = READ + BETWEEN, OWN = 7 + 4 };
static const int64_t lengths[2] = {17, 14}, own[3] = {0, 7, OWN};

static int32_t id_at(int64_t s, int64_t i) {
    return (int32_t)(i < READ ? (5 * i + 2) % 61 : (7 * i + 11 * s + i * i) % 61);
}

static tp_lm *load_fixture(const char *name) {
    char path[1024];
    snprintf(path, sizeof path, "%s/tests/fixtures/lm/%s", TP_SOURCE_DIR, name);
    tp_lm *lm = tp_lm_load(path, false);
    check_not_null(lm);
    return lm;
}

typedef struct {
    float *rows; /* [tokens, width] */
    int64_t width;
} shown;

static void keep_shown(void *context, int layer, const tp_var *k, const tp_var *v) {
    const shown *s = context;
    for (int64_t i = 0; i < k->rows; i++)
        for (int64_t j = 0; j < k->cols; j++) {
            s->rows[i * s->width + 2 * layer * k->cols + j] = k->data[i * k->cols + j];
            s->rows[i * s->width + (2 * layer + 1) * k->cols + j] = v->data[i * k->cols + j];
        }
}

/* The last states of each text's own rows [OWN, d] as reading gives them; and in `injected` [2 * BETWEEN, width] the
 * keys and values of what stands between. */
static void read_all(const tp_lm *lm, float *states, float *injected) {
    int64_t d = lm->config.d_model, width = tp_lm_kv_width(&lm->config);
    tp_tape *tape = tp_tape_new(TP_MATH_F32);
    tape->frozen = true;
    for (int s = 0; s < 2; s++) {
        tp_tape_reset(tape);
        int32_t ids[17];
        for (int64_t i = 0; i < lengths[s]; i++) ids[i] = id_at(s, i);
        int64_t offsets[2] = {0, lengths[s]};
        shown all = {.rows = tp_arena_zalloc(tape->arena, (size_t)(17 * width) * sizeof(float)), .width = width};
        tp_batch batch = {.n_sequences = 1, .offsets = offsets, .look = keep_shown, .look_context = &all};
        tp_var *x = tp_lm_blocks(tape, lm, tp_lm_embed(tape, lm, ids, lengths[s]), &batch, 0, lm->config.n_layers);
        memcpy(states + own[s] * d, x->data + FIRST * d, (size_t)((own[s + 1] - own[s]) * d) * sizeof(float));
        memcpy(injected + s * BETWEEN * width, all.rows + READ * width, (size_t)(BETWEEN * width) * sizeof(float));
    }
    tp_tape_free(tape);
}

static double worst(const float *a, const float *b, int64_t n) {
    double off = 0, most = 1e-30;
    for (int64_t i = 0; i < n; i++) {
        if (!(fabs((double)a[i] - b[i]) <= off)) off = fabs((double)a[i] - b[i]);
        most = fmax(most, fabs((double)b[i]));
    }
    return off / most;
}

static void own_ids(int32_t ids[OWN]) {
    for (int64_t s = 0; s < 2; s++)
        for (int64_t i = own[s]; i < own[s + 1]; i++) ids[i] = id_at(s, FIRST + i - own[s]);
}

static void injecting_what_was_read_is_reading(void **state) {
    (void)state;
    for (int f = 0; fixtures[f]; f++) {
        tp_lm *lm = load_fixture(fixtures[f]);
        int64_t d = lm->config.d_model, width = tp_lm_kv_width(&lm->config), slots[2] = {0, 1};
        float *states = tp_alloc((size_t)(OWN * d) * sizeof(float)),
              *rows = tp_alloc((size_t)(2 * BETWEEN * width) * sizeof(float));
        read_all(lm, states, rows);
        int32_t first[READ], ids[OWN];
        for (int i = 0; i < READ; i++) first[i] = id_at(0, i);
        own_ids(ids);
        tp_prefix *prefix = tp_prefix_new(lm, TP_MATH_F32, first, READ);
        tp_kv_cache *cache = tp_kv_cache_new(lm, 2, 20);
        check_not_null(prefix);
        for (int cached = 0; cached < 2; cached++) {
            tp_tape *tape = tp_tape_new(TP_MATH_F32);
            tape->frozen = cached;
            tp_batch batch = {.n_sequences = 2, .offsets = own, .prefix = cached ? NULL : prefix};
            if (cached) {
                int32_t twice[2 * READ];
                for (int i = 0; i < 2 * READ; i++) twice[i] = first[i % READ];
                tp_batch before = {
                    .n_sequences = 2, .offsets = (const int64_t[]){0, READ, 2 * READ}, .cache = cache, .slots = slots};
                tp_lm_blocks(tape, lm, tp_lm_embed(tape, lm, twice, 2 * READ), &before, 0, lm->config.n_layers);
                batch.cache = cache;
                batch.slots = slots;
            }
            batch.injected = tp_var_wrap(tape, rows, 2 * BETWEEN, width);
            batch.n_injected = BETWEEN;
            tp_var *x = tp_lm_blocks(tape, lm, tp_lm_embed(tape, lm, ids, OWN), &batch, 0, lm->config.n_layers);
            double off = worst(x->data, states, OWN * d);
            if (!(off < 1e-5)) fail_msg("%s%s: off by %.1e", fixtures[f], cached ? ", cached" : "", off);
            for (int s = 0; cached && s < 2; s++) assert_int_equal(cache->lengths[s], lengths[s]);
            tp_tape_free(tape);
        }
        tp_kv_cache_free(cache);
        tp_prefix_free(prefix);
        tp_free(states);
        tp_free(rows);
        tp_lm_free(lm);
    }
}

/* Scores and greedy answers behind `before` and injected rows equal those of the texts read whole. */
static void answers_are_those_of_the_texts_read_whole(void **state) {
    (void)state;
    tp_lm *lm = load_fixture("mistral");
    int64_t d = lm->config.d_model, width = tp_lm_kv_width(&lm->config), whole[3] = {0, 17, 31};
    float *states = tp_alloc((size_t)(OWN * d) * sizeof(float)),
          *rows = tp_alloc((size_t)(2 * BETWEEN * width) * sizeof(float));
    read_all(lm, states, rows);
    tp_tape *tape = tp_tape_new(TP_MATH_F32);
    tape->frozen = true;
    int32_t all[31], first[READ], ids[OWN];
    for (int64_t s = 0; s < 2; s++)
        for (int64_t i = 0; i < lengths[s]; i++) all[whole[s] + i] = id_at(s, i);
    for (int i = 0; i < READ; i++) first[i] = id_at(0, i);
    own_ids(ids);
    tp_kv_cache *head = tp_read_before(lm, TP_MATH_F32, tp_lm_embed(tape, lm, first, READ)->data, READ, NULL);
    check_not_null(head);
    tp_prompts read = {.rows = tp_lm_embed(tape, lm, all, 31)->data, .offsets = whole, .n = 2};
    tp_prompts injected = {.rows = tp_lm_embed(tape, lm, ids, OWN)->data,
                           .offsets = own,
                           .n = 2,
                           .before = head,
                           .injected = rows,
                           .n_injected = BETWEEN};
    int32_t a[] = {3, 9, 4}, b[] = {3, 8};
    tp_ids answers[2] = {{.data = a, .len = 3}, {.data = b, .len = 2}}, out[2][2] = {{{0}}};
    double scores[2][4];
    check_ok(tp_score_answers(lm, TP_MATH_F32, &read, answers, 2, scores[0]));
    check_ok(tp_score_answers(lm, TP_MATH_F32, &injected, answers, 2, scores[1]));
    for (int i = 0; i < 4; i++) assert_true(fabs(scores[0][i] - scores[1][i]) < 1e-4);
    check_ok(tp_generate_greedy(lm, TP_MATH_F32, &read, 5, out[0]));
    check_ok(tp_generate_greedy(lm, TP_MATH_F32, &injected, 5, out[1]));
    for (int i = 0; i < 2; i++) {
        assert_int_equal(out[0][i].len, out[1][i].len);
        assert_memory_equal(out[0][i].data, out[1][i].data, out[0][i].len * sizeof(int32_t));
        tp_ids_free(&out[0][i]);
        tp_ids_free(&out[1][i]);
    }
    tp_kv_cache_free(head);
    tp_tape_free(tape);
    tp_free(states);
    tp_free(rows);
    tp_lm_free(lm);
}

/* ---- a bridge that injects ---- */

static const char kv[] = "{\"bridge\": {\"injection\": \"kv\"}}";

static tp_status train(const char *name, const char *changes, int64_t stop_at, tp_train_result *result) {
    return tiny_train(&stage, stage.task, name, changes, stop_at, result);
}

static tp_relay *load_relay(const char *name) {
    char *out = tp_path_join(stage.dir, name);
    tp_relay *relay = tp_relay_load(out, stage.sender, stage.receiver);
    check_not_null(relay);
    free(out);
    return relay;
}

static void it_learns(void **state) {
    (void)state;
    tp_train_result result;
    check_ok(train("learns",
                   "{\"optimiser\": {\"steps\": 120, \"lr\": 0.006, \"batch\": 16, \"accumulate\": 1}, \"sender\": "
                   "{\"layer\": 0}, \"bridge\": {\"dropout\": 0, \"width\": 32, \"depth\": 2, \"injection\": \"kv\"}}",
                   0, &result));
    if (!(result.valid_accuracy > 0.8)) fail_msg("accuracy is %g only", result.valid_accuracy); /* a third is chance */
}

static void it_goes_on_bit_by_bit(void **state) {
    (void)state;
    tiny_check_resume(&stage, stage.task, kv);
}

/* A control's packet, and one text by itself, have the width of all layers' keys and values. */
static void it_evaluates(void **state) {
    (void)state;
    tp_train_result trained;
    check_ok(train("learns", /* trained already, unless this test runs alone */
                   "{\"optimiser\": {\"steps\": 120, \"lr\": 0.006, \"batch\": 16, \"accumulate\": 1}, \"sender\": "
                   "{\"layer\": 0}, \"bridge\": {\"dropout\": 0, \"width\": 32, \"depth\": 2, \"injection\": \"kv\"}}",
                   0, &trained));
    bool wanted[TP_MOST_METHODS] = {false};
    for (int m = 0; tp_methods[m]; m++)
        wanted[m] = tp_methods[m]->group == TP_GROUP_BRIDGE || tp_methods[m]->group == TP_GROUP_CONTROL ||
                    tp_methods[m] == &tp_method_ridge || tp_methods[m] == &tp_method_pca ||
                    tp_methods[m] == &tp_method_text_bytes || tp_methods[m] == &tp_method_prompt_tuning;
    char *folder = tp_path_join(stage.dir, "learns");
    const char *runs[1] = {folder};
    tp_results *results[1];
    check_ok(tp_evaluate_runs(&(tp_evaluate_options){.runs = runs,
                                                     .n_runs = 1,
                                                     .sender = stage.sender,
                                                     .receiver = stage.receiver,
                                                     .task = stage.task,
                                                     .wanted = wanted,
                                                     .prompt_steps = 4,
                                                     .n_timed = 2},
                              results));
    const tp_method_result *bridge = tp_results_get(results[0], &tp_method_bridge);
    int64_t right = 0, width = tp_lm_kv_width(&stage.receiver->config), n = (int64_t)stage.task->test.n;
    assert_int_equal(width, 3 * 2 * 8);
    for (int64_t i = 0; i < n; i++)
        right += bridge->readings[TP_READ_SCORE].predictions.labels[i] == stage.task->test.examples[i].label;
    assert_true(right > n / 2);
    assert_true(bridge->bytes >= 3 * 2 * (double)width && bridge->bytes < 3 * 2 * (double)width + 100);
    tp_results_free(results[0]);
    free(folder);

    tp_relay *relay = load_relay("learns");
    assert_int_equal(relay->bridge->d_target, width);
    tp_single single;
    check_ok(tp_single_run(relay, stage.task, "I saw green there.", 18, &single));
    assert_int_equal(single.packet.payload, 3 * 2 * width);
    tp_single_free(&single);
    tp_relay_free(relay);
}

/* The whole way from the bridge's parameters through keys and values in every layer to the loss. */
static void gradients_agree_with_central_differences(void **state) {
    (void)state;
    tp_train_result trained;
    char changes[400];
    snprintf(changes, sizeof changes,
             "{\"bridge\": {\"injection\": \"kv\", \"dropout\": 0, \"learnable_normaliser\": true}, "
             "\"sender\": {\"position_dropout\": 0}, \"optimiser\": {\"steps\": 2}, \"losses\": [{\"name\": \"lm\"}]}");
    check_ok(train("gradients", changes, 0, &trained));
    char *folder = tp_path_join(stage.dir, "gradients");
    tp_recipe *recipe = tiny_recipe(changes);
    tp_relay *relay = tp_relay_new(recipe, stage.sender, stage.receiver, stage.task);
    check_not_null(relay);
    check_ok(tp_relay_read_prefix(relay));
    tp_trained_bridge *bridge = tp_bridge_load(folder);
    check_not_null(bridge);
    relay->bridge = bridge->bridge;
    const tp_example *examples[3] = {&stage.task->train.examples[0], &stage.task->train.examples[1],
                                     &stage.task->train.examples[2]};
    int64_t offsets[4] = {0, 4, 9, 12}, d = stage.sender->config.d_model;
    float *hidden = tp_alloc((size_t)(12 * d) * sizeof *hidden);
    tp_rng rng = tp_rng_stream(5, "states", 0);
    tp_rng_fill_normal(&rng, hidden, (size_t)(12 * d), 1);
    tp_tape *tape = tp_tape_new(TP_MATH_F32);
    tp_params *params = &relay->bridge->params;
    double losses[2];
    for (size_t p = 0; p < params->n; p++) {
        tp_weight *w = params->items[p];
        int64_t at = w->rows * w->cols / 2;
        float *x = tp_weight_values(w) + at, kept = *x, step = 0.02f * fmaxf(fabsf(kept), 0.05f);
        float above = kept + step, below = kept - step;
        for (int side = 0; side < 3; side++) {
            *x = side == 0 ? above : side == 1 ? below : kept;
            tp_tape_reset(tape);
            tp_params_zero_grad(params);
            tp_objective_values values;
            tp_var *loss, *soft = tp_relay_soft(relay, tape, tp_var_wrap(tape, hidden, 12, d), offsets, 3);
            tp_objective_batch batch = {.soft = soft, .examples = examples, .n = 3};
            check_ok(tp_objective(relay, tape, &batch, 0, &loss, &values));
            if (side < 2) {
                losses[side] = values.total;
                continue;
            }
            tp_backward(tape, loss, 1);
            double difference = (losses[0] - losses[1]) / ((double)above - below), found = w->grad[at];
            if (!(fabs(difference - found) < 0.02 * fabs(difference) + 4e-4))
                fail_msg("%s[%lld]: gradient %g, difference %g", w->name, (long long)at, found, difference);
        }
    }
    assert_true(tp_params_grad_norm(params) > 1e-3);
    tp_tape_free(tape);
    tp_free(hidden);
    relay->bridge = NULL;
    tp_trained_bridge_free(bridge);
    tp_relay_free(relay);
    free(folder);
}

/* What a fresh bridge emits is spread like the receiver's own keys and values. */
static void it_starts_from_the_receivers_statistics(void **state) {
    (void)state;
    const tp_example *texts[20];
    for (int i = 0; i < 20; i++) texts[i] = &stage.task->train.examples[i];
    double rms;
    tp_moments *moments = tp_kv_moments(stage.receiver, TP_MATH_F32, texts, 20, 64, &rms);
    check_not_null(moments);
    tp_ids ids = {0};
    int64_t rows = 0;
    for (int i = 0; i < 20; i++) {
        ids.len = 0;
        check_ok(
            tp_tokenizer_encode(stage.receiver->tokenizer, texts[i]->text, texts[i]->len, TP_TOKENS_ADD_SPECIAL, &ids));
        rows += (int64_t)ids.len - 1;
    }
    tp_ids_free(&ids);
    assert_int_equal(moments->n, rows);
    tp_moments *source = tp_moments_new(32);
    float some[64];
    for (int i = 0; i < 64; i++) some[i] = sinf((float)i);
    tp_moments_add(source, some, 2);
    tp_calibration *c = tp_calibration_of(source, moments, rms);
    tp_recipe *recipe = tiny_recipe(kv);
    tp_bridge *bridge = tp_bridge_new(&recipe->bridge, 32, moments->d, c, 3);
    check_not_null(bridge);
    tp_tape *tape = tp_tape_new(TP_MATH_F32);
    tape->frozen = true;
    tp_var *out = tp_bridge_forward(tape, bridge, tp_var_wrap(tape, some, 2, 32), (const int64_t[]){0, 1, 2}, 2);
    for (int64_t i = 0; i < out->rows; i++) {
        double square = 0;
        for (int64_t j = 0; j < out->cols; j++)
            square += pow((out->data[i * out->cols + j] - c->target_mean[j]) / c->target_std[j], 2);
        assert_true(fabs(sqrt(square / (double)out->cols) - 1) < 1e-3);
    }
    tp_tape_free(tape);
    tp_bridge_free(bridge);
    tp_recipe_free(recipe);
    tp_calibration_free(c);
    tp_moments_free(source);
    tp_moments_free(moments);
}

static void layouts_that_cannot_be_injected_into_are_refused(void **state) {
    (void)state;
    static const char *const layouts[] = {"{bos}{text}{soft}{primer}", "{bos}{soft}", "{bos}{primer}{soft}"};
    for (int i = 0; i < 3; i++) {
        char changes[200];
        snprintf(changes, sizeof changes, "{\"layout\": \"%s\", \"bridge\": {\"injection\": \"kv\"}}", layouts[i]);
        tp_train_result result;
        assert_int_equal(train("refused", changes, 0, &result), TP_ERR_ARGUMENT);
        assert_non_null(strstr(tp_last_error(), "where keys and values are injected"));
    }
}

/* The key is there only where it says something, and losses on embeddings are refused beside it. */
static void a_recipe_says_so(void **state) {
    (void)state;
    for (int injects = 0; injects < 2; injects++) {
        tp_recipe *recipe = tiny_recipe(injects ? kv : NULL);
        json_t *value = tp_recipe_to_json(recipe), *bridge = json_object_get(value, "bridge");
        assert_true((json_object_get(bridge, "injection") != NULL) == injects);
        tp_recipe *again = tp_recipe_from_json(value, "again");
        check_not_null(again);
        assert_int_equal(again->bridge.injection, injects ? TP_INJECT_KV : TP_INJECT_SOFT);
        tp_recipe_free(again);
        tp_recipe_free(recipe);
        json_decref(value);
    }
    json_t *wrong = json_pack("{s:{s:s}, s:[{s:s}]}", "bridge", "injection", "kv", "losses", "name", "anchor");
    assert_null(tp_recipe_from_json(wrong, "wrong"));
    assert_non_null(strstr(tp_last_error(), "compares soft tokens with the receiver's embeddings"));
    json_decref(wrong);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(injecting_what_was_read_is_reading),
        cmocka_unit_test(answers_are_those_of_the_texts_read_whole),
        cmocka_unit_test(it_learns),
        cmocka_unit_test(it_goes_on_bit_by_bit),
        cmocka_unit_test(it_evaluates),
        cmocka_unit_test(gradients_agree_with_central_differences),
        cmocka_unit_test(it_starts_from_the_receivers_statistics),
        cmocka_unit_test(a_recipe_says_so),
        cmocka_unit_test(layouts_that_cannot_be_injected_into_are_refused),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
