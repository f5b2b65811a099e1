/* A tokenizer that is carried from a Hugging Face folder into a GGUF file, and back into a folder, makes the same ids
 * of 250 awkward texts on all three stations, and the same special tokens. Unigram and WordPiece, for which GGUF has
 * one pipeline each, make the same but for a counted few; what it cannot say is refused. */
#include "check.h"

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "lm/gguf_export.h"
#include "lm/hf_export.h"
#include "lm/model.h"

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

/* How many texts the two make other ids of. */
static int differences(const tp_tokenizer *a, const tp_tokenizer *b, unsigned flags) {
    json_t *texts = tp_json_load_file(TP_SOURCE_DIR "/tests/fixtures/text/kinds/texts.json.gz");
    check_not_null(texts);
    assert_true(json_is_array(texts) && json_array_size(texts) >= 200);
    size_t i;
    json_t *text;
    int wrong = 0;
    json_array_foreach(texts, i, text) {
        tp_ids x = {0}, y = {0};
        check_ok(tp_tokenizer_encode(a, json_string_value(text), json_string_length(text), flags, &x));
        check_ok(tp_tokenizer_encode(b, json_string_value(text), json_string_length(text), flags, &y));
        bool same = x.len == y.len && (x.len == 0 || memcmp(x.data, y.data, x.len * sizeof *x.data) == 0);
        if (!same) print_message("text %zu differs: \"%.60s\"\n", i, json_string_value(text));
        wrong += !same;
        tp_ids_free(&x);
        tp_ids_free(&y);
    }
    json_decref(texts);
    return wrong;
}

static void check_same(const char *model, const char *other) {
    tp_tokenizer *a = tp_lm_load_tokenizer(model), *b = tp_lm_load_tokenizer(other);
    check_not_null(a);
    check_not_null(b);
    assert_int_equal(tp_tokenizer_size(a), tp_tokenizer_size(b));
    assert_int_equal(tp_tokenizer_bos(a), tp_tokenizer_bos(b));
    assert_int_equal(tp_tokenizer_eos(a), tp_tokenizer_eos(b));
    assert_int_equal(tp_tokenizer_adds_bos(a), tp_tokenizer_adds_bos(b));
    assert_int_equal(differences(a, b, 0), 0);
    assert_int_equal(differences(a, b, TP_TOKENS_ADD_SPECIAL | TP_TOKENS_PARSE_SPECIAL), 0);
    tp_tokenizer_free(a);
    tp_tokenizer_free(b);
}

static void carry(const char *model) {
    char *gguf = tp_path_join(folder, "model.gguf"), *back = tp_path_join(folder, "back");
    check_ok(tp_gguf_export(model, "keep", gguf, NULL));
    check_same(model, gguf);
    check_ok(tp_hf_export(gguf, "keep", back));
    check_same(model, back);
    tp_lm *first = tp_lm_load(model, false), *last = tp_lm_load(back, false); /* the weights, to the byte */
    check_not_null(first);
    check_not_null(last);
    assert_string_equal(first->fingerprint, last->fingerprint);
    tp_lm_free(first);
    tp_lm_free(last);
    tp_free(gguf);
    tp_free(back);
}

static void test_byte_level(void **state) {
    (void)state;
    carry(TP_SOURCE_DIR "/models/wren");
    carry(TP_SOURCE_DIR "/models/finch");
}

static void test_stories_into_a_folder(void **state) {
    (void)state;
    check_needs_shared("models/stories260K/stories260Ktok512.gguf");
    char *gguf = tp_strdup(check_shared("models/stories260K/stories260Ktok512.gguf"));
    char *back = tp_path_join(folder, "stories");
    check_ok(tp_hf_export(gguf, "keep", back));
    check_same(gguf, back);
    tp_free(gguf);
    tp_free(back);
}

/* ---- Unigram and WordPiece ---- */

