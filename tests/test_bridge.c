/* bridge/: bridges against values and all gradients computed by PyTorch and transformers (tools/reference), the
 * Perceiver's gradient by central differences, ragged batches, determinism, the other ways out, and calibration. */
#include "compare.h"

#include "base/mem.h"
#include "bridge/bridge.h"

static const tp_bridge_recipe small = {.kind = "perceiver",
                                       .soft_tokens = 5,
                                       .depth = 2,
                                       .heads = 3,
                                       .width = 24,
                                       .ffn_multiple = 4,
                                       .learnable_normaliser = true};

static void load(void *context, tp_weight *w) {
    int64_t n = w->rows * w->cols;
    memcpy(tp_weight_values(w), compare_numbers(context, w->name, n), (size_t)n * sizeof(float));
}

/* What is 0 but for rounding (of a bias of the keys, which a softmax does not see) is held against 0.1. */
static double gradient_error(const float *found, const float *expected, int64_t n) {
    double largest = 0, found_most = 0;
    for (int64_t i = 0; i < n; i++) {
        largest = fmax(largest, fabs(expected[i]));
        found_most = fmax(found_most, isnan(found[i]) ? INFINITY : fabs(found[i]));
    }
    return largest < 1e-9 ? found_most / 0.1 : compare_error(found, expected, n);
}

/* Two sequences through the bridge of the fixture's parameters. */
static void check_reference(const char *file, const tp_bridge_recipe *recipe, int64_t d_source, int64_t d_target) {
    char *path = tp_format(TP_SOURCE_DIR "/tests/fixtures/bridge/%s.safetensors", file);
    tp_safetensors *st = tp_safetensors_open(path);
    check_not_null(st);
    tp_bridge *b = tp_bridge_new(recipe, d_source, d_target, NULL, 1);
    check_not_null(b);
    tp_bridge_visit(b, load, st);
    const tp_st_tensor *stored = tp_safetensors_find(st, "offsets");
    check_not_null(stored);
    int64_t offsets[3];
    for (int i = 0; i < 3; i++) offsets[i] = ((const int32_t *)stored->data)[i];

    int64_t n_hidden = offsets[2] * b->d_input, n_soft = 2 * recipe->soft_tokens * d_target;
    tp_tape *tape = tp_tape_new(TP_MATH_F32);
    tp_var *hidden = tp_var_leaf(tape, compare_numbers(st, "hidden", n_hidden), offsets[2], b->d_input);
    tp_var *soft = tp_bridge_forward(tape, b, hidden, offsets, 2);
    assert_int_equal(soft->rows, 2 * recipe->soft_tokens);
    assert_int_equal(soft->cols, d_target);
    assert_true(compare_error(soft->data, compare_numbers(st, "output", n_soft), n_soft) < 1e-5);

    tp_backward(tape, compare_weighted(tape, soft, compare_numbers(st, "output_grad", n_soft)), 1);
    assert_true(compare_error(hidden->grad, compare_numbers(st, "grad.hidden", n_hidden), n_hidden) < 1e-4);
    size_t compared = 1;
    for (size_t i = 0; i < b->params.n; i++) {
        const tp_weight *w = b->params.items[i];
        char name[128];
        snprintf(name, sizeof name, "grad.%s", w->name);
        int64_t n = w->rows * w->cols;
        double error = gradient_error(w->grad, compare_numbers(st, name, n), n);
        if (!(error < 1e-4)) fail_msg("%s: %s is off by %g", file, name, error);
        compared++;
    }
    size_t gradients = 0;
    for (size_t i = 0; i < tp_safetensors_count(st); i++)
        gradients += strncmp(tp_safetensors_get(st, i)->name, "grad.", 5) == 0;
    assert_int_equal(compared, gradients); /* none of the reference's was passed over */
    tp_tape_free(tape);
    tp_bridge_free(b);
    tp_safetensors_close(st);
    tp_free(path);
}

