/* train/state and train/log: a run's state comes back bit by bit or not at all, and says which run it is of; the log
 * keeps the lines of a run's past; what killed writers left is removed. */
#include "check.h"

#include "base/file.h"
#include "base/mem.h"
#include "lm/safetensors.h"
#include "one_folder.h"
#include "train/log.h"
#include "train/state.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

static char *in_dir(const char *name) {
    static char path[4][4096];
    static int next;
    next = (next + 1) % 4;
    snprintf(path[next], sizeof path[next], "%s/%s", dir, name);
    return path[next];
}

static const tp_adamw_options plain = {.beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8};

typedef struct {
    tp_params params;
    tp_weight first, second;
    tp_adamw *adamw;
} small_run;

/* Parameters and moments of noise, or all alike (blank) to load into. */
static void run_begin(small_run *r, const char *second_name, int64_t rows, bool blank) {
    *r = (small_run){0};
    tp_params_attach(&r->params, &r->first, "first", 3, 4);
    if (second_name) tp_params_attach(&r->params, &r->second, second_name, rows, 5);
    r->adamw = tp_adamw_new(&r->params, &plain);
    r->adamw->t = blank ? 2 : 17;
    tp_rng rng = tp_rng_stream(blank, "noise", 0);
    for (size_t i = 0; i < r->params.n; i++) tp_weight_init_normal(r->params.items[i], blank, 1);
    tp_rng_fill_normal(&rng, r->adamw->m, (size_t)r->params.total, 1);
    tp_rng_fill_normal(&rng, r->adamw->v, (size_t)r->params.total, 1);
}

static void run_end(small_run *r) {
    tp_adamw_free(r->adamw);
    tp_params_free(&r->params);
}

static bool equal_runs(const small_run *a, const small_run *b) {
    bool same = a->adamw->t == b->adamw->t && a->params.total == b->params.total;
    size_t bytes = (size_t)a->params.total * sizeof(float);
    same = same && memcmp(a->adamw->m, b->adamw->m, bytes) == 0 && memcmp(a->adamw->v, b->adamw->v, bytes) == 0;
    for (size_t i = 0; same && i < a->params.n; i++) {
        const tp_weight *x = a->params.items[i], *y = b->params.items[i];
        same = memcmp(x->data, y->data, (size_t)(x->rows * x->cols) * sizeof(float)) == 0;
    }
    return same;
}

/* Saves a run with a note {"step": 41, "loss": 1/3, "run": {...}}. */
static tp_status save(const small_run *r, const char *path) {
    json_t *note = json_pack("{s:i, s:f, s:{s:i, s:{s:s, s:f}}}", "step", 41, "loss", 1.0 / 3, "run", "seed", 5,
                             "recipe", "task", "demo", "lr", 0.1);
    tp_status status = tp_state_save(path, r->adamw, note);
    json_decref(note);
    return status;
}

static void a_state_comes_back_bit_by_bit(void **state) {
    (void)state;
    small_run saved, loaded;
    run_begin(&saved, "second", 2, false);
    run_begin(&loaded, "second", 2, true);
    assert_false(equal_runs(&saved, &loaded));
    check_ok(save(&saved, in_dir("state")));
    json_t *note;
    check_ok(tp_state_load(in_dir("state"), loaded.adamw, &note));
    assert_true(equal_runs(&saved, &loaded));
    assert_int_equal(json_integer_value(json_object_get(note, "step")), 41);
    assert_true(json_real_value(json_object_get(note, "loss")) == 1.0 / 3);
    json_decref(note);
    run_end(&saved);
    run_end(&loaded);
}

/* Loading must fail, say so with these words, and leave everything as it was. */
static void check_refused(const char *path, const char *second_name, int64_t rows, const char *words) {
    small_run before, after;
    run_begin(&before, second_name, rows, true);
    run_begin(&after, second_name, rows, true);
    json_t *note = (json_t *)&before;
    assert_int_not_equal(tp_state_load(path, after.adamw, &note), TP_OK);
    assert_null(note);
    if (strstr(tp_last_error(), words) == NULL || strstr(tp_last_error(), path) == NULL)
        fail_msg("\"%s\" does not name %s and \"%s\"", tp_last_error(), path, words);
    assert_true(equal_runs(&before, &after));
    run_end(&before);
    run_end(&after);
}

