/* Real tokenizers: the published vectors, ids from the reference libraries, and bytes that survive. The small ones made
 * for a purpose are in test_tokenizer_small.c. */
#include "check_tokenizer.h"

#include "base/file.h"
#include "base/json.h"

static tp_tokenizer *load_shared(const char *name, const char *pattern) {
    tp_tokenizer *t = tp_tokenizer_load(check_shared(name), pattern);
    check_not_null(t);
    return t;
}

/* ---- the published vectors ---- */

static void llama2_matches_its_vectors(void **state) {
    (void)state;
    check_needs_shared("tokenizers/llama2/tokenizer.model");
    tp_tokenizer *t = load_shared("tokenizers/llama2/tokenizer.model", NULL);
    assert_vectors(t, "llama-spm");
    assert_int_equal(tp_tokenizer_size(t), 32000);
    assert_int_equal(tp_tokenizer_bos(t), 1);
    assert_int_equal(tp_tokenizer_eos(t), 2);
    assert_string_equal(tp_tokenizer_kind(t), "SentencePiece BPE");
    assert_random_round_trips(t);
    assert_text_ids(t, "Hello</s>World", TP_TOKENS_ADD_SPECIAL | TP_TOKENS_PARSE_SPECIAL, 1, 15043, 2, 2787);
    tp_tokenizer_free(t);
}

static void llama3_matches_its_vectors(void **state) {
    (void)state;
    check_needs_shared("tokenizers/llama3/tokenizer.model");
    tp_tokenizer *t = load_shared("tokenizers/llama3/tokenizer.model", "llama3");
    assert_vectors(t, "llama-bpe");
    assert_int_equal(tp_tokenizer_size(t), 128256);
    assert_int_equal(tp_tokenizer_bos(t), 128000);
    assert_int_equal(tp_tokenizer_eos(t), 128001);
    assert_true(tp_tokenizer_adds_bos(t));
    assert_string_equal(tp_tokenizer_kind(t), "byte-level BPE");
    assert_string_equal(tp_tokenizer_piece(t, 128009, NULL), "<|eot_id|>");
    assert_string_equal(tp_tokenizer_piece(t, 128255, NULL), "<|reserved_special_token_247|>");
    assert_random_round_trips(t);
    assert_text_ids(t, "Hello<|eot_id|>", TP_TOKENS_ADD_SPECIAL | TP_TOKENS_PARSE_SPECIAL, 128000, 9906, 128009);
    assert_null(tp_tokenizer_load(check_shared("tokenizers/llama3/tokenizer.model"), NULL));
    assert_non_null(strstr(tp_last_error(), "`llama3`"));
    tp_tokenizer_free(t);
}

static void qwen2_matches_its_vectors(void **state) {
    (void)state;
    check_needs_shared("tokenizers/qwen/qwen.tiktoken");
    tp_tokenizer *t = load_shared("tokenizers/qwen/qwen.tiktoken", "qwen2");
    assert_vectors(t, "qwen2");
    assert_int_equal(tp_tokenizer_eos(t), 151643);
    assert_false(tp_tokenizer_adds_bos(t));
    assert_random_round_trips(t);
    tp_tokenizer_free(t);
}

/* ---- ids from the reference libraries (tools/reference/tokenizer_reference.py) ---- */

static void assert_records(const tp_tokenizer *t, const json_t *records, unsigned flags, const char *where) {
    assert_true(json_array_size(records) > 2);
    for (size_t i = 0; i < json_array_size(records); i++) {
        const json_t *record = json_array_get(records, i), *text = json_object_get(record, "text");
        const json_t *ids = json_object_get(record, "ids");
        tp_ids expected = {0};
        for (size_t k = 0; k < json_array_size(ids); k++)
            tp_ids_append(&expected, (int32_t)json_integer_value(json_array_get(ids, k)));
        assert_ids(t, json_string_value(text), json_string_length(text), flags, expected.data, expected.len, where);
        tp_ids_free(&expected);
    }
}

static void nasty_texts_give_the_reference_ids(void **state) {
    (void)state;
    static const struct {
        const char *name, *path, *pattern;
        unsigned flags; /* `tokenizers` always parses added tokens */
    } cases[] = {{"llama2", "tokenizers/llama2/tokenizer.model", NULL, TP_TOKENS_PLAIN},
                 {"mistral_v1", "tokenizers/mistral/tokenizer.model.v1", NULL, TP_TOKENS_PLAIN},
                 {"mistral_v3", "tokenizers/mistral/mistral_instruct_tokenizer_240323.model.v3", NULL, TP_TOKENS_PLAIN},
                 {"llama3", "tokenizers/llama3/tokenizer.model", "llama3", TP_TOKENS_PLAIN},
                 {"qwen2", "tokenizers/qwen/qwen.tiktoken", "qwen2", TP_TOKENS_PLAIN},
                 {"tinystories", "models/tinystories-656k", NULL, TP_TOKENS_PARSE_SPECIAL}};
    json_t *nul = tp_json_load_file(TP_SOURCE_DIR "/tests/fixtures/text/nasty_nul.json");
    check_not_null(nul);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        check_needs_shared(cases[i].path);
        char *path = tp_format("%s/tests/fixtures/text/nasty_%s.json.gz", TP_SOURCE_DIR, cases[i].name);
        json_t *expected = tp_json_load_file(path);
        check_not_null(expected);
        tp_tokenizer *t = load_shared(cases[i].path, cases[i].pattern);
        assert_nasty_ids(t, expected, cases[i].flags, cases[i].name);
        assert_records(t, json_object_get(nul, cases[i].name), cases[i].flags, cases[i].name);
        tp_tokenizer_free(t);
        json_decref(expected);
        tp_free(path);
    }
    json_decref(nul);
}

static void tinystories_reads_as_its_card_says(void **state) {
    (void)state;
    check_needs_shared("models/tinystories-656k/tokenizer.json");
    tp_tokenizer *t = load_shared("models/tinystories-656k", NULL);
    assert_int_equal(tp_tokenizer_size(t), 2048);
    assert_int_equal(tp_tokenizer_bos(t), 1);
    assert_int_equal(tp_tokenizer_eos(t), 2);
    assert_true(tp_tokenizer_adds_bos(t));
    const int32_t start[] = {1, 147, 201, 282, 215, 286, 598};
    char *text = tp_tokenizer_decode(t, start, 7, TP_TOKENS_SKIP_SPECIAL, NULL);
    assert_string_equal(text, "Once upon a time, there was a little girl named ");
    tp_free(text);
    assert_text_ids(t, "Once upon a time, there was a little girl named ", TP_TOKENS_ADD_SPECIAL | TP_TOKENS_NO_PREFIX,
                    1, 147, 201, 282, 215, 286, 598);
    tp_tokenizer_free(t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(llama2_matches_its_vectors),         cmocka_unit_test(llama3_matches_its_vectors),
        cmocka_unit_test(qwen2_matches_its_vectors),          cmocka_unit_test(nasty_texts_give_the_reference_ids),
        cmocka_unit_test(tinystories_reads_as_its_card_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
