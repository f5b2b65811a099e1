/* Softmax attention over ragged batches: causal, sliding-window, cross, grouped heads; forward and backward.
 *
 * No mask is ever made: each query knows the range of keys it sees (visible()). Work is cut into (sequence, key head)
 * items; within one, query rows go in blocks, whose scores against the block's key range live in a small scratch. Only
 * each row's log-sum-exp is kept for the backward pass, which computes the probabilities again (Dao et al. 2022,
 * FlashAttention, without its tiling over keys: a range of some thousand keys fits the second-level cache). What the
 * products read many times (keys turned, values, a block's queries times the scale) is packed once per item, so that no
 * two of its rows compete for the same lines of the first-level cache. A few rows against many keys read these where
 * they lie instead; so does a decode step, whose keys and values a cache may store in a smaller type. */
#include "autograd/ops.h"
#include "tensor/kernels.h"

#include <assert.h>
#include <math.h>
#include <omp.h>
#include <string.h>

enum {
    BLOCK = 30,  /* query rows in a block: whole tiles of the product kernel */
    PAD = 16,    /* key ranges are padded to whole vectors */
    CHUNK = 128, /* keys whose values stay in the first-level cache for a block's sums */
    FEW = 6      /* query rows (of all heads of a group) for which turning the keys does not pay */
};

typedef struct {
    tp_attention_spec spec;
    const int64_t *q_offsets;         /* [n_sequences + 1] */
    const int64_t *k_begins, *k_ends; /* [n_sequences] */
    int64_t n_sequences;
    const tp_kv_sequence *cached; /* [n_sequences]: the keys are in a cache; NULL: they are vars */
    tp_dtype cached_type;
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

/* A row length for n numbers that is an odd number of vectors: rows of a power of two would share their cache lines. */
static int64_t odd_stride(int64_t n) {
    return padded(n) % (2 * PAD) == 0 ? padded(n) + PAD : padded(n);
}

/* One (sequence, key head): where its rows are. */
typedef struct {
    int64_t q0, n_q, k0, n_k; /* rows */
    int64_t q_stride, k_stride;
    int64_t d, sequence;
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
                  .sequence = s,
                  .first_head = kv * group,
                  .heads = group};
}

/* Where the item's part of a matrix shaped like k begins. */
static int64_t key_place(const item *t) {
    return t->k0 * t->k_stride + t->first_head / t->heads * t->d;
}

/* Rows of d numbers, times `factor`, packed one behind the other. */
static void pack(const float *in, int64_t stride, int64_t n, int64_t d, float factor, float *out) {
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < d; j++) out[i * d + j] = factor * in[i * stride + j];
}

/* Keys (or values) of one head turned: out[d, width] with zeros behind the n, so that scores are rows times a matrix.
 */
static void turn(const float *in, int64_t stride, int64_t n, int64_t d, int64_t width, float *out) {
    enum { SQUARE = 8 };
    for (int64_t i0 = 0; i0 < n; i0 += SQUARE)
        for (int64_t j = 0; j < d; j++)
            for (int64_t i = i0; i < (n - i0 < SQUARE ? n : i0 + SQUARE); i++) out[j * width + i] = in[i * stride + j];
    for (int64_t j = 0; j < d; j++) memset(out + j * width + n, 0, (size_t)(width - n) * sizeof(float));
}

/* C[rows, d] += A[rows, n] B[n, d], by chunks of B that stay in the first-level cache. */
static void weighted_rows(int64_t rows, int64_t d, int64_t n, const float *a, int64_t lda, const float *b, float *c,
                          int64_t ldc) {
    for (int64_t p = 0; p < n; p += CHUNK)
        tp_cpu()->gemm(rows, d, n - p < CHUNK ? n - p : CHUNK, a + p, lda, b + p * d, d, c, ldc);
}

/* ---- blocks of query rows ---- */

/* Rows i0 .. i0 + rows - 1 of one head, and the union of their key ranges, starting at a whole vector. */
typedef struct {
    int64_t i0, rows, at; /* at: the block's first number in a matrix shaped like q */
    range keys;
    int64_t width;  /* padded length of the range */
    int64_t stride; /* of the block's rows of scores */
} block;

