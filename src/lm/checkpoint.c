/* Shards behind one name: reading and checking the index, finding tensors, the fingerprint. See checkpoint.h.
 *
 * The index is as little to be trusted as the weights: a shard name is a plain file name in the same folder, and every
 * tensor must be where the index says. metadata.total_size is not looked at, published indices often have it wrong. */
#include "lm/checkpoint.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "lm/safetensors_types.h"
#include "lm/small_json.h"

#include <stdlib.h>
#include <string.h>

enum {
    MAX_INDEX = 32 << 20,         /* bytes; that of a 671 B model has 9 MB */
    MAX_SHARDS = 10000,           /* the format's names count with five digits */
    HASH_WHOLE_MODEL = 64 << 20,  /* bytes: up to here all of a model is hashed */
    HASH_WHOLE_TENSOR = 64 << 10, /* bytes: in larger models, tensors up to here are */
    HASH_PIECE = 4 << 10,         /* bytes: a page */
    HASH_PIECES = 16,             /* per tensor: together HASH_WHOLE_TENSOR */
};

struct tp_checkpoint {
    char *path;
    tp_safetensors **shards; /* [n_shards], in the order of names */
    char **shard_names;      /* [n_shards], NULL for a single file */
    size_t n_shards, shards_capacity, names_capacity;
    tp_gguf *gguf;                /* or this instead */
    const tp_st_tensor **tensors; /* [n_tensors], by name */
    size_t n_tensors;
};

/* ---- the index ---- */

static tp_status check_shard_name(const char *index_path, const char *name) {
    bool plain = name[0] != '\0' && name[0] != '.' && strpbrk(name, "/\\") == NULL;
    for (const char *p = name; *p; p++) plain = plain && (unsigned char)*p >= 0x20 && *p != 0x7F;
    if (plain && strlen(name) <= 255 && tp_ends_with(name, ".safetensors")) return TP_OK;
    return tp_fail(
        TP_ERR_FORMAT,
        "%s: `weight_map` names the shard \"%.120s\", a plain file name that ends in .safetensors was expected",
        index_path, name);
}

/* The shard of that name, opened at its first mention. */
static tp_safetensors *shard(tp_checkpoint *c, const char *name, const char *index_path) {
    for (size_t i = 0; i < c->n_shards; i++)
        if (strcmp(c->shard_names[i], name) == 0) return c->shards[i];
    if (check_shard_name(index_path, name) != TP_OK) return NULL;
    if (c->n_shards == MAX_SHARDS)
        return tp_fail_null(TP_ERR_FORMAT, "%s: `weight_map` names more than %d shards", index_path, MAX_SHARDS);
    char *path = tp_path_join(c->path, name);
    tp_safetensors *st = tp_safetensors_open(path);
    tp_free(path);
    if (st == NULL) {
        tp_fail_context("%s names the shard %s", index_path, name);
        return NULL;
    }
    tp_grow(&c->shards, &c->shards_capacity, c->n_shards, sizeof(tp_safetensors *));
    tp_grow(&c->shard_names, &c->names_capacity, c->n_shards, sizeof(char *));
    c->shard_names[c->n_shards] = tp_strdup(name);
    c->shards[c->n_shards++] = st;
    return st;
}

