/* What a built-in task is, as data: a JSON text in src/data/tasks/, embedded in the program.
 *
 * Keys: name, title, synthetic; format {kind, label_end, header, text_column, label_column, clean}; folders (where the
 * files may lie below the folder given), train and test (file names, the first that is there counts); prompt,
 * prompt_labels ({labels} stands for the list "a, b, or c"), primer; labels: {key, name, synonyms} each, or only the
 * key, which is then its own name in lower case with blanks for underscores; generator (demo only). */
#ifndef TP_DATA_DESCRIPTION_H
#define TP_DATA_DESCRIPTION_H

#include "base/json.h"
#include "base/mem.h"
#include "data/rows.h"
#include "data/task.h"

typedef struct tp_description {
    json_t *json; /* what the texts below live in */
    tp_row_format format;
    json_t *folders, *train, *test; /* lists of texts */
    json_t *generator;              /* NULL: read from files */
} tp_description;

/* Texts of the embedded descriptions; made by the build from src/data/tasks/. */
typedef struct tp_embedded_task {
    const char *name;
    const char *json;
    size_t size;
} tp_embedded_task;
extern const tp_embedded_task tp_embedded_tasks[]; /* ended by a NULL name */

/* Reads the description called `name` and fills in what a task takes from it (name, title, labels, prompts), copied to
 * the arena. Free with tp_description_free. */
tp_status tp_description_load(const char *name, tp_arena *arena, tp_task *task, tp_description *out);
void tp_description_free(tp_description *description);

/* Sets the label called by `key` (copied to the arena) to be its own name: lower case on request, `_` to blank. */
void tp_label_from_key(tp_label *label, const char *key, bool lower_case, tp_arena *arena);
/* `pattern` with {labels} replaced by "a, b, or c" (in the arena). */
const char *tp_prompt_with_labels(const char *pattern, const tp_task *task, tp_arena *arena);

#endif
