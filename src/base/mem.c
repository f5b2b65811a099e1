/* Allocation and arenas. See mem.h for the two kinds of allocation and why. */
#include "base/mem.h"

#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static void *check(void *p, size_t size) {
    if (p == NULL) {
        fprintf(stderr, "telepathy: out of memory (%zu bytes asked for)\n", size);
        abort();
    }
    return p;
}

void *tp_alloc(size_t size) {
    return check(calloc(1, size ? size : 1), size);
}

void *tp_realloc(void *p, size_t size) {
    return check(realloc(p, size ? size : 1), size);
}

void *tp_try_alloc(size_t count, size_t size) {
    void *p = calloc(count ? count : 1, size ? size : 1); /* calloc checks the product for overflow */
    if (p == NULL) return tp_fail_null(TP_ERR_MEMORY, "out of memory: %zu items of %zu bytes asked for", count, size);
    return p;
}

char *tp_strdup(const char *text) {
    return text == NULL ? NULL : tp_strndup(text, strlen(text));
}

char *tp_strndup(const char *text, size_t n) {
    char *copy = tp_alloc(n + 1);
    if (n > 0) memcpy(copy, text, n);
    return copy;
}

char *tp_format(const char *format, ...) {
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    char *text = tp_alloc((size_t)(n < 0 ? 0 : n) + 1);
    if (n > 0) vsnprintf(text, (size_t)n + 1, format, again);
    va_end(again);
    return text;
}

void tp_free(void *p) {
    free(p);
}

void *tp_reserve(size_t size) {
    if (size == 0) size = 1;
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED)
        return tp_fail_null(TP_ERR_MEMORY, "out of memory: %zu bytes of address space asked for", size);
    madvise(p, size, MADV_NOHUGEPAGE); /* only a wish: kernels without large pages refuse it */
    return p;
}

void tp_unreserve(void *p, size_t size) {
    if (p) munmap(p, size ? size : 1);
}

void tp_grow(void *items, size_t *capacity, size_t count, size_t size) {
    if (count < *capacity) return;
    size_t wanted = *capacity < 16 ? 16 : *capacity + *capacity / 2;
    if (wanted <= count) wanted = count + 1;
    void *p;
    memcpy(&p, items, sizeof p); /* `items` is the address of a pointer of any type */
    p = tp_realloc(p, wanted * size);
    memcpy(items, &p, sizeof p);
    *capacity = wanted;
}

/* ---- arena: a stack of blocks; only the top one is handed out from ---- */

typedef struct block {
    struct block *below;
    size_t size; /* usable bytes */
    size_t used;
    size_t used_below; /* bytes in use in the blocks below, for the peak */
    unsigned char *bytes;
} block;

struct tp_arena {
    block *top;
    size_t peak;
};

enum { SMALLEST_BLOCK = 1 << 20 };

tp_arena *tp_arena_new(void) {
    return tp_alloc(sizeof(tp_arena));
}

static void push_block(tp_arena *arena, size_t size) {
    block *b = tp_alloc(sizeof *b);
    b->below = arena->top;
    b->size = size < SMALLEST_BLOCK ? SMALLEST_BLOCK : size;
    b->used_below = arena->top ? arena->top->used_below + arena->top->used : 0;
    size_t bytes = (b->size + 2 * TP_ALIGN - 1) / TP_ALIGN * TP_ALIGN;
    b->bytes = check(aligned_alloc(TP_ALIGN, bytes), bytes);
    arena->top = b;
}

static void pop_block(tp_arena *arena) {
    block *b = arena->top;
    arena->top = b->below;
    free(b->bytes);
    tp_free(b);
}

void tp_arena_free(tp_arena *arena) {
    if (arena == NULL) return;
    while (arena->top) pop_block(arena);
    tp_free(arena);
}

void *tp_arena_alloc(tp_arena *arena, size_t size) {
    size_t padded = (size + 2 * TP_ALIGN - 1) / TP_ALIGN * TP_ALIGN; /* at least a line to spare behind each */
    if (arena->top == NULL || arena->top->size - arena->top->used < padded) {
        size_t twice = arena->top ? 2 * arena->top->size : 0;
        push_block(arena, padded > twice ? padded : twice);
    }
    block *b = arena->top;
    void *p = b->bytes + b->used;
    b->used += padded;
    if (b->used_below + b->used > arena->peak) arena->peak = b->used_below + b->used;
    return p;
}

void *tp_arena_zalloc(tp_arena *arena, size_t size) {
    return memset(tp_arena_alloc(arena, size), 0, size);
}

char *tp_arena_strdup(tp_arena *arena, const char *text) {
    size_t n = strlen(text) + 1;
    return memcpy(tp_arena_alloc(arena, n), text, n);
}

tp_arena_mark tp_arena_get_mark(const tp_arena *arena) {
    return (tp_arena_mark){arena->top, arena->top ? arena->top->used : 0};
}

void tp_arena_release(tp_arena *arena, tp_arena_mark mark) {
    while (arena->top != mark.block) pop_block(arena);
    if (arena->top) arena->top->used = mark.used;
}

void tp_arena_reset(tp_arena *arena) {
    if (arena->top == NULL) return;
    if (arena->top->below) { /* it had to grow: next time one block holds it all, and some more of the kind */
        while (arena->top) pop_block(arena);
        push_block(arena, arena->peak + arena->peak / 4);
    }
    arena->top->used = 0;
}

size_t tp_arena_peak(const tp_arena *arena) {
    return arena->peak;
}
