/* Training tokenizers: the merges of a tiny text worked out by hand, whole vocabularies from a generated text, and
 * the files that come out. */
#include "check.h"

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/str.h"
#include "text/tokenizer.h"
#include "text/train_bpe.h"

typedef struct list {
    const char *const *texts; /* ends with NULL */
    size_t at;
} list;

static bool next_of_list(void *context, const char **text, size_t *n) {
    list *l = context;
    if (l->texts[l->at] == NULL) return false;
    *text = l->texts[l->at++];
    *n = strlen(*text);
    return true;
}

/* Documents of words that are drawn with a Zipf-like skew from a lexicon of random syllables. */
typedef struct generator {
    tp_rng rng;
    int left;
    tp_str text;
} generator;

static bool next_generated(void *context, const char **text, size_t *n) {
    static const char *const syllables[] = {"ka",          "to", "mi",  "ren", "sol", "ti",  "an", "er",
                                            "\xC3\xA9t",   "u",  "bra", "qi",  "lo",  "ing", "s",  "\xE2\x80\x99s",
                                            "\xE4\xBD\xA0"};
    static const char *const ends[] = {" ", " ", " ", " ", " ", ", ", ". ", "\n", "  ", " 1984 ", "! ", "\xFF"};
    generator *g = context;
    if (g->left-- == 0) return false;
    tp_str_clear(&g->text);
    for (int i = 0; i < 200; i++) {
        uint64_t lexeme = tp_rng_below(&g->rng, 1 + tp_rng_below(&g->rng, 3000));
        do {
            tp_str_append_text(&g->text, syllables[lexeme % 17]);
            lexeme /= 17;
        } while (lexeme > 0);
        tp_str_append_text(&g->text, ends[tp_rng_below(&g->rng, 12)]);
    }
    *text = g->text.data;
    *n = g->text.len;
    return true;
}

static tp_status train_generated(tp_bpe_kind kind, int32_t size, const char *folder) {
    generator g = {.rng = tp_rng_stream(7, "text", 0), .left = 200};
    tp_status status = tp_bpe_train(kind, size, next_generated, &g, folder);
    tp_str_free(&g.text);
    return status;
}

static char *read_in(const char *folder, const char *name, size_t *n) {
    char *path = tp_path_join(folder, name), *bytes;
    check_ok(tp_read_file(path, 0, &bytes, n));
    tp_free(path);
    return bytes;
}

static json_t *load_in(const char *folder, const char *name) {
    char *path = tp_path_join(folder, name);
    json_t *value = tp_json_load_file(path);
    check_not_null(value);
    tp_free(path);
    return value;
}

static void assert_merges(const char *folder, const char *const *expected) {
    json_t *file = load_in(folder, "tokenizer.json");
    json_t *merges = json_object_get(json_object_get(file, "model"), "merges");
    size_t n = 0;
    for (; expected[n] != NULL; n++) assert_string_equal(json_string_value(json_array_get(merges, n)), expected[n]);
    assert_int_equal(json_array_size(merges), n);
    json_decref(file);
}

static void merges_are_the_most_frequent_pairs(void **state) {
    (void)state;
    char *dir = check_temp_dir();
    /* " low" 5 times, " lower" 2, " newest" 6, " widest" 3. e+s: 9, s+t: 9, so es (e before s); es+t: 9; blank+l,
     * l+o, o+w: 7 each, n+e, e+w, w+est, blank+n: 6. blank is \xC4\xA0 in the file, but the byte 0x20 in the ties. */
    const char *texts[] = {" low low low low low lower lower", " newest newest newest newest newest newest",
                           " widest widest widest", NULL};
    check_ok(tp_bpe_train(TP_BPE_BYTE_LEVEL, 256 + 2 + 6, next_of_list, &(list){texts, 0}, dir));
    assert_merges(dir,
                  (const char *[]){"e s", "es t", "\xC4\xA0 l", "\xC4\xA0l o", "\xC4\xA0lo w", "\xC4\xA0 n", NULL});
    /* In SentencePiece style the first word of a text has a blank as well; here it is the second one of two. */
    check_ok(tp_bpe_train(TP_BPE_SENTENCEPIECE, 259 + 11 + 3, next_of_list, &(list){texts, 0}, dir));
    assert_merges(dir, (const char *[]){"e s", "es t", "l o", NULL});
    check_remove_dir(dir);
}

static void overlapping_pairs_are_counted_as_they_merge(void **state) {
    (void)state;
    char *dir = check_temp_dir();
    const char *texts[] = {"aaaaaaa", "aaaaaaa", NULL}; /* aa aa aa a, aaaa aa a: all counts by hand */
    check_ok(tp_bpe_train(TP_BPE_BYTE_LEVEL, 256 + 2 + 4, next_of_list, &(list){texts, 0}, dir));
    assert_merges(dir, (const char *[]){"a a", "aa aa", "aa a", "aaaa aaa", NULL});
    check_remove_dir(dir);
}

static void equal_text_gives_equal_bytes(void **state) {
    (void)state;
    static const char *const names[] = {"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"};
    char *one = check_temp_dir(), *two = check_temp_dir();
    for (int kind = TP_BPE_BYTE_LEVEL; kind <= TP_BPE_SENTENCEPIECE; kind++) {
        check_ok(train_generated((tp_bpe_kind)kind, 700, one));
        check_ok(train_generated((tp_bpe_kind)kind, 700, two));
        for (int i = 0; i < 3; i++) {
            size_t n, m;
            char *a = read_in(one, names[i], &n), *b = read_in(two, names[i], &m);
            assert_int_equal(n, m);
            assert_memory_equal(a, b, n);
            tp_free(a);
            tp_free(b);
        }
    }
    check_remove_dir(one);
    check_remove_dir(two);
}

