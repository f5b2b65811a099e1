/* Parsing layouts, tokenising answers, laying out batches. See layout.h. */
#include "bridge/layout.h"

#include "base/mem.h"
#include "base/str.h"
#include "bridge/prompt.h"
#include "lm/decoder.h"

#include <assert.h>
#include <string.h>

typedef enum { PLACE_IDS, PLACE_SOFT, PLACE_TEXT } place_kind;

typedef struct {
    place_kind kind;
    tp_ids ids; /* PLACE_IDS: the same in every sequence */
    char *text; /* the run of text it was made of, with {text} in it if PLACE_TEXT; NULL for other places */
} place;

struct tp_layout {
    const tp_tokenizer *tokenizer;
    int32_t eos;
    int64_t max_text_tokens;
    tp_side truncate;
    place *places;
    size_t n_places, capacity;
    bool has_soft, has_text, injected;
    tp_ids *labels; /* [n_labels] */
    int n_labels;
    char *ending; /* what answers are tokenised behind: the text that ends the layout, or else a colon */
    tp_ids ending_ids;
    size_t n_dropped; /* ids of the ending that merge with labels, hence are read as part of the answer */
};

/* ---- parsing ---- */

static place *add_place(tp_layout *l, place_kind kind) {
    tp_grow(&l->places, &l->capacity, l->n_places, sizeof *l->places);
    l->places[l->n_places] = (place){.kind = kind};
    return &l->places[l->n_places++];
}

/* Ends a run of text: what was gathered becomes a place. */
static tp_status end_run(tp_layout *l, tp_str *run) {
    if (run->len == 0) return TP_OK;
    bool dynamic = strstr(run->data, "{text}") != NULL;
    place *p = add_place(l, dynamic ? PLACE_TEXT : PLACE_IDS);
    p->text = tp_strdup(run->data);
    tp_str_clear(run);
    return dynamic ? TP_OK : tp_tokenizer_encode(l->tokenizer, p->text, strlen(p->text), TP_TOKENS_PLAIN, &p->ids);
}

static tp_status once(bool *seen, const char *name, const char *pattern) {
    if (*seen)
        return tp_fail(TP_ERR_ARGUMENT, "layout \"%s\": %s stands in it twice, at most once was expected", pattern,
                       name);
    *seen = true;
    return TP_OK;
}

static tp_status parse(tp_layout *l, const tp_layout_options *options, tp_str *run) {
    for (const char *at = options->pattern; *at;) {
        if (tp_starts_with(at, "{bos}")) {
            TP_TRY(end_run(l, run));
            int32_t bos = tp_tokenizer_bos(l->tokenizer);
            if (bos >= 0) tp_ids_append(&add_place(l, PLACE_IDS)->ids, bos);
            at += strlen("{bos}");
        } else if (tp_starts_with(at, "{soft}")) {
            TP_TRY(end_run(l, run));
            TP_TRY(once(&l->has_soft, "{soft}", options->pattern));
            add_place(l, PLACE_SOFT);
            at += strlen("{soft}");
        } else if (tp_starts_with(at, "{primer}")) {
            if (options->primer) tp_str_append_text(run, options->primer);
            at += strlen("{primer}");
        } else if (tp_starts_with(at, "{text}")) {
            TP_TRY(once(&l->has_text, "{text}", options->pattern));
            tp_str_append_text(run, "{text}");
            at += strlen("{text}");
        } else if (*at == '{') {
            const char *end = strchr(at, '}');
            return tp_fail(TP_ERR_ARGUMENT,
                           "layout \"%s\": %.*s is no place; known are {bos}, {soft}, {primer} and {text}",
                           options->pattern, end ? (int)(end - at + 1) : (int)strlen(at), at);
        } else {
            tp_str_append_char(run, *at++);
        }
    }
    return end_run(l, run);
}

/* Keys and values are put in behind what was read by itself, and read by what comes behind them. */
static tp_status check_injected(const tp_layout *l, const char *pattern) {
    size_t at = 0;
    while (l->places[at].kind == PLACE_IDS) at++;
    if (l->places[at].kind == PLACE_SOFT && at + 1 < l->n_places) return TP_OK;
    return tp_fail(
        TP_ERR_ARGUMENT,
        "layout \"%s\": where keys and values are injected, only what is the same in every example may stand "
        "before {soft}, and something must stand behind it, such as \"{bos}{soft}{primer}\"",
        pattern);
}

/* ---- answers ---- */

