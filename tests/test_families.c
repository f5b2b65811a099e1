/* What must hold of every family of lm/family.c beyond agreeing with transformers (test_decoder.c): files are written
 * as they are read, new models train in all their weights, a frozen tape forgets without changing a bit; and the ways
 * in which single families or files differ. Trained weights of the GPT-2 kind answer as their README says. */
#include "check.h"

#include "base/file.h"
#include "lm/decoder.h"
#include "lm/family.h"

#include <math.h>

static const char *const fixtures[] = {"llama2", "llama3_1", "mistral", "qwen2", "qwen3",       "gemma2",
                                       "gemma3", "phi3",     "gpt2",    "neox",  "neox_serial", NULL};

static const char *fixture(const char *name) {
    static char path[1024];
    snprintf(path, sizeof path, "%s/tests/fixtures/lm/%s", TP_SOURCE_DIR, name);
    return path;
}

static tp_lm *load(const char *path) {
    tp_lm *lm = tp_lm_load(path, false);
    check_not_null(lm);
    return lm;
}

enum { N = 24 };

/* Ids that any fixture has. */
static const int32_t *some_ids(void) {
    static int32_t ids[N];
    for (int i = 0; i < N; i++) ids[i] = (i * i + 3 * i) % 61;
    return ids;
}

static tp_var *logits_of(tp_tape *tape, const tp_lm *lm, const int32_t *ids, int64_t n) {
    tp_batch batch = {.n_sequences = 1, .offsets = (const int64_t[]){0, n}};
    tp_var *x = tp_lm_blocks(tape, lm, tp_lm_embed(tape, lm, ids, n), &batch, 0, lm->config.n_layers);
    return tp_lm_logits(tape, lm, x);
}

static double difference(const float *a, const float *b, int64_t n) {
    double worst = 0, most = 1e-30;
    for (int64_t i = 0; i < n; i++) {
        double d = fabs((double)a[i] - b[i]);
        if (!(d <= worst)) worst = d;
        if (fabs((double)b[i]) > most) most = fabs((double)b[i]);
    }
    return worst / most;
}

static tp_tape *frozen_tape(void) {
    tp_tape *tape = tp_tape_new(TP_MATH_F32);
    tape->frozen = true;
    return tape;
}

/* ---- every family ---- */

static void what_is_saved_computes_the_same(void **state) {
    (void)state;
    for (int f = 0; fixtures[f]; f++) {
        char *dir = check_temp_dir();
        tp_lm *lm = load(fixture(fixtures[f]));
        check_ok(tp_lm_save(lm, dir, TP_F32));
        tp_lm *again = load(dir);
        tp_tape *tape = frozen_tape();
        tp_var *a = logits_of(tape, lm, some_ids(), N), *b = logits_of(tape, again, some_ids(), N);
        double off = difference(b->data, a->data, N * lm->config.vocab_size);
        /* Gemma's gains pass through w = gain - 1 once more; the others' numbers do not change at all */
        if (off > (tp_lm_family_get(lm->config.family)->names->gains_less_one ? 1e-5 : 0))
            fail_msg("%s: saved and loaded it differs by %.2e", fixtures[f], off);
        assert_int_equal(tp_lm_n_parameters(again), tp_lm_n_parameters(lm));
        tp_tape_free(tape);
        tp_lm_free(again);
        tp_lm_free(lm);
        check_remove_dir(dir);
    }
}

static bool is_zero(const float *x, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        if (x[i] != 0) return false;
    return true;
}

/* Frozen models with random weights exist in the plain types only. */
static void models_are_not_made_of_blocks(void **state) {
    (void)state;
    tp_lm_config config;
    check_ok(tp_lm_config_read(fixture("llama2"), &config));
    static const tp_dtype possible[] = {TP_F32, TP_F16, TP_BF16}, impossible[] = {TP_Q4_0, TP_Q6_K, TP_F64, TP_I8};
    for (int i = 0; i < 3; i++) {
        tp_lm *lm = tp_lm_new_frozen(&config, 1, possible[i]);
        check_not_null(lm);
        assert_int_equal(lm->layers[1].down.dtype, possible[i]);
        tp_lm_free(lm);
    }
    for (int i = 0; i < 4; i++) {
        assert_null(tp_lm_new_frozen(&config, 1, impossible[i]));
        assert_int_equal(tp_last_status(), TP_ERR_ARGUMENT);
        assert_non_null(strstr(tp_last_error(), "f32, f16 and bf16 are possible"));
    }
}

