/* lm/adapter: an untrained adapter changes nothing; a trained one equals the same factors multiplied into the weights;
 * its gradients equal central differences; and it takes part in scoring and generating through the cache. */
#include "check.h"

#include "lm/adapter.h"
#include "lm/generate.h"

#include <math.h>

enum { RANK = 3, N_IDS = 11 };

static const char *const families[] = {"llama2", "qwen3", "phi3", "neox", NULL}; /* apart, with norms, fused twice */
static const int32_t ids[N_IDS] = {5, 17, 30, 2, 49, 7, 7, 61, 12, 40, 3};
static const int64_t offsets[3] = {0, 6, N_IDS};

static tp_lm *load(const char *family) {
    char path[1024];
    snprintf(path, sizeof path, "%s/tests/fixtures/lm/%s", TP_SOURCE_DIR, family);
    tp_lm *lm = tp_lm_load(path, false);
    check_not_null(lm);
    return lm;
}

static tp_adapter *random_adapter(const tp_lm *lm) {
    tp_adapter *adapter = tp_adapter_new(&lm->config, RANK, 2 * RANK);
    for (size_t i = 0; i < adapter->params.n; i++) tp_weight_init_normal(adapter->params.items[i], 3, 0.2);
    return adapter;
}

/* The loss of predicting each next id of two texts, f64 for differences. */
static tp_var *loss_of(tp_tape *tape, const tp_lm *lm, const tp_adapter *adapter) {
    tp_batch batch = {.n_sequences = 2, .offsets = offsets, .adapter = adapter};
    tp_var *x = tp_lm_blocks(tape, lm, tp_lm_embed(tape, lm, ids, N_IDS), &batch, 0, lm->config.n_layers);
    static int32_t targets[N_IDS];
    static float weights[N_IDS];
    for (int i = 0; i < N_IDS; i++) targets[i] = ids[(i + 1) % N_IDS], weights[i] = i != 5 && i != N_IDS - 1;
    return tp_cross_entropy(tape, tp_lm_logits(tape, lm, x), targets, weights, NULL);
}

static double loss_number(const tp_lm *lm, const tp_adapter *adapter) {
    tp_tape *tape = tp_tape_new(TP_MATH_F32);
    tape->frozen = true;
    double loss = loss_of(tape, lm, adapter)->data[0];
    tp_tape_free(tape);
    return loss;
}

static void an_untrained_adapter_changes_nothing(void **state) {
    (void)state;
    for (int f = 0; families[f]; f++) {
        tp_lm *lm = load(families[f]);
        tp_adapter *adapter = tp_adapter_new(&lm->config, RANK, 16);
        assert_int_equal(adapter->params.n, 4 * lm->config.n_layers);
        tp_adapter_init(adapter, 42);
        assert_true(loss_number(lm, adapter) == loss_number(lm, NULL));
        tp_adapter_free(adapter);
        adapter = random_adapter(lm);
        assert_true(fabs(loss_number(lm, adapter) - loss_number(lm, NULL)) > 1e-3);
        tp_adapter_free(adapter);
        tp_lm_free(lm);
    }
}

static void gradients_equal_differences(void **state) {
    (void)state;
    for (int f = 0; families[f]; f++) {
        tp_lm *lm = load(families[f]);
        tp_adapter *adapter = random_adapter(lm);
        tp_tape *tape = tp_tape_new(TP_MATH_F32);
        tp_backward(tape, loss_of(tape, lm, adapter), 1.0f);
        double most = 0;
        for (size_t i = 0; i < adapter->params.n; i++) {
            const tp_weight *w = adapter->params.items[i];
            for (int64_t k = 0; k < w->rows * w->cols; k++) most = fmax(most, fabs((double)w->grad[k]));
        }
        assert_true(most > 1e-3);
        for (size_t i = 0; i < adapter->params.n; i++) {
            const tp_weight *w = adapter->params.items[i];
            float *values = tp_weight_values(w);
            for (int64_t k = 1; k < w->rows * w->cols; k += w->rows * w->cols / 3) {
                const float step = 1e-2f;
                float old = values[k];
                values[k] = old + step;
                double above = loss_number(lm, adapter);
                values[k] = old - step;
                double below = loss_number(lm, adapter);
                values[k] = old;
                double difference = (above - below) / (2 * (double)step);
                if (!(fabs(difference - (double)w->grad[k]) < 2e-3 * most + 2e-4))
                    fail_msg("%s, %s[%lld]: gradient %g, difference %g", families[f], w->name, (long long)k,
                             (double)w->grad[k], difference);
            }
        }
        assert_null(lm->layers[0].o.grad); /* the model stays frozen */
        tp_tape_free(tape);
        tp_adapter_free(adapter);
        tp_lm_free(lm);
    }
}

