/* Saving and restoring a slot. See kv_file.h, and docs/kv-file.md for the byte table that the offsets below follow.
 *
 * The file's size follows from its header, so a reader knows it before it looks at a number; the file is mapped, and
 * its rows are copied to where they belong only after the checksum and every number were found good. */
#include "lm/kv_file.h"

#include "base/bytes.h"
#include "base/file.h"
#include "base/hash.h"

#include <string.h>

enum {
    AT_MAGIC = 0,
    AT_VERSION = 4,
    AT_TYPE = 6,
    AT_FLAGS = 7,
    AT_MODEL = 8,
    AT_LENGTH = 24,
    AT_SHAPE = 32, /* layers, key heads, head size, width */
    HEADER = 48,   /* then the windows */
    CHECKSUM = 16,
    VERSION = 1,
    HAS_LAST = 1,
};

static const char magic[4] = {'T', 'P', 'K', 'V'};
static const tp_dtype types[] = {TP_F32, TP_F16, TP_BF16, TP_I8}; /* in the order of their codes, from 1 */
enum { N_TYPES = 4 };

/* ---- what both directions share ---- */

/* Calls visit for every stretch of the slot's numbers and scales that a file of `length` positions holds, in the file's
 * order. The rows need not be filled: this is also where a file's rows go. */
typedef tp_status (*stretch_visitor)(void *context, void *bytes, size_t n, tp_dtype type);

static tp_status visit_part(const tp_kv_cache *cache, const tp_kv_sequence *rows, bool values, bool scales,
                            stretch_visitor visit, void *context) {
    size_t number = tp_dtype_size(cache->type) * (size_t)cache->head_dim, each = scales ? sizeof(float) : number;
    for (int64_t h = 0; h < cache->n_kv_heads; h++)
        for (int i = 0; i < TP_KV_SPANS; i++) {
            const tp_kv_span *s = &rows->spans[i];
            const void *from = scales ? (const void *)(values ? s->v_scales : s->k_scales) : values ? s->v : s->k;
            if (s->n == 0) continue;
            void *at = (char *)(uintptr_t)from + (size_t)(h * s->head_rows) * each;
            TP_TRY(visit(context, at, (size_t)s->n * each, scales ? TP_F32 : cache->type));
        }
    return TP_OK;
}

static tp_status visit_rows(const tp_kv_cache *cache, int64_t slot, int64_t length, stretch_visitor visit,
                            void *context) {
    for (int l = 0; l < cache->n_layers; l++) {
        tp_kv_sequence rows = tp_kv_cache_held(cache, l, slot, length);
        TP_TRY(visit_part(cache, &rows, false, false, visit, context));
        TP_TRY(visit_part(cache, &rows, true, false, visit, context));
        if (cache->type != TP_I8) continue;
        TP_TRY(visit_part(cache, &rows, false, true, visit, context));
        TP_TRY(visit_part(cache, &rows, true, true, visit, context));
    }
    return TP_OK;
}

static tp_status add_size(void *context, void *bytes, size_t n, tp_dtype type) {
    (void)bytes, (void)type;
    *(size_t *)context += n;
    return TP_OK;
}

/* Bytes of a file of `length` positions, which fit the cache: no sum overflows. */
static size_t file_size(const tp_lm *lm, const tp_kv_cache *cache, int64_t length, bool has_last) {
    size_t size = HEADER + 4 * (size_t)cache->n_layers + 4 * (size_t)length + CHECKSUM;
    if (has_last) size += 4 * (size_t)lm->config.d_model;
    visit_rows(cache, 0, length, add_size, &size);
    return size;
}

static void put_shape(unsigned char *header, const tp_lm *lm, const tp_kv_cache *cache) {
    const int shape[4] = {cache->n_layers, cache->n_kv_heads, cache->head_dim, lm->config.d_model};
    for (int i = 0; i < 4; i++) tp_put_le(header + AT_SHAPE + 4 * i, (uint64_t)shape[i], 4);
}

/* ---- saving ---- */

typedef struct {
    tp_writer *writer;
    tp_hash *hash;
} saver;

static void save(saver *s, const void *bytes, size_t n) {
    tp_writer_write(s->writer, bytes, n);
    tp_hash_add(s->hash, bytes, n);
}

static tp_status save_rows(void *context, void *bytes, size_t n, tp_dtype type) {
    (void)type;
    save(context, bytes, n);
    return TP_OK;
}

