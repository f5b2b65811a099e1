/* Fingerprints of models, texts and data: XXH3, 128 bits, as 32 hexadecimal digits. They tell files apart; they do not
 * protect against somebody who wants a collision. */
#ifndef TP_BASE_HASH_H
#define TP_BASE_HASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct tp_hash tp_hash; /* a fingerprint in the making */

tp_hash *tp_hash_new(void);
void tp_hash_add(tp_hash *h, const void *bytes, size_t n);
void tp_hash_add_text(tp_hash *h, const char *text); /* with its zero byte, so that "ab","c" differs from "a","bc" */
void tp_hash_end(tp_hash *h, char hex[33]);          /* frees h */

/* A fingerprint's 16 bytes, in the order of its digits. False (and nothing is written) if `hex` is none. */
bool tp_hash_to_bytes(const char *hex, unsigned char bytes[16]);
void tp_hash_from_bytes(const unsigned char bytes[16], char hex[33]);

uint64_t tp_hash64(const void *bytes, size_t n); /* for hash tables */

#endif
