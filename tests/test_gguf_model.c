/* GGUF files as models: the real stories260K (whose .bin holds the same weights, and whose ids and logits are known),
 * and every family of tests/fixtures/lm exported by us, against the hidden states that transformers computed, and
 * against what llama.cpp's converter makes of the same checkpoints (tests/fixtures/gguf/models.json, made by
 * tools/reference/gguf_models.py). */
#include "check.h"

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "lm/decoder.h"
#include "lm/generate.h"
#include "lm/gguf_export.h"
#include "lm/gguf_model.h"

#include <dirent.h>
#include <math.h>
#include <zlib.h>

static char *folder;

static int make_folder(void **state) {
    (void)state;
    folder = check_temp_dir();
    return 0;
}

static int remove_folder(void **state) {
    (void)state;
    check_remove_dir(folder);
    return 0;
}

/* ---- running ---- */

/* Hidden states 0 .. n_layers and the logits of ids, one below the other: [(n_layers + 1) n d + n vocab] numbers. */
static float *run(const tp_lm *lm, const int32_t *ids, int64_t n, size_t *count) {
    tp_tape *tape = tp_tape_new(TP_MATH_F32);
    tape->frozen = true;
    int64_t offsets[2] = {0, n}, d = lm->config.d_model, v = lm->config.vocab_size;
    tp_batch batch = {.n_sequences = 1, .offsets = offsets};
    *count = (size_t)((lm->config.n_layers + 1) * n * d + n * v);
    float *out = malloc(*count * sizeof *out), *at = out;
    tp_var *x = tp_lm_embed(tape, lm, ids, n);
    for (int l = 0; l <= lm->config.n_layers; l++, at += n * d) {
        if (l > 0) x = tp_lm_blocks(tape, lm, x, &batch, l - 1, l);
        memcpy(at, x->data, (size_t)(n * d) * sizeof *at);
    }
    memcpy(at, tp_lm_logits(tape, lm, x)->data, (size_t)(n * v) * sizeof *at);
    tp_tape_free(tape);
    return out;
}

/* Largest difference, as a share of the largest expected value. */
static double difference(const float *got, const float *expected, size_t n) {
    double worst = 0, most = 1e-30;
    for (size_t i = 0; i < n; i++) {
        double d = fabs((double)got[i] - expected[i]);
        if (!(d <= worst)) worst = d; /* catches NaN as well */
        if (fabs((double)expected[i]) > most) most = fabs((double)expected[i]);
    }
    return worst / most;
}

static double compare(const tp_lm *a, const tp_lm *b) {
    assert_int_equal(a->config.vocab_size, b->config.vocab_size);
    int32_t ids[24];
    for (int i = 0; i < 24; i++) ids[i] = (i * 37 + 5) % a->config.vocab_size;
    size_t n, m;
    float *x = run(a, ids, 24, &n), *y = run(b, ids, 24, &m);
    assert_int_equal(n, m);
    double d = difference(x, y, n);
    free(x), free(y);
    return d;
}

/* ---- stories260K ---- */

static const int32_t story[] = {403, 407, 261, 378, 432, 383, 286, 261, 376, 298, 315, 421,
                                395, 317, 426, 338, 401, 396, 267, 337, 410, 408, 419, 292};

static void test_stories(void **state) {
    (void)state;
    check_needs_shared("models/stories260K/stories260Ktok512.gguf");
    tp_lm *lm = tp_lm_load(check_shared("models/stories260K/stories260Ktok512.gguf"), true);
    check_not_null(lm);
    assert_true(lm->config.rope_adjacent && lm->config.n_layers == 5 && lm->config.n_kv_heads == 4);
    const int32_t bos = 1;
    size_t n;
    float *all = run(lm, &bos, 1, &n);
    const float *logits = all + n - 512;
    const struct {
        int id;
        double logit;
    } top[] = {{403, 17.02352}, {385, 15.40621}, {410, 13.10826}, {317, 12.76917}, {407, 12.41809}};
    double sum = 0;
    for (int i = 0; i < 512; i++) sum += logits[i];
    assert_true(fabs(sum + 1070.1722) < 2e-3);
    for (int i = 0; i < 5; i++) assert_true(fabs(logits[top[i].id] - top[i].logit) < 2e-5);
    free(all);

    float row[64];
    tp_lm_embedding_row(lm, 1, row);
    const int64_t offsets[2] = {0, 1};
    tp_prompts prompts = {.rows = row, .offsets = offsets, .n = 1};
    tp_ids out = {0};
    check_ok(tp_generate_greedy(lm, TP_MATH_F32, &prompts, 24, &out));
    assert_int_equal(out.len, 24);
    assert_memory_equal(out.data, story, sizeof story);
    char *text = tp_tokenizer_decode(lm->tokenizer, out.data, out.len, 0, NULL);
    assert_non_null(strstr(text, "Once upon a time, there was a little girl named Lily."));
    tp_free(text);
    tp_ids_free(&out);
    tp_lm_free(lm);
}

