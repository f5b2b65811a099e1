/* Added tokens: texts that become one token wherever they stand, before any merging, such as "<|eot_id|>". */
#ifndef TP_TEXT_ADDED_H
#define TP_TEXT_ADDED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct tp_added_token {
    char *text;
    size_t length;
    int32_t id;
    bool special;                 /* only parsed when the caller asks for it */
    bool single_word;             /* only where no letter, number or underscore touches it */
    bool strip_left, strip_right; /* takes the blanks around it with it */
} tp_added_token;

typedef struct tp_added {  /* zero-initialise; free with tp_added_free */
    tp_added_token *token; /* in byte order of their texts once tp_added_finish was called */
    size_t n, capacity;
    uint32_t start[257]; /* tokens that start with byte b are start[b]..start[b + 1] - 1 */
} tp_added;

void tp_added_put(tp_added *a, const char *text, size_t n, tp_added_token properties); /* an empty text is ignored */
void tp_added_finish(tp_added *a);
void tp_added_free(tp_added *a);

typedef struct tp_added_match {
    size_t begin, end;
    int32_t id;
} tp_added_match;

/* The leftmost, and there the longest, added token in text[from..n); false if there is none. */
bool tp_added_find(const tp_added *a, const char *text, size_t from, size_t n, bool specials, tp_added_match *match);

/* The bytes of the longest added token that starts exactly at text[at]; 0 if none does. */
size_t tp_added_at(const tp_added *a, const char *text, size_t at, size_t n);

#endif
