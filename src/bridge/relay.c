/* From text to answer through the bridge. See relay.h. */
#include "bridge/relay.h"

#include "base/mem.h"
#include "base/str.h"

#include <string.h>

/* The tokens a model can read at once: no model is given more. One made in memory may leave it open. */
static int64_t context_of(const tp_lm *lm) {
    return lm && lm->config.max_position_embeddings > 0 ? lm->config.max_position_embeddings : INT32_MAX;
}

/* What both ways of making a relay share; takes recipe and prompt over. */
static tp_relay *assemble(tp_recipe *recipe, const tp_lm *sender, const tp_lm *receiver, char *prompt, int n_labels) {
    int64_t context = recipe->bridge.segment_tokens > 0 ? INT32_MAX : context_of(sender);
    tp_relay *r = tp_alloc(sizeof *r);
    *r = (tp_relay){.recipe = recipe, .sender = sender, .receiver = receiver, .prompt = prompt, .n_labels = n_labels};
    r->label_names = tp_alloc((size_t)n_labels * sizeof *r->label_names);
    r->tap = (tp_tap){.sender = sender,
                      .prompt = prompt,
                      .max_tokens = recipe->sender.max_tokens < context ? recipe->sender.max_tokens : (int)context,
                      .segment = recipe->bridge.segment_tokens,
                      .truncate = recipe->sender.truncate,
                      .layers = recipe->sender.layers,
                      .n_layers = recipe->sender.n_layers,
                      .math = recipe->math};
    return r;
}

static tp_status has_tokenizer(const tp_lm *lm, const char *role) {
    if (lm == NULL || lm->tokenizer) return TP_OK; /* without a model there is nothing to tokenize */
    return tp_fail(TP_ERR_ARGUMENT,
                   "the %s %s has no tokenizer: its folder must hold a tokenizer.json or "
                   "tokenizer.model, and be loaded with it",
                   role, lm->path ? lm->path : "(a model made in memory)");
}

static tp_status segments_fit(const tp_relay *r) {
    int64_t context = context_of(r->sender);
    if (r->tap.segment <= context) return TP_OK;
    return tp_fail(TP_ERR_ARGUMENT,
                   "recipe: `bridge.segment_tokens` is %d, the sender %s reads at most %lld tokens at once",
                   r->tap.segment, r->sender->path ? r->sender->path : "(a model made in memory)", (long long)context);
}

static tp_layout *new_layout(const tp_relay *r, int64_t max_text_tokens) {
    return tp_layout_new(&(tp_layout_options){.pattern = r->recipe->layout,
                                              .primer = r->recipe->primer,
                                              .tokenizer = r->receiver->tokenizer,
                                              .eos = -1,
                                              .labels = r->label_names,
                                              .n_labels = r->n_labels,
                                              .max_text_tokens = max_text_tokens,
                                              .truncate = r->recipe->sender.truncate,
                                              .injected = r->recipe->bridge.injection == TP_INJECT_KV});
}

/* The rows that the receiver reads with an empty text and the longest answer. */
static tp_status least_rows(const tp_relay *r, int64_t *rows) {
    tp_layout_item item = {.text = ""};
    for (int i = 0; i < r->n_labels; i++) {
        const tp_ids *label = tp_layout_label(r->layout, i);
        if (label->len > item.n_answer) item.answer = label->data, item.n_answer = label->len;
    }
    tp_arena *arena = tp_arena_new();
    tp_layout_batch batch;
    tp_status status = tp_layout_build(r->layout, arena, &item, 1, r->recipe->bridge.soft_tokens, &batch);
    *rows = batch.n_rows + (r->n_labels == 0 ? TP_LONGEST_FREE_ANSWER : 0);
    if (tp_layout_injected(r->layout)) *rows += r->recipe->bridge.soft_tokens; /* positions without rows */
    tp_arena_free(arena);
    return status;
}

