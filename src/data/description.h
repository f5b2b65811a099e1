/* What a built-in task is, as data: a JSON text in src/data/tasks/, embedded in the program.
 *
 * Keys: name, title, kind ("classes", "choice", "text"), answer_form, synthetic, licence, home (the official page);
 * format {kind, label_end, header, text, text_column, label_column, options, answers, answer_after, label_file,
 * skip_label, keys, clean}: see rows.h; folders (where the files may lie below the folder given), train and test (the
 * files, the first that is there counts: a name, or {name, rows, format}, where the format says what differs);
 * published: {name, url, size, sha256} of what `telepathy data get` fetches; prompt, prompt_labels ({labels} stands for
 * the list "a, b, or c"), primer; labels: {key, name, synonyms} each, or only the key, which is then its own name in
 * lower case with blanks for underscores; generator (demo), passkey (passkey). docs/data.md tells the rest. */
#ifndef TP_DATA_DESCRIPTION_H
#define TP_DATA_DESCRIPTION_H

#include "base/json.h"
#include "base/mem.h"
#include "data/rows.h"
#include "data/task.h"

typedef struct tp_description {
    json_t *json; /* what the texts below live in */
    char *file;   /* for messages */
    const char *licence, *home;
    json_t *format;                 /* NULL: generated */
    json_t *folders, *train, *test; /* lists */
    json_t *published;              /* list; NULL: nothing */
    json_t *generator, *passkey;    /* NULL: read from files */
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

/* A file of a task that is there, and how it is read. Paths and lists live in the arena, the rest in the description.
 */
typedef struct tp_task_file {
    const char *path; /* NULL: it is not there */
    tp_row_format format;
    size_t rows; /* that it should hold; 0: not known */
} tp_task_file;

/* Finds the files of train and test below `data`: in the folders the description names, then in `data` itself. Test
 * must be there. Without train, task->no_train gets its sentence. */
tp_status tp_description_find(const tp_description *description, const char *data, tp_arena *arena, tp_task *task,
                              tp_task_file *train, tp_task_file *test);

/* The i-th file that the description names for a split (`list` is its train or test), found or not; false behind the
 * last. `path` of *out is the bare name. */
bool tp_description_file(const tp_description *description, json_t *list, size_t i, tp_arena *arena, tp_task_file *out);

/* Sets the label called by `key` (copied to the arena) to be its own name: lower case on request, `_` to blank. */
void tp_label_from_key(tp_label *label, const char *key, bool lower_case, tp_arena *arena);
/* `pattern` with {labels} replaced by "a, b, or c" (in the arena). */
const char *tp_prompt_with_labels(const char *pattern, const tp_task *task, tp_arena *arena);

#endif
