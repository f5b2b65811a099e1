/* UTF-8 that need not be valid, and the byte alphabet of byte-level BPE.
 *
 * A text is bytes. Where it is valid UTF-8 its characters count; a byte that is part of no valid character is treated
 * as a character of its own, so that nothing is ever lost. */
#ifndef TP_TEXT_UNICODE_H
#define TP_TEXT_UNICODE_H

#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes (1 to 4) of the UTF-8 character at text[0..n), its code point in *code; 0 if the bytes there are no valid
 * character (overlong forms, surrogates and anything above U+10FFFF are not) or n is 0. */
size_t tp_utf8_decode(const char *text, size_t n, uint32_t *code);

/* Writes the character, returns its bytes. `code` is below 0x110000. */
size_t tp_utf8_encode(uint32_t code, char out[4]);

/* Bytes of the longest valid prefix of text[0..n). */
size_t tp_utf8_valid_prefix(const char *text, size_t n);

/* Appends the text in Unicode's normalisation form C; bytes outside valid UTF-8 are kept as they are. */
void tp_utf8_append_nfc(tp_str *out, const char *text, size_t n);

bool tp_is_letter(uint32_t code); /* general categories L and M */
bool tp_is_number(uint32_t code); /* general category N */
bool tp_is_white(uint32_t code);  /* property White_Space */

/* GPT-2's alphabet: every byte as one printable character, so that a vocabulary can be written in JSON. */
uint32_t tp_byte_to_char(unsigned char byte);
int tp_char_to_byte(uint32_t code); /* -1 if the character stands for no byte */

#endif
