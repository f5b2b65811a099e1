/* `telepathy inspect`: what the soft tokens of a trained bridge are like. */
#include "analysis/inspect.h"
#include "base/file.h"
#include "base/mem.h"
#include "cli/opened.h"

#include <stdlib.h>
#include <string.h>

/* Keeps the document beside the run, where the report looks for it. */
static tp_status keep(const char *run_folder, const json_t *document) {
    char *json = json_dumps(document, JSON_COMPACT | JSON_REAL_PRECISION(6));
    char *path = tp_path_join(run_folder, "inspect.json");
    tp_status status = tp_write_file(path, json, strlen(json));
    tp_free(path);
    free(json);
    return status;
}

static tp_status run(tp_args *args) {
    tp_opened opened;
    char *path = tp_path_join(tp_args_text(args, "RUN"), "eval.json");
    tp_status status = tp_open_run(args, NULL, 0, 0, &opened);
    tp_results *results = status == TP_OK && tp_path_exists(path) ? tp_results_load(path) : NULL; /* broken: as none */
    json_t *document = NULL;
    if (status == TP_OK) {
        int64_t n_examples = tp_args_int(args, "examples"), n_transcripts = tp_args_int(args, "transcripts");
        document = tp_inspect(&opened.eval, &(tp_inspect_options){.n_texts = tp_args_int(args, "n"),
                                                                  .n_examples = n_examples,
                                                                  .n_transcripts = n_transcripts,
                                                                  .n_nearest = (int)tp_args_int(args, "nearest"),
                                                                  .seed = opened.eval.seed,
                                                                  .results = results});
        status = document ? keep(tp_args_text(args, "RUN"), document) : tp_last_status();
    }
    if (status == TP_OK) tp_print_document(args, document, tp_inspect_text);
    json_decref(document);
    tp_results_free(results);
    tp_close_run(&opened);
    tp_free(path);
    return status;
}

const tp_command tp_cmd_inspect = {
    .name = "inspect",
    .summary = "look into a trained bridge: what its soft tokens read, resemble and tell apart",
    .text =
        "Runs test texts through the bridge and says how alike their soft tokens are (within a text, between texts of "
        "one class and of different ones), how large beside the receiver's embeddings, what each one reads of chosen "
        "texts (the attention of the learned queries over the sender's tokens), which of the receiver's tokens it is "
        "nearest to, and on which texts the text relay and the latent relay answer differently, with what the sender "
        "wrote.\n\n"
        "--json prints all of it, with the packets of all texts on a plane by PCA and by t-SNE; the same is kept in "
        "the run's inspect.json, from which telepathy report draws.",
    .examples = "telepathy inspect runs/trec-42 --data data/trec\n"
                "telepathy inspect runs/trec-42 --n 500 --json\n",
    .options =
        (const tp_option[]){
            TP_OPTION_RUN,
            TP_OPTION_DATA,
            TP_OPTION_SENDER,
            TP_OPTION_RECEIVER,
            {.name = "n",
             .type = TP_OPT_INT,
             .value = "N",
             .fallback = "200",
             .min = 1,
             .max = 1000,
             .help = "test texts, drawn by label"},
            {.name = "examples",
             .type = TP_OPT_INT,
             .value = "N",
             .fallback = "4",
             .min = 0,
             .max = 1000,
             .help = "texts shown in full, spread over the labels"},
            {.name = "nearest",
             .type = TP_OPT_INT,
             .value = "N",
             .fallback = "5",
             .min = 1,
             .max = 100,
             .help = "vocabulary tokens for each soft token"},
            {.name = "transcripts",
             .type = TP_OPT_INT,
             .value = "N",
             .fallback = "8",
             .min = 0,
             .max = 1000,
             .help = "texts at most on which the two relays differ"},
            TP_OPTION_JSON,
            {0},
        },
    .run = run,
};
