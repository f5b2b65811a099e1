/* `telepathy inject`: puts rows of numbers where the embeddings of tokens would stand. */
#include "base/mem.h"
#include "cli/verbs.h"
#include "lm/states_file.h"

#include <string.h>

/* The ids of a text that may not be there. */
static tp_status tokens(const tp_args *args, const tp_engine *engine, const char *option, unsigned flags,
                        tp_input *out) {
    const char *text = tp_args_text(args, option);
    if (text == NULL) return TP_OK;
    out->ids = tp_engine_tokenize(engine, text, strlen(text), flags, &out->n);
    return out->ids ? TP_OK : tp_last_status();
}

static tp_status inject(tp_args *args, const tp_engine *engine, tp_input inputs[3]) {
    const char *const *labels;
    size_t n_labels = tp_args_list(args, "score", &labels);
    TP_TRY(tokens(args, engine, "before", TP_TOKENS_ADD_SPECIAL, &inputs[0]));
    TP_TRY(tokens(args, engine, "after", TP_TOKENS_NO_PREFIX, &inputs[2]));
    inputs[1].rows = tp_rows_file_read(tp_args_text(args, "embeds"), tp_args_text(args, "tensor"),
                                       tp_engine_get_facts(engine)->d_model, &inputs[1].n);
    if (inputs[1].rows == NULL) return tp_last_status();
    if (n_labels > 0) return tp_print_scores(args, engine, inputs, 3, labels, n_labels);
    tp_session *session = tp_args_session(args, engine, inputs[0].n + inputs[1].n + inputs[2].n, false);
    if (session == NULL) return tp_last_status();
    tp_written written;
    tp_status status = tp_write(args, session, inputs, 3, &written);
    tp_written_free(&written);
    tp_session_free(session);
    return status;
}

static tp_status run(tp_args *args) {
    tp_engine *engine = tp_args_engine(args, 0);
    if (engine == NULL) return tp_last_status();
    tp_input inputs[3] = {{0}};
    tp_status status = inject(args, engine, inputs);
    tp_free((void *)(uintptr_t)inputs[0].ids);
    tp_free((void *)(uintptr_t)inputs[1].rows);
    tp_free((void *)(uintptr_t)inputs[2].ids);
    tp_engine_free(engine);
    return status;
}

const tp_command tp_cmd_inject = {
    .name = "inject",
    .summary = "put rows of numbers where tokens' embeddings would stand, and generate or score",
    .text =
        "The rows of a file, [n, d_model], take the place of n tokens: hidden states of layer 0 (`telepathy states`), "
        "a "
        "trained soft prompt (PEFT's prompt_embeddings), soft tokens of a bridge, or anything else. Text may stand "
        "before and after them. The embeddings of a text give the same bits as the text.\n\n"
        "--before is tokenised as the beginning of an input, with BOS where the model wants it; without it the rows "
        "are "
        "the beginning, and nothing is added. --score prints the log-likelihood of each label, written as it stands "
        "(blanks count), in place of generating.",
    .examples = "telepathy inject models/wren --embeds states.safetensors -n 32\n"
                "telepathy inject models/wren --embeds soft.npy --before \"Review: \" --after \" It was\" "
                "--score \" good, bad\"\n",
    .options =
        (const tp_option[]){
            TP_OPTION_MODEL,
            {.name = "embeds",
             .type = TP_OPT_PATH,
             .value = "FILE",
             .required = true,
             .help = "the rows: a .safetensors or .npy file, f32, f16, bf16 or f64"},
            {.name = "tensor",
             .type = TP_OPT_TEXT,
             .value = "NAME",
             .help = "which of the file's tensors (default: the only one that fits)"},
            {.name = "before", .type = TP_OPT_TEXT, .help = "text in front of the rows"},
            {.name = "after", .type = TP_OPT_TEXT, .help = "text behind the rows"},
            {.name = "score", .type = TP_OPT_LIST, .value = "LABELS", .help = "score these texts, do not generate"},
            TP_OPTIONS_GENERATION,
            TP_OPTION_MATH("bf16"),
            TP_OPTION_MLOCK,
            {0},
        },
    .run = run,
};
