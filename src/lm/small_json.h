/* JSON files that describe a model are small. A bound on what is parsed keeps a hostile or mistaken one (also a small
 * one that gzip unpacks without end) from becoming gigabytes of JSON nodes. */
#ifndef TP_LM_SMALL_JSON_H
#define TP_LM_SMALL_JSON_H

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"

/* NULL on error; free with json_decref. `limit` is in bytes. */
static inline json_t *tp_small_json_load(const char *path, size_t limit) {
    char *bytes;
    size_t n;
    if (tp_read_file(path, limit, &bytes, &n) != TP_OK) return NULL;
    json_t *value = tp_json_load_bytes(bytes, n, path);
    tp_free(bytes);
    return value;
}

#endif
