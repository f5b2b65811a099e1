/* The real program, end to end: what goes to stdout and what to stderr, and the exit codes that scripts rely on. */
#include "program.h"

#include "cli/command.h"

#include <jansson.h>
#include <pty.h>

static void every_command_has_a_manual(void **state) {
    (void)state;
    for (size_t i = 0; tp_commands[i]; i++) {
        char arguments[64], title[64];
        snprintf(title, sizeof title, "telepathy %s - ", tp_commands[i]->name);
        snprintf(arguments, sizeof arguments, "%s --help", tp_commands[i]->name);
        expect_success("", arguments, title);
        outcome o = telepathy("", arguments);
        assert_string_equal(o.err, "");
        assert_null(strchr(o.out, '\x1b')); /* no colours into a file */
        assert_non_null(strstr(o.out, "\nUsage: telepathy "));
        assert_non_null(strstr(o.out, "  -t, --threads N"));
        for (const tp_option *p = tp_commands[i]->options; p->name; p++) {
            if (strstr(o.out, p->name) == NULL) fail_msg("%s does not name %s", arguments, p->name);
            char env[80];
            tp_option_env(p, env, sizeof env);
            if (tp_option_named(p) && strstr(o.out, env) == NULL) fail_msg("%s does not name %s", arguments, env);
        }
        for (char *line = o.out; *line; line += strcspn(line, "\n"), line += *line == '\n') {
            bool example = strncmp(line, "  ", 2) == 0 && line[2] != ' ' && line[2] != '-';
            size_t n = strcspn(line, "\n");
            if (n > 90 && !example) fail_msg("%s: too long a line: %.*s", arguments, (int)n, line);
        }
        char *manual = strdup(o.out);
        snprintf(arguments, sizeof arguments, "help %s", tp_commands[i]->name);
        assert_string_equal(telepathy("", arguments).out, manual);
        free(manual);
    }
}

static void the_overview_lists_the_commands(void **state) {
    (void)state;
    outcome o = telepathy("", "help");
    for (size_t i = 0; tp_commands[i]; i++) {
        char row[64];
        snprintf(row, sizeof row, "\n  %-12s", tp_commands[i]->name);
        assert_true((strstr(o.out, row) != NULL) == !tp_commands[i]->hidden);
    }
    expect_success("", "--help", "Commands:");
    o = telepathy("", ""); /* no command: the same, but as an error */
    assert_int_equal(o.code, 2);
    assert_string_equal(o.out, "");
    assert_non_null(strstr(o.err, "Commands:"));
    o = telepathy("", "--version");
    assert_int_equal(o.code, 0);
    assert_memory_equal(o.out, "telepathy " TP_VERSION "\n", strlen("telepathy " TP_VERSION "\n"));
}

static void usage_errors_end_with_two(void **state) {
    (void)state;
    expect_failure("", "verison", 2, "telepathy: unknown command `verison`; did you mean version?");
    expect_failure("", "frobnicate", 2, "`telepathy help` lists them");
    expect_failure("", "version --treads 2", 2, "unknown option --treads; did you mean --threads?");
    expect_failure("", "version --threads=many", 2, "--threads is `many`, an integer from 1 to 1024 was expected");
    expect_failure("", "help nonsense", 2, "there is no command `nonsense`");
    expect_failure("", "completion", 2, "SHELL is missing");
    expect_failure("TELEPATHY_THREADS=x", "version", 2, "TELEPATHY_THREADS is `x`");
}

static void threads_come_from_three_places(void **state) {
    (void)state;
    expect_success("", "version --threads 3", ", 3 threads\n");
    expect_success("", "-t 5 version", ", 5 threads\n"); /* in front of the command */
    expect_success("TELEPATHY_THREADS=4", "version", ", 4 threads\n");
    expect_success("TELEPATHY_THREADS=4", "version -t6", ", 6 threads\n");
}

static void an_answer_that_cannot_be_written_is_a_failure(void **state) {
    (void)state;
    if (access("/dev/full", W_OK) != 0) skip();
    char command[4096];
    snprintf(command, sizeof command, "'%s/telepathy' version >/dev/full 2>'%s/err'", TP_BINARY_DIR, dir);
    assert_int_equal(WEXITSTATUS(system(command)), 1);
}

