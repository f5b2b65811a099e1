/* The vocabularies inside GGUF files: the published vectors, and what a file may say or get wrong. */
#include "check_tokenizer.h"
#include "gguf_vocab_file.h"

#include "lm/model.h"

#define TEXT TP_SOURCE_DIR "/tests/fixtures/text/"

static void check_nasty(const tp_tokenizer *t, const char *name) {
    char *path = tp_format(TEXT "%s.json.gz", name);
    json_t *expected = tp_json_load_file(path);
    check_not_null(expected);
    assert_nasty_ids(t, expected, TP_TOKENS_PLAIN, name);
    json_decref(expected);
    tp_free(path);
}

static void llama_spm_matches_its_vectors(void **state) {
    (void)state;
    check_needs_shared("tokenizers/ggml-vocab-llama-spm.gguf");
    tp_tokenizer *t = load_gguf_vocab(check_shared("tokenizers/ggml-vocab-llama-spm.gguf"));
    check_not_null(t);
    assert_vectors(t, "llama-spm");
    check_nasty(t, "nasty_llama_spm");
    assert_int_equal(tp_tokenizer_size(t), 32000);
    assert_int_equal(tp_tokenizer_bos(t), 1);
    assert_int_equal(tp_tokenizer_eos(t), 2);
    assert_true(tp_tokenizer_adds_bos(t));
    assert_random_round_trips(t);
    tp_tokenizer_free(t);
}

static void refact_matches_its_vectors(void **state) {
    (void)state;
    check_needs_shared("tokenizers/ggml-vocab-refact.gguf");
    tp_tokenizer *t = load_gguf_vocab(check_shared("tokenizers/ggml-vocab-refact.gguf"));
    check_not_null(t);
    assert_vectors(t, "refact");
    check_nasty(t, "nasty_refact");
    /* no random bytes: the vocabulary lacks tokens for 14 of them */
    assert_false(tp_tokenizer_adds_bos(t));
    tp_tokenizer_free(t);
}

/* ---- vocabularies of our own, against llama.cpp ---- */

static void each_model_gives_llama_cpp_s_ids(void **state) {
    (void)state;
    static const char *const names[] = {"bpe", "wpm", "ugm"}, *const kinds[] = {"byte-level BPE", "WordPiece",
                                                                                "Unigram"};
    for (int i = 0; i < 3; i++) {
        char *path = tp_format(TEXT "kinds/%s.gguf", names[i]), *ids = tp_format("kinds/%s.ids", names[i]);
        tp_tokenizer *t = load_gguf_vocab(path);
        check_not_null(t);
        check_nasty(t, ids);
        tp_tokenizer *by_lm = tp_lm_load_tokenizer(path); /* the reader of model files sees the same vocabulary */
        check_not_null(by_lm);
        assert_string_equal(tp_tokenizer_fingerprint(by_lm), tp_tokenizer_fingerprint(t));
        tp_tokenizer_free(by_lm);
        assert_string_equal(tp_tokenizer_kind(t), kinds[i]);
        if (i == 0) assert_random_round_trips(t);
        tp_tokenizer_free(t);
        tp_free(path);
        tp_free(ids);
    }
}

static uint64_t fnv(const tp_ids *ids) {
    uint64_t h = 0xCBF29CE484222325u;
    for (size_t i = 0; i < ids->len; i++)
        for (int k = 0; k < 4; k++) h = (h ^ ((uint32_t)ids->data[i] >> (8 * k) & 0xFF)) * 0x100000001B3u;
    return h;
}

/* The same vocabulary under other names of pre-tokenizers; the fixture has a hash of each text's ids. Returns how many
 * texts differ. */
