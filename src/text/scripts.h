/* Words as runs of one script: the pre-tokenizer UnicodeScripts. */
#ifndef TP_TEXT_SCRIPTS_H
#define TP_TEXT_SCRIPTS_H

#include "text/pretokenize.h"

/* The script of a character as a number from 1; 0 for a blank and for what has none (also all that came after
 * Unicode 9). Hiragana, Katakana and Han are one script. */
int tp_script_of(uint32_t code);

/* Appends the words of text[within] to *out: each begins with a character of a script, and goes on with that script and
 * with characters that have none. What stands before the first such character is left out, as in the reference. A byte
 * outside valid UTF-8 is a word of its own. */
void tp_scripts_split(const char *text, tp_span within, tp_spans *out);

#endif