static void write_bytes(const char *path, const char *bytes, size_t n) {
    check_ok(tp_write_file(path, bytes, n));
}

static void other_states_are_refused_and_change_nothing(void **state) {
    (void)state;
    small_run r;
    run_begin(&r, "second", 2, false);
    check_ok(save(&r, in_dir("state")));
    const char *path = in_dir("state");
    check_refused(path, "second", 3, "`second` has another shape");
    check_refused(path, "third", 2, "third");
    check_refused(path, NULL, 0, "6 tensors, this run has 3");

    char *bytes;
    size_t n;
    check_ok(tp_read_file(path, 0, &bytes, &n));
    const char *cut = in_dir("cut");
    for (size_t keep = 0; keep < n; keep += keep < 16 || keep + 16 > n ? 1 : 61) {
        write_bytes(cut, bytes, keep);
        check_refused(cut, "second", 2, "");
    }
    tp_free(bytes);
    check_refused(in_dir("nowhere"), "second", 2, "");

    /* the right tensors, but no note, one that is no JSON, one without a count of updates, one with an absurd one */
    const char *const notes[] = {
        NULL, "{\"updates\": 3", "[1, 2]", "{\"step\": 1}", "{\"updates\": -1}", "{\"updates\": 1.5}"};
    const char *const words[] = {"no `state`", "JSON", "`updates`", "`updates`", "`updates`", "`updates`"};
    for (int i = 0; i < 6; i++) {
        tp_safetensors *st = tp_safetensors_open(path);
        check_not_null(st);
        tp_st_tensor tensors[6];
        for (size_t t = 0; t < 6; t++) tensors[t] = *tp_safetensors_get(st, t);
        check_ok(tp_safetensors_write(cut, tensors, 6, &(tp_st_metadata){"state", notes[i]}, notes[i] != NULL));
        tp_safetensors_close(st);
        check_refused(cut, "second", 2, words[i]);
    }
    run_end(&r);
}

static void a_state_that_cannot_be_written_leaves_the_last_one(void **state) {
    (void)state;
    small_run old, newer, loaded;
    run_begin(&old, "second", 2, false);
    run_begin(&newer, "second", 2, true);
    run_begin(&loaded, "second", 2, true);
    check_ok(save(&old, in_dir("state")));
    struct rlimit limit, small;
    getrlimit(RLIMIT_FSIZE, &limit);
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    small = (struct rlimit){.rlim_cur = 256, .rlim_max = limit.rlim_max}; /* the disk is full after 256 bytes */
    setrlimit(RLIMIT_FSIZE, &small);
    tp_status status = save(&newer, in_dir("state"));
    setrlimit(RLIMIT_FSIZE, &limit);
    signal(SIGXFSZ, handler);
    assert_int_equal(status, TP_ERR_IO);
    assert_non_null(strstr(tp_last_error(), in_dir("state")));
    json_t *note;
    check_ok(tp_state_load(in_dir("state"), loaded.adamw, &note));
    json_decref(note);
    assert_true(equal_runs(&old, &loaded));
    assert_int_equal(save(&newer, "/proc/nowhere/state"), TP_ERR_IO);
    assert_non_null(strstr(tp_last_error(), "/proc/nowhere/state"));
    run_end(&old);
    run_end(&newer);
    run_end(&loaded);
}

static void a_run_with_other_facts_is_told_which(void **state) {
    (void)state;
    small_run r;
    run_begin(&r, "second", 2, false);
    check_ok(save(&r, in_dir("state")));
    json_t *note;
    check_ok(tp_state_load(in_dir("state"), r.adamw, &note));
    json_t *same = json_pack("{s:i, s:{s:s, s:f}}", "seed", 5, "recipe", "task", "demo", "lr", 0.1);
    json_t *other = json_pack("{s:i, s:{s:s, s:f}}", "seed", 5, "recipe", "task", "demo", "lr", 0.2);
    json_t *more = json_pack("{s:i, s:{s:s, s:f, s:i}}", "seed", 5, "recipe", "task", "demo", "lr", 0.1, "steps", 9);
    json_t *less = json_pack("{s:i}", "seed", 5);
    check_ok(tp_state_check_run("x", note, same));
    assert_int_equal(tp_state_check_run("a/state", note, other), TP_ERR_ARGUMENT);
    assert_non_null(strstr(tp_last_error(), "a/state belongs to a run with another `recipe.lr`: 0.1, now 0.2;"));
    assert_int_not_equal(tp_state_check_run("x", note, more), TP_OK);
    assert_non_null(strstr(tp_last_error(), "`recipe.steps`: nothing, now 9;"));
    assert_int_not_equal(tp_state_check_run("x", note, less), TP_OK);
    assert_non_null(strstr(tp_last_error(), "`recipe`: {\"lr\":0.1,"));
    json_object_del(note, "run");
    assert_int_not_equal(tp_state_check_run("x", note, same), TP_OK);
    json_decref(same);
    json_decref(other);
    json_decref(more);
    json_decref(less);
    json_decref(note);
    run_end(&r);
}

