/* Public interface: links, which are relays whose parts may live in two places. */
#include "api/engine.h"
#include "bridge/relay.h"
#include "wire/packet.h"

#include <math.h>
#include <string.h>

struct tp_link {
    tp_relay *relay;
    tp_link_facts facts;
};

static tp_status check_engine(const tp_engine *engine, const char *role) {
    if (engine == NULL || engine->lm->tokenizer) return TP_OK;
    return tp_fail(TP_ERR_ARGUMENT, "the %s %s was loaded without its tokenizer, which a link needs", role,
                   engine->lm->path);
}

tp_link *tp_link_open(const char *folder, const tp_engine *sender, const tp_engine *receiver) {
    TP_NEEDS_OR_NULL(folder);
    if (sender == NULL && receiver == NULL)
        return tp_fail_null(TP_ERR_ARGUMENT, "a link needs a sender, a receiver, or both");
    if (check_engine(sender, "sender") != TP_OK || check_engine(receiver, "receiver") != TP_OK) return NULL;
    tp_relay *relay = tp_relay_load(folder, sender ? sender->lm : NULL, receiver ? receiver->lm : NULL);
    if (relay == NULL) return NULL;
    tp_link *link = tp_alloc(sizeof *link);
    const tp_trained_bridge *trained = relay->trained;
    *link = (tp_link){.relay = relay,
                      .facts = {.fingerprint = trained->fingerprint,
                                .task = trained->task,
                                .layer = trained->layer,
                                .n_soft = relay->recipe->bridge.soft_tokens,
                                .width = (int32_t)trained->bridge->d_target,
                                .reads_text = strstr(relay->recipe->layout, "{text}") != NULL,
                                .n_labels = relay->n_labels,
                                .labels = relay->label_names}};
    return link;
}

void tp_link_free(tp_link *link) {
    if (link == NULL) return;
    tp_relay_free(link->relay);
    tp_free(link);
}

const tp_link_facts *tp_link_get_facts(const tp_link *link) {
    TP_NEEDS_OR_NULL(link);
    return &link->facts;
}

static tp_tape *frozen_tape(const tp_link *link) {
    tp_tape *tape = tp_tape_new(link->relay->recipe->math);
    tape->frozen = true;
    return tape;
}

/* ---- the sender's end ---- */

tp_status tp_link_soft(const tp_link *link, const char *text, size_t n, float *soft, bool *truncated) {
    TP_NEEDS(link);
    TP_NEEDS(soft);
    if (n > 0) TP_NEEDS(text);
    const tp_relay *relay = link->relay;
    if (relay->sender == NULL) return tp_fail(TP_ERR_ARGUMENT, "this link was opened without its sender");
    tp_ids ids = {0};
    tp_status status = tp_tap_tokens(&relay->tap, n ? text : "", n, &ids, truncated);
    if (status == TP_OK) {
        int64_t n_ids = (int64_t)ids.len, d = tp_tap_width(&relay->tap);
        float *hidden = tp_alloc((size_t)(n_ids * d) * sizeof *hidden);
        tp_tape *tape = frozen_tape(link);
        tp_tap_run(&relay->tap, tape, ids.data, n_ids, hidden);
        tp_tape_reset(tape);
        const tp_var *out =
            tp_relay_soft(relay, tape, tp_var_wrap(tape, hidden, n_ids, d), (const int64_t[]){0, n_ids}, 1);
        memcpy(soft, out->data, (size_t)(out->rows * out->cols) * sizeof *soft);
        tp_tape_free(tape);
        tp_free(hidden);
    }
    tp_ids_free(&ids);
    return status;
}

/* ---- the wire ---- */

