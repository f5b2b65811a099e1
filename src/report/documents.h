/* Reading the documents that other parts of the program leave beside a run: JSON from a file, of which nothing is sure.
 * What is missing or of another type reads as nothing. */
#ifndef TP_REPORT_DOCUMENTS_H
#define TP_REPORT_DOCUMENTS_H

#include <jansson.h>
#include <stddef.h>

/* The value's text, "" if it is none. */
const char *tp_document_text(json_t *object, const char *key);
double tp_document_number(json_t *object, const char *key); /* NAN if it is none */

/* A list of texts as an array of pointers into it, "" for what is none; *n is its length. The caller frees the array.
 */
const char **tp_document_texts(json_t *list, size_t *n);

/* A list of lists of `n_columns` numbers as [n, n_columns], NAN for what is none; NULL with *n = 0 if there is no row.
 * The caller frees it. */
double *tp_document_matrix(json_t *list, size_t n_columns, size_t *n);

#endif
