/* bridge/: what every family of bridges must do, over all families there are: gradients by central differences, batches
 * as their sequences one at a time, seeds, the count of its numbers, checkpoints to the bit, wrong pairs refused, and
 * trainings that were killed half way. A new family is tested by being listed in tp_bridge_families; one that needs
 * keys of its own gets a row in `own_keys`. */
#include "compare.h"
#include "tiny_training.h"

#include "bridge/checkpoint.h"
#include "train/states.h"

#include <math.h>
#include <omp.h>

enum { DS = 5, DR = 6, M = 4 };

/* What the tiny recipe says otherwise for a family. */
static const struct {
    const char *kind, *bridge;
} own_keys[] = {
    {"latent_cot", "\"steps\": 2"},
    {"ridge", "\"penalty\": 0.1"},
    {"vq", "\"depth\": 2, \"codes\": 64"},
    {"fsq", "\"depth\": 2, \"levels\": [8, 8, 5]"},
    {"diffusion", "\"depth\": 1, \"steps\": 3"},
};

static const tp_bridge_family *const *family; /* the one that a test runs over */
#define FOR_ALL_FAMILIES() for (family = tp_bridge_families; *family; family++)

/* Says with a failure which family it was of. */
#define assert_family(expr)                                                                                            \
    do {                                                                                                               \
        if (!(expr)) fail_msg("%s: %s is not so", (*family)->name, #expr);                                             \
    } while (0)

/* A tiny recipe of the family; `more` are further keys of its bridge and then of the recipe, or "". */
static tp_recipe *recipe_of(const char *bridge, const char *more) {
    const char *own = "\"depth\": 2";
    for (size_t i = 0; i < sizeof own_keys / sizeof own_keys[0]; i++)
        if (strcmp(own_keys[i].kind, (*family)->name) == 0) own = own_keys[i].bridge;
    char *text = tp_format("{\"bridge\": {\"kind\": \"%s\", \"soft_tokens\": %d, \"heads\": 2, \"width\": 8, "
                           "\"ffn_multiple\": 2, %s%s}%s}",
                           (*family)->name, M, own, bridge, more);
    json_t *value = json_loads(text, 0, NULL);
    assert_non_null(value);
    tp_recipe *recipe = tp_recipe_from_json(value, "tiny");
    check_not_null(recipe);
    json_decref(value);
    tp_free(text);
    return recipe;
}

static float *noise(const char *stream, int64_t n, double std) {
    float *out = tp_alloc((size_t)n * sizeof(float));
    tp_rng rng = tp_rng_stream(7, stream, 0);
    tp_rng_fill_normal(&rng, out, (size_t)n, std);
    return out;
}

static tp_calibration *some_calibration(int64_t d_source) {
    tp_moments *m = tp_moments_new(d_source);
    float *rows = noise("states", 50 * d_source, 2), *table = noise("table", 40 * DR, 0.5);
    tp_moments_add(m, rows, 50);
    tp_weight embedding = {.name = "e", .dtype = TP_F32, .rows = 40, .cols = DR, .data = table};
    tp_calibration *c = tp_calibration_new(m, &embedding, 0);
    tp_moments_free(m);
    tp_free(rows);
    tp_free(table);
    return c;
}

static tp_bridge *bridge_of(const tp_recipe *recipe, uint64_t seed) {
    tp_calibration *c = some_calibration(DS * (recipe->bridge.n_taps > 1 ? recipe->bridge.n_taps : 1));
    tp_bridge *b = tp_bridge_new(&recipe->bridge, DS, DR, c, seed);
    check_not_null(b);
    tp_calibration_free(c);
    return b;
}

/* A diffusion begins by moving nothing: here it is to do something. */
static tp_bridge *awake_bridge_of(const tp_recipe *recipe, uint64_t seed) {
    tp_bridge *b = bridge_of(recipe, seed);
    for (size_t i = 0; i < b->params.n; i++) {
        const tp_weight *w = b->params.items[i];
        bool still = w->rows > 1;
        for (int64_t j = 0; j < w->rows * w->cols && still; j++) still = tp_weight_values(w)[j] == 0;
        if (still) tp_weight_init_normal(w, seed, 0.3);
    }
    return b;
}

static void copy_soft(const tp_bridge *b, const float *hidden, const int64_t *offsets, int64_t n, float *out) {
    tp_tape *tape = tp_tape_new(TP_MATH_F32);
    tape->frozen = true;
    tp_var *x = tp_var_wrap(tape, (float *)(uintptr_t)hidden, offsets[n], b->d_input);
    tp_var *soft = tp_bridge_forward(tape, b, x, offsets, n);
    assert_family(soft->rows == n * M && soft->cols == DR);
    memcpy(out, soft->data, (size_t)(n * M * DR) * sizeof *out);
    tp_tape_free(tape);
}

/* ---- gradients ---- */

/* sum(y * g) */
static double loss_of(const tp_bridge *b, const float *hidden, const int64_t *offsets, const float *g) {
    float soft[2 * M * DR];
    copy_soft(b, hidden, offsets, 2, soft);
    double sum = 0;
    for (int i = 0; i < 2 * M * DR; i++) sum += (double)soft[i] * (double)g[i];
    return sum;
}

/* Families whose output is not smooth send a gradient that no difference shows (straight through a rounding). */
static bool is_smooth(const char *kind) {
    return strcmp(kind, "vq") != 0 && strcmp(kind, "fsq") != 0;
}

/* The slope along one number by a five-point stencil: its error is of the fourth order, which leaves single precision's
 * own. */
static double slope(const tp_bridge *b, float *number, float h, const float *hidden, const int64_t *offsets,
                    const float *g) {
    static const double factors[] = {1, -8, 8, -1};
    float kept = *number;
    double sum = 0;
    for (int i = 0; i < 4; i++) {
        *number = kept + (float)(i < 2 ? i - 2 : i - 1) * h;
        sum += factors[i] * loss_of(b, hidden, offsets, g);
    }
    *number = kept;
    return sum / (12 * (double)h);
}

static void check_gradients(const char *bridge, const char *more, int n_taps) {
    const int64_t offsets[] = {0, 3, 5};
    tp_recipe *recipe = recipe_of(bridge, more);
    tp_bridge *b = bridge_of(recipe, 3);
    float *hidden = noise("hidden", 5 * b->d_input, 2), *g = noise("g", 2 * M * DR, 1);
    assert_int_equal(b->d_input, n_taps * DS);
    for (size_t p = 0; p < b->params.n; p++) { /* away from where they begin: no bias is 0, no query tiny */
        const tp_weight *w = b->params.items[p];
        float *more_or_less = noise(w->name, w->rows * w->cols, 0.3);
        for (int64_t i = 0; i < w->rows * w->cols; i++) tp_weight_values(w)[i] += more_or_less[i];
        tp_free(more_or_less);
    }
    tp_tape *tape = tp_tape_new(TP_MATH_F32);
    tp_var *x = tp_var_leaf(tape, hidden, 5, b->d_input);
    tp_backward(tape, compare_weighted(tape, tp_bridge_forward(tape, b, x, offsets, 2), g), 1);
    int64_t compared = 0;
    for (size_t p = 0; p <= b->params.n; p++) { /* the last: the states themselves */
        bool input = p == b->params.n;
        const tp_weight *w = input ? NULL : b->params.items[p];
        const float *gradient = input ? x->grad : w->grad;
        float *values = input ? hidden : tp_weight_values(w);
        int64_t n = input ? 5 * b->d_input : w->rows * w->cols;
        double largest = 0.05, worst = 0;
        for (int64_t i = 0; i < n; i++) largest = fmax(largest, fabs(gradient[i]));
        for (int64_t i = 0; i < n; i++)
            worst = fmax(worst, fabs(slope(b, &values[i], 8e-3f, hidden, offsets, g) - gradient[i]) / largest);
        if (!(worst < 1e-2))
            fail_msg("%s %s: gradient of %s is off by %g of its largest", (*family)->name, more,
                     input ? "the states" : w->name, worst);
        compared += input ? 0 : n;
    }
    assert_int_equal(compared, tp_bridge_n_parameters(b));
    tp_tape_free(tape);
    tp_bridge_free(b);
    tp_recipe_free(recipe);
    tp_free(hidden);
    tp_free(g);
}

static void gradients_agree_with_central_differences(void **state) {
    (void)state;
    FOR_ALL_FAMILIES() {
        if (!is_smooth((*family)->name)) continue;
        check_gradients(", \"learnable_normaliser\": true", "", 1);
        check_gradients("", ", \"sender\": {\"layers\": [0, 2, 3]}", 3);
    }
}

/* ---- batches, seeds, counts ---- */

static void a_ragged_batch_equals_its_sequences_one_at_a_time(void **state) {
    (void)state;
    static const int64_t offsets[] = {0, 4, 5, 14};
    FOR_ALL_FAMILIES() {
        tp_recipe *recipe = recipe_of("", "");
        tp_bridge *b = awake_bridge_of(recipe, 5);
        float *hidden = noise("hidden", 14 * DS, 2), all[3 * M * DR], one[M * DR];
        copy_soft(b, hidden, offsets, 3, all);
        double apart = 0;
        for (int s = 0; s < 3; s++) {
            copy_soft(b, hidden + offsets[s] * DS, (const int64_t[]){0, offsets[s + 1] - offsets[s]}, 1, one);
            for (int i = 0; i < M * DR; i++) {
                assert_family(fabsf(one[i] - all[s * M * DR + i]) < 1e-5f);
                apart = fmax(apart, fabs(all[i] - all[s * M * DR + i]));
            }
        }
        assert_family(apart > 0.01); /* texts do differ */
        tp_bridge_free(b);
        tp_recipe_free(recipe);
        tp_free(hidden);
    }
}

static void a_seed_decides_every_number(void **state) {
    (void)state;
    static const int64_t offsets[] = {0, 6};
    FOR_ALL_FAMILIES() {
        tp_recipe *recipe = recipe_of("", "");
        float *hidden = noise("hidden", 6 * DS, 1), first[M * DR], again[M * DR], other[M * DR];
        float *into[] = {first, again, other};
        for (int run = 0; run < 3; run++) {
            tp_bridge *b = awake_bridge_of(recipe, run == 2 ? 12 : 11);
            copy_soft(b, hidden, offsets, 1, into[run]);
            tp_bridge_free(b);
        }
        assert_family(memcmp(first, again, sizeof first) == 0);
        assert_family(memcmp(first, other, sizeof first) != 0);
        tp_recipe_free(recipe);
        tp_free(hidden);
    }
}

static void add_size(void *context, tp_weight *w) {
    *(int64_t *)context += w->rows * w->cols;
}

static void a_family_counts_what_it_builds(void **state) {
    (void)state;
    static const char *const changes[][2] = {{"", ""},
                                             {", \"width\": 12, \"ffn_multiple\": 3", ""},
                                             {", \"depth\": 5", ""},
                                             {", \"normaliser\": \"none\"", ""},
                                             {", \"learnable_normaliser\": true", ""},
                                             {"", ", \"sender\": {\"layers\": [1, 4]}"}};
    FOR_ALL_FAMILIES() {
        for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
            tp_recipe *recipe = recipe_of(changes[i][0], changes[i][1]);
            tp_bridge *b = bridge_of(recipe, 1);
            int64_t built = 0;
            tp_bridge_visit(b, add_size, &built);
            assert_family(tp_bridge_count(&recipe->bridge, DS, DR) == built);
            tp_bridge_free(b);
            tp_recipe_free(recipe);
        }
    }
}

