/* UTF-8 that need not be valid, and the byte alphabet of byte-level BPE. See unicode.h. */
#include "text/unicode.h"

#include <stdlib.h>
#include <utf8proc.h>

size_t tp_utf8_decode(const char *text, size_t n, uint32_t *code) {
    const unsigned char *b = (const unsigned char *)text;
    if (n == 0) return 0;
    if (b[0] < 0x80) {
        *code = b[0];
        return 1;
    }
    size_t length = b[0] >= 0xF0 ? 4 : b[0] >= 0xE0 ? 3 : 2;
    if (b[0] < 0xC2 || b[0] > 0xF4 || length > n) return 0;
    uint32_t c = b[0] & (0x7Fu >> length);
    for (size_t i = 1; i < length; i++) {
        if ((b[i] & 0xC0) != 0x80) return 0;
        c = c << 6 | (b[i] & 0x3Fu);
    }
    static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    if (c < smallest[length] || c > 0x10FFFF || (c >= 0xD800 && c < 0xE000)) return 0;
    *code = c;
    return length;
}

size_t tp_utf8_decode_before(const char *text, size_t n, uint32_t *code) {
    for (size_t back = 1; back <= 4 && back <= n; back++)
        if (tp_utf8_decode(text + n - back, back, code) == back) return back;
    return 0;
}

size_t tp_utf8_encode(uint32_t code, char out[4]) {
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    size_t length = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (size_t i = length - 1; i > 0; i--, code >>= 6) out[i] = (char)(0x80 | (code & 0x3F));
    static const unsigned char lead[] = {0, 0, 0xC0, 0xE0, 0xF0};
    out[0] = (char)(lead[length] | code);
    return length;
}

size_t tp_utf8_valid_prefix(const char *text, size_t n) {
    size_t at = 0;
    while (at < n) {
        uint32_t code;
        size_t length = tp_utf8_decode(text + at, n - at, &code);
        if (length == 0) break;
        at += length;
    }
    return at;
}

static void append_valid(tp_str *out, const char *text, size_t n, tp_unicode_form form) {
    static const utf8proc_option_t options[] = {
        [TP_NFC] = UTF8PROC_STABLE | UTF8PROC_COMPOSE,
        [TP_NFD] = UTF8PROC_STABLE | UTF8PROC_DECOMPOSE,
        [TP_NFKC] = UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_COMPAT,
        [TP_NFKD] = UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT,
    };
    utf8proc_uint8_t *mapped = NULL;
    utf8proc_ssize_t length = utf8proc_map((const utf8proc_uint8_t *)text, (utf8proc_ssize_t)n, &mapped, options[form]);
    if (length >= 0) {
        tp_str_append(out, mapped, (size_t)length);
    } else { /* only for want of memory, or a text beyond what fits: unnormalised is the better loss */
        tp_str_append(out, text, n);
    }
    free(mapped);
}

void tp_utf8_append_form(tp_str *out, const char *text, size_t n, tp_unicode_form form) {
    while (n > 0) {
        size_t valid = tp_utf8_valid_prefix(text, n), ascii = 0;
        while (ascii < valid && (unsigned char)text[ascii] < 0x80) ascii++;
        if (ascii < valid) {
            append_valid(out, text, valid, form);
        } else {
            tp_str_append(out, text, valid);
        }
        text += valid;
        n -= valid;
        if (n > 0) {
            tp_str_append_char(out, *text++);
            n--;
        }
    }
}

void tp_utf8_append_lower(tp_str *out, uint32_t code) {
    char bytes[4];
    if (code == 0x130) { /* the one character whose lower case is two, wherever it stands */
        tp_str_append_text(out, "i\xCC\x87");
        return;
    }
    tp_str_append(out, bytes, tp_utf8_encode((uint32_t)utf8proc_tolower((utf8proc_int32_t)code), bytes));
}

