/* SentencePiece's precompiled character map. See charsmap.h. */
#include "text/charsmap.h"

#include "base/error.h"
#include "base/mem.h"

#include <string.h>

enum { LONGEST = 128 }; /* bytes that may replace an entry: real maps need 33, and a file shall not fill the memory */

struct tp_charsmap {
    uint32_t *units;
    size_t n_units;
    char *texts; /* ends with a zero */
    size_t n_texts;
};

tp_charsmap *tp_charsmap_new(const void *blob, size_t n, const char *name) {
    const unsigned char *bytes = blob;
    size_t size = 0;
    for (size_t i = 0; i < 4 && n >= 4; i++) size |= (size_t)bytes[i] << (8 * i);
    if (n < 4 || size == 0 || size % 4 != 0 || size >= n - 4 || bytes[n - 1] != 0)
        return tp_fail_null(TP_ERR_FORMAT,
                            "%s: the precompiled character map (%zu bytes) is not a trie and texts with zeros behind",
                            name, n);
    tp_charsmap *map = tp_alloc(sizeof *map);
    map->n_units = size / 4;
    map->units = tp_alloc(size);
    for (size_t i = 0; i < size; i++) map->units[i / 4] |= (uint32_t)bytes[4 + i] << (8 * (i % 4));
    map->n_texts = n - 4 - size;
    map->texts = tp_strndup((const char *)bytes + 4 + size, map->n_texts);
    return map;
}

void tp_charsmap_free(tp_charsmap *map) {
    if (map == NULL) return;
    tp_free(map->units);
    tp_free(map->texts);
    tp_free(map);
}

/* Where a unit's children are: a number to be combined with their labels. */
static uint32_t offset_of(uint32_t unit) {
    return (unit >> 10) << ((unit & (1u << 9)) >> 6);
}

size_t tp_charsmap_find(const tp_charsmap *map, const char *text, size_t n, bool longest, const char **to,
                        size_t *n_to) {
    size_t found = 0;
    uint32_t at = offset_of(map->units[0]);
    for (size_t i = 0; i < n && text[i] != '\0'; i++) {
        unsigned char byte = (unsigned char)text[i];
        at ^= byte;
        if (at >= map->n_units) break;
        uint32_t unit = map->units[at];
        if ((unit & (1u << 31 | 0xFF)) != byte) break; /* the label; a unit with the top bit holds a value */
        at ^= offset_of(unit);
        if (at >= map->n_units) break;
        if (!(unit >> 8 & 1)) continue;
        uint32_t value = map->units[at] & ~(1u << 31);
        if (value >= map->n_texts) continue;
        size_t length = strnlen(map->texts + value, LONGEST + 1);
        if (length > LONGEST) continue;
        found = i + 1;
        *to = map->texts + value;
        *n_to = length;
        if (!longest) break;
    }
    return found;
}