static void perceiver_agrees_with_pytorch_in_values_and_all_gradients(void **state) {
    (void)state;
    check_reference("perceiver", &small, 20, 28);
}

static void qformer_agrees_with_transformers_in_values_and_all_gradients(void **state) {
    (void)state;
    tp_bridge_recipe recipe = {.kind = "qformer", .soft_tokens = 3, .depth = 3, .heads = 2, .width = 8};
    recipe.ffn_multiple = 2;
    recipe.normaliser = TP_NORMALISER_NONE;
    check_reference("qformer", &recipe, 6, 7);
}

static void transformer_agrees_with_pytorch_in_values_and_all_gradients(void **state) {
    (void)state;
    tp_bridge_recipe recipe = {.kind = "transformer", .soft_tokens = 3, .depth = 2, .heads = 2, .width = 8};
    recipe.ffn_multiple = 2;
    recipe.normaliser = TP_NORMALISER_NONE;
    check_reference("transformer", &recipe, 6, 7);
}

/* On the states of three layers, mixed. */
static void weighted_pool_agrees_with_pytorch_in_values_and_all_gradients(void **state) {
    (void)state;
    tp_bridge_recipe recipe = {.kind = "weighted_pool", .soft_tokens = 3, .n_taps = 3, .learnable_normaliser = true};
    check_reference("weighted_pool", &recipe, 6, 7);
}

/* Numbers to test on, the same each time. */
static float *noise(const char *stream, int64_t n, double std) {
    float *out = tp_alloc((size_t)n * sizeof(float));
    tp_rng rng = tp_rng_stream(7, stream, 0);
    tp_rng_fill_normal(&rng, out, (size_t)n, std);
    return out;
}

static tp_calibration *some_calibration(int64_t d_source, int64_t d_target) {
    tp_moments *m = tp_moments_new(d_source);
    float *rows = noise("states", 50 * d_source, 3);
    tp_moments_add(m, rows, 50);
    float *table = noise("table", 40 * d_target, 0.05);
    tp_weight embedding = {.name = "e", .dtype = TP_F32, .rows = 40, .cols = d_target, .data = table};
    tp_calibration *c = tp_calibration_new(m, &embedding, 0);
    tp_moments_free(m);
    tp_free(rows);
    tp_free(table);
    return c;
}

static void gradients_agree_with_central_differences(void **state) {
    (void)state;
    enum { DS = 3, DR = 5, T = 4 };
    tp_bridge_recipe recipe = {.kind = "perceiver",
                               .soft_tokens = 2,
                               .depth = 1,
                               .heads = 2,
                               .width = 4,
                               .ffn_multiple = 2,
                               .learnable_normaliser = true};
    const int64_t offsets[] = {0, 3, T};
    float *hidden = noise("hidden", T * DS, 2), *g = noise("g", 4 * DR, 1);
    for (int variant = 0; variant < 3; variant++) {
        recipe.scale = variant == 1 ? TP_SCALE_TANH : TP_SCALE_RMS;
        recipe.normaliser = variant == 2 ? TP_NORMALISER_NONE : TP_NORMALISER_WHITEN;
        tp_calibration *c = some_calibration(DS, DR);
        tp_bridge *b = tp_bridge_new(&recipe, DS, DR, c, 3);
        check_not_null(b);
        tp_calibration_free(c);
        tp_weight_init_value(&b->scale, 1.5f); /* so that its size does not hide errors */
        tp_tape *tape = tp_tape_new(TP_MATH_F32);
        tp_var *soft = tp_bridge_forward(tape, b, tp_var_leaf(tape, hidden, T, DS), offsets, 2);
        tp_backward(tape, compare_weighted(tape, soft, g), 1);
        int compared = 0;
        for (size_t p = 0; p < b->params.n; p++) {
            tp_weight *w = b->params.items[p];
            float *values = tp_weight_values(w);
            double largest = 0.05, worst = 0; /* single precision leaves 1e-3 or so of doubt in a difference */
            for (int64_t i = 0; i < w->rows * w->cols; i++) largest = fmax(largest, fabs(w->grad[i]));
            for (int64_t i = 0; i < w->rows * w->cols; i++) {
                float kept = values[i], h = 2e-3f * fmaxf(fabsf(kept), 0.02f);
                if (strncmp(w->name, "target_", 7) != 0) h = 5e-3f;
                double loss[2];
                for (int side = 0; side < 2; side++) {
                    values[i] = side ? kept + h : kept - h;
                    tp_tape *other = tp_tape_new(TP_MATH_F32);
                    other->frozen = true;
                    tp_var *y = tp_bridge_forward(other, b, tp_var_leaf(other, hidden, T, DS), offsets, 2);
                    loss[side] = 0;
                    for (int64_t j = 0; j < y->rows * y->cols; j++) loss[side] += (double)y->data[j] * g[j];
                    tp_tape_free(other);
                }
                double width = (double)(kept + h) - (double)(kept - h);
                values[i] = kept;
                worst = fmax(worst, fabs((loss[1] - loss[0]) / width - w->grad[i]) / largest);
                compared++;
            }
            if (!(worst < 2e-2))
                fail_msg("variant %d: gradient of %s is off by %g of its largest", variant, w->name, worst);
        }
        assert_int_equal(compared, tp_bridge_n_parameters(b));
        tp_tape_free(tape);
        tp_bridge_free(b);
    }
    tp_free(hidden);
    tp_free(g);
}

