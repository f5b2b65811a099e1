/* Tasks: labelled text with its prompts, label words and splits.
 *
 * A task is described by data (a small JSON text: file names, format, columns, label names, synonyms, prompts), either
 * built in (trec, sst2, ag_news, banking77, demo; see tasks/) or made from a user's own CSV/TSV/JSONL. Texts are bytes
 * without blanks at either end; what is not UTF-8 is kept as it is. docs/data.md says what is read and cleaned. */
#ifndef TP_DATA_TASK_H
#define TP_DATA_TASK_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct tp_example {
    const char *text; /* zero-terminated; bytes; lives as long as its data set */
    size_t len;
    int32_t label; /* index into the task's labels */
    int32_t id;    /* row number in its file, from 0, for per-item comparisons */
} tp_example;

/* A split, in the order of its file. Owned by its task. */
typedef struct tp_dataset {
    tp_example *examples;
    size_t n;
    char fingerprint[33]; /* of texts and labels, in order */
} tp_dataset;

typedef struct tp_label {
    const char *name;            /* what the model says: "human", "sci/tech", "card arrival" */
    const char *key;             /* what the file says: "HUM", "4", "card_arrival" */
    const char *const *synonyms; /* NULL-terminated; other spellings that count as this label */
} tp_label;

typedef struct tp_task {
    const char *name;
    const char *title;  /* one line for people: what the data is and whose */
    const char *source; /* the files it was read from; "generated" for demo */
    bool synthetic;     /* of our own making (demo): every table says so */
    tp_label *labels;
    int32_t n_labels;
    const char *prompt;            /* sender's prompt, {text} in it; without the list of labels */
    const char *prompt_labels;     /* the same with the list of labels (SPEC 4) */
    const char *primer;            /* receiver's primer after the soft tokens, such as "Question type:" */
    tp_dataset train, valid, test; /* valid is carved from train; test is never looked at before the end */
    size_t n_overlap; /* test rows whose text also stands in train or valid: the data's own, counted and kept */
    void *memory;     /* what all of it lives in */
} tp_task;

typedef struct tp_task_options {
    const char *name;       /* a built-in task, or NULL for user files */
    const char *data;       /* folder with the original files, or the folder above it; NULL: the task's own generator
                               (demo only). "demo" with a folder is "trec" read from there */
    const char *train_file; /* user files: path; test_file may be NULL (then 20 % are held out of train) */
    const char *test_file;
    const char *text_column; /* user files: header names (CSV/TSV) or keys (JSONL); NULL means "text" and "label" */
    const char *label_column;
    double valid_fraction; /* of train, stratified by label; 0 means 0.1 (at most 1000 rows) */
    uint64_t split_seed;   /* of the carving; the recipe's, not the run's: all seeds share the split */
    size_t max_train;      /* 0: all; else so many rows of train, drawn stratified with split_seed after valid was
                              carved, so that valid stays the same */
    size_t max_test;       /* 0: all; else so many, drawn in the same way */
} tp_task_options;

/* Reads a task. NULL on error: the sentence names file, line, what was found and what was expected (a label outside the
 * task, an empty file, a missing column, a quote that never closes). Free with tp_task_free. */
tp_task *tp_task_load(const tp_task_options *options);
void tp_task_free(tp_task *task); /* takes NULL */

/* Names of the built-in tasks, NULL-terminated. */
const char *const *tp_task_names(void);

/* The template with {text} replaced by n bytes of text; malloc'ed; *len gets the length. */
char *tp_prompt_fill(const char *prompt_template, const char *text, size_t n, size_t *len);

/* Which label an answer names: the first label name or synonym that occurs in it as whole words, case ignored (of two
 * at the same place the longer); a blank in a name also matches `_`, `-` or a line feed. -1 if none does ("invalid":
 * counted, never dropped). */
int32_t tp_task_parse_answer(const tp_task *task, const char *answer, size_t n);

#endif
