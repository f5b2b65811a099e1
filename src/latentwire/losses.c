/* The losses of a LatentWire. See losses.h. */
#include "latentwire/losses.h"

#include "base/mem.h"
#include "bridge/prompt.h"
#include "latentwire/adapter.h"
#include "tensor/affine.h"
#include "train/losses.h"

#include <math.h>
#include <string.h>

/* Losses that ask for what only a bridge between two models has. */
static bool is_of_a_bridge(const tp_loss_term *term) {
    switch (term->name) {
    case TP_LOSS_LM:
    case TP_LOSS_FIRST_TOKEN:
    case TP_LOSS_BOTTLENECK:
    case TP_LOSS_DIVERSITY:
    case TP_LOSS_ANCHOR:
    case TP_LOSS_ALIGN:
        return false;
    case TP_LOSS_CONTRASTIVE:
        return term->positives == TP_POSITIVES_VIEWS;
    default:
        return true;
    }
}

tp_status tp_latentwire_losses_check(tp_latentwire_group *g) {
    const tp_latentwire_recipe *w = g->recipe->latentwire;
    bool aligned = false;
    for (int i = 0; i < g->recipe->n_losses; i++) {
        const tp_loss_term *term = &g->recipe->losses[i];
        aligned = aligned || term->name == TP_LOSS_ALIGN;
        if (is_of_a_bridge(term))
            return tp_fail(TP_ERR_UNSUPPORTED,
                           "recipe: `losses[%d].name` is \"%s\"%s, which only a bridge between two models can have%s",
                           i, tp_loss_name_text(term->name),
                           term->name == TP_LOSS_CONTRASTIVE ? " with two views of each example" : "",
                           term->name == TP_LOSS_SCALE_REG ? " (adapters have `latentwire.scale_reg`)"
                           : term->name == TP_LOSS_RECON   ? " (adapters have `latentwire.recon`)"
                                                           : "");
    }
    for (int k = 0; k < g->models->n_receivers; k++) {
        tp_relay *relay = g->relays[k];
        if (!tp_layout_has_soft(relay->layout))
            return tp_fail(TP_ERR_ARGUMENT, "the recipe's layout \"%s\" has no place {soft}: there is nothing to train",
                           relay->recipe->layout);
        TP_TRY(tp_objective_check(relay));
        if (w->warmup == 0) continue;
        if (aligned || relay->recipe->n_losses == TP_MAX_LOSSES)
            return tp_fail(TP_ERR_ARGUMENT,
                           aligned ? "recipe: there is a loss `align`, and `latentwire.warmup` has its own: leave one"
                                   : "recipe: there are too many losses for the alignment of `latentwire.warmup`");
        tp_loss_term *term = &relay->recipe->losses[relay->recipe->n_losses++];
        *term = (tp_loss_term){.name = TP_LOSS_ALIGN, .tokens = w->align_tokens};
    }
    return TP_OK;
}

bool tp_latentwire_is_text_step(const tp_latentwire_recipe *recipe, int64_t step) {
    return step < recipe->warmup && step % 2 == 1;
}

/* ---- reconstruction ---- */

/* The receiver's own embeddings of the texts, averaged over as many stretches as a packet has soft tokens. */
static tp_status own_embeddings(const tp_relay *relay, tp_tape *tape, const tp_example *const *examples, int64_t n,
                                int64_t m, tp_var **out) {
    const tp_recipe *recipe = relay->recipe;
    int64_t d = relay->receiver->config.d_model;
    *out = tp_var_new(tape, n * m, d);
    tp_ids ids = {0};
    tp_status status = TP_OK;
    for (int64_t i = 0; i < n && status == TP_OK; i++) {
        ids.len = 0;
        status = tp_prompt_encode(relay->receiver->tokenizer, "{text}", examples[i]->text, examples[i]->len,
                                  recipe->sender.max_tokens, recipe->sender.truncate, TP_TOKENS_PLAIN, &ids, NULL);
        if (ids.len == 0) tp_ids_append(&ids, tp_layout_eos(relay->layout)); /* an empty text */
        if (status != TP_OK) break;
        const tp_var *rows = tp_lm_embed(tape, relay->receiver, ids.data, (int64_t)ids.len);
        tp_stretch_means(rows->data, rows->rows, d, (int)m, (*out)->data + i * m * d);
    }
    tp_ids_free(&ids);
    return status;
}

