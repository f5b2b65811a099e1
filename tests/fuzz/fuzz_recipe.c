/* libFuzzer: any JSON is either refused with a sentence that names the file or read as a recipe that, complete or not,
 * reads back as it was written. */
#include "base/json.h"
#include "bridge/recipe.h"
#include "memory_file.h"

#include <math.h>
#include <string.h>

static void round_trip(const tp_recipe *recipe) {
    json_t *once = tp_recipe_to_json(recipe);
    tp_recipe *again = tp_recipe_from_json(once, "written.json");
    must(again != NULL);
    json_t *twice = tp_recipe_to_json(again);
    must(json_equal(once, twice));
    json_decref(once);
    json_decref(twice);
    tp_recipe_free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    json_t *value = tp_json_load_bytes((const char *)data, size, "fuzzed.json");
    if (value == NULL) return 0;
    tp_recipe *recipe = tp_recipe_from_json(value, "fuzzed.json");
    json_decref(value);
    if (recipe == NULL) {
        must(strstr(tp_last_error(), "fuzzed.json") != NULL);
        return 0;
    }
    round_trip(recipe);
    tp_recipe_complete(recipe, size % 3 ? 2 : 77, "Type:");
    round_trip(recipe);
    must(recipe->bridge.soft_tokens > 0 && recipe->bridge.width % recipe->bridge.heads == 0);
    must(recipe->n_losses > 0 && recipe->optimiser.steps >= 0 && recipe->optimiser.lr > 0);
    for (int i = 0; i < recipe->n_losses; i++)
        for (int64_t step = 0; step < 100; step += 9) {
            double weight = tp_loss_weight(&recipe->losses[i], step);
            must(weight >= 0 && weight <= recipe->losses[i].weight);
        }
    int layer;
    if (tp_recipe_layer(recipe, 12, &layer) == TP_OK) must(layer >= 0 && layer <= 12);
    tp_recipe_free(recipe);
    return 0;
}
