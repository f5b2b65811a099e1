/* train/trainer: a run that was stopped, killed between any two files, or out of disk ends with the bytes of one that
 * was not; the folder holds the best bridge and nothing of other runs; what cannot be trained is refused with a
 * sentence. */
#include "tiny_runs.h"

#include "bridge/relay.h"
#include "train/validate.h"

#include <math.h>
#include <signal.h>
#include <sys/resource.h>

/* ---- what a run gives ---- */

/* Accuracy and loss of the bridge that lies in the folder. */
static tp_validation validate(const char *folder) {
    tp_relay *r = tp_relay_load(folder, stage.sender, stage.receiver);
    check_not_null(r);
    tp_state_cache *states =
        tp_state_cache_new(&r->tap, stage.task->valid.examples, stage.task->valid.n, TP_CACHE_NONE, 0, NULL);
    check_not_null(states);
    tp_validation v;
    check_ok(tp_validate(r, states, &stage.task->valid, (int64_t)stage.task->valid.n, &v));
    tp_state_cache_free(states);
    tp_relay_free(r);
    return v;
}

static void a_bridge_learns(void **state) {
    (void)state;
    tp_train_result result;
    check_ok(train(in_dir("learns"),
                   "{\"optimiser\": {\"steps\": 120, \"lr\": 0.006, \"batch\": 16, \"accumulate\": 1}, \"sender\": "
                   "{\"layer\": 0}, \"bridge\": {\"dropout\": 0, \"width\": 32, \"depth\": 2}}",
                   0, &result));
    assert_true(result.valid_accuracy > 0.8); /* a third is chance */
    assert_int_equal(result.steps, 120);
    assert_false(result.resumed || result.already_done);
    tp_validation v = validate(in_dir("learns"));
    assert_true(v.accuracy == result.valid_accuracy);
}

static void a_run_keeps_its_best_bridge(void **state) {
    (void)state;
    /* nothing holds the answers any more after step 20: the last bridge is not the best */
    const char forgets[] =
        "{\"losses\": [{\"name\": \"lm\", \"weight\": 1, \"schedule\": {\"kind\": \"window\", \"from\": 0, "
        "\"to\": 20}}, {\"name\": \"diversity\", \"weight\": 1}], \"optimiser\": {\"lr\": 0.1}}";
    tp_train_result result, again;
    check_ok(train(in_dir("best"), forgets, 0, &result));
    assert_int_equal(result.steps, 40);
    assert_in_range(result.best_step, 10, 30);
    char words[160];
    tp_validation v = validate(in_dir("best"));
    snprintf(words, sizeof words, "step %lld  validation accuracy %.2f %%, loss %.4f  (best so far)",
             (long long)result.best_step, 100 * v.accuracy, v.loss);
    assert_non_null(strstr(said, words));
    snprintf(words, sizeof words, "step 40  validation accuracy %.2f %%, loss %.4f", 100 * v.accuracy, v.loss);
    assert_null(strstr(said, words));
    assert_true(v.accuracy == result.valid_accuracy);

    check_ok(train(in_dir("best"), forgets, 0, &again));
    assert_true(again.already_done);
    assert_int_equal(again.steps, result.steps);
    assert_int_equal(again.best_step, result.best_step);
    assert_int_equal(again.n_parameters, result.n_parameters);
    assert_true(again.valid_accuracy == result.valid_accuracy && again.train_loss == result.train_loss);
}

static void no_progress_stops_it_early(void **state) {
    (void)state;
    const char still[] = "{\"optimiser\": {\"steps\": 200, \"lr\": 1e-12}, \"early_stopping\": {\"patience\": 3}}";
    tp_train_result result;
    check_ok(train(in_dir("early"), still, 0, &result));
    assert_int_equal(result.best_step, 10);
    assert_int_equal(result.steps, 40); /* three validations without a better one */
    check_stop(in_dir("early again"), still, 33);
    check_train(in_dir("early again"), still);
    assert_true(tiny_same_folders(in_dir("early"), in_dir("early again")));
}

/* ---- going on ---- */

