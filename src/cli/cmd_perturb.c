/* `telepathy perturb`: how a trained bridge fares on altered texts. */
#include "analysis/perturb.h"
#include "base/mem.h"
#include "cli/opened.h"

/* The methods that --methods names; *n of them, in the order given. */
static tp_status methods_of(tp_args *args, const tp_method **out, size_t *n) {
    const char *const *names;
    *n = tp_args_list(args, "methods", &names);
    for (size_t i = 0; i < *n; i++) {
        out[i] = tp_method_find(names[i]);
        if (out[i] == NULL) return tp_args_refuse(args, "%s", tp_last_error());
    }
    return TP_OK;
}

static tp_status run(tp_args *args) {
    const char *const *names;
    size_t n = tp_args_list(args, "methods", &names);
    const tp_method **methods = tp_alloc(n * sizeof *methods);
    tp_opened opened = {0};
    json_t *document = NULL;
    tp_status status = methods_of(args, methods, &n);
    if (status == TP_OK)
        status = tp_open_run(args, NULL, tp_args_int(args, "max-train"), tp_args_int(args, "max-test"), &opened);
    if (status == TP_OK) {
        document = tp_perturb(&opened.eval, methods, n);
        status = document ? TP_OK : tp_last_status();
    }
    if (status == TP_OK) tp_print_document(args, document, tp_perturb_text);
    json_decref(document);
    tp_close_run(&opened);
    tp_free(methods);
    return status;
}

const tp_command tp_cmd_perturb = {
    .name = "perturb",
    .summary = "measure a trained bridge on altered texts",
    .text =
        "Alters the test texts in seven ways, each at two or three strengths: typos, synonyms, word order, random "
        "words, "
        "negation, contradiction, paraphrase by a frame. Prints how often the bridge is right then, beside the words "
        "alone, with McNemar's test against the texts as they are, and how many answers change. Negation and "
        "contradiction may change what the right answer is: there the answers that change tell more.\n\n"
        "--methods names others of telepathy eval: with receiver, the receiver reads the altered texts itself; with "
        "probe_mean, a linear probe reads the sender's states.",
    .examples = "telepathy perturb runs/trec-42 --data data/trec\n"
                "telepathy perturb runs/trec-42 --methods bridge,words,receiver,probe_mean --max-test 200 --json\n",
    .options =
        (const tp_option[]){
            TP_OPTION_RUN,
            {.name = "methods",
             .type = TP_OPT_LIST,
             .value = "NAMES",
             .fallback = "bridge,words",
             .help = "methods of telepathy eval"},
            TP_OPTION_DATA,
            TP_OPTION_SENDER,
            TP_OPTION_RECEIVER,
            TP_OPTION_MAX_TRAIN("0"),
            TP_OPTION_MAX_TEST("300"),
            TP_OPTION_JSON,
            {0},
        },
    .run = run,
};
