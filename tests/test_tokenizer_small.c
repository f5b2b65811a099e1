/* Small tokenizers of our own, whose merges can be followed by hand: every option of the formats we read, and files
 * that are broken or lie. None of them needs ../shared. */
#include "check_tokenizer.h"

#include "base/str.h"

/* ---- tokenizer.json in the making ---- */

typedef struct made { /* NULL: left out or as plain as can be */
    const char *vocab, *merges, *model, *normalizer, *pre_tokenizer, *post_processor, *added;
    const char *config, *model_config; /* tokenizer_config.json, config.json */
} made;

static const char LETTERS[] =
    "\"a\":0,\"b\":1,\"c\":2,\"d\":3,\"ab\":4,\"bc\":5,\"abc\":6,\"cd\":7,\"abcd\":8,\"\xC4\xA0\":9,"
    "\"\xC4\xA0\x61\":10,\"1\":11,\"2\":12,\"12\":13,\"\xC3\x83\":14,\"\xC2\xA9\":15,\"\xC3\x83\xC2\xA9\":16";
static const char MERGES[] = "\"b c\",\"a b\",\"a bc\",\"c d\",\"ab cd\",\"\xC4\xA0 a\",\"1 2\",\"\xC3\x83 \xC2\xA9\"";
static const char BYTE_LEVEL[] = "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"use_regex\":false}";

static void append_file(const made *m, tp_str *out) {
    tp_str_appendf(out, "{\"added_tokens\":[%s],\"normalizer\":%s,\"pre_tokenizer\":%s,\"post_processor\":%s,",
                   m->added ? m->added : "", m->normalizer ? m->normalizer : "null",
                   m->pre_tokenizer ? m->pre_tokenizer : BYTE_LEVEL, m->post_processor ? m->post_processor : "null");
    tp_str_appendf(out, "\"model\":{\"type\":\"BPE\",%s\"vocab\":{%s},\"merges\":[%s]}}", m->model ? m->model : "",
                   m->vocab ? m->vocab : LETTERS, m->merges ? m->merges : MERGES);
}

static tp_tokenizer *load_made(const made *m) {
    char *dir = check_temp_dir();
    tp_str text = {0};
    append_file(m, &text);
    write_in(dir, "tokenizer.json", text.data, text.len);
    if (m->config) write_in(dir, "tokenizer_config.json", m->config, strlen(m->config));
    if (m->model_config) write_in(dir, "config.json", m->model_config, strlen(m->model_config));
    tp_tokenizer *t = tp_tokenizer_load(dir, NULL);
    tp_str_free(&text);
    check_remove_dir(dir);
    return t;
}

static tp_tokenizer *must_load(const made *m) {
    tp_tokenizer *t = load_made(m);
    check_not_null(t);
    return t;
}

static void assert_refused(const made *m, const char *why) {
    tp_tokenizer *t = load_made(m);
    assert_null(t);
    if (strstr(tp_last_error(), why) == NULL) fail_msg("`%s` does not say `%s`", tp_last_error(), why);
}

/* ---- merging ---- */

static void lower_ranks_merge_first(void **state) {
    (void)state;
    tp_tokenizer *t = must_load(&(made){0});
    assert_text_ids(t, "abcd", 0, 6, 3);      /* bc, then a+bc; abc+d is no merge */
    assert_text_ids(t, "abab", 0, 4, 4);      /* */
    assert_text_ids(t, "aab", 0, 0, 4);       /* */
    assert_text_ids(t, "acd a", 0, 0, 7, 10); /* */
    assert_text_ids(t, "\xC3\xA9", 0, 16);    /* two bytes of one letter */
    assert_text_ids(t, "a?b", 0, 4);          /* a byte without a token is dropped, as the reference does */
    assert_string_equal(tp_tokenizer_piece(t, 10, NULL), " a");
    assert_null(tp_tokenizer_piece(t, 17, NULL));
    assert_null(tp_tokenizer_piece(t, -1, NULL));
    assert_int_equal(tp_tokenizer_size(t), 17);
    assert_int_equal(tp_tokenizer_bos(t), -1);
    tp_tokenizer_free(t);
    t = must_load(&(made){.model = "\"ignore_merges\":true,"});
    assert_text_ids(t, "abcd", 0, 8);
    tp_tokenizer_free(t);
    t = must_load(&(made){.merges = "[\"b\",\"c\"],[\"a\",\"b\"],[\"\xC4\xA0\",\"a\"]"});
    assert_text_ids(t, "abcd a", 0, 0, 5, 3, 10);
    tp_tokenizer_free(t);
}

