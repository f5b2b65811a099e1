/* Softmax attention over ragged batches: causal, sliding-window, cross, grouped heads; forward and backward.
 *
 * No mask is ever made: each query knows the range of keys it sees (visible()). Work is cut into (sequence, key head)
 * items; within one, query rows go in blocks, whose scores against the block's key range live in a small scratch. Only
 * each row's log-sum-exp is kept for the backward pass, which computes the probabilities again (Dao et al. 2022,
 * FlashAttention, without its tiling over keys: a range of some thousand keys fits the second-level cache). */
#include "autograd/ops.h"
#include "tensor/kernels.h"

#include <assert.h>
#include <math.h>
#include <omp.h>
#include <string.h>

enum { BLOCK = 32, PAD = 16 }; /* query rows in a block; key ranges are padded to whole vectors */

typedef struct {
    tp_attention_spec spec;
    const int64_t *q_offsets;         /* [n_sequences + 1] */
    const int64_t *k_begins, *k_ends; /* [n_sequences] */
    int64_t n_sequences;
    float *log_sum; /* [nq, n_heads]: max + log of the row's sum of exponentials; -INFINITY for a row without keys */
} attention;

typedef struct {
    int64_t from, to; /* keys of the sequence, from .. to - 1 */
} range;

/* The keys that query i (of n_q, with n_k keys) sees. */
static range visible(const tp_attention_spec *spec, int64_t i, int64_t n_q, int64_t n_k) {
    if (!spec->causal) return (range){0, n_k};
    int64_t place = n_k - n_q + i; /* the last query stands at the last key */
    if (place < 0) return (range){0, 0};
    int64_t from = spec->window > 0 && place + 1 > spec->window ? place + 1 - spec->window : 0;
    return (range){from, place + 1};
}

static int64_t padded(int64_t n) {
    return (n + PAD - 1) / PAD * PAD;
}

/* The longest key sequence decides the scratch of one thread. */
static int64_t longest(const int64_t *begins, const int64_t *ends, int64_t n) {
    int64_t most = 0;
    for (int64_t s = 0; s < n; s++)
        if (ends[s] - begins[s] > most) most = ends[s] - begins[s];
    return most;
}

/* Keys (or values) of one head turned: out[d, n padded with zeros], so that scores are rows times a matrix. */
static void transpose(const float *in, int64_t stride, int64_t n, int64_t d, float *out) {
    int64_t width = padded(n);
    for (int64_t j = 0; j < d; j++) {
        for (int64_t i = 0; i < n; i++) out[j * width + i] = in[i * stride + j];
        for (int64_t i = n; i < width; i++) out[j * width + i] = 0;
    }
}

/* One (sequence, key head): where its rows are. */
typedef struct {
    int64_t q0, n_q, k0, n_k; /* rows */
    int64_t q_stride, k_stride;
    int64_t d;
    int first_head, heads; /* the query heads that share this key head */
} item;

static item item_of(const attention *a, int64_t index) {
    const tp_attention_spec *p = &a->spec;
    int64_t s = index / p->n_kv_heads;
    int group = p->n_heads / p->n_kv_heads, kv = (int)(index % p->n_kv_heads);
    return (item){.q0 = a->q_offsets[s],
                  .n_q = a->q_offsets[s + 1] - a->q_offsets[s],
                  .k0 = a->k_begins[s],
                  .n_k = a->k_ends[s] - a->k_begins[s],
                  .q_stride = (int64_t)p->n_heads * p->head_dim,
                  .k_stride = (int64_t)p->n_kv_heads * p->head_dim,
                  .d = p->head_dim,
                  .first_head = kv * group,
                  .heads = group};
}

/* The union of the key ranges of query rows i0 .. i0 + rows - 1, starting at a whole vector. */
static range block_range(const attention *a, const item *t, int64_t i0, int64_t rows) {
    range first = visible(&a->spec, i0, t->n_q, t->n_k), last = visible(&a->spec, i0 + rows - 1, t->n_q, t->n_k);
    return (range){first.from / PAD * PAD, last.to};
}

/* scores[rows, width] = scale * Q K^T for the block; width = padded length of the range. */
static int64_t block_scores(const attention *a, const item *t, const float *q, const float *turned, int64_t rows,
                            range keys, float *scores) {
    int64_t width = padded(keys.to - keys.from);
    memset(scores, 0, (size_t)(rows * width) * sizeof(float));
    tp_cpu()->gemm(rows, width, t->d, q, t->q_stride, turned + keys.from, padded(t->n_k), scores, width);
    for (int64_t i = 0; i < rows * width; i++) scores[i] *= a->spec.scale;
    return width;
}

