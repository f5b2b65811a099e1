/* Greedy generation and answer scoring over ragged batches. See generate.h. */
#include "lm/generate.h"

#include "tensor/kernels.h"

#include <math.h>
#include <string.h>

/* Logits after the last row of each sequence, [n_sequences, vocab_size]; the tape is reset first. */
static tp_var *last_logits(tp_tape *tape, const tp_lm *lm, tp_var *x, const tp_batch *batch) {
    int64_t *last = tp_arena_alloc(tape->arena, (size_t)(batch->n_sequences + 1) * sizeof *last);
    for (int64_t s = 0; s <= batch->n_sequences; s++) last[s] = s;
    tp_batch wanted = *batch;
    if (x->rows > batch->n_sequences) wanted.wanted = last;
    return tp_lm_logits(tape, lm, tp_lm_blocks(tape, lm, x, &wanted, 0, lm->config.n_layers));
}

static int64_t longest(const int64_t *offsets, int64_t n) {
    int64_t most = 0;
    for (int64_t s = 0; s < n; s++)
        if (offsets[s + 1] - offsets[s] > most) most = offsets[s + 1] - offsets[s];
    return most;
}

/* So many sequences go at once that their cache stays within this many bytes. */
enum { CACHE_BYTES = 256 << 20 };

static int64_t sequences_at_once(const tp_lm *lm, int64_t capacity, int64_t slots_each) {
    int64_t n = CACHE_BYTES / tp_kv_cache_slot_bytes(lm, TP_F32, capacity) / slots_each;
    return n < 1 ? 1 : n > 64 ? 64 : n;
}

/* Prompts from .. from + n - 1 as a var and a batch whose sequence s uses slot s * stride. */
static tp_var *prompt_rows(tp_tape *tape, const tp_lm *lm, const tp_prompts *p, int64_t from, int64_t n,
                           tp_kv_cache *cache, int64_t stride, tp_batch *batch) {
    int64_t *offsets = tp_arena_alloc(tape->arena, (size_t)(n + 1) * sizeof *offsets);
    int64_t *slots = tp_arena_alloc(tape->arena, (size_t)n * sizeof *slots);
    for (int64_t i = 0; i <= n; i++) offsets[i] = p->offsets[from + i] - p->offsets[from];
    for (int64_t i = 0; i < n; i++) slots[i] = i * stride;
    *batch = (tp_batch){.n_sequences = n, .offsets = offsets, .cache = cache, .slots = slots};
    int64_t d = lm->config.d_model;
    tp_var *x = tp_var_new(tape, offsets[n], d);
    memcpy(x->data, p->rows + p->offsets[from] * d, (size_t)(offsets[n] * d) * sizeof(float));
    return x;
}

/* ---- generation ---- */

int32_t tp_greedy_token(const tp_lm *lm, const float *logits) {
    int32_t best = 0;
    for (int32_t i = 1; i < lm->config.vocab_size; i++)
        if (logits[i] > logits[best]) best = i;
    for (int i = 0; i < lm->config.n_eos; i++)
        if (lm->config.eos_ids[i] == best) return -1;
    return best;
}

/* Continues the prompts of one chunk; the cache has a slot for each. */
static void generate_chunk(const tp_lm *lm, tp_tape *tape, const tp_prompts *p, int64_t from, int64_t n,
                           int64_t max_new, tp_kv_cache *cache, tp_ids *out) {
    int64_t *running = tp_alloc((size_t)n * sizeof *running), *steps = tp_alloc((size_t)(n + 1) * sizeof *steps);
    int32_t *next = tp_alloc((size_t)n * sizeof *next);
    int64_t n_running = n;
    for (int64_t i = 0; i < n; i++) running[i] = i, tp_kv_cache_rewind(cache, i, 0);
    for (int64_t i = 0; i <= n; i++) steps[i] = i; /* one row each after the prompt */
    tp_tape_reset(tape);
    tp_batch batch;
    tp_var *logits = last_logits(tape, lm, prompt_rows(tape, lm, p, from, n, cache, 1, &batch), &batch);
    for (int64_t made = 0; made < max_new; made++) {
        int64_t kept = 0;
        for (int64_t i = 0; i < n_running; i++) {
            int32_t id = tp_greedy_token(lm, logits->data + i * logits->cols);
            if (id < 0) continue;
            tp_ids_append(&out[from + running[i]], id);
            next[kept] = id;
            running[kept++] = running[i];
        }
        n_running = kept;
        if (n_running == 0 || made + 1 == max_new) break;
        tp_tape_reset(tape);
        batch = (tp_batch){.n_sequences = n_running, .offsets = steps, .cache = cache, .slots = running};
        logits = last_logits(tape, lm, tp_lm_embed(tape, lm, next, n_running), &batch);
    }
    tp_free(running);
    tp_free(steps);
    tp_free(next);
}

