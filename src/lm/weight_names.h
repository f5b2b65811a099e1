/* What the weights of a decoder are for, and what files call them. */
#ifndef TP_LM_WEIGHT_NAMES_H
#define TP_LM_WEIGHT_NAMES_H

#include <stdbool.h>
#include <stddef.h>

typedef enum tp_weight_role {
    TP_W_EMBED = 0,
    TP_W_POSITIONS,
    TP_W_FINAL_NORM,
    TP_W_FINAL_NORM_BIAS,
    TP_W_HEAD,
    TP_W_ATTN_NORM, /* from here on: of one layer */
    TP_W_ATTN_NORM_BIAS,
    TP_W_QKV,
    TP_W_QKV_BIAS,
    TP_W_Q,
    TP_W_Q_BIAS,
    TP_W_K,
    TP_W_K_BIAS,
    TP_W_V,
    TP_W_V_BIAS,
    TP_W_Q_NORM,
    TP_W_K_NORM,
    TP_W_O,
    TP_W_O_BIAS,
    TP_W_ATTN_POST_NORM,
    TP_W_FFN_NORM,
    TP_W_FFN_NORM_BIAS,
    TP_W_GATE_UP,
    TP_W_GATE,
    TP_W_GATE_BIAS,
    TP_W_UP,
    TP_W_UP_BIAS,
    TP_W_DOWN,
    TP_W_DOWN_BIAS,
    TP_W_FFN_POST_NORM,
    TP_W_N_ROLES
} tp_weight_role;

/* The spelling of one kind of file. A layer's weight is called <root><layers><number>.<of[role]>, the head
 * of[TP_W_HEAD], the others <root><of[role]>. */
typedef struct tp_lm_names {
    const char *root, *layers; /* "model.", "layers." */
    bool turned;               /* matrices of the blocks are stored as [inputs, outputs] (GPT-2's Conv1D) */
    bool gains_less_one;       /* norm gains are stored as w, the gain being 1 + w (Gemma) */
    const char *of[TP_W_N_ROLES];
} tp_lm_names;

static inline bool tp_role_is_gain(tp_weight_role role) {
    return role == TP_W_FINAL_NORM || role == TP_W_ATTN_NORM || role == TP_W_Q_NORM || role == TP_W_K_NORM ||
           role == TP_W_ATTN_POST_NORM || role == TP_W_FFN_NORM || role == TP_W_FFN_POST_NORM;
}

static inline bool tp_role_is_bias(tp_weight_role role) {
    return role == TP_W_FINAL_NORM_BIAS || role == TP_W_ATTN_NORM_BIAS || role == TP_W_QKV_BIAS ||
           role == TP_W_Q_BIAS || role == TP_W_K_BIAS || role == TP_W_V_BIAS || role == TP_W_O_BIAS ||
           role == TP_W_FFN_NORM_BIAS || role == TP_W_GATE_BIAS || role == TP_W_UP_BIAS || role == TP_W_DOWN_BIAS;
}

/* A gain or a bias: one dimension in files. */
static inline bool tp_role_is_vector(tp_weight_role role) {
    return tp_role_is_gain(role) || tp_role_is_bias(role);
}

/* A matrix of a block: what `turned` is about. */
static inline bool tp_role_is_block_matrix(tp_weight_role role) {
    return role >= TP_W_ATTN_NORM && !tp_role_is_vector(role);
}

#endif