static int count_differences(gguf_file *f, const char *pre, const json_t *hashes, const json_t *texts, bool say) {
    f->vocab.pre = pre;
    tp_tokenizer *t = tp_tokenizer_from_gguf_vocab(&f->vocab, "bpe.gguf");
    check_not_null(t);
    assert_int_equal(json_array_size(hashes), json_array_size(texts));
    int wrong = 0;
    for (size_t i = 0; i < json_array_size(texts); i++) {
        const json_t *text = json_array_get(texts, i);
        tp_ids ids = {0};
        check_ok(tp_tokenizer_encode(t, json_string_value(text), json_string_length(text), 0, &ids));
        uint64_t wanted = strtoull(json_string_value(json_array_get(hashes, i)), NULL, 16);
        if (fnv(&ids) != wanted && say) fprintf(stderr, "%s: text %zu differs: %s\n", pre, i, json_string_value(text));
        wrong += fnv(&ids) != wanted;
        tp_ids_free(&ids);
    }
    tp_tokenizer_free(t);
    return wrong;
}

static void each_pre_tokenizer_cuts_as_llama_cpp_does(void **state) {
    (void)state;
    json_t *hashes = tp_json_load_file(TEXT "kinds/bpe.hashes.json.gz"), *row;
    json_t *texts = tp_json_load_file(TEXT "kinds/texts.json.gz");
    check_not_null(hashes);
    check_not_null(texts);
    gguf_file *f = gguf_file_open(TEXT "kinds/bpe.gguf");
    const char *pre;
    int wrong = 0;
    assert_true(json_object_size(hashes) >= 15);
    json_object_foreach(hashes, pre, row) wrong += count_differences(f, pre, row, texts, true);
    assert_int_equal(wrong, 0);
    gguf_file_free(f);
    json_decref(hashes);
    json_decref(texts);
}

/* ---- what a file says, and gets wrong ---- */

#define TEXT_OF(text)                                                                                                  \
    { text, sizeof text - 1 }

static const tp_gguf_text small_tokens[] = {TEXT_OF("<unk>"),  TEXT_OF("<s>"), TEXT_OF("</s>"),         TEXT_OF("a"),
                                            TEXT_OF("b"),      TEXT_OF("ab"),  TEXT_OF("\xE2\x96\x81"), TEXT_OF("[X]"),
                                            TEXT_OF("<0x0A>"), TEXT_OF("ab")};
static const int32_t small_types[] = {2, 3, 3, 1, 1, 1, 1, 4, 6, 1};
static const float small_scores[] = {0, 0, 0, -1, -2, -3, -4, 0, 0, -5};
static const tp_gguf_text small_merges[] = {TEXT_OF("a b")};

static tp_gguf_vocab small_vocab(const char *model) {
    tp_gguf_vocab v;
    tp_gguf_vocab_init(&v);
    v.model = model;
    v.tokens = small_tokens;
    v.n_tokens = 10;
    v.types = small_types;
    v.scores = small_scores;
    v.merges = small_merges;
    v.n_merges = 1;
    return v;
}

static tp_tokenizer *must_make(const tp_gguf_vocab *v) {
    tp_tokenizer *t = tp_tokenizer_from_gguf_vocab(v, "x.gguf");
    check_not_null(t);
    return t;
}