/* ---- attention ---- */

static void what_a_family_reads_is_a_distribution(void **state) {
    (void)state;
    enum { T = 7 };
    FOR_ALL_FAMILIES() {
        tp_recipe *recipe = recipe_of("", ", \"sender\": {\"layers\": [1, 4]}");
        tp_bridge *b = bridge_of(recipe, 1);
        float *hidden = noise("hidden", T * b->d_input, 1);
        int depth, heads;
        tp_bridge_attention_shape(b, &depth, &heads);
        int64_t rows = (int64_t)depth * heads * M;
        float *weights = tp_alloc((size_t)(rows * T) * sizeof *weights);
        tp_tape *tape = tp_tape_new(TP_MATH_F32);
        tape->frozen = true;
        tp_status status = tp_bridge_attention(tape, b, tp_var_wrap(tape, hidden, T, b->d_input), weights);
        const tp_bridge *reader = b->inner ? b->inner : b; /* who quantises tokens leaves the reading to another */
        if (reader->family->attention == NULL) {
            assert_family(status == TP_ERR_UNSUPPORTED && strstr(tp_last_error(), (*family)->name));
        } else {
            check_ok(status);
            for (int64_t r = 0; r < rows; r++) {
                double sum = 0;
                for (int i = 0; i < T; i++) sum += weights[r * T + i];
                assert_family(fabs(sum - 1) < 1e-5);
            }
        }
        tp_tape_free(tape);
        tp_free(weights);
        tp_free(hidden);
        tp_bridge_free(b);
        tp_recipe_free(recipe);
    }
}