tp_status tp_kv_file_save(const char *path, const tp_lm *lm, const tp_kv_cache *cache, int64_t slot, const int32_t *ids,
                          const float *last) {
    unsigned char header[HEADER] = {0}, sum[CHECKSUM], window[4];
    int64_t length = cache->lengths[slot];
    if (length == 0) return tp_fail(TP_ERR_ARGUMENT, "%s was not written: nothing was read yet", path);
    if (!tp_hash_to_bytes(lm->fingerprint, header + AT_MODEL))
        return tp_fail(TP_ERR_UNSUPPORTED,
                       "%s was not written: the model was not loaded from a file and has no "
                       "fingerprint by which the state could be told to be its own",
                       path);
    memcpy(header + AT_MAGIC, magic, sizeof magic);
    tp_put_le(header + AT_VERSION, VERSION, 2);
    for (int i = 0; i < N_TYPES; i++)
        if (types[i] == cache->type) header[AT_TYPE] = (unsigned char)(i + 1);
    header[AT_FLAGS] = last ? HAS_LAST : 0;
    tp_put_le(header + AT_LENGTH, (uint64_t)length, 8);
    put_shape(header, lm, cache);
    saver s = {.writer = tp_writer_open(path)};
    if (s.writer == NULL) return tp_last_status();
    s.hash = tp_hash_new();
    save(&s, header, sizeof header);
    for (int l = 0; l < cache->n_layers; l++) {
        tp_put_le(window, (uint64_t)cache->layers[l].window, 4);
        save(&s, window, sizeof window);
    }
    save(&s, ids, (size_t)length * sizeof *ids);
    if (last) save(&s, last, (size_t)lm->config.d_model * sizeof *last);
    visit_rows(cache, slot, length, save_rows, &s);
    char hex[33];
    tp_hash_end(s.hash, hex);
    tp_hash_to_bytes(hex, sum);
    tp_writer_write(s.writer, sum, sizeof sum);
    return tp_writer_commit(s.writer);
}

/* ---- restoring ---- */

static tp_status check_header(const unsigned char *p, size_t n, const char *path, const tp_lm *lm,
                              const tp_kv_cache *cache) {
    unsigned char model[16] = {0}, shape[HEADER];
    char found[33];
    if (n < HEADER + CHECKSUM || memcmp(p, magic, sizeof magic) != 0)
        return tp_fail(TP_ERR_FORMAT, "%s is no saved state: it does not start with \"TPKV\" and a header", path);
    if (tp_get_le(p + AT_VERSION, 2) != VERSION)
        return tp_fail(TP_ERR_UNSUPPORTED, "%s: version of the saved state is %d, %d was expected", path,
                       (int)tp_get_le(p + AT_VERSION, 2), VERSION);
    tp_hash_from_bytes(p + AT_MODEL, found);
    if (!tp_hash_to_bytes(lm->fingerprint, model) || memcmp(model, p + AT_MODEL, 16) != 0)
        return tp_fail(TP_ERR_ARGUMENT, "%s was saved under another model: its fingerprint is %s, this one's is %s",
                       path, found, *lm->fingerprint ? lm->fingerprint : "missing");
    int type = p[AT_TYPE];
    if (type < 1 || type > N_TYPES)
        return tp_fail(TP_ERR_FORMAT, "%s: type of the cache is %d, 1 (f32) to %d (i8) were expected", path, type,
                       N_TYPES);
    if (types[type - 1] != cache->type)
        return tp_fail(TP_ERR_ARGUMENT, "%s holds an %s cache, this one is %s", path, tp_dtype_name(types[type - 1]),
                       tp_dtype_name(cache->type));
    if (p[AT_FLAGS] & ~HAS_LAST)
        return tp_fail(TP_ERR_FORMAT, "%s: flags of the saved state are %d, 0 or 1 was expected", path, p[AT_FLAGS]);
    put_shape(shape, lm, cache);
    if (memcmp(shape + AT_SHAPE, p + AT_SHAPE, HEADER - AT_SHAPE) != 0)
        return tp_fail(TP_ERR_FORMAT, "%s: layers, heads or widths of the saved state are not those of its model",
                       path);
    return TP_OK;
}

