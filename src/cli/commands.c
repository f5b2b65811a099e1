/* The list of commands, in the order of the manual. See command.h for how to add one. */
#include "cli/command.h"

#include <string.h>

/* One command a line. */
/* clang-format off */
#define COMMANDS(X) \
    X(generate)     \
    X(states)       \
    X(inject)       \
    X(tokenizer)    \
    X(tokenize)     \
    X(pretrain)     \
    X(perplexity)   \
    X(embed)        \
    X(demo)         \
    X(recipes)      \
    X(train)        \
    X(eval)         \
    X(suite)        \
    X(runs)         \
    X(report)       \
    X(relay)        \
    X(handoff)      \
    X(inspect)      \
    X(probe)        \
    X(perturb)      \
    X(transfer)     \
    X(info)         \
    X(data)         \
    X(bench)        \
    X(quantize)     \
    X(convert)      \
    X(help)         \
    X(version)      \
    X(completion)
/* clang-format on */

#define DECLARE(name) extern const tp_command tp_cmd_##name;
#define ADDRESS(name) &tp_cmd_##name,

COMMANDS(DECLARE)

const tp_command *const tp_commands[] = {COMMANDS(ADDRESS) NULL};

const tp_command *tp_command_find(const char *name) {
    for (size_t i = 0; tp_commands[i]; i++)
        if (strcmp(tp_commands[i]->name, name) == 0) return tp_commands[i];
    return NULL;
}