/* ---- their sum ---- */

typedef struct {
    tp_var *terms[2 * TP_LATENTWIRE_MOST_RECEIVERS + 2 * TP_LATENTWIRE_MOST_RECEIVERS + 1];
    float weights[4 * TP_LATENTWIRE_MOST_RECEIVERS + 1];
    int n;
} sum;

static void add(sum *s, tp_var *term, double weight) {
    s->terms[s->n] = term;
    s->weights[s->n++] = (float)weight;
}

/* Whether any of the relay's losses counts at this step: if none does, the receiver need not read anything. */
static bool any_loss(const tp_recipe *recipe, int64_t step) {
    for (int i = 0; i < recipe->n_losses; i++)
        if (tp_loss_weight(&recipe->losses[i], step) > 0) return true;
    return false;
}

static tp_status of_receiver(tp_latentwire_group *g, int k, tp_tape *tape, tp_var *soft,
                             const tp_example *const *examples, int64_t n, int64_t step, sum *s,
                             tp_latentwire_values *v) {
    tp_relay *relay = g->relays[k];
    const tp_latentwire_recipe *w = g->recipe->latentwire;
    const tp_latentwire_head *head = &g->wire->heads[k];
    double share = 1.0 / g->models->n_receivers;
    *v = (tp_latentwire_values){.objective = {.total = NAN}, .cosine = NAN, .mse = NAN, .scale = NAN};
    for (int i = 0; i < TP_N_LOSSES; i++) v->objective.losses[i] = NAN;
    if (tp_weight_present(&head->scale)) v->scale = tp_weight_f32(&head->scale, false)[0];
    if (w->warmup > 0)
        relay->recipe->losses[relay->recipe->n_losses - 1].weight = tp_latentwire_is_text_step(w, step) ? w->align : 0;
    if (any_loss(relay->recipe, step)) {
        tp_var *loss;
        tp_objective_batch batch = {.examples = examples, .n = n, .soft = soft};
        TP_TRY(tp_objective(relay, tape, &batch, step, &loss, &v->objective));
        add(s, loss, share);
    }
    if (w->recon_cosine <= 0 && w->recon_mse <= 0) return TP_OK;
    tp_var *own;
    TP_TRY(own_embeddings(relay, tape, examples, n, soft->rows / n, &own));
    tp_var *turned = tp_loss_distance(tape, TP_DISTANCE_COSINE, soft, own);
    tp_var *off = tp_loss_distance(tape, TP_DISTANCE_MSE, soft, own);
    v->cosine = 1 - turned->data[0];
    v->mse = off->data[0];
    add(s, turned, share * w->recon_cosine);
    add(s, off, share * w->recon_mse);
    return TP_OK;
}

tp_status tp_latentwire_losses(tp_latentwire_group *g, tp_tape *tape, tp_var *const *soft,
                               const tp_example *const *examples, int64_t n, int64_t step, tp_var **loss,
                               tp_latentwire_values *values) {
    sum s = {.n = 0};
    for (int k = 0; k < g->models->n_receivers; k++)
        TP_TRY(of_receiver(g, k, tape, soft[k], examples, n, step, &s, &values[k]));
    tp_var *scales = tp_latentwire_scale_reg(tape, g->wire);
    if (scales && g->recipe->latentwire->scale_reg > 0) add(&s, scales, g->recipe->latentwire->scale_reg);
    if (s.n == 0)
        return tp_fail(TP_ERR_ARGUMENT, "recipe: at step %lld no loss has a weight, there is nothing to learn",
                       (long long)step);
    *loss = tp_weighted_sum(tape, s.terms, s.weights, s.n);
    return TP_OK;
}
