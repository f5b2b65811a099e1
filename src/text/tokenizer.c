/* Loading whatever kind of tokenizer a path holds, decoding, and what can be asked of a tokenizer. */
#include "text/tokenizer.h"

#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/model_path.h"
#include "text/tokenizer_parts.h"
#include "text/unicode.h"

#include <string.h>

enum { LARGEST_FILE = 256 << 20 }; /* bytes; the largest tokenizer.json in use is some 35 MB */

void tp_ids_append(tp_ids *ids, int32_t id) {
    tp_grow(&ids->data, &ids->capacity, ids->len, sizeof *ids->data);
    ids->data[ids->len++] = id;
}

void tp_ids_free(tp_ids *ids) {
    tp_free(ids->data);
    *ids = (tp_ids){0};
}

/* ---- what the loaders share ---- */

static void set_up(tp_tokenizer *t) {
    *t = (tp_tokenizer){.bpe = tp_bpe_new(), .bos = -1, .eos = -1, .unknown = -1, .wordpiece = {.unknown = -1}};
    for (int i = 0; i < 256; i++) t->byte_id[i] = -1;
}

static void clear(tp_tokenizer *t) {
    tp_vocab_free(&t->vocab);
    tp_vocab_free(&t->pieces);
    tp_free(t->special);
    tp_str_free(&t->continuing);
    tp_str_free(&t->ending);
    tp_ids_free(&t->specials);
    tp_bpe_free(t->bpe);
    tp_unigram_free(&t->unigram);
    tp_wordpiece_free(&t->wordpiece);
    tp_added_free(&t->raw_added);
    tp_added_free(&t->normal_added);
    tp_added_free(&t->verbatim);
    tp_steps_free(&t->normalizers);
    tp_steps_free(&t->pre_tokenizers);
    tp_ids_free(&t->before);
    tp_ids_free(&t->after);
}

tp_tokenizer *tp_tokenizer_new(void) {
    tp_tokenizer *t = tp_alloc(sizeof *t);
    set_up(t);
    return t;
}

void tp_tokenizer_reset(tp_tokenizer *t) {
    clear(t);
    set_up(t);
}

void tp_tokenizer_free(tp_tokenizer *t) {
    if (t == NULL) return;
    clear(t);
    tp_free(t);
}

int32_t tp_tokenizer_symbol(const tp_tokenizer *t, const char *bytes, size_t n) {
    return t->byte_level ? t->byte_id[(unsigned char)*bytes] : tp_vocab_find(&t->vocab, bytes, n);
}

/* The first or the last symbol of a token: where it can join with others. */
static int32_t symbol_at_end(const tp_tokenizer *t, int32_t id, bool last) {
    size_t n, length = 1, at = 0;
    const char *text = tp_vocab_text(&t->vocab, id, &n);
    if (n == 0) return id;
    if (t->byte_level) return tp_tokenizer_symbol(t, text + (last ? n - 1 : 0), 1);
    int byte = tp_byte_token(text, n);
    if (byte >= 0 && t->byte_id[byte] == id) return id;
    for (;; at += length) {
        uint32_t code;
        length = tp_utf8_decode(text + at, n - at, &code);
        if (length == 0) length = 1;
        if (!last || at + length >= n) break;
    }
    return tp_tokenizer_symbol(t, text + at, length);
}

void tp_tokenizer_add_merge(tp_tokenizer *t, int32_t left, int32_t right, int32_t rank, int32_t joined) {
    tp_bpe_add(t->bpe, left, right, rank, joined, symbol_at_end(t, left, true), symbol_at_end(t, right, false));
}

void tp_tokenizer_add_splits(tp_tokenizer *t, int32_t joined, int32_t rank) {
    size_t n;
    const char *text = tp_vocab_text(&t->vocab, joined, &n);
    for (size_t at = 0; at < n;) {
        uint32_t code;
        size_t length = t->byte_level ? 1 : tp_utf8_decode(text + at, n - at, &code);
        at += length ? length : 1;
        int32_t left = at < n ? tp_vocab_find(&t->vocab, text, at) : -1;
        int32_t right = left >= 0 ? tp_vocab_find(&t->vocab, text + at, n - at) : -1;
        if (right >= 0) tp_tokenizer_add_merge(t, left, right, rank, joined);
    }
}

