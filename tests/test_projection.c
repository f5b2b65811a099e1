/* analysis/: PCA and t-SNE against NumPy and scikit-learn (tests/fixtures/analysis.safetensors), t-SNE's gradient by
 * central differences, and what must hold for points that leave nothing to tell apart. */
#include "check.h"

#include "analysis/pca.h"
#include "analysis/tsne.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/rng.h"
#include "lm/safetensors.h"

#include <math.h>

enum { N = 60, D = 12 };

static tp_safetensors *fixture;
static double perplexity, from_axes, from_random; /* of t-SNE on x; the divergences that scikit-learn reached */

static int set_up(void **state) {
    (void)state;
    fixture = tp_safetensors_open(TP_SOURCE_DIR "/tests/fixtures/analysis.safetensors");
    check_not_null(fixture);
    const char *text = tp_safetensors_metadata(fixture, "constants");
    assert_non_null(text);
    json_t *constants = tp_json_load_bytes(text, strlen(text), "constants");
    check_not_null(constants);
    perplexity = json_number_value(json_object_get(constants, "perplexity"));
    from_axes = json_number_value(json_object_get(constants, "kl"));
    from_random = json_number_value(json_object_get(constants, "kl_random"));
    assert_true(from_axes > 0 && from_random > 0);
    json_decref(constants);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    tp_safetensors_close(fixture);
    return 0;
}

static const float *numbers(const char *name, size_t n) {
    const tp_st_tensor *t = tp_safetensors_find(fixture, name);
    check_not_null(t);
    assert_int_equal(t->dtype, TP_F32);
    assert_int_equal(t->n_bytes, n * sizeof(float));
    return t->data;
}

/* ---- PCA ---- */

/* Places agree up to the sign of each axis, relative to the farthest point. */
static void expect_pca(const char *x, const char *places, const char *explained, size_t n, size_t d) {
    double points[N * 3], shares[3];
    tp_pca(numbers(x, n * d), n, d, 3, points, shares);
    const float *expected = numbers(places, n * 3), *expected_shares = numbers(explained, 3);
    for (size_t c = 0; c < 3; c++) {
        double largest = 0, overlap = 0;
        for (size_t i = 0; i < n; i++) {
            largest = fmax(largest, fabs((double)expected[i * 3 + c]));
            overlap += points[i * 3 + c] * (double)expected[i * 3 + c];
        }
        for (size_t i = 0; i < n; i++) {
            double away = fabs(copysign(1, overlap) * points[i * 3 + c] - (double)expected[i * 3 + c]) / largest;
            if (!(away < 1e-6)) fail_msg("%s: point %zu on axis %zu is off by %g", places, i, c, away);
        }
        assert_true(fabs(shares[c] - (double)expected_shares[c]) < 1e-6);
    }
}

static void pca_agrees_with_numpy(void **state) {
    (void)state;
    expect_pca("x", "pca", "explained", N, D);
    expect_pca("wide", "wide_pca", "wide_explained", 12, 40);
}

static void the_farthest_point_lies_on_the_positive_side(void **state) {
    (void)state;
    double points[N * 3], shares[3];
    tp_pca(numbers("x", N * D), N, D, 3, points, shares);
    for (size_t c = 0; c < 3; c++) {
        double low = 0, high = 0;
        for (size_t i = 0; i < N; i++) low = fmin(low, points[i * 3 + c]), high = fmax(high, points[i * 3 + c]);
        assert_true(high >= -low);
    }
}

static void pca_of_points_without_directions(void **state) {
    (void)state;
    float equal[5 * 4], line[5 * 4];
    double points[5 * 3], shares[3];
    for (int i = 0; i < 20; i++) {
        equal[i] = (float)(i % 4);
        line[i] = (float)(i / 4) * (float)(i % 4); /* point i is i (0, 1, 2, 3) */
    }
    tp_pca(equal, 5, 4, 3, points, shares);
    for (int i = 0; i < 15; i++) assert_true(points[i] == 0);
    for (int i = 0; i < 3; i++) assert_true(shares[i] == 0);
    tp_pca(line, 5, 4, 3, points, shares); /* one direction; more axes than there are */
    assert_true(fabs(shares[0] - 1) < 1e-12 && shares[1] == 0 && shares[2] == 0);
    for (int i = 0; i < 5; i++) {
        assert_true(fabs(fabs(points[i * 3]) - abs(i - 2) * sqrt(14)) < 1e-9);
        assert_true(points[i * 3 + 1] == 0 && points[i * 3 + 2] == 0);
    }
    tp_pca(line, 1, 4, 3, points, shares);
    for (int i = 0; i < 3; i++) assert_true(points[i] == 0 && shares[i] == 0);
    tp_pca(line, 5, 1, 3, points, shares); /* fewer dimensions than axes */
    for (int i = 0; i < 5; i++) assert_true(points[i * 3 + 1] == 0 && points[i * 3 + 2] == 0);
}

