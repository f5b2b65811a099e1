/* Tasks: texts with what should be answered to them, prompts, label words and splits.
 *
 * A task is of one of three kinds. `classes`: each text has one label out of the task's. `choice`: each text comes with
 * options of its own, one of which is right; the label is its place, and the task's labels are the letters A, B, ...
 * that stand before the options in the text, so whatever asks for labels works for choices too. `text`: a free answer;
 * each text has one or more gold answers and no label (-1), and answers are judged by eval/text_scores.h.
 *
 * A task is described by data (a small JSON text: file names, format, columns, label names, synonyms, prompts), either
 * built in (trec, sst2, ag_news, squad, ...; see tasks/) or made from a user's own CSV/TSV/JSONL. Texts are bytes
 * without blanks at either end; what is not UTF-8 is kept as it is. docs/data.md says what is read and cleaned. */
#ifndef TP_DATA_TASK_H
#define TP_DATA_TASK_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum tp_task_kind {
    TP_TASK_CLASSES, /* the same labels for all texts */
    TP_TASK_CHOICE,  /* options of its own for each text */
    TP_TASK_TEXT,    /* free answers */
} tp_task_kind;

/* What a free answer is compared as (eval/text_scores.h does it). */
typedef enum tp_answer_form {
    TP_ANSWER_WORDS,  /* exact match and F1 of words, as SQuAD defines them */
    TP_ANSWER_NUMBER, /* the last number of the answer (GSM8K) */
    TP_ANSWER_CODE,   /* the first run of digits: whole, and digit by digit (passkey) */
} tp_answer_form;

typedef struct tp_example {
    const char *text; /* zero-terminated; bytes; lives as long as its data set */
    size_t len;
    int32_t label;              /* index into the task's labels; choice: also into `options`; text: -1 */
    int32_t id;                 /* row number in its file, from 0, for per-item comparisons */
    const char *const *options; /* choice: [n_labels] in the order of the labels; otherwise NULL */
    const char *const *answers; /* text: the gold answers, NULL-terminated, at least one; otherwise NULL */
} tp_example;

/* A split, in the order of its file. Owned by its task. */
typedef struct tp_dataset {
    tp_example *examples;
    size_t n;
    char fingerprint[33]; /* of texts, labels, options and answers, in order */
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
    bool synthetic;     /* of our own making (demo, passkey): every table says so */
    tp_task_kind kind;
    tp_answer_form answer_form; /* of kind text */
    tp_label *labels;           /* choice: named A, B, ...; text: none */
    int32_t n_labels;
    const char *prompt;            /* sender's prompt, {text} in it; without the list of labels */
    const char *prompt_labels;     /* the same with the list of labels (SPEC 4) */
    const char *primer;            /* receiver's primer after the soft tokens, such as "Question type:" */
    tp_dataset train, valid, test; /* valid is carved from train; test is never looked at before the end */
    size_t n_overlap;     /* test rows whose text also stands in the training file: the data's own, counted and kept */
    size_t n_dropped;     /* training rows left out because their text stands in test (`drop_overlap`) */
    bool large;           /* the training file was too large to keep: see docs/data.md on how its splits are drawn */
    const char *no_train; /* NULL, or why train and valid are empty: which file is missing and where it is published */
    void *memory;         /* what all of it lives in */
} tp_task;

typedef struct tp_task_options {
    const char *name;       /* a built-in task, or NULL for user files */
    const char *data;       /* folder with the original files, or the folder above it; NULL: the task's own generator
                               (demo only). "demo" with a folder is "trec" read from there */
    const char *train_file; /* user files: path; test_file may be NULL (then 20 % are held out of train) */
    const char *test_file;
    const char *text_column; /* user files: header names (CSV/TSV) or keys (JSONL); NULL means "text" and "label" */
    const char *label_column;
    double valid_fraction; /* of train, stratified by label; 0 means 0.1 (at most 1000 rows). Of a file too large to
                              keep about 10,000 rows at most */
    uint64_t split_seed;   /* of the carving; the recipe's, not the run's: all seeds share the split */
    size_t max_train;      /* 0: all; else so many rows of train, drawn stratified with split_seed after valid was
                              carved, so that valid stays the same */
    size_t max_test;       /* 0: all; else so many, drawn in the same way */
    bool drop_overlap;     /* leave out training rows whose text stands in test */
    size_t large_rows;     /* files of more rows are gone through twice instead of being kept; 0: a million. (Or, with
                              the default, of more than 256 MiB of text.) */
} tp_task_options;

/* Reads a task. NULL on error: the sentence names file, line, what was found and what was expected (a label outside the
 * task, an empty file, a missing column, a quote that never closes). A built-in task whose training file is not there
 * can be loaded, for measuring: its train and valid are empty. Free with tp_task_free. */
tp_task *tp_task_load(const tp_task_options *options);
void tp_task_free(tp_task *task); /* takes NULL */

/* TP_OK if there are rows to train on; else an error that says what is missing and where it is to be had. */
tp_status tp_task_needs_train(const tp_task *task);

/* Names of the built-in tasks, NULL-terminated. */
const char *const *tp_task_names(void);

const char *tp_task_kind_name(tp_task_kind kind); /* "classes", "choice", "text" */

/* The right answer in words: the label's name, the right option, or the first gold answer. */
const char *tp_example_answer(const tp_task *task, const tp_example *example);

/* The template with {text} replaced by n bytes of text; malloc'ed; *len gets the length. */
char *tp_prompt_fill(const char *prompt_template, const char *text, size_t n, size_t *len);

/* Which label an answer names: the first label name or synonym that occurs in it as whole words, case ignored (of two
 * at the same place the longer); a blank in a name also matches `_`, `-` or a line feed. -1 if none does ("invalid":
 * counted, never dropped). The letters of a choice count in upper case only: "a" is an article. */
int32_t tp_task_parse_answer(const tp_task *task, const char *answer, size_t n);

/* The same for an answer to this example, where an option's own words name it too: the letter or option that stands
 * first in the answer. For classes it is tp_task_parse_answer. */
int32_t tp_example_parse_answer(const tp_task *task, const tp_example *example, const char *answer, size_t n);

#endif
