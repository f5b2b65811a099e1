/* `telepathy quantize`: a model as a smaller GGUF file. */
#include "cli/command.h"
#include "lm/gguf_export.h"

static tp_status run(tp_args *args) {
    return tp_gguf_export(tp_args_text(args, "MODEL"), tp_args_text(args, "TYPE"), tp_args_text(args, "OUT"),
                          tp_args_progress(args));
}

static const char *const types[] = {"q8_0",   "q4_0",   "q4_1",   "q5_0", "q5_1", "q2_k", "q3_k_s", "q3_k_m", "q4_k_s",
                                    "q4_k_m", "q5_k_s", "q5_k_m", "q6_k", "f16",  "bf16", "f32",    NULL};

const tp_command tp_cmd_quantize = {
    .name = "quantize",
    .summary = "write a model as a GGUF file with smaller weights",
    .text =
        "MODEL is a Hugging Face folder or a GGUF file (of any architecture). The file that comes out loads here and "
        "in "
        "llama.cpp.\n\nTYPE is what the matrices are stored in; vectors stay f32. q8_0 is hard to tell from the "
        "original at half the size of f16; q4_k_m and q5_k_m give the value and down projections of some layers more "
        "bits than the rest; of the types under q8_0 the output matrix is always q6_k. Matrices whose rows do not fit "
        "the blocks of a type are stored in one that they fit.\n\nThe file appears whole or not at all, and only a few "
        "rows are in memory at a time.",
    .examples = "telepathy quantize models/wren q8_0 wren-q8.gguf\n"
                "telepathy quantize llama-f16.gguf q4_k_m llama-q4.gguf\n",
    .options =
        (const tp_option[]){
            TP_OPTION_MODEL,
            {.name = "TYPE",
             .type = TP_OPT_CHOICE,
             .choices = types,
             .positional = true,
             .required = true,
             .help = "how to store the matrices"},
            {.name = "OUT",
             .type = TP_OPT_PATH,
             .positional = true,
             .required = true,
             .help = "the GGUF file to write"},
            {0},
        },
    .run = run,
};
