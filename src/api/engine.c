/* Public interface: loaded models, their tokenizers, and what needs no timeline (states, scores). Everything a caller
 * hands in is checked here, because the floors below take wrong arguments for mistakes of ours and stop at an
 * assertion. */
#include "api/engine.h"

#include "lm/generate.h"
#include "text/chat.h"

#include <math.h>
#include <string.h>

const char *tp_version(void) {
    return TP_VERSION;
}

tp_status tp_missing(const char *function, const char *argument) {
    return tp_fail(TP_ERR_ARGUMENT, "%s: `%s` is NULL", function, argument);
}

/* ---- loading ---- */

static void gather_facts(tp_engine *e) {
    const tp_lm_config *c = &e->lm->config;
    for (int i = 0; i < c->n_eos; i++) e->eos_ids[i] = c->eos_ids[i];
    int32_t bos = c->bos_id;
    if (bos < 0 && e->lm->tokenizer) bos = tp_tokenizer_bos(e->lm->tokenizer);
    e->facts = (tp_engine_facts){.family = tp_lm_family_name(c->family),
                                 .fingerprint = e->lm->fingerprint,
                                 .vocab_size = c->vocab_size,
                                 .d_model = c->d_model,
                                 .n_layers = c->n_layers,
                                 .max_positions = c->max_position_embeddings,
                                 .bos_id = bos,
                                 .n_eos = c->n_eos,
                                 .eos_ids = e->eos_ids,
                                 .has_tokenizer = e->lm->tokenizer != NULL};
}

tp_engine *tp_engine_load(const char *model, unsigned flags) {
    TP_NEEDS_OR_NULL(model);
    if (flags & ~(unsigned)(TP_ENGINE_F32 | TP_ENGINE_NO_TOKENIZER | TP_ENGINE_MLOCK))
        return tp_fail_null(TP_ERR_ARGUMENT, "tp_engine_load: flags are 0x%x, some of which there are not", flags);
    tp_lm *lm = tp_lm_load(model, !(flags & TP_ENGINE_NO_TOKENIZER));
    if (lm && flags & TP_ENGINE_MLOCK && tp_lm_lock(lm) != TP_OK) {
        tp_lm_free(lm);
        return NULL;
    }
    if (lm == NULL) return NULL;
    tp_engine *e = tp_alloc(sizeof *e);
    e->lm = lm;
    e->math = flags & TP_ENGINE_F32 ? TP_MATH_F32 : TP_MATH_BF16;
    gather_facts(e);
    return e;
}

void tp_engine_free(tp_engine *engine) {
    if (engine == NULL) return;
    tp_lm_free(engine->lm);
    tp_free(engine);
}

const tp_engine_facts *tp_engine_get_facts(const tp_engine *engine) {
    TP_NEEDS_OR_NULL(engine);
    return &engine->facts;
}

/* ---- tokens ---- */

static const tp_tokenizer *tokenizer_of(const tp_engine *engine, const char *function) {
    if (engine == NULL) return tp_missing(function, "engine"), NULL;
    if (engine->lm->tokenizer == NULL)
        tp_fail(TP_ERR_ARGUMENT, "%s: %s was loaded without its tokenizer", function, engine->lm->path);
    return engine->lm->tokenizer;
}

int32_t *tp_engine_tokenize(const tp_engine *engine, const char *text, size_t n, unsigned flags, int64_t *n_ids) {
    const tp_tokenizer *tokenizer = tokenizer_of(engine, __func__);
    if (tokenizer == NULL) return NULL;
    TP_NEEDS_OR_NULL(n_ids);
    if (n > 0) TP_NEEDS_OR_NULL(text);
    tp_ids ids = {0};
    if (tp_tokenizer_encode(tokenizer, n ? text : "", n, flags, &ids) != TP_OK) {
        tp_ids_free(&ids);
        return NULL;
    }
    *n_ids = (int64_t)ids.len;
    return ids.data ? ids.data : tp_alloc(sizeof *ids.data);
}

char *tp_engine_detokenize(const tp_engine *engine, const int32_t *ids, int64_t n, unsigned flags, size_t *n_bytes) {
    const tp_tokenizer *tokenizer = tokenizer_of(engine, __func__);
    if (tokenizer == NULL) return NULL;
    if (n < 0) return tp_fail_null(TP_ERR_ARGUMENT, "%s: the number of ids is %lld", __func__, (long long)n);
    if (n > 0) TP_NEEDS_OR_NULL(ids);
    return tp_tokenizer_decode(tokenizer, ids, (size_t)n, flags, n_bytes);
}

