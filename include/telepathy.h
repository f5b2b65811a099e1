/* telepathy: run language models, read and write their hidden states, and hand them from one model to another.
 *
 * The whole public interface. A tp_engine is a loaded model: immutable, so that any number of threads may share it. A
 * tp_session is one timeline through it, with its cache of keys and values: one thread at a time, as many sessions as
 * memory holds. A tp_link is a trained bridge between two engines; it is immutable too. This program continues a text,
 * then says how far apart the states of its first and last token are in the middle of the model:
 *
 *     #include <math.h>
 *     #include <stdio.h>
 *     #include <stdlib.h>
 *     #include <string.h>
 *     #include <telepathy.h>
 *
 *     static bool print(void *context, const char *text, size_t n) {
 *         (void)context;
 *         return fwrite(text, 1, n, stdout) == n; // false stops here
 *     }
 *
 *     static int run(const tp_engine *engine, tp_session *session, const char *text) {
 *         const tp_engine_facts *facts = tp_engine_get_facts(engine);
 *         int64_t n;
 *         int32_t *ids = tp_engine_tokenize(engine, text, strlen(text), TP_TOKENS_ADD_SPECIAL, &n);
 *         if (ids == NULL) return 1;
 *         tp_input prompt = {.ids = ids, .n = n};
 *         int32_t middle = facts->n_layers / 2;
 *         float *states = malloc((size_t)(n * facts->d_model) * sizeof(float));
 *         tp_status status = tp_engine_states(engine, &prompt, 1, &middle, 1, states); // [n, d_model]
 *         if (status == TP_OK) status = tp_session_feed(session, &prompt, 1);
 *         tp_generation options = {.max_new = 20, .on_text = print};
 *         if (status == TP_OK) status = tp_session_generate(session, &options, NULL);
 *         double sum = 0;
 *         for (int i = 0; status == TP_OK && i < facts->d_model; i++)
 *             sum += pow(states[i] - states[(n - 1) * facts->d_model + i], 2);
 *         if (status == TP_OK) printf("\ndistance in layer %d: %.3f\n", (int)middle, sqrt(sum));
 *         free(states);
 *         tp_free(ids);
 *         return status;
 *     }
 *
 *     int main(int argc, char **argv) {
 *         if (argc != 3) return fprintf(stderr, "give a model's folder and a text\n"), 2;
 *         tp_engine *engine = tp_engine_load(argv[1], 0);
 *         tp_session *session = engine ? tp_session_new(engine, 200) : NULL;
 *         int status = session ? run(engine, session, argv[2]) : 1;
 *         if (status != 0) fprintf(stderr, "%s\n", tp_last_error());
 *         tp_session_free(session);
 *         tp_engine_free(engine);
 *         return status != 0;
 *     }
 *
 * (It is extracted, compiled and run by the tests.) What holds everywhere: functions that can fail return a tp_status,
 * or NULL where they return a pointer, and leave one sentence in tp_last_error(). A handle that is NULL, an id outside
 * the vocabulary, a number that is not finite and the like are such errors; nothing is changed by a call that fails.
 * The library never prints and never exits, but for one case: when the machine has no memory left for its own small
 * needs it aborts. Matrices are f32, row-major; [n, d] is n rows of d numbers. What a function returns as char *,
 * unsigned char * or int32_t * belongs to the caller, who gives it back with tp_free; const pointers are borrowed from
 * the handle and live as long as it does. Texts are bytes with a length; they need not be valid UTF-8. */
#ifndef TELEPATHY_H
#define TELEPATHY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif
#ifdef __GNUC__
#pragma GCC visibility push(default) /* the shared library shows what stands in this file, and nothing else */
#endif

/* ---- errors, memory, version ---- */

typedef enum tp_status {
    TP_OK = 0,
    TP_ERR_ARGUMENT = 1,    /* the caller asked for something that makes no sense */
    TP_ERR_IO = 2,          /* the operating system said no */
    TP_ERR_FORMAT = 3,      /* a file's content is broken or hostile */
    TP_ERR_UNSUPPORTED = 4, /* well-formed, but not something this program can do */
    TP_ERR_MEMORY = 5,      /* an allocation whose size came from outside failed */
    TP_ERR_CANCELLED = 6,   /* the user interrupted; what was done so far is saved */
} tp_status;

/* The last sentence of this thread ("" if nothing has failed) and its status. Valid until the next failure. */
const char *tp_last_error(void);
tp_status tp_last_status(void);

