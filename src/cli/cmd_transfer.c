/* `telepathy transfer`: a bridge trained for one task, asked about another. */
#include "analysis/transfer.h"
#include "cli/opened.h"

static tp_status run(tp_args *args) {
    tp_opened opened;
    json_t *document = NULL;
    tp_status status = tp_open_run(args, tp_args_text(args, "task"), tp_args_int(args, "max-train"),
                                   tp_args_int(args, "max-test"), &opened);
    if (status == TP_OK) {
        document = tp_transfer(&opened.eval, tp_args_choice(args, "prompt") == 1);
        status = document ? TP_OK : tp_last_status();
    }
    if (status == TP_OK) tp_print_document(args, document, tp_transfer_text);
    json_decref(document);
    tp_close_run(&opened);
    return status;
}

const tp_command tp_cmd_transfer = {
    .name = "transfer",
    .summary = "ask a trained bridge about another task's texts",
    .text =
        "The bridge makes soft tokens of another task's test texts. Zero-shot, the receiver is asked that task's "
        "question "
        "about them, with its primer and its labels; and a linear probe learns that task's labels from packets of its "
        "training texts. Beside both: the majority label, the words alone, the receiver reading the text, the same "
        "probe "
        "on the sender's mean state, and the controls with another text's packet and with zeros.",
    .examples = "telepathy transfer runs/sst2-42 --task trec --data data\n"
                "telepathy transfer runs/sst2-42 --task ag_news --data data --prompt task --max-train 2000 --json\n",
    .options =
        (const tp_option[]){
            TP_OPTION_RUN,
            {.name = "task", .type = TP_OPT_TEXT, .value = "NAME", .required = true, .help = "the other task"},
            TP_OPTION_DATA,
            TP_OPTION_SENDER,
            TP_OPTION_RECEIVER,
            {.name = "prompt",
             .type = TP_OPT_CHOICE,
             .choices = (const char *const[]){"run", "task", NULL},
             .fallback = "run",
             .help = "the sender reads texts in the prompt the bridge was trained with, or in the other task's"},
            TP_OPTION_MAX_TRAIN("5000"),
            TP_OPTION_MAX_TEST("1000"),
            TP_OPTION_JSON,
            {0},
        },
    .run = run,
};