/* Where keys and values are injected, the receiver reads what stands before them by itself, once. */
static tp_status read_head(tp_relay *r) {
    tp_ids ids = {0};
    if (tp_layout_injected(r->layout)) tp_layout_prefix(r->layout, &ids);
    if (ids.len > 0) {
        tp_tape *tape = tp_tape_new(r->recipe->math);
        tape->frozen = true;
        r->head =
            tp_read_before(r->receiver, r->recipe->math,
                           tp_lm_embed(tape, r->receiver, ids.data, (int64_t)ids.len)->data, (int64_t)ids.len, NULL);
        tp_tape_free(tape);
    }
    bool failed = ids.len > 0 && r->head == NULL;
    tp_ids_free(&ids);
    return failed ? tp_last_status() : TP_OK;
}

/* The layout, once the labels' names stand. All of it must fit into the receiver's context; a text in it gets what the
 * rest leaves. */
static tp_status lay_out(tp_relay *r) {
    TP_TRY(has_tokenizer(r->receiver, "receiver"));
    int64_t wanted = r->recipe->sender.max_tokens, context = context_of(r->receiver), rows;
    if (r->recipe->bridge.injection == TP_INJECT_KV && !tp_prefix_possible(r->receiver))
        return tp_fail(TP_ERR_UNSUPPORTED,
                       "the receiver %s turns its keys by how long the text becomes (LongRoPE): keys and values cannot "
                       "be injected into it",
                       r->receiver->path ? r->receiver->path : "(a model made in memory)");
    r->layout = new_layout(r, wanted);
    if (r->layout == NULL) return tp_last_status();
    TP_TRY(least_rows(r, &rows));
    if (rows > context)
        return tp_fail(TP_ERR_ARGUMENT,
                       "the layout \"%s\" with %d soft tokens and the longest answer takes %lld tokens, the receiver "
                       "%s reads at most %lld",
                       r->recipe->layout, r->recipe->bridge.soft_tokens, (long long)rows,
                       r->receiver->path ? r->receiver->path : "(a model made in memory)", (long long)context);
    if (!tp_layout_has_text(r->layout) || wanted <= context - rows) return read_head(r);
    tp_layout_free(r->layout);
    r->layout = new_layout(r, context > rows ? context - rows : 1);
    return r->layout ? read_head(r) : tp_last_status();
}

tp_relay *tp_relay_new(tp_recipe *recipe, const tp_lm *sender, const tp_lm *receiver, const tp_task *task) {
    tp_recipe_complete(recipe, task->n_labels, task->primer);
    const char *prompt = recipe->sender.prompt == TP_PROMPT_LABELS ? task->prompt_labels : task->prompt;
    tp_relay *r = assemble(recipe, sender, receiver, tp_strdup(prompt), task->n_labels);
    for (int i = 0; i < r->n_labels; i++) r->label_names[i] = tp_strdup(task->labels[i].name);
    tp_status status = tp_recipe_layer(recipe, sender->config.n_layers, &r->tap.layer);
    if (status == TP_OK) status = has_tokenizer(sender, "sender");
    if (status == TP_OK) status = segments_fit(r);
    if (status == TP_OK) status = lay_out(r);
    if (status == TP_OK) return r;
    tp_relay_free(r);
    return NULL;
}

void tp_relay_set_bridge(tp_relay *r, tp_bridge *bridge, const tp_task *task) {
    tp_trained_bridge_free(r->trained);
    r->trained = tp_trained_bridge_new(bridge, r->recipe, r->tap.layer, r->prompt, r->sender, r->receiver, task->name,
                                       r->label_names, r->n_labels);
    r->bridge = bridge;
}

tp_relay *tp_relay_load(const char *folder, const tp_lm *sender, const tp_lm *receiver) {
    tp_trained_bridge *trained = tp_bridge_load(folder);
    if (trained == NULL) return NULL;
    json_t *copy = tp_recipe_to_json(trained->recipe);
    tp_recipe *recipe = tp_recipe_from_json(copy, folder);
    json_decref(copy);
    if (recipe == NULL || tp_bridge_check_models(trained, folder, sender, receiver) != TP_OK) {
        tp_recipe_free(recipe);
        tp_trained_bridge_free(trained);
        return NULL;
    }
    tp_relay *r = assemble(recipe, sender, receiver, tp_strdup(trained->prompt), trained->n_labels);
    for (int i = 0; i < r->n_labels; i++) r->label_names[i] = tp_strdup(trained->labels[i]);
    r->trained = trained;
    r->bridge = trained->bridge;
    tp_params_freeze(&r->bridge->params);
    r->tap.layer = trained->layer;
    if (has_tokenizer(sender, "sender") == TP_OK && (receiver == NULL || lay_out(r) == TP_OK)) return r;
    tp_relay_free(r);
    return NULL;
}