static block block_of(const attention *a, const item *t, int head, int64_t i0) {
    int64_t rows = t->n_q - i0 < BLOCK ? t->n_q - i0 : BLOCK;
    range first = visible(&a->spec, i0, t->n_q, t->n_k), last = visible(&a->spec, i0 + rows - 1, t->n_q, t->n_k);
    range keys = {first.from / PAD * PAD, last.to};
    return (block){.i0 = i0,
                   .rows = rows,
                   .at = (t->q0 + i0) * t->q_stride + head * t->d,
                   .keys = keys,
                   .width = padded(keys.to - keys.from),
                   .stride = odd_stride(t->n_k)};
}

/* out[rows, width] = rows (packed) times the turned matrix, for the block's keys */
static void against_keys(const item *t, const block *b, const float *rows, const float *turned, float *out) {
    for (int64_t i = 0; i < b->rows; i++) memset(out + i * b->stride, 0, (size_t)b->width * sizeof(float));
    tp_cpu()->gemm(b->rows, b->width, t->d, rows, t->d, turned + b->keys.from, odd_stride(t->n_k), out, b->stride);
}

/* Soft-capped scores (Gemma 2): cap * tanh(score / cap). */
static void cap_scores(float cap, float *row, int64_t n) {
    for (int64_t j = 0; j < n; j++) row[j] *= 1 / cap;
    tp_cpu()->tanh(row, row, n);
    for (int64_t j = 0; j < n; j++) row[j] *= cap;
}

/* Scores of row i that it may not see become -infinity. False if it sees none. */
static bool hide(const attention *a, const item *t, const block *b, int64_t i, float *row) {
    range seen = visible(&a->spec, b->i0 + i, t->n_q, t->n_k);
    if (seen.from >= seen.to) return false;
    for (int64_t j = 0; j < seen.from - b->keys.from; j++) row[j] = -INFINITY;
    for (int64_t j = seen.to - b->keys.from; j < b->width; j++) row[j] = -INFINITY;
    return true;
}

/* ---- cached rows ---- */

/* All rows of the item's head out of the cache, keys or values, as f32: out[n_k, d]. */
static void read_cached(const attention *a, const item *t, bool values, float *out) {
    const tp_kv_span *spans = a->cached[t->sequence].spans;
    int head = t->first_head / t->heads;
    for (int i = 0; i < TP_KV_SPANS; out += spans[i++].n * t->d) {
        const tp_kv_span *p = &spans[i];
        if (p->n == 0) continue; /* it may have no rows to point to */
        size_t at = (size_t)(head * p->head_rows * t->d) * tp_dtype_size(a->cached_type);
        const float *scales = values ? p->v_scales : p->k_scales;
        tp_cpu()->kv_read(a->cached_type, out, (const char *)(values ? p->v : p->k) + at,
                          scales ? scales + head * p->head_rows : NULL, p->n, t->d);
    }
}

/* The stretches of the cache that lie in the range of keys, through one of the kernels: scores[heads, stride] of the
 * queries at `rows`, or sums of values into them. */
static void through_cached(const attention *a, const item *t, range seen, bool values, float *rows, float *scores,
                           int64_t stride) {
    const tp_kernels *cpu = tp_cpu();
    const tp_kv_span *spans = a->cached[t->sequence].spans;
    size_t size = tp_dtype_size(a->cached_type);
    int64_t begin = 0; /* of the span, among the sequence's keys */
    for (int i = 0; i < TP_KV_SPANS; begin += spans[i++].n) {
        const tp_kv_span *p = &spans[i];
        int64_t from = seen.from > begin ? seen.from - begin : 0;
        int64_t to = seen.to - begin < p->n ? seen.to - begin : p->n, n = to - from;
        if (n <= 0) continue;
        int64_t row = t->first_head / t->heads * p->head_rows + from;
        const char *at = (const char *)(values ? p->v : p->k) + (size_t)(row * t->d) * size;
        const float *scales = values ? p->v_scales : p->k_scales;
        float *part = scores + (begin + from - seen.from);
        if (scales) scales += row;
        if (values)
            cpu->kv_sums(a->cached_type, rows, part, stride, t->heads, at, scales, n, t->d);
        else
            cpu->kv_scores(a->cached_type, part, stride, rows, t->heads, at, scales, n, t->d);
    }
}

