/* Models, data and numbers from the command line into a recipe. See experiment.h. */
#include "cli/experiment.h"

void tp_args_override(const tp_args *args, tp_recipe *r) {
    if (tp_args_given(args, "sender")) tp_recipe_set_text(&r->models.sender, tp_args_text(args, "sender"));
    if (tp_args_given(args, "receiver")) tp_recipe_set_text(&r->models.receiver, tp_args_text(args, "receiver"));
    if (tp_args_given(args, "data")) tp_recipe_set_text(&r->task.data, tp_args_text(args, "data"));
    if (tp_args_given(args, "seed")) r->seed = (uint64_t)tp_args_int(args, "seed");
    if (tp_args_given(args, "steps")) r->optimiser.steps = tp_args_int(args, "steps");
}

const char *const tp_packet_type_names[] = {"f16", "f32", "bf16", "int8", "int4", NULL};

tp_dtype tp_args_packet(const tp_args *args) {
    static const tp_dtype types[] = {TP_F16, TP_F32, TP_BF16, TP_I8, TP_I4};
    return types[tp_args_choice(args, "packet")];
}
