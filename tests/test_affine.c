/* tensor/affine: principal components and ridge regression against NumPy and scikit-learn
 * (tests/fixtures/affine.json), and what they refuse. */
#include "check.h"

#include "base/json.h"
#include "base/mem.h"
#include "tensor/affine.h"

#include <math.h>

typedef struct problem {
    json_t *json;
    size_t n, d;
    float *x, *y; /* [n, d], [n, 3] */
} problem;

static float *rows_of(json_t *rows, size_t n, size_t d) {
    float *out = tp_alloc(n * d * sizeof *out);
    assert_int_equal(json_array_size(rows), n);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(json_array_size(json_array_get(rows, i)), d);
        for (size_t k = 0; k < d; k++)
            out[i * d + k] = (float)json_number_value(json_array_get(json_array_get(rows, i), k));
    }
    return out;
}

static problem load(json_t *all, const char *name) {
    problem p = {.json = json_object_get(all, name)};
    p.n = (size_t)json_integer_value(json_object_get(p.json, "n"));
    p.d = (size_t)json_integer_value(json_object_get(p.json, "d"));
    p.x = rows_of(json_object_get(p.json, "x"), p.n, p.d);
    p.y = rows_of(json_object_get(p.json, "y"), p.n, 3);
    return p;
}

static void check_near(const char *what, const float *found, const float *expected, size_t n, double tolerance) {
    double most = 0;
    for (size_t i = 0; i < n; i++) most = fmax(most, fabs((double)expected[i]));
    for (size_t i = 0; i < n; i++)
        if (!(fabs((double)found[i] - (double)expected[i]) <= tolerance * most))
            fail_msg("%s: number %zu is %.9g, expected %.9g", what, i, (double)found[i], (double)expected[i]);
}

static void check_components(const char *name, const problem *p) {
    json_t *pca = json_object_get(p->json, "pca"), *held = json_object_get(pca, "held");
    size_t k = json_array_size(held);
    float *expected = rows_of(json_object_get(pca, "coordinates"), p->n, k),
          *found = tp_alloc(p->n * k * sizeof *found);
    tp_affine map;
    double share;
    check_ok(tp_pca_fit(p->x, p->n, p->d, 1, k, &map, &share));
    assert_int_equal(map.d_out, k);
    assert_true(fabs(share - json_number_value(json_array_get(held, k - 1))) < 1e-5);
    tp_affine_apply(&map, p->x, p->n, found);
    check_near(name, found, expected, p->n * k, 1e-4);
    tp_affine_free(&map);
    /* no more of them than hold the share asked for */
    double wanted = json_number_value(json_array_get(held, 1)) - 1e-4;
    check_ok(tp_pca_fit(p->x, p->n, p->d, wanted, 100, &map, &share));
    assert_int_equal(map.d_out, 2);
    assert_true(fabs(share - wanted - 1e-4) < 1e-5);
    tp_affine_free(&map);
    tp_free(expected);
    tp_free(found);
}

static void check_ridge(const char *name, const problem *p) {
    tp_ridge *ridge = tp_ridge_new(p->x, p->y, p->n, p->d, 3);
    check_not_null(ridge);
    float *found = tp_alloc(p->n * 3 * sizeof *found);
    size_t i;
    json_t *c;
    json_array_foreach(json_object_get(p->json, "ridge"), i, c) {
        float *expected = rows_of(json_object_get(c, "found"), p->n, 3);
        tp_affine map;
        check_ok(tp_ridge_solve(ridge, json_number_value(json_object_get(c, "penalty")), &map));
        tp_affine_apply(&map, p->x, p->n, found);
        check_near(name, found, expected, p->n * 3, 2e-5);
        tp_affine_free(&map);
        tp_free(expected);
    }
    assert_int_equal(i, 3);
    tp_free(found);
    tp_ridge_free(ridge);
}

static void maps_agree_with_numpy(void **state) {
    (void)state;
    json_t *all = tp_json_load_file(TP_SOURCE_DIR "/tests/fixtures/affine.json");
    check_not_null(all);
    static const char *const names[] = {"tall", "wide"};
    for (int i = 0; i < 2; i++) {
        problem p = load(all, names[i]);
        check_components(names[i], &p);
        check_ridge(names[i], &p);
        tp_free(p.x);
        tp_free(p.y);
    }
    json_decref(all);
}

/* More rows than one block of sums holds: the answer to an exact linear problem is that line. */
static void many_rows_are_summed_in_blocks(void **state) {
    (void)state;
    enum { N = 5000 };
    float *x = tp_alloc(N * 2 * sizeof *x), *y = tp_alloc(N * sizeof *y), out[2];
    for (int i = 0; i < N; i++) {
        x[2 * i] = (float)(i % 97) / 97, x[2 * i + 1] = (float)(i % 31) / 31;
        y[i] = 3 * x[2 * i] - 2 * x[2 * i + 1] + 7;
    }
    tp_ridge *ridge = tp_ridge_new(x, y, N, 2, 1);
    check_not_null(ridge);
    tp_affine map;
    check_ok(tp_ridge_solve(ridge, 1e-9, &map));
    tp_affine_apply(&map, (const float[]){0, 0, 1, 1}, 2, out);
    assert_true(fabsf(out[0] - 7) < 1e-4f && fabsf(out[1] - 8) < 1e-4f);
    tp_affine_free(&map);
    tp_ridge_free(ridge);
    tp_free(x);
    tp_free(y);
}

static void what_has_no_answer_is_refused(void **state) {
    (void)state;
    float same[6] = {1, 2, 1, 2, 1, 2}, broken[6] = {1, 2, NAN, 4, 5, 6}, y[3] = {1, 2, 3};
    tp_affine map;
    assert_int_equal(tp_pca_fit(same, 3, 2, 1, 2, &map, NULL), TP_ERR_ARGUMENT);
    assert_non_null(strstr(tp_last_error(), "3 equal rows have no principal components"));
    assert_int_equal(tp_pca_fit(broken, 3, 2, 1, 2, &map, NULL), TP_ERR_ARGUMENT);
    assert_non_null(strstr(tp_last_error(), "not finite"));
    assert_null(tp_ridge_new(broken, y, 3, 2, 1));
    assert_non_null(strstr(tp_last_error(), "column 0 of the inputs"));
    assert_null(tp_ridge_new(same, y, 0, 2, 1));
    tp_ridge *ridge = tp_ridge_new(same, y, 3, 2, 1); /* inputs that do not vary say nothing about the outputs */
    check_not_null(ridge);
    assert_int_equal(tp_ridge_solve(ridge, 0.1, &map), TP_ERR_ARGUMENT);
    assert_non_null(strstr(tp_last_error(), "no solution"));
    tp_ridge_free(ridge);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(maps_agree_with_numpy),
        cmocka_unit_test(many_rows_are_summed_in_blocks),
        cmocka_unit_test(what_has_no_answer_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
