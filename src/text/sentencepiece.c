/* Reading SentencePiece's tokenizer.model: a protocol buffer (sentencepiece_model.proto of google/sentencepiece), of
 * which we need a few fields. The reader is our own, a page long, and checks every length before it uses it.
 */
#include "base/mem.h"
#include "text/tokenizer_parts.h"
#include "text/unicode.h"

#include <float.h>
#include <math.h>
#include <string.h>

typedef struct reader { /* what is left of a message */
    const unsigned char *at, *end;
    const unsigned char *start; /* of the file, to say where something is wrong */
    const char *path;
} reader;

typedef struct field {
    uint32_t number, wire;
    uint64_t value; /* wire 0, 1 and 5 */
    reader inside;  /* wire 2 */
} field;

static tp_status broken(const reader *r, const char *what) {
    return tp_fail(TP_ERR_FORMAT, "%s is not a whole SentencePiece model: %s at byte %zu", r->path, what,
                   (size_t)(r->at - r->start));
}

static tp_status read_varint(reader *r, uint64_t *value) {
    *value = 0;
    for (int shift = 0; shift < 70; shift += 7) {
        if (r->at == r->end) return broken(r, "a number is cut off");
        unsigned char byte = *r->at++;
        if (shift == 63 && byte > 1) break;
        *value |= (uint64_t)(byte & 0x7F) << shift;
        if (byte < 0x80) return TP_OK;
    }
    return broken(r, "a number is longer than 64 bits");
}

static tp_status read_fixed(reader *r, size_t n, uint64_t *value) {
    if ((size_t)(r->end - r->at) < n) return broken(r, "a number is cut off");
    *value = 0;
    for (size_t i = 0; i < n; i++) *value |= (uint64_t)r->at[i] << (8 * i);
    r->at += n;
    return TP_OK;
}

static tp_status read_field(reader *r, field *f) {
    uint64_t tag, length;
    TP_TRY(read_varint(r, &tag));
    if (tag >> 3 == 0 || tag >> 3 > 0x1FFFFFFF) return broken(r, "a field has an impossible number");
    *f = (field){.number = (uint32_t)(tag >> 3), .wire = (uint32_t)(tag & 7)};
    switch (f->wire) {
    case 0:
        return read_varint(r, &f->value);
    case 1:
        return read_fixed(r, 8, &f->value);
    case 5:
        return read_fixed(r, 4, &f->value);
    case 2:
        TP_TRY(read_varint(r, &length));
        if (length > (uint64_t)(r->end - r->at)) return broken(r, "a field is longer than what is left");
        f->inside = (reader){r->at, r->at + length, r->start, r->path};
        r->at += length;
        return TP_OK;
    default:
        return broken(r, "a field has an unknown type");
    }
}

static tp_status want(const reader *r, const field *f, uint32_t wire) {
    return f->wire == wire ? TP_OK : broken(r, "a field has another type than expected");
}

/* ---- the messages ---- */

enum piece_type { NORMAL = 1, UNKNOWN = 2, CONTROL = 3, USER_DEFINED = 4, UNUSED = 5, BYTE = 6 };
enum model_type { UNIGRAM = 1, BPE = 2, WORD = 3, CHAR = 4 };

typedef struct piece {
    const char *text;
    size_t length;
    float score;
    uint64_t type;
} piece;

typedef struct model {
    tp_tokenizer *t;
    piece *pieces;
    size_t n_pieces, capacity;
    uint64_t type;
    bool byte_fallback, suffix, prefix, squeeze, escape;
    const unsigned char *charsmap; /* inside the file; NULL if there is none */
    size_t n_charsmap;
    int64_t unknown, bos, eos;
    const char *path;
} model;

static tp_status read_piece(model *m, reader r) {
    piece p = {.text = "", .type = NORMAL};
    field f;
    while (r.at < r.end) {
        TP_TRY(read_field(&r, &f));
        if (f.number == 1) {
            TP_TRY(want(&r, &f, 2));
            p.text = (const char *)f.inside.at;
            p.length = (size_t)(f.inside.end - f.inside.at);
        } else if (f.number == 2) {
            TP_TRY(want(&r, &f, 5));
            uint32_t bits = (uint32_t)f.value;
            memcpy(&p.score, &bits, sizeof p.score);
        } else if (f.number == 3) {
            TP_TRY(want(&r, &f, 0));
            p.type = f.value;
        }
    }
    if (m->n_pieces >= TP_MOST_TOKENS)
        return tp_fail(TP_ERR_FORMAT, "%s: more than the %d pieces supported", m->path, TP_MOST_TOKENS);
    if (p.length == 0 || p.length > TP_LONGEST_TOKEN)
        return tp_fail(TP_ERR_FORMAT, "%s: piece %zu is %zu bytes long, 1 to %d were expected", m->path, m->n_pieces,
                       p.length, TP_LONGEST_TOKEN);
    if (isnan(p.score))
        return tp_fail(TP_ERR_FORMAT, "%s: the score of piece %zu is not a number", m->path, m->n_pieces);
    tp_grow(&m->pieces, &m->capacity, m->n_pieces, sizeof *m->pieces);
    m->pieces[m->n_pieces++] = p;
    return TP_OK;
}