/* ---- forward ---- */

static int64_t forward_scratch(int64_t d, int64_t longest) {
    return 2 * d * odd_stride(longest) + BLOCK * odd_stride(longest) + BLOCK * d;
}

static void forward_item(const attention *a, const item *t, const float *q, const float *k, const float *v, float *out,
                         float *scratch) {
    const tp_kernels *cpu = tp_cpu();
    int64_t d = t->d, stride = odd_stride(t->n_k);
    float *turned = scratch, *values = turned + d * stride, *scores = values + d * stride;
    float *queries = scores + BLOCK * stride;
    if (a->cached) {
        read_cached(a, t, false, values);
        turn(values, d, t->n_k, d, stride, turned);
        read_cached(a, t, true, values);
    } else {
        turn(k + key_place(t), t->k_stride, t->n_k, d, stride, turned);
        pack(v + key_place(t), t->k_stride, t->n_k, d, 1, values);
    }
    for (int h = t->first_head; h < t->first_head + t->heads; h++)
        for (int64_t i0 = 0; i0 < t->n_q; i0 += BLOCK) {
            block b = block_of(a, t, h, i0);
            float inverse[BLOCK], *ob = out + b.at;
            pack(q + b.at, t->q_stride, b.rows, d, a->spec.scale, queries);
            against_keys(t, &b, queries, turned, scores);
            for (int64_t i = 0; i < b.rows; i++) {
                float *log_sum = a->log_sum + (t->q0 + i0 + i) * a->spec.n_heads + h, *row = scores + i * b.stride;
                memset(ob + i * t->q_stride, 0, (size_t)d * sizeof(float));
                *log_sum = -INFINITY;
                inverse[i] = 0;
                if (a->spec.softcap > 0) cap_scores(a->spec.softcap, row, b.width);
                if (!hide(a, t, &b, i, row)) continue;
                float most = cpu->max(row, b.width), sum = cpu->exp_sum(row, most, b.width);
                *log_sum = most + logf(sum);
                inverse[i] = 1 / sum;
            }
            weighted_rows(b.rows, d, b.keys.to - b.keys.from, scores, b.stride, values + b.keys.from * d, ob,
                          t->q_stride);
            for (int64_t i = 0; i < b.rows; i++)
                for (int64_t j = 0; j < d; j++) ob[i * t->q_stride + j] *= inverse[i];
        }
}

/* The same for a few query rows: the keys are read where they lie, once for all heads of the group. */
static void forward_few(const attention *a, const item *t, const float *q, const float *k, const float *v, float *out,
                        float *scratch) {
    const tp_kernels *cpu = tp_cpu();
    int64_t d = t->d, stride = odd_stride(t->n_k);
    const float *keys = k + key_place(t), *values = v + key_place(t);
    for (int64_t i = 0; i < t->n_q; i++) {
        range seen = visible(&a->spec, i, t->n_q, t->n_k);
        int64_t at = (t->q0 + i) * t->q_stride + t->first_head * d, n = seen.to - seen.from;
        float *log_sums = a->log_sum + (t->q0 + i) * a->spec.n_heads + t->first_head;
        memset(out + at, 0, (size_t)(t->heads * d) * sizeof(float));
        for (int64_t j = 0; j < n; j++)
            for (int h = 0; h < t->heads; h++)
                scratch[h * stride + j] =
                    a->spec.scale * cpu->dot_f32(q + at + h * d, keys + (seen.from + j) * t->k_stride, d);
        for (int h = 0; h < t->heads; h++) {
            log_sums[h] = -INFINITY;
            if (n <= 0) continue;
            float *row = scratch + h * stride;
            if (a->spec.softcap > 0) cap_scores(a->spec.softcap, row, n);
            float most = cpu->max(row, n), sum = cpu->exp_sum(row, most, n);
            log_sums[h] = most + logf(sum);
            for (int64_t j = 0; j < n; j++) row[j] /= sum;
        }
        cpu->gemm(t->heads, d, n, scratch, stride, values + seen.from * t->k_stride, t->k_stride, out + at, d);
    }
}

