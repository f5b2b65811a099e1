/* `telepathy perplexity`: how well a model predicts text. */
#include "cli/verbs.h"
#include "train/pretrain.h"

#include <stdio.h>

static tp_status run(tp_args *args) {
    const char *const *files;
    size_t n_files = tp_args_list(args, "FILES", &files);
    tp_lm *lm = tp_lm_load(tp_args_text(args, "MODEL"), true);
    tp_corpus *corpus = lm ? tp_corpus_open(files, n_files) : NULL;
    tp_text_score s;
    tp_status status = corpus ? tp_score_corpus(lm, corpus, tp_args_int(args, "ctx"),
                                                (tp_math)tp_args_choice(args, "math"), tp_args_progress(args), &s)
                              : tp_last_status();
    tp_corpus_close(corpus);
    tp_lm_free(lm);
    TP_TRY(status);
    const char *form = tp_args_flag(args, "json")
                           ? "{\"perplexity\": %.4f, \"bits_per_byte\": %.4f, \"tokens\": %lld, \"bytes\": %lld, "
                             "\"documents\": %lld}\n"
                           : "perplexity %.4f, %.4f bits per byte (%lld tokens, %lld bytes, %lld documents)\n";
    printf(form, s.perplexity, s.bits_per_byte, (long long)s.tokens, (long long)s.bytes, (long long)s.documents);
    return TP_OK;
}

const tp_command tp_cmd_perplexity = {
    .name = "perplexity",
    .summary = "measure how well a model predicts text",
    .text =
        "Prints the perplexity per token and the bits per byte (which compare across tokenizers) of a model on text. "
        "Each document stands alone, after BOS; longer ones are cut at --ctx tokens; EOS is not counted.",
    .examples = "telepathy perplexity models/wren held-out.jsonl\n",
    .options =
        (const tp_option[]){
            TP_OPTION_MODEL,
            TP_OPTION_TEXT_FILES,
            TP_OPTION_SEQUENCE,
            TP_OPTION_MATH("f32"),
            TP_OPTION_JSON,
            {0},
        },
    .run = run,
};