int tp_byte_token(const char *text, size_t n) {
    if (n != 6 || memcmp(text, "<0x", 3) != 0 || text[5] != '>') return -1;
    int byte = 0;
    for (int i = 3; i < 5; i++) {
        int digit = text[i] >= '0' && text[i] <= '9'   ? text[i] - '0'
                    : text[i] >= 'A' && text[i] <= 'F' ? text[i] - 'A' + 10
                                                       : -1;
        if (digit < 0) return -1;
        byte = 16 * byte + digit;
    }
    return byte;
}

void tp_tokenizer_set_written_piece(tp_tokenizer *t, int32_t id, const char *text, size_t n, bool is_byte) {
    int byte = is_byte ? tp_byte_token(text, n) : -1;
    if (byte >= 0) {
        char c = (char)byte;
        tp_vocab_set(&t->pieces, id, &c, 1);
        t->byte_id[byte] = id;
        return;
    }
    tp_str piece = {0};
    for (size_t i = 0; i < n;) {
        bool blank = n - i >= 3 && memcmp(text + i, TP_BLANK, 3) == 0;
        tp_str_append_char(&piece, blank ? ' ' : text[i]);
        i += blank ? 3 : 1;
    }
    tp_vocab_set(&t->pieces, id, piece.data ? piece.data : "", piece.len);
    tp_str_free(&piece);
}

/* ---- loading ---- */

static bool looks_like_tiktoken(const char *bytes, size_t n) {
    size_t i = 0;
    while (i < n && bytes[i] > ' ' && bytes[i] < 0x7F) i++;
    return i > 0 && i + 1 < n && bytes[i] == ' ' && bytes[i + 1] >= '0' && bytes[i + 1] <= '9';
}

void tp_tokenizer_finish(tp_tokenizer *t, tp_hash *h) {
    t->special = tp_alloc((size_t)t->size);
    for (size_t i = 0; i < t->specials.len; i++) t->special[t->specials.data[i]] = 1;
    for (size_t i = 0; i < t->pre_tokenizers.len; i++) /* a tiktoken file does not name its pattern */
        tp_hash_add(h, &t->pre_tokenizers.data[i].kind, sizeof t->pre_tokenizers.data[i].kind);
    tp_hash_add(h, &t->size, sizeof t->size);
    tp_hash_add(h, &t->bos, sizeof t->bos);
    tp_hash_add(h, &t->eos, sizeof t->eos);
    if (t->before.len > 0) tp_hash_add(h, t->before.data, t->before.len * sizeof *t->before.data);
    tp_hash_end(h, t->fingerprint);
}

static tp_status read_any(tp_tokenizer *t, const char *bytes, size_t n, const char *path, const char *pattern) {
    if (n == 0) return tp_fail(TP_ERR_FORMAT, "%s is empty, a tokenizer was expected", path);
    if (bytes[0] == '{' || tp_ends_with(path, ".json")) return tp_tokenizer_read_json(t, bytes, n, path);
    if (looks_like_tiktoken(bytes, n)) return tp_tokenizer_read_tiktoken(t, bytes, n, path, pattern);
    return tp_tokenizer_read_sentencepiece(t, bytes, n, path);
}

static tp_tokenizer *load_file(const char *path, const char *folder, const char *pattern) {
    char *bytes;
    size_t n;
    if (tp_read_file(path, LARGEST_FILE, &bytes, &n) != TP_OK) return NULL;
    tp_tokenizer *t = tp_tokenizer_new();
    tp_status status = read_any(t, bytes, n, path, pattern);
    if (status == TP_OK) status = tp_tokenizer_read_config(t, folder);
    if (status == TP_OK) {
        tp_hash *h = tp_hash_new();
        tp_hash_add(h, bytes, n);
        tp_tokenizer_finish(t, h);
    }
    tp_free(bytes);
    if (status == TP_OK) return t;
    tp_tokenizer_free(t);
    return NULL;
}

