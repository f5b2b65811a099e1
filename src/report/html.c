/* A document as one HTML page. See writers.h. */
#include "report/writers.h"

#include "base/str.h"
#include "report/escape.h"

#include <math.h>
#include <string.h>

enum { MANY_COLUMNS = 9 }; /* that take the whole width of the window */

static void element(tp_str *out, const char *tag, const char *attributes, const char *text) {
    tp_str_appendf(out, "<%s%s>", tag, attributes);
    tp_escape_html(out, text);
    tp_str_appendf(out, "</%s>\n", tag);
}

/* Text of our own: a percent sign or a unit stays with its number. */
static void own_element(tp_str *out, const char *tag, const char *attributes, const char *text) {
    tp_str joined = {0};
    for (const char *c = text; *c; c++) {
        if (c[0] == ' ' && (c[1] == '%' || strncmp(c + 1, "ms", 2) == 0))
            tp_str_append_text(&joined, "\u00a0");
        else
            tp_str_append_char(&joined, *c);
    }
    element(out, tag, attributes, joined.data ? joined.data : "");
    tp_str_free(&joined);
}

static void contents(tp_str *out, const tp_doc *doc) {
    tp_str_append_text(out, "<nav aria-label=\"Contents\"><ol>\n");
    for (size_t i = 0; i < doc->n; i++) {
        if (doc->blocks[i].kind != TP_BLOCK_SECTION) continue;
        tp_str_append_text(out, "<li><a href=\"#");
        tp_escape_html(out, doc->blocks[i].id);
        tp_str_append_text(out, "\">");
        tp_escape_html(out, doc->blocks[i].text);
        tp_str_append_text(out, "</a></li>\n");
    }
    tp_str_append_text(out, "</ol></nav>\n");
}

static void section(tp_str *out, const tp_block *b) {
    tp_str_append_text(out, "<h2 id=\"");
    tp_escape_html(out, b->id);
    tp_str_append_text(out, "\"><a href=\"#");
    tp_escape_html(out, b->id);
    tp_str_append_text(out, "\">");
    tp_escape_html(out, b->text);
    tp_str_append_text(out, "</a></h2>\n");
}

/* ---- tables ---- */

static void cell(tp_str *out, const tp_sheet *s, size_t row, size_t column) {
    static const char *const tones[] = {"", "yes", "no", "open"};
    size_t i = row * s->n_columns + column;
    const tp_cell *c = i < s->n_cells ? &s->cells[i] : NULL;
    const tp_column *k = &s->columns[column];
    const char *tone = c ? tones[c->tone] : "", *tag = column == 0 ? "th" : "td";
    const char *kind = k->number ? "num" : k->prose ? "prose" : "";
    tp_str_appendf(out, "<%s%s", tag, column == 0 ? " scope=\"row\"" : "");
    const char *lines = *tone && strchr(c->text, '\n') ? " lines" : "";
    if (*tone || *kind) tp_str_appendf(out, " class=\"%s%s%s%s\"", kind, *tone && *kind ? " " : "", tone, lines);
    tp_str_append_char(out, '>');
    if (c) tp_escape_html(out, c->text);
    tp_str_appendf(out, "</%s>", tag);
}

static void table(tp_str *out, const tp_block *b) {
    const tp_sheet *s = &b->sheet;
    tp_str_appendf(out, "<div class=\"scroll%s\" role=\"region\" tabindex=\"0\" aria-label=\"",
                   s->n_columns > MANY_COLUMNS ? " full" : "");
    tp_escape_html(out, b->text);
    tp_str_append_text(out, "\"><table>\n");
    tp_str_append_text(out, "<caption>");
    own_element(out, "span", "", b->text); /* which stays in view where the table is wider than the screen */
    tp_str_append_text(out, "</caption>\n");
    tp_str_append_text(out, "<thead><tr>");
    for (size_t c = 0; c < s->n_columns; c++) {
        tp_str_appendf(out, "<th scope=\"col\"%s>", s->columns[c].number ? " class=\"num\"" : "");
        tp_escape_html(out, s->columns[c].heading);
        tp_str_append_text(out, "</th>");
    }
    tp_str_append_text(out, "</tr></thead>\n<tbody>\n");
    for (size_t r = 0; r < tp_sheet_rows(s); r++) {
        const char *group = tp_sheet_group_at(s, r);
        if (group) {
            tp_str_appendf(out, "<tr class=\"group\"><th scope=\"rowgroup\" colspan=\"%zu\">", s->n_columns);
            tp_escape_html(out, group);
            tp_str_append_text(out, "</th></tr>\n");
        }
        tp_str_append_text(out, tp_sheet_is_strong(s, r) ? "<tr class=\"strong\">" : "<tr>");
        for (size_t c = 0; c < s->n_columns; c++) cell(out, s, r, c);
        tp_str_append_text(out, "</tr>\n");
    }
    tp_str_append_text(out, "</tbody></table></div>\n");
}

