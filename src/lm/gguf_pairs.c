/* See gguf_pairs.h. */
#include "lm/gguf_pairs.h"

#include <string.h>

static void *keep(tp_gguf_pairs *p, const void *bytes, size_t n) {
    if (p->arena == NULL) p->arena = tp_arena_new();
    void *copy = tp_arena_alloc(p->arena, n + 1);
    if (n > 0) memcpy(copy, bytes, n);
    ((char *)copy)[n] = '\0';
    return copy;
}

static void add(tp_gguf_pairs *p, const char *key, tp_gguf_pair pair) {
    tp_grow(&p->items, &p->capacity, p->n, sizeof *p->items);
    pair.key = keep(p, key, strlen(key));
    p->items[p->n++] = pair;
}

static void add_number(tp_gguf_pairs *p, const char *key, tp_gguf_type type, const void *number, size_t size) {
    add(p, key, (tp_gguf_pair){.type = type, .n = 1, .data = keep(p, number, size)});
}

void tp_gguf_put_text(tp_gguf_pairs *p, const char *key, const char *text) {
    const char *copy = keep(p, text, strlen(text));
    add(p, key, (tp_gguf_pair){.type = TP_GGUF_TEXT, .n = 1, .data = keep(p, &copy, sizeof copy)});
}

void tp_gguf_put_u32(tp_gguf_pairs *p, const char *key, uint32_t value) {
    add_number(p, key, TP_GGUF_U32, &value, sizeof value);
}

void tp_gguf_put_f32(tp_gguf_pairs *p, const char *key, double value) {
    float narrow = (float)value;
    add_number(p, key, TP_GGUF_F32, &narrow, sizeof narrow);
}

void tp_gguf_put_bool(tp_gguf_pairs *p, const char *key, bool value) {
    uint8_t byte = value;
    add_number(p, key, TP_GGUF_BOOL, &byte, sizeof byte);
}

void tp_gguf_put_numbers(tp_gguf_pairs *p, const char *key, tp_gguf_type type, const void *numbers, uint64_t n) {
    size_t size = type == TP_GGUF_U8 || type == TP_GGUF_I8 || type == TP_GGUF_BOOL    ? 1
                  : type == TP_GGUF_U16 || type == TP_GGUF_I16                        ? 2
                  : type == TP_GGUF_U64 || type == TP_GGUF_I64 || type == TP_GGUF_F64 ? 8
                                                                                      : 4;
    const void *copy = keep(p, numbers, (size_t)n * size);
    add(p, key, (tp_gguf_pair){.type = type, .is_array = true, .n = n, .data = copy});
}

void tp_gguf_put_texts(tp_gguf_pairs *p, const char *key, const char *const *texts, const size_t *bytes, uint64_t n) {
    if (p->arena == NULL) p->arena = tp_arena_new();
    size_t all = 0;
    for (uint64_t i = 0; i < n; i++) all += bytes[i];
    char *copy = tp_arena_alloc(p->arena, all + 1);
    const char **pointers = tp_arena_alloc(p->arena, (size_t)n * sizeof *pointers);
    for (uint64_t i = 0; i < n; i++) {
        if (bytes[i] > 0) memcpy(copy, texts[i], bytes[i]);
        pointers[i] = copy;
        copy += bytes[i];
    }
    const size_t *lengths = keep(p, bytes, (size_t)n * sizeof *bytes);
    add(p, key,
        (tp_gguf_pair){.type = TP_GGUF_TEXT, .is_array = true, .n = n, .data = pointers, .text_bytes = lengths});
}

void tp_gguf_put_value(tp_gguf_pairs *p, const tp_gguf_value *value) {
    if (value->type != TP_GGUF_TEXT) {
        const void *copy = keep(p, value->data, value->n_bytes);
        add(p, value->key,
            (tp_gguf_pair){.type = value->type, .is_array = value->is_array, .n = value->n, .data = copy});
        return;
    }
    const char **texts = tp_alloc((size_t)value->n * sizeof *texts);
    size_t *bytes = tp_alloc((size_t)value->n * sizeof *bytes), at = 0;
    for (uint64_t i = 0; i < value->n; i++) texts[i] = tp_gguf_next_text(value, &at, &bytes[i]);
    tp_gguf_put_texts(p, value->key, texts, bytes, value->n);
    p->items[p->n - 1].is_array = value->is_array;
    tp_free(texts);
    tp_free(bytes);
}

void tp_gguf_pairs_free(tp_gguf_pairs *p) {
    tp_free(p->items);
    tp_arena_free(p->arena);
    *p = (tp_gguf_pairs){0};
}