/* Like tp_safetensors_find, but unknown types are not an error yet. */
static const tp_st_tensor *find_any(const tp_safetensors *st, const char *name) {
    size_t low = 0, high = tp_safetensors_count(st);
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(name, tp_safetensors_get(st, middle)->name);
        if (order == 0) return tp_safetensors_get(st, middle);
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

static int by_name(const void *a, const void *b) {
    return strcmp((*(const tp_st_tensor *const *)a)->name, (*(const tp_st_tensor *const *)b)->name);
}

static tp_status read_weight_map(tp_checkpoint *c, json_t *weight_map, const char *index_path) {
    size_t n = json_object_size(weight_map);
    if (n == 0) return tp_fail(TP_ERR_FORMAT, "%s: `weight_map` is empty", index_path);
    c->tensors = tp_try_alloc(n, sizeof *c->tensors);
    if (c->tensors == NULL) return tp_fail_context("reading %s", index_path);
    const char *name;
    json_t *value;
    json_object_foreach(weight_map, name, value) {
        if (!json_is_string(value) || strlen(json_string_value(value)) != json_string_length(value))
            return tp_fail(TP_ERR_FORMAT, "%s: `weight_map.%.120s` is not a file name", index_path, name);
        tp_safetensors *st = shard(c, json_string_value(value), index_path);
        if (st == NULL) return tp_last_status();
        const tp_st_tensor *t = find_any(st, name);
        if (t == NULL)
            return tp_fail(TP_ERR_FORMAT, "%s: `weight_map` says that tensor `%.120s` is in %s, but it is not there",
                           index_path, name, json_string_value(value));
        c->tensors[c->n_tensors++] = t;
    }
    qsort(c->tensors, c->n_tensors, sizeof *c->tensors, by_name);
    return TP_OK;
}

static tp_status open_index(tp_checkpoint *c, const char *index_path) {
    json_t *index = tp_small_json_load(index_path, MAX_INDEX);
    if (index == NULL) return tp_last_status();
    tp_json_reader r, weight_map;
    tp_json_begin(&r, index, index_path);
    tp_json_require(&r, "weight_map");
    tp_json_object(&r, "weight_map", &weight_map);
    tp_status status = r.status;
    if (status == TP_OK) status = read_weight_map(c, weight_map.object, index_path);
    json_decref(index);
    return status;
}

/* ---- opening ---- */

static tp_status open_single(tp_checkpoint *c, const char *path) {
    tp_safetensors *st = tp_safetensors_open(path);
    if (st == NULL) return tp_last_status();
    tp_grow(&c->shards, &c->shards_capacity, 0, sizeof(tp_safetensors *));
    c->shards[c->n_shards++] = st;
    size_t n = tp_safetensors_count(st);
    c->tensors = tp_try_alloc(n, sizeof *c->tensors);
    if (c->tensors == NULL) return tp_fail_context("reading %s", path);
    for (size_t i = 0; i < n; i++) c->tensors[c->n_tensors++] = tp_safetensors_get(st, i);
    return TP_OK;
}

static tp_status open_gguf(tp_checkpoint *c, const char *path) {
    c->gguf = tp_gguf_open(path);
    if (c->gguf == NULL) return tp_last_status();
    size_t n = tp_gguf_count(c->gguf);
    c->tensors = tp_try_alloc(n, sizeof *c->tensors);
    if (c->tensors == NULL) return tp_fail_context("reading %s", path);
    for (size_t i = 0; i < n; i++) c->tensors[c->n_tensors++] = tp_gguf_get(c->gguf, i);
    return TP_OK;
}

static tp_status open_file(tp_checkpoint *c, const char *path) {
    return tp_gguf_is(path) ? open_gguf(c, path) : open_single(c, path);
}

static tp_status open_folder(tp_checkpoint *c) {
    char *single = tp_path_join(c->path, "model.safetensors");
    char *index = tp_path_join(c->path, "model.safetensors.index.json");
    tp_status status;
    if (tp_path_exists(single))
        status = open_single(c, single);
    else if (tp_path_exists(index))
        status = open_index(c, index);
    else
        status = tp_fail(
            TP_ERR_IO, "%s holds no weights: model.safetensors or model.safetensors.index.json was expected", c->path);
    tp_free(single);
    tp_free(index);
    return status;
}

tp_checkpoint *tp_checkpoint_open(const char *path) {
    tp_checkpoint *c = tp_alloc(sizeof *c);
    c->path = tp_strdup(path);
    if ((tp_is_dir(path) ? open_folder(c) : open_file(c, path)) != TP_OK) {
        tp_checkpoint_close(c);
        return NULL;
    }
    return c;
}

void tp_checkpoint_close(tp_checkpoint *c) {
    if (c == NULL) return;
    for (size_t i = 0; i < c->n_shards; i++) {
        tp_safetensors_close(c->shards[i]);
        if (c->shard_names) tp_free(c->shard_names[i]);
    }
    tp_gguf_close(c->gguf);
    tp_free(c->shards);
    tp_free(c->shard_names);
    tp_free(c->tensors);
    tp_free(c->path);
    tp_free(c);
}

const tp_gguf *tp_checkpoint_gguf(const tp_checkpoint *c) {
    return c->gguf;
}

tp_status tp_checkpoint_lock(const tp_checkpoint *c) {
    if (c->gguf) return tp_gguf_lock(c->gguf);
    for (size_t i = 0; i < c->n_shards; i++) TP_TRY(tp_safetensors_lock(c->shards[i]));
    return TP_OK;
}

/* ---- asking ---- */

size_t tp_checkpoint_count(const tp_checkpoint *c) {
    return c->n_tensors;
}

const tp_st_tensor *tp_checkpoint_get(const tp_checkpoint *c, size_t i) {
    return i < c->n_tensors ? c->tensors[i] : NULL;
}

static const tp_st_tensor *lookup_stored(const tp_checkpoint *c, const char *name) {
    tp_st_tensor wanted = {.name = name};
    const tp_st_tensor *key = &wanted;
    const tp_st_tensor **found =
        c->n_tensors ? bsearch(&key, c->tensors, c->n_tensors, sizeof *c->tensors, by_name) : NULL;
    return found ? *found : NULL;
}

static const tp_st_tensor *lookup(const tp_checkpoint *c, const char *name) {
    const tp_st_tensor *t = lookup_stored(c, name);
    for (size_t i = 0; i < c->n_shards && t == NULL; i++) {
        const char *kept = tp_safetensors_metadata(c->shards[i], name);
        if (kept) t = lookup_stored(c, kept);
    }
    return t;
}

bool tp_checkpoint_has(const tp_checkpoint *c, const char *name) {
    return lookup(c, name) != NULL;
}

const tp_st_tensor *tp_checkpoint_find(const tp_checkpoint *c, const char *name) {
    const tp_st_tensor *t = lookup(c, name);
    if (t == NULL) return tp_fail_null(TP_ERR_FORMAT, "%s has no tensor `%s`", c->path, name);
    if (t->dtype == TP_UNKNOWN)
        return tp_fail_null(TP_ERR_UNSUPPORTED, "%s: tensor `%s` has the dtype %.40s, supported are %s", t->file, name,
                            t->file_dtype, c->gguf ? TP_GGUF_TYPE_NAMES : TP_ST_TYPE_NAMES);
    return t;
}

const tp_st_tensor *tp_checkpoint_weight(const tp_checkpoint *c, const char *name, int n_dims, const int64_t *shape) {
    const tp_st_tensor *t = tp_checkpoint_find(c, name);
    if (t == NULL || tp_st_check_shape(t, n_dims, shape) != TP_OK) return NULL;
    bool blocks = tp_dtype_is_block(t->dtype) && n_dims >= 2;
    if (t->dtype != TP_F32 && t->dtype != TP_F16 && t->dtype != TP_BF16 && !blocks)
        return tp_fail_null(TP_ERR_UNSUPPORTED, "%s: tensor `%s` has the dtype %s, a weight must be F32, F16 or BF16%s",
                            t->file, name, t->file_dtype, c->gguf && n_dims >= 2 ? " or quantised" : "");
    return t;
}

/* ---- the fingerprint ---- */

/* Of large models' large tensors samples are hashed: pieces of a page's length. */
static bool is_sampled(const tp_st_tensor *t, bool large) {
    return large && t->n_bytes > HASH_WHOLE_TENSOR;
}

/* Piece i begins at i/15 of the last place where one can begin, computed without overflow. */
static const unsigned char *sample(const tp_st_tensor *t, size_t i) {
    size_t last = t->n_bytes - HASH_PIECE, steps = HASH_PIECES - 1;
    return (const unsigned char *)t->data + (last / steps * i + last % steps * i / steps);
}

/* Behind thousands of samples the system would read most of the file, going on where each ends; and one by one the disk
 * would be waited for thousands of times. */
static void begin_reading(const tp_checkpoint *c) {
    for (size_t i = 0; i < c->n_tensors; i++) {
        const tp_st_tensor *t = c->tensors[i];
        tp_map_sparsely(t->data, t->n_bytes, true);
        if (!is_sampled(t, true)) tp_fetch_mapped(t->data, t->n_bytes);
        for (size_t k = 0; is_sampled(t, true) && k < HASH_PIECES; k++) tp_fetch_mapped(sample(t, k), HASH_PIECE);
    }
}

static void hash_numbers(const tp_st_tensor *t, bool large, tp_hash *h) {
    if (!is_sampled(t, large)) tp_hash_add(h, t->data, t->n_bytes);
    for (size_t k = 0; is_sampled(t, large) && k < HASH_PIECES; k++) tp_hash_add(h, sample(t, k), HASH_PIECE);
    if (large) tp_map_sparsely(t->data, t->n_bytes, false);
}

void tp_checkpoint_hash(const tp_checkpoint *c, tp_hash *h) {
    size_t total = 0;
    for (size_t i = 0; i < c->n_tensors; i++) total += c->tensors[i]->n_bytes;
    bool large = total > HASH_WHOLE_MODEL;
    if (large) begin_reading(c);
    for (size_t i = 0; i < c->n_tensors; i++) {
        const tp_st_tensor *t = c->tensors[i];
        tp_hash_add_text(h, t->name);
        tp_hash_add_text(h, t->file_dtype);
        int64_t numbers[TP_ST_MAX_DIMS + 2] = {t->n_dims, (int64_t)t->n_bytes};
        memcpy(numbers + 2, t->shape, sizeof t->shape);
        tp_hash_add(h, numbers, sizeof numbers);
        hash_numbers(t, large, h);
    }
}

void tp_checkpoint_fingerprint(const tp_checkpoint *c, char hex[33]) {
    tp_hash *h = tp_hash_new();
    tp_checkpoint_hash(c, h);
    tp_hash_end(h, hex);
}
