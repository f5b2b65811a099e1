/* Parsing by table. See options.h.
 *
 * Every value goes through the same three doors in the same order: the default, the environment, the command line; each
 * as text through set_value, which checks type, bounds and choices, so that a bad default or a bad environment variable
 * is found out just like a bad argument, and the sentence says which of the three it was. */
#include "cli/options.h"

#include "base/mem.h"
#include "base/str.h"
#include "cli/command.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const tp_option tp_global_options[] = {
    {.name = "threads",
     .letter = 't',
     .type = TP_OPT_INT,
     .value = "N",
     .min = 1,
     .max = 1024,
     .help = "threads to compute with (default: one per core)"},
    {.name = "quiet", .letter = 'q', .type = TP_OPT_FLAG, .help = "no progress on stderr, errors only"},
    {.name = "help", .letter = 'h', .type = TP_OPT_FLAG, .help = "show this manual"},
    {0},
};

typedef struct value {
    const tp_option *option;
    bool given; /* by the environment or the command line */
    const char *text;
    bool flag;
    int64_t integer;
    double real;
    int choice;
    char **items;
    size_t n_items, capacity;
} value;

struct tp_args {
    const tp_command *command;
    value *values;
    size_t n_values, capacity;
    tp_progress *progress;
    bool refused;
};

/* ---- values for the commands ---- */

static value *find(const tp_args *args, const char *name) {
    for (size_t i = 0; i < args->n_values; i++)
        if (strcmp(args->values[i].option->name, name) == 0) return &args->values[i];
    return NULL;
}

static const value *get(const tp_args *args, const char *name, unsigned types) {
    const value *v = find(args, name);
    if (v == NULL || !(types >> v->option->type & 1u)) {
        fprintf(stderr, "telepathy %s: bug: no option `%s` of the type asked for\n", args->command->name, name);
        abort();
    }
    return v;
}

bool tp_args_given(const tp_args *args, const char *name) {
    return get(args, name, ~0u)->given;
}

bool tp_args_flag(const tp_args *args, const char *name) {
    return get(args, name, 1u << TP_OPT_FLAG)->flag;
}

int64_t tp_args_int(const tp_args *args, const char *name) {
    return get(args, name, 1u << TP_OPT_INT)->integer;
}

double tp_args_real(const tp_args *args, const char *name) {
    return get(args, name, 1u << TP_OPT_REAL)->real;
}

const char *tp_args_text(const tp_args *args, const char *name) {
    return get(args, name, 1u << TP_OPT_TEXT | 1u << TP_OPT_PATH | 1u << TP_OPT_CHOICE)->text;
}

int tp_args_choice(const tp_args *args, const char *name) {
    return get(args, name, 1u << TP_OPT_CHOICE)->choice;
}

size_t tp_args_list(const tp_args *args, const char *name, const char *const **items) {
    const value *v = get(args, name, 1u << TP_OPT_LIST | 1u << TP_OPT_TEXTS | 1u << TP_OPT_TEXT | 1u << TP_OPT_PATH);
    *items = (const char *const *)v->items;
    return v->n_items;
}

tp_status tp_args_refuse(tp_args *args, const char *format, ...) {
    char sentence[1024];
    va_list list;
    va_start(list, format);
    vsnprintf(sentence, sizeof sentence, format, list);
    va_end(list);
    args->refused = true;
    return tp_fail(TP_ERR_ARGUMENT, "%s", sentence);
}

bool tp_args_refused(const tp_args *args) {
    return args->refused;
}

tp_progress *tp_args_progress(const tp_args *args) {
    return args->progress;
}

void tp_args_set_progress(tp_args *args, tp_progress *progress) {
    args->progress = progress;
}

/* ---- names ---- */

void tp_option_env(const tp_option *option, char *out, size_t size) {
    snprintf(out, size, "TELEPATHY_%s", option->name);
    for (char *c = out; *c; c++) *c = *c == '-' ? '_' : (char)toupper((unsigned char)*c);
}

bool tp_option_named(const tp_option *option) {
    return !option->positional || option->letter;
}

void tp_option_long_name(const tp_option *option, char *out, size_t size) {
    snprintf(out, size, "%s", option->name);
    for (char *c = out; option->positional && *c; c++) *c = (char)tolower((unsigned char)*c);
}

/* The value of the option that is written --name; NULL if there is none. */
static value *find_named(const tp_args *args, const char *name) {
    for (size_t i = 0; i < args->n_values; i++) {
        char known[64];
        tp_option_long_name(args->values[i].option, known, sizeof known);
        if (tp_option_named(args->values[i].option) && strcmp(known, name) == 0) return &args->values[i];
    }
    return NULL;
}

