/* The manual, made from the command tables: what --help shows, and the man page. */
#ifndef TP_CLI_MANUAL_H
#define TP_CLI_MANUAL_H

#include "base/str.h"
#include "cli/command.h"

/* What the program is and its commands. `bold` headings are for terminals. */
void tp_manual_overview(tp_str *out, bool bold);
/* The manual of one command. */
void tp_manual_command(tp_str *out, const tp_command *command, bool bold);
/* telepathy(1), in the man macros. */
void tp_manual_man(tp_str *out);

#endif
