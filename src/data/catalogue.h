/* What is known of the built-in tasks, and whether a user's files of them are whole: `telepathy data list` and `check`.
 * Both answer with a JSON document, which the program prints as it is or as tables. */
#ifndef TP_DATA_CATALOGUE_H
#define TP_DATA_CATALOGUE_H

#include "base/json.h"
#include "base/progress.h"
#include "data/task.h"

/* A list of objects: name, title, kind, labels (their number), train_rows and test_rows (of the first file named; null
 * if not known), licence, home, files (what `get` can fetch: name, size, url). Free with json_decref. */
json_t *tp_catalogue(void);

/* Reads all files of a task, however broken, and says what is in them; the options' name, data, train_file, test_file
 * and columns count. NULL if there is nothing to read. The document:
 *   task, kind, problems (in all), overlap (different texts of test that stand in train),
 *   no_train (the sentence; absent if train is there),
 *   files: [{split, path, rows, expected_rows (absent if not known), labels: {name: rows}, empty_texts, repeated_texts,
 *            contradictions (repeated texts with another label or answer), problems: [sentence, ...], n_problems}]
 * A row that cannot be read is a problem and is not counted; the first 20 sentences of a file are kept. A wrong number
 * of rows is a problem too. Memory: 16 to 64 bytes for each different text. */
json_t *tp_task_check(const tp_task_options *options, tp_progress *progress);

#endif
