/* The model card of a trained bridge: README.md in its folder, for people who find the folder without its story.
 *
 * It says only what the bridge itself holds; nothing is measured here, and no reader of ours looks at it. */
#ifndef TP_BRIDGE_CARD_H
#define TP_BRIDGE_CARD_H

#include "bridge/checkpoint.h"

/* Writes README.md into an existing folder, atomically; the same bridge gives the same bytes. */
tp_status tp_bridge_save_card(const char *folder, const tp_trained_bridge *trained);

#endif