/* ---- figures ---- */

static void figure(tp_str *out, const tp_block *b) {
    tp_str_appendf(out, "<figure%s>", b->wide ? " class=\"wide\"" : "");
    own_element(out, "figcaption", "", b->text);
    if (b->wide) {
        tp_str_append_text(out, "<div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-label=\"");
        tp_escape_html(out, b->text);
        tp_str_append_text(out, "\">");
    }
    tp_str_append_text(out, b->body);
    tp_str_append_text(out, b->wide ? "</div></figure>\n" : "</figure>\n");
}

static void marked(tp_str *out, const tp_block *b) {
    enum { SHADES = 6 };
    if (*b->text) element(out, "p", " class=\"note\"", b->text);
    tp_str_append_text(out, "<p class=\"marked\">");
    for (size_t i = 0; i < b->n_words; i++) {
        int shade = b->words[i].weight > 0 ? (int)ceil(fmin(b->words[i].weight, 1) * SHADES) : 0;
        if (shade) tp_str_appendf(out, "<span class=\"w%d\">", shade);
        tp_escape_html(out, b->words[i].text);
        if (shade) tp_str_append_text(out, "</span>");
    }
    tp_str_append_text(out, "</p>\n");
}

static void code(tp_str *out, const tp_block *b) {
    tp_str_append_text(out, "<details>");
    element(out, "summary", "", b->text);
    element(out, "pre", "", b->body);
    tp_str_append_text(out, "</details>\n");
}

static bool is_panel(const tp_doc *doc, size_t i) {
    return i < doc->n && doc->blocks[i].kind == TP_BLOCK_FIGURE && !doc->blocks[i].wide;
}

static void block(tp_str *out, const tp_doc *doc, size_t i) {
    const tp_block *b = &doc->blocks[i];
    bool panel = is_panel(doc, i);
    if (panel && (i == 0 || !is_panel(doc, i - 1))) /* one or two stand where the text begins */
        tp_str_appendf(out, "<div class=\"panels%s\">\n", is_panel(doc, i + 1) && is_panel(doc, i + 2) ? "" : " few");
    switch (b->kind) {
    case TP_BLOCK_SECTION:
        section(out, b);
        break;
    case TP_BLOCK_PART:
        element(out, "h3", "", b->text);
        break;
    case TP_BLOCK_TEXT:
        own_element(out, "p", "", b->text);
        break;
    case TP_BLOCK_NOTE:
        own_element(out, "p", " class=\"note\"", b->text);
        break;
    case TP_BLOCK_TABLE:
        table(out, b);
        break;
    case TP_BLOCK_FIGURE:
        figure(out, b);
        break;
    case TP_BLOCK_MARKED:
        marked(out, b);
        break;
    case TP_BLOCK_CODE:
        code(out, b);
        break;
    }
    if (panel && !is_panel(doc, i + 1)) tp_str_append_text(out, "</div>\n");
}

char *tp_doc_html(const tp_doc *doc) {
    tp_str out = {0};
    /* nothing may be loaded and nothing run, whatever a label holds */
    tp_str_append_text(&out, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n"
                             "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n"
                             "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
                             "style-src 'unsafe-inline'\"/>\n");
    element(&out, "title", "", doc->title);
    tp_str_append_text(&out, "<style>\n");
    for (size_t i = 0; tp_report_style[i]; i++) tp_str_append_text(&out, tp_report_style[i]);
    tp_str_append_text(&out, "</style>\n</head>\n<body>\n<header>\n");
    element(&out, "h1", "", doc->title);
    element(&out, "p", " class=\"subtitle\"", doc->subtitle);
    contents(&out, doc);
    tp_str_append_text(&out, "</header>\n<main>\n");
    for (size_t i = 0; i < doc->n; i++) block(&out, doc, i);
    tp_str_append_text(&out, "</main>\n<footer></footer>\n</body>\n</html>\n");
    return tp_str_take(&out);
}
