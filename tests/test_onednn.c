/* tensor/cpu/onednn: every form of the product against a naive one. bf16 runs only where the processor has it; what
 * differs from f32 there is one enum. */
#include "check.h"

#include "base/half.h"
#include "base/rng.h"
#include "tensor/cpu/onednn.h"

#include <math.h>

static void check_product(tp_product p, bool pack) {
    float *a = malloc((size_t)(p.m * p.k) * 4), *b = malloc((size_t)(p.k * p.n) * 4),
          *c = malloc((size_t)(p.m * p.n) * 4);
    float *wanted = malloc((size_t)(p.m * p.n) * 4);
    uint16_t *a16 = malloc((size_t)(p.m * p.k) * 2), *b16 = malloc((size_t)(p.k * p.n) * 2);
    tp_rng rng = tp_rng_stream(3, "product", 0);
    tp_rng_fill_normal(&rng, a, (size_t)(p.m * p.k), 1);
    tp_rng_fill_normal(&rng, b, (size_t)(p.k * p.n), 1);
    tp_rng_fill_normal(&rng, c, (size_t)(p.m * p.n), 1);
    for (int64_t i = 0; i < p.m * p.k; i++) a[i] = tp_bf16_to_f32(a16[i] = tp_f32_to_bf16(a[i]));
    for (int64_t i = 0; i < p.k * p.n; i++) b[i] = tp_bf16_to_f32(b16[i] = tp_f32_to_bf16(b[i]));
    for (int64_t i = 0; i < p.m; i++)
        for (int64_t j = 0; j < p.n; j++) {
            double sum = p.accumulate ? c[i * p.n + j] : 0;
            for (int64_t l = 0; l < p.k; l++)
                sum += (double)a[p.a_transposed ? l * p.m + i : i * p.k + l] *
                       b[p.b_transposed ? j * p.k + l : l * p.n + j];
            wanted[i * p.n + j] = (float)sum;
        }
    const void *left = p.bf16 ? (void *)a16 : (void *)a, *right = p.bf16 ? (void *)b16 : (void *)b;
    void *packed = pack ? tp_onednn_pack(&p, right) : NULL;
    p.b_packed = packed != NULL;
    assert_true(tp_onednn_product(&p, left, packed ? packed : right, c));
    for (int64_t i = 0; i < p.m * p.n; i++)
        assert_true(fabs(c[i] - wanted[i]) <= 1e-5 * sqrt((double)p.k) + 1e-5 * fabs(wanted[i]));
    free(packed);
    free(a), free(b), free(c), free(wanted), free(a16), free(b16);
}

static void check_all(bool bf16) {
    static const int64_t shapes[][3] = {{1, 1, 1},      {5, 7, 3},     {32, 64, 48},
                                        {33, 100, 257}, {512, 96, 64}, {64, 16, 128}};
    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++)
        for (int form = 0; form < 16; form++)
            check_product((tp_product){.m = shapes[s][0],
                                       .n = shapes[s][1],
                                       .k = shapes[s][2],
                                       .bf16 = bf16,
                                       .a_transposed = form & 1,
                                       .b_transposed = form >> 1 & 1,
                                       .accumulate = form >> 2 & 1},
                          form >> 3 & 1);
}

static void f32_products_match_a_naive_one(void **state) {
    (void)state;
    check_all(false);
}

static void bf16_products_match_a_naive_one(void **state) {
    (void)state;
    if (!tp_onednn_has_bf16()) {
        fprintf(stderr, "SKIPPED: this processor has no bf16 products in oneDNN, %s did not run\n", __func__);
        skip();
    }
    check_all(true);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(f32_products_match_a_naive_one),
        cmocka_unit_test(bf16_products_match_a_naive_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
