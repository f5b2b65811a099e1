/* SentencePiece's precompiled character map: byte strings and what they become in a normalised text. It comes as a
 * blob: the size of a double-array trie (4 bytes, little-endian), the trie, and the replacements, each with a zero
 * behind it. The trie is darts-clone's (S. Yata), whose 32-bit units hold a label, an offset and a leaf flag. */
#ifndef TP_TEXT_CHARSMAP_H
#define TP_TEXT_CHARSMAP_H

#include <stdbool.h>
#include <stddef.h>

typedef struct tp_charsmap tp_charsmap;

/* Copies the blob. NULL on error; `name` is what the sentence calls its origin. */
tp_charsmap *tp_charsmap_new(const void *blob, size_t n, const char *name);
void tp_charsmap_free(tp_charsmap *map); /* takes NULL */

/* The bytes of the longest (or the shortest) entry that text[0..n) starts with, 0 if there is none; *to and *n_to get
 * what replaces it, borrowed. */
size_t tp_charsmap_find(const tp_charsmap *map, const char *text, size_t n, bool longest, const char **to,
                        size_t *n_to);

#endif