/* The ids of the ending with a blank and the answer behind it, and how many of the ending's own ids they start with. */
static tp_status encode_behind(const tp_layout *l, const char *answer, size_t n, tp_ids *ids, size_t *common) {
    tp_str whole = {0};
    tp_str_append_text(&whole, l->ending);
    if (!tp_ends_with(l->ending, " ") && !tp_ends_with(l->ending, "\n")) tp_str_append_char(&whole, ' ');
    tp_str_append(&whole, answer, n);
    tp_status status = tp_tokenizer_encode(l->tokenizer, whole.data, whole.len, TP_TOKENS_PLAIN, ids);
    tp_str_free(&whole);
    *common = 0;
    while (*common < l->ending_ids.len && *common < ids->len && ids->data[*common] == l->ending_ids.data[*common])
        ++*common;
    return status;
}

/* What answers are tokenised behind. Of a run with {text} in it, what stands behind the text counts. Returns whether it
 * is text of the layout. */
static bool find_ending(tp_layout *l) {
    const char *tail = l->n_places ? l->places[l->n_places - 1].text : NULL;
    const char *text = tail ? strstr(tail, "{text}") : NULL;
    if (text) tail = text + strlen("{text}");
    bool own = tail != NULL && *tail != 0;
    l->ending = tp_strdup(own ? tail : ":"); /* a colon is what primers end in */
    return own;
}

tp_status tp_layout_encode_answer(const tp_layout *l, const char *answer, size_t n, tp_ids *out) {
    tp_ids whole = {0};
    size_t common, kept = l->ending_ids.len - l->n_dropped;
    tp_status status = encode_behind(l, answer, n, &whole, &common);
    if (status == TP_OK && common >= kept) {
        for (size_t i = kept; i < whole.len; i++) tp_ids_append(out, whole.data[i]);
    } else if (status == TP_OK) { /* it would merge with what the receiver has read already: a continuation by itself */
        for (size_t i = kept; i < l->ending_ids.len; i++) tp_ids_append(out, l->ending_ids.data[i]);
        tp_str behind = {0};
        tp_str_append_char(&behind, ' ');
        tp_str_append(&behind, answer, n);
        status = tp_tokenizer_encode(l->tokenizer, behind.data, behind.len, TP_TOKENS_NO_PREFIX, out);
        tp_str_free(&behind);
    }
    tp_ids_free(&whole);
    tp_ids_append(out, l->eos);
    return status;
}

static tp_status encode_labels(tp_layout *l, const tp_layout_options *options) {
    bool own_ending = find_ending(l);
    TP_TRY(tp_tokenizer_encode(l->tokenizer, l->ending, strlen(l->ending), TP_TOKENS_PLAIN, &l->ending_ids));
    for (int i = 0; i < options->n_labels; i++) {
        const char *label = options->labels[i];
        if (*label == 0) return tp_fail(TP_ERR_ARGUMENT, "label %d of the task is empty, an answer cannot be empty", i);
        tp_ids whole = {0};
        size_t common;
        tp_status status = encode_behind(l, label, strlen(label), &whole, &common);
        tp_ids_free(&whole);
        TP_TRY(status);
        size_t lost = l->ending_ids.len - common;
        if (own_ending && lost > l->n_dropped) l->n_dropped = lost;
    }
    l->labels = tp_alloc((size_t)(options->n_labels + 1) * sizeof *l->labels);
    l->n_labels = options->n_labels;
    for (int i = 0; i < l->n_labels; i++)
        TP_TRY(tp_layout_encode_answer(l, options->labels[i], strlen(options->labels[i]), &l->labels[i]));
    if (own_ending && l->places[l->n_places - 1].kind == PLACE_IDS) l->places[l->n_places - 1].ids.len -= l->n_dropped;
    return TP_OK;
}

/* ---- the object ---- */

tp_layout *tp_layout_new(const tp_layout_options *options) {
    tp_layout *l = tp_alloc(sizeof *l);
    *l = (tp_layout){.tokenizer = options->tokenizer,
                     .eos = options->eos >= 0 ? options->eos : tp_tokenizer_eos(options->tokenizer),
                     .max_text_tokens = options->max_text_tokens,
                     .truncate = options->truncate,
                     .injected = options->injected};
    tp_str run = {0};
    tp_status status = parse(l, options, &run);
    tp_str_free(&run);
    if (status == TP_OK && l->injected && l->has_soft) status = check_injected(l, options->pattern);
    if (status == TP_OK && l->eos < 0)
        status = tp_fail(TP_ERR_UNSUPPORTED, "the receiver has no end-of-sequence token, so that an answer has no end");
    if (status == TP_OK) status = encode_labels(l, options);
    if (status == TP_OK) return l;
    tp_layout_free(l);
    return NULL;
}

