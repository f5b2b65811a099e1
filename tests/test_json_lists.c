/* The short cut through a tokenizer.json's two long lists: what it reads it reads as the ordinary reader does, and what
 * is not plain it leaves alone. */
#include "check_tokenizer.h"

#include "base/str.h"
#include "text/json_lists.h"

static bool reads(const char *text, tp_json_lists *lists) {
    *lists = (tp_json_lists){0};
    return tp_json_lists_read(lists, text, strlen(text));
}

static const char *text_of(const tp_json_lists *l, tp_json_slice slice) {
    assert_int_equal(strlen(l->texts.data + slice.begin), slice.n);
    return l->texts.data + slice.begin;
}

static void plain_lists_are_taken_out(void **state) {
    (void)state;
    tp_json_lists l;
    assert_true(
        reads(" {\"a\": [1, {\"model\": 2}], \"model\" : {\"type\":\"BPE\", \"merges\":[\"a b\", [\"c d\" , \"e\"]],\n"
              "\"x\":null,\"vocab\" : {\"a\": 0 , \"\\u00e9\\n\\ud83d\\ude00\\/\":12}, \"y\":\"}\\\"\"}, \"z\":[]}",
              &l));
    assert_int_equal(l.n_tokens, 2);
    assert_string_equal(text_of(&l, l.token[0].text), "a");
    assert_string_equal(text_of(&l, l.token[1].text), "\xC3\xA9\n\xF0\x9F\x98\x80/");
    assert_int_equal(l.token[1].id, 12);
    assert_int_equal(l.n_merges, 2);
    assert_string_equal(text_of(&l, l.merge[0].half[0]), "a");
    assert_string_equal(text_of(&l, l.merge[0].half[1]), "b");
    assert_string_equal(text_of(&l, l.merge[1].half[0]), "c d");
    assert_string_equal(l.rest.data, " {\"a\": [1, {\"model\": 2}], \"model\" : {\"type\":\"BPE\", \"merges\":[],\n"
                                     "\"x\":null,\"vocab\" : {}, \"y\":\"}\\\"\"}, \"z\":[]}");
    tp_json_lists_free(&l);
}

static void what_is_not_plain_is_left_alone(void **state) {
    (void)state;
    static const char *const cases[] = {"",
                                        "{",
                                        "[]",
                                        "{\"model\":{}}",
                                        "{\"model\":[]}",
                                        "{\"model\":{\"vocab\":{\"a\":1}}}",
                                        "{\"model\":{\"vocab\":{},\"merges\":[\"a b\"]}}",
                                        "{\"model\":{\"vocab\":{\"a\":1},\"merges\":[]}}",
                                        "{\"model\":{\"vocab\":{\"a\":-1},\"merges\":[\"a b\"]}}",
                                        "{\"model\":{\"vocab\":{\"a\":1.5},\"merges\":[\"a b\"]}}",
                                        "{\"model\":{\"vocab\":{\"a\":01},\"merges\":[\"a b\"]}}",
                                        "{\"model\":{\"vocab\":{\"a\":1,},\"merges\":[\"a b\"]}}",
                                        "{\"model\":{\"vocab\":{\"a\":9999999999},\"merges\":[\"a b\"]}}",
                                        "{\"model\":{\"vocab\":{\"a\\u0000\":1},\"merges\":[\"a b\"]}}",
                                        "{\"model\":{\"vocab\":{\"a\\ud800\":1},\"merges\":[\"a b\"]}}",
                                        "{\"model\":{\"vocab\":{\"a\\ud800\\u0041\":1},\"merges\":[\"a b\"]}}",
                                        "{\"model\":{\"vocab\":{\"a\xFF\":1},\"merges\":[\"a b\"]}}",
                                        "{\"model\":{\"vocab\":{\"a\n\":1},\"merges\":[\"a b\"]}}",
                                        "{\"model\":{\"vocab\":{\"a\\x\":1},\"merges\":[\"a b\"]}}",
                                        "{\"model\":{\"vocab\":{\"a\":1},\"merges\":[\"ab\"]}}",
                                        "{\"model\":{\"vocab\":{\"a\":1},\"merges\":[\"a b c\"]}}",
                                        "{\"model\":{\"vocab\":{\"a\":1},\"merges\":[[\"a\"]]}}",
                                        "{\"model\":{\"vocab\":{\"a\":1},\"merges\":[\"a b\"",
                                        "{\"model\":{\"vocab\":{\"a\":1",
                                        "{\"model\":{\"voc\\u0061b\":{\"a\":1},\"merges\":[\"a b\"]}}",
                                        "{\"other\":[[[}",
                                        "{\"other\":{,:"};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        tp_json_lists l;
        if (reads(cases[i], &l)) fail_msg("`%s` was read", cases[i]);
        tp_json_lists_free(&l);
    }
    static const char nul[] = "{\"a\":[\0\0";
    tp_json_lists l = {0};
    assert_false(tp_json_lists_read(&l, nul, sizeof nul - 1));
    tp_json_lists_free(&l);
}

/* The same file, once with a key that only the ordinary reader understands. */
static tp_tokenizer *load(const char *vocab_key, const char *pre) {
    tp_str file = {0};
    tp_str_appendf(
        &file,
        "{\"added_tokens\":[{\"id\":9,\"content\":\"<s> x\",\"special\":true},{\"id\":2,\"content\":\"ab\"}],"
        "\"pre_tokenizer\":%s,\"model\":{\"unk_token\":\"a\",\"%s\":{\"a\":0,\"b\":1,\"ab\":2,\"\\u0120\":3,"
        "\"<s> x\":9,\"\xC3\xA9\":4,\"c\":5,\"bc\":6},\"merges\":[\"a b\",[\"b\",\"c\"]]}}",
        pre, vocab_key);
    tp_tokenizer *t = load_bytes("tokenizer.json", file.data, file.len, NULL);
    tp_str_free(&file);
    check_not_null(t);
    return t;
}

static void both_ways_give_the_same_tokenizer(void **state) {
    (void)state;
    static const char *const pre[] = {"null", "{\"type\":\"ByteLevel\",\"add_prefix_space\":false}"};
    static const char *const parts[] = {"a", "b", "c", "ab", " ", "<s> x", "\xC3\xA9", "d", "\xFF"};
    for (int kind = 0; kind < 2; kind++) {
        tp_tokenizer *quick = load("vocab", pre[kind]), *ordinary = load("voc\\u0061b", pre[kind]);
        tp_rng rng = tp_rng_stream(1, "lists", 0);
        assert_int_equal(tp_tokenizer_size(quick), tp_tokenizer_size(ordinary));
        for (int i = 0; i < 500; i++) {
            tp_str text = {0};
            for (uint64_t k = tp_rng_below(&rng, 12); k > 0; k--)
                tp_str_append_text(&text, parts[tp_rng_below(&rng, 9)]);
            tp_ids ids = {0};
            unsigned flags = i % 2 ? TP_TOKENS_PARSE_SPECIAL : 0;
            check_ok(tp_tokenizer_encode(ordinary, text.data ? text.data : "", text.len, flags, &ids));
            assert_ids(quick, text.data ? text.data : "", text.len, flags, ids.data, ids.len, pre[kind]);
            tp_ids_free(&ids);
            tp_str_free(&text);
        }
        tp_tokenizer_free(quick);
        tp_tokenizer_free(ordinary);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_lists_are_taken_out),
        cmocka_unit_test(what_is_not_plain_is_left_alone),
        cmocka_unit_test(both_ways_give_the_same_tokenizer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