/* The .bin of llama2.c: seven numbers, then the matrices of all layers, kind by kind. */
static void test_stories_equal_the_bin(void **state) {
    (void)state;
    check_needs_shared("models/stories260K/stories260K.bin");
    tp_lm *lm = tp_lm_load(check_shared("models/stories260K/stories260Ktok512.gguf"), false);
    check_not_null(lm);
    char *bytes;
    size_t n;
    check_ok(tp_read_file(check_shared("models/stories260K/stories260K.bin"), 0, &bytes, &n));
    const char *at = bytes + 28;
    assert_memory_equal(lm->embed.data, at, 512 * 64 * 4);
    assert_memory_equal(lm->head.data, at, 512 * 64 * 4);
    at += 512 * 64 * 4;
#define EACH_LAYER(field, numbers)                                                                                     \
    for (int l = 0; l < 5; l++, at += (numbers)*4) assert_memory_equal(lm->layers[l].field.data, at, (numbers)*4)
    EACH_LAYER(attn_norm, 64);
    EACH_LAYER(q, 64 * 64);
    EACH_LAYER(k, 32 * 64);
    EACH_LAYER(v, 32 * 64);
    EACH_LAYER(o, 64 * 64);
    EACH_LAYER(ffn_norm, 64);
    EACH_LAYER(gate, 172 * 64);
    EACH_LAYER(down, 64 * 172);
    EACH_LAYER(up, 172 * 64);
    assert_memory_equal(lm->final_norm.data, at, 64 * 4);
    tp_free(bytes);
    tp_lm_free(lm);
}

/* ---- families ---- */

typedef void (*family_check)(const char *name, const char *path, const char *gguf);

/* Exports every fixture checkpoint as f32 and calls `check` for those that GGUF has a way to say. */
static int each_family(family_check check) {
    int n = 0;
    DIR *dir = opendir(TP_SOURCE_DIR "/tests/fixtures/lm");
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        char path[1024], config[1100], gguf[1024];
        snprintf(path, sizeof path, "%s/tests/fixtures/lm/%.100s", TP_SOURCE_DIR, entry->d_name);
        snprintf(config, sizeof config, "%s/config.json", path);
        snprintf(gguf, sizeof gguf, "%s/%.100s.gguf", folder, entry->d_name);
        if (entry->d_name[0] == '.' || !tp_path_exists(config)) continue;
        tp_lm *lm = tp_lm_load(path, false); /* an encoder, say, is no business of this test */
        tp_lm_free(lm);
        if (lm == NULL) continue;
        tp_status status = tp_gguf_export(path, "f32", gguf, NULL);
        if (status == TP_ERR_UNSUPPORTED && strstr(tp_last_error(), "has no way to say")) {
            print_message("%s: %s\n", entry->d_name, tp_last_error());
            continue;
        }
        check_ok(status);
        check(entry->d_name, path, gguf);
        n++;
    }
    closedir(dir);
    return n;
}

static void check_against_transformers(const char *name, const char *path, const char *gguf) {
    tp_lm *lm = tp_lm_load(gguf, false);
    check_not_null(lm);
    char *expected_path = tp_path_join(path, "expected.safetensors");
    tp_safetensors *expected = tp_safetensors_open(expected_path);
    check_not_null(expected);
    for (int p = 0; p < 2; p++) {
        char key[64];
        snprintf(key, sizeof key, "input_ids_%d", p);
        const tp_st_tensor *ids = tp_safetensors_find(expected, key);
        check_not_null(ids);
        size_t n;
        float *got = run(lm, ids->data, ids->shape[0], &n), *at = got;
        for (int l = 0; l <= lm->config.n_layers + 1; l++) {
            snprintf(key, sizeof key, l <= lm->config.n_layers ? "hidden_states_%d_%d" : "logits_%d", p, l);
            const tp_st_tensor *wanted = tp_safetensors_find(expected, key);
            check_not_null(wanted);
            size_t count = wanted->n_bytes / sizeof(float);
            double d = difference(at, wanted->data, count);
            if (!(d <= 3e-5)) fail_msg("%s: %s is off by %.2e", name, key, d);
            at += count;
        }
        assert_true(at == got + n);
        free(got);
    }
    tp_safetensors_close(expected);
    tp_free(expected_path);
    tp_lm_free(lm);
}

