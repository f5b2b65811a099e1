/* One text through the relay, with all there is to see on its way: what `telepathy relay` prints. */
#ifndef TP_EVAL_SINGLE_H
#define TP_EVAL_SINGLE_H

#include "eval/method.h"
#include "wire/packet.h"

typedef struct tp_single {
    int n_labels;
    int32_t best;           /* the likeliest label */
    double *probabilities;  /* [n_labels]: of the labels' answers, scaled to a sum of 1 */
    char *written;          /* what the receiver writes by itself */
    int32_t written_label;  /* the label named there; -1: none */
    double ms[TP_N_PHASES]; /* of the whole way, once warm; the receiver's is for the likeliest label */
    double write_ms;        /* the receiver's, for writing instead */
    int64_t n_tokens;       /* the sender read */
    bool truncated;         /* the text was cut to fit the sender */
    tp_packet_size packet;  /* what crossed */
    tp_dtype sent;          /* the type of its numbers */
    unsigned char *bytes;   /* [packet.total]: the packet itself */
    float *soft;            /* [soft_tokens, d_receiver] as the receiver got them */
    int64_t soft_tokens;
} tp_single;

/* Sends a text through the relay (which has its bridge), as an f16 packet. `task` may be NULL: then what the receiver
 * writes is looked through for the labels' names only, not for synonyms. Free with tp_single_free. */
tp_status tp_single_run(const tp_relay *relay, const tp_task *task, const char *text, size_t n, tp_single *out);

/* The same as a packet of that type. */
tp_status tp_single_run_as(const tp_relay *relay, const tp_task *task, tp_dtype sent, const char *text, size_t n,
                           tp_single *out);

/* The receiver's end alone, from a packet of n_packet bytes, which `name` stands for in errors: the relay needs no
 * sender. `text` is read where the layout has {text}. What is the sender's part of *out stays empty. */
tp_status tp_single_receive(const tp_relay *relay, const tp_task *task, const void *packet, size_t n_packet,
                            const char *name, const char *text, size_t n, tp_single *out);
void tp_single_free(tp_single *single);

#endif
