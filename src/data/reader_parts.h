/* What the two files of the row reader share: reader.c (lines, tables, and what is done to every row) and
 * reader_json.c (records in JSON). */
#ifndef TP_DATA_READER_PARTS_H
#define TP_DATA_READER_PARTS_H

#include "data/csv.h"
#include "data/fields.h"
#include "data/rows.h"
#include "data/text_lines.h"

struct tp_reader {
    char *path;
    const tp_row_format *format;
    tp_status status;

    /* the row being read, before blanks are cut off */
    tp_str text, label;
    tp_strings options, answers, pieces; /* pieces: scratch */
    size_t line;

    /* the row given out */
    tp_strings kept;       /* its options, answers and label, cut free of blanks */
    const char **pointers; /* [n_pointers] into kept: options, NULL, answers, NULL */
    size_t n_pointers;

    tp_template template;
    tp_text_lines *labels; /* of the label file */
    char *label_path;

    tp_text_lines *lines; /* prefixed lines, JSON lines */
    tp_csv *csv;
    size_t label_column, n_columns;
    char *bytes; /* a JSON list: the whole file, and how far it is read */
    size_t size, at;
    json_t *root; /* SQuAD: the whole file, and the next question */
    size_t article, paragraph, question;
};

/* To be called when a record was met, before anything else is made of it: takes the record's line of the label file. */
tp_status tp_reader_begin_record(tp_reader *reader, size_t line);

/* Opens a JSON file, and reads its next record into text, label, options and answers; false at the end or on error. */
tp_status tp_reader_open_json(tp_reader *reader);
bool tp_reader_next_json(tp_reader *reader);

#endif