/* A new model of each fixture's shape learns to repeat itself, by gradients that reach every one of its weights; what
 * it has learned is there after saving. */
static void new_models_train_in_all_their_weights(void **state) {
    (void)state;
    static const int32_t ids[13] = {3, 9, 4, 9, 4, 9, 4, 9, 4, 9, 4, 9, 4};
    const int64_t offsets[2] = {0, 12};
    for (int f = 0; fixtures[f]; f++) {
        tp_lm_config config;
        check_ok(tp_lm_config_read(fixture(fixtures[f]), &config));
        tp_lm *lm = tp_lm_new(&config, 7, config.embedding_scale > 0 ? 1 / config.embedding_scale : 0.3);
        tp_tape *tape = tp_tape_new(TP_MATH_F32);
        tp_batch batch = {.n_sequences = 1, .offsets = offsets};
        double first = 0, last = 0;
        for (int step = 0; step < 40; step++) {
            tp_tape_reset(tape);
            tp_var *x = tp_lm_blocks(tape, lm, tp_lm_embed(tape, lm, ids, 12), &batch, 0, config.n_layers);
            tp_var *loss = tp_cross_entropy(tape, tp_lm_logits(tape, lm, x), ids + 1, NULL, NULL);
            tp_backward(tape, loss, 1.0f);
            last = loss->data[0];
            if (step == 0) first = last;
            double scale = 0.3 / fmax(1, tp_params_grad_norm(&lm->params));
            for (size_t i = 0; i < lm->params.n; i++) {
                const tp_weight *w = lm->params.items[i];
                if (step == 1 && is_zero(w->grad, w->rows * w->cols))
                    fail_msg("%s: no gradient reaches %s", fixtures[f], w->name);
                for (int64_t j = 0; j < w->rows * w->cols; j++) tp_weight_values(w)[j] -= (float)scale * w->grad[j];
            }
            tp_params_zero_grad(&lm->params);
        }
        if (!(last < 0.6 * first)) fail_msg("%s: the loss went from %.3f to %.3f only", fixtures[f], first, last);
        char *dir = check_temp_dir();
        check_ok(tp_lm_save(lm, dir, TP_F32));
        tp_lm *again = load(dir);
        tape->frozen = true;
        tp_var *a = logits_of(tape, lm, ids, 12), *b = logits_of(tape, again, ids, 12);
        assert_true(difference(b->data, a->data, 12 * config.vocab_size) < 1e-5);
        tp_lm_free(again);
        tp_tape_free(tape);
        tp_lm_free(lm);
        check_remove_dir(dir);
    }
}

/* A frozen tape gives each layer's memory to the next: the same bits, and no more memory for more layers. */
static void a_frozen_tape_forgets_without_changing_a_bit(void **state) {
    (void)state;
    for (int f = 0; fixtures[f]; f++) {
        tp_lm *lm = load(fixture(fixtures[f]));
        tp_tape *recording = tp_tape_new(TP_MATH_F32), *frozen = frozen_tape(), *one = frozen_tape();
        tp_batch batch = {.n_sequences = 1, .offsets = (const int64_t[]){0, N}};
        int layers = lm->config.n_layers;
        tp_var *leaf = tp_lm_embed(recording, lm, some_ids(), N);
        leaf = tp_var_leaf(recording, leaf->data, N, lm->config.d_model);
        tp_var *a = tp_lm_blocks(recording, lm, leaf, &batch, 0, layers);
        tp_var *b = tp_lm_blocks(frozen, lm, tp_lm_embed(frozen, lm, some_ids(), N), &batch, 0, layers);
        assert_memory_equal(a->data, b->data, (size_t)(N * lm->config.d_model) * sizeof(float));
        tp_lm_blocks(one, lm, tp_lm_embed(one, lm, some_ids(), N), &batch, 0, 1);
        assert_int_equal(tp_arena_peak(frozen->arena), tp_arena_peak(one->arena));
        assert_true(tp_arena_peak(recording->arena) > tp_arena_peak(frozen->arena));
        tp_tape_free(recording);
        tp_tape_free(frozen);
        tp_tape_free(one);
        tp_lm_free(lm);
    }
}

