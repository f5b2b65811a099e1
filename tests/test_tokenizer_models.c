/* Small SentencePiece models and tiktoken rank files of our own, made byte by byte: scores, ranks and special pieces
 * followed by hand, and files that are broken or lie. None of them needs ../shared. */
#include "check_tokenizer.h"

#include "base/str.h"

#define BLANK "\xE2\x96\x81"

/* ---- SentencePiece models ---- */

static void put_varint(tp_str *out, uint64_t value) {
    for (; value >= 0x80; value >>= 7) tp_str_append_char(out, (char)(value | 0x80));
    tp_str_append_char(out, (char)value);
}

static void put_bytes(tp_str *out, uint32_t number, const void *bytes, size_t n) {
    put_varint(out, number << 3 | 2);
    put_varint(out, n);
    tp_str_append(out, bytes, n);
}

static void put_number(tp_str *out, uint32_t number, uint64_t value) {
    put_varint(out, number << 3);
    put_varint(out, value);
}

static void put_piece(tp_str *out, const char *text, float score, int type) {
    tp_str piece = {0};
    put_bytes(&piece, 1, text, strlen(text));
    put_varint(&piece, 2 << 3 | 5);
    tp_str_append(&piece, &score, 4);
    put_number(&piece, 3, (uint64_t)type);
    put_bytes(out, 1, piece.data, piece.len);
    tp_str_free(&piece);
}

/* <unk> <s> </s> BLANK a b, then what is given, then the byte pieces. `squeeze` is remove_extra_whitespaces. */
typedef struct extra_piece {
    const char *text;
    float score;
    int type;
} extra_piece;

static tp_str made_model(const extra_piece *extra, int n_extra, int model_type, bool squeeze) {
    tp_str out = {0}, spec = {0};
    put_piece(&out, "<unk>", 0, 2);
    put_piece(&out, "<s>", 0, 3);
    put_piece(&out, "</s>", 0, 3);
    put_piece(&out, BLANK, -10, 1);
    put_piece(&out, "a", -11, 1);
    put_piece(&out, "b", -12, 1);
    for (int i = 0; i < n_extra; i++) put_piece(&out, extra[i].text, extra[i].score, extra[i].type);
    for (unsigned byte = 0; byte < 256; byte++) {
        char name[8];
        snprintf(name, sizeof name, "<0x%02X>", byte);
        put_piece(&out, name, 0, 6);
    }
    put_number(&spec, 3, (uint64_t)model_type);
    put_number(&spec, 35, 1);
    put_bytes(&out, 2, spec.data, spec.len);
    tp_str_clear(&spec);
    put_bytes(&spec, 1, "identity", 8);
    put_number(&spec, 4, squeeze);
    put_bytes(&out, 3, spec.data, spec.len);
    tp_str_free(&spec);
    return out;
}

static tp_tokenizer *load_model(const extra_piece *extra, int n_extra, int type, bool squeeze) {
    tp_str bytes = made_model(extra, n_extra, type, squeeze);
    tp_tokenizer *t = load_bytes("tokenizer.model", bytes.data, bytes.len, NULL);
    tp_str_free(&bytes);
    return t;
}

static void scores_decide_and_the_leftmost_wins(void **state) {
    (void)state;
    const extra_piece extra[] = {{"ab", -1, 1}, {"ba", -1, 1}, {"aba", -3, 1},
                                 {"[X]", 0, 4}, {"cd", -2, 1}, {"cdb", -4, 1}};
    tp_tokenizer *t = load_model(extra, 6, 2, false);
    check_not_null(t);
    assert_int_equal(tp_tokenizer_size(t), 6 + 6 + 256);
    assert_text_ids(t, "aba", 0, 3, 8);         /* ab before ba: equal scores, the left one; then aba */
    assert_text_ids(t, "bab", 0, 3, 7, 5);      /* */
    assert_text_ids(t, "a[X]b", 0, 3, 4, 9, 5); /* a user-defined piece, no blank behind it */
    assert_text_ids(t, "cd", 0, 3, 10);         /* c and d are no pieces, together they are */
    assert_text_ids(t, "cdb", 0, 3, 11);        /* */
    assert_text_ids(t, "c", 0, 3, 12 + 'c');    /* alone they are bytes */
    assert_text_ids(t, "dc\xFF", 0, 3, 12 + 'd', 12 + 'c', 12 + 0xFF);
    assert_text_ids(t, "<s>a", TP_TOKENS_ADD_SPECIAL | TP_TOKENS_PARSE_SPECIAL, 1, 1, 3, 4);
    assert_text_ids(t, " a ", 0, 3, 3, 4, 3);
    assert_random_round_trips(t);
    tp_tokenizer_free(t);
    t = load_model(extra, 6, 2, true);
    check_not_null(t);
    assert_text_ids(t, "  a   b ", 0, 3, 4, 3, 5); /* remove_extra_whitespaces */
    tp_tokenizer_free(t);
}

