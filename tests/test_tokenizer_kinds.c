/* Every kind of tokenizer against its reference implementation: small vocabularies of our own, 250 awkward texts, and
 * the ids that tokenizers, sentencepiece and tiktoken give them (tools/reference/tokenizer_kinds.py). */
#include "check_tokenizer.h"

#include "base/json.h"
#include "base/str.h"

#define KINDS TP_SOURCE_DIR "/tests/fixtures/text/kinds/"

static json_t *load_json(const char *name, const char *extension) {
    char *path = tp_format(KINDS "%s%s", name, extension);
    json_t *value = tp_json_load_file(path);
    check_not_null(value);
    tp_free(path);
    return value;
}

static void assert_decoded(const tp_tokenizer *t, const json_t *kind, const char *name) {
    const json_t *ids = json_object_get(kind, "ids"), *expected = json_object_get(kind, "decoded");
    for (size_t i = 0; i < json_array_size(expected); i++) {
        tp_ids given = ids_of(json_array_get(ids, i));
        const json_t *want = json_array_get(expected, i);
        char *found = tp_tokenizer_decode(t, given.data, given.len, 0, NULL);
        if (strcmp(found, json_string_value(want)) != 0)
            fail_msg("%s: text %zu decodes to `%s`, not `%s`", name, i, found, json_string_value(want));
        tp_free(found);
        tp_ids_free(&given);
    }
}

/* ---- tokenizer.json ---- */

static tp_tokenizer *load_object(const json_t *object) {
    char *text = json_dumps(object, JSON_COMPACT | JSON_REAL_PRECISION(17));
    tp_tokenizer *t = load_bytes("tokenizer.json", text, strlen(text), NULL);
    free(text);
    check_not_null(t);
    return t;
}

static void check_hugging_face(const char *name, bool keeps_bytes) {
    json_t *kind = load_json(name, ".json.gz");
    tp_tokenizer *t = load_object(json_object_get(kind, "tokenizer"));
    assert_nasty_ids(t, json_object_get(kind, "ids"), TP_TOKENS_PARSE_SPECIAL, name);
    tp_ids special = ids_of(json_object_get(kind, "special_ids"));
    assert_ids(t, "a boat", 6, TP_TOKENS_ADD_SPECIAL, special.data, special.len, name);
    tp_ids_free(&special);
    assert_decoded(t, kind, name);
    if (keeps_bytes) assert_random_round_trips(t);
    tp_tokenizer_free(t);
    json_decref(kind);
}

static void byte_level_bpe(void **state) {
    (void)state;
    static const char *const names[] = {"gpt2", "llama3", "o200k", "starcoder"};
    for (int i = 0; i < 4; i++) check_hugging_face(names[i], true);
    check_hugging_face("roberta", false); /* its prefix is not taken away again */
    check_hugging_face("qwen2", false);   /* NFC */
    check_hugging_face("neox", false);
}

static void byte_fallback_bpe(void **state) {
    (void)state;
    check_hugging_face("llama2", true);
    check_hugging_face("gemma", true);
}

static void metaspace_bpe(void **state) {
    (void)state;
    check_hugging_face("metaspace_first", false);
    check_hugging_face("metaspace_always", false);
    check_hugging_face("metaspace_never", false);
}

static void word_bpe(void **state) {
    (void)state;
    check_hugging_face("words", false);
    check_hugging_face("splits", false);
}

static void wordpiece(void **state) {
    (void)state;
    check_hugging_face("bert", false);
    check_hugging_face("bert_cased", false);
}

static void unigram(void **state) {
    (void)state;
    check_hugging_face("t5", false);
    check_hugging_face("albert", false);
    check_hugging_face("unigram_bytes", false);
}

static void symbols_by_their_place(void **state) {
    (void)state;
    check_hugging_face("clip", false);
    check_hugging_face("gpt1", false);
    check_hugging_face("prefixed", false);
}

static void runs_of_one_script(void **state) {
    (void)state;
    check_hugging_face("scripts", false);
}

/* ---- SentencePiece and tiktoken ---- */

static void check_file(const char *name, const char *extension, const char *pattern, bool keeps_bytes) {
    char *path = tp_format(KINDS "%s%s", name, extension);
    char *ids = tp_format("%s%s%s", name, pattern ? "." : "", pattern ? pattern : "");
    json_t *expected = load_json(ids, ".ids.json.gz");
    tp_tokenizer *t = tp_tokenizer_load(path, pattern);
    check_not_null(t);
    assert_nasty_ids(t, expected, TP_TOKENS_PLAIN, ids);
    if (keeps_bytes) assert_random_round_trips(t);
    tp_tokenizer_free(t);
    json_decref(expected);
    tp_free(path);
    tp_free(ids);
}

static void sentencepiece(void **state) {
    (void)state;
    check_file("sp_unigram", ".model", NULL, false);
    check_file("sp_unigram_bytes", ".model", NULL, true);
    check_file("sp_bpe", ".model", NULL, false);
    check_file("sp_bpe_bytes", ".model", NULL, true);
}

static void tiktoken(void **state) {
    (void)state;
    check_file("ranks", ".tiktoken", "gpt2", true);
    check_file("ranks", ".tiktoken", "o200k", true);
    check_file("ranks", ".tiktoken", "qwen2", true);
    check_file("ranks", ".tiktoken", "llama3", true);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(byte_level_bpe),
        cmocka_unit_test(byte_fallback_bpe),
        cmocka_unit_test(metaspace_bpe),
        cmocka_unit_test(word_bpe),
        cmocka_unit_test(wordpiece),
        cmocka_unit_test(unigram),
        cmocka_unit_test(sentencepiece),
        cmocka_unit_test(tiktoken),
        cmocka_unit_test(symbols_by_their_place),
        cmocka_unit_test(runs_of_one_script),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
