/* latentwire/train, checkpoint, and eval/latentwire_eval: one latent is learned through two frozen receivers of
 * different families; a run that was stopped ends with the bytes of one that was not; other models, tasks and broken
 * folders are refused by name. */
#include "tiny_training.h"

#include "eval/latentwire_eval.h"
#include "latentwire/checkpoint.h"
#include "latentwire/losses.h"
#include "latentwire/source.h"
#include "latentwire/train.h"
#include "train/validate.h"

#include <math.h>
#include <omp.h>

static tiny_stage stage;
static tp_embedder *embedder;

/* The fixture's random BERT with a tokenizer of its 71 tokens: letters, digits and a few signs. */
static void make_bert(const char *folder) {
    char command[9000];
    snprintf(command, sizeof command, "cp -r '%s/tests/fixtures/encoder/bert' '%s'", TP_SOURCE_DIR, folder);
    assert_int_equal(system(command), 0);
    json_t *vocab = json_pack("{s:i, s:i, s:i, s:i}", "[PAD]", 0, "[UNK]", 1, "[CLS]", 2, "[SEP]", 3);
    for (int i = 0; i < 67; i++) {
        static const char others[] = "0123456789?,.()";
        char token[8];
        snprintf(token, sizeof token, i < 26 ? "%c" : i < 52 ? "##%c" : "%c", i < 52 ? 'a' + i % 26 : others[i - 52]);
        json_object_set_new(vocab, token, json_integer(4 + i));
    }
    json_t *tokenizer = json_pack(
        "{s:s, s:[{s:i, s:s, s:b, s:b, s:b, s:b, s:b}, {s:i, s:s, s:b, s:b, s:b, s:b, s:b}], s:{s:s, s:b, s:b, s:n, "
        "s:b}, s:{s:s}, s:{s:s, s:[s, i], s:[s, i]}, s:{s:s, s:s, s:s, s:i, s:o}}",
        "version", "1.0", "added_tokens", "id", 2, "content", "[CLS]", "single_word", 0, "lstrip", 0, "rstrip", 0,
        "normalized", 0, "special", 1, "id", 3, "content", "[SEP]", "single_word", 0, "lstrip", 0, "rstrip", 0,
        "normalized", 0, "special", 1, "normalizer", "type", "BertNormalizer", "clean_text", 1, "handle_chinese_chars",
        1, "strip_accents", "lowercase", 1, "pre_tokenizer", "type", "BertPreTokenizer", "post_processor", "type",
        "BertProcessing", "sep", "[SEP]", 3, "cls", "[CLS]", 2, "model", "type", "WordPiece", "unk_token", "[UNK]",
        "continuing_subword_prefix", "##", "max_input_chars_per_word", 100, "vocab", vocab);
    assert_non_null(tokenizer);
    char *path = tp_path_join(folder, "tokenizer.json");
    check_ok(tp_json_save_file(tokenizer, path));
    free(path);
    json_decref(tokenizer);
}

static int set_up(void **state) {
    (void)state;
    omp_set_num_threads(1);
    stage = tiny_stage_make();
    char *bert = tp_path_join(stage.dir, "bert");
    make_bert(bert);
    embedder = tp_embedder_load(bert);
    check_not_null(embedder);
    assert_non_null(embedder->encoder);
    free(bert);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    tp_embedder_free(embedder);
    tiny_stage_free(&stage);
    return 0;
}

static const char *in_dir(const char *name) {
    static char path[4][4096];
    static int next;
    next = (next + 1) % 4;
    snprintf(path[next], sizeof path[next], "%s/%s", stage.dir, name);
    return path[next];
}

/* A recipe with the section, and with other changes. */
static tp_recipe *recipe_of(const char *section, const char *changes) {
    char json[1200];
    snprintf(json, sizeof json,
             "{\"latentwire\": {\"width\": 16, \"hidden\": 24, \"max_bytes\": 40, %s}, \"optimiser\": "
             "{\"accumulate\": 1}%s%s}",
             section, changes[0] ? ", " : "", changes);
    return tiny_recipe(json);
}

/* Receivers of two families; the sender is one of them. */
static tp_latentwire_models models_of(const tp_recipe *recipe) {
    tp_latentwire_models m = {.receivers = {stage.receiver, stage.sender}, .n_receivers = 2};
    if (tp_latentwire_taps(recipe->latentwire)) m.sender = stage.sender;
    if (recipe->latentwire->encoder == TP_LATENTWIRE_SIMPLE) m.embedder = embedder;
    return m;
}

