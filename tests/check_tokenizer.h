/* What the tests of tokenizers share: comparing ids, and round trips of all kinds of bytes. */
#ifndef TP_TESTS_CHECK_TOKENIZER_H
#define TP_TESTS_CHECK_TOKENIZER_H

#include "check.h"

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/rng.h"
#include "text/tokenizer.h"

static inline void assert_ids(const tp_tokenizer *t, const char *text, size_t n, unsigned flags,
                              const int32_t *expected, size_t n_expected, const char *where) {
    tp_ids ids = {0};
    check_ok(tp_tokenizer_encode(t, text, n, flags, &ids));
    bool same =
        ids.len == n_expected && (n_expected == 0 || memcmp(ids.data, expected, n_expected * sizeof *expected) == 0);
    if (!same) {
        fprintf(stderr, "%s: `%.*s`\n  expected", where, (int)n, text);
        for (size_t i = 0; i < n_expected; i++) fprintf(stderr, " %d", expected[i]);
        fprintf(stderr, "\n  found   ");
        for (size_t i = 0; i < ids.len; i++) fprintf(stderr, " %d", ids.data[i]);
        fprintf(stderr, "\n");
    }
    assert_true(same);
    tp_ids_free(&ids);
}

#define assert_text_ids(t, text, flags, ...)                                                                           \
    assert_ids(t, text, sizeof(text) - 1, flags, (const int32_t[]){__VA_ARGS__},                                       \
               sizeof((const int32_t[]){__VA_ARGS__}) / sizeof(int32_t), __func__)

static inline void assert_round_trip(const tp_tokenizer *t, const char *text, size_t n, unsigned flags) {
    tp_ids ids = {0};
    check_ok(tp_tokenizer_encode(t, text, n, flags, &ids));
    size_t length;
    char *back = tp_tokenizer_decode(t, ids.data, ids.len, flags, &length);
    assert_int_equal(length, n);
    assert_memory_equal(back, text, n);
    tp_free(back);
    tp_ids_free(&ids);
}

/* Texts of every kind of byte: random bytes, random characters, and both mixed with words. */
static inline void assert_random_round_trips(const tp_tokenizer *t) {
    static const char *const parts[] = {" ",
                                        "  ",
                                        "the",
                                        " of",
                                        "\n",
                                        "\r\n",
                                        "\t",
                                        "'ll",
                                        "12",
                                        "caf\xC3\xA9",
                                        "\xE4\xBD\xA0",
                                        "\xF0\x9F\x98\x80",
                                        "\xE2\x80\x8D",
                                        "e\xCC\x81",
                                        "\xC2\xA0",
                                        "!!",
                                        "\xF0\x9F",
                                        "\xED\xA0\x80"};
    tp_rng rng = tp_rng_stream(1, "round trip", 0);
    char text[300];
    for (int i = 0; i < 2000; i++) {
        size_t n = 0, wanted = tp_rng_below(&rng, 200);
        while (n < wanted) {
            if (tp_rng_below(&rng, 4) == 0) {
                text[n++] = (char)tp_rng_below(&rng, 256);
            } else {
                const char *part = parts[tp_rng_below(&rng, 18)];
                memcpy(text + n, part, strlen(part));
                n += strlen(part);
            }
        }
        assert_round_trip(t, text, n, TP_TOKENS_PLAIN);
        assert_round_trip(t, text, n, TP_TOKENS_NO_PREFIX);
    }
}

/* The 46 published vectors of one vocabulary, ../shared/tokenizers/ggml-vocab-NAME.gguf.{inp,out}. */
static inline void assert_vectors(const tp_tokenizer *t, const char *name) {
    static const char separator[] = "\n__ggml_vocab_test__\n";
    char *path = tp_format("tokenizers/ggml-vocab-%s.gguf.inp", name), *inputs, *outputs;
    size_t n, m, count = 0;
    check_ok(tp_read_file(check_shared(path), 0, &inputs, &n));
    memcpy(path + strlen(path) - 3, "out", 3);
    check_ok(tp_read_file(check_shared(path), 0, &outputs, &m));
    char *line = outputs;
    for (char *text = inputs, *end; (end = strstr(text, separator)) != NULL; text = end + strlen(separator), count++) {
        tp_ids expected = {0};
        char *feed = strchr(line, '\n');
        while (line < feed && strchr(line, ' ') != NULL && strchr(line, ' ') < feed) {
            tp_ids_append(&expected, (int32_t)strtol(line, &line, 10));
            while (*line != ' ' && line < feed) line++;
        }
        line = feed + 1;
        assert_ids(t, text, (size_t)(end - text), TP_TOKENS_PLAIN, expected.data, expected.len, name);
        assert_round_trip(t, text, (size_t)(end - text), TP_TOKENS_PLAIN);
        tp_ids_free(&expected);
    }
    assert_int_equal(count, 46);
    tp_free(inputs);
    tp_free(outputs);
    tp_free(path);
}