/* Scores of one row become exp(score - shift) where visible and 0 elsewhere; returns their sum. */
static float exponentials(const attention *a, const item *t, int64_t i, range keys, float *row, int64_t width,
                          float shift) {
    range seen = visible(&a->spec, i, t->n_q, t->n_k);
    int64_t from = seen.from - keys.from, to = seen.to - keys.from;
    for (int64_t j = 0; j < from; j++) row[j] = 0;
    for (int64_t j = to; j < width; j++) row[j] = 0;
    return tp_cpu()->exp_sum(row + from, shift, to - from);
}

static void forward_item(const attention *a, int64_t index, const float *q, const float *k, const float *v, float *out,
                         float *scratch) {
    item t = item_of(a, index);
    if (t.n_q == 0) return;
    const tp_kernels *cpu = tp_cpu();
    int64_t kv = (int64_t)(t.first_head / t.heads) * t.d;
    float *turned = scratch, *scores = scratch + t.d * padded(t.n_k);
    transpose(k + t.k0 * t.k_stride + kv, t.k_stride, t.n_k, t.d, turned);
    for (int h = t.first_head; h < t.first_head + t.heads; h++)
        for (int64_t i0 = 0; i0 < t.n_q; i0 += BLOCK) {
            int64_t rows = t.n_q - i0 < BLOCK ? t.n_q - i0 : BLOCK;
            range keys = block_range(a, &t, i0, rows);
            const float *qb = q + (t.q0 + i0) * t.q_stride + h * t.d;
            float *ob = out + (t.q0 + i0) * t.q_stride + h * t.d;
            for (int64_t i = 0; i < rows; i++) memset(ob + i * t.q_stride, 0, (size_t)t.d * sizeof(float));
            int64_t width = block_scores(a, &t, qb, turned, rows, keys, scores);
            for (int64_t i = 0; i < rows; i++) {
                float *log_sum = a->log_sum + (t.q0 + i0 + i) * a->spec.n_heads + h, *row = scores + i * width;
                range seen = visible(&a->spec, i0 + i, t.n_q, t.n_k);
                if (seen.from >= seen.to) {
                    memset(row, 0, (size_t)width * sizeof(float));
                    *log_sum = -INFINITY;
                    continue;
                }
                float most = cpu->max(row + seen.from - keys.from, seen.to - seen.from);
                float sum = exponentials(a, &t, i0 + i, keys, row, width, most);
                for (int64_t j = 0; j < width; j++) row[j] /= sum;
                *log_sum = most + logf(sum);
            }
            cpu->gemm(rows, t.d, keys.to - keys.from, scores, width, v + (t.k0 + keys.from) * t.k_stride + kv,
                      t.k_stride, ob, t.q_stride);
        }
}

/* With P the probabilities, O = P V:  dV = P^T dO,  dS = P (dO V^T - rowsum(dO O)),  dQ = scale dS K,  dK = scale dS^T
 * Q. */
static void backward_item(const attention *a, int64_t index, const tp_node *node, float *dq, float *dk, float *dv,
                          float *scratch) {
    item t = item_of(a, index);
    if (t.n_q == 0 || t.n_k == 0) return;
    const tp_kernels *cpu = tp_cpu();
    int64_t kv = (int64_t)(t.first_head / t.heads) * t.d, all = padded(t.n_k);
    const float *q = node->in[0]->data, *k = node->in[1]->data + t.k0 * t.k_stride + kv;
    const float *v = node->in[2]->data + t.k0 * t.k_stride + kv;
    float *k_turned = scratch, *v_turned = k_turned + t.d * all, *p = v_turned + t.d * all, *ds = p + BLOCK * all;
    transpose(k, t.k_stride, t.n_k, t.d, k_turned);
    transpose(v, t.k_stride, t.n_k, t.d, v_turned);
    for (int h = t.first_head; h < t.first_head + t.heads; h++)
        for (int64_t i0 = 0; i0 < t.n_q; i0 += BLOCK) {
            int64_t rows = t.n_q - i0 < BLOCK ? t.n_q - i0 : BLOCK;
            range keys = block_range(a, &t, i0, rows);
            int64_t n_keys = keys.to - keys.from, at = (t.q0 + i0) * t.q_stride + h * t.d;
            if (n_keys <= 0) continue;
            int64_t width = block_scores(a, &t, q + at, k_turned, rows, keys, p);
            memset(ds, 0, (size_t)(rows * width) * sizeof(float));
            cpu->gemm(rows, width, t.d, node->out->grad + at, t.q_stride, v_turned + keys.from, all, ds, width);
            for (int64_t i = 0; i < rows; i++) {
                float log_sum = a->log_sum[(t.q0 + i0 + i) * a->spec.n_heads + h];
                float *pi = p + i * width, *dsi = ds + i * width;
                if (log_sum == -INFINITY) {
                    memset(pi, 0, (size_t)width * sizeof(float));
                    memset(dsi, 0, (size_t)width * sizeof(float));
                    continue;
                }
                exponentials(a, &t, i0 + i, keys, pi, width, log_sum);
                float both =
                    cpu->dot_f32(node->out->grad + at + i * t.q_stride, node->out->data + at + i * t.q_stride, t.d);
                for (int64_t j = 0; j < width; j++) dsi[j] = pi[j] * (dsi[j] - both) * a->spec.scale;
            }
            int64_t row = keys.from * t.k_stride;
            if (dv)
                cpu->gemm_at(n_keys, t.d, rows, p, width, node->out->grad + at, t.q_stride,
                             dv + t.k0 * t.k_stride + kv + row, t.k_stride);
            if (dq) cpu->gemm(rows, t.d, n_keys, ds, width, k + row, t.k_stride, dq + at, t.q_stride);
            if (dk)
                cpu->gemm_at(n_keys, t.d, rows, ds, width, q + at, t.q_stride, dk + t.k0 * t.k_stride + kv + row,
                             t.k_stride);
        }
}

