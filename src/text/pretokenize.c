/* Pre-tokenizers on PCRE2.
 *
 * The models' patterns were written for Oniguruma and Rust's regex crates, whose \s is Unicode's White_Space and whose
 * \w goes by Unicode's Alphabetic; PCRE2's are a little different, so they are rewritten to those properties. As in
 * Oniguruma, ^ and $ match at line feeds too. PCRE2 wants valid UTF-8, texts need not be:
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

/* What stands for \s, \S and \w: properties that other engines mean by them. `inside` a class they need no brackets. */
static const char *meaning_of(char escaped, bool inside) {
#define WORD "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\x{200C}\\x{200D}"
    switch (escaped) {
    case 's':
        return "\\p{White_Space}";
    case 'S':
        return "\\P{White_Space}";
    case 'w':
        return inside ? WORD : "[" WORD "]";
    case 'W':
        return inside ? NULL : "[^" WORD "]";
    default:
        return NULL;
    }
#undef WORD
}

/* The pattern in PCRE2's words; NULL if it holds a class inside a class, which Oniguruma knows and PCRE2 would read as
 * something else. */
static char *translate(const char *regex, size_t n, size_t *length) {
    tp_str out = {0};
    bool inside = false;
    for (size_t i = 0; i < n; i++) {
        const char *meaning = regex[i] == '\\' && i + 1 < n ? meaning_of(regex[i + 1], inside) : NULL;
        if (regex[i] == '\\' && i + 1 < n) {
            i++;
            if (meaning) {
                tp_str_append_text(&out, meaning);
            } else {
                tp_str_append(&out, regex + i - 1, 2);
            }
            continue;
        }
        bool named = inside && regex[i] == '[' && i + 1 < n && regex[i + 1] == ':'; /* [:alpha:] */
        const char *end = named ? memmem(regex + i, n - i, ":]", 2) : NULL;
        if (end != NULL) {
            size_t size = (size_t)(end - (regex + i)) + 2;
            tp_str_append(&out, regex + i, size);
            i += size - 1;
            continue;
        }
        if (inside && (regex[i] == '[' || (regex[i] == '&' && i + 1 < n && regex[i + 1] == '&'))) {
            tp_str_free(&out);
            return NULL;
        }
        tp_str_append_char(&out, regex[i]);
        if (!inside && regex[i] == '[') { /* a bracket that comes first in a class is a plain one */
            inside = true;
            if (i + 1 < n && regex[i + 1] == '^') tp_str_append_char(&out, regex[++i]);
            if (i + 1 < n && regex[i + 1] == ']') tp_str_append_char(&out, regex[++i]);
        } else if (regex[i] == ']') {
            inside = false;
        }
    }
    *length = out.len;
    return tp_str_take(&out);
}

