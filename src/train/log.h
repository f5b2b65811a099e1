/* The log of a run: a file of JSON lines, for people and plots. Every line holds the `step` it belongs to, which is all
 * that is ever read back from it. */
#ifndef TP_TRAIN_LOG_H
#define TP_TRAIN_LOG_H

#include "base/error.h"

#include <jansson.h>
#include <stdint.h>

/* Begins the log of a run that stands at `step`: a resumed run repeats what came after its state was saved, so lines of
 * later steps go, or they would stand there twice. At step 0 the log begins empty. */
tp_status tp_log_begin(const char *path, int64_t step);

/* Appends a line; takes over the reference. */
tp_status tp_log_add(const char *path, json_t *line);

/* The text as a JSON string; bytes that are not UTF-8 become question marks. */
json_t *tp_log_text(const char *text);

#endif