/* The scripts must at least be sound for their shells, where those are installed; bash always is in the tests. */
static void completions_complete(void **state) {
    (void)state;
    expect_success("", "completion zsh", "#compdef telepathy");
    expect_success("", "completion fish", "complete -c telepathy ");
    expect_success("", "completion bash", "complete -o filenames -F _telepathy telepathy");
    char command[4096];
    snprintf(
        command, sizeof command,
        "'%s/telepathy' completion bash >'%s/script' && bash -c '. %s/script && "
        "COMP_WORDS=(telepathy version --th) COMP_CWORD=2 && _telepathy && test \"${COMPREPLY[*]}\" = --threads && "
        "COMP_WORDS=(telepathy comp) COMP_CWORD=1 && _telepathy && test \"${COMPREPLY[*]}\" = completion'",
        TP_BINARY_DIR, dir, dir);
    assert_int_equal(system(command), 0);
}

static void the_man_page_names_everything(void **state) {
    (void)state;
    outcome o = telepathy("", "help --man");
    assert_memory_equal(o.out, ".TH TELEPATHY 1 ", 16);
    for (size_t i = 0; tp_commands[i]; i++) {
        char heading[80];
        snprintf(heading, sizeof heading, "\n.SS telepathy %s", tp_commands[i]->name);
        assert_non_null(strstr(o.out, heading));
    }
    const char *const parts[] = {".SH EXIT STATUS", ".SH ENVIRONMENT", "\\-\\-threads N", NULL};
    for (int i = 0; parts[i]; i++) assert_non_null(strstr(o.out, parts[i]));
    /* a line that starts with a dot must be a macro */
    for (char *at = o.out; (at = strstr(at, "\n.")) != NULL; at++)
        assert_true((at[2] >= 'A' && at[2] <= 'Z') || strncmp(at, "\n.nf\n", 5) == 0 ||
                    strncmp(at, "\n.fi\n", 5) == 0 || strncmp(at, "\n.br\n", 5) == 0);
}

/* What `telepathy help` shows on a terminal, in a buffer reused by the next call. */
static const char *on_terminal(const char *term, const char *no_color) {
    static char shown[1 << 16];
    int terminal;
    pid_t child = forkpty(&terminal, NULL, NULL, NULL);
    assert_true(child >= 0);
    if (child == 0) {
        setenv("TERM", term, 1);
        if (no_color)
            setenv("NO_COLOR", no_color, 1);
        else
            unsetenv("NO_COLOR");
        execl(TP_BINARY_DIR "/telepathy", "telepathy", "help", (char *)NULL);
        _exit(99);
    }
    size_t n = 0;
    for (ssize_t got; (got = read(terminal, shown + n, sizeof shown - 1 - n)) > 0;) n += (size_t)got;
    shown[n] = '\0';
    close(terminal);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_non_null(strstr(shown, "Commands:"));
    return shown;
}

static void a_terminal_gets_bold_headings_unless_it_says_no(void **state) {
    (void)state;
    assert_non_null(strstr(on_terminal("xterm", NULL), "\x1b[1mCommands:\x1b[0m"));
    assert_non_null(strstr(on_terminal("xterm", ""), "\x1b[1m")); /* empty is as good as not set: no-color.org */
    assert_null(strchr(on_terminal("xterm", "1"), '\x1b'));
    assert_null(strchr(on_terminal("dumb", NULL), '\x1b'));
}

/* Writes a corpus of `n` documents with a broken last line if asked for, as dir/name. */
static void write_corpus(const char *name, int n, bool broken) {
    char path[4200];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    tp_writer *w = tp_writer_open(path);
    check_not_null(w);
    for (int i = 0; i < n; i++) tp_writer_printf(w, "{\"text\": \"How many moons has planet %d?\"}\n", i * i);
    if (broken) tp_writer_printf(w, "{\"text\": \n");
    check_ok(tp_writer_commit(w));
}