/* The heap for long words must agree with the plain search for short ones: a long word made of stretches that cannot
 * join ("d" joins with nothing to its right) is the same as its stretches one by one. */
static void long_words_merge_as_short_ones(void **state) {
    (void)state;
    tp_tokenizer *t = must_load(
        &(made){.vocab = "\"a\":0,\"b\":1,\"aa\":2,\"ab\":3,\"ba\":4,\"aaaa\":5,\"aab\":6,\"bab\":7,\"abab\":8",
                .merges = "\"b a\",\"a a\",\"aa aa\",\"a b\",\"ba b\",\"aa b\",\"ab ab\""});
    tp_rng rng = tp_rng_stream(3, "words", 0);
    for (int round = 0; round < 200; round++) {
        char word[500];
        size_t n = 1 + tp_rng_below(&rng, 499);
        for (size_t i = 0; i < n; i++) word[i] = tp_rng_below(&rng, 3) ? 'a' : 'b';
        /* the plain rule, by hand: again and again the leftmost pair of the least rank */
        static const int32_t merges[7][3] = {{1, 0, 4}, {0, 0, 2}, {2, 2, 5}, {0, 1, 3},
                                             {4, 1, 7}, {2, 1, 6}, {3, 3, 8}};
        int32_t ids[500];
        size_t n_ids = n;
        for (size_t i = 0; i < n; i++) ids[i] = word[i] - 'a';
        for (int rank = 0; rank < 7;) {
            size_t at = 0;
            while (at + 1 < n_ids && (ids[at] != merges[rank][0] || ids[at + 1] != merges[rank][1])) at++;
            if (at + 1 >= n_ids) {
                rank++;
                continue;
            }
            ids[at] = merges[rank][2];
            n_ids--;
            memmove(ids + at + 1, ids + at + 2, (n_ids - at - 1) * sizeof *ids);
            rank = 0;
        }
        assert_ids(t, word, n, 0, ids, n_ids, "random word");
    }
    tp_tokenizer_free(t);
}

/* ---- cutting words ---- */

static void pre_tokenizers_keep_words_apart(void **state) {
    (void)state;
    char *sequence = tp_format(
        "{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Digits\",\"individual_digits\":true},%s]}", BYTE_LEVEL);
    tp_tokenizer *t = must_load(&(made){.pre_tokenizer = sequence});
    assert_text_ids(t, "ab12", 0, 4, 11, 12);
    tp_tokenizer_free(t);
    tp_free(sequence);
    static const struct {
        const char *split;
        int32_t ids[5];
        size_t n;
    } cases[] = {{"{\"Regex\":\"b\"},\"behavior\":\"Isolated\",\"invert\":false", {0, 1, 2}, 3},
                 {"{\"Regex\":\"b\"},\"behavior\":\"Removed\",\"invert\":false", {0, 2}, 2},
                 {"{\"Regex\":\"b\"},\"behavior\":\"Removed\",\"invert\":true", {1}, 1},
                 {"{\"Regex\":\"b\"},\"behavior\":\"MergedWithPrevious\",\"invert\":false", {4, 2}, 2},
                 {"{\"Regex\":\"b\"},\"behavior\":\"MergedWithNext\",\"invert\":false", {0, 5}, 2},
                 {"{\"String\":\"b\"},\"behavior\":\"Isolated\",\"invert\":false", {0, 1, 2}, 3},
                 {"{\"String\":\".\"},\"behavior\":\"Isolated\",\"invert\":false", {6}, 1}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        sequence = tp_format("{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\",\"pattern\":%s},%s]}",
                             cases[i].split, BYTE_LEVEL);
        t = must_load(&(made){.pre_tokenizer = sequence});
        assert_ids(t, "abc", 3, 0, cases[i].ids, cases[i].n, cases[i].split);
        tp_tokenizer_free(t);
        tp_free(sequence);
    }
    t = must_load(&(made){.pre_tokenizer = "{\"type\":\"ByteLevel\",\"add_prefix_space\":true,\"use_regex\":true}"});
    assert_text_ids(t, "ab12", 0, 9, 4, 13); /* " ab" and "12" */
    assert_text_ids(t, "a", TP_TOKENS_NO_PREFIX, 0);
    assert_text_ids(t, " a", 0, 10);
    tp_tokenizer_free(t);
}