/* Adds scale * B A to a weight of a model whose weights may be written. */
static void merge(const tp_weight *w, const tp_low_rank *pair, float scale) {
    const float *a = pair->a.data, *b = pair->b.data;
    for (int64_t i = 0; i < w->rows; i++)
        for (int64_t j = 0; j < w->cols; j++) {
            double sum = 0;
            for (int64_t r = 0; r < pair->a.rows; r++)
                sum += (double)b[i * pair->a.rows + r] * (double)a[r * w->cols + j];
            tp_weight_values(w)[i * w->cols + j] += (float)(scale * sum);
        }
}

static void an_adapter_equals_its_product_in_the_weights(void **state) {
    (void)state;
    tp_lm *frozen = load("llama2");
    tp_lm_config config = frozen->config;
    tp_lm_free(frozen);
    config.dtype = TP_F32;
    tp_lm *lm = tp_lm_new(&config, 7, 0.5);
    check_not_null(lm);
    tp_adapter *adapter = random_adapter(lm);
    double beside = loss_number(lm, adapter), without = loss_number(lm, NULL);
    for (int l = 0; l < config.n_layers; l++) {
        merge(&lm->layers[l].q, &adapter->q[l], adapter->scale);
        merge(&lm->layers[l].v, &adapter->v[l], adapter->scale);
    }
    assert_true(fabs(beside - without) > 1e-4);
    assert_true(fabs(loss_number(lm, NULL) - beside) < 1e-5);
    tp_adapter_free(adapter);
    tp_lm_free(lm);
}

static void it_takes_part_in_scoring_and_generating(void **state) {
    (void)state;
    tp_lm *lm = load("mistral");
    tp_adapter *adapter = random_adapter(lm);
    float *rows = tp_alloc((size_t)(N_IDS * lm->config.d_model) * sizeof *rows);
    for (int i = 0; i < N_IDS; i++) tp_lm_embedding_row(lm, ids[i], rows + i * lm->config.d_model);
    tp_prompts prompts = {.rows = rows, .offsets = offsets, .n = 1, .adapter = adapter};
    int32_t tokens[2] = {9, 4};
    tp_ids answer = {tokens, 2, 2}, out = {0};
    double score, wanted = 0;
    check_ok(tp_score_answers(lm, TP_MATH_F32, &prompts, &answer, 1, &score));
    check_ok(tp_generate_greedy(lm, TP_MATH_F32, &prompts, 5, &out));
    /* the same without a cache, id by id */
    tp_tape *tape = tp_tape_new(TP_MATH_F32);
    tape->frozen = true;
    for (int written = 0; written < 2; written++) {
        int32_t all[32];
        memcpy(all, ids, 6 * sizeof *all);
        for (int made = 0; made < (written ? (int)out.len : 2); made++) {
            int64_t n = 6 + made, ends[2] = {0, n};
            tp_batch batch = {.n_sequences = 1, .offsets = ends, .adapter = adapter};
            tp_tape_reset(tape);
            tp_var *x = tp_lm_blocks(tape, lm, tp_lm_embed(tape, lm, all, n), &batch, 0, lm->config.n_layers);
            const float *logits = tp_lm_logits(tape, lm, x)->data + (n - 1) * lm->config.vocab_size;
            double sum = 0;
            for (int v = 0; v < lm->config.vocab_size; v++) sum += exp((double)logits[v]);
            if (written)
                assert_int_equal(out.data[made], tp_greedy_token(lm, logits));
            else
                wanted += (double)logits[tokens[made]] - log(sum);
            all[n] = written ? out.data[made] : tokens[made];
        }
    }
    assert_true(out.len > 0);
    assert_true(fabs(score - wanted) < 1e-4);
    double plain;
    prompts.adapter = NULL;
    check_ok(tp_score_answers(lm, TP_MATH_F32, &prompts, &answer, 1, &plain));
    assert_true(fabs(score - plain) > 1e-3);
    tp_tape_free(tape);
    tp_ids_free(&out);
    tp_free(rows);
    tp_adapter_free(adapter);
    tp_lm_free(lm);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_untrained_adapter_changes_nothing),
        cmocka_unit_test(gradients_equal_differences),
        cmocka_unit_test(an_adapter_equals_its_product_in_the_weights),
        cmocka_unit_test(it_takes_part_in_scoring_and_generating),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
