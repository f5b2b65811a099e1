/* Public interface: sessions. A session keeps keys and values of all positions, and the last hidden state of the last
 * row, from which logits are made only when somebody asks for them. */
#include "api/engine.h"
#include "lm/generate.h"

#include <string.h>

struct tp_session {
    const tp_engine *engine; /* borrowed */
    tp_kv_cache *cache;      /* one slot */
    tp_tape *tape;           /* scratch, reset by every call */
    float *last;             /* [d_model]: hidden state n_layers of the last row */
    bool has_last;           /* false when empty, or rewound into the middle */
};

tp_session *tp_session_new(const tp_engine *engine, int64_t capacity) {
    TP_NEEDS_OR_NULL(engine);
    int64_t most = engine->facts.max_positions;
    if (capacity < 0 || capacity > most)
        return tp_fail_null(TP_ERR_ARGUMENT, "a session of %s has 1 to %lld positions, not %lld", engine->lm->path,
                            (long long)most, (long long)capacity);
    tp_kv_cache *cache = tp_kv_cache_new(engine->lm, 1, capacity ? capacity : most);
    if (cache == NULL) return NULL;
    tp_session *s = tp_alloc(sizeof *s);
    *s = (tp_session){.engine = engine, .cache = cache, .tape = tp_tape_new(engine->math)};
    s->tape->frozen = true;
    s->last = tp_alloc((size_t)engine->facts.d_model * sizeof *s->last);
    return s;
}

void tp_session_free(tp_session *session) {
    if (session == NULL) return;
    tp_kv_cache_free(session->cache);
    tp_tape_free(session->tape);
    tp_free(session->last);
    tp_free(session);
}

int64_t tp_session_length(const tp_session *session) {
    if (session) return session->cache->lengths[0];
    tp_missing(__func__, "session");
    return -1;
}

tp_status tp_session_rewind(tp_session *session, int64_t length) {
    TP_NEEDS(session);
    int64_t *now = &session->cache->lengths[0];
    if (length < 0 || length > *now)
        return tp_fail(TP_ERR_ARGUMENT, "a session of %lld positions cannot be rewound to %lld", (long long)*now,
                       (long long)length);
    if (length < *now) session->has_last = false;
    *now = length;
    return TP_OK;
}

tp_status tp_session_feed(tp_session *session, const tp_input *inputs, int64_t n_inputs) {
    TP_NEEDS(session);
    const tp_engine *engine = session->engine;
    int64_t n, d = engine->facts.d_model;
    float *rows = tp_engine_rows(engine, inputs, n_inputs, session->cache->capacity - session->cache->lengths[0], &n);
    if (rows == NULL) return tp_last_status();
    tp_tape *tape = session->tape;
    tp_tape_reset(tape);
    tp_batch batch = {
        .n_sequences = 1, .offsets = (const int64_t[]){0, n}, .cache = session->cache, .slots = (const int64_t[]){0}};
    const tp_var *x = tp_lm_blocks(tape, engine->lm, tp_var_wrap(tape, rows, n, d), &batch, 0, engine->facts.n_layers);
    memcpy(session->last, x->data + (n - 1) * d, (size_t)d * sizeof(float));
    session->has_last = true;
    tp_free(rows);
    return TP_OK;
}

/* Logits on the session's tape. */
static const float *next_logits(tp_session *s) {
    if (!s->has_last)
        return tp_fail_null(TP_ERR_ARGUMENT, "the session has no last row: feed it something first%s",
                            s->cache->lengths[0] ? ", it was rewound" : "");
    tp_tape_reset(s->tape);
    return tp_lm_logits(s->tape, s->engine->lm, tp_var_wrap(s->tape, s->last, 1, s->engine->facts.d_model))->data;
}

tp_status tp_session_logits(tp_session *session, float *logits) {
    TP_NEEDS(session);
    TP_NEEDS(logits);
    const float *next = next_logits(session);
    if (next == NULL) return tp_last_status();
    memcpy(logits, next, (size_t)session->engine->facts.vocab_size * sizeof *logits);
    return TP_OK;
}

tp_status tp_session_generate(tp_session *session, int64_t max_new, tp_token_callback on_token, void *context) {
    TP_NEEDS(session);
    TP_NEEDS(on_token);
    int64_t room = session->cache->capacity - session->cache->lengths[0];
    if (max_new < 0 || max_new > room)
        return tp_fail(TP_ERR_ARGUMENT, "%lld new tokens were asked for, the session has room for %lld",
                       (long long)max_new, (long long)room);
    bool more = true;
    for (int64_t made = 0; more && made < max_new; made++) {
        const float *logits = next_logits(session);
        if (logits == NULL) return tp_last_status();
        int32_t id = tp_greedy_token(session->engine->lm, logits);
        if (id < 0) break;
        more = on_token(context, id);
        TP_TRY(tp_session_feed(session, &(tp_input){.ids = &id, .n = 1}, 1));
    }
    return TP_OK;
}
