/* Jobs in forked processes. See workers.h.
 *
 * What a worker says goes through a pipe, in lines: `p` and a line of progress, `s` and a line that stays, and at its
 * end `e`, the status and the sentence. A worker that ends without the last one has died. */
#include "eval/workers.h"

#include "base/crowd.h"
#include "base/mem.h"
#include "base/signals.h"

#include <errno.h>
#include <fcntl.h>
#include <omp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOST_WORKERS = 256 };

/* ---- in the worker ---- */

static volatile sig_atomic_t asked_to_stop; /* a signal handler has nothing but globals */

static void on_term(int number) {
    (void)number;
    asked_to_stop = 1;
}

static void tell(int fd, char kind, const char *text, size_t n) {
    tp_str line = {0};
    tp_str_append_char(&line, kind);
    tp_str_append(&line, text, n);
    for (size_t i = 1; i < line.len; i++)
        if (line.data[i] == '\n' || line.data[i] == '\r') line.data[i] = ' ';
    tp_str_append_char(&line, '\n');
    for (size_t done = 0; done < line.len;) {
        ssize_t some = write(fd, line.data + done, line.len - done);
        if (some < 0 && errno != EINTR) break; /* nobody listens any more */
        if (some > 0) done += (size_t)some;
    }
    tp_str_free(&line);
}

/* A piece of progress: what ends its line stays, what does not is going to be rewritten. */
static void on_progress(void *context, const char *bytes, size_t n) {
    static const char erase[] = "\r\x1b[K";
    if (n >= sizeof erase - 1 && memcmp(bytes, erase, sizeof erase - 1) == 0) {
        bytes += sizeof erase - 1;
        n -= sizeof erase - 1;
    }
    bool stays = n > 0 && bytes[n - 1] == '\n';
    tell(*(int *)context, stays ? 's' : 'p', bytes, stays ? n - 1 : n);
}

static void be_worker(int fd, tp_work work, void *context, int threads, pid_t parent) __attribute__((noreturn));
static void be_worker(int fd, tp_work work, void *context, int threads, pid_t parent) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(1); /* it died before it could be said */
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    tp_on_signal(SIGTERM, on_term, false);
    sigaction(SIGINT, &ignore, NULL); /* Ctrl-C goes to all; the parent says what is to be done */
    sigaction(SIGPIPE, &ignore, NULL);
    asked_to_stop = 0;
    tp_crowd_watch(false); /* what the parent watched would give this process all of the parent's threads again */
    omp_set_num_threads(threads);
    tp_progress *progress =
        tp_progress_new((tp_progress_sink){.write = on_progress, .context = &fd, .rewrite = true, .columns = 120});
    tp_status status = work(context, progress, &asked_to_stop);
    tp_progress_free(progress);
    char *end = tp_format("%d %s", (int)status, status == TP_OK ? "" : tp_last_error());
    tell(fd, 'e', end, strlen(end));
    tp_free(end);
    _exit(0); /* nothing of the parent's is flushed or freed twice */
}

/* ---- in the parent ---- */

tp_status tp_worker_start(tp_worker *w, tp_work work, void *context, int threads) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) return tp_fail(TP_ERR_IO, "cannot start a job: %s", strerror(errno));
    pid_t parent = getpid(), pid = fork();
    if (pid == 0) {
        close(ends[0]);
        be_worker(ends[1], work, context, threads, parent);
    }
    close(ends[1]);
    if (pid < 0) {
        close(ends[0]);
        return tp_fail(TP_ERR_IO, "cannot start a job: %s", strerror(errno));
    }
    *w = (tp_worker){.pid = pid, .fd = ends[0], .status = TP_ERR_IO};
    return TP_OK;
}

static void hear_line(tp_worker *w, char *line, tp_worker_said said, void *context) {
    if (line[0] == 's') {
        said(context, w, line + 1);
    } else if (line[0] == 'p') {
        snprintf(w->doing, sizeof w->doing, "%.127s", line + 1);
        const char *percent = strchr(w->doing, '%');
        while (percent && percent > w->doing && percent[-1] != ' ') percent--;
        w->share = percent ? atof(percent) / 100 : 0;
    } else if (line[0] == 'e') {
        w->ended = true;
        w->status = (tp_status)atoi(line + 1);
        const char *sentence = strchr(line, ' ');
        snprintf(w->sentence, sizeof w->sentence, "%.1023s", sentence ? sentence + 1 : "");
    }
}

/* Takes in what there is to hear. */
static void hear(tp_worker *w, tp_worker_said said, void *context) {
    char buffer[4096];
    ssize_t n = read(w->fd, buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) return;
    if (n <= 0) {
        close(w->fd);
        w->fd = -1;
        return;
    }
    for (ssize_t i = 0; i < n; i++) {
        if (buffer[i] != '\n') {
            tp_str_append_char(&w->heard, buffer[i]);
        } else if (w->heard.len > 0) {
            hear_line(w, w->heard.data, said, context);
            tp_str_clear(&w->heard);
        }
    }
}

/* Its end of the pipe is closed: it is ending. */
static void bury(tp_worker *w) {
    int how;
    while (waitpid(w->pid, &how, 0) < 0 && errno == EINTR) continue;
    if (WIFSIGNALED(how)) {
        w->status = TP_ERR_IO;
        snprintf(w->sentence, sizeof w->sentence, "its process was ended by signal %d (%s)", WTERMSIG(how),
                 strsignal(WTERMSIG(how)));
    } else if (!w->ended) {
        snprintf(w->sentence, sizeof w->sentence, "its process ended with status %d and said nothing",
                 WEXITSTATUS(how));
    }
    w->pid = 0;
    tp_str_free(&w->heard);
}

int tp_workers_wait(tp_worker *workers, size_t n, int ms, tp_worker_said said, void *context) {
    struct pollfd fds[MOST_WORKERS];
    size_t who[MOST_WORKERS], open = 0;
    for (size_t i = 0; i < n && open < MOST_WORKERS; i++) {
        if (workers[i].pid == 0) continue;
        fds[open] = (struct pollfd){.fd = workers[i].fd, .events = POLLIN};
        who[open++] = i;
    }
    if (poll(fds, open, ms) <= 0) return -1;
    for (size_t k = 0; k < open; k++) {
        if (fds[k].revents == 0) continue;
        tp_worker *w = &workers[who[k]];
        hear(w, said, context);
        if (w->fd >= 0) continue;
        bury(w);
        return (int)who[k];
    }
    return -1;
}

void tp_worker_stop(tp_worker *w) {
    w->stopping = true;
    kill(w->pid, SIGTERM);
}

void tp_worker_kill(tp_worker *w) {
    kill(w->pid, SIGKILL);
    close(w->fd);
    bury(w);
}

int64_t tp_worker_bytes(tp_worker *w) {
    char *path = tp_format("/proc/%d/statm", (int)w->pid);
    FILE *file = fopen(path, "re");
    tp_free(path);
    long long size, resident = 0, shared = 0;
    if (file && fscanf(file, "%lld %lld %lld", &size, &resident, &shared) != 3) resident = shared = 0;
    if (file) fclose(file);
    int64_t bytes = (resident - shared) * sysconf(_SC_PAGESIZE);
    if (bytes > w->most_bytes) w->most_bytes = bytes;
    return bytes;
}
