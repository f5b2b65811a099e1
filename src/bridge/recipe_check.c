/* Judging a recipe. See recipe_check.h: each function looks at one part and adds its sentences. */
#include "bridge/recipe_check.h"

#include "base/mem.h"
#include "bridge/bridge.h"

#include <math.h>
#include <string.h>

enum { MANY_SOFT_TOKENS = 32 }; /* beyond, the report's accuracy fell to chance [R 64] */

typedef struct {
    const tp_recipe *r;
    const tp_task *task; /* or NULL */
    json_t *wrong, *unusual;
} check;

static void add(json_t *list, const char *what, char *sentence) {
    json_array_append_new(list, json_pack("{s:s, s:s}", "what", what, "sentence", sentence));
    tp_free(sentence);
}

#define WRONG(c, ...)   add((c)->wrong, "wrong", tp_format(__VA_ARGS__))
#define UNUSUAL(c, ...) add((c)->unusual, "unusual", tp_format(__VA_ARGS__))

/* The term of that loss, NULL if the recipe has none with a weight. */
static const tp_loss_term *term_of(const tp_recipe *r, tp_loss_name name) {
    for (int i = 0; i < r->n_losses; i++)
        if (r->losses[i].name == name && r->losses[i].weight > 0) return &r->losses[i];
    return NULL;
}

/* ---- what the receiver reads ---- */

static void layout(check *c) {
    const tp_recipe *r = c->r;
    bool has_primer = strstr(r->layout, "{primer}") != NULL, has_soft = strstr(r->layout, "{soft}") != NULL;
    const char *task = c->task ? c->task->primer : NULL;
    if (!has_soft && r->latentwire == NULL)
        WRONG(c, "the layout \"%s\" has no place {soft}: there is nothing to train", r->layout);
    if (strstr(r->layout, "{bos}") == NULL)
        UNUSUAL(c,
                "the layout \"%s\" has no {bos}: a receiver that was trained with one may write nothing or noise "
                "without it",
                r->layout);
    if (task && *task && r->primer && strcmp(task, r->primer) != 0 && has_primer)
        UNUSUAL(c,
                "primer mismatch: the recipe's primer is \"%s\", the task's is \"%s\"; the receiver alone and the text "
                "methods are asked with the task's, so the two are not comparable",
                r->primer, task);
    if (!has_primer && r->primer && *r->primer)
        UNUSUAL(c, "the layout \"%s\" has no {primer}, so the receiver never reads the primer \"%s\"", r->layout,
                r->primer);
}

/* ---- losses ---- */

static void pairs(check *c) {
    const tp_recipe *r = c->r;
    const tp_loss_term *diversity = term_of(r, TP_LOSS_DIVERSITY), *contrast = term_of(r, TP_LOSS_CONTRASTIVE);
    if (diversity && c->task && c->task->kind == TP_TASK_CLASSES && c->task->n_labels <= 2)
        UNUSUAL(c,
                "diversity has the weight %g, but the task has %d classes: half of all pairs are to be answered alike, "
                "and are pushed apart all the same (SPEC 2 has 0 here)",
                diversity->weight, (int)c->task->n_labels);
    if (r->optimiser.batch == 1 && (diversity || contrast))
        WRONG(c,
              "%s compares the examples of a batch, but `optimiser.batch` is 1: it has no pairs, and gives no "
              "gradient",
              diversity ? "diversity" : "contrastive");
    if (contrast && contrast->positives == TP_POSITIVES_VIEWS && r->bridge.dropout <= 0 &&
        r->sender.position_dropout <= 0)
        WRONG(c, "contrastive compares two views of an example, but without `bridge.dropout` or "
                 "`sender.position_dropout` both are the same");
    if (contrast && contrast->positives == TP_POSITIVES_LABEL && c->task && c->task->kind == TP_TASK_TEXT)
        WRONG(c, "contrastive takes positives of the same label, but the task has free answers");
}

static void distances(check *c) {
    const tp_loss_term *anchor = term_of(c->r, TP_LOSS_ANCHOR);
    if (anchor && anchor->distance == TP_DISTANCE_MSE)
        UNUSUAL(c, "anchor is measured by the mean squared distance: embeddings are small numbers, so it is nearly 0 "
                   "wherever the soft tokens point, and gives hardly any gradient; \"distance\": \"cosine\" does not "
                   "depend on scale");
    if (anchor && anchor->target == TP_ANCHOR_QUESTION && term_of(c->r, TP_LOSS_LM))
        UNUSUAL(c, "anchor pulls the soft tokens to the question, lm asks them for the answer: the documents found the "
                   "two to work against each other");
}

