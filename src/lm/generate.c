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

/* Positions that the longest prompt takes, with what is injected before it. */
static int64_t longest_prompt(const tp_prompts *p) {
    return (p->injected ? p->n_injected : 0) + longest(p->offsets, p->n);
}

/* So many sequences go at once that their caches stay within this many bytes. */
enum { CACHE_BYTES = 256 << 20 };

static int64_t sequences_at_once(int64_t bytes_each) {
    int64_t n = CACHE_BYTES / bytes_each;
    return n < 1 ? 1 : n > 64 ? 64 : n;
}

/* ---- prompts ---- */

tp_kv_cache *tp_read_before(const tp_lm *lm, tp_math math, const float *rows, int64_t n, const tp_adapter *adapter) {
    tp_kv_cache *cache = tp_kv_cache_new(lm, 1, n);
    if (cache == NULL) return NULL;
    int64_t context = lm->config.max_position_embeddings; /* how far what follows will go is not known */
    if (cache->positions < context) cache->positions = context;
    const int64_t offsets[2] = {0, n}, slot = 0;
    tp_batch batch = {.n_sequences = 1, .offsets = offsets, .cache = cache, .slots = &slot, .adapter = adapter};
    tp_tape *tape = tp_tape_new(math);
    tape->frozen = true;
    tp_var *x = tp_var_new(tape, n, lm->config.d_model);
    memcpy(x->data, rows, (size_t)(x->rows * x->cols) * sizeof(float));
    tp_lm_blocks(tape, lm, x, &batch, 0, lm->config.n_layers);
    tp_tape_free(tape);
    return cache;
}

/* A cache for n prompts of at most `capacity` positions, which go on from what stands before all of them; with their
 * answers they reach `reach`. */
static tp_kv_cache *prompt_cache(const tp_lm *lm, const tp_prompts *p, int64_t n, int64_t capacity, int64_t reach) {
    if (tp_kv_cache_reaches(lm, (p->before ? p->before->lengths[0] : 0) + reach) != TP_OK) return NULL;
    return p->before ? tp_kv_cache_new_behind(lm, p->before, n, capacity) : tp_kv_cache_new(lm, n, capacity);
}