void tp_free(void *p);        /* what the library gave away; takes NULL */
const char *tp_version(void); /* "1.2.3" */

/* ---- engine: a loaded model ---- */

typedef struct tp_engine tp_engine;

enum {                    /* flags of tp_engine_load, or'ed */
       TP_ENGINE_F32 = 1, /* matrix products in f32; else their operands are rounded to bf16 and summed in f32 */
       TP_ENGINE_NO_TOKENIZER = 2, /* ids and embeddings only: the folder needs no tokenizer */
       TP_ENGINE_MLOCK = 4,        /* read all weights now and keep them in memory (mlock) */
};

/* Loads a model: a Hugging Face folder (config.json, safetensors, and a tokenizer unless told otherwise), a .gguf file,
 * or "org/name" or "org/name@revision" in the local Hugging Face cache. Weights are mapped, not read. NULL on error.
 * Sessions and links borrow their engines: free those first. */
tp_engine *tp_engine_load(const char *model, unsigned flags);
void tp_engine_free(tp_engine *engine); /* takes NULL */

typedef struct tp_engine_facts {
    const char *family;      /* "llama", "mistral", "qwen2" */
    const char *fingerprint; /* of configuration and weights, 32 hexadecimal digits */
    int32_t vocab_size;
    int32_t d_model;
    int32_t n_layers;      /* hidden states 0 (the embeddings) .. n_layers (the last, before the final norm) */
    int32_t max_positions; /* what the model was made for; longer inputs are refused */
    int32_t bos_id;        /* -1: none */
    int32_t n_eos;
    const int32_t *eos_ids; /* [n_eos]: each ends generation */
    bool has_tokenizer;
} tp_engine_facts;

const tp_engine_facts *tp_engine_get_facts(const tp_engine *engine);

enum { /* flags of tokenizing and detokenizing, or'ed */
       TP_TOKENS_PLAIN = 0,
       TP_TOKENS_ADD_SPECIAL = 1,   /* tokenize: put BOS (and EOS) where the model's own configuration wants them */
       TP_TOKENS_PARSE_SPECIAL = 2, /* tokenize: special tokens written out in the text become their ids (added tokens
                                     * that are not special always do) */
       TP_TOKENS_SKIP_SPECIAL = 4,  /* detokenize: leave special tokens out */
       TP_TOKENS_NO_PREFIX = 8,     /* this is a continuation: no dummy blank is put in front or taken away (of
                                     * SentencePiece kinds; others have none) */
};

/* The ids of n bytes of text; *n_ids gets their number. NULL on error. */
int32_t *tp_engine_tokenize(const tp_engine *engine, const char *text, size_t n, unsigned flags, int64_t *n_ids);

/* The bytes of n ids, zero-terminated; *n_bytes (may be NULL) gets their number. An id that the tokenizer has no token
 * for stands for nothing: models may have more rows than tokens. NULL on error. */
char *tp_engine_detokenize(const tp_engine *engine, const int32_t *ids, int64_t n, unsigned flags, size_t *n_bytes);

/* The bytes of one token, borrowed, for printing while generating: *n (may be NULL) of them, perhaps not a whole
 * character. NULL (and 0) if there is no such token, or no tokenizer. */
const char *tp_engine_piece(const tp_engine *engine, int32_t id, size_t *n);

/* A conversation's message; the role is "system", "user" or "assistant". */
typedef struct tp_message {
    const char *role;
    const char *content;
} tp_message;

/* The ids of a conversation as the model was trained to read it, ending where the assistant is to answer. `format`
 * names a chat format (docs/chat.md); NULL: the one of the model's own template. *n_ids gets their number. NULL on
 * error. */
int32_t *tp_engine_chat(const tp_engine *engine, const char *format, const tp_message *messages, int64_t n_messages,
                        int64_t *n_ids);

/* A stretch of input: token ids, or rows in the place of tokens' embeddings. Exactly one of the two is set. Rows that
 * are the embeddings of tokens (hidden state 0) give the same bits as the tokens' ids. */
typedef struct tp_input {
    const int32_t *ids; /* [n] */
    const float *rows;  /* [n, d_model], finite */
    int64_t n;
} tp_input;

/* The hidden states of some layers for inputs that lie end to end, n rows in all: out [n_layers, n, d_model], in the
 * order of `layers`, each of which is 0 .. facts->n_layers. Layers above the highest asked for are not computed. */
