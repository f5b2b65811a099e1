/* Steps that rewrite a text. See steps.h. Bytes outside valid UTF-8 go through all of them unchanged. */
#include "text/steps.h"

#include "base/mem.h"

#include <string.h>

tp_step *tp_steps_add(tp_steps *steps, tp_step_kind kind) {
    tp_grow(&steps->data, &steps->capacity, steps->len, sizeof *steps->data);
    steps->data[steps->len] = (tp_step){.kind = kind};
    return &steps->data[steps->len++];
}

void tp_steps_free(tp_steps *steps) {
    for (size_t i = 0; i < steps->len; i++) {
        tp_free(steps->data[i].from);
        tp_free(steps->data[i].to);
        tp_pattern_free(steps->data[i].pattern);
        tp_charsmap_free(steps->data[i].charsmap);
    }
    tp_free(steps->data);
    *steps = (tp_steps){0};
}

static void replace_all(const char *text, size_t n, const char *from, const char *to, tp_str *out) {
    size_t length = strlen(from);
    const char *end = text + n, *found;
    while ((found = memmem(text, (size_t)(end - text), from, length)) != NULL) {
        tp_str_append(out, text, (size_t)(found - text));
        tp_str_append_text(out, to);
        text = found + length;
    }
    tp_str_append(out, text, (size_t)(end - text));
}

/* `blank`, if not NULL, is taken away at the end like a blank: SentencePiece looks there after it has written its own.
 */
static void squeeze_blanks(const char *text, size_t n, const char *blank, tp_str *out) {
    size_t begin = out->len, length = blank ? strlen(blank) : 0;
    for (;;) {
        if (n > 0 && text[n - 1] == ' ') {
            n--;
        } else if (length > 0 && n >= length && memcmp(text + n - length, blank, length) == 0) {
            n -= length;
        } else {
            break;
        }
    }
    for (size_t i = 0; i < n; i++)
        if (text[i] != ' ' || (out->len > begin && text[i - 1] != ' ')) tp_str_append_char(out, text[i]);
}

static bool wants_prefix(const tp_step *step, const char *text, size_t n, tp_step_place place) {
    if (n == 0 || (place.first ? place.continues : step->first_only)) return false;
    size_t length = strlen(step->to);
    return step->kind == TP_STEP_PREPEND || n < length || memcmp(text, step->to, length) != 0;
}

/* ---- one character at a time ---- */

static bool is_nmt_control(uint32_t code) {
    return (code >= 0x01 && code <= 0x08) || code == 0x0B || (code >= 0x0E && code <= 0x1F) || code == 0x7F ||
           code == 0x8F || code == 0x9F;
}

static bool is_nmt_blank(uint32_t code) {
    return code == 0x09 || code == 0x0A || code == 0x0C || code == 0x0D || code == 0x1680 ||
           (code >= 0x200B && code <= 0x200F) || code == 0x2028 || code == 0x2029 || code == 0x2581 || code == 0xFEFF ||
           code == 0xFFFD;
}

static void clean_character(uint32_t code, const char *text, size_t n, tp_str *out) {
    if (code == '\t' || code == '\n' || code == '\r') {
        tp_str_append_char(out, ' ');
    } else if (code != 0 && code != 0xFFFD && !tp_is_unprintable(code)) {
        if (tp_is_white(code)) {
            tp_str_append_char(out, ' ');
        } else {
            tp_str_append(out, text, n);
        }
    }
}

static void rewrite_character(tp_step_kind kind, uint32_t code, const char *text, size_t n, tp_str *out) {
    switch (kind) {
    case TP_STEP_LOWERCASE:
        tp_utf8_append_lower(out, code);
        return;
    case TP_STEP_STRIP_MARKS:
        if (!tp_is_mark(code)) tp_str_append(out, text, n);
        return;
    case TP_STEP_ACCENTS:
        if (!tp_is_nonspacing_mark(code)) tp_str_append(out, text, n);
        return;
    case TP_STEP_CLEAN:
        clean_character(code, text, n, out);
        return;
    case TP_STEP_CHINESE:
        if (tp_is_chinese(code)) tp_str_append_char(out, ' ');
        tp_str_append(out, text, n);
        if (tp_is_chinese(code)) tp_str_append_char(out, ' ');
        return;
    case TP_STEP_NMT:
        if (is_nmt_blank(code)) {
            tp_str_append_char(out, ' ');
        } else if (!is_nmt_control(code)) {
            tp_str_append(out, text, n);
        }
        return;
    default:
        tp_str_append(out, text, n);
    }
}

