/* A file that exists in memory alone, under a path the readers can open: fuzzing writes it a hundred thousand times. */
#ifndef TP_TESTS_FUZZ_MEMORY_FILE_H
#define TP_TESTS_FUZZ_MEMORY_FILE_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* Stops the fuzzer with a report: what must hold did not. */
#define must(condition)                                                                                                \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition);                             \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

/* Makes the one memory file hold these parts; the path stays valid. */
static inline const char *memory_file(const void *head, size_t n_head, const void *body, size_t n_body) {
    static int fd = -1;
    static char path[64];
    if (fd < 0) {
        fd = memfd_create("fuzz", 0);
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    }
    must(fd >= 0 && ftruncate(fd, 0) == 0);
    must(pwrite(fd, head, n_head, 0) == (ssize_t)n_head);
    must(pwrite(fd, body, n_body, (off_t)n_head) == (ssize_t)n_body);
    return path;
}

#endif