static void a_tokenizer_is_trained_from_text(void **state) {
    (void)state;
    write_corpus("good.jsonl", 300, false);
    write_corpus("broken.jsonl", 300, true);
    const char *good = "tokenizer @/good.jsonl --vocab-size 300 --out @/tok";
    expect_success("", good, "byte-level BPE, 300 tokens, from 300 documents of ");
    assert_non_null(strstr(telepathy("", good).err, "counting  300/300 documents"));
    assert_null(strchr(telepathy("", good).err, '\r')); /* stderr is no terminal */
    outcome o = telepathy("TELEPATHY_QUIET=1 TELEPATHY_VOCAB_SIZE=300",
                          "tokenizer @/good.jsonl --kind=sentencepiece --out @/sp");
    assert_int_equal(o.code, 0);
    assert_string_equal(o.err, "");
    assert_non_null(strstr(o.out, "sentencepiece BPE, 300 tokens"));

    char *before, *after;
    size_t n, m;
    check_ok(tp_read_file(in_dir("@/tok/tokenizer.json"), 0, &before, &n));
    o = telepathy("", "tokenizer @/broken.jsonl --vocab-size 280 --out @/tok");
    assert_int_equal(o.code, 1);
    assert_string_equal(o.out, "");
    assert_non_null(strstr(o.err, "broken.jsonl line 301 is not valid JSON"));
    check_ok(tp_read_file(in_dir("@/tok/tokenizer.json"), 0, &after, &m));
    assert_int_equal(n, m);
    assert_memory_equal(before, after, n); /* a failure loses nothing */
    tp_free(before);
    tp_free(after);

    expect_failure("", "tokenizer @/absent.txt --out @/tok", 1, "absent.txt: No such file");
    expect_failure("", "tokenizer --out x", 2, "FILES is missing");
    expect_failure("", "tokenizer @/good.jsonl", 2, "--out is missing");
    expect_failure("", "tokenizer @/good.jsonl --out @/tok --kind bytes", 2, "one of byte-level, sentencepiece");
    expect_failure("", "tokenizer -q @/good.jsonl --out @/good.jsonl", 1, "a file of that name exists");
    expect_failure("", "tokenizer -q @/good.jsonl --out @/tok --vocab-size 10", 1, "10 tokens is too small");
}

/* Success: `expected` is the whole of stdout, and stderr is empty. */
static void expect_answer(const char *before, const char *arguments, const char *expected) {
    outcome o = telepathy(before, arguments);
    if (o.code != 0 || strcmp(o.out, expected) != 0 || o.err[0])
        fail_msg("telepathy %s: code %d, `%s` on stdout, `%s` on stderr", arguments, o.code, o.out, o.err);
}

static void a_text_is_shown_as_tokens(void **state) {
    (void)state;
    write_corpus("good.jsonl", 300, false);
    assert_int_equal(telepathy("", "tokenizer -q @/good.jsonl --vocab-size 300 --out @/tok").code, 0);
    /* words of the training text became tokens, the others are bytes */
    expect_answer("", "tokenize @/tok --pieces 'How many\\ \t moons'",
                  "<|begin_of_text|>\nHow\n many\n\\\\\n \n\\t\n moons\n");
    expect_answer("", "tokenize @/tok --pieces --no-add-special '\303\244'", "\\xC3\n\\xA4\n");
    expect_answer("", "tokenize @/tok --count 'How many moons'", "4\n");
    expect_answer("TELEPATHY_ADD_SPECIAL=off", "tokenize @/tok --count 'How many moons'", "3\n");
    check_ok(tp_write_file(in_dir("@/text"), "How many moons\0How", 18)); /* stdin may hold zero bytes */
    expect_answer("", "tokenize @/tok --count <@/text", "6\n");
    outcome o = telepathy("", "tokenize @/tok --no-add-special 'H'");
    assert_string_equal(o.out, "39\tH\n"); /* bytes stand in GPT-2's order */
    expect_answer("", "tokenize @/tok --ids --no-add-special HIH", "39 40 39\n");
    o = telepathy("", "tokenize @/tok --json --no-add-special 'H'");
    assert_true(tp_starts_with(o.out, "{\"kind\":\"byte-level BPE\",\"fingerprint\":\""));
    assert_non_null(strstr(o.out, "\"count\":1,\"ids\":[39],\"pieces\":[\"H\"]}\n"));
    expect_answer("", "tokenize @/tok --no-add-special ''", "");
    /* a special token written out is text, unless asked otherwise */
    expect_answer("", "tokenize @/tok --no-add-special --parse-special --ids '<|begin_of_text|>'", "298\n");
    assert_true(strtol(telepathy("", "tokenize @/tok --no-add-special --count '<|begin_of_text|>'").out, NULL, 10) > 1);

    expect_failure("", "tokenize @/absent x", 1, "/absent");
    expect_failure("", "tokenize @ x", 1, "holds no tokenizer");
    expect_failure("", "tokenize @/tok --ids --count x", 2, "only one can be shown");
    expect_failure("", "tokenize @/tok a b", 2, "`b` is one argument too many");
}

