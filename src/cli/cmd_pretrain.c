/* `telepathy pretrain`: trains a small decoder from text. */
#include "cli/terminal.h"
#include "cli/verbs.h"
#include "train/pretrain.h"

#include <math.h>
#include <stdio.h>

/* As JSON has it: what is no number (nothing was held out) is null. */
static const char *number(double x, char out[32]) {
    snprintf(out, 32, isfinite(x) ? "%.4f" : "null", x);
    return out;
}

static tp_status run(tp_args *args) {
    tp_lm_config config;
    TP_TRY(tp_lm_config_read_file(tp_args_text(args, "config"), &config));
    const char *const *files;
    size_t n_files = tp_args_list(args, "FILES", &files);
    tp_pretrain_options options = {
        .config = &config,
        .tokenizer = tp_args_text(args, "tokenizer"),
        .files = files,
        .n_files = n_files,
        .out = tp_args_text(args, "out"),
        .steps = tp_args_int(args, "steps"),
        .epochs = tp_args_real(args, "epochs"),
        .batch_tokens = tp_args_int(args, "batch-tokens"),
        .context = tp_args_int(args, "ctx"),
        .lr = tp_args_real(args, "lr"),
        .min_lr_ratio = tp_args_real(args, "min-lr-ratio"),
        .warmup = tp_args_int(args, "warmup"),
        .adamw = {.beta1 = 0.9,
                  .beta2 = tp_args_real(args, "beta2"),
                  .eps = 1e-8,
                  .weight_decay = tp_args_real(args, "weight-decay"),
                  .clip = tp_args_real(args, "clip")},
        .embed_std = tp_args_real(args, "embed-std"),
        .held_out = tp_args_real(args, "held-out"),
        .eval_every = tp_args_int(args, "eval-every"),
        .save_every = tp_args_int(args, "save-every"),
        .seed = (uint64_t)tp_args_int(args, "seed"),
        .math = (tp_math)tp_args_choice(args, "math"),
        .stop = tp_interrupt_catch(),
        .progress = tp_args_progress(args),
    };
    tp_pretrain_result r;
    char perplexity[32], bits[32];
    TP_TRY(tp_pretrain(&options, &r));
    if (tp_args_flag(args, "json"))
        printf("{\"steps\": %lld, \"tokens_seen\": %lld, \"train_tokens\": %lld, \"train_documents\": %lld, "
               "\"held_out_documents\": %lld, \"train_loss\": %.6f, \"held_out_perplexity\": %s, "
               "\"held_out_bits_per_byte\": %s, \"seconds\": %.1f}\n",
               (long long)r.steps, (long long)r.tokens_seen, (long long)r.train_tokens, (long long)r.train_documents,
               (long long)r.held_out_documents, r.train_loss, number(r.perplexity, perplexity),
               number(r.bits_per_byte, bits), r.seconds);
    else
        printf("%s: %lld steps, %lld tokens seen; held out: perplexity %.2f, %.4f bits per byte\n", options.out,
               (long long)r.steps, (long long)r.tokens_seen, r.perplexity, r.bits_per_byte);
    return TP_OK;
}

const tp_command tp_cmd_pretrain = {
    .name = "pretrain",
    .summary = "train a small decoder from text",
    .text = "Trains a decoder with random weights to predict the next token, and writes a normal Hugging Face folder "
            "(config.json, model.safetensors in bf16, the tokenizer's files).\n\n"
            "The shape of the model comes from a file in the form of config.json (any family of docs/models.md). "
            "Documents are packed end to end without padding; attention never crosses from one to the next. Weights "
            "are f32 while training.\n\n"
            "The state is saved in the output folder every --save-every steps and on Ctrl-C; the same command goes on "
            "from it and ends with the same bytes as a run that was never stopped.",
    .examples = "telepathy pretrain --config recipes/pretrain/wren.json --tokenizer models/wren --out run corpus/\n",
    .options =
        (const tp_option[]){
            TP_OPTION_TEXT_FILES,
            {.name = "config", .type = TP_OPT_PATH, .value = "FILE", .required = true, .help = "shape of the model"},
            {.name = "tokenizer", .type = TP_OPT_PATH, .value = "DIR", .required = true, .help = "its tokenizer"},
            {.name = "out", .type = TP_OPT_PATH, .value = "DIR", .required = true, .help = "folder to write into"},
            {.name = "steps", .type = TP_OPT_INT, .fallback = "0", .max = 1e9, .help = "updates (0: by --epochs)"},
            {.name = "epochs",
             .type = TP_OPT_REAL,
             .fallback = "1",
             .min = 0,
             .max = 1e4,
             .help = "passes over the text"},
            {.name = "batch-tokens",
             .type = TP_OPT_INT,
             .fallback = "4096",
             .min = 1,
             .max = 1 << 24,
             .help = "tokens in an update, at most"},
            TP_OPTION_SEQUENCE,
            {.name = "lr",
             .type = TP_OPT_REAL,
             .fallback = "2e-3",
             .min = 1e-9,
             .max = 1,
             .help = "highest learning rate"},
            {.name = "min-lr-ratio",
             .type = TP_OPT_REAL,
             .fallback = "0.05",
             .min = 0,
             .max = 1,
             .help = "where the cosine ends, as a share of --lr"},
            {.name = "warmup", .type = TP_OPT_INT, .fallback = "100", .max = 1e9, .help = "updates of linear warm-up"},
            {.name = "weight-decay",
             .type = TP_OPT_REAL,
             .fallback = "0.1",
             .max = 10,
             .help = "of matrices, decoupled"},
            {.name = "beta2",
             .type = TP_OPT_REAL,
             .fallback = "0.95",
             .min = 0.5,
             .max = 0.99999,
             .help = "memory of the second moment"},
            {.name = "clip",
             .type = TP_OPT_REAL,
             .fallback = "1",
             .max = 1e9,
             .help = "largest gradient norm (0: any)"},
            {.name = "embed-std",
             .type = TP_OPT_REAL,
             .fallback = "0.02",
             .min = 1e-6,
             .max = 10,
             .help = "standard deviation of the new embeddings"},
            {.name = "held-out",
             .type = TP_OPT_REAL,
             .fallback = "0.005",
             .max = 0.5,
             .help = "share of the documents kept for validation"},
            {.name = "eval-every",
             .type = TP_OPT_INT,
             .fallback = "500",
             .max = 1e9,
             .help = "updates between validations"},
            {.name = "save-every",
             .type = TP_OPT_INT,
             .fallback = "200",
             .max = 1e9,
             .help = "updates between saved states"},
            TP_OPTION_MATH("bf16"),
            TP_OPTION_SEED,
            TP_OPTION_JSON,
            {0},
        },
    .run = run,
};
