/* Public interface: sessions. A session keeps keys and values of all positions, the ids they came from, and the last
 * hidden state of the last row, from which logits are made only when somebody asks for them. */
#include "api/engine.h"
#include "lm/kv_file.h"
#include "lm/sample.h"
#include "text/stream.h"

#include <string.h>

struct tp_session {
    const tp_engine *engine; /* borrowed */
    tp_kv_cache *cache;      /* one slot */
    tp_tape *tape;           /* scratch, reset by every call */
    int32_t *ids;            /* [capacity]: the id at each position; -1: a row */
    float *last;             /* [d_model]: hidden state n_layers of the last row */
    bool has_last;           /* false when empty, or rewound into the middle */
};

/* Rows computed at once: enough to keep the products busy, few enough for a layer's activations to stay small. */
enum { ROWS_AT_ONCE = 512 };

tp_session *tp_session_new(const tp_engine *engine, int64_t capacity) {
    return tp_session_new_cached(engine, capacity, TP_CACHE_F32);
}

tp_session *tp_session_new_cached(const tp_engine *engine, int64_t capacity, tp_cache_type type) {
    static const tp_dtype types[] = {
        [TP_CACHE_F32] = TP_F32, [TP_CACHE_F16] = TP_F16, [TP_CACHE_BF16] = TP_BF16, [TP_CACHE_I8] = TP_I8};
    TP_NEEDS_OR_NULL(engine);
    if ((unsigned)type >= sizeof types / sizeof *types)
        return tp_fail_null(TP_ERR_ARGUMENT, "there is no cache type %d", (int)type);
    int64_t most = engine->facts.max_positions;
    if (capacity < 0 || capacity > most)
        return tp_fail_null(TP_ERR_ARGUMENT, "a session of %s has 1 to %lld positions, not %lld", engine->lm->path,
                            (long long)most, (long long)capacity);
    tp_kv_cache *cache = tp_kv_cache_new_typed(engine->lm, types[type], 1, capacity ? capacity : most);
    if (cache == NULL) return NULL;
    tp_session *s = tp_alloc(sizeof *s);
    *s = (tp_session){.engine = engine, .cache = cache, .tape = tp_tape_new(engine->math)};
    s->tape->frozen = true;
    s->last = tp_alloc((size_t)engine->facts.d_model * sizeof *s->last);
    s->ids = tp_alloc((size_t)cache->capacity * sizeof *s->ids);
    return s;
}

void tp_session_free(tp_session *session) {
    if (session == NULL) return;
    tp_kv_cache_free(session->cache);
    tp_tape_free(session->tape);
    tp_free(session->last);
    tp_free(session->ids);
    tp_free(session);
}

int64_t tp_session_length(const tp_session *session) {
    if (session) return session->cache->lengths[0];
    tp_missing(__func__, "session");
    return -1;
}

int64_t tp_session_capacity(const tp_session *session) {
    if (session) return session->cache->capacity;
    tp_missing(__func__, "session");
    return -1;
}

tp_status tp_session_rewind(tp_session *session, int64_t length) {
    TP_NEEDS(session);
    int64_t now = session->cache->lengths[0];
    if (length < 0 || length > now)
        return tp_fail(TP_ERR_ARGUMENT, "a session of %lld positions cannot be rewound to %lld", (long long)now,
                       (long long)length);
    if (!tp_kv_cache_rewind(session->cache, 0, length))
        return tp_fail(TP_ERR_UNSUPPORTED,
                       "the session cannot be rewound from %lld to %lld positions: layers with a sliding window have "
                       "dropped what the next token would see; rewind to 0 and feed it again",
                       (long long)now, (long long)length);
    if (length < now) session->has_last = false;
    return TP_OK;
}

/* Notes what stands at the positions from `at` on. */
static void note_ids(int32_t *at, const tp_input *inputs, int64_t n_inputs) {
    for (int64_t s = 0; s < n_inputs; s++)
        for (int64_t i = 0; i < inputs[s].n; i++) *at++ = inputs[s].ids ? inputs[s].ids[i] : -1;
}

