/* models/wren and models/finch against Hugging Face transformers (tools/reference/make_pair_fixtures.py): the folders
 * that `telepathy pretrain` wrote are normal ones, and their tokenizers encode as the `tokenizers` library does. */
#include "check.h"

#include "base/file.h"
#include "base/json.h"
#include "lm/decoder.h"

#include <math.h>

static const char *const names[] = {"wren", "finch", NULL};

static tp_lm *load(const char *name) {
    char path[1024];
    snprintf(path, sizeof path, "%s/models/%s", TP_SOURCE_DIR, name);
    tp_lm *lm = tp_lm_load(path, true);
    check_not_null(lm);
    return lm;
}

static double difference(const float *got, const tp_st_tensor *expected) {
    double worst = 0, most = 1e-30;
    const float *wanted = expected->data;
    for (size_t i = 0; i < expected->n_bytes / sizeof(float); i++) {
        double d = fabs((double)got[i] - wanted[i]);
        if (!(d <= worst)) worst = d;
        if (fabs((double)wanted[i]) > most) most = fabs((double)wanted[i]);
    }
    return worst / most;
}

static void the_pair_computes_what_transformers_computes(void **state) {
    (void)state;
    for (int i = 0; names[i]; i++) {
        tp_lm *lm = load(names[i]);
        char path[1024];
        snprintf(path, sizeof path, "%s/tests/fixtures/pair/%s.safetensors", TP_SOURCE_DIR, names[i]);
        tp_safetensors *st = tp_safetensors_open(path);
        check_not_null(st);
        const tp_st_tensor *ids = tp_safetensors_find(st, "input_ids"), *logits = tp_safetensors_find(st, "logits");
        const tp_st_tensor *hidden = tp_safetensors_find(st, "hidden"), *loss = tp_safetensors_find(st, "loss");
        assert_true(ids && logits && hidden && loss);
        int64_t n = ids->shape[0], offsets[2] = {0, n};
        int half = lm->config.n_layers / 2, all = lm->config.n_layers;
        tp_batch batch = {.n_sequences = 1, .offsets = offsets};
        tp_tape *tape = tp_tape_new(TP_MATH_F32);
        tape->frozen = true;
        tp_var *x = tp_lm_blocks(tape, lm, tp_lm_embed(tape, lm, ids->data, n), &batch, 0, half);
        assert_true(difference(x->data, hidden) < 2e-5);
        tp_var *out = tp_lm_logits(tape, lm, tp_lm_blocks(tape, lm, x, &batch, half, all));
        assert_true(difference(out->data + (n - 4) * out->cols, logits) < 2e-5);
        float weights[256] = {0};
        int32_t targets[256] = {0};
        assert_true(n < 256);
        for (int64_t j = 0; j + 1 < n; j++) weights[j] = 1, targets[j] = ((const int32_t *)ids->data)[j + 1];
        double got = tp_cross_entropy(tape, out, targets, weights, NULL)->data[0];
        assert_true(fabs(got - *(const float *)loss->data) < 1e-4);
        tp_tape_free(tape);
        tp_safetensors_close(st);
        tp_lm_free(lm);
    }
}

static void their_tokenizers_encode_as_the_reference(void **state) {
    (void)state;
    for (int i = 0; names[i]; i++) {
        tp_lm *lm = load(names[i]);
        char path[1024];
        snprintf(path, sizeof path, "%s/tests/fixtures/pair/%s.json", TP_SOURCE_DIR, names[i]);
        json_t *texts = tp_json_load_file(path), *item;
        check_not_null(texts);
        size_t k;
        assert_true(json_array_size(texts) > 10);
        json_array_foreach(texts, k, item) {
            json_t *text = json_object_get(item, "text"), *wanted = json_object_get(item, "ids");
            tp_ids ids = {0};
            check_ok(tp_tokenizer_encode(lm->tokenizer, json_string_value(text), json_string_length(text),
                                         TP_TOKENS_PLAIN, &ids));
            assert_int_equal(ids.len, json_array_size(wanted));
            for (size_t j = 0; j < ids.len; j++)
                assert_int_equal(ids.data[j], json_integer_value(json_array_get(wanted, j)));
            char *back = tp_tokenizer_decode(lm->tokenizer, ids.data, ids.len, TP_TOKENS_PLAIN, NULL);
            assert_string_equal(back, json_string_value(text));
            tp_free(back);
            tp_ids_free(&ids);
        }
        json_decref(texts);
        tp_lm_free(lm);
    }
}

/* What the issue asks of the pair: nothing in common, and small. */
static void the_two_share_nothing(void **state) {
    (void)state;
    tp_lm *wren = load("wren"), *finch = load("finch");
    const tp_lm_config *a = &wren->config, *b = &finch->config;
    assert_true(a->family == TP_LM_LLAMA && b->family == TP_LM_MISTRAL);
    assert_true(a->vocab_size != b->vocab_size && a->d_model != b->d_model && a->rope_theta != b->rope_theta);
    assert_true(a->tie_word_embeddings && !b->tie_word_embeddings && b->sliding_window > 0 && a->sliding_window == 0);
    assert_true(a->n_kv_heads < a->n_heads);
    assert_string_not_equal(tp_tokenizer_kind(wren->tokenizer), tp_tokenizer_kind(finch->tokenizer));
    double ratio = tp_lm_embedding_rms(wren) / tp_lm_embedding_rms(finch);
    assert_true(ratio > 1.3 || ratio < 1 / 1.3);
    assert_true(2 * (tp_lm_n_parameters(wren) + tp_lm_n_parameters(finch)) < 30 << 20);
    tp_lm_free(wren);
    tp_lm_free(finch);
}

/* A trained bridge names its models by fingerprint: one that changes between two versions of the program makes every
 * bridge that anybody has trained useless. If this fails, mend the fingerprint, not the test. */
static void their_fingerprints_stay(void **state) {
    (void)state;
    static const char *const models[] = {"be1402695b8db5d29bc9597f829d3d74", "83e21d37506912176210f837ddf50dd7"};
    static const char *const tokenizers[] = {"036684282139c9f408cd1919dd8832fb", "e2697ef34229131c55e92444f6123330"};
    for (int i = 0; names[i]; i++) {
        tp_lm *lm = load(names[i]);
        assert_string_equal(lm->fingerprint, models[i]);
        assert_string_equal(tp_tokenizer_fingerprint(lm->tokenizer), tokenizers[i]);
        tp_lm_free(lm);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_pair_computes_what_transformers_computes),
        cmocka_unit_test(their_tokenizers_encode_as_the_reference),
        cmocka_unit_test(the_two_share_nothing),
        cmocka_unit_test(their_fingerprints_stay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
