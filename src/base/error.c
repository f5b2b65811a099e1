/* The per-thread error sentence. See error.h. */
#include "base/error.h"

#include <stdio.h>
#include <string.h>

enum { MESSAGE_MAX = 2048 };

static _Thread_local char message[MESSAGE_MAX];
static _Thread_local tp_status last_status;

static void record(tp_status status, const char *format, va_list args) {
    /* The arguments may point into the old message (an error quoted inside an error): format aside first. */
    char fresh[MESSAGE_MAX];
    vsnprintf(fresh, sizeof fresh, format, args);
    memcpy(message, fresh, sizeof message);
    last_status = status;
}

tp_status tp_fail(tp_status status, const char *format, ...) {
    va_list args;
    va_start(args, format);
    record(status, format, args);
    va_end(args);
    return status;
}

void *tp_fail_null(tp_status status, const char *format, ...) {
    va_list args;
    va_start(args, format);
    record(status, format, args);
    va_end(args);
    return NULL;
}

tp_status tp_fail_context(const char *format, ...) {
    char context[MESSAGE_MAX / 2];
    va_list args;
    va_start(args, format);
    vsnprintf(context, sizeof context, format, args);
    va_end(args);
    return tp_fail(last_status, "%s: %s", context, message);
}

const char *tp_last_error(void) {
    return message;
}

tp_status tp_last_status(void) {
    return last_status;
}
