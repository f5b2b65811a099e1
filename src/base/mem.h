/* Memory: allocations that cannot fail, those that may, and arenas.
 *
 * Two kinds of allocation, told apart by who chose the size (the habit of zmalloc/ztrymalloc in Redis): sizes that come
 * from our own code use tp_alloc and abort with a message when the machine is out of memory, because nothing sensible
 * can follow; sizes that come from a file or a user use tp_try_alloc and turn into an error.
 *
 * An arena hands out memory that is given back all at once. A training step takes everything from one arena and resets
 * it: after the first steps its blocks are as large as needed, and memory no longer grows. */
#ifndef TP_BASE_MEM_H
#define TP_BASE_MEM_H

#include "telepathy.h" /* tp_free, which callers from outside need too */

#include <stddef.h>
#include <stdint.h>

enum { TP_ALIGN = 64 }; /* bytes: a cache line, and a full AVX-512 register */

void *tp_alloc(size_t size);                   /* zeroed; aborts when out of memory; free with tp_free */
void *tp_realloc(void *p, size_t size);        /* new bytes are NOT zeroed */
void *tp_try_alloc(size_t count, size_t size); /* zeroed; NULL on overflow or out of memory, error recorded */
char *tp_strdup(const char *text);             /* NULL gives NULL */
char *tp_strndup(const char *text, size_t n);  /* exactly n bytes, then a zero byte */
char *tp_format(const char *format, ...) __attribute__((format(printf, 1, 2))); /* malloc'ed sprintf */

/* Zeroed address space of which only touched pages cost memory: for what may become large and seldom does. 4096-byte
 * pages even where the system likes larger ones. NULL with an error if there is not that much; unreserve takes NULL. */
void *tp_reserve(size_t size);
void tp_unreserve(void *p, size_t size);

/* Grows the array *items (capacity *capacity, elements of `size` bytes) so that index `count` fits. */
void tp_grow(void *items, size_t *capacity, size_t count, size_t size);

typedef struct tp_arena tp_arena;
typedef struct tp_arena_mark {
    void *block;
    size_t used;
} tp_arena_mark;

tp_arena *tp_arena_new(void);
void tp_arena_free(tp_arena *arena);

/* 64-byte aligned, NOT zeroed, followed by at least 64 readable bytes; aborts when out of memory. */
void *tp_arena_alloc(tp_arena *arena, size_t size);
void *tp_arena_zalloc(tp_arena *arena, size_t size);
char *tp_arena_strdup(tp_arena *arena, const char *text);

tp_arena_mark tp_arena_get_mark(const tp_arena *arena);
void tp_arena_release(tp_arena *arena, tp_arena_mark mark); /* gives back everything taken since the mark */
void tp_arena_reset(tp_arena *arena);        /* gives back everything; several blocks become one for the next round */
size_t tp_arena_peak(const tp_arena *arena); /* bytes, the most that was in use at once */

#endif
