/* Passkey retrieval: a five-digit code hidden in filler text, to be given back digit by digit (SPEC 3).
 *
 * Nothing can be guessed from the words around it, so the task measures how exactly a bridge carries what it has read.
 * The idea is that of Mohtashami and Jaggi, "Landmark attention" (2023); filler and wording are our own. */
#ifndef TP_DATA_PASSKEY_H
#define TP_DATA_PASSKEY_H

#include "base/json.h"
#include "data/rows.h"

enum { TP_PASSKEY_WORDS = 100, TP_PASSKEY_MOST_WORDS = 100000 };

/* Appends `count` rows of one side ("train" or "test"): filler sentences of about n_words words in all, with the
 * sentence that holds the code somewhere between them. `description` is the task's object `passkey`: lists `filler` and
 * `hiding` ("... {text} ...", where the code goes). No code occurs twice, and codes of test never occur in train. The
 * same every time: nothing but the side, the number of words and the row decides. */
tp_status tp_passkey_rows(json_t *description, const char *side, size_t count, int64_t n_words, tp_rows *rows);

/* The words asked for by a task's name: "passkey" is the usual length, "passkey:400" 400 words. -1 with an error if
 * what follows the colon is no length; 0 if the name is another task's. */
int64_t tp_passkey_words(const char *task_name);

#endif
