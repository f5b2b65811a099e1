/* A document's tables for programs: CSV and JSON. See writers.h. */
#include "report/writers.h"

#include "base/mem.h"
#include "base/str.h"
#include "report/escape.h"
#include "report/number.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>

char *tp_doc_csv(const tp_doc *doc) {
    tp_str out = {0};
    tp_str_append_text(&out, "table,group,row,column,value\n");
    for (size_t i = 0; i < doc->n; i++) {
        const tp_sheet *s = &doc->blocks[i].sheet;
        const char *group = "";
        for (size_t k = 0; k < s->n_cells; k++) {
            size_t row = k / s->n_columns, column = k % s->n_columns;
            char number[TP_NUMBER_SIZE];
            if (column == 0 && tp_sheet_group_at(s, row)) group = tp_sheet_group_at(s, row);
            tp_escape_csv(&out, s->name);
            tp_str_append_char(&out, ',');
            tp_escape_csv(&out, group);
            tp_str_appendf(&out, ",%zu,", row + 1);
            tp_escape_csv(&out, s->columns[column].heading);
            tp_str_append_char(&out, ',');
            tp_escape_csv(&out,
                          isnan(s->cells[k].value) ? s->cells[k].text : tp_number_exact(s->cells[k].value, number));
            tp_str_append_char(&out, '\n');
        }
    }
    return tp_str_take(&out);
}

static json_t *text_to_json(const char *text) {
    char *clean = tp_clean_text(text);
    json_t *value = json_string(clean);
    tp_free(clean);
    return value;
}

static json_t *cell_to_json(const tp_cell *cell) {
    if (isfinite(cell->value)) return json_real(cell->value);
    return cell->text[0] ? text_to_json(cell->text) : json_null();
}

static json_t *table_to_json(const tp_block *b) {
    const tp_sheet *s = &b->sheet;
    json_t *columns = json_array(), *rows = json_array();
    const char *group = NULL;
    for (size_t c = 0; c < s->n_columns; c++) json_array_append_new(columns, text_to_json(s->columns[c].heading));
    for (size_t r = 0; r < tp_sheet_rows(s); r++) {
        json_t *row = json_object();
        if (tp_sheet_group_at(s, r)) group = tp_sheet_group_at(s, r);
        if (group) json_object_set_new(row, "group", text_to_json(group));
        for (size_t c = 0; c < s->n_columns && r * s->n_columns + c < s->n_cells; c++)
            json_object_set_new(row, json_string_value(json_array_get(columns, c)),
                                cell_to_json(&s->cells[r * s->n_columns + c]));
        json_array_append_new(rows, row);
    }
    return json_pack("{s:o, s:o, s:o, s:o}", "name", text_to_json(s->name), "caption", text_to_json(b->text), "columns",
                     columns, "rows", rows);
}

char *tp_doc_json(const tp_doc *doc) {
    json_t *text = json_array(), *tables = json_array();
    for (size_t i = 0; i < doc->n; i++) {
        const tp_block *b = &doc->blocks[i];
        if (b->kind == TP_BLOCK_TEXT || b->kind == TP_BLOCK_NOTE) json_array_append_new(text, text_to_json(b->text));
        if (b->kind == TP_BLOCK_TABLE) json_array_append_new(tables, table_to_json(b));
    }
    json_t *value = json_pack("{s:o, s:o, s:o, s:o}", "title", text_to_json(doc->title), "subtitle",
                              text_to_json(doc->subtitle), "text", text, "tables", tables);
    char *dump = json_dumps(value, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
    json_decref(value);
    tp_str out = {0};
    tp_str_appendf(&out, "%s\n", dump);
    free(dump);
    return tp_str_take(&out);
}