void tp_layout_free(tp_layout *l) {
    if (l == NULL) return;
    for (size_t i = 0; i < l->n_places; i++) {
        tp_ids_free(&l->places[i].ids);
        tp_free(l->places[i].text);
    }
    for (int i = 0; i < l->n_labels; i++) tp_ids_free(&l->labels[i]);
    tp_ids_free(&l->ending_ids);
    tp_free(l->ending);
    tp_free(l->labels);
    tp_free(l->places);
    tp_free(l);
}

bool tp_layout_has_soft(const tp_layout *l) {
    return l->has_soft;
}

bool tp_layout_has_text(const tp_layout *l) {
    return l->has_text;
}

bool tp_layout_injected(const tp_layout *l) {
    return l->injected;
}

int32_t tp_layout_eos(const tp_layout *l) {
    return l->eos;
}

const tp_ids *tp_layout_label(const tp_layout *l, int i) {
    assert(i >= 0 && i < l->n_labels);
    return &l->labels[i];
}

/* ---- batches ---- */

/* The ids of each item's run of text, one behind the other; ends [n]. */
static tp_status encode_texts(const tp_layout *l, const tp_layout_item *items, int64_t n, tp_ids *ids, size_t *ends,
                              int64_t *n_truncated) {
    const place *p = NULL;
    for (size_t i = 0; i < l->n_places; i++)
        if (l->places[i].kind == PLACE_TEXT) p = &l->places[i];
    bool last = p == &l->places[l->n_places - 1];
    for (int64_t s = 0; p && s < n; s++) {
        size_t before = ids->len;
        bool truncated;
        TP_TRY(tp_prompt_encode(l->tokenizer, p->text, items[s].text, items[s].len, l->max_text_tokens, l->truncate,
                                TP_TOKENS_PLAIN, ids, &truncated));
        *n_truncated += truncated;
        size_t dropped = last ? l->n_dropped : 0, own = ids->len - before;
        ids->len -= dropped < own ? dropped : own;
        ends[s] = ids->len;
    }
    return TP_OK;
}

/* What all sequences share is embedded once: copies the places' ids and notes where each place's begin. */
static int64_t put_static_ids(const tp_layout *l, int32_t *ids, int64_t *begins) {
    int64_t n = 0;
    for (size_t i = 0; i < l->n_places; i++) {
        begins[i] = n;
        for (size_t j = 0; j < l->places[i].ids.len; j++, n++)
            if (ids) ids[n] = l->places[i].ids.data[j];
    }
    return n;
}

static void add_rows(tp_layout_batch *b, int32_t source, int64_t first, int64_t n) {
    for (int64_t i = 0; i < n; i++) b->rows[b->n_rows++] = (tp_row_ref){.source = source, .row = first + i};
}

static void add_answer(tp_layout_batch *b, const tp_layout_item *item) {
    for (size_t i = 0; i < item->n_answer; i++) {
        b->targets[b->n_targets] = item->answer[i];
        b->lm_weights[b->n_targets] = 1;
        b->first_weights[b->n_targets++] = i == 0;
        if (i + 1 == item->n_answer) break;
        b->ids[b->n_ids] = item->answer[i];
        add_rows(b, 0, b->n_ids++, 1);
    }
}

/* How many places are the same in every sequence, before the first that is not; 0 if nothing might be left behind them,
 * because a text may be empty. */
static size_t places_of_prefix(const tp_layout *l) {
    size_t n = 0, last = l->n_places;
    while (n < l->n_places && l->places[n].kind == PLACE_IDS) n++;
    return n < l->n_places && (l->places[n].kind == PLACE_SOFT || l->places[last - 1].kind != PLACE_TEXT) ? n : 0;
}

void tp_layout_prefix(const tp_layout *l, tp_ids *out) {
    for (size_t i = 0; i < places_of_prefix(l); i++)
        for (size_t j = 0; j < l->places[i].ids.len; j++) tp_ids_append(out, l->places[i].ids.data[j]);
}

int64_t tp_layout_prefix_length(const tp_layout *l) {
    int64_t n = 0;
    for (size_t i = 0; i < places_of_prefix(l); i++) n += (int64_t)l->places[i].ids.len;
    return n;
}