static void test_families_match_transformers(void **state) {
    (void)state;
    assert_true(each_family(check_against_transformers) >= 3);
}

/* From GGUF back into a folder: the same model, and the weights bit for bit. */
static void check_there_and_back(const char *name, const char *path, const char *gguf) {
    tp_lm *first = tp_lm_load(path, false), *middle = tp_lm_load(gguf, false);
    check_not_null(first);
    check_not_null(middle);
    char *back = tp_path_join(folder, "back");
    check_ok(tp_lm_save(middle, back, TP_F32));
    tp_lm *last = tp_lm_load(back, false);
    check_not_null(last);
    double d = compare(first, last);
    bool same_rule = first->config.rope_scaling.kind == last->config.rope_scaling.kind;
    if (!(d <= (same_rule ? 0 : 1e-5))) fail_msg("%s: there and back again is off by %.2e", name, d);
    tp_lm_free(first), tp_lm_free(middle), tp_lm_free(last);
    char *remove = tp_format("rm -rf '%s'", back);
    assert_int_equal(system(remove), 0);
    tp_free(remove);
    tp_free(back);
}

static void test_there_and_back(void **state) {
    (void)state;
    assert_true(each_family(check_there_and_back) >= 3);
}

/* The Gemma fixtures have scales and windows that no published model has, and that GGUF cannot say: with those of the
 * published ones the folder and the GGUF file must be the same model. */
static void test_gemma(void **state) {
    (void)state;
    const char *const names[] = {"gemma2", "gemma3"};
    for (int i = 0; i < 2; i++) {
        char path[1024];
        snprintf(path, sizeof path, "%s/tests/fixtures/lm/%s", TP_SOURCE_DIR, names[i]);
        tp_lm *lm = tp_lm_load(path, false);
        check_not_null(lm);
        lm->config.query_scale = 0;
        lm->config.full_attention_every = i == 0 ? 2 : 6;
        char *usual = tp_path_join(folder, names[i]), *gguf = tp_path_join(folder, "gemma.gguf");
        check_ok(tp_lm_save(lm, usual, TP_F32));
        tp_lm_free(lm);
        check_ok(tp_gguf_export(usual, "f32", gguf, NULL));
        tp_lm *a = tp_lm_load(usual, false), *b = tp_lm_load(gguf, false);
        check_not_null(a);
        check_not_null(b);
        assert_true(b->config.sliding_window == a->config.sliding_window && b->config.sliding_window > 0);
        double d = compare(a, b);
        if (!(d <= 1e-6)) fail_msg("%s: off by %.2e", names[i], d);
        tp_lm_free(a), tp_lm_free(b);
        tp_free(usual), tp_free(gguf);
    }
}

/* ---- llama.cpp's converter ---- */

static json_t *converted; /* models.json */

static void check_tensors(const char *name, const tp_gguf *g, json_t *tensors) {
    const char *key;
    json_t *fact;
    json_object_foreach(tensors, key, fact) {
        const tp_st_tensor *t = NULL;
        for (size_t i = 0; i < tp_gguf_count(g); i++)
            if (strcmp(tp_gguf_get(g, i)->name, key) == 0) t = tp_gguf_get(g, i);
        if (t == NULL) fail_msg("%s: there is no tensor %s", name, key);
        json_t *shape = json_array_get(fact, 1);
        assert_string_equal(t->file_dtype, json_string_value(json_array_get(fact, 0)));
        assert_int_equal(t->n_dims, json_array_size(shape));
        for (int d = 0; d < t->n_dims; d++)
            assert_int_equal(t->shape[d], json_integer_value(json_array_get(shape, (size_t)d)));
        uLong crc = crc32(0, t->data, (uInt)t->n_bytes);
        bool divisors = strncmp(key, "rope_f", 6) == 0; /* rounded otherwise: compared through what they do */
        if (!divisors && crc != (uLong)json_integer_value(json_array_get(fact, 2)))
            fail_msg("%s: the bytes of %s differ from the converter's", name, key);
    }
    assert_int_equal(tp_gguf_count(g), json_object_size(tensors));
}