static void nfc_composes_what_is_valid(void **state) {
    (void)state;
    tp_tokenizer *t =
        must_load(&(made){.normalizer = "{\"type\":\"NFC\"}",
                          .vocab = "\"e\":0,\"\xC3\x8C\":1,\"\xC4\xA3\":2,\"\xC3\x83\":3,\"\xC2\xA9\":4,\"\xC3\xBF\":5",
                          .merges = ""});
    assert_text_ids(t, "e\xCC\x81", 0, 3, 4);           /* e and an acute accent are one letter */
    assert_text_ids(t, "e\xFF\xCC\x81", 0, 0, 5, 1, 2); /* \xCC\x81 is written \xC3\x8C \xC4\xA3 */
    assert_text_ids(t,
                    "\xFF"
                    "e\xCC\x81\xFF",
                    0, 5, 3, 4, 5);
    tp_tokenizer_free(t);
}

/* ---- SentencePiece style ---- */

#define BLANK "\xE2\x96\x81"

static const char PIECES[] = "\"<unk>\":0,\"<s>\":1,\"</s>\":2,\"<0xE4>\":3,\"<0xBD>\":4,\"<0xA0>\":5,\"" BLANK
                             "\":6,\"h\":7,\"i\":8,\"" BLANK "h\":9,\"" BLANK "hi\":10,\"hi\":11,\"<0xFF>\":12";
static const char PIECE_MERGES[] = "\"" BLANK " h\",\"" BLANK "h i\",\"h i\"";
static const char PIECE_MODEL[] = "\"unk_token\":\"<unk>\",\"byte_fallback\":true,\"fuse_unk\":true,";
static const char PIECE_SPECIALS[] = "{\"id\":0,\"content\":\"<unk>\",\"special\":true,\"normalized\":false},"
                                     "{\"id\":1,\"content\":\"<s>\",\"special\":true,\"normalized\":false},"
                                     "{\"id\":2,\"content\":\"</s>\",\"special\":true,\"normalized\":false}";
static const char PREPEND[] =
    "{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Prepend\",\"prepend\":\"" BLANK "\"},"
    "{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},\"content\":\"" BLANK "\"}]}";
static const char TEMPLATE[] =
    "{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"<s>\",\"type_id\":0}},"
    "{\"Sequence\":{\"id\":\"A\",\"type_id\":0}},{\"SpecialToken\":{\"id\":\"</s>\",\"type_id\":0}}],"
    "\"pair\":[],\"special_tokens\":{\"<s>\":{\"id\":\"<s>\",\"ids\":[1],\"tokens\":[\"<s>\"]},"
    "\"</s>\":{\"id\":\"</s>\",\"ids\":[2],\"tokens\":[\"</s>\"]}}}";

static made pieces_made(void) {
    return (made){.vocab = PIECES,
                  .merges = PIECE_MERGES,
                  .model = PIECE_MODEL,
                  .added = PIECE_SPECIALS,
                  .normalizer = PREPEND,
                  .pre_tokenizer = "null",
                  .post_processor = TEMPLATE};
}

