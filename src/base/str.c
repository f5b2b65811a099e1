/* Growing byte strings. See str.h. */
#include "base/str.h"

#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void tp_str_append(tp_str *s, const void *bytes, size_t n) {
    tp_grow(&s->data, &s->capacity, s->len + n, 1); /* one more than the content, for the zero byte */
    if (n > 0) memcpy(s->data + s->len, bytes, n);
    s->len += n;
    s->data[s->len] = '\0';
}

void tp_str_append_text(tp_str *s, const char *text) {
    tp_str_append(s, text, strlen(text));
}

void tp_str_append_char(tp_str *s, char c) {
    tp_str_append(s, &c, 1);
}

void tp_str_appendf(tp_str *s, const char *format, ...) {
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (n > 0) {
        tp_grow(&s->data, &s->capacity, s->len + (size_t)n, 1);
        vsnprintf(s->data + s->len, (size_t)n + 1, format, again);
        s->len += (size_t)n;
    }
    va_end(again);
}

void tp_str_clear(tp_str *s) {
    s->len = 0;
    if (s->data) s->data[0] = '\0';
}

char *tp_str_take(tp_str *s) {
    if (s->data == NULL) tp_str_append(s, "", 0);
    char *text = s->data;
    *s = (tp_str){0};
    return text;
}

void tp_str_free(tp_str *s) {
    tp_free(s->data);
    *s = (tp_str){0};
}

bool tp_starts_with(const char *text, const char *prefix) {
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

bool tp_ends_with(const char *text, const char *suffix) {
    size_t n = strlen(text), m = strlen(suffix);
    return n >= m && memcmp(text + n - m, suffix, m) == 0;
}