static void a_ragged_batch_equals_its_sequences_one_at_a_time(void **state) {
    (void)state;
    enum { DS = 20, DR = 28, M = 5 };
    const int64_t lengths[] = {4, 1, 9};
    int64_t offsets[4] = {0};
    for (int s = 0; s < 3; s++) offsets[s + 1] = offsets[s] + lengths[s];
    float *hidden = noise("hidden", offsets[3] * DS, 2);
    tp_calibration *c = some_calibration(DS, DR);
    tp_bridge *b = tp_bridge_new(&small, DS, DR, c, 5);
    check_not_null(b);
    tp_tape *tape = tp_tape_new(TP_MATH_F32);
    tape->frozen = true;
    tp_var *all = tp_bridge_forward(tape, b, tp_var_wrap(tape, hidden, offsets[3], DS), offsets, 3);
    assert_false(all->wants_grad);
    for (int s = 0; s < 3; s++) {
        const int64_t own[] = {0, lengths[s]};
        tp_var *one = tp_bridge_forward(tape, b, tp_var_wrap(tape, hidden + offsets[s] * DS, lengths[s], DS), own, 1);
        assert_true(compare_error(one->data, all->data + s * M * DR, M * DR) < 1e-5);
    }
    /* each soft token has the receiver's RMS, and the sequences' tokens differ */
    for (int64_t i = 0; i < all->rows; i++) {
        double square = 0;
        for (int j = 0; j < DR; j++) square += (double)all->data[i * DR + j] * all->data[i * DR + j];
        assert_true(fabs(sqrt(square / DR) - c->target_rms) < 1e-3 * c->target_rms);
    }
    assert_true(compare_error(all->data, all->data + M * DR, M * DR) > 0.1);
    tp_calibration_free(c);
    tp_tape_free(tape);
    tp_bridge_free(b);
    tp_free(hidden);
}

