/* cli/options: one table through parsing, environment and the sentences for what makes no sense. The program as a whole
 * is tested in test_cli.c. */
#include "check.h"

#include "base/mem.h"
#include "cli/command.h"

#include <limits.h>
#include <math.h>

static const tp_command train = {
    .name = "train",
    .summary = "x",
    .options =
        (const tp_option[]){
            {.name = "RUN", .type = TP_OPT_PATH, .positional = true, .required = true},
            {.name = "FILES", .type = TP_OPT_PATH, .positional = true, .many = true},
            {.name = "steps", .letter = 'n', .type = TP_OPT_INT, .fallback = "100", .min = 1, .max = 5000},
            {.name = "offset", .type = TP_OPT_INT},
            {.name = "rate", .type = TP_OPT_REAL, .fallback = "2e-4", .min = 0, .max = 1},
            {.name = "loss", .type = TP_OPT_CHOICE, .choices = (const char *const[]){"lm", "first_token", NULL}},
            {.name = "methods",
             .type = TP_OPT_LIST,
             .choices = (const char *const[]){"bridge", "probe", "random", NULL},
             .fallback = "bridge,probe"},
            {.name = "tags", .type = TP_OPT_LIST},
            {.name = "data", .type = TP_OPT_PATH},
            {.name = "batch-mode", .letter = 'b', .type = TP_OPT_FLAG},
            {.name = "cache", .letter = 'C', .type = TP_OPT_FLAG, .fallback = "on"},
            TP_OPTION_SEED,
            {0},
        },
};

#define ARGV(...)                                                                                                      \
    (char *[]) {                                                                                                       \
        __VA_ARGS__                                                                                                    \
    }
#define COUNT(...)             (int)(sizeof(char *[]){__VA_ARGS__} / sizeof(char *))
#define PARSE(...)             parsed(COUNT(__VA_ARGS__), ARGV(__VA_ARGS__))
#define REFUSED(sentence, ...) refused(sentence, COUNT(__VA_ARGS__), ARGV(__VA_ARGS__))

static tp_args *parsed(int argc, char **argv) {
    tp_args *args = tp_args_parse(&train, argc, argv);
    check_not_null(args);
    return args;
}

static void refused(const char *sentence, int argc, char **argv) {
    assert_null(tp_args_parse(&train, argc, argv));
    assert_string_equal(tp_last_error(), sentence);
}

static void expect_list(const tp_args *args, const char *name, const char *joined) {
    const char *const *items;
    size_t n = tp_args_list(args, name, &items);
    char got[256] = "";
    for (size_t i = 0; i < n; i++) strcat(strcat(got, i ? "|" : ""), items[i]);
    assert_string_equal(got, joined);
}

static void defaults_come_from_the_table(void **state) {
    (void)state;
    tp_args *args = PARSE("runs/1");
    assert_string_equal(tp_args_text(args, "RUN"), "runs/1");
    assert_int_equal(tp_args_int(args, "steps"), 100);
    assert_false(tp_args_given(args, "steps"));
    assert_int_equal(tp_args_int(args, "offset"), 0);
    assert_true(tp_args_real(args, "rate") == 2e-4);
    assert_null(tp_args_text(args, "loss"));
    assert_int_equal(tp_args_choice(args, "loss"), -1);
    assert_null(tp_args_text(args, "data"));
    assert_false(tp_args_flag(args, "batch-mode"));
    assert_true(tp_args_flag(args, "cache"));
    assert_int_equal(tp_args_int(args, "seed"), 42);
    expect_list(args, "methods", "bridge|probe");
    expect_list(args, "tags", "");
    expect_list(args, "FILES", "");
    tp_args_free(args);
}