/* Runs rows [n, d_model] behind what is there. */
static void run_rows(tp_session *s, float *rows, int64_t n) {
    int64_t d = s->engine->facts.d_model;
    for (int64_t from = 0, m; from < n; from += m) {
        m = n - from < ROWS_AT_ONCE ? n - from : ROWS_AT_ONCE;
        tp_tape_reset(s->tape);
        const int64_t offsets[2] = {0, m}, last[2] = {0, 1}, slot = 0;
        tp_batch batch = {.n_sequences = 1, .offsets = offsets, .cache = s->cache, .slots = &slot};
        if (m > 1) batch.wanted = last;
        tp_var *x = tp_var_wrap(s->tape, rows + from * d, m, d);
        x = tp_lm_blocks(s->tape, s->engine->lm, x, &batch, 0, s->engine->facts.n_layers);
        memcpy(s->last, x->data, (size_t)d * sizeof(float));
    }
    s->has_last = true;
}

tp_status tp_session_feed(tp_session *session, const tp_input *inputs, int64_t n_inputs) {
    TP_NEEDS(session);
    int64_t n, length = session->cache->lengths[0];
    float *rows = tp_engine_rows(session->engine, inputs, n_inputs, session->cache->capacity - length, &n);
    if (rows == NULL) return tp_last_status();
    note_ids(session->ids + length, inputs, n_inputs);
    run_rows(session, rows, n);
    tp_free(rows);
    return TP_OK;
}

/* How many of the n wanted positions can stay. The last one is computed again unless its hidden state is known. */
static int64_t shared_beginning(const tp_session *s, const int32_t *wanted, int64_t n) {
    int64_t length = s->cache->lengths[0], same = 0;
    while (same < n && same < length && wanted[same] >= 0 && wanted[same] == s->ids[same]) same++;
    return same == n && !(same == length && s->has_last) ? n - 1 : same;
}

tp_status tp_session_refeed(tp_session *session, const tp_input *inputs, int64_t n_inputs, int64_t *n_kept) {
    TP_NEEDS(session);
    int64_t n, d = session->engine->facts.d_model;
    float *rows = tp_engine_rows(session->engine, inputs, n_inputs, session->cache->capacity, &n);
    if (rows == NULL) return tp_last_status();
    int32_t *wanted = tp_alloc((size_t)n * sizeof *wanted);
    note_ids(wanted, inputs, n_inputs);
    int64_t kept = shared_beginning(session, wanted, n);
    if (!tp_kv_cache_rewind(session->cache, 0, kept)) tp_kv_cache_rewind(session->cache, 0, kept = 0);
    memcpy(session->ids, wanted, (size_t)n * sizeof *wanted);
    if (kept < n) run_rows(session, rows + kept * d, n - kept);
    if (n_kept) *n_kept = kept;
    tp_free(wanted);
    tp_free(rows);
    return TP_OK;
}

tp_status tp_session_save(const tp_session *session, const char *path) {
    TP_NEEDS(session);
    TP_NEEDS(path);
    return tp_kv_file_save(path, session->engine->lm, session->cache, 0, session->ids,
                           session->has_last ? session->last : NULL);
}

