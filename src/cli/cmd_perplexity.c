/* `telepathy perplexity`: how well a model predicts text. */
#include "cli/command.h"
#include "train/pretrain.h"

#include <stdio.h>

static const char *const maths[] = {"f32", "bf16", NULL}; /* in the order of tp_math */

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
            {.name = "FILES",
             .type = TP_OPT_PATH,
             .positional = true,
             .many = true,
             .required = true,
             .help = "text: .jsonl (field `text`) or .txt files, .gz or not, or folders of them"},
            {.name = "ctx",
             .letter = 'c',
             .type = TP_OPT_INT,
             .fallback = "512",
             .min = 2,
             .max = 1 << 20,
             .help = "longest sequence, in tokens"},
            {.name = "math", .type = TP_OPT_CHOICE, .choices = maths, .fallback = "f32", .help = "matrix products in"},
            TP_OPTION_JSON,
            {0},
        },
    .run = run,
};
