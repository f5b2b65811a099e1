/* How the receiver reads a batch of training: layout, soft tokens, answers behind them, and what the recipe's regime
 * changes about that.
 *
 * Masked teacher forcing hides some of the answer's own tokens, so that the later ones, too, have to be told from the
 * soft tokens (phase 10 of the source documents failed because they need not). The warm-up with texts shows some
 * examples' texts as well, so that the first gradients come from a receiver that knows what is meant. */
#include "lm/decoder.h"
#include "train/losses.h"

#include <string.h>

/* A batch that is laid out, with what its rows are taken from. */
typedef struct {
    const tp_relay *relay;
    tp_tape *tape;
    int64_t n;
    const tp_example *const *examples;
    int m; /* soft tokens of an example */
} reading;

/* Lays out the examples `which` (n of them) by a layout that begins as the relay's does. */
static tp_status lay_out(const reading *r, const tp_layout *layout, const int64_t *which, int64_t n,
                         tp_layout_batch *out) {
    tp_relay relay = *r->relay; /* answers are written as this layout ends */
    relay.layout = (tp_layout *)(uintptr_t)layout;
    tp_layout_item *items = tp_arena_alloc(r->tape->arena, (size_t)n * sizeof *items);
    for (int64_t i = 0; i < n; i++) {
        const tp_example *e = r->examples[which[i]];
        items[i] = (tp_layout_item){.text = e->text, .len = e->len};
        TP_TRY(tp_relay_target(&relay, e, r->tape->arena, &items[i]));
    }
    return relay.prefix ? tp_layout_build_behind_prefix(layout, r->tape->arena, items, n, r->m, out)
                        : tp_layout_build(layout, r->tape->arena, items, n, r->m, out);
}

/* Sequence `from` of one batch becomes the next of another, whose example is `example`; the ids of the one begin at
 * first_id of the other's. */
static void take_over(tp_layout_batch *to, const tp_layout_batch *from, int64_t s, int64_t example, int64_t first_id,
                      int64_t m) {
    for (int64_t i = from->offsets[s]; i < from->offsets[s + 1]; i++) {
        tp_row_ref row = from->rows[i];
        row.row += row.source == 0 ? first_id : (example - s) * m;
        to->rows[to->n_rows++] = row;
    }
    for (int64_t t = from->target_offsets[s]; t < from->target_offsets[s + 1]; t++, to->n_targets++) {
        to->targets[to->n_targets] = from->targets[t];
        to->lm_weights[to->n_targets] = from->lm_weights[t];
        to->first_weights[to->n_targets] = from->first_weights[t];
    }
    to->offsets[example + 1] = to->n_rows;
    to->target_offsets[example + 1] = to->n_targets;
}

/* One batch of two: examples that read their texts lie by `with`, the others by `without`. */
static void merge(const reading *r, const bool *reads, const tp_layout_batch *without, const tp_layout_batch *with,
                  tp_layout_batch *out) {
    tp_arena *arena = r->tape->arena;
    const tp_layout_batch *parts[2] = {without, with};
    size_t rows = (size_t)(without->n_rows + with->n_rows), targets = (size_t)(without->n_targets + with->n_targets);
    *out = (tp_layout_batch){.n_sequences = r->n,
                             .n_ids = without->n_ids + with->n_ids,
                             .n_truncated = without->n_truncated + with->n_truncated,
                             .offsets = tp_arena_zalloc(arena, (size_t)(r->n + 1) * sizeof(int64_t)),
                             .target_offsets = tp_arena_zalloc(arena, (size_t)(r->n + 1) * sizeof(int64_t)),
                             .rows = tp_arena_alloc(arena, rows * sizeof(tp_row_ref)),
                             .targets = tp_arena_alloc(arena, targets * sizeof(int32_t)),
                             .lm_weights = tp_arena_alloc(arena, targets * sizeof(float)),
                             .first_weights = tp_arena_alloc(arena, targets * sizeof(float))};
    out->ids = tp_arena_alloc(arena, (size_t)out->n_ids * sizeof *out->ids);
    memcpy(out->ids, without->ids, (size_t)without->n_ids * sizeof *out->ids);
    memcpy(out->ids + without->n_ids, with->ids, (size_t)with->n_ids * sizeof *out->ids);
    int64_t at[2] = {0, 0};
    for (int64_t i = 0; i < r->n; i++) {
        int part = reads[i];
        take_over(out, parts[part], at[part]++, i, part ? without->n_ids : 0, r->m);
    }
}

