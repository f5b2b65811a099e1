/* Aligned tables. See table.h. */
#include "base/table.h"

#include "base/mem.h"
#include "base/str.h"

#include <assert.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <utf8proc.h>

/* The character at text (n > 0 bytes left): its bytes and its columns. */
static size_t next_character(const char *text, size_t n, size_t *columns) {
    utf8proc_int32_t code;
    utf8proc_ssize_t used = utf8proc_iterate((const utf8proc_uint8_t *)text, n > 8 ? 8 : (utf8proc_ssize_t)n, &code);
    if (used <= 0) {
        *columns = 1;
        return 1;
    }
    int width = utf8proc_charwidth(code);
    *columns = width < 0 ? 0 : (size_t)width;
    return (size_t)used;
}

size_t tp_text_width(const char *text, size_t n) {
    size_t width = 0, columns;
    for (size_t i = 0; i < n;) {
        i += next_character(text + i, n - i, &columns);
        width += columns;
    }
    return width;
}

size_t tp_text_fit(const char *text, size_t n, size_t columns) {
    size_t width = 0, wide, i = 0;
    while (i < n) {
        size_t used = next_character(text + i, n - i, &wide);
        if (width + wide > columns) break;
        i += used;
        width += wide;
    }
    return i;
}

typedef struct column {
    char *heading;
    bool right;
} column;

struct tp_table {
    column *columns;
    size_t n_columns, columns_capacity;
    char **cells;
    size_t n_cells, cells_capacity;
    size_t *rules; /* rows in front of which a rule stands */
    size_t n_rules, rules_capacity;
};

tp_table *tp_table_new(void) {
    return tp_alloc(sizeof(tp_table));
}

void tp_table_free(tp_table *t) {
    if (t == NULL) return;
    for (size_t i = 0; i < t->n_columns; i++) tp_free(t->columns[i].heading);
    for (size_t i = 0; i < t->n_cells; i++) tp_free(t->cells[i]);
    tp_free(t->columns);
    tp_free(t->cells);
    tp_free(t->rules);
    tp_free(t);
}

void tp_table_column(tp_table *t, const char *heading) {
    assert((heading[0] == '<' || heading[0] == '>') && t->n_cells == 0);
    tp_grow(&t->columns, &t->columns_capacity, t->n_columns, sizeof *t->columns);
    t->columns[t->n_columns++] = (column){.heading = tp_strdup(heading + 1), .right = heading[0] == '>'};
}

void tp_table_cell(tp_table *t, const char *format, ...) {
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    char *cell = tp_alloc((size_t)(n < 0 ? 0 : n) + 1);
    if (n > 0) vsnprintf(cell, (size_t)n + 1, format, again);
    va_end(again);
    for (char *c = cell; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7F) *c = ' ';
    tp_grow(&t->cells, &t->cells_capacity, t->n_cells, sizeof *t->cells);
    t->cells[t->n_cells++] = cell;
}

void tp_table_rule(tp_table *t) {
    tp_grow(&t->rules, &t->rules_capacity, t->n_rules, sizeof *t->rules);
    t->rules[t->n_rules++] = t->n_columns ? (t->n_cells + t->n_columns - 1) / t->n_columns : 0;
}

static void append_repeated(tp_str *out, const char *text, size_t times) {
    for (size_t i = 0; i < times; i++) tp_str_append_text(out, text);
}

/* One cell, padded to `width`; the last column of a plain table is not padded on its right. */
static void append_cell(tp_str *out, const char *cell, size_t width, bool right, bool last) {
    size_t own = tp_text_width(cell, strlen(cell)), pad = width > own ? width - own : 0;
    if (right) append_repeated(out, " ", pad);
    tp_str_append_text(out, cell);
    if (!right && !last) append_repeated(out, " ", pad);
}

/* cells == NULL: the headings; empty cells behind the `n` there are. */
static void append_row(tp_str *out, const tp_table *t, char **cells, size_t n, const size_t *widths,
                       tp_table_style style) {
    bool markdown = style == TP_TABLE_MARKDOWN;
    size_t start = out->len;
    for (size_t i = 0; i < t->n_columns; i++) {
        const char *cell = cells == NULL ? t->columns[i].heading : i < n ? cells[i] : "";
        tp_str_append_text(out, markdown ? "| " : i ? "  " : "");
        append_cell(out, cell, widths[i], t->columns[i].right, !markdown && i + 1 == t->n_columns);
        if (markdown) tp_str_append_char(out, ' ');
    }
    if (markdown) tp_str_append_char(out, '|');
    while (!markdown && out->len > start && out->data[out->len - 1] == ' ') out->data[--out->len] = '\0';
    tp_str_append_char(out, '\n');
}

static void append_rule(tp_str *out, const tp_table *t, const size_t *widths, tp_table_style style) {
    for (size_t i = 0; i < t->n_columns; i++) {
        if (style == TP_TABLE_PLAIN) {
            tp_str_append_text(out, i ? "  " : "");
            append_repeated(out, "-", widths[i]);
        } else {
            tp_str_append_text(out, "|");
            append_repeated(out, "-", widths[i] + 1);
            tp_str_append_text(out, t->columns[i].right ? ":" : "-");
        }
    }
    tp_str_append_text(out, style == TP_TABLE_PLAIN ? "\n" : "|\n");
}

char *tp_table_text(tp_table *t, tp_table_style style) {
    tp_str out = {0};
    if (t->n_columns == 0) return tp_str_take(&out);
    size_t *widths = tp_alloc(t->n_columns * sizeof *widths);
    for (size_t i = 0; i < t->n_columns; i++) {
        widths[i] = tp_text_width(t->columns[i].heading, strlen(t->columns[i].heading));
        for (size_t j = i; j < t->n_cells; j += t->n_columns) {
            size_t width = tp_text_width(t->cells[j], strlen(t->cells[j]));
            if (width > widths[i]) widths[i] = width;
        }
    }
    append_row(&out, t, NULL, 0, widths, style);
    append_rule(&out, t, widths, style);
    size_t rule = 0;
    for (size_t row = 0; row * t->n_columns < t->n_cells; row++) {
        bool ruled = false;
        for (; rule < t->n_rules && t->rules[rule] <= row; rule++) ruled = row > 0;
        if (ruled && style == TP_TABLE_PLAIN) append_rule(&out, t, widths, style);
        append_row(&out, t, t->cells + row * t->n_columns, t->n_cells - row * t->n_columns, widths, style);
    }
    tp_free(widths);
    return tp_str_take(&out);
}