static void every_spelling_is_read(void **state) {
    (void)state;
    tp_args *args =
        PARSE("--steps", "7", "a", "--rate=0.5", "-s3", "b", "--loss", "first_token", "--methods=random", "c", "--tags",
              "x,,y", "--tags=z", "-bt", "2", "--no-cache", "--offset", "-12", "--", "--data");
    assert_string_equal(tp_args_text(args, "RUN"), "a");
    expect_list(args, "FILES", "b|c|--data");
    assert_int_equal(tp_args_int(args, "steps"), 7);
    assert_true(tp_args_given(args, "steps"));
    assert_true(tp_args_real(args, "rate") == 0.5);
    assert_int_equal(tp_args_int(args, "seed"), 3);
    assert_int_equal(tp_args_int(args, "threads"), 2);
    assert_int_equal(tp_args_choice(args, "loss"), 1);
    assert_string_equal(tp_args_text(args, "loss"), "first_token");
    expect_list(args, "methods", "random"); /* the default is replaced, not added to */
    expect_list(args, "tags", "x|y|z");
    assert_true(tp_args_flag(args, "batch-mode"));
    assert_false(tp_args_flag(args, "cache"));
    assert_int_equal(tp_args_int(args, "offset"), -12);
    tp_args_free(args);
    args = PARSE("a", "--steps=1", "--steps=2", "--cache=off", "--batch-mode=yes");
    assert_int_equal(tp_args_int(args, "steps"), 2); /* the last one counts */
    assert_false(tp_args_flag(args, "cache"));
    assert_true(tp_args_flag(args, "batch-mode"));
    tp_args_free(args);
}

static void the_environment_stands_in_and_the_command_line_wins(void **state) {
    (void)state;
    setenv("TELEPATHY_STEPS", "9", 1);
    setenv("TELEPATHY_BATCH_MODE", "enabled", 1);
    setenv("TELEPATHY_METHODS", "random,probe", 1);
    setenv("TELEPATHY_DATA", "", 1);
    tp_args *args = PARSE("a");
    assert_int_equal(tp_args_int(args, "steps"), 9);
    assert_true(tp_args_given(args, "steps"));
    assert_true(tp_args_flag(args, "batch-mode"));
    expect_list(args, "methods", "random|probe");
    assert_null(tp_args_text(args, "data"));
    assert_false(tp_args_given(args, "data"));
    tp_args_free(args);
    args = PARSE("a", "-n", "10", "--no-batch-mode", "--methods", "bridge");
    assert_int_equal(tp_args_int(args, "steps"), 10);
    assert_false(tp_args_flag(args, "batch-mode"));
    expect_list(args, "methods", "bridge");
    tp_args_free(args);
    setenv("TELEPATHY_STEPS", "many", 1);
    REFUSED("telepathy train: TELEPATHY_STEPS is `many`, an integer from 1 to 5000 was expected", "a");
    unsetenv("TELEPATHY_STEPS");
    setenv("TELEPATHY_BATCH_MODE", "maybe", 1);
    REFUSED("telepathy train: TELEPATHY_BATCH_MODE is `maybe`, on or off was expected", "a");
    unsetenv("TELEPATHY_BATCH_MODE");
    unsetenv("TELEPATHY_METHODS");
    unsetenv("TELEPATHY_DATA");
}

