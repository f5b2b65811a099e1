/* Prompt tuning (Lester, Al-Rfou and Constant, EMNLP 2021): the receiver reads the text itself behind M soft tokens
 * that are trained and are the same for all texts. It is the opponent with the bridge's own means (as many soft tokens,
 * the same losses, sampling and optimiser) and without a sender. How it is tuned stands in tuning.h; the soft tokens
 * begin as rows of the vocabulary drawn at random, or as the words of the task's own prompt. */
#include "base/mem.h"
#include "base/str.h"
#include "eval/texts.h"
#include "eval/tuning.h"

#include <string.h>

static const double rates[] = {3e-4, 1e-3, 3e-3, 1e-2, 3e-2};
static const char *const starts[] = {"the vocabulary", "the task's text"};
enum { N_RATES = sizeof rates / sizeof rates[0], N_STARTS = sizeof starts / sizeof starts[0] };

typedef struct soft_prompt {
    tp_params params;
    tp_weight soft;    /* [M, d_receiver] */
    tp_ids task_words; /* the receiver's ids of the task's prompt with its labels and without a text */
} soft_prompt;

/* A random token that is not special. */
static int32_t any_token(const tp_lm *lm, tp_rng *rng) {
    int32_t id = 0;
    for (int tries = 0; tries < 100; tries++) {
        id = (int32_t)tp_rng_below(rng, (uint64_t)lm->config.vocab_size);
        if (!tp_tokenizer_is_special(lm->tokenizer, id)) break;
    }
    return id;
}

/* The prompt's last words, which stand nearest to the answer, or all of them and over again if they are few. */
static void start(tp_tuning *t, int start, uint64_t seed) {
    const soft_prompt *p = t->context;
    const tp_lm *lm = t->relay.receiver;
    tp_rng rng = tp_rng_stream(seed, "soft prompt", 0);
    size_t m = (size_t)p->soft.rows, n = p->task_words.len, first = n > m ? n - m : 0;
    for (size_t i = 0; i < m; i++) {
        int32_t id = start == 1 && n > 0 ? p->task_words.data[(first + i) % n] : any_token(lm, &rng);
        tp_lm_embedding_row(lm, id, tp_weight_values(&p->soft) + (int64_t)i * p->soft.cols);
    }
}

/* The prompt, once for each of n texts. */
static tp_var *repeated(const tp_tuning *t, tp_tape *tape, int64_t n) {
    const soft_prompt *p = t->context;
    int64_t m = p->soft.rows;
    tp_var *soft = tp_parameter(tape, &p->soft);
    tp_row_ref *rows = tp_arena_alloc(tape->arena, (size_t)(n * m) * sizeof *rows);
    for (int64_t i = 0; i < n * m; i++) rows[i] = (tp_row_ref){.source = 0, .row = i % m};
    return tp_gather(tape, &soft, 1, rows, n * m);
}

static tp_status fill(tp_eval *eval, const tp_asking *asking, tp_tape *tape, const int64_t *items, int64_t n,
                      bool fresh, tp_filling *out) {
    (void)eval, (void)items, (void)fresh;
    out->soft = repeated(asking->context, tape, n);
    return TP_OK;
}

static tp_status tune(tp_tuning *t, soft_prompt *p, tp_method_result *result) {
    tp_eval *eval = t->eval;
    const tp_lm *lm = t->relay.receiver;
    size_t n;
    char *words = tp_prompt_fill(eval->task->prompt_labels, "", 0, &n);
    tp_status status = tp_tokenizer_encode(lm->tokenizer, words, n, TP_TOKENS_PLAIN, &p->task_words);
    tp_free(words);
    TP_TRY(status);
    tp_params_attach(&p->params, &p->soft, "soft_prompt", t->recipe.bridge.soft_tokens, lm->config.d_model);
    t->params = &p->params;
    t->asking = (tp_asking){.lm = lm,
                            .layout = t->relay.layout,
                            .soft_tokens = t->recipe.bridge.soft_tokens,
                            .phase = TP_PHASE_RECEIVER,
                            .fill = fill,
                            .context = t};
    t->doing = "tuning the receiver's prompt";
    t->rates = rates, t->n_rates = N_RATES;
    t->starts = starts, t->n_starts = N_STARTS;
    t->start = start;
    t->soft = repeated;
    t->context = p;
    TP_TRY(tp_tuning_run(t, result));
    return tp_ask_all(eval, &t->asking, result);
}

static tp_status run(tp_eval *eval, tp_method_result *result) {
    tp_tuning t;
    soft_prompt p = {0};
    char *pattern = tp_format("{bos}{soft}%s", eval->task->prompt);
    tp_status status = tp_tuning_open(&t, eval, pattern);
    tp_free(pattern);
    if (status == TP_OK) status = tune(&t, &p, result);
    result->bytes = tp_texts_mean_bytes(&eval->task->test);
    tp_tuning_close(&t);
    tp_params_free(&p.params);
    tp_ids_free(&p.task_words);
    return status;
}

const tp_method tp_method_prompt_tuning = {.name = "prompt_tuning",
                                           .free_answers = true,
                                           .title = "receiver, prompt tuned",
                                           .group = TP_GROUP_TRAINED,
                                           .needs = TP_NEEDS_RECEIVER | TP_NEEDS_TRAINING,
                                           .seeded = true,
                                           .run = run};
