/* What stands beside a tokenizer: tokenizer_config.json names BOS and EOS and whether they are added to a text;
 * config.json knows their ids where nothing else does. */
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "text/tokenizer_parts.h"

#include <string.h>

/* The id of a token by what it is written as; -1 if there is none. */
static int32_t id_of(const tp_tokenizer *t, const char *text) {
    size_t n = strlen(text), length;
    for (size_t i = 0; i < t->specials.len; i++) {
        const char *piece = tp_vocab_text(&t->pieces, t->specials.data[i], &length);
        if (piece != NULL && length == n && memcmp(piece, text, n) == 0) return t->specials.data[i];
    }
    for (size_t i = 0; i < t->raw_added.n; i++)
        if (t->raw_added.token[i].length == n && memcmp(t->raw_added.token[i].text, text, n) == 0)
            return t->raw_added.token[i].id;
    int32_t id = tp_vocab_find(&t->vocab, text, n);
    return id < t->size ? id : -1;
}

/* `bos_token` is a text, an object with `content`, or null. */
static void read_token(const tp_tokenizer *t, tp_json_reader *r, const char *key, int32_t *id) {
    json_t *value = tp_json_any(r, key);
    if (value == NULL) {
        if (json_is_null(json_object_get(r->object, key))) *id = -1;
        return;
    }
    const char *text = json_string_value(json_is_object(value) ? json_object_get(value, "content") : value);
    if (text == NULL) {
        tp_json_error(r, key, "is neither a text nor an object with `content`");
    } else if (text[0] != '\0' && (*id = id_of(t, text)) < 0) {
        tp_json_error(r, key, "is `%.100s`, which the tokenizer does not have", text);
    }
}

/* Makes `id` the first (or the last) of ids, or takes it out; nothing if the file does not say. */
static void put_or_remove(tp_json_reader *r, const char *key, tp_ids *ids, int32_t id, bool front) {
    bool said = tp_json_any(r, key) != NULL, wanted = tp_json_bool(r, key, false);
    if (!said || id < 0 || r->status != TP_OK) return;
    size_t kept = 0;
    bool there = false;
    for (size_t i = 0; i < ids->len; i++) {
        there = there || ids->data[i] == id;
        if (wanted || ids->data[i] != id) ids->data[kept++] = ids->data[i];
    }
    ids->len = kept;
    if (!wanted || there) return;
    tp_ids_append(ids, id);
    if (!front) return;
    memmove(ids->data + 1, ids->data, (ids->len - 1) * sizeof *ids->data);
    ids->data[0] = id;
}

static tp_status read_tokenizer_config(tp_tokenizer *t, json_t *value, const char *path, bool *says_bos,
                                       bool *says_eos) {
    tp_json_reader r;
    tp_json_begin(&r, value, path);
    *says_bos = json_object_get(value, "bos_token") != NULL; /* null says something too: there is none */
    *says_eos = json_object_get(value, "eos_token") != NULL;
    read_token(t, &r, "bos_token", &t->bos);
    read_token(t, &r, "eos_token", &t->eos);
    put_or_remove(&r, "add_bos_token", &t->before, t->bos, true);
    put_or_remove(&r, "add_eos_token", &t->after, t->eos, false);
    return tp_json_end(&r, false);
}

/* config.json gives an id, or a list of which the first is the main one. Ids the tokenizer does not have are no error
 * here: the file describes the model, whose embedding may be larger. */
static void read_id(const tp_tokenizer *t, const json_t *config, const char *key, int32_t *id) {
    const json_t *value = json_object_get(config, key);
    if (json_is_array(value)) value = json_array_get(value, 0);
    if (*id < 0 && json_is_integer(value) && json_integer_value(value) >= 0 && json_integer_value(value) < t->size)
        *id = (int32_t)json_integer_value(value);
}

tp_status tp_tokenizer_read_config(tp_tokenizer *t, const char *folder) {
    bool says_bos = false, says_eos = false;
    char *path = tp_path_join(folder, "tokenizer_config.json");
    tp_status status = TP_OK;
    if (tp_path_exists(path)) {
        json_t *value = tp_json_load_reals(path);
        status = value ? read_tokenizer_config(t, value, path, &says_bos, &says_eos) : tp_last_status();
        json_decref(value);
    }
    tp_free(path);
    path = tp_path_join(folder, "config.json");
    if (status == TP_OK && (!says_bos || !says_eos) && tp_path_exists(path)) {
        json_t *value = tp_json_load_file(path);
        if (value == NULL) status = tp_last_status();
        if (!says_bos) read_id(t, value, "bos_token_id", &t->bos);
        if (!says_eos) read_id(t, value, "eos_token_id", &t->eos);
        json_decref(value);
    }
    tp_free(path);
    return status;
}
