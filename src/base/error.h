/* Errors are values.
 *
 * A function of the library that can fail returns a tp_status (or NULL) and leaves one sentence in the calling
 * thread's tp_last_error(): what failed, on what, what was found and what was expected. The library never exits,
 * never prints and keeps no other global state. Callers from outside see the statuses and the sentence too, so those
 * are declared in the public header; its names can clash with none of ours, because everything here reads it. */
#ifndef TP_BASE_ERROR_H
#define TP_BASE_ERROR_H

#include "telepathy.h"

#include <stdarg.h>

/* Records the sentence for this thread and returns `status`, so that callers write `return tp_fail(...)`. */
tp_status tp_fail(tp_status status, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The same for functions that return a pointer: records and returns NULL. */
void *tp_fail_null(tp_status status, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Puts context in front of the sentence already recorded ("reading recipe x.json: <what went wrong>"). Returns the
 * status that was recorded last, so that an error can be passed on with more said about it. */
tp_status tp_fail_context(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Passes an error up: if (expr) is not TP_OK, the enclosing function returns it. */
#define TP_TRY(expr)                                                                                                   \
    do {                                                                                                               \
        tp_status tp_try_status_ = (expr);                                                                             \
        if (tp_try_status_ != TP_OK) return tp_try_status_;                                                            \
    } while (0)

#endif