/* The same for keys in a cache. Nothing is kept for a backward pass. */
static void forward_few_cached(const attention *a, const item *t, const float *q, float *out, float *scratch) {
    const tp_kernels *cpu = tp_cpu();
    int64_t d = t->d, stride = odd_stride(t->n_k);
    float *queries = scratch + t->heads * stride;
    for (int64_t i = 0; i < t->n_q; i++) {
        range seen = visible(&a->spec, i, t->n_q, t->n_k);
        int64_t at = (t->q0 + i) * t->q_stride + t->first_head * d, n = seen.to - seen.from;
        memset(out + at, 0, (size_t)(t->heads * d) * sizeof(float));
        if (n <= 0) continue;
        pack(q + at, d, t->heads, d, a->spec.scale, queries);
        through_cached(a, t, seen, false, queries, scratch, stride);
        for (int h = 0; h < t->heads; h++) {
            float *row = scratch + h * stride;
            if (a->spec.softcap > 0) cap_scores(a->spec.softcap, row, n);
            float sum = cpu->exp_sum(row, cpu->max(row, n), n), inverse = 1 / sum;
            for (int64_t j = 0; j < n; j++) row[j] *= inverse;
        }
        through_cached(a, t, seen, true, out + at, scratch, stride);
    }
}

/* ---- backward ---- */

static int64_t backward_scratch(int64_t d, int64_t longest) {
    return 5 * d * odd_stride(longest) + (2 * BLOCK + 1) * odd_stride(longest) + 3 * BLOCK * d;
}

/* The item's sums of gradients [n_k, d] added to where they belong. */
static void add_rows(float *to, int64_t stride, const float *from, int64_t n, int64_t d) {
    for (int64_t i = 0; i < n; i++) tp_cpu()->axpy(to + i * stride, 1, from + i * d, d);
}

/* With P the probabilities, O = P V:  dV = P^T dO,  dS = P (dO V^T - rowsum(dO O)),  dQ = scale dS K,  dK = dS^T (scale
 * Q). A soft cap multiplies dS by its slope, 1 - (capped score / cap)^2. */
static void backward_item(const attention *a, const item *t, const tp_node *node, float *dq, float *dk, float *dv,
                          float *scratch) {
    const tp_kernels *cpu = tp_cpu();
    int64_t d = t->d, stride = odd_stride(t->n_k), n = t->n_k;
    float cap = a->spec.softcap;
    const float *q = node->in[0]->data, *k = node->in[1]->data + key_place(t), *v = node->in[2]->data + key_place(t);
    const float *out = node->out->data, *d_out = node->out->grad;
    float *k_turned = scratch, *v_turned = k_turned + d * stride, *keys = v_turned + d * stride;
    float *dk_sum = keys + d * stride, *dv_sum = dk_sum + d * stride;
    float *p = dv_sum + d * stride, *ds = p + BLOCK * stride;
    float *slope = ds + BLOCK * stride; /* of the soft cap, for one row */
    float *queries = slope + stride, *upstream = queries + BLOCK * d, *dq_sum = upstream + BLOCK * d;
    turn(k, t->k_stride, n, d, stride, k_turned);
    turn(v, t->k_stride, n, d, stride, v_turned);
    pack(k, t->k_stride, n, d, 1, keys);
    memset(dk_sum, 0, (size_t)(n * d) * sizeof(float));
    memset(dv_sum, 0, (size_t)(n * d) * sizeof(float));
    for (int h = t->first_head; h < t->first_head + t->heads; h++)
        for (int64_t i0 = 0; i0 < t->n_q; i0 += BLOCK) {
            block b = block_of(a, t, h, i0);
            int64_t n_keys = b.keys.to - b.keys.from, from = b.keys.from * d;
            pack(q + b.at, t->q_stride, b.rows, d, a->spec.scale, queries);
            pack(d_out + b.at, t->q_stride, b.rows, d, 1, upstream);
            against_keys(t, &b, queries, k_turned, p);
            against_keys(t, &b, upstream, v_turned, ds);
            for (int64_t i = 0; i < b.rows; i++) {
                float *pi = p + i * b.stride, *dsi = ds + i * b.stride;
                if (cap > 0) cap_scores(cap, pi, b.width);
                for (int64_t j = 0; cap > 0 && j < b.width; j++) slope[j] = 1 - pi[j] / cap * (pi[j] / cap);
                if (!hide(a, t, &b, i, pi)) {
                    memset(pi, 0, (size_t)b.width * sizeof(float));
                    memset(dsi, 0, (size_t)b.width * sizeof(float));
                    continue;
                }
                cpu->exp_sum(pi, a->log_sum[(t->q0 + i0 + i) * a->spec.n_heads + h], b.width);
                cpu->softmax_grad(dsi, pi, cpu->dot_f32(upstream + i * d, out + b.at + i * t->q_stride, d), b.width);
                for (int64_t j = 0; cap > 0 && j < b.width; j++) dsi[j] *= slope[j];
            }
            if (dv) cpu->gemm_at(n_keys, d, b.rows, p, b.stride, upstream, d, dv_sum + from, d);
            if (dk) cpu->gemm_at(n_keys, d, b.rows, ds, b.stride, queries, d, dk_sum + from, d);
            if (dq) {
                memset(dq_sum, 0, (size_t)(b.rows * d) * sizeof(float));
                weighted_rows(b.rows, d, n_keys, ds, b.stride, keys + from, dq_sum, d);
                for (int64_t i = 0; i < b.rows; i++)
                    cpu->axpy(dq + b.at + i * t->q_stride, a->spec.scale, dq_sum + i * d, d);
            }
        }
    if (dk) add_rows(dk + key_place(t), t->k_stride, dk_sum, n, d);
    if (dv) add_rows(dv + key_place(t), t->k_stride, dv_sum, n, d);
}

