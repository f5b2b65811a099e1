/* Where the time of a training step goes: bench_train_step [PAIR] [STEPS]
 *
 * For a pair of models (wren -> finch if models/ holds them, or random weights of their shapes; and random bf16 weights
 * of Llama-3.2-1B's shape as sender and receiver) it times each phase of a step with the sender's states cached, counts
 * the matrix products' floating-point operations, and sets them against this machine's own product peak, measured
 * between the rounds of the same run. The median over steps is printed: timings on shared machines are noisy, ratios
 * less so. */
#include "base/clock.h"
#include "bridge/bridge.h"
#include "lm/decoder.h"
#include "median.h"
#include "tensor/kernels.h"
#include "train/optimizer.h"

#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The layout {bos}{primer}{soft} with a primer of four tokens and an answer of two (the last one is a target only). */
enum { BATCH = 16, SOURCE_TOKENS = 24, PREFIX_TOKENS = 5, ANSWER_TOKENS = 2, SOFT_TOKENS = 8 };
enum { ROWS_EACH = SOFT_TOKENS + ANSWER_TOKENS - 1 };

typedef enum { BRIDGE, RECEIVER, LOSS, RECEIVER_BACK, BRIDGE_BACK, OPTIMISER, N_PHASES } phase;
static const char *const phase_names[N_PHASES] = {"bridge forward",    "receiver forward", "head and loss",
                                                  "receiver backward", "bridge backward",  "optimiser"};

/* GFLOP/s of a product of 512 rows with a square frozen weight, in this math. The weight is of the type that the math
 * multiplies, and small enough to be held in the library's own order (tensor/matmul.c): nothing but the product is in
 * the figure. */
static double product_peak(tp_math math) {
    enum { M = 512, N = 1024, K = 1024 };
    static tp_weight weights[2];
    static float *x, *y;
    if (x == NULL) {
        float *wide = tp_alloc((size_t)N * K * sizeof *wide);
        uint16_t *narrow = tp_alloc((size_t)N * K * sizeof *narrow);
        for (int i = 0; i < N * K; i++) wide[i] = 0x1p-7f, narrow[i] = 0x3c00; /* the same number */
        weights[TP_MATH_F32] = (tp_weight){.dtype = TP_F32, .rows = N, .cols = K, .data = wide};
        weights[TP_MATH_BF16] = (tp_weight){.dtype = TP_BF16, .rows = N, .cols = K, .data = narrow};
        x = tp_alloc((size_t)M * K * sizeof *x);
        y = tp_alloc((size_t)M * N * sizeof *y);
    }
    tp_arena *scratch = tp_arena_new();
    double best = 1e30;
    for (int i = 0; i < 8; i++) {
        double start = tp_now();
        tp_matmul(math, scratch, y, x, M, &weights[math]);
        if (tp_now() - start < best) best = tp_now() - start;
    }
    tp_arena_free(scratch);
    return 2.0 * M * N * K / best * 1e-9;
}

/* Floating-point operations of the products with a decoder's matrices, forward, for so many rows, of which the last
 * block computes some only; backward to the input is as many again (no gradient of a frozen weight is computed). */
static double receiver_flops(const tp_lm_config *c, double rows, double wanted) {
    double q = (double)c->n_heads * c->head_dim, kv = (double)c->n_kv_heads * c->head_dim, d = c->d_model;
    double keys = 2 * d * kv, others = 2 * d * q + 3.0 * d * c->d_ff;
    return 2.0 * (rows * (c->n_layers * keys + (c->n_layers - 1) * others) + wanted * others);
}

static double bridge_flops(const tp_bridge_recipe *r, double d_source, double d_target) {
    double w = r->width, context = (double)BATCH * SOURCE_TOKENS, queries = (double)BATCH * r->soft_tokens;
    double block =
        2 * w * w * queries + 2 * w * w * context + 4 * w * w * queries + 2 * r->ffn_multiple * w * w * queries;
    return 2.0 * (context * d_source * w + r->depth * block + queries * w * d_target);
}

typedef struct {
    tp_tape *tape;
    const tp_lm *receiver;
    tp_bridge *bridge;
    tp_adamw *adamw;
    float *states; /* [BATCH * SOURCE_TOKENS, d_source], as the cache gives them */
    int64_t source_offsets[BATCH + 1], offsets[BATCH + 1], wanted[BATCH + 1];
    int32_t prefix_ids[PREFIX_TOKENS], ids[BATCH * ANSWER_TOKENS];
    tp_prefix *prefix;
} setting;

/* One step; phases end where their times are taken. Backward is split where the gradient reaches the soft tokens: the
 * receiver runs on a leaf, and the bridge goes on from that leaf's gradient. */
