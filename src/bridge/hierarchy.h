/* Two stages of one family, for long texts: segments to a few tokens each, these to the packet. Not a `bridge.kind` of
 * its own: any kind becomes it where the recipe has `bridge.segment_tokens`. */
#ifndef TP_BRIDGE_HIERARCHY_H
#define TP_BRIDGE_HIERARCHY_H

#include "bridge/bridge.h"

extern const tp_bridge_family tp_bridge_hierarchy;

#endif
