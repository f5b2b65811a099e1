/* Reading tiktoken rank files: one token a line, "base64-of-its-bytes rank". The rank is the id and the order of
 * merging: two neighbours may be joined when their bytes together are a token, the lowest rank first. The file names
 * neither its pre-tokenizer pattern nor its special tokens, so both come from the `pattern` the caller gives. */
#include "base/mem.h"
#include "text/base64.h"
#include "text/tokenizer_parts.h"

#include <string.h>

typedef struct published { /* what goes with the ranks of a model family */
    const char *name, *const *regex;
    const char *const *specials; /* ids from `first_special` on; NULL-terminated */
    int32_t first_special;
    int32_t n_specials; /* where there are more than names: "<|reserved_special_token_k|>" */
    int32_t first_reserved;
    const char *bos, *eos;
    bool adds_bos;
} published;

static const char *const llama3_specials[] = {"<|begin_of_text|>",
                                              "<|end_of_text|>",
                                              "<|reserved_special_token_0|>",
                                              "<|reserved_special_token_1|>",
                                              "<|finetune_right_pad_id|>",
                                              "<|reserved_special_token_2|>",
                                              "<|start_header_id|>",
                                              "<|end_header_id|>",
                                              "<|eom_id|>",
                                              "<|eot_id|>",
                                              "<|python_tag|>",
                                              NULL};
static const char *const qwen2_specials[] = {"<|endoftext|>", "<|im_start|>", "<|im_end|>", NULL};

static const published families[] = {
    {"llama3", &TP_PATTERN_LLAMA3, llama3_specials, 128000, 256, 3, "<|begin_of_text|>", "<|end_of_text|>", true},
    {"qwen2", &TP_PATTERN_QWEN2, qwen2_specials, 151643, 3, 0, NULL, "<|endoftext|>", false},
};

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

static tp_status add_specials(tp_tokenizer *t, const published *family, const char *path) {
    int32_t reserved = family->first_reserved, names = 0;
    while (family->specials[names] != NULL) names++;
    for (int32_t i = 0; i < family->n_specials; i++) {
        tp_added_token token = {.id = family->first_special + i, .special = true};
        if (tp_vocab_has(&t->vocab, token.id))
            return tp_fail(TP_ERR_FORMAT, "%s: rank %d belongs to a special token of %s", path, token.id, family->name);
        char *text =
            i < names ? tp_strdup(family->specials[i]) : tp_format("<|reserved_special_token_%d|>", reserved++);
        tp_vocab_set(&t->pieces, token.id, text, strlen(text));
        tp_ids_append(&t->specials, token.id);
        tp_added_put(&t->raw_added, text, strlen(text), token);
        if (family->bos != NULL && strcmp(text, family->bos) == 0) t->bos = token.id;
        if (strcmp(text, family->eos) == 0) t->eos = token.id;
        tp_free(text);
    }
    tp_added_finish(&t->raw_added);
    if (family->adds_bos) tp_ids_append(&t->before, t->bos);
    return TP_OK;
}

tp_status tp_tokenizer_read_tiktoken(tp_tokenizer *t, const char *bytes, size_t n, const char *path,
                                     const char *pattern) {
    const published *family = NULL;
    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++)
        if (pattern != NULL && strcmp(families[i].name, pattern) == 0) family = &families[i];
    if (family == NULL)
        return tp_fail(
            TP_ERR_ARGUMENT,
            "%s is a tiktoken rank file, which does not say how words are cut: name its pattern, `llama3` or "
            "`qwen2`%s%.40s",
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
    tp_pattern *compiled = tp_pattern_compile(*family->regex, strlen(*family->regex), path);
    if (compiled == NULL) return tp_last_status();
    tp_step *step = tp_steps_add(&t->pre_tokenizers, TP_STEP_SPLIT);
    step->pattern = compiled;
    step->how = TP_SPLIT_ISOLATED;
    return TP_OK;
}