static void blanks_are_pieces_and_bytes_a_last_resort(void **state) {
    (void)state;
    made m = pieces_made();
    tp_tokenizer *t = must_load(&m);
    assert_text_ids(t, "hi hi", 0, 10, 10);
    assert_text_ids(t, "hi", TP_TOKENS_NO_PREFIX, 11);
    assert_text_ids(t, "hi", TP_TOKENS_ADD_SPECIAL, 1, 10, 2);
    assert_text_ids(t, "\xE4\xBD\xA0\xFF", 0, 6, 3, 4, 5, 12);
    assert_text_ids(t, "xyz", 0, 6, 0);      /* no byte tokens for these, and unknowns fuse */
    assert_text_ids(t, "x\xE4", 0, 6, 0, 3); /* half a character is a byte */
    assert_text_ids(t, "<s>", 0, 6, 0);      /* plain text unless asked */
    assert_text_ids(t, "hi</s>hi", TP_TOKENS_PARSE_SPECIAL, 10, 2, 10);
    tp_ids empty = {0};
    check_ok(tp_tokenizer_encode(t, "", 0, 0, &empty));
    assert_int_equal(empty.len, 0);
    assert_round_trip(t, "hi  hi", 6, 0);
    assert_round_trip(t, "</s>hi<s> hi", 12, TP_TOKENS_PARSE_SPECIAL);
    assert_round_trip(t, " hi", 3, TP_TOKENS_NO_PREFIX);
    const int32_t ids[] = {1, 10, 99, -5, 10, 2};
    char *text = tp_tokenizer_decode(t, ids, 6, TP_TOKENS_SKIP_SPECIAL, NULL);
    assert_string_equal(text, "hi hi"); /* ids that do not exist stand for nothing */
    tp_free(text);
    assert_string_equal(tp_tokenizer_kind(t), "SentencePiece BPE");
    tp_tokenizer_free(t);
}

static void metaspace_puts_blanks_where_its_scheme_says(void **state) {
    (void)state;
    static const struct {
        const char *scheme;
        int32_t plain, behind_special;
    } cases[] = {{"\"prepend_scheme\":\"always\"", 10, 10},
                 {"\"prepend_scheme\":\"first\"", 10, 11},
                 {"\"prepend_scheme\":\"never\"", 11, 11},
                 {"\"add_prefix_space\":false", 11, 11}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        made m = pieces_made();
        char *pre = tp_format("{\"type\":\"Metaspace\",\"replacement\":\"" BLANK "\",%s}", cases[i].scheme);
        m.normalizer = NULL;
        m.pre_tokenizer = pre;
        tp_tokenizer *t = must_load(&m);
        assert_ids(t, "hi", 2, 0, &cases[i].plain, 1, pre);
        assert_text_ids(t, "hi", TP_TOKENS_NO_PREFIX, 11);
        const int32_t expected[] = {2, cases[i].behind_special, 10};
        assert_ids(t, "</s>hi hi", 9, TP_TOKENS_PARSE_SPECIAL, expected, 3, pre);
        assert_text_ids(t, " hi", 0, 10); /* it has its blank */
        assert_round_trip(t, "</s>hi hi", 9, TP_TOKENS_PARSE_SPECIAL);
        tp_tokenizer_free(t);
        tp_free(pre);
    }
}

/* ---- added tokens ---- */