/* ---- the op ---- */

/* The longest key sequence decides the scratch of one thread. */
static int64_t longest(const attention *a) {
    int64_t most = 0;
    for (int64_t s = 0; s < a->n_sequences; s++)
        if (a->k_ends[s] - a->k_begins[s] > most) most = a->k_ends[s] - a->k_begins[s];
    return most;
}

/* Whether there is enough to do for more than one thread. */
static bool worth_sharing(const attention *a) {
    int64_t pairs = 0;
    for (int64_t s = 0; s < a->n_sequences; s++)
        pairs += (a->q_offsets[s + 1] - a->q_offsets[s]) * (a->k_ends[s] - a->k_begins[s]);
    return pairs * a->spec.n_heads * a->spec.head_dim > 1 << 16;
}

/* One scratch of n floats for each thread. */
static float *scratch_for_threads(tp_tape *tape, int64_t n) {
    return tp_arena_alloc(tape->arena, (size_t)(omp_get_max_threads() * n) * sizeof(float));
}

static void attention_backward(tp_tape *tape, tp_node *node) {
    const attention *a = node->extra;
    float *d[3];
    for (int i = 0; i < 3; i++) d[i] = node->in[i]->wants_grad ? tp_var_grad(tape, node->in[i]) : NULL;
    tp_arena_mark mark = tp_arena_get_mark(tape->arena);
    int64_t each = padded(backward_scratch(a->spec.head_dim, longest(a)));
    float *scratch = scratch_for_threads(tape, each);
    int64_t n_items = a->n_sequences * a->spec.n_kv_heads;
#pragma omp parallel for schedule(dynamic) if (worth_sharing(a))
    for (int64_t i = 0; i < n_items; i++) {
        item t = item_of(a, i);
        if (t.n_q > 0 && t.n_k > 0) backward_item(a, &t, node, d[0], d[1], d[2], scratch + omp_get_thread_num() * each);
    }
    tp_arena_release(tape->arena, mark);
}

/* Rows of no sequence are zeros. */
static void clear_others(tp_var *out, const int64_t *q_offsets, int64_t n_sequences) {
    int64_t first = q_offsets[0] * out->cols, end = q_offsets[n_sequences] * out->cols;
    memset(out->data, 0, (size_t)first * sizeof(float));
    memset(out->data + end, 0, (size_t)(out->rows * out->cols - end) * sizeof(float));
}

