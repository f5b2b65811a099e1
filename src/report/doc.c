/* Documents in memory. See doc.h. */
#include "report/doc.h"

#include "base/mem.h"
#include "report/number.h"

#include <assert.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static char *vformat(const char *format, va_list args) {
    va_list again;
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, again);
    va_end(again);
    char *text = tp_alloc((size_t)(n < 0 ? 0 : n) + 1);
    if (n > 0) vsnprintf(text, (size_t)n + 1, format, args);
    return text;
}

/* The text of a printf-like function's arguments. */
#define FORMATTED(text)                                                                                                \
    va_list args;                                                                                                      \
    va_start(args, format);                                                                                            \
    char *text = vformat(format, args);                                                                                \
    va_end(args)

tp_doc *tp_doc_new(void) {
    return tp_alloc(sizeof(tp_doc));
}

static void free_sheet(tp_sheet *s) {
    tp_free(s->name);
    for (size_t i = 0; i < s->n_columns; i++) tp_free(s->columns[i].heading);
    for (size_t i = 0; i < s->n_cells; i++) tp_free(s->cells[i].text);
    for (size_t i = 0; i < s->n_groups; i++) tp_free(s->groups[i].title);
    tp_free(s->columns);
    tp_free(s->cells);
    tp_free(s->groups);
    tp_free(s->strong);
}

void tp_doc_cut(tp_doc *doc, size_t n) {
    while (doc->n > n) {
        tp_block *b = &doc->blocks[--doc->n];
        tp_free(b->id);
        tp_free(b->text);
        tp_free(b->body);
        free_sheet(&b->sheet);
        for (size_t w = 0; w < b->n_words; w++) tp_free(b->words[w].text);
        tp_free(b->words);
    }
}

void tp_doc_free(tp_doc *doc) {
    if (doc == NULL) return;
    tp_doc_cut(doc, 0);
    tp_free(doc->blocks);
    tp_free(doc->title);
    tp_free(doc->subtitle);
    tp_free(doc);
}

/* Takes the text over. */
static tp_block *add(tp_doc *doc, tp_block_kind kind, char *text) {
    tp_grow(&doc->blocks, &doc->capacity, doc->n, sizeof *doc->blocks);
    tp_block *b = &doc->blocks[doc->n++];
    *b = (tp_block){.kind = kind, .text = text};
    return b;
}

void tp_doc_section(tp_doc *doc, const char *id, const char *title) {
    add(doc, TP_BLOCK_SECTION, tp_strdup(title))->id = tp_strdup(id);
}

void tp_doc_part(tp_doc *doc, const char *format, ...) {
    FORMATTED(text);
    add(doc, TP_BLOCK_PART, text);
}

void tp_doc_text(tp_doc *doc, const char *format, ...) {
    FORMATTED(text);
    add(doc, TP_BLOCK_TEXT, text);
}

void tp_doc_note(tp_doc *doc, const char *format, ...) {
    FORMATTED(text);
    add(doc, TP_BLOCK_NOTE, text);
}

void tp_doc_code(tp_doc *doc, const char *title, const char *body) {
    add(doc, TP_BLOCK_CODE, tp_strdup(title))->body = tp_strdup(body);
}

void tp_doc_figure(tp_doc *doc, char *svg, bool wide, const char *format, ...) {
    FORMATTED(text);
    tp_block *b = add(doc, TP_BLOCK_FIGURE, text);
    b->body = svg;
    b->wide = wide;
}

void tp_doc_marked(tp_doc *doc, const char *caption, const char *const *words, const double *weights, size_t n) {
    tp_block *b = add(doc, TP_BLOCK_MARKED, tp_strdup(caption));
    b->words = tp_alloc(n * sizeof *b->words);
    b->n_words = n;
    for (size_t i = 0; i < n; i++) b->words[i] = (tp_word){tp_strdup(words[i]), weights[i]};
}

/* ---- tables ---- */

tp_sheet *tp_doc_table(tp_doc *doc, const char *name, const char *format, ...) {
    FORMATTED(text);
    tp_block *b = add(doc, TP_BLOCK_TABLE, text);
    b->sheet.name = tp_strdup(name);
    return &b->sheet;
}

void tp_sheet_column(tp_sheet *s, const char *heading) {
    assert(strchr("<>=", heading[0]) && s->n_cells == 0);
    tp_grow(&s->columns, &s->columns_capacity, s->n_columns, sizeof *s->columns);
    s->columns[s->n_columns++] =
        (tp_column){.heading = tp_strdup(heading + 1), .number = heading[0] == '>', .prose = heading[0] == '='};
}

void tp_sheet_group_row(tp_sheet *s, const char *title) {
    tp_grow(&s->groups, &s->groups_capacity, s->n_groups, sizeof *s->groups);
    s->groups[s->n_groups++] = (tp_sheet_group){s->n_cells / s->n_columns, tp_strdup(title)};
}

void tp_sheet_strong_row(tp_sheet *s) {
    tp_grow(&s->strong, &s->strong_capacity, s->n_strong, sizeof *s->strong);
    s->strong[s->n_strong++] = s->n_cells / s->n_columns;
}

static void put(tp_sheet *s, char *text, double value, tp_tone tone) {
    tp_grow(&s->cells, &s->cells_capacity, s->n_cells, sizeof *s->cells);
    s->cells[s->n_cells++] = (tp_cell){text, value, tone};
}

void tp_sheet_text(tp_sheet *s, const char *format, ...) {
    FORMATTED(text);
    put(s, text, NAN, TP_TONE_NONE);
}

void tp_sheet_number(tp_sheet *s, double value, int decimals) {
    char text[TP_NUMBER_SIZE];
    put(s, tp_strdup(tp_number_fixed(value, decimals, text)), value, TP_TONE_NONE);
}

void tp_sheet_percent(tp_sheet *s, double share) {
    char text[TP_NUMBER_SIZE];
    put(s, tp_strdup(tp_number_percent(share, text)), share, TP_TONE_NONE);
}

void tp_sheet_short(tp_sheet *s, double value) {
    char text[TP_NUMBER_SIZE];
    put(s, tp_strdup(tp_number_short(value, text)), value, TP_TONE_NONE);
}

void tp_sheet_value(tp_sheet *s, tp_tone tone, double value, const char *format, ...) {
    FORMATTED(text);
    put(s, text, value, tone);
}

size_t tp_sheet_rows(const tp_sheet *s) {
    return s->n_columns ? (s->n_cells + s->n_columns - 1) / s->n_columns : 0;
}

bool tp_sheet_is_strong(const tp_sheet *s, size_t row) {
    for (size_t i = 0; i < s->n_strong; i++)
        if (s->strong[i] == row) return true;
    return false;
}

const char *tp_sheet_group_at(const tp_sheet *s, size_t row) {
    for (size_t i = 0; i < s->n_groups; i++)
        if (s->groups[i].row == row) return s->groups[i].title;
    return NULL;
}