static void stopping_anywhere_changes_no_byte(void **state) {
    (void)state;
    check_train(in_dir("unbroken"), NULL);
    const int64_t stops[] = {1, 9, 10, 11, 12, 15, 24, 30, 39};
    for (size_t i = 0; i < sizeof stops / sizeof stops[0]; i++) {
        check_stop(in_dir("stopped"), NULL, stops[i]);
        tp_train_result result;
        check_ok(train(in_dir("stopped"), NULL, 0, &result));
        assert_true(result.resumed);
        assert_true(tiny_same_folders(in_dir("unbroken"), in_dir("stopped")));
        shell("rm -r '%s'", in_dir("stopped"));
    }
    for (size_t i = 0; i < sizeof stops / sizeof stops[0]; i++) check_stop(in_dir("stopped"), NULL, stops[i]);
    check_train(in_dir("stopped"), NULL); /* stopped nine times */
    assert_true(tiny_same_folders(in_dir("unbroken"), in_dir("stopped")));
}

/* Killed with the state of step `saved` on disk and the files of step `died` beside it, as a crash between the two
 * leaves them. */
static void crash(const char *out, const char *changes, int64_t saved, int64_t died) {
    check_stop(out, changes, saved);
    shell("cp '%s/state.safetensors' '%s/kept'", out, stage.dir);
    check_stop(out, changes, died);
    shell("mv '%s/kept' '%s/state.safetensors'", stage.dir, out);
}

static void a_crash_between_bridge_and_state_changes_no_byte(void **state) {
    (void)state;
    check_train(in_dir("whole"), NULL);
    const int64_t crashes[][2] = {{1, 11}, {5, 10}, {9, 31}, {12, 25}, {29, 39}};
    for (int i = 0; i < 5; i++) {
        crash(in_dir("crashed"), NULL, crashes[i][0], crashes[i][1]);
        check_train(in_dir("crashed"), NULL);
        assert_true(tiny_same_folders(in_dir("whole"), in_dir("crashed")));
        shell("rm -r '%s'", in_dir("crashed"));
    }
    /* after the last validation, before the outcome was written; then even without the last state */
    check_train(in_dir("crashed"), NULL);
    shell("rm '%s/train.json'", in_dir("crashed"));
    check_train(in_dir("crashed"), NULL);
    assert_true(tiny_same_folders(in_dir("whole"), in_dir("crashed")));
    shell("rm '%s/state.safetensors'", in_dir("crashed"));
    check_train(in_dir("crashed"), NULL); /* from the beginning */
    assert_true(tiny_same_folders(in_dir("whole"), in_dir("crashed")));
    /* the first bridge half saved: its tensors are there, its configuration is not */
    shell("rm -r '%s'", in_dir("crashed"));
    crash(in_dir("crashed"), NULL, 8, 11);
    shell("rm '%s/adapter_config.json'", in_dir("crashed"));
    /* and what a writer killed at work leaves behind */
    shell("(echo half > '%s/state.safetensors.'$$.tmp)", in_dir("crashed"));
    check_train(in_dir("crashed"), NULL);
    assert_true(tiny_same_folders(in_dir("whole"), in_dir("crashed")));
}

static void warnings_stand_in_the_log_once(void **state) {
    (void)state;
    /* so light a loss that its gradient counts as none: the detectors say so in the update after step 20 */
    const char light[] = "{\"losses\": [{\"name\": \"lm\", \"weight\": 1e-9}]}";
    check_train(in_dir("warned"), light);
    assert_non_null(strstr(said, "warning, step 21: the bridge gets no gradient"));
    const int64_t crashes[][2] = {{20, 25}, {19, 22}, {21, 30}};
    for (int i = 0; i < 3; i++) {
        crash(in_dir("warned again"), light, crashes[i][0], crashes[i][1]);
        check_train(in_dir("warned again"), light);
        assert_true(tiny_same_folders(in_dir("warned"), in_dir("warned again")));
        shell("rm -r '%s'", in_dir("warned again"));
    }
}

static void states_on_disk_change_no_byte(void **state) {
    (void)state;
    const char on_disk[] = "{\"cache\": {\"kind\": \"disk\"}}";
    check_train(in_dir("disk"), on_disk);
    check_stop(in_dir("disk again"), on_disk, 17);
    assert_int_equal(truncate(in_dir("disk again/states-train.cache"), 9000), 0); /* lost in the crash */
    check_train(in_dir("disk again"), on_disk);
    assert_true(tiny_same_folders(in_dir("disk"), in_dir("disk again")));
    check_train(in_dir("memory"), NULL);
    shell("cmp '%s' '%s'", in_dir("disk/adapter_model.safetensors"), in_dir("memory/adapter_model.safetensors"));
    check_train(in_dir("none"), "{\"cache\": {\"kind\": \"none\"}}");
    shell("cmp '%s' '%s'", in_dir("none/adapter_model.safetensors"), in_dir("memory/adapter_model.safetensors"));
    tp_train_result result;
    check_error(train(in_dir("small"), "{\"cache\": {\"kind\": \"disk\", \"max_bytes\": 50000}}", 0, &result),
                "`cache.max_bytes` allows");
}

