/* `telepathy version`: what a report of a fault should begin with. */
#include "cli/command.h"

#include <omp.h>
#include <stdio.h>

static tp_status run(tp_args *args) {
    (void)args;
    printf("telepathy %s\nbuilt with %s %s, %d threads\n", TP_VERSION,
#if defined __clang__
           "clang",
#else
           "gcc",
#endif
           __VERSION__, omp_get_max_threads());
    return TP_OK;
}

const tp_command tp_cmd_version = {
    .name = "version",
    .summary = "show the version of this program",
    .text =
        "The first line is `telepathy` and the version; the second names the compiler and the number of threads that "
        "commands use when --threads is not given.",
    .options = (const tp_option[]){{0}},
    .run = run,
};
