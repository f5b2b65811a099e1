/* The pretraining loop. See pretrain.h. */
#include "train/pretrain.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"
#include "lm/decoder.h"
#include "train/documents.h"
#include "train/state.h"

#include <math.h>
#include <string.h>

typedef struct {
    const tp_pretrain_options *o;
    tp_tokenizer *tokenizer;
    tp_documents train, held_out;
    tp_lm *lm;
    tp_adamw *adamw;
    tp_tape *tape;
    tp_token_batch batch;
    int64_t *order;    /* of the training pieces in this epoch */
    int64_t epoch, at; /* the next piece is order[at] */
    int64_t context;   /* longest sequence */
    int64_t step, total_steps, tokens_seen;
    double recent_loss; /* running mean over about 50 updates */
    char *state_path;
    int lock; /* on the folder */
} run;

/* ---- data ---- */

static tp_status read_documents(run *r) {
    const tp_pretrain_options *o = r->o;
    int64_t longest = o->config->max_position_embeddings;
    r->context = longest > 0 && longest < o->context ? longest : o->context;
    tp_corpus *corpus = tp_corpus_open(o->files, o->n_files);
    if (corpus == NULL) return tp_last_status();
    const char *text;
    size_t n;
    tp_status status = TP_OK;
    while (status == TP_OK && tp_corpus_next(corpus, &text, &n)) {
        /* by its content, so that a document stays on its side whatever files it comes in */
        bool keep = (double)(tp_hash64(text, n) >> 11) * 0x1p-53 < o->held_out;
        status = tp_documents_add(keep ? &r->held_out : &r->train, r->tokenizer, text, n, r->context, !keep);
    }
    if (status == TP_OK) status = tp_corpus_status(corpus);
    tp_corpus_close(corpus);
    if (status == TP_OK && r->train.n_pieces == 0)
        status = tp_fail(TP_ERR_FORMAT, "the training text has no document to learn from");
    return status;
}

static void begin_epoch(run *r) {
    for (size_t i = 0; i < r->train.n_pieces; i++) r->order[i] = (int64_t)i;
    tp_rng rng = tp_rng_stream(r->o->seed, "pretrain order", (uint64_t)r->epoch);
    tp_rng_shuffle(&rng, r->order, r->train.n_pieces);
}

static void next_batch(run *r) {
    if (r->at == (int64_t)r->train.n_pieces) {
        r->epoch++;
        r->at = 0;
        begin_epoch(r);
    }
    size_t at = (size_t)r->at;
    tp_documents_batch(&r->train, r->order, r->train.n_pieces, &at, r->o->batch_tokens, &r->batch);
    r->at = (int64_t)at;
}

/* ---- one forward pass ---- */

static tp_var *loss_of(tp_tape *tape, const tp_lm *lm, const tp_token_batch *batch) {
    tp_batch ragged = {.n_sequences = batch->n_sequences, .offsets = batch->offsets};
    tp_var *x = tp_lm_embed(tape, lm, batch->inputs.data, (int64_t)batch->inputs.len);
    x = tp_lm_blocks(tape, lm, x, &ragged, 0, lm->config.n_layers);
    return tp_cross_entropy(tape, tp_lm_logits(tape, lm, x), batch->targets.data, NULL, NULL);
}

/* Adds the documents' likelihood to the score. */
static void score_documents(const tp_lm *lm, const tp_documents *d, tp_tape *tape, int64_t max_tokens,
                            tp_progress *progress, tp_text_score *score) {
    int64_t *order = tp_alloc(d->n_pieces * sizeof *order);
    for (size_t i = 0; i < d->n_pieces; i++) order[i] = (int64_t)i;
    tp_token_batch batch = {0};
    bool was_frozen = tape->frozen;
    tape->frozen = true;
    for (size_t at = 0; at < d->n_pieces;) {
        tp_documents_batch(d, order, d->n_pieces, &at, max_tokens, &batch);
        tp_tape_reset(tape);
        score->nats += (double)loss_of(tape, lm, &batch)->data[0] * (double)batch.inputs.len;
        score->tokens += (int64_t)batch.inputs.len;
        tp_progress_update(progress, (double)score->tokens, (double)score->tokens, "%s", "");
    }
    tape->frozen = was_frozen;
    tp_tape_reset(tape);
    score->documents += d->n_documents;
    score->bytes += d->bytes;
    tp_token_batch_free(&batch);
    tp_free(order);
}