static void vocabularies_are_whole(void **state) {
    (void)state;
    char *dir = check_temp_dir();
    for (int kind = TP_BPE_BYTE_LEVEL; kind <= TP_BPE_SENTENCEPIECE; kind++) {
        check_ok(train_generated((tp_bpe_kind)kind, 700, dir));
        json_t *file = load_in(dir, "tokenizer.json");
        json_t *vocab = json_object_get(json_object_get(file, "model"), "vocab"), *id;
        assert_int_equal(json_object_size(vocab), kind == TP_BPE_BYTE_LEVEL ? 698 : 700);
        const char *token;
        int64_t expected = 0;
        json_object_foreach(vocab, token, id) assert_int_equal(json_integer_value(id), expected++);
        if (kind == TP_BPE_SENTENCEPIECE) {
            assert_int_equal(json_integer_value(json_object_get(vocab, "</s>")), 2);
            assert_int_equal(json_integer_value(json_object_get(vocab, "<0x00>")), 3);
            assert_int_equal(json_integer_value(json_object_get(vocab, "<0xFF>")), 258);
            json_object_foreach(vocab, token, id) {
                const char *blank =
                    strstr(token + (*token != '\0'), "\xE2\x96\x81"); /* only in front, never alone twice */
                assert_null(blank);
                if (strpbrk(token, "0123456789") && token[0] != '<') assert_int_equal(strlen(token), 1);
            }
        }
        json_decref(file);
        file = load_in(dir, "tokenizer_config.json");
        assert_string_equal(json_string_value(json_object_get(file, "bos_token")),
                            kind == TP_BPE_BYTE_LEVEL ? "<|begin_of_text|>" : "<s>");
        json_decref(file);
    }
    check_remove_dir(dir);
}

/* What was trained is loaded, encodes every byte, and uses its merges. */
static void trained_tokenizers_load_and_round_trip(void **state) {
    (void)state;
    char *dir = check_temp_dir();
    for (int kind = TP_BPE_BYTE_LEVEL; kind <= TP_BPE_SENTENCEPIECE; kind++) {
        check_ok(train_generated((tp_bpe_kind)kind, 700, dir));
        tp_tokenizer *t = tp_tokenizer_load(dir, NULL);
        check_not_null(t);
        assert_int_equal(tp_tokenizer_size(t), 700);
        assert_int_equal(tp_tokenizer_bos(t), kind == TP_BPE_BYTE_LEVEL ? 698 : 1);
        assert_int_equal(tp_tokenizer_eos(t), kind == TP_BPE_BYTE_LEVEL ? 699 : 2);
        assert_true(tp_tokenizer_adds_bos(t) && tp_tokenizer_is_special(t, tp_tokenizer_eos(t)));
        generator g = {.rng = tp_rng_stream(8, "held out", 0), .left = 20};
        const char *text;
        size_t n, total = 0, n_ids = 0;
        while (next_generated(&g, &text, &n)) {
            tp_ids ids = {0};
            check_ok(tp_tokenizer_encode(t, text, n, TP_TOKENS_ADD_SPECIAL, &ids));
            assert_int_equal(ids.data[0], tp_tokenizer_bos(t));
            size_t length;
            char *back = tp_tokenizer_decode(t, ids.data, ids.len, TP_TOKENS_SKIP_SPECIAL, &length);
            assert_int_equal(length, n);
            assert_memory_equal(back, text, n);
            total += n;
            n_ids += ids.len;
            tp_free(back);
            tp_ids_free(&ids);
        }
        assert_true(n_ids * 2 < total); /* an untrained one has an id for each byte */
        tp_str_free(&g.text);
        tp_tokenizer_free(t);
    }
    check_remove_dir(dir);
}

static void impossible_sizes_are_refused_in_a_sentence(void **state) {
    (void)state;
    char *dir = check_temp_dir();
    const char *texts[] = {"some words", NULL}, *nothing[] = {NULL};
    assert_int_equal(tp_bpe_train(TP_BPE_BYTE_LEVEL, 257, next_of_list, &(list){texts, 0}, dir), TP_ERR_ARGUMENT);
    assert_non_null(strstr(tp_last_error(), "too small"));
    assert_int_equal(tp_bpe_train(TP_BPE_BYTE_LEVEL, 5000, next_of_list, &(list){texts, 0}, dir), TP_ERR_ARGUMENT);
    assert_non_null(strstr(tp_last_error(), "gives only"));
    assert_int_equal(tp_bpe_train(TP_BPE_SENTENCEPIECE, 300, next_of_list, &(list){nothing, 0}, dir), TP_ERR_ARGUMENT);
    assert_non_null(strstr(tp_last_error(), "empty"));
    assert_int_equal(tp_bpe_train(TP_BPE_BYTE_LEVEL, 258, next_of_list, &(list){texts, 0}, "/no-such-folder"),
                     TP_ERR_IO);
    check_remove_dir(dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(merges_are_the_most_frequent_pairs),
        cmocka_unit_test(overlapping_pairs_are_counted_as_they_merge),
        cmocka_unit_test(equal_text_gives_equal_bytes),
        cmocka_unit_test(vocabularies_are_whole),
        cmocka_unit_test(trained_tokenizers_load_and_round_trip),
        cmocka_unit_test(impossible_sizes_are_refused_in_a_sentence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