/* ---- training, checkpoints and pairs ---- */

static tiny_stage stage;

static int set_up(void **state) {
    (void)state;
    omp_set_num_threads(1); /* the models are so small that threads would only wait for each other */
    stage = tiny_stage_make();
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    tiny_stage_free(&stage);
    return 0;
}

/* A short training of the family into dir/name. */
static tp_status train(const char *name, int64_t stop_at, tp_train_result *result) {
    tp_recipe *kind =
        recipe_of(", \"dropout\": 0.1", ", \"sender\": {\"layers\": [0, 2, 4]}, \"cache\": {\"kind\": \"disk\"}");
    json_t *changes = tp_recipe_to_json(kind);
    json_t *o = json_object_get(changes, "optimiser");
    json_object_set_new(o, "steps", json_integer(6));
    json_object_set_new(o, "batch", json_integer(4));
    json_object_set_new(o, "lr", json_real(0.01));
    json_object_set_new(changes, "math", json_string("f32"));
    json_object_set_new(changes, "early_stopping", json_pack("{s:i, s:i}", "every", 3, "patience", 0));
    json_object_set_new(changes, "quick_eval", json_pack("{s:i}", "every", 0));
    json_object_set_new(changes, "calibration", json_pack("{s:i}", "texts", 16));
    tp_recipe *recipe = tp_recipe_from_json(changes, "tiny");
    check_not_null(recipe);
    json_decref(changes);
    tp_recipe_free(kind);
    tiny_watcher watcher = {.stop_at = stop_at};
    tp_progress *progress = tiny_progress(&watcher);
    char *out = tp_path_join(stage.dir, name);
    tp_status status = tp_train(&(tp_train_options){.recipe = recipe,
                                                    .sender = stage.sender,
                                                    .receiver = stage.receiver,
                                                    .task = stage.task,
                                                    .out = out,
                                                    .save_every = 0,
                                                    .stop = &watcher.stop,
                                                    .progress = progress},
                                result);
    tp_progress_free(progress);
    tp_str_free(&watcher.said);
    tp_recipe_free(recipe);
    tp_free(out);
    return status;
}

