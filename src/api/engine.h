/* What the files of the public interface share: the loaded model behind a tp_engine, and how callers' inputs become
 * rows. Callers see include/telepathy.h only. */
#ifndef TP_API_ENGINE_H
#define TP_API_ENGINE_H

#include "base/error.h"
#include "lm/decoder.h"

struct tp_engine {
    tp_lm *lm;
    tp_math math;
    tp_engine_facts facts;
    int32_t eos_ids[TP_LM_MAX_EOS];
};

/* The rows of the inputs, end to end, [*n_rows, d_model], at most max_rows of them; free with tp_free. Everything in
 * the inputs is checked. NULL on error. */
float *tp_engine_rows(const tp_engine *engine, const tp_input *inputs, int64_t n_inputs, int64_t max_rows,
                      int64_t *n_rows);

/* TP_OK if n ids are of the vocabulary. */
tp_status tp_engine_check_ids(const tp_engine *engine, const int32_t *ids, int64_t n);

/* Fails with "<function>: <argument> is NULL". */
tp_status tp_missing(const char *function, const char *argument);

/* Returns an error from the enclosing function if the argument is NULL. */
#define TP_NEEDS(argument)                                                                                             \
    do {                                                                                                               \
        if ((argument) == NULL) return tp_missing(__func__, #argument);                                                \
    } while (0)

/* The same where a pointer is returned. */
#define TP_NEEDS_OR_NULL(argument)                                                                                     \
    do {                                                                                                               \
        if ((argument) == NULL) return tp_missing(__func__, #argument), NULL;                                          \
    } while (0)

#endif