static void step(setting *s, double times[N_PHASES]) {
    tp_tape *tape = s->tape;
    tp_tape_reset(tape);
    double t0 = tp_now();
    tp_var *hidden = tp_var_wrap(tape, s->states, BATCH * SOURCE_TOKENS, s->bridge->d_source);
    tp_var *soft = tp_bridge_forward(tape, s->bridge, hidden, s->source_offsets, BATCH);
    tp_node *bridge_nodes = tape->last;
    tape->last = NULL;
    double t1 = tp_now();
    tp_var *leaf = tp_var_leaf(tape, soft->data, soft->rows, soft->cols);
    tp_row_ref rows[BATCH * ROWS_EACH];
    int n = 0;
    for (int b = 0; b < BATCH; b++) {
        for (int i = 0; i < SOFT_TOKENS; i++) rows[n++] = (tp_row_ref){1, b * SOFT_TOKENS + i};
        for (int i = 0; i < ANSWER_TOKENS - 1; i++) rows[n++] = (tp_row_ref){0, b * ANSWER_TOKENS + i};
    }
    tp_var *embedded = tp_lm_embed(tape, s->receiver, s->ids, BATCH * ANSWER_TOKENS);
    tp_var *x = tp_gather(tape, (tp_var *[2]){embedded, leaf}, 2, rows, n);
    tp_batch batch = {.n_sequences = BATCH, .offsets = s->offsets, .prefix = s->prefix, .wanted = s->wanted};
    x = tp_lm_blocks(tape, s->receiver, x, &batch, 0, s->receiver->config.n_layers);
    double t2 = tp_now();
    tp_var *loss = tp_cross_entropy(tape, tp_lm_logits(tape, s->receiver, x), s->ids, NULL, NULL);
    double t3 = tp_now();
    tp_backward(tape, loss, 1.0f);
    double t4 = tp_now();
    tape->last = bridge_nodes;
    memcpy(tp_var_grad(tape, soft), leaf->grad, (size_t)(soft->rows * soft->cols) * sizeof(float));
    tp_var nothing = {.wants_grad = true, .data = (float[1]){0}, .grad = (float[1]){0}};
    tp_backward(tape, &nothing, 0.0f);
    double t5 = tp_now();
    tp_adamw_step(s->adamw, 1e-4, 1.0);
    double marks[N_PHASES + 1] = {t0, t1, t2, t3, t4, t5, tp_now()};
    for (int p = 0; p < N_PHASES; p++) times[p] = marks[p + 1] - marks[p];
}

/* The receiver's forward pass of the whole layout alone, every row in every layer, nothing recorded: what a step is
 * compared with. */
static double forward_alone(setting *s) {
    enum { ALL = PREFIX_TOKENS + ROWS_EACH };
    tp_tape_reset(s->tape);
    s->tape->frozen = true;
    tp_var *x = tp_var_new(s->tape, BATCH * ALL, s->receiver->config.d_model);
    memset(x->data, 0, (size_t)(x->rows * x->cols) * sizeof(float));
    int64_t offsets[BATCH + 1];
    for (int i = 0; i <= BATCH; i++) offsets[i] = i * ALL;
    double start = tp_now();
    tp_lm_blocks(s->tape, s->receiver, x, &(tp_batch){.n_sequences = BATCH, .offsets = offsets}, 0,
                 s->receiver->config.n_layers);
    double time = tp_now() - start;
    s->tape->frozen = false;
    return time;
}

