/* The two long lists of a BPE's tokenizer.json, `model.vocab` and `model.merges`, read without building a JSON value of
 * each of their half a million parts: that is most of the time a large vocabulary takes to load.
 *
 * This is a short cut, not a second reader: it understands the plain cases only, gives up on everything else, and
 * whoever calls it then reads the whole file in the ordinary way, which also finds the words for what is wrong. */
#ifndef TP_TEXT_JSON_LISTS_H
#define TP_TEXT_JSON_LISTS_H

#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct tp_json_slice { /* bytes of tp_json_lists.texts, with a zero behind them */
    size_t begin, n;
} tp_json_slice;

typedef struct tp_json_token {
    tp_json_slice text;
    int32_t id;
} tp_json_token;

typedef struct tp_json_merge {
    tp_json_slice half[2];
} tp_json_merge;

typedef struct tp_json_lists { /* zero-initialise; free with tp_json_lists_free */
    tp_str texts, rest;        /* `rest` is the file with {} and [] in place of the two lists */
    tp_json_token *token;
    size_t n_tokens, token_capacity;
    tp_json_merge *merge;
    size_t n_merges, merge_capacity;
} tp_json_lists;

/* False if the short cut cannot be taken; nothing is wrong then, and *lists is of no use. */
bool tp_json_lists_read(tp_json_lists *lists, const char *bytes, size_t n);
void tp_json_lists_free(tp_json_lists *lists);

#endif