static tp_tokenizer *load_path(const char *path, const char *pattern) {
    if (!tp_is_dir(path)) {
        const char *slash = strrchr(path, '/');
        char *folder = slash == NULL ? tp_strdup(".") : tp_strndup(path, (size_t)(slash - path) + 1);
        tp_tokenizer *t = load_file(path, folder, pattern);
        tp_free(folder);
        return t;
    }
    static const char *const names[] = {"tokenizer.json", "tokenizer.model"};
    for (int i = 0; i < 2; i++) {
        char *file = tp_path_join(path, names[i]);
        bool there = tp_path_exists(file);
        tp_tokenizer *t = there ? load_file(file, path, pattern) : NULL;
        tp_free(file);
        if (there) return t;
    }
    return tp_fail_null(TP_ERR_IO, "%s holds no tokenizer: neither tokenizer.json nor tokenizer.model is there", path);
}

tp_tokenizer *tp_tokenizer_load(const char *model, const char *pattern) {
    char *path = tp_model_path(model);
    tp_tokenizer *t = path ? load_path(path, pattern) : NULL;
    tp_free(path);
    return t;
}

/* ---- decoding ---- */

char *tp_tokenizer_decode(const tp_tokenizer *t, const int32_t *ids, size_t n, unsigned flags, size_t *len) {
    tp_str out = {0};
    bool prefixed = t->adds_prefix && !(flags & TP_TOKENS_NO_PREFIX); /* the next blank was added by encoding */
    for (size_t i = 0; i < n; i++) {
        size_t length;
        const char *piece = tp_vocab_text(&t->pieces, ids[i], &length);
        if (piece == NULL) continue;
        if (t->special[ids[i]]) {
            if (!(flags & TP_TOKENS_SKIP_SPECIAL)) {
                if (t->words_apart && out.len > 0) tp_str_append_char(&out, ' ');
                tp_str_append(&out, piece, length);
                prefixed = prefixed && !t->words_apart;
            }
            prefixed = t->adds_prefix && ids[i] != t->unknown && (prefixed || !t->prefix_first_only);
            continue;
        }
        size_t skip = prefixed && length > 0 && piece[0] == ' ';
        tp_str_append(&out, piece + skip, length - skip);
        prefixed = false;
        bool last = i + 1 == n && t->ending.len > 0 && !(flags & TP_TOKENS_NO_PREFIX);
        if (last && length > 0 && piece[length - 1] == ' ') out.len--; /* the blank that stands for the word's end */
    }
    if (out.data) out.data[out.len] = '\0';
    if (len) *len = out.len;
    return tp_str_take(&out);
}

/* ---- questions ---- */

const char *tp_tokenizer_piece(const tp_tokenizer *t, int32_t id, size_t *len) {
    size_t n = 0;
    const char *text = tp_vocab_text(&t->pieces, id, &n);
    if (len) *len = n;
    return text;
}

int32_t tp_tokenizer_size(const tp_tokenizer *t) {
    return t->size;
}

int32_t tp_tokenizer_bos(const tp_tokenizer *t) {
    return t->bos;
}

int32_t tp_tokenizer_eos(const tp_tokenizer *t) {
    return t->eos;
}

bool tp_tokenizer_is_special(const tp_tokenizer *t, int32_t id) {
    return id >= 0 && id < t->size && t->special[id];
}

bool tp_tokenizer_adds_bos(const tp_tokenizer *t) {
    for (size_t i = 0; i < t->before.len; i++)
        if (t->before.data[i] == t->bos) return t->bos >= 0;
    return false;
}

const char *tp_tokenizer_kind(const tp_tokenizer *t) {
    if (t->model == TP_MODEL_WORDPIECE) return "WordPiece";
    if (t->model == TP_MODEL_UNIGRAM) return "Unigram";
    return t->byte_level ? "byte-level BPE" : "SentencePiece BPE";
}

const char *tp_tokenizer_fingerprint(const tp_tokenizer *t) {
    return t->fingerprint;
}