static tp_status read_trainer_spec(model *m, reader r) {
    field f;
    while (r.at < r.end) {
        TP_TRY(read_field(&r, &f));
        switch (f.number) {
        case 3:
            m->type = f.value;
            break;
        case 24:
            m->suffix = f.value != 0;
            break;
        case 35:
            m->byte_fallback = f.value != 0;
            break;
        case 40:
            m->unknown = (int64_t)f.value;
            break; /* -1, written as 2^64 - 1, says there is none */
        case 41:
            m->bos = (int64_t)f.value;
            break;
        case 42:
            m->eos = (int64_t)f.value;
            break;
        default:
            continue;
        }
        TP_TRY(want(&r, &f, 0));
    }
    return TP_OK;
}

static tp_status read_normalizer_spec(model *m, reader r) {
    field f;
    while (r.at < r.end) {
        TP_TRY(read_field(&r, &f));
        switch (f.number) {
        case 2:
            TP_TRY(want(&r, &f, 2));
            m->n_charsmap = (size_t)(f.inside.end - f.inside.at);
            m->charsmap = m->n_charsmap > 0 ? f.inside.at : NULL;
            continue;
        case 3:
            m->prefix = f.value != 0;
            break;
        case 4:
            m->squeeze = f.value != 0;
            break;
        case 5:
            m->escape = f.value != 0;
            break;
        default:
            continue;
        }
        TP_TRY(want(&r, &f, 0));
    }
    return TP_OK;
}

static tp_status read_model(model *m, reader r) {
    field f;
    while (r.at < r.end) {
        TP_TRY(read_field(&r, &f));
        if (f.number < 1 || f.number > 3) continue;
        TP_TRY(want(&r, &f, 2));
        TP_TRY(f.number == 1   ? read_piece(m, f.inside)
               : f.number == 2 ? read_trainer_spec(m, f.inside)
                               : read_normalizer_spec(m, f.inside));
    }
    static const char *const types[] = {"", "unigram", "BPE", "word", "character"};
    if (m->n_pieces == 0) return tp_fail(TP_ERR_FORMAT, "%s is not a SentencePiece model: it has no pieces", m->path);
    if (m->type != BPE && m->type != UNIGRAM)
        return tp_fail(TP_ERR_UNSUPPORTED, "%s is a SentencePiece model of type %s; BPE and unigram are supported",
                       m->path, m->type <= CHAR ? types[m->type] : "unknown");
    if (m->suffix)
        return tp_fail(TP_ERR_UNSUPPORTED, "%s: a SentencePiece model with blanks as suffixes is not supported",
                       m->path);
    return TP_OK;
}

/* ---- from pieces to a tokenizer ---- */

static tp_status add_pieces(model *m) {
    tp_tokenizer *t = m->t;
    for (size_t i = 0; i < m->n_pieces; i++) {
        const piece *p = &m->pieces[i];
        int32_t id = (int32_t)i;
        tp_added_token token = {.id = id};
        tp_vocab_set(&t->vocab, id, p->text, p->length);
        bool findable = p->type == NORMAL || p->type == USER_DEFINED;
        if (findable && !tp_vocab_index(&t->vocab, id))
            return tp_fail(TP_ERR_FORMAT, "%s: piece %zu has the same text as another one", m->path, i);
        switch (p->type) {
        case UNKNOWN:
            t->unknown = id; /* fall through */
        case CONTROL:
            tp_vocab_set(&t->pieces, id, p->text, p->length);
            tp_ids_append(&t->specials, id);
            token.special = true;
            tp_added_put(&t->raw_added, p->text, p->length, token);
            continue;
        case USER_DEFINED: /* BPE is kept off it, Unigram prefers it by its score */
            tp_added_put(&t->verbatim, p->text, p->length, token);
            if (m->type == BPE) tp_added_put(&t->normal_added, p->text, p->length, token);
            break;
        case BYTE:
            if (tp_byte_token(p->text, p->length) < 0)
                return tp_fail(TP_ERR_FORMAT, "%s: piece %zu is a byte but not written like <0x0A>", m->path, i);
            break;
        case NORMAL:
            break;
        case UNUSED:
            if (m->type == UNIGRAM) break; /* fall through */
        default:
            return tp_fail(TP_ERR_UNSUPPORTED, "%s: piece %zu has the type %llu, which is not supported", m->path, i,
                           (unsigned long long)p->type);
        }
        tp_tokenizer_set_written_piece(t, id, p->text, p->length, p->type == BYTE && m->byte_fallback);
    }
    t->size = (int32_t)m->n_pieces;
    return TP_OK;
}

