/* What the commands that run one model share (generate, inject, states): loading it, and writing behind an input. They
 * use the library as any caller would, through telepathy.h. */
#ifndef TP_CLI_VERBS_H
#define TP_CLI_VERBS_H

#include "base/str.h"
#include "cli/command.h"
#include "text/tokenizer.h"

/* Rows of option tables. */
extern const char *const tp_math_names[]; /* "f32", "bf16", NULL: in the order of tp_math */
#define TP_OPTION_MATH(by_default)                                                                                     \
    {                                                                                                                  \
        .name = "math", .type = TP_OPT_CHOICE, .choices = tp_math_names, .fallback = by_default,                       \
        .help = "matrix products in"                                                                                   \
    }
#define TP_OPTION_MLOCK                                                                                                \
    { .name = "mlock", .type = TP_OPT_FLAG, .help = "read all weights now and keep them in memory" }
#define TP_OPTION_CTX(what)                                                                                            \
    { .name = "ctx", .letter = 'c', .type = TP_OPT_INT, .min = 1, .max = 1 << 30, .help = what }
extern const char *const tp_cache_type_names[];
#define TP_OPTIONS_GENERATION                                                                                          \
    {.name = "predict",                                                                                                \
     .letter = 'n',                                                                                                    \
     .type = TP_OPT_INT,                                                                                               \
     .fallback = "128",                                                                                                \
     .min = -1,                                                                                                        \
     .max = 0x1p53,                                                                                                    \
     .help = "tokens to generate at most; -1: until the model ends the text or the context is full"},                  \
        TP_OPTION_CTX("positions of the context (default: what is needed, at most the model's)"),                      \
        {.name = "cache-type",                                                                                         \
         .alias = "ctk",                                                                                               \
         .type = TP_OPT_CHOICE,                                                                                        \
         .choices = tp_cache_type_names,                                                                               \
         .fallback = "f16",                                                                                            \
         .help = "keys and values of the context are kept as (also -ctk)"},                                            \
        {.name = "temp",                                                                                               \
         .type = TP_OPT_REAL,                                                                                          \
         .fallback = "0.8",                                                                                            \
         .min = 0,                                                                                                     \
         .max = 1e6,                                                                                                   \
         .help = "temperature; 0: always the likeliest token"},                                                        \
        {.name = "top-k",                                                                                              \
         .type = TP_OPT_INT,                                                                                           \
         .fallback = "40",                                                                                             \
         .min = 0,                                                                                                     \
         .max = 1 << 30,                                                                                               \
         .help = "draw among the k likeliest tokens; 0: among all"},                                                   \
        {.name = "top-p",                                                                                              \
         .type = TP_OPT_REAL,                                                                                          \
         .fallback = "0.95",                                                                                           \
         .min = 0,                                                                                                     \
         .max = 1,                                                                                                     \
         .help = "draw among the fewest likeliest tokens that have this probability together; 1: among all"},          \
        {.name = "min-p",                                                                                              \
         .type = TP_OPT_REAL,                                                                                          \
         .fallback = "0.05",                                                                                           \
         .min = 0,                                                                                                     \
         .max = 1,                                                                                                     \
         .help = "draw among tokens at least so likely as this share of the likeliest; 0: among all"},                 \
        {.name = "repeat-penalty",                                                                                     \
         .type = TP_OPT_REAL,                                                                                          \
         .fallback = "1",                                                                                              \
         .min = 1e-3,                                                                                                  \
         .max = 1e3,                                                                                                   \
         .help = "makes tokens that were there less likely; 1: off"},                                                  \
        {.name = "repeat-last-n",                                                                                      \
         .type = TP_OPT_INT,                                                                                           \
         .fallback = "64",                                                                                             \
         .min = -1,                                                                                                    \
         .max = 1 << 30,                                                                                               \
         .help = "the tokens that the penalty looks back at; -1: all, 0: none"},                                       \
        TP_OPTION_SEED,                                                                                                \
        {.name = "stop",                                                                                               \
         .type = TP_OPT_TEXTS,                                                                                         \
         .help = "end where this text comes, which is left out; can be given several times"},                          \
        {.name = "ignore-eos", .type = TP_OPT_FLAG, .help = "the model may not end the text"},                         \
        {.name = "special", .type = TP_OPT_FLAG, .help = "show special tokens as they are written"}, TP_OPTION_JSON

/* The engine of MODEL, --math and --mlock; `flags` are more of tp_engine_load's. NULL on error. */
tp_engine *tp_args_engine(const tp_args *args, unsigned flags);

/* The session that TP_OPTIONS_GENERATION ask for, with room behind n_prompt positions; with `whole` it has the model's
 * whole context unless --ctx says otherwise. NULL on error. */
tp_session *tp_args_session(const tp_args *args, const tp_engine *engine, int64_t n_prompt, bool whole);

typedef struct tp_written {
    tp_str text;
    tp_ids ids;
} tp_written;

void tp_written_free(tp_written *w); /* frees the content, not w itself */

/* Makes the session hold the inputs (what it holds of them already is not run again) and writes what the model makes of
 * them: to stdout, as it comes and with a line's end behind it, or as JSON. *out gets it too (free it in any case). An
 * interrupted generation ends its line, and is TP_ERR_CANCELLED. */
tp_status tp_write(const tp_args *args, tp_session *session, const tp_input *inputs, int64_t n_inputs, tp_written *out);

/* Prints the log-likelihood of each label after the inputs, and its share of their probabilities. */
tp_status tp_print_scores(const tp_args *args, const tp_engine *engine, const tp_input *inputs, int64_t n_inputs,
                          const char *const *labels, size_t n_labels);

#endif