/* The rows of bench in each form; which numbers stand in them is not the test's business. */
static void bench_prints_rows(void **state) {
    (void)state;
    const char *finch = "bench " TP_SOURCE_DIR "/models/finch -r 2 ";
    char arguments[1024];
    snprintf(arguments, sizeof arguments, "%s -p 8 -n 3 -d 0,5 -ctk i8", finch);
    outcome o = telepathy("", arguments);
    assert_int_equal(o.code, 0);
    const char *const expected[] = {"| model ", " size |",    " params |",  "| backend ", " threads |", "pp8 |",
                                    "tg3 |",    "pp8 @ d5 |", "tg3 @ d5 |", " i8 ",       "CPU ",       " ± "};
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++)
        if (strstr(o.out, expected[i]) == NULL) fail_msg("bench printed no `%s`: %s", expected[i], o.out);
    snprintf(arguments, sizeof arguments, "%s -p 8,9 -n 0 -o csv", finch);
    o = telepathy("", arguments);
    assert_int_equal(strncmp(o.out, "model_filename,model_type,", 26), 0);
    int lines = 0;
    for (const char *at = o.out; *at; at++) lines += *at == '\n';
    assert_int_equal(lines, 3);
    snprintf(arguments, sizeof arguments, "%s -p 0 -n 2,3 -o json", finch);
    json_t *rows = json_loads(telepathy("", arguments).out, 0, NULL);
    assert_int_equal(json_array_size(rows), 2);
    assert_int_equal(json_integer_value(json_object_get(json_array_get(rows, 1), "n_gen")), 3);
    assert_true(json_real_value(json_object_get(json_array_get(rows, 1), "avg_ts")) > 0);
    assert_int_equal(json_array_size(json_object_get(json_array_get(rows, 1), "samples_ts")), 2);
    assert_string_equal(json_string_value(json_object_get(json_array_get(rows, 0), "type_k")), "f16");
    json_decref(rows);
    snprintf(arguments, sizeof arguments, "%s -p 0 -n 2 -o jsonl", finch);
    o = telepathy("", arguments);
    assert_true(o.out[0] == '{' && strchr(o.out, '\n')[1] == '\0');
    snprintf(arguments, sizeof arguments, "%s -p x", finch);
    expect_failure("", arguments, 2, "--n-prompt takes numbers of tokens");
    snprintf(arguments, sizeof arguments, "%s -ctk q4_0", finch);
    expect_failure("", arguments, 2, "-ctk is `q4_0`, one of f32, f16, bf16, i8 was expected");
    snprintf(arguments, sizeof arguments, "%s -ctk", finch);
    expect_failure("", arguments, 2, "-ctk needs a value");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_command_has_a_manual),
        cmocka_unit_test(the_overview_lists_the_commands),
        cmocka_unit_test(usage_errors_end_with_two),
        cmocka_unit_test(threads_come_from_three_places),
        cmocka_unit_test(an_answer_that_cannot_be_written_is_a_failure),
        cmocka_unit_test(completions_complete),
        cmocka_unit_test(the_man_page_names_everything),
        cmocka_unit_test(a_terminal_gets_bold_headings_unless_it_says_no),
        cmocka_unit_test(a_tokenizer_is_trained_from_text),
        cmocka_unit_test(a_text_is_shown_as_tokens),
        cmocka_unit_test(bench_prints_rows),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
