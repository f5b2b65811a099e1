/* What the program knows about the terminal and the person at it: is there one, does it want colours, did somebody
 * press Ctrl-C. */
#ifndef TP_CLI_TERMINAL_H
#define TP_CLI_TERMINAL_H

#include "base/progress.h"

#include <signal.h>
#include <stdbool.h>
#include <stdio.h>

/* May escape sequences go there? A terminal that is not dumb; for `colour` also no NO_COLOR in the environment. */
bool tp_terminal_is(FILE *stream, bool colour);

/* A progress line on stderr, rewritten in place only if that is a terminal. */
tp_progress *tp_terminal_progress(void);

/* From now on the first Ctrl-C (or SIGTERM) sets the flag that is returned, for long work to look at and end with what
 * it has; a second one ends the program at once. */
const volatile sig_atomic_t *tp_interrupt_catch(void);

#endif
