/* libFuzzer: any bytes are either refused with a sentence that names the file, or read as rows with texts and labels,
 * in each of the formats. And any fields that are written as a CSV record are read back as they were. */
#include "base/mem.h"
#include "base/str.h"
#include "data/clean.h"
#include "data/csv.h"
#include "data/rows.h"
#include "memory_file.h"

#include <ctype.h>
#include <string.h>

static void try_rows(const char *path, const tp_row_format *format) {
    tp_rows rows = {.arena = tp_arena_new()};
    tp_arena *arena = rows.arena;
    if (tp_rows_read(&rows, path, format) != TP_OK) {
        must(strstr(tp_last_error(), path) != NULL);
    } else {
        must(rows.n > 0);
        for (size_t i = 0; i < rows.n; i++) {
            const tp_row *r = &rows.items[i];
            must(r->text[r->len] == '\0' && r->line > 0);
            must(r->label ? r->label[0] != '\0' : r->answers && r->answers[0] && r->answers[0][0]);
            must(r->len == 0 || (!isspace((unsigned char)r->text[0]) && !isspace((unsigned char)r->text[r->len - 1])));
        }
    }
    tp_rows_free(&rows);
    tp_arena_free(arena);
}

/* Zero bytes part the fields. */
static void try_round_trip(const uint8_t *data, size_t size) {
    tp_str file = {0};
    tp_str_append_text(&file, "\"");
    size_t n_fields = 1;
    for (size_t i = 0; i < size; i++) {
        if (data[i] == '"')
            tp_str_append_text(&file, "\"\"");
        else if (data[i] == 0)
            tp_str_append_text(&file, "\",\""), n_fields++;
        else
            tp_str_append_char(&file, (char)data[i]);
    }
    tp_str_append_text(&file, "\"\r\n");
    tp_csv *csv = tp_csv_open(memory_file(file.data, file.len, NULL, 0), ',', true);
    must(csv != NULL && tp_csv_next(csv) && tp_csv_n_fields(csv) == n_fields);
    size_t at = 0;
    for (size_t k = 0; k < n_fields; k++) {
        size_t n;
        const char *field = tp_csv_field(csv, k, &n);
        must(n <= size - at && (n == 0 || memcmp(field, data + at, n) == 0));
        at += n + 1;
    }
    must(at == size + 1 && !tp_csv_next(csv) && tp_csv_status(csv) == TP_OK);
    tp_csv_close(csv);
    tp_str_free(&file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char *const options[] = {"a", "more.text", NULL};
    static const tp_row_format formats[] = {
        {.kind = TP_ROWS_PREFIXED, .label_end = ':'},
        {.kind = TP_ROWS_CSV, .clean_ag_news = true},
        {.kind = TP_ROWS_CSV, .header = true, .text_column = "text", .label_column = "label"},
        {.kind = TP_ROWS_TSV, .header = true, .text_column = "text", .label_column = "label"},
        {.kind = TP_ROWS_JSONL, .text_column = "text", .label_column = "label"},
        {.kind = TP_ROWS_JSON, .text = "{text}: {options}", .options = options, .label_column = "label"},
        {.kind = TP_ROWS_SQUAD, .text = "{question} {context}", .answers = "answers.text", .answer_after = "#"},
    };
    static const char header_csv[] = "text,label\n", header_tsv[] = "label\ttext\n";
    if (size == 0) return 0;
    int choice = *data++ % 10; /* one way at a time, to be quick */
    size--;
    if (choice < 5) try_rows(memory_file(data, size, NULL, 0), &formats[choice]);
    if (choice == 5) try_rows(memory_file(header_csv, sizeof header_csv - 1, data, size), &formats[2]);
    if (choice == 6) try_rows(memory_file(header_tsv, sizeof header_tsv - 1, data, size), &formats[3]);
    if (choice > 7) try_rows(memory_file(data, size, NULL, 0), &formats[choice - 3]);
    if (choice != 7) return 0;
    try_round_trip(data, size);
    tp_str once = {0};
    tp_clean_ag_news((const char *)data, size, &once);
    must(once.len <= 2 * size);
    tp_str_free(&once);
    return 0;
}
