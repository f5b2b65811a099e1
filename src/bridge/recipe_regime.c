/* Reading and writing `regime`, `bridge.grow` and `cascade`. See recipe_regime.h. */
#include "bridge/recipe_regime.h"

#include <stdio.h>

static const char *const mask_kinds[] = {"zero", "noise", NULL};

const tp_regime tp_regime_usual = {.gradient_scale = 1, .text_share = 0.5};
const tp_cascade tp_cascade_usual = {.seeds = 1, .collapse = true};

void tp_regime_read(tp_json_reader *top, tp_regime *regime) {
    tp_json_reader r;
    tp_json_object(top, "regime", &r);
    regime->mask_answers = tp_json_real(&r, "mask_answers", 0, 0, 1);
    regime->mask_with = (tp_mask_kind)tp_json_choice(&r, "mask_with", TP_MASK_ZERO, mask_kinds);
    regime->gradient_scale = tp_json_real(&r, "gradient_scale", tp_regime_usual.gradient_scale, 1e-6, 1e6);
    regime->text_steps = tp_json_int(&r, "text_steps", 0, 0, INT64_MAX);
    regime->text_share = tp_json_real(&r, "text_share", tp_regime_usual.text_share, 0, 1);
    tp_json_end_object(top, &r, true);
}

void tp_growth_read(tp_json_reader *bridge, tp_regime *regime) {
    json_t *list = tp_json_array(bridge, "grow"), *value;
    size_t i;
    if (list && json_array_size(list) > TP_MAX_STAGES)
        tp_json_error(bridge, "grow", "has %zu stages, at most %d were expected", json_array_size(list), TP_MAX_STAGES);
    json_array_foreach(list, i, value) {
        json_t *step = json_array_get(value, 0), *tokens = json_array_get(value, 1);
        if (i >= TP_MAX_STAGES) return;
        if (json_array_size(value) != 2 || !json_is_integer(step) || !json_is_integer(tokens)) {
            tp_json_error(bridge, "grow", "has a stage that is not [step, soft tokens]");
            return;
        }
        tp_growth_stage stage = {json_integer_value(step), (int)json_integer_value(tokens)};
        bool first = i == 0 && stage.step == 0 && json_integer_value(tokens) > 0;
        bool later = i > 0 && stage.step > regime->grow[i - 1].step &&
                     json_integer_value(tokens) > regime->grow[i - 1].tokens && json_integer_value(tokens) <= 4096;
        if (!first && !later) {
            tp_json_error(bridge, "grow", "is not [[0, m0], [s1, m1], ...] with steps and soft tokens that rise");
            return;
        }
        regime->grow[i] = stage;
        regime->n_stages = (int)i + 1;
    }
}

int tp_growth_tokens(const tp_regime *regime, int64_t step) {
    int tokens = 0;
    for (int i = 0; i < regime->n_stages && regime->grow[i].step <= step; i++) tokens = regime->grow[i].tokens;
    return tokens;
}

void tp_cascade_read(tp_json_reader *top, tp_cascade *cascade) {
    tp_json_reader r;
    tp_json_object(top, "cascade", &r);
    cascade->restarts = (int)tp_json_int(&r, "restarts", 0, 0, 30);
    cascade->seeds = (int)tp_json_int(&r, "seeds", tp_cascade_usual.seeds, 0, 100);
    cascade->collapse = tp_json_bool(&r, "collapse", tp_cascade_usual.collapse);
    tp_json_end_object(top, &r, true);
}

/* The section, if it holds anything. */
static void put(json_t *top, const char *name, json_t *section) {
    if (json_object_size(section) > 0) json_object_set(top, name, section);
    json_decref(section);
}

void tp_regime_write(json_t *top, const tp_regime *r) {
    json_t *o = json_object();
    if (r->mask_answers != 0) json_object_set_new(o, "mask_answers", json_real(r->mask_answers));
    if (r->mask_with != TP_MASK_ZERO) json_object_set_new(o, "mask_with", json_string(mask_kinds[r->mask_with]));
    if (r->gradient_scale != tp_regime_usual.gradient_scale)
        json_object_set_new(o, "gradient_scale", json_real(r->gradient_scale));
    if (r->text_steps != 0) json_object_set_new(o, "text_steps", json_integer(r->text_steps));
    if (r->text_share != tp_regime_usual.text_share) json_object_set_new(o, "text_share", json_real(r->text_share));
    put(top, "regime", o);
}

void tp_growth_write(json_t *bridge, const tp_regime *regime) {
    if (regime->n_stages == 0) return;
    json_t *list = json_array();
    for (int i = 0; i < regime->n_stages; i++)
        json_array_append_new(list, json_pack("[I, i]", (json_int_t)regime->grow[i].step, regime->grow[i].tokens));
    json_object_set_new(bridge, "grow", list);
}

void tp_cascade_write(json_t *top, const tp_cascade *c) {
    json_t *o = json_object();
    if (c->restarts != 0) json_object_set_new(o, "restarts", json_integer(c->restarts));
    if (c->seeds != tp_cascade_usual.seeds) json_object_set_new(o, "seeds", json_integer(c->seeds));
    if (c->collapse != tp_cascade_usual.collapse) json_object_set_new(o, "collapse", json_boolean(c->collapse));
    put(top, "cascade", o);
}
