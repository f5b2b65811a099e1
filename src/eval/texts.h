/* What methods that hand over text have in common. */
#ifndef TP_EVAL_TEXTS_H
#define TP_EVAL_TEXTS_H

#include "eval/ask.h"

/* The layout of the task's prompt with the list of labels, for that model to read. If its context has no room for the
 * list, the prompt without it, and *note (the caller's to free) says so. */
tp_layout *tp_texts_layout(const tp_eval *eval, const tp_lm *lm, char **note);

/* The same of two patterns of one's own, the second of which lacks the list, leaving that many tokens of the context
 * for what the model writes. */
tp_layout *tp_texts_layout_of(const tp_eval *eval, const tp_lm *lm, char *const patterns[2], int64_t n_tokens,
                              char **note);

/* Few shots: appends the model's begin of sequence and as many solved examples, drawn from train by the run's seed, as
 * fit into `room` tokens; *n_shots gets their number. One that is too long for what is left is passed over. */
tp_status tp_shots_encode(const tp_eval *eval, const tp_lm *lm, size_t room, tp_ids *ids, int *n_shots);

/* Bytes of a text of the split, on average. */
double tp_texts_mean_bytes(const tp_dataset *set);

/* What the sender writes in a text relay, which is all the receiver gets to see. */
typedef enum tp_writing {
    TP_WRITE_WORD,     /* one word, asked with the list of labels: its own answer, as a rule */
    TP_WRITE_LINE,     /* one line of at most 16 tokens behind the task's prompt */
    TP_WRITE_LONG,     /* 50 tokens, lines and all */
    TP_WRITE_THOUGHTS, /* up to 100 tokens of thinking about the question, with the list of labels */
} tp_writing;

typedef struct tp_text_relay tp_text_relay;
tp_text_relay *tp_text_relay_new(const tp_eval *eval, tp_writing writing); /* NULL on error */
void tp_text_relay_free(tp_text_relay *relay);                             /* takes NULL */

/* What the sender writes about n texts, zero-terminated; the caller frees each. */
tp_status tp_text_relay_write(tp_text_relay *relay, const tp_example *texts, int64_t n, char **written);

/* How the receiver is asked about it. */
const tp_layout *tp_text_relay_layout(const tp_text_relay *relay);
const char *tp_text_relay_note(const tp_text_relay *relay); /* NULL: nothing to note */

#endif