/* One scratch of n floats for each thread. */
static float *scratch_for_threads(tp_tape *tape, int64_t n) {
    return tp_arena_alloc(tape->arena, (size_t)(omp_get_max_threads() * padded(n)) * sizeof(float));
}

static void attention_backward(tp_tape *tape, tp_node *node) {
    const attention *a = node->extra;
    float *d[3];
    for (int i = 0; i < 3; i++) d[i] = node->in[i]->wants_grad ? tp_var_grad(tape, node->in[i]) : NULL;
    tp_arena_mark mark = tp_arena_get_mark(tape->arena);
    int64_t all = padded(longest(a->k_begins, a->k_ends, a->n_sequences));
    int64_t each = padded(2 * a->spec.head_dim * all + 2 * BLOCK * (all + PAD));
    float *scratch = scratch_for_threads(tape, each);
    int64_t n_items = a->n_sequences * a->spec.n_kv_heads;
#pragma omp parallel for schedule(dynamic) if (node->in[0]->rows * node->in[0]->cols > 1 << 12)
    for (int64_t i = 0; i < n_items; i++)
        backward_item(a, i, node, d[0], d[1], d[2], scratch + omp_get_thread_num() * each);
    tp_arena_release(tape->arena, mark);
}

tp_var *tp_attention_spans(tp_tape *tape, tp_var *q, tp_var *k, tp_var *v, const int64_t *q_offsets,
                           const int64_t *k_begins, const int64_t *k_ends, int64_t n_sequences,
                           const tp_attention_spec *spec) {
    assert(spec->n_heads % spec->n_kv_heads == 0 && q->cols == (int64_t)spec->n_heads * spec->head_dim);
    assert(k->cols == (int64_t)spec->n_kv_heads * spec->head_dim && v->cols == k->cols && k->rows == v->rows);
    assert(q_offsets[n_sequences] <= q->rows);
    tp_var *out = tp_var_new(tape, q->rows, q->cols);
    attention *a = tp_arena_alloc(tape->arena, sizeof *a);
    *a = (attention){*spec, q_offsets, k_begins, k_ends, n_sequences, NULL};
    a->log_sum = tp_arena_alloc(tape->arena, (size_t)(q->rows * spec->n_heads) * sizeof(float));
    int64_t first = q_offsets[0] * q->cols, end = q_offsets[n_sequences] * q->cols; /* rows of no sequence are zeros */
    memset(out->data, 0, (size_t)first * sizeof(float));
    memset(out->data + end, 0, (size_t)(q->rows * q->cols - end) * sizeof(float));
    tp_arena_mark mark = tp_arena_get_mark(tape->arena);
    int64_t all = padded(longest(k_begins, k_ends, n_sequences));
    int64_t each = padded(spec->head_dim * all + BLOCK * (all + PAD));
    float *scratch = scratch_for_threads(tape, each);
    int64_t n_items = n_sequences * spec->n_kv_heads;
#pragma omp parallel for schedule(dynamic) if (q->rows * q->cols > 1 << 12)
    for (int64_t i = 0; i < n_items; i++)
        forward_item(a, i, q->data, k->data, v->data, out->data, scratch + omp_get_thread_num() * each);
    tp_arena_release(tape->arena, mark);
    tp_node *node = tp_record(tape, attention_backward, out, (tp_var *[3]){q, k, v}, (const tp_weight *[2]){0});
    if (node) node->extra = a;
    return out;
}

tp_var *tp_attention(tp_tape *tape, tp_var *q, tp_var *k, tp_var *v, const int64_t *q_offsets, const int64_t *k_offsets,
                     int64_t n_sequences, const tp_attention_spec *spec) {
    assert(k_offsets[n_sequences] <= k->rows);
    return tp_attention_spans(tape, q, k, v, q_offsets, k_offsets, k_offsets + 1, n_sequences, spec);
}