static void finish_score(tp_text_score *s) {
    s->perplexity = s->tokens > 0 ? exp(s->nats / (double)s->tokens) : NAN;
    s->bits_per_byte = s->bytes > 0 ? s->nats / log(2.0) / (double)s->bytes : NAN;
}

/* Tokens scored at once: 4096, or fewer where that many rows of logits would be more than 256 MB. */
static int64_t scored_at_once(const tp_lm *lm) {
    int64_t n = ((int64_t)256 << 20) / ((int64_t)sizeof(float) * lm->config.vocab_size);
    return n < 1 ? 1 : n > 4096 ? 4096 : n;
}

tp_status tp_score_corpus(const tp_lm *lm, tp_corpus *corpus, int64_t context, tp_math math, tp_progress *progress,
                          tp_text_score *score) {
    *score = (tp_text_score){0};
    if (lm->tokenizer == NULL) return tp_fail(TP_ERR_ARGUMENT, "a model without its tokenizer cannot score text");
    if (context < 1)
        return tp_fail(TP_ERR_ARGUMENT, "a context of %lld tokens was asked for, at least 1 is needed",
                       (long long)context);
    tp_tape *tape = tp_tape_new(math);
    tape->frozen = true;
    tp_documents some = {0};
    const char *text;
    size_t n;
    tp_status status = TP_OK;
    tp_progress_begin(progress, "score", 0, "tokens", NULL);
    bool more = true;
    while (status == TP_OK && more) { /* a megabyte at a time: memory does not depend on the size of the corpus */
        more = tp_corpus_next(corpus, &text, &n);
        if (more) status = tp_documents_add(&some, lm->tokenizer, text, n, context, false);
        if (status == TP_OK && (some.bytes > 1 << 20 || !more)) {
            score_documents(lm, &some, tape, scored_at_once(lm), progress, score);
            tp_documents_free(&some);
        }
    }
    tp_progress_end(progress);
    if (status == TP_OK) status = tp_corpus_status(corpus);
    tp_documents_free(&some);
    tp_tape_free(tape);
    finish_score(score);
    return status;
}

static tp_text_score evaluate(run *r) {
    tp_text_score score = {0};
    score_documents(r->lm, &r->held_out, r->tape, r->o->batch_tokens, NULL, &score);
    finish_score(&score);
    return score;
}

/* ---- state ---- */

static json_t *fingerprint_json(tp_hash *h) {
    char hex[33];
    tp_hash_end(h, hex);
    return json_string(hex);
}

/* What must be equal for a state to be gone on from: what its weights are of, and what decides the order of the data. A
 * change elsewhere (more steps, a lower rate) is the user's right. */
static json_t *identity(const run *r) {
    const tp_pretrain_options *o = r->o;
    tp_hash *model = tp_hash_new(), *text = tp_hash_new();
    tp_lm_config_hash(o->config, model);
    tp_hash_add(text, r->train.tokens.data, r->train.tokens.len * sizeof *r->train.tokens.data);
    return json_pack("{s:I, s:I, s:I, s:s, s:o, s:o}", "seed", (json_int_t)o->seed, "batch_tokens",
                     (json_int_t)o->batch_tokens, "context", (json_int_t)r->context, "tokenizer",
                     tp_tokenizer_fingerprint(r->tokenizer), "model", fingerprint_json(model), "training_text",
                     fingerprint_json(text));
}

static tp_status save_state(run *r) {
    json_t *note = json_pack("{s:I, s:I, s:I, s:I, s:f, s:o}", "step", (json_int_t)r->step, "epoch",
                             (json_int_t)r->epoch, "at", (json_int_t)r->at, "tokens_seen", (json_int_t)r->tokens_seen,
                             "recent_loss", r->recent_loss, "run", identity(r));
    tp_status status = tp_state_save(r->state_path, r->adamw, note);
    json_decref(note);
    return status;
}