static void measure(const char *name, const tp_lm_config *sender, const tp_lm *receiver, int steps) {
    tp_recipe *recipe = tp_recipe_from_json(json_object(), "bench");
    recipe->bridge.soft_tokens = SOFT_TOKENS;
    setting s = {.receiver = receiver};
    s.bridge = tp_bridge_new(&recipe->bridge, sender->d_model, receiver->config.d_model, NULL, 1);
    s.adamw =
        tp_adamw_new(&s.bridge->params, &(tp_adamw_options){.beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .clip = 1});
    s.states = tp_alloc((size_t)(BATCH * SOURCE_TOKENS * sender->d_model) * sizeof(float));
    tp_rng rng = tp_rng_stream(1, "bench states", 0);
    tp_rng_fill_normal(&rng, s.states, (size_t)(BATCH * SOURCE_TOKENS * sender->d_model), 1);
    for (int i = 0; i <= BATCH; i++)
        s.source_offsets[i] = i * SOURCE_TOKENS, s.offsets[i] = i * ROWS_EACH, s.wanted[i] = i * ANSWER_TOKENS;
    for (int i = 0; i < PREFIX_TOKENS; i++)
        s.prefix_ids[i] = (int32_t)tp_rng_below(&rng, (uint64_t)receiver->config.vocab_size);
    for (int i = 0; i < BATCH * ANSWER_TOKENS; i++)
        s.ids[i] = (int32_t)tp_rng_below(&rng, (uint64_t)receiver->config.vocab_size);

    double rows = BATCH * ROWS_EACH, targets = BATCH * ANSWER_TOKENS;
    double body = receiver_flops(&receiver->config, rows, targets),
           head = targets * 2.0 * receiver->config.d_model * receiver->config.vocab_size;
    double bridge = bridge_flops(&s.bridge->recipe, (double)sender->d_model, receiver->config.d_model);
    double flops[N_PHASES] = {bridge, body, head, body + head, 2 * bridge, 0};
    for (int math = TP_MATH_F32; math <= TP_MATH_BF16; math++) {
        double(*times)[N_PHASES] = calloc((size_t)steps, sizeof *times),
        *values = calloc((size_t)steps, sizeof *values);
        double *peaks = calloc((size_t)steps, sizeof *peaks), *alone = calloc((size_t)steps, sizeof *alone);
        s.tape = tp_tape_new((tp_math)math);
        s.prefix = tp_prefix_new(receiver, (tp_math)math, s.prefix_ids, PREFIX_TOKENS);
        double warm_up[N_PHASES];
        step(&s, warm_up);
        for (int i = 0; i < steps; i++) {
            step(&s, times[i]);
            alone[i] = forward_alone(&s);
            peaks[i] = product_peak((tp_math)math);
        }
        double peak = median(peaks, steps), total = 0, total_flops = 0, bridge_time = 0;
        printf("%s, %s products, %d threads, %d x %d receiver rows behind %d that are read once; peak of this run %.0f "
               "GFLOP/s\n",
               name, math == TP_MATH_F32 ? "f32" : "bf16", omp_get_max_threads(), BATCH, ROWS_EACH, PREFIX_TOKENS,
               peak);
        printf("  %-20s %10s %10s %8s\n", "phase", "ms", "GFLOP/s", "of peak");
        for (int p = 0; p < N_PHASES; p++) {
            for (int i = 0; i < steps; i++) values[i] = times[i][p];
            double time = median(values, steps), rate = flops[p] / time * 1e-9;
            if (flops[p] > 0)
                printf("  %-20s %10.2f %10.1f %7.0f%%\n", phase_names[p], 1e3 * time, rate, 100 * rate / peak);
            else
                printf("  %-20s %10.2f %10s %8s\n", phase_names[p], 1e3 * time, "-", "-");
            total += time;
            total_flops += flops[p];
            if (p == BRIDGE || p == BRIDGE_BACK || p == OPTIMISER) bridge_time += time;
        }
        double forward = median(alone, steps);
        printf("  %-20s %10.2f %10.1f %7.0f%%\n", "whole step", 1e3 * total, total_flops / total * 1e-9,
               100 * total_flops / total * 1e-9 / peak);
        printf(
            "  the receiver's plain forward of all tokens: %.2f ms; the step without the bridge is %.2f times that\n\n",
            1e3 * forward, (total - bridge_time) / forward);
        tp_tape_free(s.tape);
        tp_prefix_free(s.prefix);
        free(times), free(values), free(peaks), free(alone);
    }
    tp_adamw_free(s.adamw);
    tp_bridge_free(s.bridge);
    tp_recipe_free(recipe);
    tp_free(s.states);
}

int main(int argc, char **argv) {
    const char *pair = argc > 1 ? argv[1] : "all";
    int steps = argc > 2 ? atoi(argv[2]) : 0;
    tp_lm_config wren, finch;
    if (tp_lm_config_read_file("recipes/pretrain/wren.json", &wren) != TP_OK ||
        tp_lm_config_read_file("recipes/pretrain/finch.json", &finch) != TP_OK) {
        fprintf(stderr, "%s (run this from the repository's root)\n", tp_last_error());
        return 1;
    }
    printf("kernels: %s\n\n", tp_cpu()->name);
    if (strcmp(pair, "1b") != 0) {
        tp_lm *receiver = tp_lm_new_frozen(&finch, 1, TP_BF16);
        measure("wren -> finch shapes", &wren, receiver, steps > 0 ? steps : 30);
        tp_lm_free(receiver);
    }
    if (strcmp(pair, "small") != 0) {
        tp_lm_config c = {.family = TP_LM_LLAMA,
                          .vocab_size = 128256,
                          .d_model = 2048,
                          .n_layers = 16,
                          .n_heads = 32,
                          .n_kv_heads = 8,
                          .head_dim = 64,
                          .d_ff = 8192,
                          .norm_eps = 1e-5,
                          .rope_theta = 500000,
                          .max_position_embeddings = 131072,
                          .tie_word_embeddings = true};
        tp_lm *receiver = tp_lm_new_frozen(&c, 1, TP_BF16);
        measure("Llama-3.2-1B shapes", &c, receiver, steps > 0 ? steps : 5);
        tp_lm_free(receiver);
    }
    return 0;
}