static void check_metadata(const char *name, const tp_gguf *g, json_t *metadata) {
    const char *key;
    json_t *wanted;
    json_object_foreach(metadata, key, wanted) {
        const tp_gguf_value *v = tp_gguf_find(g, key);
        if (strncmp(key, "tokenizer.", 10) == 0 || strcmp(key, "general.type") == 0) continue;
        if (strcmp(key, "gpt2.feed_forward_length") == 0) continue; /* it takes 4 widths, whatever `n_inner` says */
        if (v == NULL) {
            print_message("%s: the converter also writes %s\n", name, key);
            continue;
        }
        if (json_is_number(wanted) &&
            fabs(tp_gguf_real(v, 0) - json_number_value(wanted)) > 1e-6 * fabs(json_number_value(wanted)))
            fail_msg("%s: %s is %g, the converter has %g", name, key, tp_gguf_real(v, 0), json_number_value(wanted));
        if (json_is_string(wanted)) {
            size_t at = 0, len;
            const char *text = tp_gguf_next_text(v, &at, &len);
            assert_true(len == json_string_length(wanted) && memcmp(text, json_string_value(wanted), len) == 0);
        }
    }
}

static int n_converted;

static void check_against_converter(const char *name, const char *path, const char *gguf) {
    (void)path;
    json_t *facts = json_object_get(converted, name);
    if (facts == NULL) return;
    tp_gguf *g = tp_gguf_open(gguf);
    check_not_null(g);
    check_tensors(name, g, json_object_get(facts, "tensors"));
    check_metadata(name, g, json_object_get(facts, "metadata"));
    tp_gguf_close(g);
    n_converted++;
}

static void test_same_files_as_the_converter(void **state) {
    (void)state;
    converted = tp_json_load_file(TP_SOURCE_DIR "/tests/fixtures/gguf/models.json");
    check_not_null(converted);
    n_converted = 0;
    each_family(check_against_converter);
    assert_true(n_converted >= 3);
    json_decref(converted);
}

/* ---- quantised ---- */

/* A model small enough for a test and wide enough for k-quants, as a folder. */
static char *wide_folder(void) {
    tp_lm_config c = tp_lm_config_of_family(TP_LM_LLAMA);
    c.vocab_size = 64, c.d_model = 256, c.n_layers = 2, c.n_heads = 4, c.n_kv_heads = 2, c.head_dim = 64, c.d_ff = 512;
    c.dtype = TP_F32;
    tp_lm *lm = tp_lm_new(&c, 11, 0.02);
    char *path = tp_path_join(folder, "wide");
    check_ok(tp_lm_save(lm, path, TP_F32));
    tp_lm_free(lm);
    return path;
}

static void test_every_kind(void **state) {
    (void)state;
    char *path = wide_folder(), *gguf = tp_path_join(folder, "kind.gguf"), *again = tp_path_join(folder, "again.gguf");
    tp_lm *exact = tp_lm_load(path, false);
    check_not_null(exact);
    for (int i = 0; tp_gguf_kinds[i]; i++) {
        const char *kind = tp_gguf_kinds[i];
        check_ok(tp_gguf_export(path, kind, gguf, NULL));
        tp_lm *lm = tp_lm_load(gguf, false);
        check_not_null(lm);
        double d = compare(lm, exact);
        double most = strstr(kind, "q2")   ? 0.8
                      : strstr(kind, "q3") ? 0.5
                      : strstr(kind, "q4") ? 0.3
                      : strstr(kind, "q5") ? 0.15
                                           : 0.05;
        if (strcmp(kind, "keep") == 0 || strcmp(kind, "f32") == 0) most = 1e-5;
        if (!(d <= most)) fail_msg("%s: off by %g", kind, d);
        tp_dtype up = lm->layers[0].up.dtype, head = lm->head.dtype;
        if (strcmp(kind, "q4_k_m") == 0) {
            assert_true(up == TP_Q4_K && head == TP_Q6_K && lm->layers[1].down.dtype == TP_Q6_K);
            assert_int_equal(lm->layers[0].attn_norm.dtype, TP_F32);
        }
        if (strcmp(kind, "q8_0") == 0) assert_true(up == TP_Q8_0 && head == TP_Q8_0);
        tp_lm_free(lm);
        if (strcmp(kind, "f32") == 0) continue;
        /* from an f32 GGUF instead of the folder: the same bytes of every tensor */
        char *f32 = tp_path_join(folder, "f32.gguf");
        check_ok(tp_gguf_export(path, "f32", f32, NULL));
        check_ok(tp_gguf_export(f32, kind, again, NULL));
        tp_gguf *a = tp_gguf_open(gguf), *b = tp_gguf_open(again);
        check_not_null(a);
        check_not_null(b);
        assert_int_equal(tp_gguf_count(a), tp_gguf_count(b));
        for (size_t t = 0; t < tp_gguf_count(a); t++) {
            const tp_st_tensor *x = tp_gguf_get(a, t), *y = tp_gguf_get(b, t);
            assert_true(x->dtype == y->dtype && x->n_bytes == y->n_bytes);
            assert_memory_equal(x->data, y->data, x->n_bytes);
        }
        tp_gguf_close(a), tp_gguf_close(b);
        tp_free(f32);
    }
    assert_int_equal(tp_gguf_export(path, "q9", gguf, NULL), TP_ERR_ARGUMENT);
    tp_lm_free(exact);
    tp_free(path), tp_free(gguf), tp_free(again);
}

