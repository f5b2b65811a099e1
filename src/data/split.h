/* Splits: which rows are validation, held out, or drawn for a smaller training set.
 *
 * Every choice is stratified by label (rows without one, with free answers, are one stratum) and made by a named random
 * stream of the split seed, so all runs of a recipe share it. Carving moves whole groups of equal texts: a text never
 * stands on both sides. */
#ifndef TP_DATA_SPLIT_H
#define TP_DATA_SPLIT_H

#include "base/mem.h"
#include "data/task.h"

/* Equal texts share a group number; groups are numbered in the order of their first row. */
typedef struct tp_text_groups {
    const tp_example *examples;
    int64_t *group; /* [n] */
    int64_t *first; /* [n_groups] row of the group's first text */
    size_t n, n_groups;
    int64_t *table; /* [mask + 1] group + 1, 0 where empty */
    size_t mask;
} tp_text_groups;

void tp_text_groups_build(tp_text_groups *out, const tp_example *examples, size_t n);
int64_t tp_text_groups_find(const tp_text_groups *groups, const char *text, size_t len); /* -1 if absent */
void tp_text_groups_free(tp_text_groups *groups);

/* Chooses `wanted` of n rows (chosen[i] becomes true), each label in proportion; `stream` names the random stream. With
 * `whole_groups`, rows of equal text are chosen together (by the label of the first), every label keeps at least one
 * group unchosen, and the number chosen may fall short of `wanted` for these two reasons. The choice for a smaller
 * `wanted` is, up to rounding, part of that for a larger. */
void tp_split_choose(const tp_example *examples, size_t n, int32_t n_labels, size_t wanted, bool whole_groups,
                     uint64_t seed, const char *stream, bool *chosen);

/* Shares `wanted` of n rows out among the labels in proportion to their rows[label]; quota[label] gets the result. */
void tp_split_quotas(const size_t *rows, int32_t n_labels, size_t n, size_t wanted, size_t *quota);

/* Copies the rows with chosen[i] == which into a data set in the arena, in order, and takes its fingerprint. */
void tp_split_take(tp_dataset *out, const tp_example *examples, size_t n, int32_t n_labels, const bool *chosen,
                   bool which, tp_arena *arena);

#endif