static void a_seed_decides_every_parameter_and_mask(void **state) {
    (void)state;
    tp_bridge_recipe recipe = small;
    recipe.dropout = 0.3;
    const int64_t offsets[] = {0, 6};
    float *hidden = noise("hidden", 6 * 20, 1);
    float *first = NULL;
    /* the same twice, then another seed, another step, and no dropout */
    for (int run = 0; run < 5; run++) {
        tp_bridge *b = tp_bridge_new(&recipe, 20, 28, NULL, run == 2 ? 12 : 11);
        check_not_null(b);
        tp_tape *tape = tp_tape_new(TP_MATH_F32);
        tape->seed = 3;
        tape->step = run == 3;
        tape->frozen = run == 4;
        tp_var *y = tp_bridge_forward(tape, b, tp_var_wrap(tape, hidden, 6, 20), offsets, 1);
        size_t bytes = (size_t)(y->rows * y->cols) * sizeof(float);
        if (run == 0) {
            first = tp_alloc(bytes);
            memcpy(first, y->data, bytes);
        }
        assert_int_equal(memcmp(first, y->data, bytes) == 0, run <= 1);
        tp_tape_free(tape);
        tp_bridge_free(b);
    }
    tp_free(first);
    tp_free(hidden);
}

static void frozen_normalisers_are_constants(void **state) {
    (void)state;
    tp_bridge_recipe recipe = small;
    tp_bridge *learnable = tp_bridge_new(&recipe, 20, 28, NULL, 1);
    recipe.learnable_normaliser = false;
    tp_bridge *fixed = tp_bridge_new(&recipe, 20, 28, NULL, 1);
    recipe.normaliser = TP_NORMALISER_NONE;
    tp_bridge *none = tp_bridge_new(&recipe, 20, 28, NULL, 1);
    assert_int_equal(tp_bridge_n_parameters(learnable) - tp_bridge_n_parameters(fixed), 2 * 20 + 2 * 28);
    assert_int_equal(tp_bridge_n_parameters(fixed), tp_bridge_n_parameters(none));
    assert_null(fixed->source_mean.grad);
    assert_non_null(fixed->source_mean.data);
    assert_null(none->source_mean.data);
    tp_bridge_free(learnable);
    tp_bridge_free(fixed);
    tp_bridge_free(none);
}

static tp_var *soft_of(tp_tape *tape, const tp_bridge *b, const float *rows, const int64_t *offsets) {
    tp_tape_reset(tape);
    return tp_bridge_forward(tape, b, tp_var_wrap(tape, (float *)(uintptr_t)rows, 8, 20), offsets, 2);
}

/* A bridge in use has no gradients, and its products take another way. */
static void a_frozen_bridge_gives_the_same(void **state) {
    (void)state;
    tp_bridge *b = tp_bridge_new(&small, 20, 28, NULL, 5);
    check_not_null(b);
    float rows[8 * 20], before[2 * 5 * 28];
    tp_rng rng = tp_rng_stream(1, "rows", 0);
    tp_rng_fill_normal(&rng, rows, 8 * 20, 1.0);
    int64_t offsets[3] = {0, 3, 8};
    tp_tape *tape = tp_tape_new(TP_MATH_F32);
    tape->frozen = true;
    memcpy(before, soft_of(tape, b, rows, offsets)->data, sizeof before);
    tp_params_freeze(&b->params);
    for (size_t i = 0; i < b->params.n; i++) assert_null(b->params.items[i]->grad);
    tape->frozen = false; /* nothing may be recorded all the same */
    tp_var *after = soft_of(tape, b, rows, offsets);
    assert_false(after->wants_grad);
    assert_true(compare_error(after->data, before, 2 * 5 * 28) < 1e-5);
    tp_tape_free(tape);
    tp_bridge_free(b);
}

static void what_cannot_be_built_is_refused(void **state) {
    (void)state;
    tp_bridge_recipe recipe = small;
    snprintf(recipe.kind, sizeof recipe.kind, "telegraph");
    assert_null(tp_bridge_new(&recipe, 20, 28, NULL, 1));
    assert_non_null(strstr(tp_last_error(), "\"telegraph\", known are: perceiver"));
    recipe = small;
    recipe.heads = 5;
    assert_null(tp_bridge_new(&recipe, 20, 28, NULL, 1));
    assert_non_null(strstr(tp_last_error(), "bridge.width"));
    recipe = small;
    recipe.soft_tokens = 0;
    assert_null(tp_bridge_new(&recipe, 20, 28, NULL, 1));
    assert_non_null(strstr(tp_last_error(), "bridge.soft_tokens"));
    tp_calibration *c = some_calibration(19, 28);
    assert_null(tp_bridge_new(&small, 20, 28, c, 1));
    assert_non_null(strstr(tp_last_error(), "19"));
    tp_calibration_free(c);
}