static void families(check *c) {
    const tp_recipe *r = c->r;
    for (int i = 0; i < TP_N_LOSSES; i++) {
        bool own = tp_bridge_has_loss(r->bridge.kind, (tp_loss_name)i);
        bool a_familys = i == TP_LOSS_VQ || i == TP_LOSS_FSQ || i == TP_LOSS_FLOW;
        const tp_loss_term *term = term_of(r, (tp_loss_name)i);
        if (a_familys && term && !own)
            WRONG(c, "the loss \"%s\" is asked for, which bridges of the kind \"%s\" do not have",
                  tp_loss_name_text((tp_loss_name)i), r->bridge.kind);
        if (own && !term)
            UNUSUAL(c, "a bridge of the kind \"%s\" has a loss \"%s\" of its own, which has no weight here",
                    r->bridge.kind, tp_loss_name_text((tp_loss_name)i));
    }
}

static void schedules(check *c) {
    const tp_recipe *r = c->r;
    const tp_latentwire_recipe *wire = r->latentwire; /* which can be taught by what it rebuilds alone */
    bool any = wire && wire->recon_cosine + wire->recon_mse > 0, answer = false;
    for (int i = 0; i < r->n_losses; i++) {
        const tp_loss_term *t = &r->losses[i];
        const char *name = tp_loss_name_text(t->name);
        any = any || t->weight > 0;
        answer = answer || (t->weight > 0 && tp_loss_asks_for_the_answer(t->name));
        if (t->schedule == TP_SCHEDULE_CONSTANT || t->weight <= 0) continue;
        if (t->from >= r->optimiser.steps)
            WRONG(c, "the loss \"%s\" begins at step %lld, but training ends at %lld", name, (long long)t->from,
                  (long long)r->optimiser.steps);
        else if (t->schedule == TP_SCHEDULE_ANNEAL && t->to > r->optimiser.steps)
            UNUSUAL(c, "the loss \"%s\" would have its full weight at step %lld, but training ends at %lld", name,
                    (long long)t->to, (long long)r->optimiser.steps);
    }
    if (r->optimiser.steps == 0) return;
    if (!any)
        WRONG(c, "no loss has a weight: there is nothing to learn");
    else if (!answer)
        UNUSUAL(c,
                "no loss asks for the answer (lm, first_token, bottleneck, distill): the bridge learns only what its "
                "other losses want");
}

/* ---- sizes ---- */

static void sizes(check *c) {
    const tp_recipe *r = c->r;
    if (r->bridge.soft_tokens > MANY_SOFT_TOKENS)
        UNUSUAL(c,
                "%d soft tokens: in the documents' own runs more than 16 were worse, and 128 were at chance; a "
                "text as long would be read as well",
                r->bridge.soft_tokens);
    if (r->optimiser.steps > 0 && r->optimiser.warmup >= r->optimiser.steps)
        UNUSUAL(c, "the warm-up takes %lld of %lld steps: the learning rate never reaches its value",
                (long long)r->optimiser.warmup, (long long)r->optimiser.steps);
    if (r->optimiser.steps > 0 && r->early_stopping.every > r->optimiser.steps)
        UNUSUAL(c, "validation comes every %lld steps of %lld: only the last bridge is ever looked at",
                (long long)r->early_stopping.every, (long long)r->optimiser.steps);
    if (r->bridge.scale == TP_SCALE_TANH)
        UNUSUAL(c, "the tokens pass tanh, which saturates where they grow: the documents' loss stood still there until "
                   "it was replaced by \"scale\": \"rms\"");
}

json_t *tp_recipe_check(const tp_recipe *recipe, const tp_task *task) {
    check c = {recipe, task, json_array(), json_array()};
    layout(&c);
    pairs(&c);
    distances(&c);
    if (recipe->latentwire == NULL) families(&c);
    schedules(&c);
    sizes(&c);
    json_array_extend(c.wrong, c.unusual);
    json_decref(c.unusual);
    return c.wrong;
}