tp_status tp_engine_states(const tp_engine *engine, const tp_input *inputs, int64_t n_inputs, const int32_t *layers,
                           int64_t n_layers, float *out);

/* The log-likelihood in nats of each answer (a non-empty stretch of ids; end it with an EOS id if that is meant to
 * be counted) after one prompt: scores [n_answers]. The prompt is computed once, and so is what answers share. */
tp_status tp_engine_score(const tp_engine *engine, const tp_input *prompt, int64_t n_inputs, const tp_input *answers,
                          int64_t n_answers, double *scores);

/* ---- session: one timeline ---- */

typedef struct tp_session tp_session;

typedef enum tp_cache_type { /* how a session keeps keys and values; docs/kv-cache.md says what each costs */
                             TP_CACHE_F32 = 0,
                             TP_CACHE_F16,
                             TP_CACHE_BF16,
                             TP_CACHE_I8,
} tp_cache_type;

/* An empty session with room for `capacity` positions, at most the model's max_positions; 0: those. Memory is taken as
 * it fills. tp_session_new keeps keys and values as f32. NULL on error. */
tp_session *tp_session_new(const tp_engine *engine, int64_t capacity);
tp_session *tp_session_new_cached(const tp_engine *engine, int64_t capacity, tp_cache_type type);
void tp_session_free(tp_session *session); /* takes NULL */

int64_t tp_session_length(const tp_session *session);   /* positions so far; -1 with an error for NULL */
int64_t tp_session_capacity(const tp_session *session); /* positions there is room for; -1 with an error for NULL */

/* Forgets all positions from `length` on; 0 starts anew. What remains need not be computed again. Refused where layers
 * with a sliding window have dropped positions that the next token would see (more than one position back, once the
 * session is longer than the window). */
tp_status tp_session_rewind(tp_session *session, int64_t length);

/* Runs the inputs, end to end, behind what is there. */
tp_status tp_session_feed(tp_session *session, const tp_input *inputs, int64_t n_inputs);

/* Makes the session hold exactly these inputs. The longest beginning that it holds already, as the same token ids, is
 * kept (rows are never taken for the same), and only what follows is computed; where sliding windows have dropped what
 * that needs, everything is. *n_kept (may be NULL) gets the positions that were not computed again. */
tp_status tp_session_refeed(tp_session *session, const tp_input *inputs, int64_t n_inputs, int64_t *n_kept);

/* Writes what the session holds to a file (docs/kv-file.md), atomically; and puts such a file in place of what a
 * session holds, so that it goes on as the saved one would have. A file of another model, another cache type, more
 * positions than there is room for, or with damage is refused, and the session left as it was. */
tp_status tp_session_save(const tp_session *session, const char *path);
tp_status tp_session_load(tp_session *session, const char *path);

/* The next token's logits after the last row fed: logits [vocab_size]. An error before anything was fed or after
 * rewinding. */
tp_status tp_session_logits(tp_session *session, float *logits);

/* How the next token is chosen from the logits, step by step in this order (llama.cpp's). All zeros: greedily, that is
 * the largest logit, of equal ones the smallest id. */
typedef struct tp_sampling {
    double repeat_penalty; /* divides logits above 0 of ids among the last ones, multiplies those below; 0, 1: off */
    int64_t repeat_window; /* how many ids count as the last ones; 0: all of the session */
    int32_t top_k;         /* keep the k largest; 0: all */
    double top_p;          /* keep the fewest likeliest whose probabilities reach p together; 0, 1: all */
    double min_p;          /* keep those at least min_p times as likely as the likeliest; 0: all */
    double temperature;    /* divide logits by it, then draw; 0: no draw, the likeliest */
    uint64_t seed;         /* the draw at a position is a function of seed, position and logits, of nothing else */
} tp_sampling;

/* Gets each token as soon as it is known; false: no more after this one. It must not use the session. */
typedef bool (*tp_token_callback)(void *context, int32_t id);

/* Gets the text as soon as it is decided, as whole characters: n bytes of valid UTF-8, in which bytes that are no
 * character became U+FFFD. What may yet turn out to be the beginning of a stop text is held back. false: no more. */
typedef bool (*tp_text_callback)(void *context, const char *text, size_t n);

typedef enum tp_ending {
    TP_ENDING_LENGTH = 0, /* max_new tokens were made */
    TP_ENDING_EOS,        /* the model ended the text */
    TP_ENDING_STOP,       /* a stop text came */
    TP_ENDING_CALLER,     /* a callback returned false */
} tp_ending;