tp_status tp_generate_greedy(const tp_lm *lm, tp_math math, const tp_prompts *prompts, int64_t max_new, tp_ids *out) {
    if (prompts->n == 0 || max_new <= 0) return TP_OK;
    int64_t capacity = longest(prompts->offsets, prompts->n) + max_new;
    int64_t chunk = sequences_at_once(lm, capacity, 1);
    if (chunk > prompts->n) chunk = prompts->n;
    tp_kv_cache *cache = tp_kv_cache_new(lm, chunk, capacity);
    if (cache == NULL) return tp_last_status();
    tp_tape *tape = tp_tape_new(math);
    tape->frozen = true;
    for (int64_t from = 0; from < prompts->n; from += chunk)
        generate_chunk(lm, tape, prompts, from, prompts->n - from < chunk ? prompts->n - from : chunk, max_new, cache,
                       out);
    tp_tape_free(tape);
    tp_kv_cache_free(cache);
    return TP_OK;
}

/* ---- scoring ---- */

/* The answers as a tree: answers that begin alike share nodes. Node 0 is the end of the prompt. */
typedef struct {
    int32_t token;
    int32_t parent;
    int32_t depth;
    int32_t slot; /* place among the nodes that have children; -1: nothing follows, so it need not be run */
} tree_node;

typedef struct {
    tree_node *nodes;
    size_t n, capacity;
    int32_t *leaves; /* [n_answers]: where each answer ends */
    int32_t n_inner; /* nodes with a slot, node 0 included */
    int32_t depth;
} tree;

static int32_t child(tree *t, int32_t parent, int32_t token) {
    for (size_t i = (size_t)parent + 1; i < t->n; i++)
        if (t->nodes[i].parent == parent && t->nodes[i].token == token) return (int32_t)i;
    tp_grow(&t->nodes, &t->capacity, t->n, sizeof *t->nodes);
    int32_t depth = t->nodes[parent].depth + 1;
    t->nodes[t->n] = (tree_node){.token = token, .parent = parent, .depth = depth, .slot = -1};
    if (depth > t->depth) t->depth = depth;
    return (int32_t)t->n++;
}

static tree build_tree(const tp_ids *answers, int64_t n_answers) {
    tree t = {.leaves = tp_alloc((size_t)n_answers * sizeof(int32_t))};
    tp_grow(&t.nodes, &t.capacity, 0, sizeof *t.nodes);
    t.nodes[t.n++] = (tree_node){.token = -1, .parent = -1, .slot = -1};
    for (int64_t a = 0; a < n_answers; a++) {
        int32_t node = 0;
        for (size_t i = 0; i < answers[a].len; i++) node = child(&t, node, answers[a].data[i]);
        t.leaves[a] = node;
    }
    for (size_t i = 1; i < t.n; i++) {
        tree_node *parent = &t.nodes[t.nodes[i].parent];
        if (parent->slot < 0) parent->slot = 0; /* has a child; numbered below, in order */
    }
    for (size_t i = 0; i < t.n; i++)
        if (t.nodes[i].slot == 0) t.nodes[i].slot = t.n_inner++;
    return t;
}

static double log_sum_exp(const float *x, int64_t n) {
    const tp_kernels *cpu = tp_cpu();
    float most = cpu->max(x, n), chunk[1024];
    double sum = 0;
    for (int64_t i = 0; i < n; i += 1024) {
        int64_t m = n - i < 1024 ? n - i : 1024;
        memcpy(chunk, x + i, (size_t)m * sizeof(float));
        sum += cpu->exp_sum(chunk, most, m);
    }
    return most + log(sum);
}

