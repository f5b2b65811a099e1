/* What methods that hand over text have in common. */
#ifndef TP_EVAL_TEXTS_H
#define TP_EVAL_TEXTS_H

#include "eval/ask.h"

/* The layout of the task's prompt with the list of labels, for that model to read. If its context has no room for the
 * list, the prompt without it, and *note (the caller's to free) says so. */
tp_layout *tp_texts_layout(const tp_eval *eval, const tp_lm *lm, char **note);

/* Bytes of a text of the split, on average. */
double tp_texts_mean_bytes(const tp_dataset *set);

/* The text relay: the sender reads the prompt with the text and goes on writing, at most TP_HINT_TOKENS tokens of one
 * line. That line is all the receiver gets to see. */
enum { TP_HINT_TOKENS = 16 };

typedef struct tp_text_relay tp_text_relay;
tp_text_relay *tp_text_relay_new(const tp_eval *eval); /* NULL on error */
void tp_text_relay_free(tp_text_relay *relay);         /* takes NULL */

/* The sender's lines for n texts, zero-terminated; the caller frees each. */
tp_status tp_text_relay_write(tp_text_relay *relay, const tp_example *texts, int64_t n, char **lines);

/* How the receiver is asked about such lines. */
const tp_layout *tp_text_relay_layout(const tp_text_relay *relay);
const char *tp_text_relay_note(const tp_text_relay *relay); /* NULL: nothing to note */

#endif
