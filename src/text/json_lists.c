/* The two long lists of a BPE's tokenizer.json. See json_lists.h. */
#include "text/json_lists.h"

#include "base/mem.h"
#include "text/unicode.h"

#include <string.h>

typedef struct cursor {
    const char *at, *end;
} cursor;

static void skip_blanks(cursor *c) {
    while (c->at < c->end && (*c->at == ' ' || *c->at == '\n' || *c->at == '\t' || *c->at == '\r')) c->at++;
}

static bool take(cursor *c, char wanted) {
    skip_blanks(c);
    if (c->at == c->end || *c->at != wanted) return false;
    c->at++;
    return true;
}

/* Four hexadecimal digits; -1 if they are none. */
static int32_t read_unit(cursor *c) {
    int32_t unit = 0;
    if (c->end - c->at < 4) return -1;
    for (int i = 0; i < 4; i++) {
        char d = *c->at++;
        int digit = d >= '0' && d <= '9'   ? d - '0'
                    : d >= 'a' && d <= 'f' ? d - 'a' + 10
                    : d >= 'A' && d <= 'F' ? d - 'A' + 10
                                           : -1;
        if (digit < 0) return -1;
        unit = unit * 16 + digit;
    }
    return unit;
}

/* What follows a backslash. U+0000 and lone surrogates are left to the ordinary reader. */
static bool read_escape(cursor *c, tp_str *out) {
    static const char names[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
    if (c->at == c->end) return false;
    char name = *c->at++;
    const char *found = name != '\0' ? strchr(names, name) : NULL;
    if (found != NULL) {
        tp_str_append_char(out, meanings[found - names]);
        return true;
    }
    int32_t code = name == 'u' ? read_unit(c) : -1;
    if (code >= 0xD800 && code < 0xDC00) {
        if (c->end - c->at < 2 || c->at[0] != '\\' || c->at[1] != 'u') return false;
        c->at += 2;
        int32_t low = read_unit(c);
        if (low < 0xDC00 || low > 0xDFFF) return false;
        code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
    }
    if (code <= 0 || (code >= 0xD800 && code < 0xE000)) return false;
    char bytes[4];
    tp_str_append(out, bytes, tp_utf8_encode((uint32_t)code, bytes));
    return true;
}

static bool read_string(cursor *c, tp_str *out, tp_json_slice *slice) {
    if (!take(c, '"')) return false;
    slice->begin = out->len;
    for (;;) {
        const char *start = c->at;
        while (c->at < c->end && *c->at != '"' && *c->at != '\\' && (unsigned char)*c->at >= ' ') c->at++;
        size_t n = (size_t)(c->at - start);
        if (c->at == c->end || (unsigned char)*c->at < ' ' || tp_utf8_valid_prefix(start, n) != n) return false;
        tp_str_append(out, start, n);
        if (*c->at++ == '"') break;
        if (!read_escape(c, out)) return false;
    }
    slice->n = out->len - slice->begin;
    tp_str_append_char(out, '\0');
    return true;
}

static bool read_id(cursor *c, int32_t *id) {
    skip_blanks(c);
    const char *start = c->at;
    int64_t value = 0;
    while (c->at < c->end && *c->at >= '0' && *c->at <= '9' && c->at - start < 9) value = 10 * value + (*c->at++ - '0');
    *id = (int32_t)value;
    bool leading_zero = c->at - start > 1 && *start == '0';
    return c->at > start && !leading_zero && c->at < c->end && (*c->at < '0' || *c->at > '9');
}

static bool read_vocab(tp_json_lists *l, cursor *c) {
    if (!take(c, '{')) return false;
    do {
        tp_json_token token;
        if (!read_string(c, &l->texts, &token.text) || !take(c, ':') || !read_id(c, &token.id)) return false;
        tp_grow(&l->token, &l->token_capacity, l->n_tokens, sizeof *l->token);
        l->token[l->n_tokens++] = token;
    } while (take(c, ','));
    return take(c, '}');
}

/* "a b", which becomes two slices of one text. */
static bool cut_at_blank(tp_str *texts, tp_json_slice whole, tp_json_slice half[2]) {
    char *text = texts->data + whole.begin, *blank = memchr(text, ' ', whole.n);
    if (blank == NULL) return false;
    size_t n = (size_t)(blank - text);
    if (memchr(blank + 1, ' ', whole.n - n - 1) != NULL) return false;
    *blank = '\0';
    half[0] = (tp_json_slice){whole.begin, n};
    half[1] = (tp_json_slice){whole.begin + n + 1, whole.n - n - 1};
    return true;
}

static bool read_merges(tp_json_lists *l, cursor *c) {
    if (!take(c, '[')) return false;
    do {
        tp_json_merge merge;
        tp_json_slice whole;
        if (take(c, '[')) {
            if (!read_string(c, &l->texts, &merge.half[0]) || !take(c, ',') ||
                !read_string(c, &l->texts, &merge.half[1]) || !take(c, ']'))
                return false;
        } else if (!read_string(c, &l->texts, &whole) || !cut_at_blank(&l->texts, whole, merge.half)) {
            return false;
        }
        tp_grow(&l->merge, &l->merge_capacity, l->n_merges, sizeof *l->merge);
        l->merge[l->n_merges++] = merge;
    } while (take(c, ','));
    return take(c, ']');
}

/* ---- finding them: keys "vocab" and "merges" of the object under the outermost key "model" ---- */

static bool skip_string(cursor *c) {
    if (!take(c, '"')) return false;
    for (; c->at < c->end && *c->at != '"'; c->at++)
        if (*c->at == '\\' && c->at + 1 < c->end) c->at++;
    return take(c, '"');
}

/* Goes behind any value; whether it is well formed is found out when what is left of the file is parsed. */
static bool skip_value(cursor *c) {
    int depth = 0;
    do {
        skip_blanks(c);
        if (c->at == c->end) return false;
        char first = *c->at;
        if (first == '"') {
            if (!skip_string(c)) return false;
        } else if (first == '{' || first == '[') {
            depth++;
            c->at++;
        } else if (first == '}' || first == ']') {
            depth--;
            c->at++;
        } else if (first == ',' || first == ':') {
            if (depth == 0) return false;
            c->at++;
        } else { /* a number, true, false, null, or what the parser will refuse */
            c->at++;
            while (c->at < c->end && strchr(" \t\r\n,:{}[]\"", *c->at) == NULL) c->at++;
        }
    } while (depth > 0);
    return depth == 0;
}

/* Goes to the value of `wanted` in the object that the cursor is in (behind its brace or a value of it), or behind the
 * object if there is none: then false. */
static bool find_key(cursor *c, const char *wanted, size_t n) {
    do {
        skip_blanks(c);
        const char *key = c->at + 1;
        if (!skip_string(c) || !take(c, ':')) return false;
        skip_blanks(c);
        if (c->end - key > (ptrdiff_t)n && memcmp(key, wanted, n) == 0 && key[n] == '"') return true;
        if (!skip_value(c)) return false;
    } while (take(c, ','));
    return false;
}

/* Reads one of the lists at *c and writes the file up to it, with an empty list in its place. */
static bool take_list(tp_json_lists *l, cursor *c, const char **done, bool merges) {
    tp_str_append(&l->rest, *done, (size_t)(c->at - *done));
    tp_str_append_text(&l->rest, merges ? "[]" : "{}");
    bool plain = merges ? read_merges(l, c) : read_vocab(l, c);
    *done = c->at;
    return plain;
}

bool tp_json_lists_read(tp_json_lists *l, const char *bytes, size_t n) {
    cursor c = {bytes, bytes + n};
    if (!take(&c, '{') || !find_key(&c, "model", 5) || !take(&c, '{')) return false;
    cursor vocab = c, merges = c;
    if (!find_key(&vocab, "vocab", 5) || !find_key(&merges, "merges", 6)) return false;
    const char *done = bytes;
    bool vocab_first = vocab.at < merges.at;
    cursor *first = vocab_first ? &vocab : &merges, *second = vocab_first ? &merges : &vocab;
    if (!take_list(l, first, &done, !vocab_first) || done > second->at) return false;
    if (!take_list(l, second, &done, vocab_first)) return false;
    tp_str_append(&l->rest, done, (size_t)(bytes + n - done));
    return true;
}

void tp_json_lists_free(tp_json_lists *l) {
    tp_str_free(&l->texts);
    tp_str_free(&l->rest);
    tp_free(l->token);
    tp_free(l->merge);
    *l = (tp_json_lists){0};
}
