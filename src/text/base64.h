/* Base64, as tokenizer files use it for bytes that are no text. */
#ifndef TP_TEXT_BASE64_H
#define TP_TEXT_BASE64_H

#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>

/* Appends the bytes that n characters stand for; false if they are no whole base64 text (RFC 4648, padded). */
bool tp_base64_append(tp_str *out, const char *text, size_t n);

/* Appends n bytes as base64. */
void tp_base64_write(tp_str *out, const void *bytes, size_t n);

#endif
