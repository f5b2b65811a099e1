/* The terminal. See terminal.h. */
#include "cli/terminal.h"

#include "base/signals.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

bool tp_terminal_is(FILE *stream, bool colour) {
    const char *term = getenv("TERM"), *plain = getenv("NO_COLOR");
    if (colour && plain != NULL && *plain != '\0') return false;
    return isatty(fileno(stream)) && term != NULL && strcmp(term, "dumb") != 0;
}

static void write_stderr(void *context, const char *bytes, size_t n) {
    (void)context;
    fwrite(bytes, 1, n, stderr);
    fflush(stderr);
}

tp_progress *tp_terminal_progress(void) {
    tp_progress_sink sink = {.write = write_stderr, .rewrite = tp_terminal_is(stderr, false)};
    struct winsize size;
    if (sink.rewrite && ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0) sink.columns = size.ws_col;
    return tp_progress_new(sink);
}

/* A signal handler has nothing but globals. */
static volatile sig_atomic_t interrupted;

static void on_signal(int number) {
    (void)number;
    interrupted = 1;
}

const volatile sig_atomic_t *tp_interrupt_catch(void) {
    tp_on_signal(SIGINT, on_signal, true);
    tp_on_signal(SIGTERM, on_signal, true);
    return &interrupted;
}
