/* Tokens and texts on one line of a terminal. */
#ifndef TP_CLI_PIECE_H
#define TP_CLI_PIECE_H

#include "text/tokenizer.h"

/* A text in which everything shows: what would not stands as \n, \t, \xE4, \\. Whole UTF-8 characters stay as they are.
 * The caller frees it. */
char *tp_visible_text(const char *text, size_t n);

/* What a token stands for, made visible; "" for an unknown id. The caller frees it. */
char *tp_piece_text(const tp_tokenizer *tokenizer, int32_t id);

#endif