static void calibration_measures_means_deviations_and_rms(void **state) {
    (void)state;
    /* a dimension far from 0 whose sum of squares in single precision would have lost the deviation; one that is still
     */
    const float rows[] = {10000.5f, 1, 7, 9999.5f, 2, 7, 10001.5f, 6, 7, 9998.5f, -1, 7};
    tp_moments *m = tp_moments_new(3);
    tp_moments_add(m, rows, 1);
    tp_moments_add(m, rows + 3, 3);
    const float table[] = {3, 4, 0, 0, -3, -4};
    const tp_weight embedding = {.name = "e", .dtype = TP_F32, .rows = 3, .cols = 2, .data = table};
    tp_calibration *c = tp_calibration_new(m, &embedding, 0);
    assert_int_equal(c->n_source, 4);
    assert_int_equal(c->d_source, 3);
    assert_int_equal(c->d_target, 2);
    assert_true(c->source_mean[0] == 10000.0f && c->source_mean[1] == 2.0f && c->source_mean[2] == 7.0f);
    assert_true(fabs(c->source_std[0] - sqrt(5.0 / 3)) < 1e-6);
    assert_true(fabs(c->source_std[1] - sqrt(26.0 / 3)) < 1e-6);
    assert_true(c->source_std[2] == 1e-6f);
    assert_true(c->target_mean[0] == 0 && c->target_mean[1] == 0);
    assert_true(fabs(c->target_std[0] - 3) < 1e-6 && fabs(c->target_std[1] - 4) < 1e-6);
    assert_true(fabs(c->target_rms - sqrt(12.5) * 2 / 3) < 1e-6);
    tp_calibration_free(c);
    tp_moments_free(m);
}

static void large_tables_are_sampled_evenly(void **state) {
    (void)state;
    enum { ROWS = 120000 };
    float *table = tp_alloc(ROWS * sizeof(float));
    for (int i = 0; i < ROWS; i++) table[i] = (float)i;
    const tp_weight embedding = {.name = "e", .dtype = TP_F32, .rows = ROWS, .cols = 1, .data = table};
    tp_moments *m = tp_moments_new(1);
    tp_calibration *c = tp_calibration_new(m, &embedding, 0);
    assert_int_equal(c->n_target, 50000);
    assert_true(fabs(c->target_mean[0] - ROWS / 2.0) < 5);
    tp_calibration_free(c);
    tp_moments_free(m);
    tp_free(table);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(perceiver_agrees_with_pytorch_in_values_and_all_gradients),
        cmocka_unit_test(qformer_agrees_with_transformers_in_values_and_all_gradients),
        cmocka_unit_test(transformer_agrees_with_pytorch_in_values_and_all_gradients),
        cmocka_unit_test(weighted_pool_agrees_with_pytorch_in_values_and_all_gradients),
        cmocka_unit_test(gradients_agree_with_central_differences),
        cmocka_unit_test(a_ragged_batch_equals_its_sequences_one_at_a_time),
        cmocka_unit_test(a_seed_decides_every_parameter_and_mask),
        cmocka_unit_test(frozen_normalisers_are_constants),
        cmocka_unit_test(a_frozen_bridge_gives_the_same),
        cmocka_unit_test(what_cannot_be_built_is_refused),
        cmocka_unit_test(calibration_measures_means_deviations_and_rms),
        cmocka_unit_test(large_tables_are_sampled_evenly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
