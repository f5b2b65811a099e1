/* Losses and the optimiser against PyTorch: tests/fixtures/bridge/losses.safetensors, made by
 * tools/reference/op_reference.py in double precision. What is left is the rounding of our f32. */
#include "compare.h"

#include "autograd/ops.h"
#include "lm/safetensors.h"
#include "tensor/kernels.h"

#include <math.h>

static tp_safetensors *file;

/* A fixture's numbers; their count in *n. */
static const void *fixture(const char *name, tp_dtype dtype, int64_t *n) {
    const tp_st_tensor *tensor = tp_safetensors_find(file, name);
    check_not_null(tensor);
    assert_int_equal(tensor->dtype, dtype);
    *n = 1;
    for (int i = 0; i < tensor->n_dims; i++) *n *= tensor->shape[i];
    return tensor->data;
}

static void check_like(const char *name, const float *found, int64_t n, double tolerance) {
    int64_t n_expected;
    const float *expected = fixture(name, TP_F32, &n_expected);
    assert_int_equal(n, n_expected);
    double most = 0;
    for (int64_t i = 0; i < n; i++) most = fmax(most, fabs(expected[i]));
    for (int64_t i = 0; i < n; i++)
        if (!(fabs((double)found[i] - expected[i]) <= tolerance * most))
            fail_msg("%s[%lld] is %.9g, expected %.9g", name, (long long)i, found[i], expected[i]);
}

static void cross_entropy_is_pytorchs(void **state) {
    (void)state;
    int64_t n_logits, n;
    const float *logits = fixture("xent.logits", TP_F32, &n_logits);
    const int32_t *targets = fixture("xent.targets", TP_I32, &n);
    const float *weights = fixture("xent.weights", TP_F32, &n);
    tp_tape *tape = tp_tape_new(TP_MATH_F32);
    tp_var *x = tp_var_leaf(tape, logits, n, n_logits / n);
    tp_var *loss = tp_cross_entropy(tape, x, targets, weights, NULL);
    tp_backward(tape, loss, 1);
    check_like("xent.loss", loss->data, 1, 1e-6);
    check_like("xent.grad", x->grad, n_logits, 1e-6);
    tp_tape_free(tape);
}

static void diversity_is_the_mean_cosine_of_flattened_tokens(void **state) {
    (void)state;
    const tp_st_tensor *tokens = tp_safetensors_find(file, "diversity.soft_tokens");
    check_not_null(tokens);
    int64_t n, examples = tokens->shape[0];
    const float *data = fixture("diversity.soft_tokens", TP_F32, &n);
    tp_tape *tape = tp_tape_new(TP_MATH_F32);
    tp_var *x = tp_var_leaf(tape, data, n / tokens->shape[2], tokens->shape[2]); /* one token a row */
    tp_var *loss = tp_mean_cosine(tape, tp_reshape(tape, x, examples, n / examples));
    tp_backward(tape, loss, 1);
    check_like("diversity.loss", loss->data, 1, 1e-6);
    check_like("diversity.grad", x->grad, n, 1e-6);
    tp_tape_free(tape);
}

static void adamw_walks_as_pytorchs_does(void **state) {
    (void)state;
    const char *const names[] = {"scalar", "avx2", "avx512"};
    const double lr = 0.02, beta1 = 0.9, beta2 = 0.999, eps = 1e-8, decay = 0.1; /* the file's `constants` */
    assert_non_null(strstr(tp_safetensors_metadata(file, "constants"),
                           "{\"lr\": 0.02, \"betas\": [0.9, 0.999], \"eps\": 1e-08, \"weight_decay\": 0.1}"));
    int64_t n, all;
    const float *start = fixture("adamw.param", TP_F32, &n), *grads = fixture("adamw.grads", TP_F32, &all);
    for (int t = 0; t < 3; t++) {
        const tp_kernels *k = tp_cpu_named(names[t]);
        if (k == NULL) continue;
        float *w = malloc((size_t)all * 3 * sizeof *w), *m = w + all, *v = m + all; /* the states after each step */
        for (int64_t step = 0; step < all / n; step++) {
            for (int64_t i = step * n; i < (step + 1) * n; i++) {
                w[i] = step ? w[i - n] : start[i];
                m[i] = step ? m[i - n] : 0;
                v[i] = step ? v[i - n] : 0;
            }
            k->adamw(w + step * n, m + step * n, v + step * n, grads + step * n, 1,
                     (float)(lr / (1 - pow(beta1, (double)step + 1))), (float)(1 - lr * decay), (float)beta1,
                     (float)beta2, (float)eps, (float)(1 / sqrt(1 - pow(beta2, (double)step + 1))), n);
        }
        check_like("adamw.params", w, all, 1e-6);
        check_like("adamw.m", m, all, 1e-6);
        check_like("adamw.v", v, all, 2e-5); /* 1 - beta2 = 0.001 is known to f32 beside 1 only */
        free(w);
    }
}

static int open_fixture(void **state) {
    (void)state;
    file = compare_open("bridge/losses.safetensors");
    return file ? 0 : -1;
}

static int close_fixture(void **state) {
    (void)state;
    tp_safetensors_close(file);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cross_entropy_is_pytorchs),
        cmocka_unit_test(diversity_is_the_mean_cosine_of_flattened_tokens),
        cmocka_unit_test(adamw_walks_as_pytorchs_does),
    };
    return cmocka_run_group_tests(tests, open_fixture, close_fixture);
}
