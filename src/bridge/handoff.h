/* Several relays in one go, without text between them.
 *
 * A *chain* S -> R1 -> R2 uses the receiver of one bridge as the sender of the next: R1 reads its prompt with the soft
 * tokens in it, its states over that prompt are tapped where the next bridge wants them, and that makes soft tokens for
 * R2. A *broadcast* reads a text once and makes a packet for each of several receivers from the sender's states, at
 * whatever layers their bridges tap.
 *
 *     tp_chain_check(relays, 2);                                  S -> R1 and R1 -> R2
 *     tp_var *soft = tp_chain_soft(relays, 2, tape, text, n, TP_F16);   what R2 gets
 *     tp_relay_prompts(relays[1], tape, soft, ...);
 *
 * Relays are loaded (tp_relay_load) with both models. Between any two models soft tokens cross as packets of a type,
 * and are rounded accordingly. */
#ifndef TP_BRIDGE_HANDOFF_H
#define TP_BRIDGE_HANDOFF_H

#include "bridge/relay.h"

/* TP_OK if each relay's receiver is the sender of the next; else a sentence about the first two that do not fit. Has
 * the receivers read what their prompts begin with, where that is needed. */
tp_status tp_chain_check(tp_relay *const *relays, size_t n);

/* The last receiver's soft tokens [M, its packet's width] of one text, through all of the n relays (checked), in the
 * tape's arena; the tape is frozen, and reset here. NULL on error (the text cannot be tokenised). */
tp_var *tp_chain_soft(tp_relay *const *relays, size_t n, tp_tape *tape, const char *text, size_t len, tp_dtype sent);

/* The states that the next bridge reads of relay's receiver over its prompt with these soft tokens: [rows, width of the
 * next one's tap], *offsets [2]. */
tp_status tp_chain_states(const tp_relay *relay, const tp_relay *next, tp_tape *tape, tp_var *soft, const char *text,
                          size_t len, tp_var **states, const int64_t **offsets);

/* TP_OK if all relays have the same sender and ask it the same; else a sentence about the first that does not. */
tp_status tp_broadcast_check(tp_relay *const *relays, size_t n);

/* Soft tokens soft[n] of one text for each of the n relays (checked), the sender's layers computed once; as above. */
tp_status tp_broadcast_soft(tp_relay *const *relays, size_t n, tp_tape *tape, const char *text, size_t len,
                            tp_dtype sent, tp_var **soft);

#endif
