/* Texts as sparse vectors of word and character n-grams, weighted by TF-IDF as scikit-learn does it: sublinear term
 * frequency 1 + ln(tf), smoothed inverse document frequency ln((1 + n) / (1 + df)) + 1, and each part (words,
 * characters) scaled to length 1 by itself.
 *
 * Words are runs of letters, digits and `_` (bytes outside ASCII count as letters), in lower case; word n-grams have 1
 * or 2 of them. Character n-grams have 2 to 5 characters and lie within what stands between blanks, a blank put at both
 * ends. Only ASCII is put in lower case. */
#ifndef TP_EVAL_TFIDF_H
#define TP_EVAL_TFIDF_H

#include <linear.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct tp_tfidf tp_tfidf; /* a vocabulary in the making, then with weights */

/* An n-gram of a text and how often it occurs there. A text's are ended by index 0. */
typedef struct tp_gram_count {
    uint32_t index; /* from 1 */
    uint32_t count;
} tp_gram_count;

tp_tfidf *tp_tfidf_new(void);
void tp_tfidf_free(tp_tfidf *tfidf); /* takes NULL */

/* Counts a text's n-grams, sorted by index; new ones join the vocabulary while `grow` and are dropped otherwise. Free
 * with tp_free. */
tp_gram_count *tp_tfidf_count(tp_tfidf *tfidf, const char *text, size_t n, bool grow);

/* Fixes the weights by counting in how many of these n texts each n-gram occurs. May be called again. */
void tp_tfidf_fit(tp_tfidf *tfidf, tp_gram_count *const *texts, size_t n);

/* The vector of a text: n-grams that occur in none of the fitted texts are left out; behind the others stands a bias of
 * 1 with index tp_tfidf_size + 1, then LIBLINEAR's end mark. Free with tp_free. */
struct feature_node *tp_tfidf_vector(const tp_tfidf *tfidf, const tp_gram_count *text);

size_t tp_tfidf_size(const tp_tfidf *tfidf); /* n-grams known; their indices are 1 to this */

#endif