/* What tp_session_generate is asked for; zeros are defaults. */
typedef struct tp_generation {
    int64_t max_new;            /* tokens at most, for which there must be room */
    tp_sampling sampling;       /* greedy unless something is set */
    const char *const *stops;   /* [n_stops]: texts that end generation; they are not handed out */
    int64_t n_stops;            /* needs the tokenizer, as on_text does */
    bool ignore_eos;            /* EOS ids are never chosen */
    bool show_special;          /* on_text gets special tokens as they are written, else they are left out */
    tp_token_callback on_token; /* either callback may be NULL */
    tp_text_callback on_text;   /* called after on_token */
    void *context;              /* the callbacks' first argument */
} tp_generation;

/* Continues after the last row. Ends before an EOS id, which is neither handed out nor fed; all tokens handed out have
 * been fed, so that the session goes on where this ended. *ending (may be NULL) gets why it ended. */
tp_status tp_session_generate(tp_session *session, const tp_generation *options, tp_ending *ending);

/* ---- embedder: texts to vectors ---- */

typedef struct tp_embedder tp_embedder;

/* Loads an encoder of the BERT kind, which embeds as its own files say, or a decoder, of whose last hidden states the
 * mean is taken; `model` as for tp_engine_load. It is immutable: any number of threads may share it. NULL on error. */
tp_embedder *tp_embedder_load(const char *model);
void tp_embedder_free(tp_embedder *embedder); /* takes NULL */

int32_t tp_embedder_width(const tp_embedder *embedder); /* numbers of a vector; -1 with an error for NULL */

/* The vectors of zero-terminated texts, out [n_texts, width], computed in f32. Texts too long for the model are cut;
 * one without any token is an error. */
tp_status tp_embedder_embed(const tp_embedder *embedder, const char *const *texts, int64_t n_texts, float *out);

/* ---- link: a trained bridge between two models ---- */

typedef struct tp_link tp_link;

/* Opens the folder of a trained bridge. The engines are compared with the fingerprints of those it was trained for, and
 * need their tokenizers. Either may be NULL where only the other end is here: the sender's end turns texts into soft
 * tokens, the receiver's answers from them, both pack and unpack. Numbers are computed as the bridge's recipe says,
 * whatever the engines' flags. NULL on error. */
tp_link *tp_link_open(const char *folder, const tp_engine *sender, const tp_engine *receiver);
void tp_link_free(tp_link *link); /* takes NULL */

typedef struct tp_link_facts {
    const char *fingerprint; /* of the trained bridge, 32 hexadecimal digits */
    const char *task;        /* what it was trained for, for people */
    int32_t layer;           /* the sender's hidden state that is read */
    int32_t n_soft;          /* soft tokens for each text */
    int32_t width;           /* of each: the receiver's d_model */
    bool reads_text;         /* the receiver reads the text too, beside the soft tokens */
    int32_t n_labels;
    const char *const *labels; /* [n_labels]: the answers it knows */
} tp_link_facts;

const tp_link_facts *tp_link_get_facts(const tp_link *link);

/* Sender: the soft tokens of n bytes of text: soft [n_soft, width]. A text too long for the bridge is cut, and
 * *truncated (may be NULL) says so. */
tp_status tp_link_soft(const tp_link *link, const char *text, size_t n, float *soft, bool *truncated);

/* Soft tokens as a packet of *n_bytes for the wire (docs/wire.md), its numbers stored as `type`: "f32", "f16", "bf16"
 * or "i8". NULL on error. */
unsigned char *tp_link_pack(const tp_link *link, const float *soft, const char *type, size_t *n_bytes);

/* Reads a packet of n bytes: soft [n_soft, width]. An error if it is damaged, for another receiver, or from another
 * bridge. */
tp_status tp_link_unpack(const tp_link *link, const void *packet, size_t n, float *soft);

/* Receiver: the log-likelihood in nats of each label after the soft tokens: scores [n_labels]. The text is read only if
 * facts->reads_text, and may else be NULL. */
tp_status tp_link_score(const tp_link *link, const float *soft, const char *text, size_t n, double *scores);

/* Receiver: up to max_new tokens (0: as many as the longest label has) generated after the soft tokens, as a
 * zero-terminated text. NULL on error. */
char *tp_link_generate(const tp_link *link, const float *soft, const char *text, size_t n, int64_t max_new);

#ifdef __GNUC__
#pragma GCC visibility pop
#endif
#ifdef __cplusplus
}
#endif
#endif
