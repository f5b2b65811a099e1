/* Reading tiktoken rank files: one token a line, "base64-of-its-bytes rank". The rank is the id and the order of
 * merging: two neighbours may be joined when their bytes together are a token, the lowest rank first. The file names
 * neither its pre-tokenizer pattern nor its special tokens, so both come from the `pattern` the caller gives. */
#include "base/mem.h"
#include "text/base64.h"
#include "text/patterns.h"
#include "text/tokenizer_parts.h"

#include <stdio.h>
#include <string.h>

typedef struct special {
    int32_t id;
    const char *text; /* NULL behind the last */
} special;

typedef struct published { /* what goes with the ranks of a model family */
    const char *names;     /* with a blank between them */
    const char *patterns;  /* name in patterns.h */
    special specials[12];
    int32_t first_reserved, n_reserved; /* ids of "<|reserved_special_token_K|>", the first K being 3 */
    const char *bos, *eos;
} published;

static const published families[] = {
    {"llama3",
     "llama3",
     {{128000, "<|begin_of_text|>"},
      {128001, "<|end_of_text|>"},
      {128002, "<|reserved_special_token_0|>"},
      {128003, "<|reserved_special_token_1|>"},
      {128004, "<|finetune_right_pad_id|>"},
      {128005, "<|reserved_special_token_2|>"},
      {128006, "<|start_header_id|>"},
      {128007, "<|end_header_id|>"},
      {128008, "<|eom_id|>"},
      {128009, "<|eot_id|>"},
      {128010, "<|python_tag|>"}},
     128011,
     245,
     "<|begin_of_text|>",
     "<|end_of_text|>"},
    {"qwen2",
     "qwen2",
     {{151643, "<|endoftext|>"}, {151644, "<|im_start|>"}, {151645, "<|im_end|>"}},
     0,
     0,
     NULL,
     "<|endoftext|>"},
    {"gpt2 r50k_base", "gpt-2", {{50256, "<|endoftext|>"}}, 0, 0, NULL, "<|endoftext|>"},
    {"cl100k cl100k_base",
     "llama3",
     {{100257, "<|endoftext|>"},
      {100258, "<|fim_prefix|>"},
      {100259, "<|fim_middle|>"},
      {100260, "<|fim_suffix|>"},
      {100276, "<|endofprompt|>"}},
     0,
     0,
     NULL,
     "<|endoftext|>"},
    {"o200k o200k_base",
     "gpt-4o",
     {{199999, "<|endoftext|>"}, {200018, "<|endofprompt|>"}},
     0,
     0,
     NULL,
     "<|endoftext|>"},
};
enum { N_FAMILIES = sizeof families / sizeof families[0] };

static tp_status read_line(tp_tokenizer *t, const char *line, size_t n, size_t number, int64_t most, const char *path,
                           tp_str *bytes) {
    const char *blank = memchr(line, ' ', n);
    size_t digits = blank ? n - (size_t)(blank - line) - 1 : 0;
    tp_str_clear(bytes);
    if (blank == NULL || blank - line > TP_LONGEST_TOKEN || !tp_base64_append(bytes, line, (size_t)(blank - line)))
        return tp_fail(TP_ERR_FORMAT, "%s: line %zu is not a token in base64, a blank and a rank", path, number);
    int64_t rank = digits == 0 || digits > 9 ? -1 : 0;
    for (size_t i = 0; i < digits && rank >= 0; i++)
        rank = blank[1 + i] >= '0' && blank[1 + i] <= '9' ? 10 * rank + (blank[1 + i] - '0') : -1;
    if (rank < 0 || rank > most)
        return tp_fail(TP_ERR_FORMAT, "%s: the rank in line %zu is not an integer from 0 to %lld", path, number,
                       (long long)most);
    if (tp_vocab_has(&t->vocab, (int32_t)rank))
        return tp_fail(TP_ERR_FORMAT, "%s: the rank %lld in line %zu was given before", path, (long long)rank, number);
    tp_vocab_set(&t->vocab, (int32_t)rank, bytes->data, bytes->len);
    tp_vocab_set(&t->pieces, (int32_t)rank, bytes->data, bytes->len);
    if (!tp_vocab_index(&t->vocab, (int32_t)rank))
        return tp_fail(TP_ERR_FORMAT, "%s: the token in line %zu was there before", path, number);
    return TP_OK;
}

