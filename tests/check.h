/* What every test program shares: cmocka, temporary folders, a status check that prints the sentence, and the way to
 * ../shared (tests that need it skip loudly without it). */
#ifndef TP_TESTS_CHECK_H
#define TP_TESTS_CHECK_H

/* cmocka wants these four first */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include "base/error.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define check_ok(expr)                                                                                                 \
    do {                                                                                                               \
        if ((expr) != TP_OK) fail_msg("%s failed: %s", #expr, tp_last_error());                                        \
    } while (0)

#define check_not_null(pointer)                                                                                        \
    do {                                                                                                               \
        if ((pointer) == NULL) fail_msg("%s is NULL: %s", #pointer, tp_last_error());                                  \
    } while (0)

/* Path of a file under ../shared, in a buffer reused by the next call. */
static inline const char *check_shared(const char *name) {
    static char path[4096];
    snprintf(path, sizeof path, "%s/../shared/%s", TP_SOURCE_DIR, name);
    return path;
}

/* Skips the running test, loudly, if a file under ../shared is not there. */
#define check_needs_shared(name)                                                                                       \
    do {                                                                                                               \
        if (access(check_shared(name), R_OK) != 0) {                                                                   \
            fprintf(stderr, "SKIPPED: ../shared/%s is not here, %s did not run\n", (name), __func__);                  \
            skip();                                                                                                    \
        }                                                                                                              \
    } while (0)

/* A fresh temporary folder; give it back to check_remove_dir. */
static inline char *check_temp_dir(void) {
    char pattern[] = "/tmp/telepathy-test-XXXXXX";
    if (mkdtemp(pattern) == NULL) fail_msg("cannot make a temporary folder");
    return strdup(pattern);
}

static inline void check_remove_dir(char *dir) {
    char command[4200];
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    if (system(command) != 0) fprintf(stderr, "could not remove %s\n", dir);
    free(dir);
}

#endif