static void a_full_disk_loses_nothing(void **state) {
    (void)state;
    check_train(in_dir("roomy"), NULL);
    check_stop(in_dir("full"), NULL, 5);
    struct rlimit limit, small;
    getrlimit(RLIMIT_FSIZE, &limit);
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    small = (struct rlimit){.rlim_cur = 2000, .rlim_max = limit.rlim_max};
    setrlimit(RLIMIT_FSIZE, &small);
    tp_train_result result;
    tp_status status = train(in_dir("full"), NULL, 0, &result);
    setrlimit(RLIMIT_FSIZE, &limit);
    signal(SIGXFSZ, handler);
    assert_int_equal(status, TP_ERR_IO);
    assert_non_null(strstr(tp_last_error(), in_dir("full")));
    check_train(in_dir("full"), NULL);
    assert_true(tiny_same_folders(in_dir("roomy"), in_dir("full")));
}

/* ---- what is refused ---- */

static void a_state_of_another_run_is_refused_by_name(void **state) {
    (void)state;
    char out[4096];
    snprintf(out, sizeof out, "%s", in_dir("mine"));
    check_stop(out, NULL, 12);
    shell("cp -r '%s' '%s.before'", out, out);
    tp_train_result result;
    check_error(train(out, "{\"optimiser\": {\"lr\": 0.004}}", 0, &result), "`recipe.optimiser.lr`: 0.003, now 0.004");
    check_error(train(out, "{\"seed\": 8}", 0, &result), "`recipe.seed`: 7, now 8");
    check_error(train(out, "{\"optimiser\": {\"steps\": 80}}", 0, &result), "`recipe.optimiser.steps`: 40, now 80");
    check_error(train(out, "{\"bridge\": {\"width\": 32}}", 0, &result), "state of another run");
    check_error(train(out, "{\"bridge\": {\"depth\": 2}}", 0, &result), "state of another run");
    tp_task other = *stage.task;
    snprintf(other.train.fingerprint, sizeof other.train.fingerprint, "%s", stage.task->valid.fingerprint);
    check_error(train_on(&other, stage.sender, stage.receiver, out, NULL, 0, &result), "`train_rows`");
    other = *stage.task;
    tp_label labels[3] = {
        stage.task->labels[0], stage.task->labels[1], {"count", "number", stage.task->labels[2].synonyms}};
    other.labels = labels; /* the same rows, but another word for one of their labels */
    check_error(train_on(&other, stage.sender, stage.receiver, out, NULL, 0, &result), "`prompt_and_labels`");
    other = *stage.task;
    other.prompt = "Words: {text}\nSort:";
    check_error(train_on(&other, stage.sender, stage.receiver, out, NULL, 0, &result), "`prompt_and_labels`");
    tp_lm *stranger = tiny_pair_load(stage.dir, "sender");
    snprintf(stranger->fingerprint, sizeof stranger->fingerprint, "%s", stage.receiver->fingerprint);
    check_error(train_on(stage.task, stranger, stage.receiver, out, NULL, 0, &result), "`sender`");
    tp_lm_free(stranger);
    tiny_documents documents = {0}; /* the same weights, other tokens */
    check_ok(tp_make_dirs(in_dir("other tokens")));
    check_ok(tp_bpe_train(TP_BPE_SENTENCEPIECE, 340, tiny_pair_next, &documents, in_dir("other tokens")));
    for (int role = 0; role < 2; role++) {
        tp_lm *model = role ? stage.receiver : stage.sender;
        tp_tokenizer *own = model->tokenizer;
        model->tokenizer = tp_tokenizer_load(in_dir("other tokens"), NULL);
        check_not_null(model->tokenizer);
        check_error(train(out, NULL, 0, &result), role ? "`receiver_tokenizer`" : "`sender_tokenizer`");
        tp_tokenizer_free(model->tokenizer);
        model->tokenizer = own;
    }
    assert_int_equal(truncate(in_dir("mine/state.safetensors"), 3000), 0);
    check_error(train(out, NULL, 0, &result), "mine/state.safetensors");
    shell("cp '%s.before/state.safetensors' '%s'", out, out);
    assert_true(tiny_same_folders(in_dir("mine"), in_dir("mine.before"))); /* no refusal changed anything */
    check_train(out, NULL);
}