static tp_status train(const char *out, const char *section, const char *changes, int64_t stop_at,
                       tp_train_result *result) {
    tp_recipe *recipe = recipe_of(section, changes);
    tp_latentwire_models models = models_of(recipe);
    tiny_watcher watcher = {.stop_at = stop_at};
    tp_progress *progress = tiny_progress(&watcher);
    tp_status status = tp_latentwire_train(&(tp_train_options){.recipe = recipe,
                                                               .task = stage.task,
                                                               .out = out,
                                                               .save_every = 7,
                                                               .stop = &watcher.stop,
                                                               .progress = progress},
                                           &models, result);
    tp_progress_free(progress);
    tp_str_free(&watcher.said);
    tp_recipe_free(recipe);
    return status;
}

/* Accuracy of the LatentWire in the folder on the validation rows, for each receiver. */
static void judge(const char *folder, double accuracy[2]) {
    tp_recipe *recipe = tp_latentwire_run_recipe(folder, NULL, "a,b");
    check_not_null(recipe);
    assert_string_equal(recipe->latentwire->receivers[1], "b");
    tp_latentwire_models models = models_of(recipe);
    tp_latentwire_group *g = tp_latentwire_load(folder, &models, stage.task);
    check_not_null(g);
    const tp_dataset *valid = &stage.task->valid;
    tp_latentwire_source *source = tp_latentwire_source_new(g, valid->examples, valid->n, TP_CACHE_NONE, 0, NULL, NULL);
    check_not_null(source);
    tp_tape *tape = tp_tape_new(TP_MATH_F32);
    tape->frozen = true;
    int64_t n = (int64_t)valid->n, right[2] = {0};
    double nll = 0;
    const tp_example *rows[64];
    int64_t indices[64];
    assert_in_range(n, 1, 64);
    for (int64_t i = 0; i < n; i++) indices[i] = i, rows[i] = &valid->examples[i];
    tp_latentwire_input input = tp_latentwire_source_fetch(source, tape, indices, n);
    tp_var *z = tp_latentwire_encode(tape, g->wire, &input, true);
    for (int k = 0; k < 2; k++) {
        check_ok(
            tp_judge_rows(g->relays[k], tape, tp_latentwire_soft(tape, g->wire, z, n, k), rows, n, &right[k], &nll));
        accuracy[k] = (double)right[k] / (double)n;
    }
    tp_tape_free(tape);
    tp_latentwire_source_free(source);
    tp_latentwire_group_free(g);
    tp_recipe_free(recipe);
}

static void two_receivers_learn_to_read_one_latent(void **state) {
    (void)state;
    const struct {
        const char *section, *changes;
        double least;
    } cases[] = {
        {"\"encoder\": \"decoder\", \"private\": 1",
         "\"optimiser\": {\"steps\": 150, \"lr\": 0.006, \"batch\": 16}, \"sender\": {\"layer\": 0}, \"bridge\": "
         "{\"dropout\": 0, \"width\": 32}",
         0.7},
        {"\"encoder\": \"bytes\"", /* 72 texts are few to learn what letters are */
         "\"optimiser\": {\"steps\": 300, \"lr\": 0.003, \"batch\": 16}, \"bridge\": {\"dropout\": 0, \"width\": 32}",
         0.45},
    };
    for (int i = 0; i < 2; i++) {
        tp_train_result result;
        double accuracy[2];
        const char *out = in_dir(i ? "bytes" : "decoder");
        check_ok(train(out, cases[i].section, cases[i].changes, 0, &result));
        judge(out, accuracy);
        assert_true(fabs((accuracy[0] + accuracy[1]) / 2 - result.valid_accuracy) < 1e-12); /* the best was kept */
        if (!(accuracy[0] > cases[i].least && accuracy[1] > cases[i].least))                /* a third is chance */
            fail_msg("%s: %.2f and %.2f right", cases[i].section, accuracy[0], accuracy[1]);
    }
}