static void rewrite_characters(tp_step_kind kind, const char *text, size_t n, tp_str *out) {
    for (size_t at = 0; at < n;) {
        uint32_t code;
        size_t length = tp_utf8_decode(text + at, n - at, &code);
        if (length == 0) {
            tp_str_append_char(out, text[at++]);
            continue;
        }
        rewrite_character(kind, code, text + at, length, out);
        at += length;
    }
}

static void append_stripped(const tp_step *step, const char *text, size_t n, tp_str *out) {
    uint32_t code;
    size_t length;
    if (step->kind == TP_STEP_STRIP_LEFT) {
        while ((length = tp_utf8_decode(text, n, &code)) > 0 && tp_is_white(code)) {
            text += length;
            n -= length;
        }
    } else {
        while ((length = tp_utf8_decode_before(text, n, &code)) > 0 && tp_is_white(code)) n -= length;
    }
    tp_str_append(out, text, n);
}

/* ---- SentencePiece's character map ---- */

static void map_longest(const tp_charsmap *map, const char *text, size_t n, const tp_added *verbatim, tp_str *out) {
    for (size_t at = 0; at < n;) {
        size_t length = verbatim ? tp_added_at(verbatim, text, at, n) : 0, n_to;
        const char *to;
        if (length > 0) {
            tp_str_append(out, text + at, length);
        } else if ((length = tp_charsmap_find(map, text + at, n - at, true, &to, &n_to)) > 0) {
            tp_str_append(out, to, n_to);
        } else {
            uint32_t code;
            length = tp_utf8_decode(text + at, n - at, &code);
            if (length == 0) length = 1;
            tp_str_append(out, text + at, length);
        }
        at += length;
    }
}

/* A short grapheme cluster is replaced as a whole by what the map has for its shortest beginning; of others, each
 * character is. That is what the reference does, and vocabularies were trained with it. */
static void map_graphemes(const tp_charsmap *map, const char *text, size_t n, tp_str *out) {
    const char *to;
    size_t n_to;
    for (size_t at = 0; at < n;) {
        size_t grapheme = tp_utf8_grapheme(text + at, n - at);
        if (grapheme == 0) {
            tp_str_append_char(out, text[at++]);
            continue;
        }
        if (grapheme < 6 && tp_charsmap_find(map, text + at, grapheme, false, &to, &n_to) > 0) {
            tp_str_append(out, to, n_to);
            at += grapheme;
            continue;
        }
        for (size_t end = at + grapheme, length; at < end; at += length) {
            uint32_t code;
            length = tp_utf8_decode(text + at, end - at, &code);
            if (tp_charsmap_find(map, text + at, length, false, &to, &n_to) > 0) {
                tp_str_append(out, to, n_to);
            } else {
                tp_str_append(out, text + at, length);
            }
        }
    }
}

tp_status tp_step_rewrite(const tp_step *step, const char *text, size_t n, tp_step_place place, tp_str *out) {
    tp_str decomposed = {0};
    switch (step->kind) {
    case TP_STEP_FORM:
        tp_utf8_append_form(out, text, n, step->form);
        break;
    case TP_STEP_SQUEEZE:
        squeeze_blanks(text, n, step->to, out);
        break;
    case TP_STEP_REPLACE:
        replace_all(text, n, step->from, step->to, out);
        break;
    case TP_STEP_REPLACE_PATTERN:
        return tp_pattern_replace(step->pattern, text, n, step->to, out);
    case TP_STEP_PREPEND:
    case TP_STEP_PREFIX:
        if (wants_prefix(step, text, n, place)) tp_str_append_text(out, step->to);
        tp_str_append(out, text, n);
        break;
    case TP_STEP_ACCENTS:
        tp_utf8_append_form(&decomposed, text, n, TP_NFD);
        rewrite_characters(step->kind, decomposed.data, decomposed.len, out);
        tp_str_free(&decomposed);
        break;
    case TP_STEP_STRIP_LEFT:
    case TP_STEP_STRIP_RIGHT:
        append_stripped(step, text, n, out);
        break;
    case TP_STEP_CHARSMAP:
        map_longest(step->charsmap, text, n, place.verbatim, out);
        break;
    case TP_STEP_CHARSMAP_GRAPHEMES:
        map_graphemes(step->charsmap, text, n, out);
        break;
    default:
        rewrite_characters(step->kind, text, n, out);
    }
    return TP_OK;
}