static void added_tokens_are_cut_out_first(void **state) {
    (void)state;
    tp_tokenizer *t = must_load(&(made){
        .added = "{\"id\":20,\"content\":\"<x>\",\"special\":true},{\"id\":21,\"content\":\"<x><y>\",\"special\":true},"
                 "{\"id\":22,\"content\":\"bc\",\"special\":false,\"single_word\":true},"
                 "{\"id\":23,\"content\":\"!\",\"special\":false,\"lstrip\":true,\"rstrip\":true}",
        .vocab = "\"a\":0,\"b\":1,\"c\":2,\"\xC4\xA0\":3,\"<\":4,\"x\":5,\">\":6",
        .merges = ""});
    assert_text_ids(t, "a<x>b", TP_TOKENS_PARSE_SPECIAL, 0, 20, 1);
    assert_text_ids(t, "<x><y><x>", TP_TOKENS_PARSE_SPECIAL, 21, 20); /* the longest */
    assert_text_ids(t, "<x>", 0, 4, 5, 6);
    assert_text_ids(t, "bc abc bca bc", 0, 22, 3, 0, 1, 2, 3, 1, 2, 0, 3, 22); /* alone, without being asked */
    assert_text_ids(t, "a  !  b", 0, 0, 23, 1);
    assert_text_ids(t, "! !", 0, 23, 23);
    assert_true(tp_tokenizer_is_special(t, 20));
    assert_false(tp_tokenizer_is_special(t, 22));
    assert_int_equal(tp_tokenizer_size(t), 24);
    tp_tokenizer_free(t);
}

static void the_folder_says_what_goes_around_a_text(void **state) {
    (void)state;
    made m = pieces_made();
    m.post_processor = NULL;
    m.config =
        "{\"bos_token\":{\"content\":\"<s>\"},\"eos_token\":\"</s>\",\"add_bos_token\":true,\"add_eos_token\":true,"
        "\"model_max_length\":1000000000000000019884624838656}";
    tp_tokenizer *t = must_load(&m);
    assert_text_ids(t, "hi", TP_TOKENS_ADD_SPECIAL, 1, 10, 2);
    assert_int_equal(tp_tokenizer_bos(t), 1);
    assert_int_equal(tp_tokenizer_eos(t), 2);
    char first[33];
    strcpy(first, tp_tokenizer_fingerprint(t));
    assert_int_equal(strlen(first), 32);
    tp_tokenizer_free(t);
    m = pieces_made(); /* the template adds both; this takes BOS away again */
    m.config = "{\"bos_token\":\"<s>\",\"add_bos_token\":false}";
    m.model_config = "{\"bos_token_id\":2,\"eos_token_id\":[2,1]}";
    t = must_load(&m);
    assert_text_ids(t, "hi", TP_TOKENS_ADD_SPECIAL, 10, 2);
    assert_false(tp_tokenizer_adds_bos(t));
    assert_int_equal(tp_tokenizer_bos(t), 1);
    assert_int_equal(tp_tokenizer_eos(t), 2); /* from config.json */
    assert_string_not_equal(tp_tokenizer_fingerprint(t), first);
    tp_tokenizer_free(t);
    m.config = "{\"bos_token\":null}";
    t = must_load(&m);
    assert_int_equal(tp_tokenizer_bos(t), -1); /* said to be none */
    tp_tokenizer_free(t);
    m.config = "{\"bos_token\":\"<start>\"}";
    assert_refused(&m, "`bos_token` is `<start>`");
    m.config = "{\"bos_token\":7}";
    assert_refused(&m, "`bos_token`");
    m.config = "{\"add_bos_token\":\"yes\"}";
    assert_refused(&m, "`add_bos_token` is a string");
    m.config = "{";
    assert_refused(&m, "tokenizer_config.json is not valid JSON");
}

/* ---- what is refused ---- */

