/* A prompt as token ids, its text cut to fit.
 *
 * Only the text in a prompt may be cut, never the words around it: a prompt without its last line asks another
 * question. Both the sender's prompt and a receiver that reads text use this. */
#ifndef TP_BRIDGE_PROMPT_H
#define TP_BRIDGE_PROMPT_H

#include "bridge/recipe.h"
#include "text/tokenizer.h"

/* Appends the ids of the template with {text} replaced by `len` bytes of text to *out. If they are more than max_tokens
 * (0: no bound), as much of the text as does not fit is cut off on `side`, at a character's boundary, and *truncated
 * (if not NULL) becomes true; else false. `flags` as for tp_tokenizer_encode. An error if the template alone is too
 * long. */
tp_status tp_prompt_encode(const tp_tokenizer *tokenizer, const char *prompt_template, const char *text, size_t len,
                           int64_t max_tokens, tp_side side, unsigned flags, tp_ids *out, bool *truncated);

#endif
