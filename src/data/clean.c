/* The quirks of AG News, undone. See clean.h. */
#include "data/clean.h"

#include <ctype.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

static const struct {
    const char *name;
    uint32_t code;
} named[] = {{"quot", '"'},     {"amp", '&'},       {"lt", '<'},       {"gt", '>'},       {"nbsp", ' '},
             {"apos", '\''},    {"hellip", 0x2026}, {"rsquo", 0x2019}, {"lsquo", 0x2018}, {"ldquo", 0x201C},
             {"rdquo", 0x201D}, {"mdash", 0x2014},  {"ndash", 0x2013}, {"eacute", 0xE9}};

/* What numbers 128 to 159 mean when a Windows program wrote them (code page 1252); 0 where nothing is defined. */
static const uint16_t windows[32] = {0x20AC, 0,      0x201A, 0x0192, 0x201E, 0x2026, 0x2020, 0x2021,
                                     0x02C6, 0x2030, 0x0160, 0x2039, 0x0152, 0,      0x017D, 0,
                                     0,      0x2018, 0x2019, 0x201C, 0x201D, 0x2022, 0x2013, 0x2014,
                                     0x02DC, 0x2122, 0x0161, 0x203A, 0x0153, 0,      0x017E, 0x0178};

static void append_code(tp_str *out, uint32_t code) {
    if (code < 0x80) {
        tp_str_append_char(out, (char)code);
    } else if (code < 0x800) {
        tp_str_append_char(out, (char)(0xC0 | code >> 6));
        tp_str_append_char(out, (char)(0x80 | (code & 0x3F)));
    } else {
        tp_str_append_char(out, (char)(0xE0 | code >> 12));
        tp_str_append_char(out, (char)(0x80 | (code >> 6 & 0x3F)));
        tp_str_append_char(out, (char)(0x80 | (code & 0x3F)));
    }
}

/* An entity at p, with its ampersand or without: its character and length; false if there is none. A bare name counts
 * only at the beginning of a word ("Microsoft;" is not "soft;", "clk;" in a link is nothing). */
static bool entity_at(const char *p, size_t n, bool word_begins, uint32_t *code, size_t *used) {
    size_t at = n > 0 && p[0] == '&';
    if (at < n && p[at] == '#') {
        uint32_t value = 0;
        size_t digits = 0;
        for (at++; at < n && isdigit((unsigned char)p[at]) && digits < 5; at++, digits++)
            value = value * 10 + (uint32_t)(p[at] - '0');
        if (digits < 2 || at >= n || p[at] != ';') return false;
        if (value >= 128 && value < 160) value = windows[value - 128];
        if (value < 32 || value > 0xFFFF || (value >= 0xD800 && value < 0xE000)) return false;
        *code = value == 0xA0 ? ' ' : value;
        *used = at + 1;
        return true;
    }
    if (at == 0 && !word_begins) return false;
    for (size_t i = 0; i < sizeof named / sizeof named[0]; i++) {
        size_t length = strlen(named[i].name);
        if (n - at > length && memcmp(p + at, named[i].name, length) == 0 && p[at + length] == ';') {
            *code = named[i].code;
            *used = at + length + 1;
            return true;
        }
    }
    return false;
}

/* Length of the tag at p ("<br/>", "</FONT>"), 0 if there is none: "<KMRT.O>" is a share, not a tag. */
static size_t tag_at(const char *p, size_t n) {
    static const char *const tags[] = {"a",    "b",  "br", "p",     "i",  "u",  "em",  "font", "img", "strong",
                                       "span", "li", "ul", "table", "tr", "td", "div", "hr",   "h1",  "center"};
    size_t at = 1 + (n > 1 && p[1] == '/'), length = 0;
    while (at + length < n && isalnum((unsigned char)p[at + length])) length++;
    bool known = false;
    for (size_t i = 0; i < sizeof tags / sizeof tags[0] && !known; i++)
        known = strlen(tags[i]) == length && strncasecmp(p + at, tags[i], length) == 0;
    if (!known || at + length >= n || strchr(" />", p[at + length]) == NULL) return 0;
    const char *end = memchr(p, '>', n);
    return end ? (size_t)(end - p) + 1 : 0;
}

/* Whether what follows an apostrophe is the rest of a contraction or a genitive: "s", "t", "ll", "re", "ve", "d", "m".
 */
static bool contraction(const char *p, size_t n) {
    static const char *const endings[] = {"s", "t", "ll", "re", "ve", "d", "m"};
    for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++) {
        size_t length = strlen(endings[i]);
        if (n >= length && memcmp(p, endings[i], length) == 0 && (n == length || !isalpha((unsigned char)p[length])))
            return true;
    }
    return false;
}

void tp_clean_ag_news(const char *text, size_t n, tp_str *out) {
    tp_str raw = {0};
    bool quoting = false; /* every second cut-off quote closes, and then the blank before it is not the writer's */
    for (size_t i = 0; i < n;) {
        uint32_t code;
        size_t used;
        if (text[i] == '\\') {
            bool dollar = i + 1 < n && text[i + 1] == '$';
            tp_str_append_char(&raw, dollar ? '$' : ' ');
            i += 1 + dollar;
        } else if (entity_at(text + i, n - i, i == 0 || !isalnum((unsigned char)text[i - 1]), &code, &used)) {
            bool apostrophe = code == '\'' || code == 0x2019;
            bool glued = apostrophe ? contraction(text + i + used, n - i - used) : code == '"' && quoting;
            if (glued && raw.len > 0 && raw.data[raw.len - 1] == ' ') raw.data[--raw.len] = '\0';
            if (code == '"') quoting = !quoting;
            append_code(&raw, code);
            i += used;
        } else {
            tp_str_append_char(&raw, text[i++]);
        }
    }
    tp_str_clear(out);
    for (size_t i = 0; i < raw.len;) {
        size_t tag = raw.data[i] == '<' ? tag_at(raw.data + i, raw.len - i) : 0;
        bool blank = tag > 0 || isspace((unsigned char)raw.data[i]);
        if (!blank)
            tp_str_append_char(out, raw.data[i]);
        else if (out->len > 0 && out->data[out->len - 1] != ' ')
            tp_str_append_char(out, ' ');
        i += tag > 0 ? tag : 1;
    }
    while (out->len > 0 && out->data[out->len - 1] == ' ') out->data[--out->len] = '\0';
    tp_str_free(&raw);
}