/* Some examples by the layout with texts, drawn for this step; the others as always. */
static tp_status lay_out_with_texts(const reading *r, const tp_layout *with_text, double share, tp_layout_batch *out) {
    tp_arena *arena = r->tape->arena;
    bool *reads = tp_arena_alloc(arena, (size_t)r->n * sizeof *reads);
    int64_t *which[2], counts[2] = {0, 0};
    tp_rng rng = tp_rng_stream(r->tape->seed, "texts to read", r->tape->step);
    for (int k = 0; k < 2; k++) which[k] = tp_arena_alloc(arena, (size_t)r->n * sizeof(int64_t));
    for (int64_t i = 0; i < r->n; i++) {
        reads[i] = tp_rng_uniform(&rng) < share;
        which[reads[i]][counts[reads[i]]++] = i;
    }
    tp_layout_batch parts[2];
    TP_TRY(lay_out(r, r->relay->layout, which[0], counts[0], &parts[0]));
    TP_TRY(lay_out(r, with_text, which[1], counts[1], &parts[1]));
    merge(r, reads, &parts[0], &parts[1], out);
    return TP_OK;
}

/* Hides some of the answers' tokens: their rows come from a third source, which is returned. */
static tp_var *hide_answers(const reading *r, const tp_regime *regime, double rms, tp_layout_batch *b) {
    int64_t most = b->n_targets + 1, n = 0, d = r->relay->receiver->config.d_model;
    tp_var *masks = tp_var_new(r->tape, most, d);
    memset(masks->data, 0, (size_t)(most * d) * sizeof(float));
    tp_rng drawn = tp_rng_stream(r->tape->seed, "hidden answer tokens", r->tape->step);
    for (int64_t s = 0; s < b->n_sequences; s++) {
        int64_t shown = b->target_offsets[s + 1] - b->target_offsets[s] - 1; /* the last is a target only */
        for (int64_t i = b->offsets[s + 1] - shown; i < b->offsets[s + 1]; i++)
            if (tp_rng_uniform(&drawn) < regime->mask_answers) b->rows[i] = (tp_row_ref){2, n++};
    }
    if (regime->mask_with == TP_MASK_NOISE) {
        tp_rng noise = tp_rng_stream(r->tape->seed, "noise for answer tokens", r->tape->step);
        tp_rng_fill_normal(&noise, masks->data, (size_t)(n * d), rms);
    }
    return masks;
}

static tp_status run(const reading *r, const tp_layout_batch *b, tp_var *soft, tp_var *masks, tp_var **logits) {
    const tp_relay *relay = r->relay;
    const tp_lm *lm = relay->receiver;
    tp_batch rows = {.n_sequences = r->n,
                     .offsets = b->offsets,
                     .prefix = relay->prefix,
                     .wanted = b->target_offsets,
                     .adapter = relay->adapter};
    bool injects = tp_layout_injected(relay->layout) && soft;
    if (injects && tp_layout_prefix_length(relay->layout) > 0 && relay->prefix == NULL)
        return tp_fail(TP_ERR_ARGUMENT, "what the layout begins with must be read before keys and values are injected");
    if (injects) rows.injected = soft, rows.n_injected = r->m, soft = NULL;
    tp_var *x;
    if (masks) {
        tp_var *sources[3] = {tp_lm_embed(r->tape, lm, b->ids, b->n_ids), soft ? soft : masks, masks};
        x = tp_gather(r->tape, sources, 3, b->rows, b->n_rows);
    } else {
        x = tp_layout_input(r->tape, lm, b, soft);
    }
    *logits = tp_lm_logits(r->tape, lm, tp_lm_blocks(r->tape, lm, x, &rows, 0, lm->config.n_layers));
    return TP_OK;
}

static reading reading_of(const tp_relay *relay, tp_tape *tape, const tp_var *soft, const tp_example *const *examples,
                          int64_t n) {
    int m = soft ? (int)(soft->rows / n) : relay->recipe->bridge.soft_tokens;
    return (reading){.relay = relay, .tape = tape, .n = n, .examples = examples, .m = m};
}

static tp_status lay_out_all(const reading *r, tp_layout_batch *batch) {
    int64_t *all = tp_arena_alloc(r->tape->arena, (size_t)r->n * sizeof *all);
    for (int64_t i = 0; i < r->n; i++) all[i] = i;
    return lay_out(r, r->relay->layout, all, r->n, batch);
}

tp_status tp_answer_logits(const tp_relay *relay, tp_tape *tape, tp_var *soft, const tp_example *const *examples,
                           int64_t n, tp_layout_batch *batch, tp_var **logits) {
    reading r = reading_of(relay, tape, soft, examples, n);
    TP_TRY(lay_out_all(&r, batch));
    return run(&r, batch, soft, NULL, logits);
}

tp_status tp_training_logits(const tp_relay *relay, tp_tape *tape, const tp_objective_batch *b, int64_t step,
                             tp_layout_batch *layout, tp_var **logits) {
    reading r = reading_of(relay, tape, b->soft, b->examples, b->n);
    const tp_regime *regime = &relay->recipe->regime;
    tp_var *masks = NULL;
    if (b->aids && b->aids->with_text && step < regime->text_steps)
        TP_TRY(lay_out_with_texts(&r, b->aids->with_text, regime->text_share, layout));
    else
        TP_TRY(lay_out_all(&r, layout));
    if (regime->mask_answers > 0) masks = hide_answers(&r, regime, b->aids ? b->aids->target_rms : 1, layout);
    return run(&r, layout, b->soft, masks, logits);
}
