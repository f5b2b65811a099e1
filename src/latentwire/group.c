/* Models and relays of a LatentWire. See group.h. */
#include "latentwire/group.h"

#include "base/hash.h"
#include "base/mem.h"

#include <string.h>

/* ---- models ---- */

/* The model of that path: one that is loaded already, or a new one. NULL on error. */
static tp_lm *lm_of(const tp_recipe *recipe, tp_latentwire_models *m, const char *path) {
    if (m->sender && strcmp(recipe->models.sender, path) == 0) return m->sender;
    for (int i = 0; i < m->n_receivers; i++)
        if (strcmp(recipe->latentwire->receivers[i], path) == 0) return m->receivers[i];
    return tp_lm_load(path, true);
}

static tp_status load(const tp_recipe *recipe, tp_latentwire_models *m) {
    const tp_latentwire_recipe *w = recipe->latentwire;
    if (w->n_receivers == 0)
        return tp_fail(TP_ERR_ARGUMENT, "no receivers: give --receiver A,B, or `latentwire.receivers` in the recipe");
    if (w->encoder != TP_LATENTWIRE_BYTES && recipe->models.sender == NULL)
        return tp_fail(TP_ERR_ARGUMENT,
                       "the encoder \"%s\" stands on a model: give --sender DIR, or `models.sender` in the recipe",
                       tp_latentwire_encoder_name(w->encoder));
    if (w->encoder == TP_LATENTWIRE_SIMPLE && (m->embedder = tp_embedder_load(recipe->models.sender)) == NULL)
        return tp_last_status();
    if (tp_latentwire_taps(w) && (m->sender = tp_lm_load(recipe->models.sender, true)) == NULL) return tp_last_status();
    for (int i = 0; i < w->n_receivers; i++) {
        m->receivers[i] = lm_of(recipe, m, w->receivers[i]);
        if (m->receivers[i] == NULL) return tp_last_status();
        m->n_receivers++;
    }
    return TP_OK;
}

tp_status tp_latentwire_load_models(const tp_recipe *recipe, tp_latentwire_models *models) {
    *models = (tp_latentwire_models){0};
    tp_status status = load(recipe, models);
    if (status != TP_OK) tp_latentwire_free_models(models);
    return status;
}

void tp_latentwire_free_models(tp_latentwire_models *m) {
    for (int i = 0; i < m->n_receivers; i++) {
        bool again = m->receivers[i] == m->sender;
        for (int j = 0; j < i; j++) again = again || m->receivers[i] == m->receivers[j];
        if (!again) tp_lm_free(m->receivers[i]);
    }
    for (int i = 0; i < m->n_receivers; i++) m->receivers[i] = NULL;
    tp_lm_free(m->sender);
    tp_embedder_free(m->embedder);
    *m = (tp_latentwire_models){0};
}

void tp_latentwire_source_fingerprint(const tp_latentwire_models *m, char hex[33]) {
    const tp_lm *lm = m->sender ? m->sender : m->embedder ? m->embedder->lm : NULL;
    const tp_encoder *encoder = m->embedder ? m->embedder->encoder : NULL;
    hex[0] = '\0';
    if (lm == NULL && encoder == NULL) return;
    tp_hash *h = tp_hash_new();
    tp_hash_add_text(h, lm ? lm->fingerprint : encoder->fingerprint);
    tp_hash_add_text(h, tp_tokenizer_fingerprint(lm ? lm->tokenizer : encoder->tokenizer));
    tp_hash_end(h, hex);
}

/* ---- the group ---- */

/* The recipe of one receiver's relay: the same task, layout and losses, with the packet it gets. */
static tp_recipe *recipe_of_one(const tp_recipe *recipe) {
    json_t *copy = tp_recipe_to_json(recipe);
    json_object_del(copy, "latentwire");
    tp_recipe *own = tp_recipe_from_json(copy, "recipe");
    json_decref(copy);
    if (own == NULL) return NULL;
    own->bridge.soft_tokens += recipe->latentwire->private_tokens;
    own->sender.layer = -1; /* of no model that the relay knows */
    own->sender.layer_fraction = 0;
    if (!tp_latentwire_taps(recipe->latentwire)) own->sender.n_layers = 0;
    return own;
}

static tp_status assemble(tp_latentwire_group *g, const tp_task *task) {
    const tp_latentwire_models *m = g->models;
    for (int i = 0; i < m->n_receivers; i++) {
        tp_recipe *own = recipe_of_one(g->recipe);
        if (own == NULL) return tp_last_status();
        /* a relay has a sender; here nobody asks it for anything, and any model will do */
        g->relays[i] = tp_relay_new(own, m->sender ? m->sender : m->receivers[i], m->receivers[i], task);
        if (g->relays[i] == NULL) return tp_last_status();
    }
    if (m->sender == NULL) return TP_OK;
    g->tap = g->relays[0]->tap;
    return tp_recipe_layer(g->recipe, m->sender->config.n_layers, &g->tap.layer);
}

tp_latentwire_group *tp_latentwire_group_new(tp_recipe *recipe, const tp_latentwire_models *models,
                                             const tp_task *task) {
    tp_recipe_complete(recipe, task->n_labels, task->primer);
    tp_latentwire_group *g = tp_alloc(sizeof *g);
    *g = (tp_latentwire_group){.recipe = recipe, .models = models};
    if (assemble(g, task) == TP_OK) return g;
    tp_latentwire_group_free(g);
    return NULL;
}

void tp_latentwire_group_free(tp_latentwire_group *g) {
    if (g == NULL) return;
    for (int i = 0; i < g->models->n_receivers; i++) tp_relay_free(g->relays[i]);
    tp_latentwire_free(g->wire);
    tp_recipe_free(g->recipe);
    tp_free(g);
}

int64_t tp_latentwire_source_width(const tp_latentwire_group *g) {
    return g->models->sender ? tp_tap_width(&g->tap) : g->models->embedder ? g->models->embedder->d_model : 0;
}

tp_latentwire_shape tp_latentwire_group_shape(const tp_latentwire_group *g, int64_t *widths) {
    for (int i = 0; i < g->models->n_receivers; i++) widths[i] = g->models->receivers[i]->config.d_model;
    return (tp_latentwire_shape){.recipe = g->recipe->latentwire,
                                 .bridge = &g->recipe->bridge,
                                 .d_source = tp_latentwire_source_width(g),
                                 .n_receivers = g->models->n_receivers,
                                 .d_receiver = widths};
}