static void a_file_decides_what_goes_around_a_text(void **state) {
    (void)state;
    tp_gguf_vocab v = small_vocab("llama");
    tp_tokenizer *t = must_make(&v);
    assert_text_ids(t, "ab", TP_TOKENS_ADD_SPECIAL, 1, 6, 9); /* of two `ab` the last is found */
    assert_text_ids(t, "a[X]b\n", 0, 6, 3, 7, 6, 4, 8);       /* each stretch has a blank of its own */
    assert_text_ids(t, "<s>", TP_TOKENS_PARSE_SPECIAL, 1);
    assert_text_ids(t, "a", TP_TOKENS_NO_PREFIX, 3);
    assert_text_ids(t, "c", TP_TOKENS_NO_PREFIX, 0);
    char first[33];
    memcpy(first, tp_tokenizer_fingerprint(t), 33);
    tp_tokenizer_free(t);
    v.add_bos = 0;
    v.add_eos = 1;
    v.add_space_prefix = 0;
    t = must_make(&v);
    assert_text_ids(t, "ab", TP_TOKENS_ADD_SPECIAL, 9, 2);
    assert_false(tp_tokenizer_adds_bos(t));
    assert_true(strcmp(first, tp_tokenizer_fingerprint(t)) != 0);
    tp_tokenizer_free(t);
    v = small_vocab("gpt2");
    v.pre = "llama3";
    v.bos = 1;
    t = must_make(&v);
    assert_text_ids(t, "ab<s>", TP_TOKENS_ADD_SPECIAL | TP_TOKENS_PARSE_SPECIAL, 1, 9, 1);
    tp_tokenizer_free(t);
    v = small_vocab("t5");
    v.unknown = 0;
    v.eos = 2;
    t = must_make(&v);
    assert_text_ids(t, "abc", TP_TOKENS_ADD_SPECIAL, 3, 4, 0, 2); /* -1 and -2 are more than -5 */
    tp_tokenizer_free(t);
}

static void assert_refused(const tp_gguf_vocab *v, const char *why) {
    assert_null(tp_tokenizer_from_gguf_vocab(v, "x.gguf"));
    if (strstr(tp_last_error(), why) == NULL || strncmp(tp_last_error(), "x.gguf", 6) != 0)
        fail_msg("`%s` does not say `%s`", tp_last_error(), why);
}

static void vocabularies_that_lie_are_refused_in_a_sentence(void **state) {
    (void)state;
    tp_gguf_vocab v = small_vocab("rwkv");
    assert_refused(&v, "llama, gpt2, bert and t5 are");
    v = small_vocab(NULL);
    assert_refused(&v, "no `tokenizer.ggml.model`");
    v = small_vocab("gpt2");
    v.pre = "nonesuch";
    assert_refused(&v, "`nonesuch` (`tokenizer.ggml.pre`) is not supported; known are default");
    assert_non_null(strstr(tp_last_error(), "qwen2"));
    v.pre = "llama-bpe qwen2"; /* one name, not two */
    assert_refused(&v, "is not supported");
    v = small_vocab("gpt2");
    v.n_merges = 0;
    assert_refused(&v, "no `tokenizer.ggml.merges`");
    static const tp_gguf_text wrong[] = {TEXT_OF("b a")};
    v = small_vocab("gpt2");
    v.merges = wrong;
    assert_refused(&v, "merge 0 in `tokenizer.ggml.merges`, `b a`");
    v = small_vocab("llama");
    v.scores = NULL;
    assert_refused(&v, "no `tokenizer.ggml.scores`");
    v = small_vocab("t5");
    v.charsmap = "abc";
    v.n_charsmap = 3;
    assert_refused(&v, "character map");
    v = small_vocab("llama");
    v.n_tokens = 0;
    assert_refused(&v, "`tokenizer.ggml.tokens` is empty");
    static const int32_t types[] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 7};
    v = small_vocab("llama");
    v.types = types;
    assert_refused(&v, "token 9 has the type 7");
    float nan;
    memset(&nan, 0xFF, sizeof nan);
    const float scores[] = {0, 0, 0, 0, nan, 0, 0, 0, 0, 0};
    v = small_vocab("llama");
    v.scores = scores;
    assert_refused(&v, "the score of token 4");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(llama_spm_matches_its_vectors),
        cmocka_unit_test(refact_matches_its_vectors),
        cmocka_unit_test(each_model_gives_llama_cpp_s_ids),
        cmocka_unit_test(each_pre_tokenizer_cuts_as_llama_cpp_does),
        cmocka_unit_test(a_file_decides_what_goes_around_a_text),
        cmocka_unit_test(vocabularies_that_lie_are_refused_in_a_sentence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