tp_var *tp_attention_spans(tp_tape *tape, tp_var *q, tp_var *k, tp_var *v, const int64_t *q_offsets,
                           const int64_t *k_begins, const int64_t *k_ends, int64_t n_sequences,
                           const tp_attention_spec *spec) {
    assert(spec->n_heads % spec->n_kv_heads == 0 && q->cols == (int64_t)spec->n_heads * spec->head_dim);
    assert(k->cols == (int64_t)spec->n_kv_heads * spec->head_dim && v->cols == k->cols && k->rows == v->rows);
    assert(q_offsets[n_sequences] <= q->rows);
    tp_var *out = tp_var_new(tape, q->rows, q->cols);
    attention *a = tp_arena_alloc(tape->arena, sizeof *a);
    *a = (attention){*spec, q_offsets, k_begins, k_ends, n_sequences, NULL, TP_F32, NULL};
    a->log_sum = tp_arena_alloc(tape->arena, (size_t)(q->rows * spec->n_heads) * sizeof(float));
    clear_others(out, q_offsets, n_sequences);
    tp_arena_mark mark = tp_arena_get_mark(tape->arena);
    int64_t each = padded(forward_scratch(spec->head_dim, longest(a)));
    float *scratch = scratch_for_threads(tape, each);
    int64_t n_items = n_sequences * spec->n_kv_heads;
#pragma omp parallel for schedule(dynamic) if (worth_sharing(a))
    for (int64_t i = 0; i < n_items; i++) {
        item t = item_of(a, i);
        float *mine = scratch + omp_get_thread_num() * each;
        if (t.n_q * t.heads <= FEW)
            forward_few(a, &t, q->data, k->data, v->data, out->data, mine);
        else
            forward_item(a, &t, q->data, k->data, v->data, out->data, mine);
    }
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

/* Decode steps, and a few rows at once, read the cache as it is. */
static bool reads_in_place(const item *t) {
    return t->n_q == 1 || t->n_q * t->heads <= FEW;
}

tp_var *tp_attention_cached(tp_tape *tape, tp_var *q, const int64_t *q_offsets, const tp_kv_sequence *keys,
                            tp_dtype type, int64_t n_sequences, const tp_attention_spec *spec) {
    assert(tape->frozen && spec->n_heads % spec->n_kv_heads == 0);
    assert(q->cols == (int64_t)spec->n_heads * spec->head_dim && q_offsets[n_sequences] <= q->rows);
    tp_var *out = tp_var_new(tape, q->rows, q->cols);
    clear_others(out, q_offsets, n_sequences);
    tp_arena_mark mark = tp_arena_get_mark(tape->arena);
    int64_t *bounds = tp_arena_alloc(tape->arena, (size_t)(2 * n_sequences) * sizeof *bounds);
    for (int64_t s = 0; s < n_sequences; s++) {
        bounds[s] = bounds[n_sequences + s] = 0;
        for (int i = 0; i < TP_KV_SPANS; i++) bounds[n_sequences + s] += keys[s].spans[i].n;
    }
    attention a = {*spec, q_offsets, bounds, bounds + n_sequences, n_sequences, keys, type, NULL};
    a.log_sum = tp_arena_alloc(tape->arena, (size_t)(q->rows * spec->n_heads) * sizeof(float));
    int64_t n_items = n_sequences * spec->n_kv_heads, most = longest(&a);
    int64_t each = spec->n_heads / spec->n_kv_heads * (odd_stride(most) + spec->head_dim);
    for (int64_t i = 0; i < n_items; i += spec->n_kv_heads) {
        item t = item_of(&a, i);
        if (!reads_in_place(&t) && each < forward_scratch(t.d, most)) each = forward_scratch(t.d, most);
    }
    each = padded(each);
    float *scratch = scratch_for_threads(tape, each);
#pragma omp parallel for schedule(dynamic) if (worth_sharing(&a))
    for (int64_t i = 0; i < n_items; i++) {
        item t = item_of(&a, i);
        float *mine = scratch + omp_get_thread_num() * each;
        if (reads_in_place(&t))
            forward_few_cached(&a, &t, q->data, out->data, mine);
        else
            forward_item(&a, &t, q->data, NULL, NULL, out->data, mine);
    }
    tp_arena_release(tape->arena, mark);
    return out;
}
