/* tp_embedder: the vectors of a decoder are the means of its last hidden states (those of encoders are compared with
 * their reference in test_encoder.c), and wrong arguments give sentences. */
#include "check.h"

#include <math.h>

#define WREN TP_SOURCE_DIR "/models/wren"
enum { WIDTH = 256 };

/* A decoder's vector is the mean of its last hidden states. */
static void texts_become_vectors(void **state) {
    (void)state;
    tp_embedder *embedder = tp_embedder_load(WREN);
    check_not_null(embedder);
    tp_engine *engine = tp_engine_load(WREN, TP_ENGINE_F32);
    check_not_null(engine);
    assert_int_equal(tp_embedder_width(embedder), WIDTH);
    const char *const texts[2] = {"I saw cat there.", "seven"};
    float out[2][WIDTH], states[64][WIDTH];
    check_ok(tp_embedder_embed(embedder, texts, 2, out[0]));
    int32_t last = tp_engine_get_facts(engine)->n_layers;
    for (int t = 0; t < 2; t++) {
        tp_input input = {0};
        input.ids = tp_engine_tokenize(engine, texts[t], strlen(texts[t]), TP_TOKENS_ADD_SPECIAL, &input.n);
        check_not_null(input.ids);
        assert_true(input.n < 64);
        check_ok(tp_engine_states(engine, &input, 1, &last, 1, states[0]));
        float mean[WIDTH];
        for (int j = 0; j < WIDTH; j++) {
            double sum = 0;
            for (int64_t i = 0; i < input.n; i++) sum += states[i][j];
            mean[j] = (float)(sum / (double)input.n);
        }
        for (int j = 0; j < WIDTH; j++) assert_true(fabsf(out[t][j] - mean[j]) < 1e-4f * 30);
        tp_free((void *)(uintptr_t)input.ids);
    }
    assert_int_equal(tp_embedder_embed(NULL, texts, 2, out[0]), TP_ERR_ARGUMENT);
    assert_int_equal(tp_embedder_embed(embedder, (const char *const[]){NULL}, 1, out[0]), TP_ERR_ARGUMENT);
    assert_int_equal(tp_embedder_embed(embedder, texts, -1, out[0]), TP_ERR_ARGUMENT);
    assert_int_equal(tp_embedder_width(NULL), -1);
    assert_null(tp_embedder_load(NULL));
    assert_null(tp_embedder_load(TP_SOURCE_DIR "/tests")); /* no model lies there */
    tp_engine_free(engine);
    tp_embedder_free(embedder);
    tp_embedder_free(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(texts_become_vectors)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