static void json_that_lies_is_refused_in_a_sentence(void **state) {
    (void)state;
    assert_refused(&(made){.vocab = "\"a\":0,\"b\":0"}, "the id 0 is given to the token `b`");
    assert_refused(&(made){.vocab = "\"a\":-1"}, "`a` is not an integer from 0");
    assert_refused(&(made){.vocab = "\"a\":2147483647"}, "`a` is not an integer from 0");
    assert_refused(&(made){.vocab = "\"a\":99999999999999999999"}, "not valid JSON");
    assert_refused(&(made){.vocab = "\"a\":\"b\""}, "`a` is not an integer");
    assert_refused(&(made){.vocab = ""}, "`model.vocab`");
    assert_refused(&(made){.merges = "\"a x\""}, "merge 0 names the token `x`");
    assert_refused(&(made){.merges = "\"a b\",\"a d\""}, "merge 1 makes the token `ad`");
    assert_refused(&(made){.merges = "\"ab\""}, "merge 0 is neither");
    assert_refused(&(made){.merges = "\"a b c\""}, "merge 0 is neither");
    assert_refused(&(made){.merges = "[\"a\"]"}, "merge 0 is neither");
    assert_refused(&(made){.merges = "7"}, "merge 0 is neither");
    assert_refused(&(made){.merges = "\" a\""}, "merge 0 names the token ``");
    assert_refused(&(made){.model = "\"unk_token\":\"<unk>\","}, "`model.unk_token` is `<unk>`");
    assert_refused(&(made){.model = "\"continuing_subword_prefix\":\"##\","}, "`model.continuing_subword_prefix`");
    assert_refused(&(made){.model = "\"continuing_subword_prefix\":3,"}, "`model.continuing_subword_prefix`");
    assert_refused(&(made){.model = "\"end_of_word_suffix\":\"\xE2\x96\x81\","}, "not written in the alphabet");
    assert_refused(&(made){.model = "\"byte_fallback\":3,"}, "`model.byte_fallback`");
    assert_refused(&(made){.added = "{\"id\":1,\"content\":\"<s>\"}"}, "another token there");
    assert_refused(&(made){.added = "{\"id\":30,\"content\":\"a\"}"}, "it under another");
    assert_refused(&(made){.added = "{\"id\":30,\"content\":\"x\"},{\"id\":30,\"content\":\"y\"}"},
                   "another token there");
    assert_refused(&(made){.added = "{\"id\":100000000,\"content\":\"x\"}"}, "added_tokens.id");
    assert_refused(&(made){.added = "{\"content\":\"x\"}"}, "added_tokens.id");
    assert_refused(&(made){.normalizer = "{\"type\":\"ByteLevel\"}"}, "the normalizer `ByteLevel` is not supported");
    assert_refused(&(made){.normalizer = "{\"type\":\"Replace\",\"pattern\":{\"Regex\":\"[\"},\"content\":\"\"}"},
                   "is not a regular expression");
    assert_refused(&(made){.normalizer = "{\"type\":\"Replace\",\"pattern\":{\"Regex\":\"[a[b]]\"},\"content\":\"\"}"},
                   "a class inside a class");
    assert_refused(&(made){.normalizer = "{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"AAAA\"}"},
                   "the precompiled character map (3 bytes)");
    assert_refused(&(made){.pre_tokenizer = "{\"type\":\"FixedLength\"}"}, "the pre-tokenizer `FixedLength`");
    assert_refused(&(made){.model = "\"dropout\":0.1,"}, "`model.dropout` is set");
    assert_refused(
        &(made){.pre_tokenizer = "{\"type\":\"Split\",\"pattern\":{\"Regex\":\"(\"},\"behavior\":\"Isolated\"}"},
        "is not a regular expression");
    assert_refused(&(made){.post_processor = "{\"type\":\"BertProcessing\",\"cls\":[\"a\",99],\"sep\":[\"a\",0]}"},
                   "the post-processor's `cls`");
    assert_refused(&(made){.post_processor = "{\"type\":\"Foo\"}"}, "the post-processor `Foo`");
    assert_refused(&(made){.post_processor =
                               "{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"<s>\"}}],"
                               "\"special_tokens\":{\"<s>\":{\"ids\":[17]}}}"},
                   "has an id outside 0..16");
}