static void stopping_anywhere_changes_no_byte(void **state) {
    (void)state;
    const char *const sections[] = {
        "\"encoder\": \"simple\", \"slot_dropout\": 0.3",
        "\"encoder\": \"bytes\", \"private\": 1, \"warmup\": 10",
        "\"encoder\": \"decoder\", \"private\": 2, \"adapter\": \"mlp\", \"dropout\": 0.2, \"slot_dropout\": 0.2",
        "\"encoder\": \"pca\", \"adapter\": \"mlp\", \"calibrate\": false, \"recon\": {\"cosine\": 1, \"mse\": 1}",
    };
    const char changes[] = "\"optimiser\": {\"steps\": 16, \"accumulate\": 2}, \"early_stopping\": {\"every\": 5}";
    for (int i = 0; i < 4; i++) {
        char whole[32], parts[32];
        snprintf(whole, sizeof whole, "whole-%d", i);
        snprintf(parts, sizeof parts, "parts-%d", i);
        tp_train_result result;
        check_ok(train(in_dir(whole), sections[i], changes, 0, &result));
        assert_false(result.resumed);
        assert_int_equal(train(in_dir(parts), sections[i], changes, 3, &result), TP_ERR_CANCELLED);
        assert_int_equal(train(in_dir(parts), sections[i], changes, 11, &result), TP_ERR_CANCELLED);
        check_ok(train(in_dir(parts), sections[i], changes, 0, &result));
        assert_true(result.resumed);
        assert_true(tiny_same_folders(in_dir(whole), in_dir(parts)));
        check_ok(train(in_dir(parts), sections[i], changes, 0, &result));
        assert_true(result.already_done);
    }
}

static void a_stage_can_be_rebuilt_from_its_principal_axes(void **state) {
    (void)state;
    /* no receiver reads anything: the adapter learns its own embeddings back from the axes of the sender's */
    tp_train_result result;
    check_ok(
        train(in_dir("rebuilt"),
              "\"encoder\": \"pca\", \"adapter\": \"mlp\", \"calibrate\": false, \"recon\": {\"cosine\": 1}, "
              "\"width\": 24",
              "\"losses\": [{\"name\": \"lm\", \"weight\": 0}], \"sender\": {\"layer\": 0, \"position_dropout\": 0}, "
              "\"optimiser\": {\"steps\": 100, \"lr\": 0.003, \"accumulate\": 1}, \"bridge\": {\"soft_tokens\": 6}",
              0, &result));
    char *text, *line;
    double first = NAN, last = NAN;
    size_t size;
    check_ok(tp_read_file(in_dir("rebuilt/log.jsonl"), 0, &text, &size));
    for (line = text; (line = strstr(line, "\"cosine of ")) != NULL; line++) { /* of the two receivers, in turn */
        last = strtod(strchr(line, ':') + 1, NULL);
        if (isnan(first)) first = last;
    }
    tp_free(text);
    if (!(last > 0.5)) fail_msg("the cosine came from %g to %g only", first, last);
}

static void check_refused(tp_latentwire_group *g, const char *words) {
    assert_null(g);
    if (strstr(tp_last_error(), words) == NULL) fail_msg("\"%s\" does not say \"%s\"", tp_last_error(), words);
}