tp_status tp_session_load(tp_session *session, const char *path) {
    TP_NEEDS(session);
    TP_NEEDS(path);
    return tp_kv_file_load(path, session->engine->lm, session->cache, 0, session->ids, session->last,
                           &session->has_last);
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

/* ---- generating ---- */

/* What one call of tp_session_generate works with. */
typedef struct generation {
    tp_session *session;
    const tp_generation *options;
    const tp_tokenizer *tokenizer; /* NULL if no text is wanted */
    tp_text_stream stream;
    tp_str text; /* decided, and handed out at once */
    tp_candidate *scratch;
} generation;

static tp_status check_options(const tp_session *s, const tp_generation *o) {
    int64_t room = s->cache->capacity - s->cache->lengths[0];
    if (o->max_new < 0 || o->max_new > room)
        return tp_fail(TP_ERR_ARGUMENT, "%lld new tokens were asked for, the session has room for %lld",
                       (long long)o->max_new, (long long)room);
    if (o->n_stops < 0) return tp_fail(TP_ERR_ARGUMENT, "the number of stop texts is %lld", (long long)o->n_stops);
    if (o->n_stops > 0 && o->stops == NULL) return tp_missing("tp_session_generate", "stops");
    for (int64_t i = 0; i < o->n_stops; i++)
        if (o->stops[i] == NULL || o->stops[i][0] == '\0')
            return tp_fail(TP_ERR_ARGUMENT, "stop text %lld is empty", (long long)i);
    if ((o->n_stops > 0 || o->on_text) && s->engine->lm->tokenizer == NULL)
        return tp_fail(TP_ERR_ARGUMENT, "text and stop texts need a tokenizer, %s was loaded without",
                       s->engine->lm->path);
    return tp_sampling_check(&o->sampling);
}

static bool ends(const tp_engine *engine, int32_t id) {
    for (int i = 0; i < engine->facts.n_eos; i++)
        if (engine->eos_ids[i] == id) return true;
    return false;
}

/* The next id; -1 with an error. */
static int32_t choose(const generation *g) {
    const tp_session *s = g->session;
    const float *logits = next_logits(g->session);
    if (logits == NULL) return -1;
    tp_sample_context context = {.banned = s->engine->eos_ids,
                                 .n_banned = g->options->ignore_eos ? s->engine->facts.n_eos : 0,
                                 .last = s->ids,
                                 .n_last = s->cache->lengths[0],
                                 .position = s->cache->lengths[0]};
    return tp_sample(&g->options->sampling, logits, s->engine->facts.vocab_size, &context, g->scratch);
}

/* Hands out what is decided of the text; false if the caller wants no more. */
static bool hand_out_text(generation *g) {
    const tp_generation *o = g->options;
    bool more = o->on_text == NULL || g->text.len == 0 || o->on_text(o->context, g->text.data, g->text.len);
    tp_str_clear(&g->text);
    return more;
}

/* False if the caller wants no more. */
static bool hand_out(generation *g, int32_t id) {
    const tp_generation *o = g->options;
    bool more = o->on_token == NULL || o->on_token(o->context, id);
    if (g->tokenizer == NULL || (tp_tokenizer_is_special(g->tokenizer, id) && !o->show_special)) return more;
    size_t n = 0;
    const char *piece = tp_tokenizer_piece(g->tokenizer, id, &n);
    if (piece) tp_text_stream_add(&g->stream, piece, n, &g->text);
    return hand_out_text(g) && more;
}

static tp_status generate(generation *g, tp_ending *ending) {
    *ending = TP_ENDING_LENGTH;
    for (int64_t made = 0; *ending == TP_ENDING_LENGTH && made < g->options->max_new; made++) {
        int32_t id = choose(g);
        if (id < 0) return tp_last_status();
        if (ends(g->session->engine, id) && !g->options->ignore_eos) {
            *ending = TP_ENDING_EOS;
            break;
        }
        if (!hand_out(g, id)) *ending = TP_ENDING_CALLER;
        if (g->stream.stopped) *ending = TP_ENDING_STOP;
        TP_TRY(tp_session_feed(g->session, &(tp_input){.ids = &id, .n = 1}, 1));
    }
    return TP_OK;
}

tp_status tp_session_generate(tp_session *session, const tp_generation *options, tp_ending *ending) {
    TP_NEEDS(session);
    TP_NEEDS(options);
    TP_TRY(check_options(session, options));
    generation g = {.session = session,
                    .options = options,
                    .tokenizer = options->on_text || options->n_stops ? session->engine->lm->tokenizer : NULL,
                    .stream = {.stops = options->stops, .n_stops = options->n_stops}};
    g.scratch = tp_alloc((size_t)session->engine->facts.vocab_size * sizeof *g.scratch);
    tp_ending why;
    tp_status status = generate(&g, &why);
    tp_text_stream_end(&g.stream, &g.text);
    if (status == TP_OK) hand_out_text(&g);
    if (ending) *ending = why;
    tp_str_free(&g.text);
    tp_free(g.scratch);
    return status;
}