static void nonsense_is_refused_with_one_sentence(void **state) {
    (void)state;
    REFUSED("telepathy train: RUN is missing; `telepathy train --help` says what goes", "--steps", "3");
    REFUSED("telepathy train: unknown option --sede; did you mean --seed?", "a", "--sede", "3");
    REFUSED("telepathy train: unknown option --batchmode; did you mean --batch-mode?", "a", "--batchmode=");
    REFUSED("telepathy train: unknown option --xyzzy; `telepathy train --help` lists them", "a", "--xyzzy");
    REFUSED("telepathy train: unknown option --no-steps; did you mean --steps?", "a", "--no-steps");
    REFUSED("telepathy train: unknown option -x; `telepathy train --help` lists them", "a", "-bx");
    REFUSED("telepathy train: --steps needs a value (N)", "a", "--steps");
    REFUSED("telepathy train: -n needs a value (N)", "a", "-n");
    REFUSED("telepathy train: --steps is `5001`, an integer from 1 to 5000 was expected", "a", "--steps=5001");
    REFUSED("telepathy train: --steps is `3x`, an integer from 1 to 5000 was expected", "a", "--steps", "3x");
    REFUSED("telepathy train: --steps is ``, an integer from 1 to 5000 was expected", "a", "--steps=");
    REFUSED("telepathy train: --offset is `99999999999999999999`, an integer was expected", "a", "--offset",
            "99999999999999999999");
    REFUSED("telepathy train: -s is `-1`, an integer of at least 0 was expected", "a", "-s", "-1");
    REFUSED("telepathy train: --rate is `nan`, a number from 0 to 1 was expected", "a", "--rate", "nan");
    REFUSED("telepathy train: --rate is `1e999`, a number from 0 to 1 was expected", "a", "--rate", "1e999");
    REFUSED("telepathy train: --loss is `first`, one of lm, first_token was expected; did you mean first_token?", "a",
            "--loss=first");
    REFUSED("telepathy train: --methods is `prob`, one of bridge, probe, random was expected; did you mean probe?", "a",
            "--methods=bridge,prob");
    REFUSED("telepathy train: --cache is `2`, on or off was expected", "a", "--cache=2");
}

static void too_many_arguments_are_refused(void **state) {
    (void)state;
    const tp_command one = {
        .name = "one",
        .summary = "x",
        .options = (const tp_option[]){{.name = "A", .type = TP_OPT_TEXT, .positional = true}, {0}},
    };
    assert_null(tp_args_parse(&one, 2, ARGV("x", "y")));
    assert_string_equal(tp_last_error(),
                        "telepathy one: `y` is one argument too many; `telepathy one --help` says what goes");
    tp_args *args = tp_args_parse(&one, 0, NULL); /* an optional one may be absent */
    check_not_null(args);
    assert_null(tp_args_text(args, "A"));
    assert_int_equal(tp_args_refuse(args, "not %s", "so"), TP_ERR_ARGUMENT);
    assert_true(tp_args_refused(args));
    tp_args_free(args);
}

static void places_may_be_given_by_name(void **state) {
    (void)state;
    const tp_command tokenize = {
        .name = "tokenize",
        .summary = "x",
        .options =
            (const tp_option[]){
                {.name = "MODEL", .letter = 'm', .type = TP_OPT_PATH, .positional = true, .required = true},
                {.name = "TEXT", .type = TP_OPT_TEXT, .positional = true},
                {.name = "stop", .type = TP_OPT_TEXTS},
                {0},
            },
    };
    static const char *const spellings[][5] = {{"wren", "some text"},
                                               {"-m", "wren", "some text"},
                                               {"some text", "-m", "wren"},
                                               {"--model=wren", "some text"},
                                               {"some text", "--model", "wren"}};
    for (size_t i = 0; i < sizeof spellings / sizeof spellings[0]; i++) {
        char *argv[5];
        int argc = 0;
        for (; argc < 5 && spellings[i][argc]; argc++) argv[argc] = (char *)(uintptr_t)spellings[i][argc];
        tp_args *args = tp_args_parse(&tokenize, argc, argv);
        check_not_null(args);
        assert_string_equal(tp_args_text(args, "MODEL"), "wren");
        assert_string_equal(tp_args_text(args, "TEXT"), "some text");
        tp_args_free(args);
    }
    assert_null(tp_args_parse(&tokenize, 4, ARGV("-m", "a", "text", "more")));
    assert_non_null(strstr(tp_last_error(), "`more` is one argument too many"));
    assert_null(tp_args_parse(&tokenize, 2, ARGV("--modle", "a")));
    assert_non_null(strstr(tp_last_error(), "did you mean --model?"));
    assert_null(tp_args_parse(&tokenize, 2, ARGV("--text", "a"))); /* has no letter */

    setenv("TELEPATHY_MODEL", "finch", 1);
    tp_args *args = tp_args_parse(&tokenize, 0, NULL);
    check_not_null(args);
    assert_string_equal(tp_args_text(args, "MODEL"), "finch");
    tp_args_free(args);
    args = tp_args_parse(&tokenize, 1, ARGV("wren")); /* what stands by place wins */
    assert_string_equal(tp_args_text(args, "MODEL"), "wren");
    assert_null(tp_args_text(args, "TEXT"));
    tp_args_free(args);
    unsetenv("TELEPATHY_MODEL");

    setenv("TELEPATHY_STOP", "one", 1);
    args = tp_args_parse(&tokenize, 1, ARGV("wren"));
    expect_list(args, "stop", "one");
    tp_args_free(args);
    args = tp_args_parse(&tokenize, 5, ARGV("wren", "--stop", "a,b", "--stop", "c"));
    expect_list(args, "stop", "a,b|c");
    tp_args_free(args);
    unsetenv("TELEPATHY_STOP");
}