/* ---- single differences ---- */

/* The rows of a head in the order 0, d/2, 1, d/2 + 1, ...: what GGUF files of Llama hold. */
static void interleave(const tp_weight *w, int heads, float *out) {
    int64_t d = w->rows / heads;
    for (int64_t i = 0; i < w->rows; i++) {
        int64_t place = i % d;
        tp_weight_row(w, i / d * d + place / 2 + place % 2 * (d / 2), out + i * w->cols);
    }
}

static void adjacent_pairs_are_another_order_of_rows(void **state) {
    (void)state;
    tp_lm *lm = load(fixture("llama3_1")), *other = load(fixture("llama3_1"));
    const tp_lm_config *c = &lm->config;
    other->config.rope_adjacent = true;
    for (int l = 0; l < c->n_layers; l++) {
        tp_weight *weights[] = {&other->layers[l].q, &other->layers[l].k};
        for (int i = 0; i < 2; i++) {
            float *rows = tp_alloc((size_t)(weights[i]->rows * weights[i]->cols) * sizeof *rows);
            interleave(weights[i], i ? c->n_kv_heads : c->n_heads, rows);
            weights[i]->data = rows;
            weights[i]->dtype = TP_F32;
        }
    }
    tp_tape *tape = frozen_tape();
    tp_var *a = logits_of(tape, lm, some_ids(), N), *b = logits_of(tape, other, some_ids(), N);
    assert_true(difference(b->data, a->data, N * c->vocab_size) < 1e-5);
    other->config.rope_adjacent = false; /* and the order does matter */
    b = logits_of(tape, other, some_ids(), N);
    assert_true(difference(b->data, a->data, N * c->vocab_size) > 1e-2);
    for (int l = 0; l < c->n_layers; l++) {
        tp_free((void *)(uintptr_t)other->layers[l].q.data);
        tp_free((void *)(uintptr_t)other->layers[l].k.data);
    }
    tp_tape_free(tape);
    tp_lm_free(lm);
    tp_lm_free(other);
}

/* The first GPT-2 files, and those of other models saved without their heads, lack "transformer." before each name. */
static void names_without_their_root_are_found(void **state) {
    (void)state;
    static const char *const names[] = {"gpt2", "gemma2", NULL};
    for (int f = 0; names[f]; f++) {
        tp_lm *lm = load(fixture(names[f]));
        size_t root = strlen(tp_lm_family_get(lm->config.family)->names->root);
        size_t n = tp_checkpoint_count(lm->checkpoint);
        tp_st_tensor *tensors = tp_alloc(n * sizeof *tensors);
        for (size_t i = 0; i < n; i++) {
            tensors[i] = *tp_checkpoint_get(lm->checkpoint, i);
            tensors[i].name += root;
        }
        char *dir = check_temp_dir(), *path = tp_path_join(dir, "model.safetensors");
        check_ok(tp_lm_config_write(&lm->config, dir));
        check_ok(tp_safetensors_write(path, tensors, n, NULL, 0));
        tp_lm *bare = load(dir);
        tp_tape *tape = frozen_tape();
        tp_var *a = logits_of(tape, lm, some_ids(), N), *b = logits_of(tape, bare, some_ids(), N);
        assert_memory_equal(a->data, b->data, (size_t)(N * lm->config.vocab_size) * sizeof(float));
        tp_tape_free(tape);
        tp_lm_free(bare);
        tp_lm_free(lm);
        tp_free(tensors);
        tp_free(path);
        check_remove_dir(dir);
    }
}

static void learned_positions_end(void **state) {
    (void)state;
    tp_lm *lm = load(fixture("gpt2"));
    tp_kv_cache *cache = tp_kv_cache_new(lm, 1, lm->config.max_position_embeddings);
    check_not_null(cache);
    tp_kv_cache_free(cache);
    assert_null(tp_kv_cache_new(lm, 1, lm->config.max_position_embeddings + 1));
    assert_non_null(strstr(tp_last_error(), "41 positions are asked for, this model has learned 40"));
    tp_lm_free(lm);
}