void tp_relay_free(tp_relay *relay) {
    if (relay == NULL) return;
    for (int i = 0; i < relay->n_labels; i++) tp_free((void *)(uintptr_t)relay->label_names[i]);
    tp_free(relay->label_names);
    tp_free(relay->prompt);
    tp_prefix_free(relay->prefix);
    tp_kv_cache_free(relay->head);
    tp_layout_free(relay->layout);
    tp_trained_bridge_free(relay->trained);
    tp_recipe_free(relay->recipe);
    tp_free(relay);
}

tp_status tp_relay_read_prefix(tp_relay *r) {
    if (r->prefix || !tp_prefix_possible(r->receiver)) return TP_OK;
    tp_ids ids = {0};
    tp_layout_prefix(r->layout, &ids);
    if (ids.len > 0) r->prefix = tp_prefix_new(r->receiver, r->recipe->math, ids.data, (int64_t)ids.len);
    bool failed = ids.len > 0 && r->prefix == NULL;
    tp_ids_free(&ids);
    return failed ? tp_last_status() : TP_OK;
}

int64_t tp_relay_packet_width(const tp_recipe *recipe, const tp_lm *receiver) {
    return recipe->bridge.injection == TP_INJECT_KV ? tp_lm_kv_width(&receiver->config) : receiver->config.d_model;
}

/* The soft tokens that are handed on. */
static tp_var *in_use(const tp_relay *relay, tp_tape *tape, tp_var *soft, int64_t n) {
    int64_t m = n > 0 ? soft->rows / n : 0, wanted = relay->tokens_in_use;
    if (wanted == 0 || wanted >= m) return soft;
    tp_row_ref *rows = tp_arena_alloc(tape->arena, (size_t)(n * wanted) * sizeof *rows);
    for (int64_t i = 0; i < n * wanted; i++) rows[i] = (tp_row_ref){0, i / wanted * m + i % wanted};
    return tp_gather(tape, &soft, 1, rows, n * wanted);
}

tp_var *tp_relay_soft(const tp_relay *relay, tp_tape *tape, tp_var *hidden, const int64_t *offsets, int64_t n) {
    return in_use(relay, tape, tp_bridge_forward(tape, relay->bridge, hidden, offsets, n), n);
}

tp_var *tp_relay_soft_training(const tp_relay *relay, tp_tape *tape, tp_var *hidden, const int64_t *offsets, int64_t n,
                               const tp_bridge_lesson *lesson, tp_bridge_terms *terms) {
    return in_use(relay, tape, tp_bridge_forward_training(tape, relay->bridge, hidden, offsets, n, lesson, terms), n);
}

tp_status tp_relay_prompts(const tp_relay *relay, tp_tape *tape, tp_var *soft, const tp_example *texts, int64_t n,
                           tp_prompts *prompts) {
    tp_layout_item *items = tp_arena_zalloc(tape->arena, (size_t)n * sizeof *items);
    for (int64_t i = 0; texts && i < n; i++) items[i].text = texts[i].text, items[i].len = texts[i].len;
    int m = soft && n > 0 ? (int)(soft->rows / n) : relay->recipe->bridge.soft_tokens;
    TP_TRY(tp_layout_prompts(relay->layout, tape, relay->receiver, items, n, m, soft, tp_layout_injected(relay->layout),
                             prompts, NULL));
    prompts->before = tp_layout_injected(relay->layout) ? relay->head : NULL;
    prompts->adapter = relay->adapter;
    return TP_OK;
}

