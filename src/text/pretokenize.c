/* Pre-tokenizers on PCRE2.
 *
 * The models' patterns were written for Oniguruma and Rust's regex crates, whose \s is Unicode's White_Space; PCRE2's
 * is a little wider (U+180E), so \s and \S are rewritten to that property. PCRE2 wants valid UTF-8, texts need not be:
 * the pattern is run on each valid stretch, and every byte between them is a word of its own. */
#include "text/pretokenize.h"

#include "base/mem.h"
#include "base/str.h"
#include "text/unicode.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <string.h>

const char *const TP_PATTERN_GPT2 =
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
const char *const TP_PATTERN_LLAMA3 =
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|"
    "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
const char *const TP_PATTERN_QWEN2 =
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|"
    "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

struct tp_pattern {
    pcre2_code *code;
    char *name;
};

void tp_spans_append(tp_spans *spans, size_t begin, size_t end) {
    if (begin >= end) return;
    tp_grow(&spans->data, &spans->capacity, spans->len, sizeof *spans->data);
    spans->data[spans->len++] = (tp_span){begin, end};
}

void tp_spans_free(tp_spans *spans) {
    tp_free(spans->data);
    *spans = (tp_spans){0};
}

static char *with_unicode_blanks(const char *regex, size_t n, size_t *length) {
    tp_str out = {0};
    for (size_t i = 0; i < n; i++) {
        if (regex[i] != '\\' || i + 1 == n) {
            tp_str_append_char(&out, regex[i]);
            continue;
        }
        i++;
        if (regex[i] == 's' || regex[i] == 'S') {
            tp_str_append_text(&out, regex[i] == 's' ? "\\p{White_Space}" : "\\P{White_Space}");
        } else {
            tp_str_append(&out, regex + i - 1, 2);
        }
    }
    *length = out.len;
    return tp_str_take(&out);
}

tp_pattern *tp_pattern_compile(const char *regex, size_t n, const char *name) {
    if (tp_utf8_valid_prefix(regex, n) != n)
        return tp_fail_null(TP_ERR_FORMAT, "%s: the pre-tokenizer's pattern is not valid UTF-8", name);
    size_t length;
    char *rewritten = with_unicode_blanks(regex, n, &length);
    int error;
    PCRE2_SIZE at;
    pcre2_code *code = pcre2_compile((PCRE2_SPTR)rewritten, length, PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C,
                                     &error, &at, NULL);
    tp_free(rewritten);
    if (code == NULL) {
        PCRE2_UCHAR why[256];
        pcre2_get_error_message(error, why, sizeof why);
        return tp_fail_null(TP_ERR_FORMAT, "%s: the pre-tokenizer's pattern `%.*s` is not a regular expression: %s",
                            name, (int)(n < 200 ? n : 200), regex, (const char *)why);
    }
    pcre2_jit_compile(code, PCRE2_JIT_COMPLETE); /* where there is no JIT, matching is slower and the same */
    tp_pattern *pattern = tp_alloc(sizeof *pattern);
    pattern->code = code;
    pattern->name = tp_strdup(name);
    return pattern;
}

void tp_pattern_free(tp_pattern *pattern) {
    if (pattern == NULL) return;
    pcre2_code_free(pattern->code);
    tp_free(pattern->name);
    tp_free(pattern);
}

/* Where the words of one valid stretch are collected: `open` is where text not handed out yet begins. */
typedef struct splitter {
    tp_split how;
    tp_spans *out;
    size_t open;
} splitter;

static void take_match(splitter *s, size_t begin, size_t end) {
    switch (s->how) {
    case TP_SPLIT_ISOLATED:
        tp_spans_append(s->out, s->open, begin);
        tp_spans_append(s->out, begin, end);
        break;
    case TP_SPLIT_MATCHES:
        tp_spans_append(s->out, begin, end);
        break;
    case TP_SPLIT_GAPS:
        tp_spans_append(s->out, s->open, begin);
        break;
    case TP_SPLIT_WITH_PREVIOUS:
        tp_spans_append(s->out, s->open, end);
        break;
    case TP_SPLIT_WITH_NEXT:
        tp_spans_append(s->out, s->open, begin);
        s->open = begin;
        return;
    }
    s->open = end;
}

static tp_status split_valid(const tp_pattern *pattern, pcre2_match_data *match, const char *text, tp_span within,
                             tp_split how, tp_spans *out) {
    PCRE2_SPTR subject = (PCRE2_SPTR)text + within.begin;
    size_t n = within.end - within.begin, at = 0;
    splitter s = {how, out, within.begin};
    while (at < n) {
        int found = pcre2_match(pattern->code, subject, n, at, PCRE2_NO_UTF_CHECK, match, NULL);
        if (found == PCRE2_ERROR_JIT_STACKLIMIT) /* the interpreter keeps its stack on the heap */
            found = pcre2_match(pattern->code, subject, n, at, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, match, NULL);
        if (found == PCRE2_ERROR_NOMATCH) break;
        if (found < 0) {
            PCRE2_UCHAR why[256];
            pcre2_get_error_message(found, why, sizeof why);
            return tp_fail(TP_ERR_FORMAT, "%s: the pre-tokenizer's pattern failed on a text of %zu bytes: %s",
                           pattern->name, n, (const char *)why);
        }
        const PCRE2_SIZE *bounds = pcre2_get_ovector_pointer(match);
        size_t begin = bounds[0], end = bounds[1];
        if (begin < at || end < begin || end > n) { /* \K in a lookaround can do this */
            return tp_fail(TP_ERR_FORMAT, "%s: the pre-tokenizer's pattern matches outside of where it was asked to",
                           pattern->name);
        }
        if (end > begin) take_match(&s, within.begin + begin, within.begin + end);
        if (end > begin) {
            at = end;
        } else { /* an empty match says nothing: go on behind the next character */
            uint32_t code;
            at = end + tp_utf8_decode((const char *)subject + end, n - end, &code);
            if (at == end) break;
        }
    }
    if (how != TP_SPLIT_MATCHES) tp_spans_append(out, s.open, within.end);
    return TP_OK;
}

tp_status tp_pattern_split(const tp_pattern *pattern, const char *text, tp_span within, tp_split how, tp_spans *out) {
    pcre2_match_data *match = pcre2_match_data_create_from_pattern(pattern->code, NULL);
    if (match == NULL) return tp_fail(TP_ERR_MEMORY, "out of memory for a regular expression's match");
    tp_status status = TP_OK;
    size_t at = within.begin;
    while (at < within.end && status == TP_OK) {
        size_t valid = tp_utf8_valid_prefix(text + at, within.end - at);
        status = split_valid(pattern, match, text, (tp_span){at, at + valid}, how, out);
        at += valid;
        if (at < within.end) {
            tp_spans_append(out, at, at + 1);
            at++;
        }
    }
    pcre2_match_data_free(match);
    return status;
}