const char *tp_engine_piece(const tp_engine *engine, int32_t id, size_t *n) {
    if (n) *n = 0;
    const tp_tokenizer *tokenizer = tokenizer_of(engine, __func__);
    const char *piece = tokenizer ? tp_tokenizer_piece(tokenizer, id, n) : NULL;
    if (tokenizer && piece == NULL) tp_fail(TP_ERR_ARGUMENT, "%s: there is no token %d", __func__, (int)id);
    return piece;
}

/* A special token as it is written; NULL if there is none. */
static char *written(const tp_tokenizer *tokenizer, int32_t id) {
    size_t n;
    const char *piece = id < 0 ? NULL : tp_tokenizer_piece(tokenizer, id, &n);
    return piece ? tp_strndup(piece, n) : NULL;
}

/* The format of that name, or of the template that the model's folder or GGUF file holds. */
static tp_chat *choose_chat(const tp_engine *engine, const char *format) {
    const tp_gguf *gguf = tp_checkpoint_gguf(engine->lm->checkpoint);
    if (gguf == NULL) return tp_chat_choose(format, NULL, engine->lm->path);
    tp_gguf_fields fields = {.file = gguf};
    char *template = tp_gguf_get_text(&fields, "tokenizer.chat_template");
    tp_chat *chat = fields.status == TP_OK ? tp_chat_choose(format, template, NULL) : NULL;
    tp_free(template);
    return chat;
}

int32_t *tp_engine_chat(const tp_engine *engine, const char *format, const tp_message *messages, int64_t n_messages,
                        int64_t *n_ids) {
    const tp_tokenizer *tokenizer = tokenizer_of(engine, __func__);
    if (tokenizer == NULL) return NULL;
    TP_NEEDS_OR_NULL(messages);
    TP_NEEDS_OR_NULL(n_ids);
    if (n_messages < 1) return tp_fail_null(TP_ERR_ARGUMENT, "%lld messages were given", (long long)n_messages);
    tp_chat *chat = choose_chat(engine, format);
    if (chat == NULL) return NULL;
    tp_chat_message *turns = tp_alloc((size_t)n_messages * sizeof *turns);
    for (int64_t i = 0; i < n_messages; i++)
        turns[i] = (tp_chat_message){.role = messages[i].role ? messages[i].role : "",
                                     .content = messages[i].content ? messages[i].content : ""};
    char *bos = written(tokenizer, engine->facts.bos_id), *eos = written(tokenizer, tp_tokenizer_eos(tokenizer));
    tp_chat_text text = {0};
    tp_status status = tp_chat_render(chat, turns, (size_t)n_messages,
                                      &(tp_chat_options){.generate = true, .bos = bos, .eos = eos}, &text);
    int32_t *ids = NULL;
    if (status == TP_OK) ids = tp_engine_tokenize(engine, text.text, text.len, text.flags, n_ids);
    tp_free(text.text);
    tp_free(bos);
    tp_free(eos);
    tp_free(turns);
    tp_chat_free(chat);
    return ids;
}

/* ---- inputs ---- */

tp_status tp_engine_check_ids(const tp_engine *engine, const int32_t *ids, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        if (ids[i] < 0 || ids[i] >= engine->facts.vocab_size)
            return tp_fail(TP_ERR_ARGUMENT, "id %lld is %d, ids of %s run from 0 to %d", (long long)i, (int)ids[i],
                           engine->lm->path, (int)engine->facts.vocab_size - 1);
    return TP_OK;
}

static tp_status check_input(const tp_engine *engine, const tp_input *input) {
    int64_t d = engine->facts.d_model;
    if (input->n < 0) return tp_fail(TP_ERR_ARGUMENT, "its length is %lld", (long long)input->n);
    if (input->n > 0 && (input->ids != NULL) == (input->rows != NULL))
        return tp_fail(TP_ERR_ARGUMENT, "%s `ids` or `rows` was expected", input->ids ? "only one of" : "one of");
    if (input->ids) return tp_engine_check_ids(engine, input->ids, input->n);
    for (int64_t i = 0; i < input->n * d; i++)
        if (!isfinite(input->rows[i]))
            return tp_fail(TP_ERR_ARGUMENT, "row %lld holds %g, finite numbers were expected", (long long)(i / d),
                           input->rows[i]);
    return TP_OK;
}

