/* Escaping. See escape.h. */
#include "report/escape.h"

#include <string.h>
#include <utf8proc.h>

#define REPLACEMENT "\xEF\xBF\xBD"

/* What no reader should meet: controls, surrogates and noncharacters, and the marks that turn text around (a name must
 * not rearrange the words beside it). */
static bool is_harmful(utf8proc_int32_t c) {
    return (c < 0x20 && c != '\n') || (c >= 0x7F && c < 0xA0) || (c & 0xFFFE) == 0xFFFE ||
           (c >= 0xFDD0 && c <= 0xFDEF) || (c >= 0x202A && c <= 0x202E) || (c >= 0x2066 && c <= 0x2069) ||
           c == 0x200E || c == 0x200F || c == 0x061C || c == 0xFEFF || c == 0x2028 || c == 0x2029;
}

/* The next character as it may be written: *at moves behind it, *n is its length. */
static const char *next(const char **at, size_t *n) {
    const char *here = *at;
    utf8proc_int32_t code = -1;
    utf8proc_ssize_t used = utf8proc_iterate((const utf8proc_uint8_t *)here, (utf8proc_ssize_t)strnlen(here, 4), &code);
    *at = here + (used > 0 ? used : 1);
    *n = used > 0 ? (size_t)used : 1;
    if (used > 0 && (code == '\t' || code == '\r')) return " ";
    if (used > 0 && !is_harmful(code)) return here;
    *n = sizeof REPLACEMENT - 1;
    return REPLACEMENT;
}

void tp_escape_html(tp_str *out, const char *text) {
    size_t n;
    while (*text) {
        const char *c = next(&text, &n);
        switch (*c) {
        case '&':
            tp_str_append_text(out, "&amp;");
            break;
        case '<':
            tp_str_append_text(out, "&lt;");
            break;
        case '>':
            tp_str_append_text(out, "&gt;");
            break;
        case '"':
            tp_str_append_text(out, "&quot;");
            break;
        case '\'':
            tp_str_append_text(out, "&#39;");
            break;
        default:
            tp_str_append(out, c, n);
        }
    }
}

void tp_escape_markdown(tp_str *out, const char *text) {
    size_t n;
    while (*text) {
        const char *c = next(&text, &n);
        if (*c == '\n')
            tp_str_append_char(out, ' ');
        else if (*c == '<')
            tp_str_append_text(out, "&lt;");
        else if (*c == '&')
            tp_str_append_text(out, "&amp;");
        else if (strchr("\\`*_[]|", *c))
            tp_str_appendf(out, "\\%c", *c);
        else
            tp_str_append(out, c, n);
    }
}

void tp_escape_csv(tp_str *out, const char *text) {
    tp_str field = {0};
    size_t n;
    bool formula = *text && strchr("=+-@", *text) && text[strspn(text, "+-.0123456789eE")];
    if (formula) tp_str_append_char(&field, '\'');
    while (*text) {
        const char *c = next(&text, &n);
        if (*c == '"') tp_str_append_char(&field, '"');
        tp_str_append(&field, c, n);
    }
    const char *clean = field.data ? field.data : "";
    bool quoted = clean[strcspn(clean, ",\"\n")] || *clean == ' ' || (field.len && clean[field.len - 1] == ' ');
    tp_str_appendf(out, "%s%s%s", quoted ? "\"" : "", clean, quoted ? "\"" : "");
    tp_str_free(&field);
}

char *tp_clean_text(const char *text) {
    tp_str out = {0};
    size_t n;
    while (*text) {
        const char *c = next(&text, &n);
        tp_str_append(&out, c, n);
    }
    return tp_str_take(&out);
}