static void what_killed_writers_left_is_removed(void **state) {
    (void)state;
    check_ok(tp_make_dirs(in_dir("folder")));
    pid_t dead = fork();
    if (dead == 0) { /* dies in the middle of writing */
        tp_writer *half = tp_writer_open(in_dir("folder/state.safetensors"));
        if (half) tp_writer_write(half, "half", 4);
        _exit(half == NULL);
    }
    siginfo_t end; /* its number is still taken: it is looked at, but not let go */
    assert_int_equal(waitid(P_PID, (id_t)dead, &end, WEXITED | WNOWAIT), 0);
    assert_int_equal(end.si_status, 0);
    char left[64];
    snprintf(left, sizeof left, "folder/state.safetensors.%ld.tmp", (long)dead);
    assert_true(tp_path_exists(in_dir(left)));
    tp_writer *living = tp_writer_open(in_dir("folder/eval.json"));
    check_not_null(living);
    tp_writer_write(living, "whole", 5);
    const char *const others[] = {"folder/state.safetensors", "folder/notes.tmp", "folder/.tmp", "folder/99999999.tmp",
                                  "folder/a.12x.tmp"};
    for (int i = 0; i < 5; i++) write_bytes(in_dir(others[i]), "mine", 4);
    tp_remove_leftovers(in_dir("folder"));
    tp_remove_leftovers(in_dir("no such folder"));
    assert_false(tp_path_exists(in_dir(left)));
    check_ok(tp_writer_commit(living));
    assert_true(tp_path_exists(in_dir("folder/eval.json")));
    waitpid(dead, NULL, 0);
    for (int i = 0; i < 5; i++) assert_true(tp_path_exists(in_dir(others[i])));
}

static void a_log_keeps_the_lines_of_its_past(void **state) {
    (void)state;
    const char *path = in_dir("log.jsonl");
    const char old[] =
        "{\"step\": 1, \"x\": 1}\n{\"step\": 5, \"x\": 2}\nnonsense\n{\"x\": 3}\n{\"step\": 6}\n{\"step\": 2, \"x";
    char *bytes;
    size_t n;
    for (int step = 0; step <= 5; step += 5) {
        write_bytes(path, old, sizeof old - 1);
        check_ok(tp_log_begin(path, step));
        check_ok(tp_log_add(path, json_pack("{s:i, s:o}", "step", 6, "text", tp_log_text("caf\xE9"))));
        check_ok(tp_read_file(path, 0, &bytes, &n));
        assert_string_equal(bytes,
                            step ? "{\"step\": 1, \"x\": 1}\n{\"step\": 5, \"x\": 2}\n{\"step\":6,\"text\":\"caf?\"}\n"
                                 : "{\"step\":6,\"text\":\"caf?\"}\n");
        tp_free(bytes);
    }
    assert_int_equal(tp_log_begin("/proc/nowhere/log", 0), TP_ERR_IO);
    assert_int_equal(tp_log_add("/dev/full", json_pack("{s:i}", "step", 1)), TP_ERR_IO);
    assert_non_null(strstr(tp_last_error(), "/dev/full"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_state_comes_back_bit_by_bit),
        cmocka_unit_test(other_states_are_refused_and_change_nothing),
        cmocka_unit_test(a_state_that_cannot_be_written_leaves_the_last_one),
        cmocka_unit_test(a_run_with_other_facts_is_told_which),
        cmocka_unit_test(what_killed_writers_left_is_removed),
        cmocka_unit_test(a_log_keeps_the_lines_of_its_past),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
