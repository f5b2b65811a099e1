/* Jobs in processes of their own: started, listened to, stopped, and their memory watched.
 *
 * A job is a function that runs in a forked process. It has all that its parent has, changes nothing of it, and tells
 * it how far it is. If it crashes, the sentence says so and nothing else is harmed; if its parent dies, it dies, too.
 * The parent must not have threads of OpenMP's, which a fork does not take along. */
#ifndef TP_EVAL_WORKERS_H
#define TP_EVAL_WORKERS_H

#include "base/error.h"
#include "base/progress.h"
#include "base/str.h"

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* What a job does. `stop` becomes nonzero when it should save what it has and return TP_ERR_CANCELLED. */
typedef tp_status (*tp_work)(void *context, tp_progress *progress, const volatile sig_atomic_t *stop);

typedef struct tp_worker {
    pid_t pid; /* 0: none is running */
    int fd;    /* what it says; -1: it has closed its end */
    tp_str heard;
    char doing[128];      /* its last line of progress: "train  120/400 steps  30%" */
    double share;         /* of that piece of work that is done: 0 to 1 */
    int64_t most_bytes;   /* of memory of its own, as far as seen */
    bool stopping, ended; /* it was asked to stop; it said how it ended */
    /* once it has ended: */
    tp_status status;
    char sentence[1024]; /* what went wrong, if the status says so */
} tp_worker;

/* Starts a job with that many threads. An error if there can be no more processes. */
tp_status tp_worker_start(tp_worker *worker, tp_work work, void *context, int threads);

/* A line that stays, said by a worker. */
typedef void (*tp_worker_said)(void *context, const tp_worker *worker, const char *line);

/* Listens to the n workers for at most `ms` milliseconds; then gives the index of one that has ended, which is then
 * none any more (pid 0), or -1. */
int tp_workers_wait(tp_worker *workers, size_t n, int ms, tp_worker_said said, void *context);

/* Asks it to stop. */
void tp_worker_stop(tp_worker *worker);

/* Ends it at once, and waits for that. */
void tp_worker_kill(tp_worker *worker);

/* Bytes of memory that it has for itself now (what it maps from files counts for nobody); most_bytes is kept up. */
int64_t tp_worker_bytes(tp_worker *worker);

#endif