unsigned char *tp_link_pack(const tp_link *link, const float *soft, const char *type, size_t *n_bytes) {
    TP_NEEDS_OR_NULL(link);
    TP_NEEDS_OR_NULL(soft);
    TP_NEEDS_OR_NULL(type);
    TP_NEEDS_OR_NULL(n_bytes);
    tp_packet_info info = {
        .n_tokens = link->facts.n_soft, .width = link->facts.width, .dtype = tp_dtype_from_name(type)};
    if (info.dtype == TP_UNKNOWN)
        return tp_fail_null(TP_ERR_ARGUMENT, "\"%.20s\" is no type of numbers: f32, f16, bf16 or i8 was expected",
                            type);
    memcpy(info.receiver, link->relay->trained->receiver.fingerprint, sizeof info.receiver);
    memcpy(info.bridge, link->facts.fingerprint, sizeof info.bridge);
    unsigned char *packet;
    return tp_packet_encode(soft, &info, &packet, n_bytes) == TP_OK ? packet : NULL;
}

tp_status tp_link_unpack(const tp_link *link, const void *packet, size_t n, float *soft) {
    TP_NEEDS(link);
    TP_NEEDS(packet);
    TP_NEEDS(soft);
    tp_packet_info info;
    float *rows;
    TP_TRY(tp_packet_decode(packet, n, "the packet", &info, &rows));
    tp_status status =
        tp_packet_check(&info, "the packet", link->relay->trained->receiver.fingerprint, link->facts.fingerprint);
    if (status == TP_OK && (info.n_tokens != link->facts.n_soft || info.width != link->facts.width))
        status =
            tp_fail(TP_ERR_FORMAT, "the packet holds %lld soft tokens of width %lld, %d of width %d were expected",
                    (long long)info.n_tokens, (long long)info.width, (int)link->facts.n_soft, (int)link->facts.width);
    if (status == TP_OK) memcpy(soft, rows, (size_t)(info.n_tokens * info.width) * sizeof *soft);
    tp_free(rows);
    return status;
}

/* ---- the receiver's end ---- */

/* What the receiver reads, on the tape. */
static tp_status lay_out(const tp_link *link, tp_tape *tape, const float *soft, const char *text, size_t n,
                         tp_prompts *prompts) {
    if (link->relay->receiver == NULL) return tp_fail(TP_ERR_ARGUMENT, "this link was opened without its receiver");
    if (link->facts.reads_text && text == NULL)
        return tp_fail(TP_ERR_ARGUMENT, "the receiver of this link reads the text too, and none was given");
    int64_t m = link->facts.n_soft, d = link->facts.width;
    for (int64_t i = 0; i < m * d; i++)
        if (!isfinite(soft[i]))
            return tp_fail(TP_ERR_ARGUMENT, "soft token %lld holds %g, finite numbers were expected",
                           (long long)(i / d), soft[i]);
    tp_var *rows = tp_var_new(tape, m, d);
    memcpy(rows->data, soft, (size_t)(m * d) * sizeof *soft);
    return tp_relay_prompts(link->relay, tape, rows, &(tp_example){.text = text ? text : "", .len = text ? n : 0}, 1,
                            prompts);
}

tp_status tp_link_score(const tp_link *link, const float *soft, const char *text, size_t n, double *scores) {
    TP_NEEDS(link);
    TP_NEEDS(soft);
    TP_NEEDS(scores);
    tp_tape *tape = frozen_tape(link);
    tp_prompts prompts;
    tp_status status = lay_out(link, tape, soft, text, n, &prompts);
    if (status == TP_OK) status = tp_relay_score(link->relay, &prompts, scores);
    tp_tape_free(tape);
    return status;
}

char *tp_link_generate(const tp_link *link, const float *soft, const char *text, size_t n, int64_t max_new) {
    TP_NEEDS_OR_NULL(link);
    TP_NEEDS_OR_NULL(soft);
    tp_tape *tape = frozen_tape(link);
    tp_prompts prompts;
    char *answer = NULL;
    tp_status status = lay_out(link, tape, soft, text, n, &prompts);
    if (status == TP_OK) {
        int64_t room = link->relay->receiver->config.max_position_embeddings - prompts.offsets[1];
        if (max_new == 0) max_new = tp_relay_longest_answer(link->relay);
        if (max_new < 0 || max_new > room)
            tp_fail(TP_ERR_ARGUMENT, "%lld new tokens were asked for, the receiver has room for %lld",
                    (long long)max_new, (long long)room);
        else
            tp_relay_generate(link->relay, &prompts, max_new, &answer);
    }
    tp_tape_free(tape);
    return answer;
}
