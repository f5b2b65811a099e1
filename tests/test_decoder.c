/* lm/decoder against Hugging Face transformers: hidden states of every layer, logits and input gradients of each family
 * (tests/fixtures/lm, made by tools/reference/make_lm_fixtures.py), and what must hold between ways of running. */
#include "check.h"

#include "lm/decoder.h"

#include <math.h>

static const char *const families[] = {"llama2", "llama3_1", "mistral", "qwen2", "qwen3",       "gemma2",
                                       "gemma3", "phi3",     "gpt2",    "neox",  "neox_serial", NULL};

static tp_lm *load(const char *family, tp_safetensors **expected) {
    char path[1024];
    snprintf(path, sizeof path, "%s/tests/fixtures/lm/%s", TP_SOURCE_DIR, family);
    tp_lm *lm = tp_lm_load(path, false);
    check_not_null(lm);
    snprintf(path, sizeof path, "%s/tests/fixtures/lm/%s/expected.safetensors", TP_SOURCE_DIR, family);
    *expected = tp_safetensors_open(path);
    check_not_null(*expected);
    return lm;
}

static const tp_st_tensor *find(const tp_safetensors *st, const char *format, int i, int l) {
    char name[64];
    snprintf(name, sizeof name, format, i, l);
    const tp_st_tensor *t = tp_safetensors_find(st, name);
    check_not_null(t);
    return t;
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

static void check_close(const char *family, const char *what, int i, const float *got, const tp_st_tensor *expected,
                        double tolerance) {
    int64_t n = expected->shape[0] * expected->shape[1];
    double d = difference(got, expected->data, n);
    if (!(d <= tolerance)) fail_msg("%s: %s of prompt %d is off by %.2e (allowed %.1e)", family, what, i, d, tolerance);
}

static void check_family(const char *family, tp_math math, double tolerance, double gradient_tolerance) {
    tp_safetensors *expected;
    tp_lm *lm = load(family, &expected);
    tp_tape *tape = tp_tape_new(math);
    for (int i = 0; i < 2; i++) {
        const tp_st_tensor *ids = find(expected, "input_ids_%d", i, 0);
        int64_t n = ids->shape[0], offsets[2] = {0, n};
        tp_batch batch = {.n_sequences = 1, .offsets = offsets};
        tp_tape_reset(tape);
        tp_var *embedded = tp_lm_embed(tape, lm, ids->data, n);
        tp_var *input = tp_var_leaf(tape, embedded->data, n, lm->config.d_model), *x = input;
        for (int l = 0; l <= lm->config.n_layers; l++) {
            if (l > 0) x = tp_lm_blocks(tape, lm, x, &batch, l - 1, l);
            check_close(family, "a hidden state", i, x->data, find(expected, "hidden_states_%d_%d", i, l), tolerance);
        }
        tp_var *logits = tp_lm_logits(tape, lm, x);
        check_close(family, "the logits", i, logits->data, find(expected, "logits_%d", i, 0), tolerance);
        float weights[64] = {0};
        int32_t targets[64] = {0};
        for (int64_t j = 0; j + 1 < n; j++) weights[j] = 1, targets[j] = ((const int32_t *)ids->data)[j + 1];
        tp_var *loss = tp_cross_entropy(tape, logits, targets, weights, NULL);
        float wanted = *(const float *)find(expected, "loss_%d", i, 0)->data;
        assert_true(fabs(loss->data[0] - wanted) <= tolerance * wanted);
        tp_backward(tape, loss, 1.0f);
        check_close(family, "the input gradient", i, input->grad, find(expected, "input_embeds_grad_%d", i, 0),
                    gradient_tolerance);
        for (size_t w = 0; w < 1; w++) assert_null(lm->layers[0].q.grad); /* frozen weights have no gradient */
    }
    tp_tape_free(tape);
    tp_safetensors_close(expected);
    tp_lm_free(lm);
}

static void families_match_transformers_in_f32(void **state) {
    (void)state;
    for (int f = 0; families[f]; f++) check_family(families[f], TP_MATH_F32, 2e-5, 1e-4);
}

static void families_match_transformers_in_bf16(void **state) {
    (void)state;
    for (int f = 0; families[f]; f++) {
        /* LongRoPE's amplitude doubles Phi-3's scores, and with them what rounding does to them */
        double factor = strcmp(families[f], "phi3") == 0 ? 1.5 : 1;
        check_family(families[f], TP_MATH_BF16, factor * 2e-2, factor * 6e-2);
    }
}

/* The same text as ids and as its own embedding rows: bit for bit the same logits. */
static void embedding_rows_give_the_bits_of_ids(void **state) {
    (void)state;
    for (int f = 0; families[f]; f++) {
        tp_safetensors *expected;
        tp_lm *lm = load(families[f], &expected);
        tp_tape *tape = tp_tape_new(TP_MATH_F32);
        tape->frozen = true;
        const tp_st_tensor *ids = find(expected, "input_ids_%d", 0, 0);
        int64_t n = ids->shape[0], offsets[2] = {0, n}, d = lm->config.d_model;
        tp_batch batch = {.n_sequences = 1, .offsets = offsets};
        float *rows = tp_alloc((size_t)(n * d) * sizeof(float));
        for (int64_t i = 0; i < n; i++) tp_lm_embedding_row(lm, ((const int32_t *)ids->data)[i], rows + i * d);
        int layers = lm->config.n_layers;
        tp_var *a =
            tp_lm_logits(tape, lm, tp_lm_blocks(tape, lm, tp_lm_embed(tape, lm, ids->data, n), &batch, 0, layers));
        tp_var *b = tp_lm_logits(tape, lm, tp_lm_blocks(tape, lm, tp_var_wrap(tape, rows, n, d), &batch, 0, layers));
        assert_memory_equal(a->data, b->data, (size_t)(n * lm->config.vocab_size) * sizeof(float));
        tp_free(rows);
        tp_tape_free(tape);
        tp_safetensors_close(expected);
        tp_lm_free(lm);
    }
}

/* Two prompts in one ragged batch, with and without a cache fed piece by piece, equal each prompt alone. */
static void ragged_and_cached_equal_one_at_a_time(void **state) {
    (void)state;
    for (int f = 0; families[f]; f++) {
        tp_safetensors *expected;
        tp_lm *lm = load(families[f], &expected);
        tp_tape *tape = tp_tape_new(TP_MATH_F32);
        tape->frozen = true;
        const tp_st_tensor *ids[2] = {find(expected, "input_ids_%d", 0, 0), find(expected, "input_ids_%d", 1, 0)};
        int64_t n0 = ids[0]->shape[0], n1 = ids[1]->shape[0], offsets[3] = {0, n0, n0 + n1};
        int32_t both[128];
        memcpy(both, ids[0]->data, (size_t)n0 * 4);
        memcpy(both + n0, ids[1]->data, (size_t)n1 * 4);
        int layers = lm->config.n_layers;
        int64_t v = lm->config.vocab_size;
        tp_batch batch = {.n_sequences = 2, .offsets = offsets};
        tp_var *x = tp_lm_blocks(tape, lm, tp_lm_embed(tape, lm, both, n0 + n1), &batch, 0, layers);
        tp_var *logits = tp_lm_logits(tape, lm, x);
        const float *wanted[2] = {find(expected, "logits_%d", 0, 0)->data, find(expected, "logits_%d", 1, 0)->data};
        assert_true(difference(logits->data, wanted[0], n0 * v) < 2e-5);
        assert_true(difference(logits->data + n0 * v, wanted[1], n1 * v) < 2e-5);

        tp_kv_cache *cache = tp_kv_cache_new(lm, 3, n0 + 3);
        check_not_null(cache);
        int64_t done[2] = {0, 0}, lengths[2] = {n0, n1}, slots[2] = {2, 0};
        for (int round = 0; done[0] < n0 || done[1] < n1; round++) { /* pieces of 1, 2, 3, 4, 5, 1, ... rows */
            int32_t piece[64];
            int64_t at[3] = {0}, which[2], n_sequences = 0, used[2];
            for (int s = 0; s < 2; s++) {
                int64_t n = 1 + (round + s) % 5;
                if (n > lengths[s] - done[s]) n = lengths[s] - done[s];
                if (n == 0) continue;
                memcpy(piece + at[n_sequences], (const int32_t *)ids[s]->data + done[s], (size_t)n * 4);
                used[n_sequences] = slots[s];
                which[n_sequences++] = s;
                at[n_sequences] = at[n_sequences - 1] + n;
            }
            tp_tape_reset(tape);
            tp_batch some = {.n_sequences = n_sequences, .offsets = at, .cache = cache, .slots = used};
            tp_var *h = tp_lm_blocks(tape, lm, tp_lm_embed(tape, lm, piece, at[n_sequences]), &some, 0, layers);
            tp_var *out = tp_lm_logits(tape, lm, h);
            for (int64_t j = 0; j < n_sequences; j++) {
                int64_t s = which[j], n = at[j + 1] - at[j];
                double off = difference(out->data + at[j] * v, wanted[s] + done[s] * v, n * v);
                /* LongRoPE: the cache turns as its capacity says, whole texts as their length does */
                if (tp_lm_turns_long(&lm->config, cache->capacity) != tp_lm_turns_long(&lm->config, lengths[s]))
                    assert_true(off > 1e-3);
                else if (!(off < 2e-5))
                    fail_msg("%s: row %lld of prompt %lld is off by %.2e", families[f], (long long)done[s],
                             (long long)s, off);
                done[s] += n;
            }
        }
        assert_int_equal(cache->lengths[2], n0);
        tp_kv_cache_copy(cache, 2, 1);
        assert_int_equal(cache->lengths[1], n0);
        tp_kv_cache_free(cache);
        tp_tape_free(tape);
        tp_safetensors_close(expected);
        tp_lm_free(lm);
    }
}

/* A new model saved and loaded again computes what it did; its weights train. */
static void a_new_model_trains_and_survives_saving(void **state) {
    (void)state;
    tp_lm_config config = {.family = TP_LM_LLAMA,
                           .vocab_size = 50,
                           .d_model = 24,
                           .n_layers = 2,
                           .n_heads = 4,
                           .n_kv_heads = 2,
                           .head_dim = 6,
                           .d_ff = 40,
                           .norm_eps = 1e-5,
                           .rope_theta = 1e4,
                           .max_position_embeddings = 64,
                           .tie_word_embeddings = true,
                           .bos_id = 1,
                           .n_eos = 1,
                           .eos_ids = {2},
                           .dtype = TP_F32};
    tp_lm *lm = tp_lm_new(&config, 7, 0.02);
    tp_tape *tape = tp_tape_new(TP_MATH_F32);
    int32_t ids[12] = {3, 9, 4, 9, 4, 9, 4, 9, 4, 9, 4, 9};
    int64_t offsets[2] = {0, 11};
    tp_batch batch = {.n_sequences = 1, .offsets = offsets};
    double first = 0, last = 0;
    for (int step = 0; step < 60; step++) {
        tp_tape_reset(tape);
        tp_var *x = tp_lm_blocks(tape, lm, tp_lm_embed(tape, lm, ids, 11), &batch, 0, 2);
        tp_var *loss = tp_cross_entropy(tape, tp_lm_logits(tape, lm, x), ids + 1, NULL, NULL);
        tp_backward(tape, loss, 1.0f);
        for (size_t i = 0; i < lm->params.n; i++)
            for (int64_t j = 0; j < lm->params.items[i]->rows * lm->params.items[i]->cols; j++)
                tp_weight_values(lm->params.items[i])[j] -= 0.5f * lm->params.items[i]->grad[j];
        tp_params_zero_grad(&lm->params);
        last = loss->data[0];
        if (step == 0) first = last;
    }
    assert_true(first > 3.5 && last < 1.0);
    char *dir = check_temp_dir();
    check_ok(tp_lm_save(lm, dir, TP_F32));
    tp_lm *again = tp_lm_load(dir, false);
    check_not_null(again);
    tape->frozen = true;
    tp_var *a = tp_lm_logits(tape, lm, tp_lm_blocks(tape, lm, tp_lm_embed(tape, lm, ids, 11), &batch, 0, 2));
    tp_var *b = tp_lm_logits(tape, again, tp_lm_blocks(tape, again, tp_lm_embed(tape, again, ids, 11), &batch, 0, 2));
    assert_memory_equal(a->data, b->data, 11 * 50 * sizeof(float));
    assert_int_equal(tp_lm_n_parameters(lm), tp_lm_n_parameters(again));
    assert_int_equal(strlen(again->fingerprint), 32);
    tp_lm_free(again);
    tp_lm_free(lm);
    tp_tape_free(tape);
    check_remove_dir(dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(families_match_transformers_in_f32),
        cmocka_unit_test(families_match_transformers_in_bf16),
        cmocka_unit_test(embedding_rows_give_the_bits_of_ids),
        cmocka_unit_test(ragged_and_cached_equal_one_at_a_time),
        cmocka_unit_test(a_new_model_trains_and_survives_saving),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
