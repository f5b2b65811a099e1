/* A tokenizer that is carried from a Hugging Face folder into a GGUF file, and back into a folder, makes the same ids
 * of 250 awkward texts on all three stations, and the same special tokens. */
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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_byte_level),
        cmocka_unit_test(test_stories_into_a_folder),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