static tp_status read_lines(tp_tokenizer *t, const char *bytes, size_t n, const char *path) {
    int64_t n_lines = 0;
    for (size_t i = 0; i < n; i++) n_lines += bytes[i] == '\n';
    int64_t most = 4 * n_lines + 65535; /* ranks may have gaps, but not arbitrary ones */
    if (most > TP_MOST_TOKENS) most = TP_MOST_TOKENS;
    tp_vocab_reserve(&t->vocab, (size_t)(n_lines < most ? n_lines : most));
    tp_bpe_reserve(t->bpe, 2 * (size_t)(n_lines < most ? n_lines : most));
    size_t number = 1;
    tp_str token = {0};
    tp_status status = TP_OK;
    for (size_t at = 0; at < n && status == TP_OK; number++) {
        const char *feed = memchr(bytes + at, '\n', n - at);
        size_t end = feed ? (size_t)(feed - bytes) : n, length = end - at;
        if (length > 0 && bytes[at + length - 1] == '\r') length--;
        if (length > 0) status = read_line(t, bytes + at, length, number, most, path, &token);
        at = end + 1;
    }
    tp_str_free(&token);
    return status;
}

static tp_status add_special(tp_tokenizer *t, const published *family, special s, const char *path) {
    tp_added_token token = {.id = s.id, .special = true};
    if (tp_vocab_has(&t->vocab, s.id))
        return tp_fail(TP_ERR_FORMAT, "%s: rank %d belongs to a special token of %s", path, s.id, family->names);
    tp_vocab_set(&t->pieces, s.id, s.text, strlen(s.text));
    tp_ids_append(&t->specials, s.id);
    tp_added_put(&t->raw_added, s.text, strlen(s.text), token);
    if (family->bos != NULL && strcmp(s.text, family->bos) == 0) t->bos = s.id;
    if (strcmp(s.text, family->eos) == 0) t->eos = s.id;
    return TP_OK;
}

static tp_status add_specials(tp_tokenizer *t, const published *family, const char *path) {
    for (const special *s = family->specials; s->text != NULL; s++) TP_TRY(add_special(t, family, *s, path));
    for (int32_t i = 0; i < family->n_reserved; i++) {
        char text[64];
        snprintf(text, sizeof text, "<|reserved_special_token_%d|>", 3 + i);
        TP_TRY(add_special(t, family, (special){family->first_reserved + i, text}, path));
    }
    tp_added_finish(&t->raw_added);
    if (t->bos >= 0) tp_ids_append(&t->before, t->bos);
    return TP_OK;
}

static tp_status add_patterns(tp_tokenizer *t, const published *family, const char *path) {
    const tp_named_patterns *patterns = tp_patterns_find(family->patterns);
    for (int i = 0; i < TP_MOST_PATTERNS && patterns->regex[i] != NULL; i++) {
        tp_pattern *compiled = tp_pattern_compile(patterns->regex[i], strlen(patterns->regex[i]), path);
        if (compiled == NULL) return tp_last_status();
        tp_step *step = tp_steps_add(&t->pre_tokenizers, TP_STEP_SPLIT);
        step->pattern = compiled;
        step->how = TP_SPLIT_ISOLATED;
    }
    return TP_OK;
}

tp_status tp_tokenizer_read_tiktoken(tp_tokenizer *t, const char *bytes, size_t n, const char *path,
                                     const char *pattern) {
    const published *family = NULL;
    for (int i = 0; i < N_FAMILIES && pattern != NULL; i++)
        if (tp_has_word(families[i].names, pattern)) family = &families[i];
    if (family == NULL)
        return tp_fail(TP_ERR_ARGUMENT,
                       "%s is a tiktoken rank file, which does not say how words are cut: name its pattern, `llama3`, "
                       "`qwen2`, `gpt2`, `cl100k_base` or `o200k_base`%s%.40s",
                       path, pattern ? ", not " : "", pattern ? pattern : "");
    t->byte_level = t->whole_words = true;
    TP_TRY(read_lines(t, bytes, n, path));
    for (int byte = 0; byte < 256; byte++) {
        char c = (char)byte;
        t->byte_id[byte] = tp_vocab_find(&t->vocab, &c, 1);
        if (t->byte_id[byte] < 0)
            return tp_fail(TP_ERR_FORMAT, "%s has no token for the byte 0x%02X, all 256 were expected", path,
                           (unsigned)byte);
    }
    for (size_t id = 0; id < t->vocab.size; id++)
        if (tp_vocab_has(&t->vocab, (int32_t)id)) tp_tokenizer_add_splits(t, (int32_t)id, (int32_t)id);
    TP_TRY(add_specials(t, family, path));
    t->size = (int32_t)t->pieces.size;
    return add_patterns(t, family, path);
}
