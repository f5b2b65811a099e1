/* Byte strings that grow, and slices of bytes. Text in this program is bytes: it need not be valid UTF-8. */
#ifndef TP_BASE_STR_H
#define TP_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>

typedef struct tp_str {
    char *data; /* always zero-terminated once anything was appended; NULL when empty and new */
    size_t len;
    size_t capacity;
} tp_str;

void tp_str_append(tp_str *s, const void *bytes, size_t n);
void tp_str_append_text(tp_str *s, const char *text);
void tp_str_append_char(tp_str *s, char c);
void tp_str_appendf(tp_str *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
void tp_str_clear(tp_str *s); /* length 0, memory kept */
char *tp_str_take(tp_str *s); /* the text (never NULL), owned by the caller; s is new again */
void tp_str_free(tp_str *s);  /* frees the content, not s itself */

bool tp_starts_with(const char *text, const char *prefix);
bool tp_ends_with(const char *text, const char *suffix);

#endif