size_t tp_utf8_grapheme(const char *text, size_t n) {
    uint32_t code = 0, next;
    utf8proc_int32_t state = 0;
    size_t at = tp_utf8_decode(text, n, &code), length;
    for (; (length = tp_utf8_decode(text + at, n - at, &next)) > 0; at += length, code = next)
        if (utf8proc_grapheme_break_stateful((utf8proc_int32_t)code, (utf8proc_int32_t)next, &state)) break;
    return at;
}

static utf8proc_category_t category(uint32_t code) {
    return utf8proc_category((utf8proc_int32_t)code);
}

bool tp_is_letter(uint32_t code) {
    utf8proc_category_t c = category(code);
    return c >= UTF8PROC_CATEGORY_LU && c <= UTF8PROC_CATEGORY_ME;
}

bool tp_is_number(uint32_t code) {
    utf8proc_category_t c = category(code);
    return c >= UTF8PROC_CATEGORY_ND && c <= UTF8PROC_CATEGORY_NO;
}

bool tp_is_mark(uint32_t code) {
    utf8proc_category_t c = category(code);
    return c >= UTF8PROC_CATEGORY_MN && c <= UTF8PROC_CATEGORY_ME;
}

bool tp_is_nonspacing_mark(uint32_t code) {
    return category(code) == UTF8PROC_CATEGORY_MN;
}

bool tp_is_punctuation(uint32_t code) {
    if (code < 0x80) return code > ' ' && code < 0x7F && !tp_is_letter(code) && !tp_is_number(code);
    utf8proc_category_t c = category(code);
    return c >= UTF8PROC_CATEGORY_PC && c <= UTF8PROC_CATEGORY_PO;
}

bool tp_is_unprintable(uint32_t code) {
    utf8proc_category_t c = category(code);
    return c == UTF8PROC_CATEGORY_CC || c == UTF8PROC_CATEGORY_CF || c == UTF8PROC_CATEGORY_CO;
}

bool tp_is_word(uint32_t code) {
    if (tp_is_letter(code) || code == 0x200C || code == 0x200D) return true;
    if ((code >= 0x24B6 && code <= 0x24E9) || (code >= 0x1F130 && code <= 0x1F149) ||
        (code >= 0x1F150 && code <= 0x1F169) || (code >= 0x1F170 && code <= 0x1F189))
        return true; /* letters in circles and squares: symbols, but alphabetic */
    utf8proc_category_t c = category(code);
    return c == UTF8PROC_CATEGORY_ND || c == UTF8PROC_CATEGORY_NL || c == UTF8PROC_CATEGORY_PC;
}

bool tp_is_chinese(uint32_t code) {
    static const uint32_t ranges[][2] = {{0x4E00, 0x9FFF},   {0x3400, 0x4DBF},   {0x20000, 0x2A6DF},
                                         {0x2A700, 0x2B73F}, {0x2B740, 0x2B81F}, {0x2B920, 0x2CEAF},
                                         {0xF900, 0xFAFF},   {0x2F800, 0x2FA1F}};
    for (int i = 0; i < 8; i++)
        if (code >= ranges[i][0] && code <= ranges[i][1]) return true;
    return false;
}

bool tp_is_white(uint32_t code) {
    if (code < 0x80) return code == ' ' || (code >= '\t' && code <= '\r');
    return code == 0x85 || code == 0xA0 || code == 0x1680 || (code >= 0x2000 && code <= 0x200A) || code == 0x2028 ||
           code == 0x2029 || code == 0x202F || code == 0x205F || code == 0x3000;
}

/* Bytes that are printable in Latin-1 stand for themselves; the 68 others follow from U+0100 on, in order. */
uint32_t tp_byte_to_char(unsigned char byte) {
    if (byte <= 32) return 256u + byte;
    if (byte >= 127 && byte <= 160) return 256u + 33 + (byte - 127u);
    return byte == 173 ? 256u + 67 : byte;
}

int tp_char_to_byte(uint32_t code) {
    if (code >= 256 + 68) return -1;
    if (code == 256 + 67) return 173;
    if (code >= 256 + 33) return (int)(code - 256 - 33 + 127);
    if (code >= 256) return (int)(code - 256);
    return tp_byte_to_char((unsigned char)code) == code ? (int)code : -1;
}