static void other_models_tasks_and_files_are_refused(void **state) {
    (void)state;
    tp_train_result result;
    const char section[] = "\"encoder\": \"decoder\"";
    const char *folder = in_dir("right");
    check_ok(train(folder, section, "\"optimiser\": {\"steps\": 2}", 0, &result));
    assert_true(tp_latentwire_is(folder) && !tp_latentwire_is(stage.dir));
    tp_latentwire_models right = {
        .sender = stage.sender, .receivers = {stage.receiver, stage.sender}, .n_receivers = 2};
    tp_latentwire_models m = right;
    tp_latentwire_group *g = tp_latentwire_load(folder, &m, stage.task);
    check_not_null(g);
    tp_latentwire_group_free(g);
    m.receivers[0] = stage.sender, m.receivers[1] = stage.receiver;
    check_refused(tp_latentwire_load(folder, &m, stage.task), "with another receiver 1");
    m = right;
    m.n_receivers = 1;
    check_refused(tp_latentwire_load(folder, &m, stage.task), "for 2 receivers, given were 1");
    m = right;
    m.sender = stage.receiver;
    check_refused(tp_latentwire_load(folder, &m, stage.task), "another model under its encoder");
    m = right;
    tp_task other = *stage.task;
    other.n_labels = 2;
    check_refused(tp_latentwire_load(folder, &m, &other), "other labels");

    /* the run goes on with its own models only */
    tp_recipe *recipe = recipe_of(section, "\"optimiser\": {\"steps\": 2}");
    m.receivers[0] = stage.sender;
    assert_int_not_equal(
        tp_latentwire_train(&(tp_train_options){.recipe = recipe, .task = stage.task, .out = folder}, &m, &result),
        TP_OK);
    if (strstr(tp_last_error(), "the state of another run") == NULL) fail_msg("%s", tp_last_error());
    tp_recipe_free(recipe);

    char command[9000];
    snprintf(command, sizeof command, "sed -i 's/\"scale_reg\": 0.05/\"scale_reg\": 0.5/' '%s/latentwire.json'",
             folder);
    assert_int_equal(system(command), 0);
    check_refused(tp_latentwire_load(folder, &right, stage.task), "does not belong to the latentwire.json");
    snprintf(command, sizeof command, "rm '%s/latentwire.json'", folder);
    assert_int_equal(system(command), 0);
    check_refused(tp_latentwire_load(folder, &right, stage.task), "latentwire.json");
}

