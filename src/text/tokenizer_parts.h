/* The inside of a tokenizer, shared by its loaders (tokenizer_json.c, sentencepiece.c, tiktoken.c) and the pipeline
 * that encodes (encode.c); private to this folder.
 *
 * A text goes through five stages: added tokens are cut out of it; the rest is normalised; added tokens that are
 * matched after normalising are cut out; pre-tokenizer steps cut words; the model (BPE, Unigram or WordPiece) makes
 * tokens of each word. */
#ifndef TP_TEXT_TOKENIZER_PARTS_H
#define TP_TEXT_TOKENIZER_PARTS_H

#include "base/hash.h"
#include "text/added.h"
#include "text/bpe.h"
#include "text/steps.h"
#include "text/tokenizer.h"
#include "text/unigram.h"
#include "text/vocab.h"
#include "text/wordpiece.h"

#define TP_BLANK "\xE2\x96\x81" /* U+2581, what SentencePiece writes for a blank */

typedef enum tp_model_kind { TP_MODEL_BPE, TP_MODEL_UNIGRAM, TP_MODEL_WORDPIECE } tp_model_kind;

struct tp_tokenizer {
    tp_model_kind model;
    bool byte_level;
    int32_t size;
    tp_vocab vocab;         /* what is looked up: byte-level tokens as bytes, others as written (U+2581, <0x0A>) */
    tp_vocab pieces;        /* [size] what a token stands for in a decoded text */
    unsigned char *special; /* [size], made from `specials` when all is loaded */
    tp_ids specials;
    tp_bpe *bpe;
    tp_unigram unigram;
    tp_wordpiece wordpiece;
    int32_t byte_id[256]; /* byte-level: the byte's symbol; else its fallback token; -1: none */
    int32_t unknown;      /* -1: what has no token is dropped */
    bool fuse_unknown;
    bool whole_words;  /* a word that is a token is not merged, but taken (Llama 3, tiktoken) */
    tp_str continuing; /* BPE: what is written before each symbol but a word's first; mostly nothing */
    tp_str ending;     /* BPE: what is written behind a word's last symbol (CLIP's </w>); mostly nothing */
    bool adds_prefix;  /* every stretch of text got a blank in front that decoding takes away */
    bool prefix_first_only;
    bool words_apart;                 /* WordPiece: a special token is a word, decoded with a blank before it */
    tp_added raw_added, normal_added; /* matched before and after normalising */
    tp_added verbatim;                /* never matched, but left alone by a character map */
    tp_steps normalizers, pre_tokenizers;
    tp_ids before, after; /* ids that ADD_SPECIAL puts around a text */
    int32_t bos, eos;
    char fingerprint[33];
};

tp_tokenizer *tp_tokenizer_new(void);
void tp_tokenizer_reset(tp_tokenizer *t); /* as new */

/* Appends the text as the normalisers make it. */
tp_status tp_tokenizer_normalize(const tp_tokenizer *t, const char *text, size_t n, tp_str *out);

/* The symbol that one character (or one invalid byte) starts as, -1 if it has none. */
int32_t tp_tokenizer_symbol(const tp_tokenizer *t, const char *bytes, size_t n);

/* Adds a merge of two entries of t->vocab, working out where it joins. */
void tp_tokenizer_add_merge(tp_tokenizer *t, int32_t left, int32_t right, int32_t rank, int32_t joined);

/* Adds, for the token `joined`, every way to cut it in two halves that t->vocab finds, all with the same rank. */
void tp_tokenizer_add_splits(tp_tokenizer *t, int32_t joined, int32_t rank);

/* Merging without a list of merges, as SentencePiece does it: two neighbours may be joined when their text together is
 * one of these pieces, the one with the highest score first. Changes the order of `pieces`. All that merging may find
 * is in t->vocab. */
typedef struct tp_scored_piece {
    int32_t id;
    float score;
} tp_scored_piece;
void tp_tokenizer_merge_by_score(tp_tokenizer *t, tp_scored_piece *pieces, size_t n);

/* Sets t->pieces from the written form: U+2581 becomes a blank, "<0x0A>" a byte (and is entered into byte_id). */
void tp_tokenizer_set_written_piece(tp_tokenizer *t, int32_t id, const char *text, size_t n, bool is_byte);
/* The byte that a token written "<0x0A>" names; -1 if it is none. */
int tp_byte_token(const char *text, size_t n);

/* Each fills a new tokenizer from the bytes of a file called `path`. */
tp_status tp_tokenizer_read_json(tp_tokenizer *t, const char *bytes, size_t n, const char *path);
tp_status tp_tokenizer_read_sentencepiece(tp_tokenizer *t, const char *bytes, size_t n, const char *path);
tp_status tp_tokenizer_read_tiktoken(tp_tokenizer *t, const char *bytes, size_t n, const char *path,
                                     const char *pattern);

/* Everything that follows from what was loaded; *h has taken in the file so far, and becomes the fingerprint. */
void tp_tokenizer_finish(tp_tokenizer *t, tp_hash *h);

/* tokenizer_config.json and config.json in `folder`, as far as they are there: BOS, EOS and whether they are added. */
tp_status tp_tokenizer_read_config(tp_tokenizer *t, const char *folder);

enum { TP_LONGEST_TOKEN = 1024, TP_MOST_TOKENS = 1 << 22 }; /* bounds on what a file may claim */

#endif
