/* The program: finds the command, reads its arguments, runs it, and turns its status into an exit code.
 *
 * 0: done. 1: the work failed, with one sentence on stderr. 2: the command line made no sense, with one sentence.
 * 130: interrupted. stdout carries answers only, and an answer that could not be written is a failure. */
#include "base/crowd.h"
#include "cli/command.h"
#include "cli/manual.h"
#include "cli/terminal.h"

#include <errno.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_INTERRUPTED = 130 };

static int complain(const char *sentence, int code) {
    bool colour = tp_terminal_is(stderr, true);
    const char *name =
        tp_starts_with(sentence, "telepathy ") || tp_starts_with(sentence, "telepathy:") ? "" : "telepathy: ";
    fprintf(stderr, colour ? "\x1b[31m%s%s\x1b[0m\n" : "%s%s\n", name, sentence);
    return code;
}

static int show_manual(const tp_command *command) {
    tp_str text = {0};
    tp_manual_command(&text, command, tp_terminal_is(stdout, true));
    fwrite(text.data, 1, text.len, stdout);
    tp_str_free(&text);
    return EXIT_DONE;
}

static int run_command(const tp_command *command, int argc, char **argv) {
    tp_args *args = tp_args_parse(command, argc, argv);
    if (args == NULL) return complain(tp_last_error(), EXIT_USAGE);
    if (tp_args_flag(args, "help")) {
        tp_args_free(args);
        return show_manual(command);
    }
    if (tp_args_given(args, "threads"))
        omp_set_num_threads((int)tp_args_int(args, "threads"));
    else
        tp_crowd_watch(true);
    tp_progress *progress = tp_args_flag(args, "quiet") ? NULL : tp_terminal_progress();
    tp_args_set_progress(args, progress);
    tp_status status = command->run(args);
    tp_progress_free(progress); /* ends its line before anything else is said */
    bool refused = tp_args_refused(args);
    tp_args_free(args);
    if (status == TP_OK) return EXIT_DONE;
    return complain(tp_last_error(), refused                      ? EXIT_USAGE
                                     : status == TP_ERR_CANCELLED ? EXIT_INTERRUPTED
                                                                  : EXIT_FAILED);
}

static int unknown_command(const char *name) {
    const char *known[64];
    size_t n = 0;
    for (; tp_commands[n] && n < 64; n++) known[n] = tp_commands[n]->name;
    const char *nearest = tp_nearest(name, known, n);
    tp_fail(TP_ERR_ARGUMENT,
            nearest ? "unknown command `%s`; did you mean %s?" : "unknown command `%s`; `telepathy help` lists them",
            name, nearest);
    return complain(tp_last_error(), EXIT_USAGE);
}

/* How many arguments in front of the command's name belong to options of every command (`telepathy -t 2 train`). */
static int leading_options(int argc, char **argv) {
    int i = 1;
    while (i < argc && argv[i][0] == '-') {
        bool takes_value = strcmp(argv[i], "-t") == 0 || strcmp(argv[i], "--threads") == 0;
        i += takes_value ? 2 : 1;
    }
    return i < argc ? i - 1 : argc - 1;
}

static int dispatch(int argc, char **argv) {
    int n = leading_options(argc, argv);
    const tp_command *command;
    if (n + 1 == argc) { /* no command */
        bool version = n > 0 && (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0);
        bool help = n > 0 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0);
        if (version || help) return run_command(tp_command_find(version ? "version" : "help"), 0, NULL);
        tp_str text = {0};
        tp_manual_overview(&text, tp_terminal_is(stderr, true));
        fwrite(text.data, 1, text.len, stderr);
        tp_str_free(&text);
        return n == 0 ? EXIT_USAGE : complain("no command was given", EXIT_USAGE);
    }
    command = tp_command_find(argv[n + 1]);
    if (command == NULL) return unknown_command(argv[n + 1]);
    memmove(argv + 2, argv + 1, (size_t)n * sizeof *argv); /* the leading options go behind the name */
    return run_command(command, argc - 2, argv + 2);
}

/* GCC's OpenMP lets a thread that waits for others spin for milliseconds before it sleeps. Beside another busy program
 * that takes the processor from the very thread that is waited for; a few hundred microseconds bridge the gaps between
 * our regions as well. The number is read before main begins, so the program starts itself once more with it. */
static void limit_spinning(char **argv) {
    if (getenv("GOMP_SPINCOUNT") || getenv("OMP_WAIT_POLICY")) return; /* the user's wish, or the second start */
    if (setenv("GOMP_SPINCOUNT", "20000", 1) == 0) execv("/proc/self/exe", argv); /* returns only if it failed */
}

int main(int argc, char **argv) {
    limit_spinning(argv);
    int code = dispatch(argc, argv);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        tp_fail(TP_ERR_IO, "cannot write the answer: %s", strerror(errno));
        code = complain(tp_last_error(), EXIT_FAILED);
    }
    return code;
}