static char *in_dir(const char *name) {
    return tp_path_join(stage.dir, name);
}

static void remove_runs(void) {
    char *command = tp_format("rm -rf '%s/whole' '%s/killed' '%s/copy'", stage.dir, stage.dir, stage.dir);
    assert_int_equal(system(command), 0);
    tp_free(command);
}

static void keep_bytes(void *context, tp_weight *w) {
    tp_str_append(context, (const char *)w->data, (size_t)(w->rows * w->cols) * sizeof(float));
}

/* What lies in the folder, saved again and read back, to the bit. */
static void check_round_trip(const char *folder) {
    char *copy = in_dir("copy");
    tp_trained_bridge *first = tp_bridge_load(folder);
    check_not_null(first);
    check_ok(tp_bridge_save(copy, first));
    tp_trained_bridge *second = tp_bridge_load(copy);
    check_not_null(second);
    assert_string_equal(first->fingerprint, second->fingerprint);
    tp_str bytes[2] = {0};
    tp_bridge_visit(first->bridge, keep_bytes, &bytes[0]);
    tp_bridge_visit(second->bridge, keep_bytes, &bytes[1]);
    assert_family(bytes[0].len > 0 && bytes[0].len == bytes[1].len);
    assert_family(memcmp(bytes[0].data, bytes[1].data, bytes[0].len) == 0);
    tp_str_free(&bytes[0]);
    tp_str_free(&bytes[1]);
    tp_trained_bridge_free(first);
    tp_trained_bridge_free(second);
    tp_free(copy);
}

static void check_pair_refused(const char *folder, const tp_lm *sender, const tp_lm *receiver, const char *words) {
    assert_null(tp_relay_load(folder, sender, receiver));
    assert_family(strstr(tp_last_error(), words));
}