/* ---- what is refused ---- */

static void check_config_refused(const tp_gguf_pair *pairs, size_t n, const char *sentence) {
    char *path = tp_path_join(folder, "bad.gguf");
    const float numbers[8] = {0};
    const tp_st_tensor embed = {
        .name = "token_embd.weight", .dtype = TP_F32, .n_dims = 2, .shape = {2, 4}, .data = numbers, .n_bytes = 32};
    check_ok(tp_gguf_write(path, pairs, n, &embed, 1, NULL, NULL));
    assert_null(tp_lm_load(path, false));
    if (strstr(tp_last_error(), sentence) == NULL) fail_msg("`%s`: `%s` was expected", tp_last_error(), sentence);
    assert_non_null(strstr(tp_last_error(), "bad.gguf"));
    tp_free(path);
}

static void test_refusals(void **state) {
    (void)state;
    const char *mamba = "mamba", *llama = "llama", *yarn = "yarn";
    const uint32_t one = 1, two = 2, four = 4;
    tp_gguf_pair pairs[] = {
        {"general.architecture", TP_GGUF_TEXT, false, 1, &mamba, NULL},
        {"llama.block_count", TP_GGUF_U32, false, 1, &one, NULL},
        {"llama.context_length", TP_GGUF_U32, false, 1, &four, NULL},
        {"llama.embedding_length", TP_GGUF_U32, false, 1, &four, NULL},
        {"llama.feed_forward_length", TP_GGUF_U32, false, 1, &four, NULL},
        {"llama.attention.head_count", TP_GGUF_U32, false, 1, &two, NULL},
        {"llama.expert_count", TP_GGUF_U32, false, 1, &two, NULL},
    };
    check_config_refused(pairs, 7, "`general.architecture` is \"mamba\", supported are llama, qwen2");
    pairs[0].data = &llama;
    check_config_refused(pairs, 7, "mixture of experts");
    pairs[6] = (tp_gguf_pair){"llama.rope.scaling.type", TP_GGUF_TEXT, false, 1, &yarn, NULL};
    check_config_refused(pairs, 7, "`rope.scaling.type` is \"yarn\"");
    pairs[6] = (tp_gguf_pair){"split.count", TP_GGUF_U32, false, 1, &two, NULL};
    check_config_refused(pairs, 7, "one of several parts");
    check_config_refused(pairs, 6, "has no tensor `blk.0.attn_norm.weight`");
    check_config_refused(pairs, 5, "the metadata has no `llama.attention.head_count`");
    check_config_refused(pairs + 1, 5, "the metadata has no `general.architecture`");
    pairs[1].data = &llama, pairs[1].type = TP_GGUF_TEXT;
    check_config_refused(pairs, 6, "`llama.block_count` is text, a whole number was expected");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stories),
        cmocka_unit_test(test_stories_equal_the_bin),
        cmocka_unit_test(test_families_match_transformers),
        cmocka_unit_test(test_there_and_back),
        cmocka_unit_test(test_gemma),
        cmocka_unit_test(test_same_files_as_the_converter),
        cmocka_unit_test(test_every_kind),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
