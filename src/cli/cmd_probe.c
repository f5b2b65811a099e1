/* `telepathy probe`: what a linear reader gets out of a bridge's packets. */
#include "analysis/packet_probe.h"
#include "base/mem.h"
#include "cli/opened.h"

#include <stdio.h>

static tp_status run(tp_args *args) {
    tp_opened opened;
    json_t *document = NULL;
    tp_status status = tp_open_run(args, NULL, tp_args_int(args, "max-train"), tp_args_int(args, "max-test"), &opened);
    if (status == TP_OK) {
        document = tp_packet_probe(&opened.eval, (size_t)tp_args_int(args, "words"));
        status = document ? TP_OK : tp_last_status();
    }
    if (status == TP_OK) tp_print_document(args, document, tp_packet_probe_text);
    json_decref(document);
    tp_close_run(&opened);
    return status;
}

const tp_command tp_cmd_probe = {
    .name = "probe",
    .summary = "read words and the label out of a trained bridge's packets",
    .text =
        "Fits linear probes on the packets of training texts and judges them on test texts. Words: which words of the "
        "source a linear map finds in the packet, as precision and recall of the likeliest 1, 5 and 10. Label: a lower "
        "bound in bits on what the packet tells of the label, the label's entropy less the cross-entropy of a "
        "logistic regression. Both beside the sender's mean state, which says what there was to hand over, and "
        "beside controls that must find nothing.",
    .examples = "telepathy probe runs/trec-42 --data data/trec\n"
                "telepathy probe runs/trec-42 --words 2000 --max-train 0 --json\n",
    .options =
        (const tp_option[]){
            TP_OPTION_RUN,
            TP_OPTION_DATA,
            TP_OPTION_SENDER,
            TP_OPTION_RECEIVER,
            {.name = "words",
             .type = TP_OPT_INT,
             .value = "N",
             .fallback = "500",
             .min = 0,
             .max = 1e5,
             .help = "words to look for, the most frequent first; 0: only the label"},
            TP_OPTION_MAX_TRAIN("5000"),
            TP_OPTION_MAX_TEST("0"),
            TP_OPTION_JSON,
            {0},
        },
    .run = run,
};