/* What a user-defined piece of n bytes scores is SentencePiece's formula: less than nothing is lost by taking it. */
static void set_unigram(model *m) {
    tp_unigram *u = &m->t->unigram;
    tp_trie_entry *entries = tp_alloc(m->n_pieces * sizeof *entries);
    size_t n = 0;
    float least = FLT_MAX, most = -FLT_MAX;
    for (size_t i = 0; i < m->n_pieces; i++) {
        const piece *p = &m->pieces[i];
        if (p->type == NORMAL) least = fminf(least, p->score);
        if (p->type == NORMAL) most = fmaxf(most, p->score);
        if (p->type == NORMAL || p->type == USER_DEFINED)
            entries[n++] = (tp_trie_entry){p->text, p->length, (int32_t)i};
    }
    u->score = tp_alloc(m->n_pieces * sizeof *u->score);
    for (size_t i = 0; i < m->n_pieces; i++) {
        const piece *p = &m->pieces[i];
        u->score[i] = p->type == USER_DEFINED ? (double)(float)((float)p->length * most - 0.1) : (double)p->score;
    }
    u->unknown_score = (double)(least - (float)TP_UNIGRAM_PENALTY);
    u->single = true;
    u->trie = tp_trie_new(entries, n);
    tp_free(entries);
    m->t->model = TP_MODEL_UNIGRAM;
}

static void set_merges(model *m) {
    tp_scored_piece *scored = tp_alloc(m->n_pieces * sizeof *scored);
    size_t n = 0;
    for (size_t i = 0; i < m->n_pieces; i++)
        if (m->pieces[i].type == NORMAL) scored[n++] = (tp_scored_piece){(int32_t)i, m->pieces[i].score};
    tp_tokenizer_merge_by_score(m->t, scored, n);
    tp_free(scored);
}

static tp_status add_steps(const model *m) {
    tp_steps *steps = &m->t->normalizers;
    if (m->charsmap != NULL) {
        tp_charsmap *map = tp_charsmap_new(m->charsmap, m->n_charsmap, m->path);
        if (map == NULL) return tp_last_status();
        tp_steps_add(steps, TP_STEP_CHARSMAP)->charsmap = map;
    }
    if (m->squeeze) tp_steps_add(steps, TP_STEP_SQUEEZE)->to = tp_strdup(m->escape ? TP_BLANK : NULL);
    if (m->prefix) tp_steps_add(steps, TP_STEP_PREPEND)->to = tp_strdup(m->escape ? TP_BLANK : " ");
    if (m->escape) {
        tp_step *step = tp_steps_add(steps, TP_STEP_REPLACE);
        step->from = tp_strdup(" ");
        step->to = tp_strdup(TP_BLANK);
    }
    m->t->adds_prefix = m->prefix;
    return TP_OK;
}

static tp_status build(model *m) {
    tp_tokenizer *t = m->t;
    TP_TRY(add_pieces(m));
    t->fuse_unknown = true;
    if (m->type == BPE) {
        set_merges(m);
    } else {
        set_unigram(m);
    }
    TP_TRY(add_steps(m));
    tp_added_finish(&t->raw_added);
    tp_added_finish(&t->normal_added);
    tp_added_finish(&t->verbatim);
    if (m->bos >= 0 && m->bos < t->size) t->bos = (int32_t)m->bos;
    if (m->eos >= 0 && m->eos < t->size) t->eos = (int32_t)m->eos;
    if (t->bos >= 0) tp_ids_append(&t->before, t->bos); /* as Llama and Mistral, unless tokenizer_config.json objects */
    return TP_OK;
}

tp_status tp_tokenizer_read_sentencepiece(tp_tokenizer *t, const char *bytes, size_t n, const char *path) {
    /* The defaults of the format, where a file says nothing. */
    model m = {
        .t = t, .type = UNIGRAM, .prefix = true, .squeeze = true, .escape = true, .bos = 1, .eos = 2, .path = path};
    const unsigned char *start = (const unsigned char *)bytes;
    tp_status status = read_model(&m, (reader){start, start + n, start, path});
    if (status == TP_OK) status = build(&m);
    tp_free(m.pieces);
    return status;
}