static void a_lost_bridge_is_noticed(void **state) {
    (void)state;
    check_stop(in_dir("lost"), NULL, 22);
    shell("rm '%s'", in_dir("lost/adapter_model.safetensors"));
    tp_train_result result;
    check_error(train(in_dir("lost"), NULL, 0, &result), "cannot be gone on with, its best bridge (of step ");
    check_error(train(in_dir("lost"), NULL, 0, &result), "adapter_model.safetensors");
}

static void an_outcome_of_another_run_is_not_taken_for_ours(void **state) {
    (void)state;
    check_train(in_dir("reused"), NULL);
    shell("rm '%s'", in_dir("reused/state.safetensors")); /* the user wants to begin anew, with another seed */
    check_stop(in_dir("reused"), "{\"seed\": 8}", 15);
    assert_false(tp_path_exists(in_dir("reused/train.json")));
    tp_train_result result;
    check_ok(train(in_dir("reused"), "{\"seed\": 8}", 0, &result));
    assert_false(result.already_done);
    check_train(in_dir("fresh"), "{\"seed\": 8}");
    assert_true(tiny_same_folders(in_dir("fresh"), in_dir("reused"))); /* its log, too, holds nothing of the first */
}

static void tasks_that_cannot_be_learned_are_refused(void **state) {
    (void)state;
    tp_train_result result;
    tp_task t = *stage.task;
    t.valid.n = 0;
    check_error(train_on(&t, stage.sender, stage.receiver, in_dir("x"), NULL, 0, &result), "no validation rows");
    t = *stage.task;
    t.train.n = 0;
    check_error(train_on(&t, stage.sender, stage.receiver, in_dir("x"), NULL, 0, &result), "no training rows");

    /* five rows of five labels: none can be spared for validation */
    tp_writer *w = tp_writer_open(in_dir("few.csv"));
    tp_writer_printf(w, "text,label\nred,a\nblue,b\ncat,c\ndog,d\nten,e\n");
    check_ok(tp_writer_commit(w));
    tp_task *few = tp_task_load(&(tp_task_options){.train_file = in_dir("few.csv"), .test_file = in_dir("few.csv")});
    check_not_null(few);
    check_error(train_on(few, stage.sender, stage.receiver, in_dir("x"), NULL, 0, &result), "`task.valid_fraction`");
    tp_task_free(few);

    tp_example only[30];
    t = *stage.task;
    t.train.examples = only;
    t.train.n = 0;
    for (size_t i = 0; i < stage.task->train.n; i++)
        if (stage.task->train.examples[i].label == 1 && t.train.n < 30)
            only[t.train.n++] = stage.task->train.examples[i];
    check_error(train_on(&t, stage.sender, stage.receiver, in_dir("x"), NULL, 0, &result), "have the same label");
    check_error(train(in_dir("x"), "{\"layout\": \"{bos}{primer}\"}", 0, &result), "no place {soft}");
}

static void little_data_is_enough(void **state) {
    (void)state;
    tp_example some[100];
    tp_task t = *stage.task; /* a label without a training row */
    t.train.examples = some;
    t.train.n = 0;
    for (size_t i = 0; i < stage.task->train.n; i++)
        if (stage.task->train.examples[i].label != 1) some[t.train.n++] = stage.task->train.examples[i];
    tp_train_result result;
    check_ok(train_on(&t, stage.sender, stage.receiver, in_dir("unseen"), NULL, 0, &result));
    assert_non_null(strstr(said, "1 of 3 labels have no training row"));
    t.train.n = 3; /* fewer rows than a batch holds */
    assert_int_not_equal(some[0].label, some[1].label);
    check_ok(train_on(&t, stage.sender, stage.receiver, in_dir("three"), NULL, 0, &result));
    check_ok(train_on(&t, stage.sender, stage.receiver, in_dir("three unbalanced"),
                      "{\"sampling\": {\"balanced\": false}}", 0, &result));
}