/* Prompts from .. from + n - 1 as a var and a batch whose sequence s uses slot s, which is emptied. */
static tp_var *prompt_rows(tp_tape *tape, const tp_lm *lm, const tp_prompts *p, int64_t from, int64_t n,
                           tp_kv_cache *cache, tp_batch *batch) {
    int64_t *offsets = tp_arena_alloc(tape->arena, (size_t)(n + 1) * sizeof *offsets);
    int64_t *slots = tp_arena_alloc(tape->arena, (size_t)n * sizeof *slots);
    for (int64_t i = 0; i <= n; i++) offsets[i] = p->offsets[from + i] - p->offsets[from];
    for (int64_t i = 0; i < n; i++) {
        slots[i] = i;
        if (p->before)
            tp_kv_cache_go_on(cache, i, 0);
        else
            tp_kv_cache_rewind(cache, i, 0);
    }
    *batch = (tp_batch){.n_sequences = n, .offsets = offsets, .cache = cache, .slots = slots, .adapter = p->adapter};
    int64_t d = lm->config.d_model;
    tp_var *x = tp_var_new(tape, offsets[n], d);
    memcpy(x->data, p->rows + p->offsets[from] * d, (size_t)(offsets[n] * d) * sizeof(float));
    if (p->injected) {
        int64_t width = tp_lm_kv_width(&lm->config), rows = n * p->n_injected;
        float *own = (float *)(uintptr_t)p->injected + from * p->n_injected * width; /* only read: the tape is frozen */
        batch->injected = tp_var_wrap(tape, own, rows, width);
        batch->n_injected = p->n_injected;
    }
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

/* The same where prompts may name more ids that end it. */
static int32_t next_token(const tp_lm *lm, const tp_prompts *p, const float *logits) {
    int32_t best = tp_greedy_token(lm, logits);
    return best >= 0 && p->ends && p->ends[best] ? -1 : best;
}

/* Appends up to max_new ids to out[i] for each of n sequences, which the cache holds in its first slots; next[i] is the
 * first (-1: none, the sequence ends here). */
static void write_on(const tp_lm *lm, tp_tape *tape, const tp_prompts *p, tp_kv_cache *cache, int64_t n, int32_t *next,
                     int64_t max_new, tp_ids *out) {
    int64_t *running = tp_alloc((size_t)n * sizeof *running), *steps = tp_alloc((size_t)(n + 1) * sizeof *steps);
    int64_t *slots = tp_alloc((size_t)n * sizeof *slots), n_running = n;
    for (int64_t i = 0; i < n; i++) running[i] = i;
    for (int64_t i = 0; i <= n; i++) steps[i] = i; /* one row each */
    for (int64_t made = 0; made < max_new; made++) {
        int64_t kept = 0;
        for (int64_t i = 0; i < n_running; i++) {
            if (next[i] < 0) continue;
            tp_ids_append(&out[running[i]], next[i]);
            slots[kept] = running[i];
            next[kept] = next[i];
            running[kept++] = running[i];
        }
        n_running = kept;
        if (n_running == 0 || made + 1 == max_new) break;
        tp_tape_reset(tape);
        tp_batch batch = {
            .n_sequences = n_running, .offsets = steps, .cache = cache, .slots = slots, .adapter = p->adapter};
        tp_var *logits = last_logits(tape, lm, tp_lm_embed(tape, lm, next, n_running), &batch);
        for (int64_t i = 0; i < n_running; i++) next[i] = next_token(lm, p, logits->data + i * logits->cols);
    }
    tp_free(running);
    tp_free(steps);
    tp_free(slots);
}

/* Continues the prompts of one chunk; the cache has a slot for each. */
static void generate_chunk(const tp_lm *lm, tp_tape *tape, const tp_prompts *p, int64_t from, int64_t n,
                           int64_t max_new, tp_kv_cache *cache, tp_ids *out) {
    int32_t *next = tp_alloc((size_t)n * sizeof *next);
    tp_tape_reset(tape);
    tp_batch batch;
    tp_var *logits = last_logits(tape, lm, prompt_rows(tape, lm, p, from, n, cache, &batch), &batch);
    for (int64_t i = 0; i < n; i++) next[i] = next_token(lm, p, logits->data + i * logits->cols);
    write_on(lm, tape, p, cache, n, next, max_new, out + from);
    tp_free(next);
}

tp_status tp_generate_greedy(const tp_lm *lm, tp_math math, const tp_prompts *prompts, int64_t max_new, tp_ids *out) {
    if (prompts->n == 0 || max_new <= 0) return TP_OK;
    int64_t capacity = longest_prompt(prompts) + max_new;
    int64_t chunk = sequences_at_once(tp_kv_cache_slot_bytes(lm, TP_F32, capacity));
    if (chunk > prompts->n) chunk = prompts->n;
    tp_kv_cache *cache = prompt_cache(lm, prompts, chunk, capacity, capacity);
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

/* What is known of a chunk of prompts. */
typedef struct {
    const tree *tree;
    tp_kv_cache *prompts;  /* prompt i is in slot i: node 0 */
    tp_kv_cache *answers;  /* behind it; the other inner nodes of prompt i are in the slots i * n_inner + their own */
    double *totals;        /* [n, tree->n]: log-likelihood up to each node; NAN: not known yet */
    bool *run;             /* [n, tree->n]: inner nodes whose children are known */
    const int32_t *wanted; /* [n]: an answer of each prompt that must be known; NULL: none */
    bool all;              /* every answer must be known */
    int64_t max_new;       /* ids to be written after each prompt, too, into out [n]; 0: none */
    tp_ids *out;
} scoring;

/* Log-likelihood of the likeliest answer of prompt i that is known to its end. */
static double best_known(const scoring *c, int64_t i, int64_t n_answers) {
    double best = -INFINITY;
    for (int64_t a = 0; a < n_answers; a++) {
        double total = c->totals[i * (int64_t)c->tree->n + c->tree->leaves[a]];
        if (total > best) best = total;
    }
    return best;
}

static bool leads_to(const tree *t, int32_t node, int32_t leaf) {
    while (leaf > node) leaf = t->nodes[leaf].parent;
    return leaf == node;
}

/* The nodes of prompt i to be run next. Likelihoods only fall along an answer: a node that is below an answer known to
 * its end need not be followed. Until one is known the likeliest node goes first, by itself. */
static int64_t choose(const scoring *c, int64_t i, int64_t n_answers, int32_t *chosen) {
    const tree *t = c->tree;
    const double *totals = c->totals + i * (int64_t)t->n;
    double bound = c->all ? -INFINITY : best_known(c, i, n_answers);
    int32_t first = -1;
    int64_t n = 0;
    for (int32_t k = 1; k < (int32_t)t->n; k++) {
        if (t->nodes[k].slot < 0 || c->run[i * (int64_t)t->n + k] || isnan(totals[k])) continue;
        bool must = c->all || (c->wanted && leads_to(t, k, t->leaves[c->wanted[i]]));
        if (must || (bound > -INFINITY && totals[k] >= bound)) chosen[n++] = k;
        if (first < 0 || totals[k] > totals[first]) first = k;
    }
    if (!c->all && bound == -INFINITY && first >= 0) {
        for (int64_t j = 0; j < n; j++)
            if (chosen[j] == first) return n;
        chosen[n++] = first;
    }
    return n;
}

/* Has the node's slot of prompt i begin as its parent's: going on from the prompt itself, or with its answer's first
 * tokens. */
static int64_t begin_node(const scoring *c, int64_t i, const tree_node *node) {
    const tree *t = c->tree;
    int64_t slot = i * t->n_inner + node->slot;
    if (node->parent == 0)
        tp_kv_cache_go_on(c->answers, slot, i);
    else
        tp_kv_cache_copy(c->answers, i * t->n_inner + t->nodes[node->parent].slot, slot);
    return slot;
}

/* Runs the tree for the n prompts of a chunk. */
static void score_chunk(const tp_lm *lm, tp_tape *tape, const tp_prompts *p, int64_t from, int64_t n, int64_t n_answers,
                        const scoring *c) {
    const tree *t = c->tree;
    int64_t most = n * t->n_inner;
    int64_t *slots = tp_alloc((size_t)most * sizeof *slots), *steps = tp_alloc((size_t)(most + 1) * sizeof *steps);
    int32_t *tokens = tp_alloc((size_t)most * sizeof *tokens), *nodes = tp_alloc((size_t)most * sizeof *nodes);
    int32_t *next = tp_alloc((size_t)n * sizeof *next);
    for (int64_t i = 0; i <= most; i++) steps[i] = i;
    for (int64_t i = 0; i < n * (int64_t)t->n; i++) c->totals[i] = NAN, c->run[i] = false;
    tp_tape_reset(tape);
    tp_batch batch;
    tp_var *logits = last_logits(tape, lm, prompt_rows(tape, lm, p, from, n, c->prompts, &batch), &batch);
    for (int64_t i = 0; i < n; i++) {
        double *totals = c->totals + i * (int64_t)t->n;
        totals[0] = 0;
        score_children(t, 0, logits->data + i * logits->cols, logits->cols, totals);
        if (c->max_new > 0) next[i] = next_token(lm, p, logits->data + i * logits->cols);
    }
    for (;;) {
        int64_t rows = 0;
        for (int64_t i = 0; i < n; i++) {
            int64_t chosen = choose(c, i, n_answers, nodes + rows);
            for (; chosen > 0; chosen--, rows++) {
                const tree_node *node = &t->nodes[nodes[rows]];
                slots[rows] = begin_node(c, i, node);
                tokens[rows] = node->token;
                c->run[i * (int64_t)t->n + nodes[rows]] = true;
            }
        }
        if (rows == 0) break;
        tp_tape_reset(tape);
        batch = (tp_batch){
            .n_sequences = rows, .offsets = steps, .cache = c->answers, .slots = slots, .adapter = p->adapter};
        logits = last_logits(tape, lm, tp_lm_embed(tape, lm, tokens, rows), &batch);
        for (int64_t r = 0; r < rows; r++)
            score_children(t, nodes[r], logits->data + r * logits->cols, logits->cols,
                           c->totals + slots[r] / t->n_inner * (int64_t)t->n);
    }
    if (c->max_new > 0) write_on(lm, tape, p, c->prompts, n, next, c->max_new, c->out);
    tp_free(slots);
    tp_free(steps);
    tp_free(tokens);
    tp_free(nodes);
    tp_free(next);
}

/* Log-likelihoods into scores [n, n_answers], NAN for those that were not followed to their end; up to max_new greedy
 * ids into out. */
static tp_status score(const tp_lm *lm, tp_math math, const tp_prompts *prompts, const tp_ids *answers,
                       int64_t n_answers, bool all, const int32_t *wanted, double *scores, int64_t max_new,
                       tp_ids *out) {
    if (prompts->n == 0) return TP_OK;
    tree t = build_tree(answers, n_answers);
    int64_t most = longest_prompt(prompts), capacity = most + max_new;
    int64_t reach = most + (t.depth > max_new ? t.depth : max_new);
    int64_t chunk = sequences_at_once(tp_kv_cache_slot_bytes(lm, TP_F32, capacity) +
                                      t.n_inner * tp_kv_cache_slot_bytes(lm, TP_F32, t.depth));
    if (chunk > prompts->n) chunk = prompts->n;
    scoring c = {.tree = &t, .all = all, .max_new = max_new};
    c.prompts = prompt_cache(lm, prompts, chunk, capacity, reach);
    if (c.prompts) c.answers = tp_kv_cache_new_behind(lm, c.prompts, chunk * t.n_inner, t.depth);
    tp_status status = c.answers ? TP_OK : tp_last_status();
    if (c.answers) c.prompts->positions = c.answers->positions;
    tp_tape *tape = tp_tape_new(math);
    tape->frozen = true;
    c.totals = tp_alloc((size_t)chunk * t.n * sizeof *c.totals);
    c.run = tp_alloc((size_t)chunk * t.n * sizeof *c.run);
    for (int64_t from = 0; status == TP_OK && from < prompts->n; from += chunk) {
        int64_t n = prompts->n - from < chunk ? prompts->n - from : chunk;
        c.wanted = wanted ? wanted + from : NULL;
        c.out = out ? out + from : NULL;
        score_chunk(lm, tape, prompts, from, n, n_answers, &c);
        for (int64_t i = 0; i < n; i++)
            for (int64_t a = 0; a < n_answers; a++)
                scores[(from + i) * n_answers + a] = c.totals[i * (int64_t)t.n + t.leaves[a]];
    }
    tp_free(c.totals);
    tp_free(c.run);
    tp_tape_free(tape);
    tp_kv_cache_free(c.answers);
    tp_kv_cache_free(c.prompts);
    tp_free(t.nodes);
    tp_free(t.leaves);
    return status;
}

tp_status tp_score_answers(const tp_lm *lm, tp_math math, const tp_prompts *prompts, const tp_ids *answers,
                           int64_t n_answers, double *scores) {
    return score(lm, math, prompts, answers, n_answers, true, NULL, scores, 0, NULL);
}

/* The largest of the scores that are known, of equal ones the first. */
static int32_t best_of(const double *scores, int64_t n) {
    int32_t best = -1;
    for (int32_t a = 0; a < n; a++)
        if (!isnan(scores[a]) && (best < 0 || scores[a] > scores[best])) best = a;
    return best;
}

tp_status tp_best_answers(const tp_lm *lm, tp_math math, const tp_prompts *prompts, const tp_ids *answers,
                          int64_t n_answers, int32_t *best, const int32_t *wanted, double *likelihoods) {
    double *scores = tp_alloc((size_t)(prompts->n * n_answers) * sizeof *scores);
    tp_status status = score(lm, math, prompts, answers, n_answers, false, wanted, scores, 0, NULL);
    for (int64_t i = 0; status == TP_OK && i < prompts->n; i++) {
        best[i] = best_of(scores + i * n_answers, n_answers);
        if (wanted) likelihoods[i] = scores[i * n_answers + wanted[i]];
    }
    tp_free(scores);
    return status;
}

tp_status tp_answer_both_ways(const tp_lm *lm, tp_math math, const tp_prompts *prompts, const tp_ids *answers,
                              int64_t n_answers, int32_t *best, double *scores, int64_t max_new, tp_ids *out) {
    double *own = scores ? NULL : tp_alloc((size_t)(prompts->n * n_answers) * sizeof *own),
           *all = scores ? scores : own;
    tp_status status = score(lm, math, prompts, answers, n_answers, scores != NULL, NULL, all, max_new, out);
    for (int64_t i = 0; status == TP_OK && i < prompts->n; i++) best[i] = best_of(all + i * n_answers, n_answers);
    tp_free(own);
    return status;
}
