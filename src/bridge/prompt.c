/* Prompts that fit. See prompt.h. */
#include "bridge/prompt.h"

#include "base/mem.h"
#include "data/task.h"

typedef struct {
    const tp_tokenizer *tokenizer;
    const char *prompt_template, *text;
    size_t len;
    tp_side side;
    unsigned flags;
    tp_ids *out;
} prompt;

static bool continues_a_character(char byte) {
    return ((unsigned char)byte & 0xC0) == 0x80;
}

/* Appends the ids of the prompt with `keep` bytes of its text, or a little fewer, to whole characters. */
static tp_status encode_keeping(const prompt *p, size_t keep) {
    const char *text = p->text;
    if (p->side == TP_SIDE_RIGHT) {
        while (keep > 0 && keep < p->len && continues_a_character(text[keep])) keep--;
    } else {
        while (keep > 0 && keep < p->len && continues_a_character(text[p->len - keep])) keep--;
        text += p->len - keep;
    }
    size_t n;
    char *filled = tp_prompt_fill(p->prompt_template, text, keep, &n);
    tp_status status = tp_tokenizer_encode(p->tokenizer, filled, n, p->flags, p->out);
    tp_free(filled);
    return status;
}

tp_status tp_prompt_encode(const tp_tokenizer *tokenizer, const char *prompt_template, const char *text, size_t len,
                           int64_t max_tokens, tp_side side, unsigned flags, tp_ids *out, bool *truncated) {
    prompt p = {tokenizer, prompt_template, text, len, side, flags, out};
    size_t before = out->len;
    if (truncated) *truncated = false;
    TP_TRY(encode_keeping(&p, len));
    if (max_tokens == 0 || (int64_t)(out->len - before) <= max_tokens) return TP_OK;

    if (truncated) *truncated = true;
    size_t fits = 0, too_many = len; /* bytes: the count of tokens grows with them, give or take a merge */
    while (too_many - fits > 1) {
        size_t middle = fits + (too_many - fits) / 2;
        out->len = before;
        TP_TRY(encode_keeping(&p, middle));
        if ((int64_t)(out->len - before) <= max_tokens)
            fits = middle;
        else
            too_many = middle;
    }
    out->len = before;
    TP_TRY(encode_keeping(&p, fits));
    int64_t n = (int64_t)(out->len - before);
    if (n <= max_tokens) return TP_OK;
    out->len = before;
    return tp_fail(TP_ERR_ARGUMENT,
                   "the prompt \"%.80s\" takes %lld tokens without any text in it, at most %lld are allowed",
                   prompt_template, (long long)n, (long long)max_tokens);
}