tp_pattern *tp_pattern_compile(const char *regex, size_t n, const char *name) {
    if (tp_utf8_valid_prefix(regex, n) != n)
        return tp_fail_null(TP_ERR_FORMAT, "%s: the pre-tokenizer's pattern is not valid UTF-8", name);
    size_t length;
    char *rewritten = translate(regex, n, &length);
    if (rewritten == NULL)
        return tp_fail_null(TP_ERR_UNSUPPORTED, "%s: the pattern `%.*s` holds a class inside a class, not supported",
                            name, (int)(n < 200 ? n : 200), regex);
    int error;
    PCRE2_SIZE at;
    pcre2_code *code =
        pcre2_compile((PCRE2_SPTR)rewritten, length, PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C,
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

/* ---- matches ---- */

/* One pass over a valid stretch: where it looks next, and what it found. */
typedef struct scan {
    const tp_pattern *pattern;
    pcre2_match_data *match;
    const char *text;
    size_t n, at;
    size_t begin, end; /* of the match */
} scan;

/* TP_OK with s->begin == s->n + 1 where there is no further match. */
static tp_status next_match(scan *s) {
    PCRE2_SPTR subject = (PCRE2_SPTR)s->text;
    s->begin = s->end = s->n + 1;
    if (s->at > s->n) return TP_OK;
    int found = pcre2_match(s->pattern->code, subject, s->n, s->at, PCRE2_NO_UTF_CHECK, s->match, NULL);
    if (found == PCRE2_ERROR_JIT_STACKLIMIT) /* the interpreter keeps its stack on the heap */
        found = pcre2_match(s->pattern->code, subject, s->n, s->at, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, s->match, NULL);
    if (found == PCRE2_ERROR_NOMATCH) return TP_OK;
    if (found < 0) {
        PCRE2_UCHAR why[256];
        pcre2_get_error_message(found, why, sizeof why);
        return tp_fail(TP_ERR_FORMAT, "%s: the pre-tokenizer's pattern failed on a text of %zu bytes: %s",
                       s->pattern->name, s->n, (const char *)why);
    }
    const PCRE2_SIZE *bounds = pcre2_get_ovector_pointer(s->match);
    if (bounds[0] < s->at || bounds[1] < bounds[0] || bounds[1] > s->n) /* \K in a lookaround can do this */
        return tp_fail(TP_ERR_FORMAT, "%s: the pre-tokenizer's pattern matches outside of where it was asked to",
                       s->pattern->name);
    s->begin = bounds[0];
    s->end = s->at = bounds[1];
    if (s->end == s->begin) { /* go on behind the next character */
        uint32_t code;
        size_t length = tp_utf8_decode(s->text + s->end, s->n - s->end, &code);
        s->at += length ? length : 1;
    }
    return TP_OK;
}

/* ---- splitting ---- */

typedef struct splitter {
    tp_split how;
    bool inverted;
    tp_spans *out;
    tp_span open; /* not handed out yet, since it may grow; empty if there is none */
    bool open_matched;
} splitter;

static void close_open(splitter *s) {
    tp_spans_append(s->out, s->open.begin, s->open.end);
    s->open = (tp_span){0, 0};
    s->open_matched = false;
}

/* Takes the next piece of the text, a match or what is between two. */
static void take_piece(splitter *s, size_t begin, size_t end, bool matched) {
    if (begin == end) return;
    matched = matched != s->inverted;
    bool has_open = s->open.end > s->open.begin, grows = false;
    switch (s->how) {
    case TP_SPLIT_ISOLATED:
        break;
    case TP_SPLIT_GAPS:
        if (matched) return;
        break;
    case TP_SPLIT_CONTIGUOUS:
        grows = has_open && s->open_matched == matched;
        break;
    case TP_SPLIT_WITH_PREVIOUS:
        grows = has_open && matched && !s->open_matched;
        break;
    case TP_SPLIT_WITH_NEXT:
        grows = has_open && !matched && s->open_matched;
        break;
    }
    if (grows) {
        s->open.end = end;
    } else {
        close_open(s);
        s->open = (tp_span){begin, end};
    }
    s->open_matched = matched;
}

static tp_status split_valid(const tp_pattern *pattern, pcre2_match_data *match, const char *text, tp_span within,
                             splitter *s) {
    scan found = {.pattern = pattern, .match = match, .text = text + within.begin, .n = within.end - within.begin};
    size_t done = 0;
    for (;;) {
        TP_TRY(next_match(&found));
        if (found.begin > found.n) break;
        take_piece(s, within.begin + done, within.begin + found.begin, false); /* an empty match cuts, too */
        take_piece(s, within.begin + found.begin, within.begin + found.end, true);
        done = found.end;
    }
    take_piece(s, within.begin + done, within.end, false);
    close_open(s);
    return TP_OK;
}

tp_status tp_pattern_split(const tp_pattern *pattern, const char *text, tp_span within, tp_split how, bool inverted,
                           tp_spans *out) {
    pcre2_match_data *match = pcre2_match_data_create_from_pattern(pattern->code, NULL);
    if (match == NULL) return tp_fail(TP_ERR_MEMORY, "out of memory for a regular expression's match");
    tp_status status = TP_OK;
    size_t at = within.begin;
    splitter s = {.how = how, .inverted = inverted, .out = out};
    while (at < within.end && status == TP_OK) {
        size_t valid = tp_utf8_valid_prefix(text + at, within.end - at);
        status = split_valid(pattern, match, text, (tp_span){at, at + valid}, &s);
        at += valid;
        if (at < within.end) {
            tp_spans_append(out, at, at + 1);
            at++;
        }
    }
    pcre2_match_data_free(match);
    return status;
}

static tp_status replace_valid(scan *s, const char *to, tp_str *out) {
    size_t done = 0;
    for (;;) {
        TP_TRY(next_match(s));
        if (s->begin > s->n) break;
        tp_str_append(out, s->text + done, s->begin - done);
        tp_str_append_text(out, to);
        done = s->end;
    }
    tp_str_append(out, s->text + done, s->n - done);
    return TP_OK;
}

tp_status tp_pattern_replace(const tp_pattern *pattern, const char *text, size_t n, const char *to, tp_str *out) {
    pcre2_match_data *match = pcre2_match_data_create_from_pattern(pattern->code, NULL);
    if (match == NULL) return tp_fail(TP_ERR_MEMORY, "out of memory for a regular expression's match");
    tp_status status = TP_OK;
    for (size_t at = 0; at < n && status == TP_OK;) {
        scan s = {.pattern = pattern, .match = match, .text = text + at, .n = tp_utf8_valid_prefix(text + at, n - at)};
        status = s.n > 0 ? replace_valid(&s, to, out) : TP_OK;
        at += s.n;
        if (at < n) tp_str_append_char(out, text[at++]);
    }
    pcre2_match_data_free(match);
    return status;
}
