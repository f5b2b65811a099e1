/* Words as runs of one script. See scripts.h.
 *
 * The reference (tokenizers, which has it from SentencePiece) knows the scripts of Unicode 9, and takes a character
 * that is newer for one of no script, which joins any word: with newer tables, words would be cut in other places. So
 * the table is a copy of what it does (tools/reference/script_table.py), whatever libraries here know by now. */
#include "text/scripts.h"

#include "text/scripts_table.h"
#include "text/unicode.h"

int tp_script_of(uint32_t code) {
    size_t low = 0, high = sizeof tp_script_ranges / sizeof tp_script_ranges[0];
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (tp_script_ranges[middle].last < code)
            low = middle + 1;
        else
            high = middle;
    }
    bool inside = low < sizeof tp_script_ranges / sizeof tp_script_ranges[0] && code >= tp_script_ranges[low].first;
    return inside ? tp_script_ranges[low].script : 0;
}

void tp_scripts_split(const char *text, tp_span within, tp_spans *out) {
    enum { NONE = -1 };
    size_t begin = within.end; /* of the word that is open, if it lies before `at` */
    int open = NONE;           /* its script */
    for (size_t at = within.begin, length; at < within.end; at += length) {
        uint32_t code;
        length = tp_utf8_decode(text + at, within.end - at, &code);
        int script = length > 0 ? tp_script_of(code) : 0;
        if (length > 0 && (script == 0 || script == open)) continue;
        tp_spans_append(out, begin, at);
        begin = at;
        open = script;
        if (length > 0) continue;
        tp_spans_append(out, at, at + 1); /* no character: what follows it is a word, too */
        begin = at + (length = 1);
        open = NONE;
    }
    tp_spans_append(out, begin, within.end);
}