static void help_wins_over_everything_else(void **state) {
    (void)state;
    tp_args *args = PARSE("--nonsense", "--help");
    assert_true(tp_args_flag(args, "help"));
    tp_args_free(args);
    args = PARSE("--", "--help"); /* but here it is a file's name */
    assert_false(tp_args_flag(args, "help"));
    assert_string_equal(tp_args_text(args, "RUN"), "--help");
    tp_args_free(args);
}

static void the_nearest_name_is_near(void **state) {
    (void)state;
    const char *const known[] = {"seed", "sender", "steps", "threads"};
    assert_string_equal(tp_nearest("sed", known, 4), "seed");
    assert_string_equal(tp_nearest("seeed", known, 4), "seed");
    assert_string_equal(tp_nearest("stesp", known, 4), "steps");
    assert_string_equal(tp_nearest("thr", known, 4), "threads");
    assert_null(tp_nearest("output", known, 4));
    assert_null(tp_nearest("", known, 4));
}

/* Every row of every command of the program: what --help shows must be complete, and the defaults must be good. */
static void the_tables_are_in_order(void **state) {
    (void)state;
    for (size_t i = 0; tp_commands[i]; i++) {
        const tp_command *c = tp_commands[i];
        assert_true(c->name && c->summary && c->text && c->options && c->run);
        assert_ptr_equal(tp_command_find(c->name), c);
        bool many = false;
        for (const tp_option *o = c->options; o->name; o++) {
            if (o->help == NULL || o->type == 0) fail_msg("%s: option %s has no help or no type", c->name, o->name);
            if (o->type == TP_OPT_CHOICE && o->choices == NULL) fail_msg("%s: %s has no choices", c->name, o->name);
            if (o->positional && many) fail_msg("%s: %s can never be reached", c->name, o->name);
            many = many || o->many;
            for (const tp_option *p = c->options; p < o; p++)
                if (strcmp(p->name, o->name) == 0 || (p->letter && p->letter == o->letter))
                    fail_msg("%s: %s and %s are the same", c->name, p->name, o->name);
            for (const tp_option *p = tp_global_options; p->name; p++)
                if (strcmp(p->name, o->name) == 0 || (p->letter && p->letter == o->letter))
                    fail_msg("%s: %s is an option of every command", c->name, o->name);
        }
        /* a good default may only be followed by complaints about what is missing */
        tp_args *args = tp_args_parse(c, 0, NULL);
        if (args == NULL && strstr(tp_last_error(), "is missing") == NULL) fail_msg("%s", tp_last_error());
        tp_args_free(args);
    }
    assert_null(tp_command_find("nonsense"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_come_from_the_table),
        cmocka_unit_test(every_spelling_is_read),
        cmocka_unit_test(the_environment_stands_in_and_the_command_line_wins),
        cmocka_unit_test(nonsense_is_refused_with_one_sentence),
        cmocka_unit_test(too_many_arguments_are_refused),
        cmocka_unit_test(places_may_be_given_by_name),
        cmocka_unit_test(help_wins_over_everything_else),
        cmocka_unit_test(the_nearest_name_is_near),
        cmocka_unit_test(the_tables_are_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
