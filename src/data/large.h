/* Files too large to keep: which rows of ten million are wanted, in the memory of those that are.
 *
 * Whether a row belongs to test, validation or training is decided by a hash of its text and the split seed alone: the
 * range of the hash is cut into three parts. So equal texts stay together, and nothing has to be remembered of the rows
 * that are not wanted. Of a part that is cut to a number of rows, the rows with the smallest hashes are taken, each
 * label in proportion (bottom-k sampling), which is why a smaller draw is part of a larger. The file is gone through
 * twice: the first time its rows and labels are counted. */
#ifndef TP_DATA_LARGE_H
#define TP_DATA_LARGE_H

#include "data/rows.h"
#include "data/split.h"
#include "data/task.h"

typedef struct tp_large_plan {
    const char *path;
    const tp_row_format *format;
    const char *whose;          /* for messages: whose labels ("the task's", "those of train") */
    uint64_t seed;              /* the split seed */
    double test_share;          /* of all rows: 1 for a test file, 0.2 where test is held out, 0 for a train file */
    double valid_fraction;      /* of the other rows */
    size_t valid_cap;           /* at most about so many; 0: no bound */
    size_t max_test, max_train; /* 0: all */
    const tp_text_groups *test; /* texts of test (NULL: none), to count ... */
    bool drop_overlap;          /* ... and leave out where they occur */
} tp_large_plan;

/* Rows in the order of the file, and the part of each. */
typedef enum tp_large_part { TP_PART_TEST, TP_PART_VALID, TP_PART_TRAIN } tp_large_part;
typedef struct tp_large_rows {
    tp_example *examples; /* [n], numbered by their place in the file; texts in the arena */
    tp_large_part *parts; /* [n] */
    size_t n;
    bool *overlap; /* [plan->test->n_groups] texts of test that occur in the file; NULL without plan->test */
    size_t n_dropped;
} tp_large_rows;

tp_status tp_large_read(const tp_large_plan *plan, const tp_task *task, tp_arena *arena, tp_large_rows *out);
void tp_large_rows_free(tp_large_rows *rows);

/* Makes the labels of a file (a user's) those of the task: one pass more. */
tp_status tp_large_discover(const char *path, const tp_row_format *format, tp_task *task, tp_arena *arena);

#endif