float *tp_engine_rows(const tp_engine *engine, const tp_input *inputs, int64_t n_inputs, int64_t max_rows,
                      int64_t *n_rows) {
    if (inputs == NULL || n_inputs <= 0) return tp_fail_null(TP_ERR_ARGUMENT, "there are no inputs to run");
    int64_t n = 0, d = engine->facts.d_model;
    for (int64_t s = 0; s < n_inputs; s++) {
        if (inputs[s].n > max_rows - n)
            return tp_fail_null(TP_ERR_ARGUMENT, "input %lld has %lld rows, there is room for %lld", (long long)s,
                                (long long)inputs[s].n, (long long)(max_rows - n));
        if (check_input(engine, &inputs[s]) != TP_OK) return tp_fail_context("input %lld", (long long)s), NULL;
        n += inputs[s].n;
    }
    if (n == 0) return tp_fail_null(TP_ERR_ARGUMENT, "the inputs are empty, there is nothing to run");
    float *rows = tp_try_alloc((size_t)(n * d), sizeof *rows), *at = rows;
    if (rows == NULL) return NULL;
    for (int64_t s = 0; s < n_inputs; at += inputs[s++].n * d) {
        if (inputs[s].n == 0) continue;
        if (inputs[s].rows) memcpy(at, inputs[s].rows, (size_t)(inputs[s].n * d) * sizeof *at);
        for (int64_t i = 0; inputs[s].ids && i < inputs[s].n; i++)
            tp_lm_embedding_row(engine->lm, inputs[s].ids[i], at + i * d);
    }
    *n_rows = n;
    return rows;
}

/* ---- states and scores ---- */

tp_status tp_engine_states(const tp_engine *engine, const tp_input *inputs, int64_t n_inputs, const int32_t *layers,
                           int64_t n_layers, float *out) {
    TP_NEEDS(engine);
    TP_NEEDS(layers);
    TP_NEEDS(out);
    int32_t top = 0;
    for (int64_t i = 0; i < n_layers; i++) {
        if (layers[i] < 0 || layers[i] > engine->facts.n_layers)
            return tp_fail(TP_ERR_ARGUMENT, "there is no layer %d, those of %s run from 0 to %d", (int)layers[i],
                           engine->lm->path, (int)engine->facts.n_layers);
        if (layers[i] > top) top = layers[i];
    }
    int64_t n, d = engine->facts.d_model;
    float *rows = tp_engine_rows(engine, inputs, n_inputs, engine->facts.max_positions, &n);
    if (rows == NULL) return tp_last_status();
    tp_tape *tape = tp_tape_new(engine->math);
    tape->frozen = true;
    tp_batch batch = {.n_sequences = 1, .offsets = (const int64_t[]){0, n}};
    for (int32_t l = 0;; l++) { /* one layer at a time: the tape never holds more than that */
        for (int64_t i = 0; i < n_layers; i++)
            if (layers[i] == l) memcpy(out + i * n * d, rows, (size_t)(n * d) * sizeof *out);
        if (l == top) break;
        tp_tape_reset(tape);
        const tp_var *x = tp_lm_blocks(tape, engine->lm, tp_var_wrap(tape, rows, n, d), &batch, l, l + 1);
        memcpy(rows, x->data, (size_t)(n * d) * sizeof *rows);
    }
    tp_tape_free(tape);
    tp_free(rows);
    return TP_OK;
}

static tp_status check_answers(const tp_engine *engine, const tp_input *answers, int64_t n_answers, int64_t *longest) {
    *longest = 0;
    for (int64_t a = 0; a < n_answers; a++) {
        if (answers[a].ids == NULL || answers[a].rows || answers[a].n < 1 || answers[a].n > engine->facts.max_positions)
            return tp_fail(TP_ERR_ARGUMENT, "answer %lld: 1 to %d ids were expected, and no rows", (long long)a,
                           (int)engine->facts.max_positions);
        if (tp_engine_check_ids(engine, answers[a].ids, answers[a].n) != TP_OK)
            return tp_fail_context("answer %lld", (long long)a);
        if (answers[a].n > *longest) *longest = answers[a].n;
    }
    return TP_OK;
}

tp_status tp_engine_score(const tp_engine *engine, const tp_input *prompt, int64_t n_inputs, const tp_input *answers,
                          int64_t n_answers, double *scores) {
    TP_NEEDS(engine);
    TP_NEEDS(answers);
    TP_NEEDS(scores);
    if (n_answers < 1) return tp_fail(TP_ERR_ARGUMENT, "%lld answers were given", (long long)n_answers);
    int64_t n, longest;
    TP_TRY(check_answers(engine, answers, n_answers, &longest));
    /* An answer's last token is never run, only predicted. */
    float *rows = tp_engine_rows(engine, prompt, n_inputs, engine->facts.max_positions - longest + 1, &n);
    if (rows == NULL) return tp_last_status();
    tp_ids *ids = tp_alloc((size_t)n_answers * sizeof *ids);
    for (int64_t a = 0; a < n_answers; a++) /* only read: the ids stay the caller's */
        ids[a] = (tp_ids){.data = (int32_t *)(uintptr_t)answers[a].ids, .len = (size_t)answers[a].n};
    tp_prompts prompts = {.rows = rows, .offsets = (const int64_t[]){0, n}, .n = 1};
    tp_status status = tp_score_answers(engine->lm, engine->math, &prompts, ids, n_answers, scores);
    tp_free(ids);
    tp_free(rows);
    return status;
}