/* ---- t-SNE ---- */

static void affinities_agree_with_scikit_learn(void **state) {
    (void)state;
    static double p[N * N];
    tp_tsne_affinities(numbers("x", N * D), N, D, perplexity, p);
    const float *expected = numbers("affinities", N * N);
    double sum = 0, largest = 0;
    for (int i = 0; i < N * N; i++) sum += p[i], largest = fmax(largest, (double)expected[i]);
    assert_true(fabs(sum - 1) < 1e-12);
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) {
            assert_true(p[i * N + j] == p[j * N + i]);
            double away = fabs(p[i * N + j] - (double)expected[i * N + j]) / largest;
            if (!(away < 1e-4))
                fail_msg("affinity %d, %d is off by %g of the largest", i, j, away); /* theirs are f32 */
        }
}

static void the_gradient_agrees_with_central_differences(void **state) {
    (void)state;
    static double p[N * N], scratch[N * N], y[2 * N], gradient[2 * N];
    tp_tsne_affinities(numbers("x", N * D), N, D, perplexity, p);
    tp_rng rng = tp_rng_stream(3, "places", 0);
    for (int k = 0; k < 2 * N; k++) y[k] = 2 * tp_rng_normal(&rng);
    tp_tsne_gradient(p, y, N, 1, scratch, gradient);
    double largest = 0, h = 1e-5;
    for (int k = 0; k < 2 * N; k++) largest = fmax(largest, fabs(gradient[k]));
    for (int k = 0; k < 2 * N; k++) {
        double before = y[k];
        y[k] = before + h;
        double up = tp_tsne_divergence(p, y, N);
        y[k] = before - h;
        double down = tp_tsne_divergence(p, y, N);
        y[k] = before;
        double away = fabs(gradient[k] - (up - down) / (2 * h)) / largest;
        if (!(away < 1e-7)) fail_msg("gradient %d is off by %g of the largest", k, away);
    }
}

static void tsne_reaches_what_scikit_learn_reaches(void **state) {
    (void)state;
    double y[2 * N], again[2 * N], used;
    tp_tsne_options options = {.perplexity = perplexity, .seed = 1};
    double divergence = tp_tsne(numbers("x", N * D), N, D, &options, y, &used);
    assert_true(used == perplexity);
    if (!(divergence <= from_axes && divergence <= from_random))
        fail_msg("KL %.6f was reached, scikit-learn reaches %.6f, and %.6f from random starts", divergence, from_axes,
                 from_random);
    assert_true(tp_tsne(numbers("x", N * D), N, D, &options, again, NULL) == divergence);
    assert_memory_equal(y, again, sizeof y);
    /* the clusters of 20 stay together: each point's nearest neighbour on the plane is of its own */
    for (int i = 0; i < N; i++) {
        int nearest = i == 0;
        for (int j = 0; j < N; j++)
            if (j != i && hypot(y[2 * i] - y[2 * j], y[2 * i + 1] - y[2 * j + 1]) <
                              hypot(y[2 * i] - y[2 * nearest], y[2 * i + 1] - y[2 * nearest + 1]))
                nearest = j;
        assert_int_equal(nearest / 20, i / 20);
    }
}

static void tsne_of_points_that_tell_nothing(void **state) {
    (void)state;
    float equal[20 * 3] = {0}, huge[8 * 2];
    double y[2 * 20], used;
    tp_tsne(equal, 20, 3, &(tp_tsne_options){.perplexity = 30, .steps = 100}, y, &used);
    assert_true(fabs(used - 19.0 / 3) < 1e-12);
    for (int i = 0; i < 40; i++) assert_true(isfinite(y[i]));
    for (int i = 0; i < 16; i++) huge[i] = (float)(i % 5) * 1e18f;
    double divergence = tp_tsne(huge, 8, 2, &(tp_tsne_options){.perplexity = 30, .steps = 100}, y, NULL);
    assert_true(isfinite(divergence));
    for (int i = 0; i < 16; i++) assert_true(isfinite(y[i]));
    for (size_t n = 1; n < 6; n++) { /* hardly any points */
        tp_tsne(huge, n, 2, &(tp_tsne_options){.perplexity = 30, .steps = 100}, y, NULL);
        for (size_t i = 0; i < 2 * n; i++) assert_true(isfinite(y[i]));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pca_agrees_with_numpy),
        cmocka_unit_test(the_farthest_point_lies_on_the_positive_side),
        cmocka_unit_test(pca_of_points_without_directions),
        cmocka_unit_test(affinities_agree_with_scikit_learn),
        cmocka_unit_test(the_gradient_agrees_with_central_differences),
        cmocka_unit_test(tsne_reaches_what_scikit_learn_reaches),
        cmocka_unit_test(tsne_of_points_that_tell_nothing),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
