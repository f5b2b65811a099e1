/* A corpus: unlabelled documents for training tokenizers and decoders, streamed from files in the order given.
 *
 * Files are JSON lines with the document in the field `text` (.jsonl), or plain text (.txt), either of them gzipped
 * (.gz) or not. A plain text of at most 64 KB is one document; a longer one (a book, a dump) is split at blank lines. A
 * folder stands for all such files in it, in the order of their names. Memory is bounded by the longest document. */
#ifndef TP_DATA_CORPUS_H
#define TP_DATA_CORPUS_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>

typedef struct tp_corpus tp_corpus;

/* Checks that every file can be opened and has a known ending, before anything long begins. NULL on error. The paths
 * are copied. */
tp_corpus *tp_corpus_open(const char *const *paths, size_t n_paths);
void tp_corpus_close(tp_corpus *corpus); /* takes NULL */

/* The next document: n > 0 bytes, zero-terminated, valid until the next call. False at the end and on error: ask
 * tp_corpus_status which it was. Empty documents are left out; a file without a document is an error. Error sentences
 * name the file and the line. */
bool tp_corpus_next(tp_corpus *corpus, const char **text, size_t *n);
tp_status tp_corpus_status(const tp_corpus *corpus);

/* Back to the first document (for another epoch). An error stays an error. */
void tp_corpus_rewind(tp_corpus *corpus);

/* Where the reading stands, for progress: files finished, files in all. */
void tp_corpus_position(const tp_corpus *corpus, size_t *done, size_t *total);

/* tp_corpus_next in the shape of tp_next_document (text/train_bpe.h); `context` is the corpus. */
bool tp_corpus_next_document(void *context, const char **text, size_t *n);

#endif
