/* Looking into a trained bridge: what its soft tokens are like, what they read, what they resemble, where they lie, and
 * where the two relays disagree. What `telepathy inspect` prints and `telepathy report` draws; docs/analysis.md
 * describes the document key by key. */
#ifndef TP_ANALYSIS_INSPECT_H
#define TP_ANALYSIS_INSPECT_H

#include "base/json.h"
#include "eval/results.h"

typedef struct tp_inspect_options {
    int64_t n_texts;           /* test rows, drawn by label; 0: 200; at most 1000 are taken */
    int64_t n_examples;        /* texts shown in full, spread over the labels; negative: none */
    int64_t n_transcripts;     /* texts at most on which the two relays differ; negative: none */
    int n_nearest;             /* vocabulary tokens for each soft token; 0: 5 */
    uint64_t seed;             /* of the drawing and of t-SNE */
    const tp_results *results; /* of an evaluation of the same rows, which tells where the relays differ; or NULL */
} tp_inspect_options;

/* The document. Of the evaluation `task` and `relay` (with its bridge) are used, `stop` and `progress` if given. NULL
 * on error; free with json_decref. The same run gives the same document. */
json_t *tp_inspect(tp_eval *eval, const tp_inspect_options *options);

/* The same for people. The caller frees it. */
char *tp_inspect_text(const json_t *document);

/* ---- parts of it, in files of their own ---- */

typedef struct tp_vocabulary tp_vocabulary;
typedef struct tp_packets tp_packets;

/* One text: its answer, what each soft token reads and resembles. NULL on error. */
json_t *tp_inspect_example(tp_eval *eval, const tp_vocabulary *vocabulary, const tp_example *example, int n_nearest);

/* Texts among these, whose packets are given, on which the text relay and the latent relay answer differently, evenly
 * spread; at most `most` of them. *n_asked and *n_differ get how many of the texts were compared (all of them, where an
 * evaluation of the same rows says which differ), and how many of those differed. NULL on error. */
json_t *tp_inspect_transcripts(tp_eval *eval, const tp_dataset *set, const tp_packets *packets, int64_t most,
                               const tp_results *results, int64_t *n_asked, int64_t *n_differ);

#endif