static tp_status check_size(const unsigned char *p, size_t n, const char *path, const tp_lm *lm,
                            const tp_kv_cache *cache) {
    uint64_t length = tp_get_le(p + AT_LENGTH, 8);
    if (length < 1 || length > (uint64_t)cache->capacity)
        return tp_fail(TP_ERR_ARGUMENT, "%s holds %llu positions, there is room for %lld", path,
                       (unsigned long long)length, (long long)cache->capacity);
    size_t wanted = file_size(lm, cache, (int64_t)length, p[AT_FLAGS] & HAS_LAST);
    if (n != wanted)
        return tp_fail(TP_ERR_FORMAT, "%s: a state of %llu positions has %zu bytes here, found %zu", path,
                       (unsigned long long)length, wanted, n);
    for (int l = 0; l < cache->n_layers; l++)
        if (tp_get_le(p + HEADER + 4 * l, 4) != (uint64_t)cache->layers[l].window)
            return tp_fail(TP_ERR_FORMAT, "%s: the window of layer %d is %llu, the model's is %lld", path, l,
                           (unsigned long long)tp_get_le(p + HEADER + 4 * l, 4), (long long)cache->layers[l].window);
    tp_hash *hash = tp_hash_new();
    char hex[33];
    unsigned char sum[CHECKSUM];
    tp_hash_add(hash, p, n - CHECKSUM);
    tp_hash_end(hash, hex);
    tp_hash_to_bytes(hex, sum);
    if (memcmp(sum, p + n - CHECKSUM, CHECKSUM) != 0)
        return tp_fail(TP_ERR_FORMAT, "%s: the checksum does not fit, the file was damaged", path);
    return TP_OK;
}

/* True if none of n bytes of numbers of the type is infinite or NaN. */
static bool all_finite(const unsigned char *p, size_t n, tp_dtype type) {
    bool finite = true;
    if (type == TP_F32)
        for (size_t i = 0; i < n; i += 4) {
            uint32_t bits;
            memcpy(&bits, p + i, 4);
            finite = finite && (bits & 0x7F800000u) != 0x7F800000u;
        }
    unsigned mask = type == TP_F16 ? 0x7C00u : 0x7F80u;
    if (type == TP_F16 || type == TP_BF16)
        for (size_t i = 0; i < n; i += 2) {
            uint16_t bits;
            memcpy(&bits, p + i, 2);
            finite = finite && (bits & mask) != mask;
        }
    return finite;
}

typedef struct {
    const unsigned char *at;
    const char *path;
} loader;

static tp_status check_rows(void *context, void *bytes, size_t n, tp_dtype type) {
    (void)bytes;
    loader *r = context;
    if (!all_finite(r->at, n, type)) return tp_fail(TP_ERR_FORMAT, "%s: a key, value or scale is not finite", r->path);
    r->at += n;
    return TP_OK;
}

static tp_status load_rows(void *context, void *bytes, size_t n, tp_dtype type) {
    (void)type;
    loader *r = context;
    memcpy(bytes, r->at, n);
    r->at += n;
    return TP_OK;
}

static tp_status load(const unsigned char *p, size_t n, const char *path, const tp_lm *lm, tp_kv_cache *cache,
                      int64_t slot, int32_t *ids, float *last, bool *has_last) {
    TP_TRY(check_header(p, n, path, lm, cache));
    TP_TRY(check_size(p, n, path, lm, cache));
    int64_t length = (int64_t)tp_get_le(p + AT_LENGTH, 8);
    const unsigned char *at_ids = p + HEADER + 4 * cache->n_layers, *at_last = at_ids + 4 * length;
    size_t d = p[AT_FLAGS] & HAS_LAST ? (size_t)lm->config.d_model : 0;
    for (int64_t i = 0; i < length; i++) {
        int32_t id = (int32_t)tp_get_le(at_ids + 4 * i, 4);
        if (id < -1 || id >= lm->config.vocab_size)
            return tp_fail(TP_ERR_FORMAT, "%s: the token at position %lld is %d, ids run from 0 to %d", path,
                           (long long)i, (int)id, lm->config.vocab_size - 1);
    }
    if (!all_finite(at_last, 4 * d, TP_F32))
        return tp_fail(TP_ERR_FORMAT, "%s: the last hidden state is not finite", path);
    loader r = {at_last + 4 * d, path};
    TP_TRY(visit_rows(cache, slot, length, check_rows, &r));
    r.at = at_last + 4 * d;
    visit_rows(cache, slot, length, load_rows, &r);
    memcpy(ids, at_ids, 4 * (size_t)length);
    memcpy(last, at_last, 4 * d);
    *has_last = d > 0;
    tp_kv_cache_restored(cache, slot, length);
    return TP_OK;
}

tp_status tp_kv_file_load(const char *path, const tp_lm *lm, tp_kv_cache *cache, int64_t slot, int32_t *ids,
                          float *last, bool *has_last) {
    tp_mapping file;
    TP_TRY(tp_map_file(path, &file));
    tp_status status = load(file.data, file.size, path, lm, cache, slot, ids, last, has_last);
    tp_unmap_file(&file);
    return status;
}