static void models_that_lie_are_refused_in_a_sentence(void **state) {
    (void)state;
    assert_null(load_model(NULL, 0, 3, false));
    assert_non_null(strstr(tp_last_error(), "type word"));
    assert_int_equal(tp_last_status(), TP_ERR_UNSUPPORTED);
    assert_null(load_model(&(extra_piece){"x", 0, 5}, 1, 2, false));
    assert_non_null(strstr(tp_last_error(), "piece 6 has the type 5"));
    assert_null(load_model(&(extra_piece){"a", 0, 1}, 1, 2, false));
    assert_non_null(strstr(tp_last_error(), "the same text"));
    assert_null(load_model(&(extra_piece){"", 0, 1}, 1, 2, false));
    assert_non_null(strstr(tp_last_error(), "0 bytes long"));
    assert_null(load_model(&(extra_piece){"<0xzz>", 0, 6}, 1, 2, false));
    assert_non_null(strstr(tp_last_error(), "is a byte"));
    float nan;
    memset(&nan, 0xFF, sizeof nan);
    assert_null(load_model(&(extra_piece){"q", nan, 1}, 1, 2, false));
    assert_non_null(strstr(tp_last_error(), "not a number"));
    static const char overlong[] = "\x0A\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01";
    assert_null(load_bytes("tokenizer.model", overlong, sizeof overlong - 1, NULL));
    assert_non_null(strstr(tp_last_error(), "longer than 64 bits at byte"));
    assert_null(load_bytes("tokenizer.model", "\x0A\x7F", 2, NULL));
    assert_non_null(strstr(tp_last_error(), "longer than what is left at byte 2"));
    assert_null(load_bytes("tokenizer.model", "\x0B", 1, NULL));
    assert_non_null(strstr(tp_last_error(), "unknown type"));
    assert_null(load_bytes("tokenizer.model", "", 0, NULL));
    assert_non_null(strstr(tp_last_error(), "is empty"));
}

/* ---- tiktoken ---- */

static void put_base64(tp_str *out, const char *bytes, size_t n) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < n; i += 3) {
        unsigned b = 0;
        for (size_t k = 0; k < 3; k++) b = b << 8 | (i + k < n ? (unsigned char)bytes[i + k] : 0u);
        for (size_t k = 0; k < 4; k++) tp_str_append_char(out, i + k > n ? '=' : digits[b >> (18 - 6 * k) & 63]);
    }
}

static tp_str made_ranks(const char *more) {
    tp_str out = {0};
    for (int byte = 0; byte < 256; byte++) {
        char c = (char)byte;
        put_base64(&out, &c, 1);
        tp_str_appendf(&out, " %d\n", byte);
    }
    static const char *const tokens[] = {"bc", "ab", "abc", " a", "\n\n"};
    for (int i = 0; i < 5; i++) {
        put_base64(&out, tokens[i], strlen(tokens[i]));
        tp_str_appendf(&out, " %d\n", 256 + i);
    }
    tp_str_append_text(&out, more);
    return out;
}

static void ranks_are_merged_and_cut_by_the_named_pattern(void **state) {
    (void)state;
    tp_str ranks = made_ranks("");
    tp_tokenizer *t = load_bytes("x.tiktoken", ranks.data, ranks.len, "llama3");
    check_not_null(t);
    assert_text_ids(t, "abcab", 0, 258, 257);
    assert_text_ids(t, "bcd a\n\n", 0, 256, 'd', 259, 260);
    assert_text_ids(t, "ab<|eot_id|>", TP_TOKENS_PARSE_SPECIAL | TP_TOKENS_ADD_SPECIAL, 128000, 257, 128009);
    assert_int_equal(tp_tokenizer_size(t), 128256);
    assert_null(tp_tokenizer_piece(t, 5000, NULL)); /* a gap */
    assert_random_round_trips(t);
    tp_tokenizer_free(t);
    assert_null(load_bytes("x.tiktoken", ranks.data, ranks.len, "gpt9"));
    assert_non_null(strstr(tp_last_error(), "not gpt9"));
    tp_str_free(&ranks);
    static const struct {
        const char *line, *why;
    } cases[] = {{"YQ== 300\n", "line 262 was there before"},
                 {"eHk= 5\n", "rank 5 in line 262 was given before"},
                 {"eHk= 99999999\n", "not an integer from 0"},
                 {"eHk= -1\n", "not an integer"},
                 {"eHk=\n", "line 262 is not a token"},
                 {"eHk 300\n", "line 262 is not a token"},
                 {"e!k= 300\n", "line 262 is not a token"},
                 {"=Hk= 300\n", "line 262 is not a token"},
                 {"eHk= 12x\n", "not an integer"},
                 {" 300\n", "line 262 is not a token"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ranks = made_ranks(cases[i].line);
        assert_null(load_bytes("x.tiktoken", ranks.data, ranks.len, "qwen2"));
        if (strstr(tp_last_error(), cases[i].why) == NULL)
            fail_msg("`%s` does not say `%s`", tp_last_error(), cases[i].why);
        tp_str_free(&ranks);
    }
    assert_null(load_bytes("x.tiktoken", "YQ== 0\n", 7, "qwen2"));
    assert_non_null(strstr(tp_last_error(), "no token for the byte 0x00"));
}

/* ---- damage of any kind ---- */

static void damaged_files_never_crash(void **state) {
    (void)state;
    const extra_piece extra[] = {{"ab", -1, 1}, {"[X]", 0, 4}, {"cdb", -4, 1}};
    tp_str model = made_model(extra, 3, 2, true), ranks = made_ranks("");
    assert_damage_is_survived("tokenizer.model", model.data, model.len, NULL, 300);
    assert_damage_is_survived("x.tiktoken", ranks.data, ranks.len, "llama3", 300);
    tp_str_free(&model);
    tp_str_free(&ranks);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scores_decide_and_the_leftmost_wins),
        cmocka_unit_test(models_that_lie_are_refused_in_a_sentence),
        cmocka_unit_test(ranks_are_merged_and_cut_by_the_named_pattern),
        cmocka_unit_test(damaged_files_never_crash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