/* Models of other widths, and one of the right widths with other weights. */
static void check_pairs(const char *folder) {
    tp_relay *relay = tp_relay_load(folder, stage.sender, stage.receiver);
    check_not_null(relay);
    assert_family(relay->tap.n_layers == 3 && relay->tap.layer == 4);
    assert_family(relay->bridge->d_input == 3 * stage.sender->config.d_model);
    tp_relay_free(relay);
    check_pair_refused(folder, stage.receiver, stage.receiver, "trained with another sender");
    check_pair_refused(folder, stage.sender, stage.sender, "trained with another receiver");
    char kept = stage.sender->fingerprint[0];
    stage.sender->fingerprint[0] = kept == '0' ? '1' : '0';
    check_pair_refused(folder, stage.sender, stage.receiver, "trained with another sender");
    stage.sender->fingerprint[0] = kept;
}

/* Trained whole, and killed half way, on the states of three layers: the same bytes. What comes out is a checkpoint. */
static void trainings_resume_and_checkpoints_hold_every_bit(void **state) {
    (void)state;
    FOR_ALL_FAMILIES() {
        tp_train_result result;
        check_ok(train("whole", 0, &result));
        assert_family(result.steps == 6 && !result.resumed && isfinite(result.train_loss));
        assert_family(train("killed", 3, &result) == TP_ERR_CANCELLED);
        check_ok(train("killed", 0, &result));
        assert_family(result.resumed);
        char *whole = in_dir("whole"), *killed = in_dir("killed");
        assert_family(tiny_same_folders(whole, killed));
        check_round_trip(whole);
        check_pairs(whole);
        tp_free(whole);
        tp_free(killed);
        remove_runs();
    }
}

/* ---- closed form ---- */

/* What a linear map made of the mean states is found again, as far as the penalty lets it: the soft tokens point where
 * the targets do. */
static void a_ridge_bridge_is_solved_for(void **state) {
    (void)state;
    enum { N = 60 };
    family = tp_bridge_families;
    while (strcmp((*family)->name, "ridge") != 0) family++;
    tp_recipe *recipe = recipe_of(", \"penalty\": 1e-6", ", \"sender\": {\"layers\": [1, 4]}");
    tp_bridge *b = bridge_of(recipe, 1);
    /* both layers say the same, so that what the bridge mixes is what the map was made of */
    float *x = noise("x", N * DS, 1), *map = noise("map", DS * M * DR, 1);
    float *means = tp_alloc(sizeof(float) * N * 2 * DS), *targets = tp_alloc(sizeof(float) * N * M * DR);
    for (int i = 0; i < N; i++) {
        for (int k = 0; k < 2 * DS; k++)
            means[i * 2 * DS + k] =
                x[i * DS + k % DS] * tp_weight_values(&b->source_std)[k] + tp_weight_values(&b->source_mean)[k];
        for (int o = 0; o < M * DR; o++) {
            double sum = 0.5;
            for (int k = 0; k < DS; k++) sum += (double)x[i * DS + k] * (double)map[o * DS + k];
            targets[i * M * DR + o] = (float)sum;
        }
    }
    check_ok(tp_bridge_solve(b, means, targets, N));
    for (int i = 0; i < N; i++) { /* a text of one state, which is its own mean */
        float soft[M * DR];
        copy_soft(b, means + i * 2 * DS, (const int64_t[]){0, 1}, 1, soft);
        for (int m = 0; m < M; m++) {
            const float *found = soft + m * DR, *wanted = targets + (i * M + m) * DR;
            double dot = 0, a = 0, c = 0;
            for (int k = 0; k < DR; k++) {
                dot += (double)found[k] * (double)wanted[k];
                a += (double)found[k] * (double)found[k];
                c += (double)wanted[k] * (double)wanted[k];
            }
            if (!(dot / sqrt(a * c) > 0.9999)) fail_msg("text %d, token %d: cosine %g", i, m, dot / sqrt(a * c));
        }
    }
    tp_bridge_free(b);
    tp_recipe_free(recipe);
    tp_free(x);
    tp_free(map);
    tp_free(means);
    tp_free(targets);

    recipe = recipe_of(", \"scale\": \"tanh\"", "");
    assert_null(tp_bridge_new(&recipe->bridge, DS, DR, NULL, 1));
    assert_non_null(strstr(tp_last_error(), "`bridge.scale`"));
    tp_recipe_free(recipe);
    family = tp_bridge_families;
    recipe = recipe_of("", "");
    b = bridge_of(recipe, 1);
    assert_int_equal(tp_bridge_solve(b, NULL, NULL, 0), TP_ERR_UNSUPPORTED);
    tp_bridge_free(b);
    tp_recipe_free(recipe);
}