static tp_status load_state(run *r) {
    json_t *note;
    TP_TRY(tp_state_load(r->state_path, r->adamw, &note));
    json_t *mine = identity(r);
    tp_status status = tp_state_check_run(r->state_path, note, mine);
    json_int_t step = 0, epoch = 0, at = 0, seen = 0;
    double loss = 0;
    if (status == TP_OK && (json_unpack(note, "{s:I, s:I, s:I, s:I, s:f}", "step", &step, "epoch", &epoch, "at", &at,
                                        "tokens_seen", &seen, "recent_loss", &loss) != 0 ||
                            step < 0 || epoch < 0 || at < 0 || at > (json_int_t)r->train.n_pieces))
        status = tp_fail(TP_ERR_FORMAT, "%s: its counters are broken", r->state_path);
    if (status == TP_OK && step > r->total_steps)
        status = tp_fail(TP_ERR_ARGUMENT,
                         "%s has made %lld steps already, more than the %lld asked for; choose another --out folder",
                         r->state_path, (long long)step, (long long)r->total_steps);
    if (status == TP_OK) r->step = step, r->epoch = epoch, r->at = at, r->tokens_seen = seen, r->recent_loss = loss;
    json_decref(mine);
    json_decref(note);
    return status;
}

/* ---- the loop ---- */

static tp_status train(run *r) {
    const tp_pretrain_options *o = r->o;
    tp_progress_begin(o->progress, "pretrain", (double)r->total_steps, "steps", "tokens");
    tp_progress_resume(o->progress, (double)r->step, (double)r->tokens_seen);
    while (r->step < r->total_steps) {
        if (o->stop && *o->stop) {
            TP_TRY(save_state(r));
            return tp_fail(TP_ERR_CANCELLED, "stopped at step %lld; the same command goes on from there",
                           (long long)r->step);
        }
        next_batch(r);
        tp_tape_reset(r->tape);
        tp_var *loss = loss_of(r->tape, r->lm, &r->batch);
        tp_backward(r->tape, loss, 1.0f);
        double value = loss->data[0], lr = tp_cosine_lr(o->lr, o->min_lr_ratio, r->step, o->warmup, r->total_steps);
        double norm = tp_adamw_step(r->adamw, lr, 1.0);
        if (!isfinite(value) || !isfinite(norm))
            return tp_fail(TP_ERR_ARGUMENT, "the loss is no longer a number at step %lld; lower --lr (now %g)",
                           (long long)r->step, o->lr);
        r->step++;
        r->tokens_seen += (int64_t)r->batch.inputs.len;
        double memory = r->step < 50 ? 1.0 - 1.0 / (double)r->step : 0.98;
        r->recent_loss = memory * r->recent_loss + (1.0 - memory) * value;
        tp_progress_update(o->progress, (double)r->step, (double)r->tokens_seen, "loss %.3f  lr %.2e  |g| %.2f",
                           r->recent_loss, lr, norm);
        if (o->eval_every > 0 && r->step % o->eval_every == 0 && r->step < r->total_steps) {
            tp_text_score score = evaluate(r);
            tp_progress_say(o->progress, "step %lld  train %.4f  held out: perplexity %.2f, %.4f bits per byte",
                            (long long)r->step, r->recent_loss, score.perplexity, score.bits_per_byte);
        }
        if (o->save_every > 0 && r->step % o->save_every == 0) TP_TRY(save_state(r));
    }
    tp_progress_end(o->progress);
    return save_state(r);
}

static tp_status copy_tokenizer(const char *from, const char *to) {
    static const char *const names[] = {"tokenizer.json", "tokenizer.model", "tokenizer_config.json",
                                        "special_tokens_map.json", NULL};
    for (int i = 0; names[i]; i++) {
        char *source = tp_path_join(from, names[i]), *target = tp_path_join(to, names[i]), *bytes = NULL;
        size_t n;
        tp_status status = TP_OK;
        if (tp_path_exists(source)) status = tp_read_file(source, 0, &bytes, &n);
        if (status == TP_OK && bytes) status = tp_write_file(target, bytes, n);
        tp_free(bytes);
        tp_free(source);
        tp_free(target);
        TP_TRY(status);
    }
    return TP_OK;
}