/* Log-likelihoods of the children of `node`, of one prompt, from the logits after it. */
static void score_children(const tree *t, int32_t node, const float *logits, int64_t v, double *totals) {
    double norm = log_sum_exp(logits, v);
    for (size_t i = (size_t)node + 1; i < t->n; i++)
        if (t->nodes[i].parent == node) totals[i] = totals[node] + logits[t->nodes[i].token] - norm;
}

/* Runs the tree level by level for the n prompts of a chunk: a node's slot starts as a copy of its parent's. */
static void score_chunk(const tp_lm *lm, tp_tape *tape, const tp_prompts *p, int64_t from, int64_t n, const tree *t,
                        tp_kv_cache *cache, double *totals) {
    int64_t most = n * t->n_inner;
    int64_t *slots = tp_alloc((size_t)most * sizeof *slots), *steps = tp_alloc((size_t)(most + 1) * sizeof *steps);
    int32_t *tokens = tp_alloc((size_t)most * sizeof *tokens), *nodes = tp_alloc((size_t)most * sizeof *nodes);
    for (int64_t i = 0; i <= most; i++) steps[i] = i;
    for (int64_t i = 0; i < cache->n_slots; i++) tp_kv_cache_rewind(cache, i, 0);
    tp_tape_reset(tape);
    tp_batch batch;
    tp_var *logits = last_logits(tape, lm, prompt_rows(tape, lm, p, from, n, cache, t->n_inner, &batch), &batch);
    for (int64_t i = 0; i < n; i++)
        score_children(t, 0, logits->data + i * logits->cols, logits->cols, totals + i * (int64_t)t->n);
    for (int32_t depth = 1; depth < t->depth; depth++) {
        int64_t rows = 0;
        for (int64_t i = 0; i < n; i++)
            for (size_t k = 1; k < t->n; k++) {
                const tree_node *node = &t->nodes[k];
                if (node->depth != depth || node->slot < 0) continue;
                slots[rows] = i * t->n_inner + node->slot;
                tp_kv_cache_copy(cache, i * t->n_inner + t->nodes[node->parent].slot, slots[rows]);
                tokens[rows] = node->token;
                nodes[rows++] = (int32_t)k;
            }
        if (rows == 0) break;
        tp_tape_reset(tape);
        batch = (tp_batch){.n_sequences = rows, .offsets = steps, .cache = cache, .slots = slots};
        logits = last_logits(tape, lm, tp_lm_embed(tape, lm, tokens, rows), &batch);
        for (int64_t r = 0; r < rows; r++)
            score_children(t, nodes[r], logits->data + r * logits->cols, logits->cols,
                           totals + slots[r] / t->n_inner * (int64_t)t->n);
    }
    tp_free(slots);
    tp_free(steps);
    tp_free(tokens);
    tp_free(nodes);
}

tp_status tp_score_answers(const tp_lm *lm, tp_math math, const tp_prompts *prompts, const tp_ids *answers,
                           int64_t n_answers, double *scores) {
    if (prompts->n == 0) return TP_OK;
    tree t = build_tree(answers, n_answers);
    int64_t capacity = longest(prompts->offsets, prompts->n) + t.depth;
    int64_t chunk = sequences_at_once(lm, capacity, t.n_inner);
    if (chunk > prompts->n) chunk = prompts->n;
    tp_kv_cache *cache = tp_kv_cache_new(lm, chunk * t.n_inner, capacity);
    tp_status status = cache ? TP_OK : tp_last_status();
    tp_tape *tape = tp_tape_new(math);
    tape->frozen = true;
    double *totals = tp_alloc((size_t)chunk * t.n * sizeof *totals);
    for (int64_t from = 0; status == TP_OK && from < prompts->n; from += chunk) {
        int64_t n = prompts->n - from < chunk ? prompts->n - from : chunk;
        memset(totals, 0, (size_t)chunk * t.n * sizeof *totals);
        score_chunk(lm, tape, prompts, from, n, &t, cache, totals);
        for (int64_t i = 0; i < n; i++)
            for (int64_t a = 0; a < n_answers; a++)
                scores[(from + i) * n_answers + a] = totals[i * (int64_t)t.n + t.leaves[a]];
    }
    tp_free(totals);
    tp_tape_free(tape);
    tp_kv_cache_free(cache);
    tp_free(t.nodes);
    tp_free(t.leaves);
    return status;
}
