/* Base64. See base64.h. */
#include "text/base64.h"

/* 0..63, or -1. */
static int digit_of(char c) {
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

bool tp_base64_append(tp_str *out, const char *text, size_t n) {
    if (n == 0 || n % 4 != 0) return false;
    for (size_t i = 0; i < n; i += 4) {
        int padding = i + 4 < n || text[i + 3] != '=' ? 0 : text[i + 2] == '=' ? 2 : 1;
        unsigned bits = 0;
        for (int k = 0; k < 4; k++) {
            int digit = k >= 4 - padding ? 0 : digit_of(text[i + (size_t)k]);
            if (digit < 0) return false;
            bits = bits << 6 | (unsigned)digit;
        }
        for (int k = 0; k < 3 - padding; k++) tp_str_append_char(out, (char)(bits >> (16 - 8 * k)));
    }
    return true;
}

void tp_base64_write(tp_str *out, const void *bytes, size_t n) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *b = bytes;
    for (size_t i = 0; i < n; i += 3) {
        size_t left = n - i < 3 ? n - i : 3;
        unsigned bits = (unsigned)b[i] << 16 | (left > 1 ? (unsigned)b[i + 1] << 8 : 0) | (left > 2 ? b[i + 2] : 0);
        for (size_t k = 0; k < 4; k++) tp_str_append_char(out, k > left ? '=' : digits[bits >> (18 - 6 * k) & 63]);
    }
}