/* The places from `first` on. */
static tp_status build(const tp_layout *l, size_t first, tp_arena *arena, const tp_layout_item *items, int64_t n,
                       int soft_tokens, tp_layout_batch *out) {
    tp_ids texts = {0};
    size_t *ends = tp_arena_zalloc(arena, (size_t)(n + 1) * sizeof *ends);
    int64_t *begins = tp_arena_alloc(arena, (l->n_places + 1) * sizeof *begins);
    if (l->injected) soft_tokens = 0;
    *out = (tp_layout_batch){.n_sequences = n};
    tp_status status = encode_texts(l, items, n, &texts, ends, &out->n_truncated);
    if (status != TP_OK) {
        tp_ids_free(&texts);
        return status;
    }
    size_t n_static = (size_t)put_static_ids(l, NULL, begins), n_answers = 0;
    for (int64_t s = 0; s < n; s++) n_answers += items[s].n_answer;
    size_t most_rows = (size_t)n * (n_static + (l->has_soft ? (size_t)soft_tokens : 0)) + texts.len + n_answers;
    out->ids = tp_arena_alloc(arena, (n_static + texts.len + n_answers) * sizeof *out->ids);
    out->rows = tp_arena_alloc(arena, most_rows * sizeof *out->rows);
    out->offsets = tp_arena_alloc(arena, (size_t)(n + 1) * sizeof *out->offsets);
    out->target_offsets = tp_arena_alloc(arena, (size_t)(n + 1) * sizeof *out->target_offsets);
    out->targets = tp_arena_alloc(arena, n_answers * sizeof *out->targets);
    out->lm_weights = tp_arena_alloc(arena, n_answers * sizeof *out->lm_weights);
    out->first_weights = tp_arena_alloc(arena, n_answers * sizeof *out->first_weights);

    put_static_ids(l, out->ids, begins);
    if (texts.len) memcpy(out->ids + n_static, texts.data, texts.len * sizeof *out->ids);
    out->n_ids = (int64_t)(n_static + texts.len);
    tp_ids_free(&texts);
    for (int64_t s = 0; s < n; s++) {
        out->offsets[s] = out->n_rows;
        out->target_offsets[s] = out->n_targets;
        for (size_t i = first; i < l->n_places; i++) {
            const place *p = &l->places[i];
            size_t text_begin = s ? ends[s - 1] : 0;
            if (p->kind == PLACE_SOFT)
                add_rows(out, 1, s * soft_tokens, soft_tokens);
            else if (p->kind == PLACE_TEXT)
                add_rows(out, 0, (int64_t)(n_static + text_begin), (int64_t)(ends[s] - text_begin));
            else
                add_rows(out, 0, begins[i], (int64_t)p->ids.len);
        }
        if (out->n_rows == out->offsets[s])
            return tp_fail(TP_ERR_ARGUMENT, "the layout leaves the receiver nothing to read in item %lld",
                           (long long)s);
        add_answer(out, &items[s]);
    }
    out->offsets[n] = out->n_rows;
    out->target_offsets[n] = out->n_targets;
    return TP_OK;
}

tp_status tp_layout_build(const tp_layout *l, tp_arena *arena, const tp_layout_item *items, int64_t n, int soft_tokens,
                          tp_layout_batch *out) {
    return build(l, 0, arena, items, n, soft_tokens, out);
}

tp_status tp_layout_build_behind_prefix(const tp_layout *l, tp_arena *arena, const tp_layout_item *items, int64_t n,
                                        int soft_tokens, tp_layout_batch *out) {
    return build(l, places_of_prefix(l), arena, items, n, soft_tokens, out);
}

tp_var *tp_layout_input(tp_tape *tape, const tp_lm *receiver, const tp_layout_batch *batch, tp_var *soft) {
    tp_var *sources[2] = {tp_lm_embed(tape, receiver, batch->ids, batch->n_ids), soft};
    return tp_gather(tape, sources, soft ? 2 : 1, batch->rows, batch->n_rows);
}

tp_status tp_layout_prompts(const tp_layout *l, tp_tape *tape, const tp_lm *receiver, const tp_layout_item *items,
                            int64_t n, int soft_tokens, tp_var *soft, bool behind_prefix, tp_prompts *out,
                            int64_t *n_truncated) {
    tp_layout_batch batch;
    bool injects = l->injected && soft;
    *out = (tp_prompts){.n = n};
    assert(behind_prefix || !injects || tp_layout_prefix_length(l) == 0);
    TP_TRY(build(l, behind_prefix ? places_of_prefix(l) : 0, tape->arena, items, n, soft_tokens, &batch));
    out->rows = tp_layout_input(tape, receiver, &batch, injects ? NULL : soft)->data;
    out->offsets = batch.offsets;
    if (n_truncated) *n_truncated += batch.n_truncated;
    if (!injects) return TP_OK;
    assert(soft->rows == n * soft_tokens && soft->cols == tp_lm_kv_width(&receiver->config));
    out->injected = soft->data;
    out->n_injected = soft_tokens;
    return TP_OK;
}
