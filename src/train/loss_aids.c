/* Heads and the teacher's layout. See loss_aids.h. */
#include "train/loss_aids.h"

#include "base/mem.h"

#include <string.h>

static const tp_loss_term *find_loss(const tp_recipe *recipe, tp_loss_name name) {
    for (int i = 0; i < recipe->n_losses; i++)
        if (recipe->losses[i].name == name) return &recipe->losses[i];
    return NULL;
}

static void attach_recon(tp_loss_aids *aids, const tp_relay *relay, const tp_loss_term *term, const tp_calibration *c,
                         uint64_t seed) {
    tp_recon_head *head = &aids->recon;
    const tp_bridge_recipe *b = &relay->recipe->bridge;
    if (term->of == TP_RECON_TOKEN) {
        tp_nn_linear_attach(&aids->params, &head->in, "heads.recon.in", b->width, c->d_target, true, seed);
        tp_nn_attention_attach(&aids->params, &head->attention, "heads.recon.attention", b->width, b->heads, seed);
        tp_nn_norm_attach(&aids->params, &head->norm, "heads.recon.norm", b->width);
        tp_nn_ffn_attach(&aids->params, &head->ffn, "heads.recon.ffn", b->width, 2 * (int64_t)b->width, seed);
    }
    tp_nn_linear_attach(&aids->params, &head->out, "heads.recon.out", c->d_source,
                        term->of == TP_RECON_TOKEN ? b->width : c->d_target, true, seed);
    head->mean = tp_alloc((size_t)c->d_source * sizeof(float));
    head->inverse_std = tp_alloc((size_t)c->d_source * sizeof(float));
    for (int64_t j = 0; j < c->d_source; j++)
        head->mean[j] = c->source_mean[j], head->inverse_std[j] = 1 / c->source_std[j];
}

/* A layout in which the receiver reads texts; some of its context is left for what else it reads and says. */
static tp_layout *text_layout(const tp_relay *relay, const char *pattern, bool injected) {
    int64_t context = relay->receiver->config.max_position_embeddings, wanted = relay->recipe->sender.max_tokens;
    int64_t rest = context / 8 + relay->recipe->bridge.soft_tokens + TP_LONGEST_FREE_ANSWER;
    int64_t room = context <= 0 ? wanted : context > rest + 16 ? context - rest : 16;
    return tp_layout_new(&(tp_layout_options){.pattern = pattern,
                                              .primer = relay->recipe->primer,
                                              .tokenizer = relay->receiver->tokenizer,
                                              .eos = -1,
                                              .labels = relay->label_names,
                                              .n_labels = relay->n_labels,
                                              .max_text_tokens = wanted < room ? wanted : room,
                                              .truncate = relay->recipe->sender.truncate,
                                              .injected = injected});
}

/* The text as a receiver without a bridge is asked about it. */
static tp_layout *teacher_layout(const tp_relay *relay, const tp_loss_term *term, const tp_task *task) {
    char *pattern = tp_format("{bos}%s", term->prompt == TP_PROMPT_LABELS ? task->prompt_labels : task->prompt);
    tp_layout *layout = text_layout(relay, pattern, false);
    tp_free(pattern);
    return layout;
}

/* The recipe's layout with the text in a line of its own behind the soft tokens. */
static tp_layout *layout_with_text(const tp_relay *relay) {
    const char *pattern = relay->recipe->layout, *soft = strstr(pattern, "{soft}"), *behind = soft + strlen("{soft}");
    if (strstr(pattern, "{text}"))
        return tp_fail_null(TP_ERR_ARGUMENT,
                            "recipe: `regime.text_steps` lets the receiver read texts for a while, but with the layout "
                            "\"%s\" it always does",
                            pattern);
    char *with = tp_format("%.*s{text}\n%s", (int)(behind - pattern), pattern, behind);
    tp_layout *layout = text_layout(relay, with, tp_layout_injected(relay->layout));
    tp_free(with);
    return layout;
}

/* Layouts, once the heads stand. Takes the aids over. */
static tp_loss_aids *with_layouts(tp_loss_aids *aids, const tp_relay *relay, const tp_task *task) {
    const tp_loss_term *distill = find_loss(relay->recipe, TP_LOSS_DISTILL);
    bool texts = relay->recipe->regime.text_steps > 0;
    if (distill) aids->teacher = teacher_layout(relay, distill, task);
    if (texts) aids->with_text = layout_with_text(relay);
    if ((distill == NULL || aids->teacher) && (!texts || aids->with_text)) return aids;
    tp_loss_aids_free(aids);
    return NULL;
}

tp_loss_aids *tp_loss_aids_new(const tp_relay *relay, const tp_calibration *calibration, const tp_task *task,
                               uint64_t seed) {
    tp_loss_aids *aids = tp_alloc(sizeof *aids);
    aids->target_rms = calibration->target_rms;
    const tp_loss_term *recon = find_loss(relay->recipe, TP_LOSS_RECON);
    if (recon) attach_recon(aids, relay, recon, calibration, seed);
    if (find_loss(relay->recipe, TP_LOSS_BOW))
        tp_nn_linear_attach(&aids->params, &aids->bow, "heads.bow", relay->sender->config.vocab_size,
                            calibration->d_target, true, seed);
    return with_layouts(aids, relay, task);
}

tp_loss_aids *tp_loss_aids_new_sharing(const tp_relay *relay, const tp_calibration *calibration, const tp_task *task,
                                       const tp_loss_aids *heads) {
    tp_loss_aids *aids = tp_alloc(sizeof *aids);
    *aids = (tp_loss_aids){
        .shares_heads = true, .recon = heads->recon, .bow = heads->bow, .target_rms = calibration->target_rms};
    return with_layouts(aids, relay, task);
}

void tp_loss_aids_free(tp_loss_aids *aids) {
    if (aids == NULL) return;
    tp_params_free(&aids->params);
    if (!aids->shares_heads) tp_free(aids->recon.mean);
    if (!aids->shares_heads) tp_free(aids->recon.inverse_std);
    tp_layout_free(aids->teacher);
    tp_layout_free(aids->with_text);
    tp_free(aids);
}