const char *tp_option_value_name(const tp_option *option) {
    if (option->value) return option->value;
    if (option->positional) return option->name;
    switch (option->type) {
    case TP_OPT_INT:
        return "N";
    case TP_OPT_REAL:
        return "X";
    case TP_OPT_PATH:
        return "PATH";
    case TP_OPT_CHOICE:
        return "NAME";
    case TP_OPT_LIST:
        return "NAMES";
    case TP_OPT_TEXT:
    case TP_OPT_TEXTS:
        return "TEXT";
    default:
        return "";
    }
}

/* Edits that turn a into b: insertions, deletions, replacements and swaps of neighbours (optimal string alignment). */
static size_t distance(const char *a, const char *b) {
    enum { LONGEST = 40 };
    size_t n = strlen(a), m = strlen(b), rows[LONGEST + 1][LONGEST + 1];
    if (n > LONGEST || m > LONGEST) return LONGEST;
    for (size_t i = 0; i <= n; i++) {
        for (size_t j = 0; j <= m; j++) {
            if (i == 0 || j == 0) {
                rows[i][j] = i + j;
                continue;
            }
            size_t best = rows[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
            if (rows[i - 1][j] + 1 < best) best = rows[i - 1][j] + 1;
            if (rows[i][j - 1] + 1 < best) best = rows[i][j - 1] + 1;
            bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
            if (swapped && rows[i - 2][j - 2] + 1 < best) best = rows[i - 2][j - 2] + 1;
            rows[i][j] = best;
        }
    }
    return rows[n][m];
}

const char *tp_nearest(const char *name, const char *const *known, size_t n) {
    const char *nearest = NULL;
    size_t length = strlen(name), least = length < 4 ? 2 : length < 8 ? 3 : 4; /* must be below */
    for (size_t i = 0; i < n; i++) {
        size_t d = distance(name, known[i]);
        if (length >= 2 && strncmp(known[i], name, length) == 0) d = 1; /* the beginning of a name */
        if (d < least) {
            least = d;
            nearest = known[i];
        }
    }
    return nearest;
}

/* ---- setting ---- */

static int choice_index(const tp_option *o, const char *text) {
    for (int i = 0; o->choices[i]; i++)
        if (strcmp(o->choices[i], text) == 0) return i;
    return -1;
}

/* "telepathy train: --seed is `x`, an integer from 0 to 9 was expected". */
static tp_status bad_value(const tp_args *args, const tp_option *o, const char *where, const char *text) {
    tp_str expected = {0};
    const char *nearest = NULL;
    if (o->type == TP_OPT_FLAG) {
        tp_str_append_text(&expected, "on or off was expected");
    } else if (o->choices) {
        size_t n = 0;
        while (o->choices[n]) n++;
        nearest = tp_nearest(text, o->choices, n);
        tp_str_append_text(&expected, n > 1 ? "one of " : "");
        for (size_t i = 0; i < n; i++) tp_str_appendf(&expected, "%s%s", i ? ", " : "", o->choices[i]);
        tp_str_append_text(&expected, " was expected");
    } else {
        tp_str_append_text(&expected, o->type == TP_OPT_INT ? "an integer" : "a number");
        if (o->min != o->max && o->max >= 0x1p53)
            tp_str_appendf(&expected, " of at least %.17g", o->min);
        else if (o->min != o->max)
            tp_str_appendf(&expected, " from %.17g to %.17g", o->min, o->max);
        tp_str_append_text(&expected, " was expected");
    }
    if (nearest) tp_str_appendf(&expected, "; did you mean %s?", nearest);
    tp_fail(TP_ERR_ARGUMENT, "telepathy %s: %s is `%s`, %s", args->command->name, where, text, expected.data);
    tp_str_free(&expected);
    return TP_ERR_ARGUMENT;
}

static int flag_value(const char *text) {
    static const char *const on[] = {"true", "1", "on", "yes", "enabled"};
    static const char *const off[] = {"false", "0", "off", "no", "disabled"};
    for (size_t i = 0; i < sizeof on / sizeof on[0]; i++) {
        if (strcmp(text, on[i]) == 0) return 1;
        if (strcmp(text, off[i]) == 0) return 0;
    }
    return -1;
}

static void add_item(value *v, const char *text, size_t n) {
    tp_grow(&v->items, &v->capacity, v->n_items, sizeof *v->items);
    v->items[v->n_items++] = tp_strndup(text, n);
}

static void clear_items(value *v) {
    for (size_t i = 0; i < v->n_items; i++) tp_free(v->items[i]);
    v->n_items = 0;
}

static tp_status set_list(const tp_args *args, value *v, const char *text, const char *where) {
    for (const char *at = text;;) {
        size_t n = strcspn(at, ",");
        if (n > 0) {
            add_item(v, at, n);
            const char *item = v->items[v->n_items - 1];
            if (v->option->choices && choice_index(v->option, item) < 0) return bad_value(args, v->option, where, item);
        }
        if (at[n] == '\0') return TP_OK;
        at += n + 1;
    }
}

/* `where` is what the user wrote it as ("--seed", "TELEPATHY_SEED"), for the sentence. */
static tp_status set_value(const tp_args *args, value *v, const char *text, const char *where) {
    const tp_option *o = v->option;
    bool bounded = o->min != o->max;
    char *end;
    errno = 0;
    v->text = text;
    switch (o->type) {
    case TP_OPT_FLAG: {
        int flag = flag_value(text);
        if (flag < 0) return bad_value(args, o, where, text);
        v->flag = flag;
        return TP_OK;
    }
    case TP_OPT_INT:
        v->integer = strtoll(text, &end, 10);
        v->real = (double)v->integer;
        if (end == text || *end || errno) return bad_value(args, o, where, text);
        break;
    case TP_OPT_REAL:
        v->real = strtod(text, &end);
        if (end == text || *end || errno == ERANGE || !isfinite(v->real)) return bad_value(args, o, where, text);
        break;
    case TP_OPT_CHOICE:
        v->choice = choice_index(o, text);
        return v->choice < 0 ? bad_value(args, o, where, text) : TP_OK;
    case TP_OPT_LIST:
        return set_list(args, v, text, where);
    case TP_OPT_TEXTS:
        add_item(v, text, strlen(text));
        return TP_OK;
    default:
        return TP_OK;
    }
    return bounded && (v->real < o->min || v->real > o->max) ? bad_value(args, o, where, text) : TP_OK;
}

/* From the command line: the first time it replaces what the environment or the table said. */
static tp_status set_argument(const tp_args *args, value *v, const char *text, const char *where, bool *seen) {
    if (!*seen) clear_items(v);
    *seen = v->given = true;
    return set_value(args, v, text, where);
}

/* ---- the command line ---- */

static tp_status unknown_option(const tp_args *args, const char *name) {
    enum { MOST = 128 };
    char names[MOST][64];
    const char *known[MOST];
    size_t n = 0;
    for (size_t i = 0; i < args->n_values && n < MOST; i++) {
        if (!tp_option_named(args->values[i].option)) continue;
        tp_option_long_name(args->values[i].option, names[n], sizeof names[n]);
        known[n] = names[n];
        n++;
    }
    const char *nearest = tp_nearest(name, known, n);
    if (nearest)
        return tp_fail(TP_ERR_ARGUMENT, "telepathy %s: unknown option --%s; did you mean --%s?", args->command->name,
                       name, nearest);
    return tp_fail(TP_ERR_ARGUMENT, "telepathy %s: unknown option --%s; `telepathy %s --help` lists them",
                   args->command->name, name, args->command->name);
}

static tp_status no_value(const tp_args *args, const tp_option *o, const char *where) {
    return tp_fail(TP_ERR_ARGUMENT, "telepathy %s: %s needs a value (%s)", args->command->name, where,
                   tp_option_value_name(o));
}

/* argv[*at] starts with "--" and more. */
static tp_status parse_long(const tp_args *args, int argc, char **argv, int *at, bool *seen) {
    const char *argument = argv[*at] + 2, *equals = strchr(argument, '=');
    char name[64], where[72];
    size_t length = equals ? (size_t)(equals - argument) : strlen(argument);
    snprintf(name, sizeof name, "%.*s", length < 60 ? (int)length : 60, argument);
    snprintf(where, sizeof where, "--%s", name);
    value *v = find_named(args, name);
    if (v == NULL && strncmp(name, "no-", 3) == 0 && equals == NULL) {
        value *flag = find_named(args, name + 3);
        if (flag != NULL && flag->option->type == TP_OPT_FLAG)
            return set_argument(args, flag, "off", where, &seen[flag - args->values]);
    }
    if (v == NULL) return unknown_option(args, name);
    bool *v_seen = &seen[v - args->values];
    if (equals) return set_argument(args, v, equals + 1, where, v_seen);
    if (v->option->type == TP_OPT_FLAG) return set_argument(args, v, "on", where, v_seen);
    if (*at + 1 >= argc) return no_value(args, v->option, where);
    return set_argument(args, v, argv[++*at], where, v_seen);
}

/* argv[*at] is "-x" and perhaps more: flags stand together, a value stands behind its letter or is the next argument.
 */
static tp_status parse_short(const tp_args *args, int argc, char **argv, int *at, bool *seen) {
    for (size_t i = 0; i < args->n_values; i++) {
        const char *alias = args->values[i].option->alias;
        if (alias == NULL || strcmp(argv[*at] + 1, alias) != 0) continue;
        if (*at + 1 >= argc) return no_value(args, args->values[i].option, argv[*at]);
        const char *where = argv[*at];
        return set_argument(args, &args->values[i], argv[++*at], where, &seen[i]);
    }
    for (const char *letter = argv[*at] + 1; *letter; letter++) {
        value *v = NULL;
        for (size_t i = 0; i < args->n_values; i++)
            if (args->values[i].option->letter == *letter) v = &args->values[i];
        char where[3] = {'-', *letter, '\0'};
        if (v == NULL)
            return tp_fail(TP_ERR_ARGUMENT, "telepathy %s: unknown option -%c; `telepathy %s --help` lists them",
                           args->command->name, *letter, args->command->name);
        bool *v_seen = &seen[v - args->values];
        if (v->option->type == TP_OPT_FLAG) {
            TP_TRY(set_argument(args, v, "on", where, v_seen));
            continue;
        }
        if (letter[1]) return set_argument(args, v, letter + 1, where, v_seen);
        if (*at + 1 >= argc) return no_value(args, v->option, where);
        return set_argument(args, v, argv[++*at], where, v_seen);
    }
    return TP_OK;
}

/* To the first place that the command line has not filled yet, or that takes all the rest. */
static tp_status parse_positional(const tp_args *args, const char *text, bool *seen) {
    for (size_t i = 0; i < args->n_values; i++) {
        value *v = &args->values[i];
        if (!v->option->positional || (seen[i] && !v->option->many)) continue;
        TP_TRY(set_argument(args, v, text, v->option->name, &seen[i]));
        if (v->option->many) add_item(v, text, strlen(text));
        return TP_OK;
    }
    return tp_fail(TP_ERR_ARGUMENT, "telepathy %s: `%s` is one argument too many; `telepathy %s --help` says what goes",
                   args->command->name, text, args->command->name);
}

static tp_status parse(tp_args *args, int argc, char **argv, bool *seen) {
    for (size_t i = 0; i < args->n_values; i++) {
        value *v = &args->values[i];
        v->choice = -1;
        if (v->option->fallback) TP_TRY(set_value(args, v, v->option->fallback, "the default"));
        if (!tp_option_named(v->option) || strcmp(v->option->name, "help") == 0) continue;
        char env[80];
        tp_option_env(v->option, env, sizeof env);
        const char *text = getenv(env);
        if (text == NULL || *text == '\0') continue;
        clear_items(v);
        v->given = true;
        TP_TRY(set_value(args, v, text, env));
    }
    bool options = true;
    int n_places = 0; /* kept at the front of argv until all names are read, which may fill places */
    for (int i = 0; i < argc; i++) {
        if (options && strcmp(argv[i], "--") == 0)
            options = false;
        else if (options && strncmp(argv[i], "--", 2) == 0)
            TP_TRY(parse_long(args, argc, argv, &i, seen));
        else if (options && argv[i][0] == '-' && argv[i][1])
            TP_TRY(parse_short(args, argc, argv, &i, seen));
        else
            argv[n_places++] = argv[i];
    }
    for (int i = 0; i < n_places; i++) TP_TRY(parse_positional(args, argv[i], seen));
    for (size_t i = 0; i < args->n_values; i++) {
        const tp_option *o = args->values[i].option;
        if (!o->required || args->values[i].given) continue;
        return tp_fail(TP_ERR_ARGUMENT, "telepathy %s: %s%s is missing; `telepathy %s --help` says what goes",
                       args->command->name, o->positional ? "" : "--", o->name, args->command->name);
    }
    return TP_OK;
}

static void add_options(tp_args *args, const tp_option *options) {
    for (const tp_option *o = options; o && o->name; o++) {
        tp_grow(&args->values, &args->capacity, args->n_values, sizeof *args->values);
        args->values[args->n_values++] = (value){.option = o};
    }
}

tp_args *tp_args_parse(const tp_command *command, int argc, char **argv) {
    tp_args *args = tp_alloc(sizeof *args);
    args->command = command;
    add_options(args, command->options);
    add_options(args, tp_global_options);
    for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strcmp(argv[i], "--help") != 0 && strcmp(argv[i], "-h") != 0) continue;
        find(args, "help")->flag = true;
        return args;
    }
    bool *seen = tp_alloc(args->n_values * sizeof *seen);
    tp_status status = parse(args, argc, argv, seen);
    tp_free(seen);
    if (status == TP_OK) return args;
    tp_args_free(args);
    return NULL;
}

void tp_args_free(tp_args *args) {
    if (args == NULL) return;
    for (size_t i = 0; i < args->n_values; i++) {
        clear_items(&args->values[i]);
        tp_free(args->values[i].items);
    }
    tp_free(args->values);
    tp_free(args);
}