/* The labels' answers; the ids stay the layout's. */
static tp_ids *label_answers(const tp_relay *relay) {
    tp_ids *answers = tp_alloc((size_t)relay->n_labels * sizeof *answers);
    for (int i = 0; i < relay->n_labels; i++) answers[i] = *tp_layout_label(relay->layout, i);
    return answers;
}

tp_status tp_relay_score(const tp_relay *relay, const tp_prompts *prompts, double *scores) {
    if (relay->n_labels == 0) return TP_OK; /* free answers: there is nothing to score */
    tp_ids *answers = label_answers(relay);
    tp_status status =
        tp_score_answers(relay->receiver, relay->recipe->math, prompts, answers, relay->n_labels, scores);
    tp_free(answers);
    return status;
}

tp_status tp_relay_best(const tp_relay *relay, const tp_prompts *prompts, int32_t *best, const int32_t *wanted,
                        double *likelihoods) {
    tp_ids *answers = label_answers(relay);
    tp_status status = tp_best_answers(relay->receiver, relay->recipe->math, prompts, answers, relay->n_labels, best,
                                       wanted, likelihoods);
    tp_free(answers);
    return status;
}

tp_status tp_relay_generate(const tp_relay *relay, const tp_prompts *prompts, int64_t max_new, char **answers) {
    tp_ids *ids = tp_alloc((size_t)prompts->n * sizeof *ids);
    tp_status status = tp_generate_greedy(relay->receiver, relay->recipe->math, prompts, max_new, ids);
    for (int64_t i = 0; i < prompts->n; i++) {
        answers[i] = status == TP_OK ? tp_tokenizer_decode(relay->receiver->tokenizer, ids[i].data, ids[i].len,
                                                           TP_TOKENS_SKIP_SPECIAL, NULL)
                                     : NULL;
        tp_ids_free(&ids[i]);
    }
    tp_free(ids);
    return status;
}

/* The ids of any answer, cut to `most` with EOS at the end, in the arena. */
static tp_status encode_answer(const tp_relay *relay, const char *answer, size_t n, size_t most, tp_arena *arena,
                               tp_layout_item *item) {
    tp_ids ids = {0};
    tp_status status = tp_layout_encode_answer(relay->layout, answer, n, &ids);
    if (ids.len > most) {
        ids.len = most;
        ids.data[ids.len - 1] = tp_layout_eos(relay->layout);
    }
    int32_t *copy = tp_arena_alloc(arena, (ids.len + 1) * sizeof *copy);
    for (size_t i = 0; i < ids.len; i++) copy[i] = ids.data[i];
    item->answer = copy;
    item->n_answer = ids.len;
    tp_ids_free(&ids);
    return status;
}

tp_status tp_relay_target(const tp_relay *relay, const tp_example *example, tp_arena *arena, tp_layout_item *item) {
    const char *answer = example->label < 0 ? example->answers[0] : relay->label_names[example->label];
    if (relay->recipe->target == TP_TARGET_TEXT_AND_ANSWER) {
        tp_str whole = {0};
        tp_str_append(&whole, example->text, example->len);
        tp_str_appendf(&whole, "\n%s %s", relay->recipe->primer ? relay->recipe->primer : "", answer);
        tp_status status = encode_answer(relay, whole.data, whole.len, TP_LONGEST_TAUGHT_TEXT, arena, item);
        tp_str_free(&whole);
        return status;
    }
    if (example->label < 0) return encode_answer(relay, answer, strlen(answer), TP_LONGEST_FREE_ANSWER, arena, item);
    const tp_ids *label = tp_layout_label(relay->layout, example->label);
    item->answer = label->data;
    item->n_answer = label->len;
    return TP_OK;
}

int64_t tp_relay_longest_answer(const tp_relay *relay) {
    if (relay->n_labels == 0) return TP_LONGEST_FREE_ANSWER;
    size_t most = 0;
    for (int i = 0; i < relay->n_labels; i++) {
        const tp_ids *label = tp_layout_label(relay->layout, i);
        if (label->len > most) most = label->len;
    }
    return (int64_t)most;
}

int32_t tp_best_score(const double *scores, int n) {
    int32_t best = 0;
    for (int i = 1; i < n; i++)
        if (scores[i] > scores[best]) best = i;
    return best;
}