/* Steps that multiply each other stop at a bound, and leave nothing half done. */
static void normalizers_cannot_fill_the_memory(void **state) {
    (void)state;
    tp_str steps = {0};
    for (int i = 0; i < 12; i++)
        tp_str_appendf(&steps,
                       "%s{\"type\":\"Replace\",\"pattern\":{\"String\":\"a\"},\"content\":\"aaaaaaaaaaaaaaaa\"}",
                       i ? "," : "{\"type\":\"Sequence\",\"normalizers\":[");
    tp_str_append_text(&steps, "]}");
    tp_tokenizer *t = must_load(&(made){.normalizer = steps.data});
    tp_ids ids = {0};
    assert_int_equal(tp_tokenizer_encode(t, "aaaa", 4, 0, &ids), TP_ERR_FORMAT);
    assert_non_null(strstr(tp_last_error(), "more than 64 times as long"));
    assert_int_equal(ids.len, 0);
    tp_ids_free(&ids);
    tp_tokenizer_free(t);
    char *content = tp_format("{\"type\":\"Prepend\",\"prepend\":\"%0129d\"}", 7);
    assert_refused(&(made){.normalizer = content}, "a normaliser writes a text of 129 bytes");
    tp_free(content);
    tp_str_free(&steps);
}

static void catastrophic_patterns_end(void **state) {
    (void)state;
    char *sequence =
        tp_format("{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\",\"pattern\":{\"Regex\":\"(a|aa)+$\"},"
                  "\"behavior\":\"Isolated\"},%s]}",
                  BYTE_LEVEL);
    tp_tokenizer *t = must_load(&(made){.pre_tokenizer = sequence});
    char text[200];
    memset(text, 'a', sizeof text);
    text[199] = 'b';
    tp_ids ids = {0};
    tp_ids_append(&ids, 42);
    assert_int_equal(tp_tokenizer_encode(t, text, sizeof text, 0, &ids), TP_ERR_FORMAT);
    assert_non_null(strstr(tp_last_error(), "pattern failed"));
    assert_int_equal(ids.len, 1); /* nothing half done */
    tp_ids_free(&ids);
    tp_tokenizer_free(t);
    tp_free(sequence);
}

/* ---- damage of any kind ---- */

static void damaged_json_never_crashes(void **state) {
    (void)state;
    made m = pieces_made();
    tp_str one = {0}, two = {0};
    append_file(&m, &one);
    append_file(&(made){0}, &two);
    assert_damage_is_survived("tokenizer.json", one.data, one.len, NULL, 300);
    assert_damage_is_survived("tokenizer.json", two.data, two.len, NULL, 300);
    tp_str_free(&one);
    tp_str_free(&two);
}

static void places_without_a_tokenizer_are_named(void **state) {
    (void)state;
    char *dir = check_temp_dir();
    assert_null(tp_tokenizer_load(dir, NULL));
    assert_non_null(strstr(tp_last_error(), "neither tokenizer.json nor tokenizer.model"));
    assert_null(tp_tokenizer_load("/no-such/tokenizer.json", NULL));
    assert_non_null(strstr(tp_last_error(), "/no-such/tokenizer.json"));
    check_remove_dir(dir);
    tp_tokenizer_free(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lower_ranks_merge_first),
        cmocka_unit_test(long_words_merge_as_short_ones),
        cmocka_unit_test(pre_tokenizers_keep_words_apart),
        cmocka_unit_test(nfc_composes_what_is_valid),
        cmocka_unit_test(blanks_are_pieces_and_bytes_a_last_resort),
        cmocka_unit_test(metaspace_puts_blanks_where_its_scheme_says),
        cmocka_unit_test(added_tokens_are_cut_out_first),
        cmocka_unit_test(the_folder_says_what_goes_around_a_text),
        cmocka_unit_test(json_that_lies_is_refused_in_a_sentence),
        cmocka_unit_test(catastrophic_patterns_end),
        cmocka_unit_test(normalizers_cannot_fill_the_memory),
        cmocka_unit_test(damaged_json_never_crashes),
        cmocka_unit_test(places_without_a_tokenizer_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
