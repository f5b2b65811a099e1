/* The words that a recipe may hold, in the order of their enums; reading and writing share them. NULL-terminated. */
#ifndef TP_BRIDGE_RECIPE_NAMES_H
#define TP_BRIDGE_RECIPE_NAMES_H

#include "bridge/recipe.h"

extern const char *const tp_recipe_losses[];
extern const char *const tp_recipe_loss_schedules[];
extern const char *const tp_recipe_positives[];
extern const char *const tp_recipe_anchor_targets[];
extern const char *const tp_recipe_distances[];
extern const char *const tp_recipe_recon_targets[];
extern const char *const tp_recipe_prompts[];
extern const char *const tp_recipe_targets[];
extern const char *const tp_recipe_sides[];
extern const char *const tp_recipe_normalisers[];
extern const char *const tp_recipe_scales[];
extern const char *const tp_recipe_injections[];
extern const char *const tp_recipe_code_distances[];
extern const char *const tp_recipe_conditionings[];
extern const char *const tp_recipe_lr_schedules[];
extern const char *const tp_recipe_cache_kinds[];
extern const char *const tp_recipe_maths[];

/* Whether the bridge is of this kind, or quantises the tokens of one. */
bool tp_bridge_recipe_uses(const tp_bridge_recipe *bridge, const char *kind);

/* The default of `bridge.segment_soft_tokens`. */
enum { TP_USUAL_SEGMENT_SOFT_TOKENS = 4 };

/* A loss with its default parameters, weight by the task, constant schedule. Keys that equal these are not written. */
tp_loss_term tp_loss_default(tp_loss_name name);

/* The list `tasks`, checked; a new reference, or NULL. */
json_t *tp_recipe_read_tasks(tp_json_reader *top);

#endif