static void long_texts_are_cut_to_what_the_sender_reads(void **state) {
    (void)state;
    tp_str text = {0};
    for (int i = 0; i < 400; i++) tp_str_appendf(&text, "%s ", tiny_words[i % 3][i % 6]);
    tp_task t = *stage.task;
    tp_example rows[100];
    memcpy(rows, stage.task->train.examples, stage.task->train.n * sizeof *rows);
    t.train.examples = rows;
    for (int i = 0; i < 4; i++) rows[i].text = text.data, rows[i].len = text.len;
    tp_train_result result;
    check_ok(train_on(&t, stage.sender, stage.receiver, in_dir("long"), NULL, 0, &result));
    assert_int_equal(result.n_truncated, 4); /* 512 tokens are allowed, the sender reads 256 */
    assert_non_null(strstr(said, "4 texts were cut to fit 256 tokens"));
    /* a receiver that reads them as well: text, soft tokens, primer and answer stay within its context */
    stage.receiver->config.max_position_embeddings = 60;
    tp_relay *r =
        tp_relay_new(tiny_recipe("{\"layout\": \"{bos}{text} {soft}{primer}\"}"), stage.sender, stage.receiver, &t);
    check_not_null(r);
    tp_arena *arena = tp_arena_new();
    const tp_ids *answer = tp_layout_label(r->layout, 0);
    tp_layout_item item = {text.data, text.len, answer->data, answer->len};
    tp_layout_batch batch;
    check_ok(tp_layout_build(r->layout, arena, &item, 1, r->recipe->bridge.soft_tokens, &batch));
    assert_int_equal(batch.n_truncated, 1);
    assert_in_range(batch.n_rows, 40, 60);
    tp_arena_free(arena);
    tp_relay_free(r);
    stage.receiver->config.max_position_embeddings = 256;
    tp_str_free(&text);
}

static void models_that_cannot_be_used_are_refused(void **state) {
    (void)state;
    tp_train_result result;
    stage.receiver->config.max_position_embeddings = 8;
    check_error(train(in_dir("x"), NULL, 0, &result), "reads at most 8");
    assert_non_null(strstr(tp_last_error(), in_dir("receiver")));
    stage.receiver->config.max_position_embeddings = 256;
    stage.sender->config.max_position_embeddings = 3;
    check_error(train(in_dir("x"), NULL, 0, &result), "at most 3 are allowed");
    stage.sender->config.max_position_embeddings = 256;

    tp_lm *mute = tp_lm_load(in_dir("sender"), false);
    check_error(train_on(stage.task, mute, stage.receiver, in_dir("x"), NULL, 0, &result), "the sender ");
    assert_non_null(strstr(tp_last_error(), "has no tokenizer"));
    check_error(train_on(stage.task, stage.sender, mute, in_dir("x"), NULL, 0, &result), "the receiver ");
    tp_lm_free(mute);
}

static void folders_that_cannot_be_written_are_refused_at_once(void **state) {
    (void)state;
    tp_train_result result;
    check_error(train("/proc/nowhere", NULL, 0, &result), "/proc/nowhere");
    check_error(train("/proc/self", NULL, 0, &result), "/proc/self"); /* a folder in which nothing can be made */
    assert_null(strstr(said, "1/40"));
    check_error(train(in_dir("train.csv"), NULL, 0, &result), "train.csv");
}

static void two_runs_cannot_share_a_folder(void **state) {
    (void)state;
    const char *out = in_dir("shared");
    check_ok(tp_make_dirs(out));
    int lock = tp_lock_folder(out, "a training");
    assert_true(lock >= 0);
    tp_train_result result;
    check_error(train(out, NULL, 0, &result), "shared is in use: a training is running there");
    close(lock);
    check_stop(out, NULL, 3); /* which leaves no lock behind, */
    check_train(out, NULL);   /* and may be gone on with */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_bridge_learns),
        cmocka_unit_test(a_run_keeps_its_best_bridge),
        cmocka_unit_test(no_progress_stops_it_early),
        cmocka_unit_test(stopping_anywhere_changes_no_byte),
        cmocka_unit_test(a_crash_between_bridge_and_state_changes_no_byte),
        cmocka_unit_test(warnings_stand_in_the_log_once),
        cmocka_unit_test(states_on_disk_change_no_byte),
        cmocka_unit_test(a_full_disk_loses_nothing),
        cmocka_unit_test(a_state_of_another_run_is_refused_by_name),
        cmocka_unit_test(a_lost_bridge_is_noticed),
        cmocka_unit_test(an_outcome_of_another_run_is_not_taken_for_ours),
        cmocka_unit_test(tasks_that_cannot_be_learned_are_refused),
        cmocka_unit_test(little_data_is_enough),
        cmocka_unit_test(long_texts_are_cut_to_what_the_sender_reads),
        cmocka_unit_test(models_that_cannot_be_used_are_refused),
        cmocka_unit_test(folders_that_cannot_be_written_are_refused_at_once),
        cmocka_unit_test(two_runs_cannot_share_a_folder),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
