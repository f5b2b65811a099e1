/* Commands of the program, and how to add one.
 *
 * A command is a table: its name, what the manual says about it, its options (options.h) and a function. From this one
 * table come the parsing, `--help`, the environment twins, the shell completions and the man page; nothing is written
 * twice. To add a command `weigh`:
 *
 *   1. src/cli/cmd_weigh.c (CMake finds it):
 *
 *        #include "cli/command.h"
 *
 *        static tp_status run(tp_args *args) {
 *            tp_thing *thing = tp_thing_load(tp_args_text(args, "THING"));
 *            if (thing == NULL) return tp_last_status();          // main prints tp_last_error(), exit 1
 *            if (tp_args_int(args, "seed") % 2 && tp_args_flag(args, "json"))
 *                return tp_args_refuse(args, "--json takes even seeds only");   // exit 2
 *            printf("%g\n", tp_thing_weight(thing));              // stdout: the answer, nothing else
 *            tp_thing_free(thing);
 *            return TP_OK;
 *        }
 *
 *        const tp_command tp_cmd_weigh = {
 *            .name = "weigh",
 *            .summary = "say how heavy a thing is",
 *            .text = "Paragraphs of the manual, wrapped for you.\n\nBlank lines part them.",
 *            .examples = "telepathy weigh models/wren --unit g\n",
 *            .options = (const tp_option[]){
 *                {.name = "THING", .type = TP_OPT_PATH, .positional = true, .required = true, .help = "what to weigh"},
 *                {.name = "unit", .type = TP_OPT_CHOICE, .choices = (const char *const[]){"g", "kg", NULL},
 *                 .fallback = "kg", .help = "unit of the answer"},
 *                TP_OPTION_SEED,
 *                TP_OPTION_JSON,
 *                {0}},
 *            .run = run,
 *        };
 *
 *   2. one line X(weigh) in src/cli/commands.c.
 *
 * Letters that mean the same everywhere (as in llama.cpp): -m model, -p prompt or text, -n how many tokens, -c context,
 * -s seed, -t threads. Every command also takes --threads, --quiet and --help without asking for them. */
#ifndef TP_CLI_COMMAND_H
#define TP_CLI_COMMAND_H

#include "base/error.h"
#include "cli/options.h"

typedef struct tp_command {
    const char *name;
    const char *summary;      /* a phrase, lower case, no full stop */
    const char *text;         /* paragraphs; a line that starts with a blank is kept as it is */
    const char *examples;     /* lines, kept as they are; NULL: none */
    const tp_option *options; /* ends with a row of zeros */
    tp_status (*run)(tp_args *args);
    bool hidden; /* not in the list of commands (but in the man page) */
} tp_command;

/* All commands in the order of the manual, ending with NULL. */
extern const tp_command *const tp_commands[];
const tp_command *tp_command_find(const char *name); /* NULL if there is none */

/* Rows that many commands share. */
#define TP_OPTION_MODEL                                                                                                \
    {                                                                                                                  \
        .name = "MODEL", .letter = 'm', .type = TP_OPT_PATH, .positional = true, .required = true,                     \
        .help = "a model: its folder, a .gguf file, or org/name in the Hugging Face cache"                             \
    }
/* Text to train or measure on, for tp_corpus_open. */
#define TP_OPTION_TEXT_FILES                                                                                           \
    {                                                                                                                  \
        .name = "FILES", .type = TP_OPT_PATH, .positional = true, .many = true, .required = true,                      \
        .help = "text: .jsonl (field `text`) or .txt files, .gz or not, or folders of them"                            \
    }
#define TP_OPTION_SEQUENCE                                                                                             \
    {                                                                                                                  \
        .name = "ctx", .letter = 'c', .type = TP_OPT_INT, .fallback = "512", .min = 2, .max = 1 << 20,                 \
        .help = "longest sequence, in tokens"                                                                          \
    }
#define TP_OPTION_SEED                                                                                                 \
    {                                                                                                                  \
        .name = "seed", .letter = 's', .type = TP_OPT_INT, .value = "N", .fallback = "42", .min = 0, .max = 0x1p53,    \
        .help = "seed of every random stream"                                                                          \
    }
#define TP_OPTION_JSON                                                                                                 \
    { .name = "json", .type = TP_OPT_FLAG, .help = "print the answer as JSON, for programs" }

#endif