/* How many validation rows get soft tokens that lie nearest, of all labels, to their own label's embeddings. */
static double share_at_own_label(const tp_relay *relay) {
    const tp_dataset *set = &stage.task->valid;
    int64_t d = stage.receiver->config.d_model;
    tp_state_cache *states = tp_state_cache_new(&relay->tap, set->examples, set->n, TP_CACHE_NONE, 0, NULL);
    check_not_null(states);
    tp_tape *tape = tp_tape_new(TP_MATH_F32);
    tape->frozen = true;
    float *row = tp_alloc((size_t)d * sizeof *row);
    int right = 0;
    for (int64_t i = 0; i < (int64_t)set->n; i++) {
        const int64_t *offsets;
        tp_tape_reset(tape);
        tp_var *hidden = tp_state_cache_fetch(states, tape, &i, 1, &offsets);
        const tp_var *soft = tp_relay_soft(relay, tape, hidden, offsets, 1);
        double best = -2;
        int nearest = -1;
        for (int label = 0; label < stage.task->n_labels; label++) {
            tp_lm_embedding_row(stage.receiver, tp_layout_label(relay->layout, label)->data[0], row);
            double dot = 0, size = 0;
            for (int64_t k = 0; k < d; k++) dot += (double)soft->data[k] * (double)row[k];
            for (int64_t k = 0; k < d; k++) size += (double)row[k] * (double)row[k];
            if (dot / sqrt(size) > best) best = dot / sqrt(size), nearest = label;
        }
        right += nearest == set->examples[i].label;
    }
    tp_free(row);
    tp_tape_free(tape);
    tp_state_cache_free(states);
    return (double)right / (double)set->n;
}

/* Without a step a solved bridge is a trained one: its first soft token is the first token of the answer, near enough.
 * A bridge of the same shape that was only made is not. */
static void no_step_is_a_training_too(void **state) {
    (void)state;
    const char *const recipes[] = {
        "{\"bridge\": {\"kind\": \"ridge\"}, \"sender\": {\"layer\": 0}}",
        "{\"bridge\": {\"kind\": \"linear\"}, \"sender\": {\"layer\": 0}, \"optimiser\": {\"steps\": 0}}"};
    for (int i = 0; i < 2; i++) {
        json_t *value = json_loads(recipes[i], 0, NULL);
        json_object_set_new(value, "math", json_string("f32"));
        tp_recipe *recipe = tp_recipe_from_json(value, "no steps");
        check_not_null(recipe);
        json_decref(value);
        char *out = in_dir("whole");
        tp_train_options options = {
            .recipe = recipe, .sender = stage.sender, .receiver = stage.receiver, .task = stage.task, .out = out};
        tp_train_result first, again;
        check_ok(tp_train(&options, &first));
        assert_int_equal(first.steps, 0);
        assert_false(first.already_done);
        check_ok(tp_train(&options, &again)); /* there is nothing left to do */
        assert_true(again.already_done && again.valid_accuracy == first.valid_accuracy);
        tp_relay *relay = tp_relay_load(out, stage.sender, stage.receiver);
        check_not_null(relay);
        double share = share_at_own_label(relay);
        if (i == 0 ? share < 0.9 : share > 0.7) fail_msg("%s: %g of the rows", relay->bridge->family->name, share);
        tp_relay_free(relay);
        tp_recipe_free(recipe);
        tp_free(out);
        remove_runs();
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_agree_with_central_differences),
        cmocka_unit_test(a_ragged_batch_equals_its_sequences_one_at_a_time),
        cmocka_unit_test(a_seed_decides_every_number),
        cmocka_unit_test(a_family_counts_what_it_builds),
        cmocka_unit_test(what_a_family_reads_is_a_distribution),
        cmocka_unit_test(trainings_resume_and_checkpoints_hold_every_bit),
        cmocka_unit_test(a_ridge_bridge_is_solved_for),
        cmocka_unit_test(no_step_is_a_training_too),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
