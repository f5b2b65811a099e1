/* `telepathy tokenizer`: trains a BPE vocabulary from text. */
#include "base/file.h"
#include "cli/command.h"
#include "data/corpus.h"
#include "text/train_bpe.h"

#include <stdio.h>

typedef struct reading {
    tp_corpus *corpus;
    tp_progress *progress;
    size_t documents, bytes;
} reading;

static bool next_document(void *context, const char **text, size_t *n) {
    reading *r = context;
    if (!tp_corpus_next(r->corpus, text, n)) return false;
    r->documents++;
    r->bytes += *n;
    tp_progress_update(r->progress, (double)r->documents, (double)r->bytes, "%s", "");
    return true;
}

/* Reads everything once before anything is made of it: a broken line at the end of the last file is found now, not
 * halfway, and the old tokenizer in the folder stays what it was. */
static tp_status check_corpus(reading *r) {
    const char *text;
    size_t n;
    tp_progress_begin(r->progress, "checking", 0, "documents", "bytes");
    while (next_document(r, &text, &n)) continue;
    tp_progress_end(r->progress);
    tp_corpus_rewind(r->corpus);
    return tp_corpus_status(r->corpus);
}

static tp_status train(tp_args *args, reading *r) {
    const char *folder = tp_args_text(args, "out");
    int32_t vocab_size = (int32_t)tp_args_int(args, "vocab-size");
    TP_TRY(check_corpus(r));
    TP_TRY(tp_make_dirs(folder));
    size_t documents = r->documents;
    r->documents = r->bytes = 0;
    tp_progress_begin(r->progress, "counting", (double)documents, "documents", "bytes");
    TP_TRY(tp_bpe_train((tp_bpe_kind)tp_args_choice(args, "kind"), vocab_size, next_document, r, folder));
    tp_progress_end(r->progress);
    printf("%s: %s BPE, %d tokens, from %zu documents of %zu bytes\n", folder, tp_args_text(args, "kind"), vocab_size,
           r->documents, r->bytes);
    return TP_OK;
}

static tp_status run(tp_args *args) {
    const char *const *files;
    size_t n_files = tp_args_list(args, "FILES", &files);
    reading r = {.corpus = tp_corpus_open(files, n_files), .progress = tp_args_progress(args)};
    if (r.corpus == NULL) return tp_last_status();
    tp_status status = train(args, &r);
    tp_corpus_close(r.corpus);
    return status;
}

/* in the order of tp_bpe_kind */
static const char *const kinds[] = {"byte-level", "sentencepiece", NULL};

const tp_command tp_cmd_tokenizer = {
    .name = "tokenizer",
    .summary = "train a BPE tokenizer from text",
    .text =
        "Chooses the tokens that shorten the text most (byte-pair encoding) and writes tokenizer.json, "
        "tokenizer_config.json and special_tokens_map.json, which Hugging Face's libraries read as well.\n\n"
        "byte-level works on bytes, cut into words as Llama 3 does, and can write any text. sentencepiece works on "
        "characters with U+2581 for the blank, as Llama 2 and Mistral do, and falls back to bytes for rare ones.\n\n"
        "Files are JSON lines with the document in the field `text` (.jsonl), or plain text (.txt), either of them "
        "gzipped (.gz) or not; a folder stands for all such files in it. The same files in the same order give the "
        "same "
        "tokenizer.",
    .examples = "telepathy tokenizer --kind byte-level --vocab-size 8192 --out models/mine corpus/*.jsonl.gz\n"
                "telepathy tokenize models/mine \"How many moons has Mars?\"\n",
    .options =
        (const tp_option[]){
            TP_OPTION_TEXT_FILES,
            {.name = "kind", .type = TP_OPT_CHOICE, .choices = kinds, .fallback = "byte-level", .help = "one of"},
            {.name = "vocab-size",
             .type = TP_OPT_INT,
             .fallback = "8192",
             .min = 1,
             .max = 1 << 20,
             .help = "tokens in all, special ones and bytes included"},
            {.name = "out", .type = TP_OPT_PATH, .value = "DIR", .required = true, .help = "folder to write into"},
            {0},
        },
    .run = run,
};