/* ---- the awkward texts of tools/reference/nasty_texts.py ---- */

static inline tp_ids ids_of(const json_t *list) {
    tp_ids ids = {0};
    for (size_t i = 0; i < json_array_size(list); i++)
        tp_ids_append(&ids, (int32_t)json_integer_value(json_array_get(list, i)));
    return ids;
}

/* All texts at once, and all that differ named. */
static inline void assert_nasty_ids(const tp_tokenizer *t, const json_t *expected, unsigned flags, const char *name) {
    json_t *texts = tp_json_load_file(TP_SOURCE_DIR "/tests/fixtures/text/kinds/texts.json.gz");
    check_not_null(texts);
    size_t n = json_array_size(texts);
    int wrong = 0;
    assert_true(n >= 200);
    assert_int_equal(json_array_size(expected), n);
    for (size_t i = 0; i < n; i++) {
        const json_t *text = json_array_get(texts, i);
        tp_ids want = ids_of(json_array_get(expected, i)), found = {0};
        check_ok(tp_tokenizer_encode(t, json_string_value(text), json_string_length(text), flags, &found));
        if (found.len != want.len || (want.len > 0 && memcmp(found.data, want.data, want.len * sizeof *want.data))) {
            char *written = json_dumps(text, JSON_ENCODE_ANY | JSON_ENSURE_ASCII);
            fprintf(stderr, "%s: text %zu, %.200s\n  expected", name, i, written);
            for (size_t k = 0; k < want.len; k++) fprintf(stderr, " %d", want.data[k]);
            fprintf(stderr, "\n  found   ");
            for (size_t k = 0; k < found.len; k++) fprintf(stderr, " %d", found.data[k]);
            fprintf(stderr, "\n");
            free(written);
            wrong++;
        }
        tp_ids_free(&want);
        tp_ids_free(&found);
    }
    json_decref(texts);
    if (wrong > 0) fail_msg("%s: %d of %zu texts differ", name, wrong, n);
}

/* ---- files made by a test ---- */

static inline void write_in(const char *dir, const char *name, const char *bytes, size_t n) {
    char *path = tp_path_join(dir, name);
    check_ok(tp_write_file(path, bytes, n));
    tp_free(path);
}

static inline tp_tokenizer *load_bytes(const char *name, const char *bytes, size_t n, const char *pattern) {
    char *dir = check_temp_dir();
    write_in(dir, name, bytes, n);
    char *path = tp_path_join(dir, name);
    tp_tokenizer *t = tp_tokenizer_load(pattern ? path : dir, pattern);
    tp_free(path);
    check_remove_dir(dir);
    return t;
}

/* Whatever the bytes are: an error with a sentence, or a tokenizer that works. */
static inline void assert_survives(const char *name, const char *bytes, size_t n, const char *pattern) {
    tp_tokenizer *t = load_bytes(name, bytes, n, pattern);
    if (t == NULL) {
        assert_true(strlen(tp_last_error()) > 0);
        return;
    }
    tp_ids ids = {0};
    static const char text[] = "ab hi <s>[X] cdb 12\xFF\xE4\xBD\xA0</s>";
    if (tp_tokenizer_encode(t, text, sizeof text - 1, 15, &ids) == TP_OK) {
        for (size_t i = 0; i < ids.len; i++) assert_true(ids.data[i] >= 0 && ids.data[i] < tp_tokenizer_size(t));
        tp_free(tp_tokenizer_decode(t, ids.data, ids.len, 0, NULL));
    }
    tp_ids_free(&ids);
    tp_tokenizer_free(t);
}

/* Cuts the file off somewhere, or changes up to three of its bytes, `rounds` times. */
static inline void assert_damage_is_survived(const char *name, const char *bytes, size_t size, const char *pattern,
                                             int rounds) {
    tp_rng rng = tp_rng_stream(5, name, 0);
    for (int i = 0; i < rounds; i++) {
        size_t n = size;
        char *copy = tp_strndup(bytes, n);
        if (i % 2 == 0) {
            n = tp_rng_below(&rng, n);
        } else {
            for (uint64_t k = 1 + tp_rng_below(&rng, 3); k > 0; k--)
                copy[tp_rng_below(&rng, n)] = (char)tp_rng_below(&rng, 256);
        }
        assert_survives(name, copy, n, pattern);
        tp_free(copy);
    }
}

#endif