static void what_cannot_be_trained_is_refused(void **state) {
    (void)state;
    const struct {
        const char *section, *changes, *words;
    } cases[] = {
        {"\"encoder\": \"bytes\"", "\"losses\": [{\"name\": \"lm\"}, {\"name\": \"recon\", \"weight\": 1}]",
         "`losses[1].name` is \"recon\""},
        {"\"encoder\": \"bytes\"", "\"losses\": [{\"name\": \"lm\"}, {\"name\": \"scale_reg\", \"weight\": 1}]",
         "`latentwire.scale_reg`"},
        {"\"encoder\": \"bytes\", \"warmup\": 5", "\"losses\": [{\"name\": \"align\", \"weight\": 1}]", "leave one"},
        {"\"encoder\": \"bytes\", \"scale_reg\": 0", "\"losses\": [{\"name\": \"lm\", \"weight\": 0}]",
         "nothing to learn"},
        {"\"encoder\": \"pca\", \"width\": 33", "\"sender\": {\"layer\": 1}", "only 32 axes"},
        {"\"encoder\": \"bytes\"", "\"layout\": \"{bos}{primer}\"", "no place {soft}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        tp_train_result result;
        assert_int_not_equal(train(in_dir("refused"), cases[i].section, cases[i].changes, 0, &result), TP_OK);
        if (strstr(tp_last_error(), cases[i].words) == NULL)
            fail_msg("\"%s\" does not say \"%s\"", tp_last_error(), cases[i].words);
    }
}

/* The alignment acts on every other step of the warm-up, and no longer. */
static void a_warm_up_alternates(void **state) {
    (void)state;
    tp_recipe *recipe = recipe_of("\"encoder\": \"bytes\", \"warmup\": 4", "");
    for (int64_t step = 0; step < 8; step++)
        assert_int_equal(tp_latentwire_is_text_step(recipe->latentwire, step), step == 1 || step == 3);
    tp_recipe_free(recipe);
}

/* ---- together ---- */

static void joint_weights_are_the_best_mixture(void **state) {
    (void)state;
    enum { ROWS = 4, LABELS = 2 };
    const int32_t truth[ROWS] = {0, 1, 0, 1};
    /* the first is sure and right on two rows, unsure and wrong on the others, where the second is right */
    const double first[] = {0, -9, -9, 0, -1.2, -1, -1, -1.2}, second[] = {-1.1, -1, -1, -1.1, 0, -9, -9, 0};
    const double useless[] = {0, 0, 0, 0, 0, 0, 0, 0};
    double w[3];
    tp_joint_weights((const double *const[]){first, second}, 2, ROWS, LABELS, truth, w);
    assert_true(fabs(w[0] - 0.9) < 1e-12 && fabs(w[1] - 0.1) < 1e-12); /* the smallest share that helps */
    tp_joint_weights((const double *const[]){second, first}, 2, ROWS, LABELS, truth, w);
    assert_true(fabs(w[0] - 0.9) < 1e-12 && fabs(w[1] - 0.1) < 1e-12);
    tp_joint_weights((const double *const[]){first, useless, second}, 3, ROWS, LABELS, truth, w);
    assert_true(fabs(w[0] + w[1] + w[2] - 1) < 1e-12 && w[0] > 0 && w[1] == 0 && w[2] > 0);
    tp_joint_weights((const double *const[]){first, useless}, 2, ROWS, LABELS, truth, w);
    assert_true(w[0] == 1 && w[1] == 0); /* nothing is taken that does not help */
}

static const json_t *row_of(const json_t *found, const char *name) {
    size_t i;
    json_t *row;
    json_array_foreach(json_object_get(found, "rows"), i,
                       row) if (strcmp(json_string_value(json_object_get(row, "name")), name) == 0) return row;
    fail_msg("there is no row %s", name);
    return NULL;
}

static double accuracy_of(const json_t *found, const char *name) {
    const json_t *row = row_of(found, name), *reading = json_object_get(row, "score");
    if (reading == NULL) reading = json_object_get(row, "direct");
    const json_t *predictions = json_object_get(reading, "predictions"), *truth = json_object_get(found, "truth");
    size_t n = json_array_size(truth), right = 0;
    assert_int_equal(json_array_size(predictions), n);
    for (size_t i = 0; i < n; i++) right += json_equal(json_array_get(predictions, i), json_array_get(truth, i));
    double accuracy = json_real_value(json_object_get(reading, "accuracy"));
    assert_true(fabs(accuracy - (double)right / (double)n) < 1e-12); /* the table is what the rows say */
    return accuracy;
}

/* Of the run that two_receivers_learn_to_read_one_latent left. */
static void receivers_answer_alone_and_together(void **state) {
    (void)state;
    tp_latentwire_models models = {
        .sender = stage.sender, .receivers = {stage.receiver, stage.sender}, .n_receivers = 2};
    const char *run = in_dir("decoder");
    tp_latentwire_eval_options options = {.run = run, .models = &models, .task = stage.task};
    json_t *found = tp_latentwire_evaluate(&options);
    check_not_null(found);
    double joint = accuracy_of(found, "joint"), one = accuracy_of(found, "wire_1"), two = accuracy_of(found, "wire_2");
    assert_true(one > 0.6 && two > 0.6); /* a third is chance, and what is left without the source */
    assert_true(joint >= fmin(one, two) && joint > 0.7);
    assert_true(accuracy_of(found, "shuffled_1") < 0.55 && accuracy_of(found, "joint_shuffled") < 0.55);
    assert_true(accuracy_of(found, "zero_1") < 0.4 && accuracy_of(found, "zero_2") < 0.4);
    assert_true(accuracy_of(found, "majority") < 0.4);
    accuracy_of(found, "text_1");
    assert_true(accuracy_of(found, "words") > 0.5);
    const json_t *weights = json_object_get(row_of(found, "joint"), "weights");
    assert_int_equal(json_array_size(weights), 2);
    assert_true(fabs(json_real_value(json_array_get(weights, 0)) + json_real_value(json_array_get(weights, 1)) - 1) <
                1e-12);

    json_t *again = tp_latentwire_evaluate(&options), *saved = tp_latentwire_eval_load(run);
    check_not_null(again);
    check_not_null(saved);
    assert_true(json_equal(found, again) && json_equal(found, saved));
    char *table = tp_latentwire_eval_table(saved, TP_TABLE_PLAIN);
    const char *const words[] = {"receiver 2 sender: LatentWire", "all receivers together", "shuffled source",
                                 "against the best single receiver", "bytes for all receivers together"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strstr(table, words[i]) == NULL) fail_msg("the table does not say \"%s\":\n%s", words[i], table);
    tp_free(table);
    json_decref(found);
    json_decref(again);
    json_decref(saved);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_receivers_learn_to_read_one_latent),
        cmocka_unit_test(receivers_answer_alone_and_together),
        cmocka_unit_test(joint_weights_are_the_best_mixture),
        cmocka_unit_test(stopping_anywhere_changes_no_byte),
        cmocka_unit_test(a_stage_can_be_rebuilt_from_its_principal_axes),
        cmocka_unit_test(other_models_tasks_and_files_are_refused),
        cmocka_unit_test(what_cannot_be_trained_is_refused),
        cmocka_unit_test(a_warm_up_alternates),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
