/* `telepathy convert`: between Hugging Face folders and GGUF files. */
#include "base/str.h"
#include "cli/command.h"
#include "lm/gguf_export.h"
#include "lm/hf_export.h"

static tp_status run(tp_args *args) {
    const char *model = tp_args_text(args, "MODEL"), *out = tp_args_text(args, "OUT");
    const char *type = tp_args_text(args, "type");
    if (tp_ends_with(out, ".gguf")) return tp_gguf_export(model, type, out, tp_args_progress(args));
    return tp_hf_export(model, type, out);
}

static const char *const types[] = {"keep", "f32", "f16", "bf16", NULL};

const tp_command tp_cmd_convert = {
    .name = "convert",
    .summary = "turn a Hugging Face folder into a GGUF file, or the other way round",
    .text = "If OUT ends in .gguf a GGUF file is written, else a folder that Hugging Face transformers loads: "
            "config.json, model.safetensors and the tokenizer.\n\nWeights keep their type unless --type says "
            "otherwise; in a folder, quantised ones become f16. The rows of q and k, which GGUF files of the Llama "
            "family have in another order, are put where each side expects them.",
    .examples = "telepathy convert models/wren wren.gguf\n"
                "telepathy convert wren.gguf wren-again --type f32\n",
    .options =
        (const tp_option[]){
            TP_OPTION_MODEL,
            {.name = "OUT",
             .type = TP_OPT_PATH,
             .positional = true,
             .required = true,
             .help = "what to write: FILE.gguf, or a folder"},
            {.name = "type",
             .type = TP_OPT_CHOICE,
             .choices = types,
             .fallback = "keep",
             .help = "type of the matrices"},
            {0},
        },
    .run = run,
};
