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

/* The same for the character that ends before text[n], going back over its continuation bytes. */
size_t tp_utf8_decode_before(const char *text, size_t n, uint32_t *code);

/* Writes the character, returns its bytes. `code` is below 0x110000. */
size_t tp_utf8_encode(uint32_t code, char out[4]);

/* Bytes of the longest valid prefix of text[0..n). */
size_t tp_utf8_valid_prefix(const char *text, size_t n);

typedef enum tp_unicode_form { TP_NFC, TP_NFD, TP_NFKC, TP_NFKD } tp_unicode_form;

/* Appends the text in one of Unicode's normalisation forms; bytes outside valid UTF-8 are kept as they are. */
void tp_utf8_append_form(tp_str *out, const char *text, size_t n, tp_unicode_form form);

/* Appends the lower case of one character, which may be two characters (that of U+0130 is). */
void tp_utf8_append_lower(tp_str *out, uint32_t code);

/* Bytes of the valid UTF-8 text's first grapheme cluster, what a reader takes for one character. */
size_t tp_utf8_grapheme(const char *text, size_t n);

bool tp_is_letter(uint32_t code);          /* general categories L and M */
bool tp_is_number(uint32_t code);          /* general category N */
bool tp_is_mark(uint32_t code);            /* general category M */
bool tp_is_nonspacing_mark(uint32_t code); /* general category Mn */
bool tp_is_punctuation(uint32_t code);     /* general category P, and all of ASCII's signs */
bool tp_is_unprintable(uint32_t code);     /* general categories Cc, Cf and Co: controls, formats, private use */
bool tp_is_word(uint32_t code);            /* \w: alphabetic, a mark, a decimal digit, a connector or a joiner */
bool tp_is_white(uint32_t code);           /* property White_Space */
bool tp_is_chinese(uint32_t code);         /* as BERT sees it: Chinese characters, not other scripts of East Asia */

/* GPT-2's alphabet: every byte as one printable character, so that a vocabulary can be written in JSON. */
uint32_t tp_byte_to_char(unsigned char byte);
int tp_char_to_byte(uint32_t code); /* -1 if the character stands for no byte */

#endif
