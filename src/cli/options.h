/* Options of a command: one table drives everything.
 *
 * On the command line an option is `--name value` or `--name=value`, `-x value` or `-xvalue` if it has a letter; a flag
 * is `--name`, `--no-name` or `--name=off`; `--` ends the options. Lists are comma separated, and repeating the option
 * adds to them; of any other option the last one counts. The environment variable TELEPATHY_NAME stands for an option
 * that is not on the command line; an empty one is as good as none.
 *
 * Arguments given by place are positionals. One that has a letter may be given by name instead, as `-m model` or
 * `--model model` for a positional MODEL, or by TELEPATHY_MODEL; what stands by place then fills the other places. */
#ifndef TP_CLI_OPTIONS_H
#define TP_CLI_OPTIONS_H

#include "base/error.h"
#include "base/progress.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum tp_option_type {
    TP_OPT_FLAG = 1,
    TP_OPT_INT,
    TP_OPT_REAL,
    TP_OPT_TEXT,
    TP_OPT_PATH,   /* a text for which the shell completes file names */
    TP_OPT_CHOICE, /* one of `choices` */
    TP_OPT_LIST,   /* texts, each one of `choices` if there are any */
    TP_OPT_TEXTS,  /* each time the option is given one text more, commas and all */
} tp_option_type;

typedef struct tp_option {
    const char *name;  /* "batch-size"; of a positional what the manual calls it: "RUN" */
    char letter;       /* 's' for -s; 0: none */
    const char *alias; /* "ctk" for -ctk, where users of other programs expect it; NULL: none */
    tp_option_type type;
    const char *value;          /* what the manual calls the value: "N", "DIR"; NULL: by type */
    const char *help;           /* a phrase */
    const char *fallback;       /* the default, as one would type it; NULL: none (tp_args_text gives NULL, numbers 0) */
    double min, max;            /* of INT and REAL, both included; both 0: no bounds */
    const char *const *choices; /* NULL-terminated */
    bool positional;            /* given by place; by name and environment too only if it has a letter */
    bool many;                  /* the last positional only: all the rest */
    bool required;
} tp_option;

typedef struct tp_args tp_args;
struct tp_command;

/* Values, by the name in the table. A name that is not in the table, or is of another type, is a programmer's error and
 * aborts. Texts and lists live as long as the arguments. */
bool tp_args_given(const tp_args *args, const char *name); /* on the command line or in the environment */
bool tp_args_flag(const tp_args *args, const char *name);
int64_t tp_args_int(const tp_args *args, const char *name);
double tp_args_real(const tp_args *args, const char *name);
const char *tp_args_text(const tp_args *args, const char *name); /* TEXT, PATH, CHOICE; NULL if absent */
int tp_args_choice(const tp_args *args, const char *name);       /* index into choices; -1 if absent */
size_t tp_args_list(const tp_args *args, const char *name, const char *const **items); /* LIST, TEXTS and `many` */

/* For combinations that the table cannot express: records the sentence; the program ends with status 2, not 1. */
tp_status tp_args_refuse(tp_args *args, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The progress line on stderr; NULL with --quiet (which every tp_progress_* function takes). */
tp_progress *tp_args_progress(const tp_args *args);

/* ---- for main.c and the manual ---- */

extern const tp_option tp_global_options[]; /* --threads, --quiet, --help: taken by every command; ends with zeros */

/* Reads the arguments behind the command's name. NULL on error, which is always the user's (exit 2). With --help
 * nothing else is looked at. */
tp_args *tp_args_parse(const struct tp_command *command, int argc, char **argv);
void tp_args_free(tp_args *args);
void tp_args_set_progress(tp_args *args, tp_progress *progress); /* borrowed */
bool tp_args_refused(const tp_args *args);

void tp_option_env(const tp_option *option, char *out, size_t size); /* "TELEPATHY_BATCH_SIZE" */
const char *tp_option_value_name(const tp_option *option);
bool tp_option_named(const tp_option *option);                             /* may it be given by name? */
void tp_option_long_name(const tp_option *option, char *out, size_t size); /* "seed"; "model" for a positional MODEL */

/* The known name that looks most like `name` (a swap, a missing or wrong letter, a beginning), NULL if none does. */
const char *tp_nearest(const char *name, const char *const *known, size_t n);

#endif