static tp_status check_options(const tp_pretrain_options *o) {
    if (o->context < 1 || o->batch_tokens < 1)
        return tp_fail(TP_ERR_ARGUMENT,
                       "a context of %lld tokens and batches of %lld were asked for, at least 1 of each is needed",
                       (long long)o->context, (long long)o->batch_tokens);
    if (o->steps <= 0 && !(o->epochs > 0))
        return tp_fail(TP_ERR_ARGUMENT,
                       "neither a number of steps nor of epochs above 0 was given: there is nothing to do");
    if (!tp_is_dir(o->tokenizer))
        return tp_fail(TP_ERR_IO, "%s is not a folder; the folder of a tokenizer was expected", o->tokenizer);
    return TP_OK;
}

static tp_status pretrain(run *r, tp_pretrain_result *result) {
    const tp_pretrain_options *o = r->o;
    double start = tp_now();
    TP_TRY(check_options(o));
    TP_TRY(tp_make_dirs(o->out));
    r->lock = tp_lock_folder(o->out, "a pretraining");
    if (r->lock < 0) return tp_last_status();
    tp_remove_leftovers(o->out);
    r->tokenizer = tp_tokenizer_load(o->tokenizer, NULL);
    if (r->tokenizer == NULL) return tp_last_status();
    if (tp_tokenizer_size(r->tokenizer) > o->config->vocab_size)
        return tp_fail(TP_ERR_ARGUMENT, "the tokenizer %s has %d tokens, the configuration's vocab_size is %d",
                       o->tokenizer, tp_tokenizer_size(r->tokenizer), o->config->vocab_size);
    TP_TRY(read_documents(r));
    int64_t train_inputs = (int64_t)r->train.tokens.len - r->train.n_documents;
    r->total_steps =
        o->steps > 0 ? o->steps : (int64_t)ceil(o->epochs * (double)train_inputs / (double)o->batch_tokens);
    r->order = tp_alloc(r->train.n_pieces * sizeof *r->order);
    r->lm = tp_lm_new(o->config, o->seed, o->embed_std);
    r->lm->config.bos_id = tp_tokenizer_bos(r->tokenizer);
    r->lm->config.n_eos = tp_tokenizer_eos(r->tokenizer) >= 0;
    r->lm->config.eos_ids[0] = tp_tokenizer_eos(r->tokenizer);
    r->adamw = tp_adamw_new(&r->lm->params, &o->adamw);
    r->tape = tp_tape_new(o->math);
    r->state_path = tp_path_join(o->out, "state.safetensors");
    result->resumed = tp_path_exists(r->state_path);
    if (result->resumed) TP_TRY(load_state(r));
    begin_epoch(r);
    if (r->context < o->context)
        tp_progress_say(o->progress, "sequences are cut at %lld tokens, the model's max_position_embeddings",
                        (long long)r->context);
    tp_progress_say(o->progress, "%lld parameters, %lld documents, %lld tokens, %lld steps%s",
                    (long long)tp_lm_n_parameters(r->lm), (long long)r->train.n_documents, (long long)train_inputs,
                    (long long)r->total_steps, result->resumed ? ", resumed" : "");
    TP_TRY(train(r));
    tp_text_score score = evaluate(r);
    TP_TRY(tp_lm_save(r->lm, o->out, TP_BF16));
    TP_TRY(copy_tokenizer(o->tokenizer, o->out));
    *result = (tp_pretrain_result){.steps = r->step,
                                   .tokens_seen = r->tokens_seen,
                                   .train_documents = r->train.n_documents,
                                   .held_out_documents = r->held_out.n_documents,
                                   .train_tokens = train_inputs,
                                   .train_loss = r->recent_loss,
                                   .perplexity = score.perplexity,
                                   .bits_per_byte = score.bits_per_byte,
                                   .seconds = tp_now() - start,
                                   .resumed = result->resumed};
    return TP_OK;
}

tp_status tp_pretrain(const tp_pretrain_options *options, tp_pretrain_result *result) {
    *result = (tp_pretrain_result){0};
    run r = {.o = options, .lock = -1};
    tp_status status = pretrain(&r, result);
    if (r.lock >= 0) close(r.lock);
    tp_token_batch_free(&r.batch);
    tp_documents_free(&r.train);
    tp_documents_free(&r.held_out);
    tp_adamw_free(r.adamw);
    tp_lm_free(r.lm);
    tp_tape_free(r.tape);
    tp_tokenizer_free(r.tokenizer);
    tp_free(r.order);
    tp_free(r.state_path);
    return status;
}