/* The longest text, token by token through a cache: every row of the table, and LongRoPE turned by capacity. */
static void caches_reach_the_last_position(void **state) {
    (void)state;
    static const char *const names[] = {"gpt2", "phi3", "gemma3", NULL};
    for (int f = 0; names[f]; f++) {
        tp_lm *lm = load(fixture(names[f]));
        int32_t ids[40];
        for (int i = 0; i < 40; i++) ids[i] = (7 * i + 2) % 61;
        int64_t v = lm->config.vocab_size;
        tp_tape *whole = frozen_tape(), *tape = frozen_tape();
        tp_var *wanted = logits_of(whole, lm, ids, 40);
        tp_kv_cache *cache = tp_kv_cache_new(lm, 1, 40);
        for (int i = 0; i < 40; i++) {
            tp_tape_reset(tape);
            tp_batch batch = {
                .n_sequences = 1, .offsets = (const int64_t[]){0, 1}, .cache = cache, .slots = (const int64_t[]){0}};
            tp_var *x = tp_lm_blocks(tape, lm, tp_lm_embed(tape, lm, ids + i, 1), &batch, 0, lm->config.n_layers);
            double off = difference(tp_lm_logits(tape, lm, x)->data, wanted->data + i * v, v);
            if (!(off < 2e-5)) fail_msg("%s: position %d is off by %.2e", names[f], i, off);
        }
        tp_kv_cache_free(cache);
        tp_tape_free(whole);
        tp_tape_free(tape);
        tp_lm_free(lm);
    }
}

/* ---- trained weights ---- */

/* ../shared/models/README.md: these six attributes give this chain, each token with a probability of 0.99 (rounded).
 * The logits are those of transformers 5.23 in f32. */
static void a_trained_gpt2_answers_as_its_readme_says(void **state) {
    (void)state;
    check_needs_shared("models/capp-gpt2/model.safetensors");
    tp_lm *lm = load(check_shared("models/capp-gpt2"));
    assert_int_equal(tp_lm_n_parameters(lm), 236224);
    int32_t ids[16] = {0, 7, 15, 19, 23, 28, 49}; /* geometry ... batch_size_mass, <SOS> */
    static const struct {
        int32_t id; /* High Pressure Die Casting, Grinding, Superfinishing, <EOC>, <EOS> */
        double probability, logit, sum;
    } answer[] = {{34, 0.98874228, 8.19697, -17.630958},
                  {42, 0.99462151, 8.68669, -30.825054},
                  {44, 0.99448623, 8.55002, -33.238067},
                  {50, 0.99560142, 8.51852, -54.215826},
                  {51, 0.99505556, 8.90685, -28.427711}};
    tp_tape *tape = frozen_tape();
    for (int i = 0; i < 5; i++) {
        tp_tape_reset(tape);
        const float *last = logits_of(tape, lm, ids, 7 + i)->data + (6 + i) * 53;
        double share = 0, sum = 0, logit = last[answer[i].id];
        for (int j = 0; j < 53; j++) share += exp(last[j] - logit), sum += last[j];
        if (!(fabs(1 / share - answer[i].probability) < 1e-6 && fabs(logit - answer[i].logit) < 2e-5 &&
              fabs(sum - answer[i].sum) < 2e-4))
            fail_msg("token %d of the answer: probability %.8f, logit %.5f, sum of all %.6f", i, 1 / share, logit, sum);
        ids[7 + i] = answer[i].id;
    }
    tp_tape_free(tape);
    tp_lm_free(lm);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_saved_computes_the_same),
        cmocka_unit_test(new_models_train_in_all_their_weights),
        cmocka_unit_test(models_are_not_made_of_blocks),
        cmocka_unit_test(a_frozen_tape_forgets_without_changing_a_bit),
        cmocka_unit_test(adjacent_pairs_are_another_order_of_rows),
        cmocka_unit_test(names_without_their_root_are_found),
        cmocka_unit_test(learned_positions_end),
        cmocka_unit_test(caches_reach_the_last_position),
        cmocka_unit_test(a_trained_gpt2_answers_as_its_readme_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