/* A folder with a little model around the tokenizer of tests/fixtures/text/kinds; free the path. */
static char *model_around(const char *kind, const char *config) {
    char *fixture = tp_format(TP_SOURCE_DIR "/tests/fixtures/text/kinds/%s.json.gz", kind);
    char *out = tp_path_join(folder, kind), *path = tp_path_join(out, "tokenizer.json");
    json_t *value = tp_json_load_file(fixture);
    check_not_null(value);
    check_ok(tp_make_dirs(out));
    check_ok(tp_json_save_file(json_object_get(value, "tokenizer"), path));
    json_decref(value);
    tp_free(path);
    path = tp_path_join(out, "tokenizer_config.json");
    check_ok(tp_write_file(path, config, strlen(config)));
    tp_tokenizer *t = tp_tokenizer_load(out, NULL);
    check_not_null(t);
    tp_lm_config c = {.family = TP_LM_LLAMA,
                      .vocab_size = tp_tokenizer_size(t) + 3, /* rows that no text leads to */
                      .d_model = 8,
                      .n_layers = 1,
                      .n_heads = 2,
                      .n_kv_heads = 2,
                      .head_dim = 4,
                      .d_ff = 8,
                      .norm_eps = 1e-5,
                      .rope_theta = 1e4,
                      .max_position_embeddings = 32,
                      .tie_word_embeddings = true,
                      .bos_id = -1,
                      .dtype = TP_F32};
    tp_lm *lm = tp_lm_new(&c, 1, 0.1);
    check_ok(tp_lm_save(lm, out, TP_F32));
    tp_lm_free(lm);
    tp_tokenizer_free(t);
    tp_free(path);
    tp_free(fixture);
    return out;
}

/* `apart` texts of the 250 may differ: those that docs/tokenizers.md tells of. */
static void carried_but_for(const char *kind, const char *config, int apart, int apart_with_specials, int back_apart) {
    char *model = model_around(kind, config), *gguf = tp_path_join(folder, "pieces.gguf");
    char *back = tp_path_join(folder, "pieces");
    check_ok(tp_gguf_export(model, "q8_0", gguf, NULL));
    tp_tokenizer *a = tp_lm_load_tokenizer(model), *b = tp_lm_load_tokenizer(gguf);
    check_not_null(a);
    check_not_null(b);
    assert_int_equal(tp_tokenizer_size(a) + 3, tp_tokenizer_size(b));
    assert_string_equal(tp_tokenizer_kind(a), tp_tokenizer_kind(b));
    assert_int_equal(differences(a, b, 0), apart);
    assert_int_equal(differences(a, b, TP_TOKENS_ADD_SPECIAL | TP_TOKENS_PARSE_SPECIAL), apart_with_specials);
    for (int32_t i = 0; i < tp_tokenizer_size(a); i++)
        assert_int_equal(tp_tokenizer_is_special(a, i), tp_tokenizer_is_special(b, i));
    check_ok(tp_hf_export(gguf, "keep", back));
    tp_lm *lm = tp_lm_load(back, true); /* the whole model */
    check_not_null(lm);
    assert_string_equal(tp_tokenizer_kind(a), tp_tokenizer_kind(lm->tokenizer));
    assert_int_equal(differences(a, lm->tokenizer, 0), back_apart);
    assert_int_equal(differences(a, lm->tokenizer, TP_TOKENS_ADD_SPECIAL | TP_TOKENS_PARSE_SPECIAL), back_apart);
    tp_lm_free(lm);
    tp_tokenizer_free(a);
    tp_tokenizer_free(b);
    tp_free(back);
    tp_free(gguf);
    tp_free(model);
}

static void test_unigram_into_gguf(void **state) {
    (void)state;
    carried_but_for("t5", "{\"eos_token\": \"</s>\"}", 12, 12, 5);
}

static void test_wordpiece_into_gguf(void **state) {
    (void)state;
    carried_but_for("bert", "{}", 7, 7, 0);
    carried_but_for("bert_cased", "{}", 5, 5, 0);
}

static void test_what_gguf_cannot_say_is_refused(void **state) {
    (void)state;
    static const char *const cases[][2] = {{"albert", "normalises texts by `Replace`"},
                                           {"unigram_bytes", "`byte_fallback`"},
                                           {"clip", "`model.end_of_word_suffix` of a BPE is set"},
                                           {"prefixed", "`model.continuing_subword_prefix` of a BPE is set"}};
    char *gguf = tp_path_join(folder, "none.gguf");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *model = model_around(cases[i][0], "{}");
        assert_int_equal(tp_gguf_export(model, "keep", gguf, NULL), TP_ERR_UNSUPPORTED);
        if (strstr(tp_last_error(), cases[i][1]) == NULL) fail_msg("%s: %s", cases[i][0], tp_last_error());
        assert_false(tp_path_exists(gguf));
        tp_free(model);
    }
    tp_free(gguf);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_byte_level),
        cmocka_unit_test(test_stories_into_a_folder),
        cmocka_unit_test(test_unigram_into_gguf),
        cmocka_unit_test(test_wordpiece_into_gguf),
        cmocka_unit_test(test_what_gguf_cannot_say_is_refused),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
