/* bridge/recipe: defaults, completion by the number of classes, strict reading, reading back what was written. */
#include "check.h"

#include "base/file.h"
#include "base/mem.h"
#include "bridge/recipe.h"

#include <math.h>

static tp_recipe *recipe_of(const char *text) {
    json_t *value = tp_json_load_bytes(text, strlen(text), "r.json");
    check_not_null(value);
    tp_recipe *recipe = tp_recipe_from_json(value, "r.json");
    json_decref(value);
    return recipe;
}

static void an_empty_recipe_takes_the_defaults_of_its_classes(void **state) {
    (void)state;
    const struct {
        int classes, soft_tokens;
        double lr, layer, diversity;
        int64_t steps;
    } cases[] = {{2, 4, 5e-4, 0.75, 0, 4000}, {6, 8, 2e-4, 0.5, 0.1, 2000}, {77, 16, 2e-4, 0.5, 0.1, 3000}};
    for (int i = 0; i < 3; i++) {
        tp_recipe *r = recipe_of("{}");
        check_not_null(r);
        tp_recipe_complete(r, cases[i].classes, "Type:");
        assert_int_equal(r->bridge.soft_tokens, cases[i].soft_tokens);
        assert_true(r->optimiser.lr == cases[i].lr);
        assert_true(r->sender.layer_fraction == cases[i].layer);
        assert_int_equal(r->optimiser.steps, cases[i].steps);
        assert_int_equal(r->optimiser.warmup, cases[i].steps / 20);
        assert_int_equal(r->n_losses, 3);
        assert_true(r->losses[0].name == TP_LOSS_LM && r->losses[0].weight == 1.0);
        assert_true(r->losses[1].name == TP_LOSS_FIRST_TOKEN && r->losses[1].weight == 0.5);
        assert_true(r->losses[2].name == TP_LOSS_DIVERSITY && r->losses[2].weight == cases[i].diversity);
        assert_string_equal(r->primer, "Type:");
        assert_string_equal(r->layout, "{bos}{soft}{primer}");
        assert_string_equal(r->bridge.kind, "perceiver");
        assert_true(r->balanced && r->math == TP_MATH_BF16 && r->seed == 42 && r->calibration_texts == 500);
        assert_true(r->optimiser.weight_decay == 0.01 && r->optimiser.clip == 1 && r->optimiser.batch == 16);
        tp_recipe_free(r);
    }
}

static void what_is_set_stays(void **state) {
    (void)state;
    tp_recipe *r = recipe_of("{\"bridge\": {\"soft_tokens\": 5}, \"optimiser\": {\"lr\": 0.001, \"steps\": 7},"
                             " \"primer\": \"\", \"losses\": [{\"name\": \"diversity\", \"weight\": 0.3},"
                             " {\"name\": \"lm\"}], \"sender\": {\"layer\": 3}}");
    check_not_null(r);
    tp_recipe_set_text(&r->models.sender, "models/wren");
    tp_recipe_complete(r, 2, "Type:");
    assert_int_equal(r->bridge.soft_tokens, 5);
    assert_true(r->optimiser.lr == 0.001 && r->optimiser.steps == 7 && r->n_losses == 2);
    assert_true(r->losses[0].weight == 0.3 && r->losses[1].weight == 1.0);
    assert_string_equal(r->primer, "");
    assert_string_equal(r->models.sender, "models/wren");
    int layer;
    check_ok(tp_recipe_layer(r, 8, &layer));
    assert_int_equal(layer, 3);
    assert_int_equal(tp_recipe_layer(r, 2, &layer), TP_ERR_ARGUMENT);
    assert_non_null(strstr(tp_last_error(), "hidden states 0 to 2"));
    tp_recipe_free(r);
}

static void a_layer_is_an_integer_or_a_share_of_the_depth(void **state) {
    (void)state;
    const struct {
        const char *text;
        int n_layers, layer;
    } cases[] = {{"0.5", 8, 4}, {"0.75", 6, 5}, {"1.0", 6, 6}, {"1", 6, 1}, {"0", 6, 0}, {"0.0", 6, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[64];
        snprintf(text, sizeof text, "{\"sender\": {\"layer\": %s}}", cases[i].text);
        tp_recipe *r = recipe_of(text);
        check_not_null(r);
        tp_recipe_complete(r, 6, NULL);
        int layer;
        check_ok(tp_recipe_layer(r, cases[i].n_layers, &layer));
        assert_int_equal(layer, cases[i].layer);
        tp_recipe_free(r);
    }
}

static void a_recipe_reads_back_as_it_was_written(void **state) {
    (void)state;
    const char *texts[] = {
        "{}",
        "{\"name\": \"n\", \"models\": {\"sender\": \"a\", \"receiver\": \"b\"}, \"task\": {\"train_file\": \"t.csv\","
        " \"test_file\": \"u.csv\", \"text_column\": \"x\", \"label_column\": \"y\", \"valid_fraction\": 0.2,"
        " \"split_seed\": 7, \"max_train\": 100, \"max_test\": 9, \"drop_overlap\": true}, \"sender\": {\"layer\": "
        "0.25, \"prompt\": "
        "\"labels\", \"max_tokens\": 99, \"truncate\": \"left\"}, \"bridge\": {\"kind\": \"perceiver\", "
        "\"soft_tokens\":"
        " 12, \"depth\": 3, \"heads\": 4, \"width\": 64, \"ffn_multiple\": 2, \"dropout\": 0.1, \"normaliser\": "
        "\"none\", \"learnable_normaliser\": true, \"scale\": \"tanh\"}, \"layout\": \"{bos}{primer}{soft}\", "
        "\"primer\": \"P:\", \"losses\": [{\"name\": \"lm\", \"weight\": 2.5, \"schedule\": {\"kind\": \"anneal\", "
        "\"from\": 10, \"to\": 20}}, {\"name\": \"first_token\", \"schedule\": {\"kind\": \"window\", \"to\": 5}}], "
        "\"optimiser\": {\"lr\": 0.003, \"weight_decay\": 0.5, \"beta1\": 0.8, \"beta2\": 0.9, \"eps\": 1e-6, "
        "\"warmup\": 3, \"schedule\": \"constant\", \"min_lr_ratio\": 0.1, \"clip\": 0.0, \"batch\": 2, \"accumulate\":"
        " 3, \"steps\": 11}, \"sampling\": {\"balanced\": false}, \"early_stopping\": {\"patience\": 2, \"every\": 3}, "
        "\"quick_eval\": {\"every\": 4, \"examples\": 5}, \"cache\": {\"kind\": \"disk\", \"max_bytes\": 6}, "
        "\"calibration\": {\"texts\": 8}, \"math\": \"f32\", \"seed\": 9}"};
    for (int i = 0; i < 2; i++)
        for (int complete = 0; complete < 2; complete++) {
            tp_recipe *first = recipe_of(texts[i]);
            check_not_null(first);
            if (complete) tp_recipe_complete(first, 4, "Topic:");
            json_t *once = tp_recipe_to_json(first);
            tp_recipe *second = tp_recipe_from_json(once, "again");
            check_not_null(second);
            json_t *twice = tp_recipe_to_json(second);
            assert_true(json_equal(once, twice));
            if (complete) { /* nothing is left to the task any more, so completing for another changes nothing */
                tp_recipe_complete(second, 2, "Other:");
                json_t *third = tp_recipe_to_json(second);
                assert_true(json_equal(once, third));
                json_decref(third);
            } else if (i == 1) { /* every key given is there again */
                json_t *given = tp_json_load_bytes(texts[i], strlen(texts[i]), "given");
                const char *key, *inner;
                json_t *value, *leaf;
                json_object_foreach(given, key, value) if (!json_is_object(value)) {
                    if (!json_is_array(value)) assert_true(json_equal(value, json_object_get(once, key)));
                }
                else json_object_foreach(value, inner, leaf)
                    assert_true(json_equal(leaf, json_object_get(json_object_get(once, key), inner)));
                assert_int_equal(json_object_size(once), json_object_size(given));
                json_decref(given);
            }
            json_decref(once);
            json_decref(twice);
            tp_recipe_free(first);
            tp_recipe_free(second);
        }
}

/* Keys that came later: a recipe without them is written as ever, and one with them as it was given. */
static void later_keys_are_written_where_they_are_set(void **state) {
    (void)state;
    tp_recipe *r = recipe_of("{\"bridge\": {\"kind\": \"latent_cot\", \"steps\": 4}}");
    check_not_null(r);
    assert_true(r->bridge.n_taps == 0 && r->sender.n_layers == 0 && r->optimiser.steps == -1);
    json_t *usual = tp_recipe_to_json(r);
    assert_null(json_object_get(json_object_get(usual, "bridge"), "steps"));
    assert_null(json_object_get(json_object_get(usual, "bridge"), "penalty"));
    assert_null(json_object_get(json_object_get(usual, "sender"), "layers"));
    assert_null(json_object_get(json_object_get(usual, "optimiser"), "steps"));
    json_decref(usual);
    tp_recipe_free(r);

    r = recipe_of("{\"bridge\": {\"kind\": \"latent_cot\", \"steps\": 2}, \"sender\": {\"layers\": [0, 2, "
                  "5]}, \"optimiser\": {\"steps\": 0}}");
    check_not_null(r);
    assert_true(r->bridge.n_taps == 3 && r->sender.n_layers == 3 && r->sender.layers[1] == 2);
    tp_recipe_complete(r, 6, NULL);
    assert_true(r->optimiser.steps == 0 && r->optimiser.warmup == 0);
    int layer;
    check_ok(tp_recipe_layer(r, 5, &layer));
    assert_int_equal(layer, 5);
    char *text = tp_recipe_layers_text(r, layer);
    assert_string_equal(text, "layers 0, 2 and 5");
    tp_free(text);
    assert_int_not_equal(tp_recipe_layer(r, 4, &layer), TP_OK);
    json_t *written = tp_recipe_to_json(r), *bridge = json_object_get(written, "bridge");
    assert_int_equal(json_integer_value(json_object_get(bridge, "steps")), 2);
    assert_int_equal(json_array_size(json_object_get(json_object_get(written, "sender"), "layers")), 3);
    assert_null(json_object_get(json_object_get(written, "sender"), "layer"));
    assert_true(json_is_integer(json_object_get(json_object_get(written, "optimiser"), "steps")));
    json_decref(written);
    tp_recipe_free(r);

    r = recipe_of("{\"bridge\": {\"kind\": \"ridge\", \"penalty\": 0.5}}"); /* solved for, not trained */
    check_not_null(r);
    tp_recipe_complete(r, 6, NULL);
    assert_int_equal(r->optimiser.steps, 0);
    text = tp_recipe_layers_text(r, 3);
    assert_string_equal(text, "layer 3");
    tp_free(text);
    written = tp_recipe_to_json(r);
    assert_true(json_real_value(json_object_get(json_object_get(written, "bridge"), "penalty")) == 0.5);
    json_decref(written);
    tp_recipe_free(r);
}

static void what_is_wrong_is_named(void **state) {
    (void)state;
    const struct {
        const char *text, *named;
    } cases[] = {
        {"[]", "object was expected"},
        {"{\"steps\": 3}", "`steps`"},
        {"{\"bridge\": {\"depht\": 2}}", "`bridge.depht`"},
        {"{\"bridge\": {\"depth\": \"two\"}}", "`bridge.depth` is a string"},
        {"{\"bridge\": {\"depth\": 2.5}}", "`bridge.depth`"},
        {"{\"bridge\": {\"soft_tokens\": 0}}", "`bridge.soft_tokens`"},
        {"{\"bridge\": {\"width\": 100, \"heads\": 8}}", "`bridge.width`"},
        {"{\"bridge\": 3}", "`bridge` is an integer"},
        {"{\"bridge\": {\"normaliser\": \"white\"}}", "`bridge.normaliser`"},
        {"{\"bridge\": {\"kind\": \"a-name-that-no-bridge-family-could-have\"}}", "`bridge.kind`"},
        {"{\"sender\": {\"layer\": \"half\"}}", "`sender.layer`"},
        {"{\"sender\": {\"layer\": 1.5}}", "`sender.layer`"},
        {"{\"sender\": {\"layer\": -1}}", "`sender.layer`"},
        {"{\"sender\": {\"layers\": [1, 3], \"layer\": 2}}", "`sender.layers`"},
        {"{\"sender\": {\"layers\": []}}", "`sender.layers` has 0 entries"},
        {"{\"sender\": {\"layers\": [3, 1]}}", "from low to high at place 1"},
        {"{\"sender\": {\"layers\": [0.5]}}", "`sender.layers`"},
        {"{\"sender\": {\"layers\": 3}}", "`sender.layers`"},
        {"{\"bridge\": {\"kind\": \"latent_cot\", \"steps\": 0}}", "`bridge.steps`"},
        {"{\"bridge\": {\"kind\": \"ridge\", \"penalty\": 0}}", "`bridge.penalty`"},
        {"{\"bridge\": {\"penalty\": 1}}", "`bridge.penalty`"}, /* another kind's */
        {"{\"bridge\": {\"kind\": \"vq\", \"inner\": \"qformer\", \"steps\": 2}}", "`bridge.steps`"},
        {"{\"losses\": {}}", "`losses` is an object"},
        {"{\"losses\": []}", "`losses` is empty"},
        {"{\"losses\": [3]}", "`losses[0]`"},
        {"{\"losses\": [{}]}", "`losses[0].name` is missing"},
        {"{\"losses\": [{\"name\": \"lm\"}, {\"name\": \"lm\"}]}", "`losses[1].name`"},
        {"{\"losses\": [{\"name\": \"hinge\"}]}", "known are: lm, first_token, bottleneck, diversity"},
        {"{\"losses\": [{\"name\": \"lm\", \"weight\": -1}]}", "`losses[0].weight`"},
        {"{\"losses\": [{\"name\": \"lm\", \"temperature\": 1}]}", "`losses[0].temperature`"}, /* another loss's */
        {"{\"losses\": [{\"name\": \"contrastive\", \"temperature\": 0}]}", "`losses[0].temperature`"},
        {"{\"losses\": [{\"name\": \"contrastive\", \"positives\": \"none\"}]}", "known are: views, label, self"},
        {"{\"losses\": [{\"name\": \"anchor\", \"target\": \"text\"}]}", "`losses[0].target`"},
        {"{\"losses\": [{\"name\": \"bottleneck\", \"tokens\": 0}]}", "`losses[0].tokens`"},
        {"{\"losses\": [{\"name\": \"lm\", \"schedule\": {\"kind\": \"anneal\"}}]}", "`losses[0].schedule.to`"},
        {"{\"losses\": [{\"name\": \"lm\", \"schedule\": {\"from\": 2}}]}", "`losses[0].schedule.kind`"},
        {"{\"losses\": [{\"name\": \"lm\", \"schedule\": {\"kind\": \"window\", \"from\": 5, \"to\": 5}}]}",
         "`losses[0].schedule.to`"},
        {"{\"bridge\": {\"grow\": [[1, 2]]}}", "`bridge.grow`"},
        {"{\"bridge\": {\"grow\": [[0, 2], [5, 2]]}}", "`bridge.grow`"},
        {"{\"bridge\": {\"grow\": [[0, 2], 5]}}", "`bridge.grow`"},
        {"{\"regime\": {\"mask_answers\": 1.5}}", "`regime.mask_answers`"},
        {"{\"tasks\": [{\"name\": \"trec\"}]}", "`tasks[0]`"},
        {"{\"tasks\": [{\"task\": {\"nam\": \"trec\"}}]}", "`task.nam`"},
        {"{\"tasks\": [{\"task\": {}, \"wait\": 1}]}", "`tasks[0].wait`"},
        {"{\"tasks\": [{\"task\": {\"name\": \"trec\"}}, {\"task\": {\"name\": \"trec\"}}]}", "a second time"},
        {"{\"cascade\": {\"restart\": 1}}", "`cascade.restart`"},
        {"{\"optimiser\": {\"learning_rate\": 1}}", "`optimiser.learning_rate`"},
        {"{\"optimiser\": {\"lr\": 0}}", "`optimiser.lr`"},
        {"{\"task\": {\"name\": \"trec\", \"train_file\": \"x\"}}", "`task.train_file`"},
        {"{\"sampling\": {\"balanced\": 1}}", "`sampling.balanced` is an integer"},
        {"{\"math\": \"fp16\"}", "`math`"},
        {"{\"seed\": \"42\"}", "`seed`"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        tp_recipe *r = recipe_of(cases[i].text);
        if (r != NULL) fail_msg("accepted: %s", cases[i].text);
        if (strstr(tp_last_error(), cases[i].named) == NULL || strstr(tp_last_error(), "r.json") == NULL)
            fail_msg("%s: the error does not name %s: %s", cases[i].text, cases[i].named, tp_last_error());
    }
}

/* Each loss's own keys: their defaults are not written, which would make old runs other runs; all else is. */
static void losses_have_keys_of_their_own(void **state) {
    (void)state;
    tp_recipe *r =
        recipe_of("{\"losses\": [{\"name\": \"bottleneck\"}, {\"name\": \"contrastive\"}, {\"name\": \"anchor\"},"
                  " {\"name\": \"align\"}, {\"name\": \"recon\"}, {\"name\": \"bow\"}, {\"name\": \"distill\"},"
                  " {\"name\": \"scale_reg\"}, {\"name\": \"diversity\"}]}");
    check_not_null(r);
    assert_true(r->losses[0].tokens == 10 && r->losses[0].factor == 100);
    assert_true(r->losses[1].temperature == 0.07 && r->losses[1].positives == TP_POSITIVES_VIEWS);
    assert_true(r->losses[2].target == TP_ANCHOR_ANSWER && r->losses[2].distance == TP_DISTANCE_COSINE);
    assert_true(r->losses[3].tokens == 4);
    assert_true(r->losses[4].of == TP_RECON_POOLED && r->losses[4].distance == TP_DISTANCE_MSE);
    assert_true(r->losses[6].tokens == 0 && r->losses[6].temperature == 1);
    tp_recipe_complete(r, 2, NULL);
    const double weights[] = {1, 0.1, 1, 0.5, 1, 5, 1, 0.05, 0};
    for (int i = 0; i < 9; i++) assert_true(r->losses[i].weight == weights[i]);
    json_t *written = tp_recipe_to_json(r);
    size_t i;
    json_t *loss;
    json_array_foreach(json_object_get(written, "losses"), i, loss) assert_int_equal(json_object_size(loss), 3);
    json_decref(written);
    tp_recipe_free(r);

    const char *all =
        "[{\"name\": \"bottleneck\", \"weight\": 1.0, \"tokens\": 3, \"factor\": 7.0},"
        " {\"name\": \"contrastive\", \"weight\": 1.0, \"temperature\": 0.5, \"positives\": \"label\"},"
        " {\"name\": \"anchor\", \"weight\": 1.0, \"target\": \"question\", \"distance\": \"mse\"},"
        " {\"name\": \"align\", \"weight\": 1.0, \"tokens\": 2},"
        " {\"name\": \"recon\", \"weight\": 1.0, \"of\": \"token\", \"distance\": \"cosine\"},"
        " {\"name\": \"distill\", \"weight\": 1.0, \"tokens\": 5, \"temperature\": 2.0, \"prompt\": \"plain\"}]";
    char *text = tp_format("{\"losses\": %s}", all);
    r = recipe_of(text);
    tp_free(text);
    check_not_null(r);
    written = tp_recipe_to_json(r);
    json_t *given = tp_json_load_bytes(all, strlen(all), "given"), *constant = json_pack("{s:s}", "kind", "constant");
    json_array_foreach(given, i, loss) json_object_set(loss, "schedule", constant);
    assert_true(json_equal(given, json_object_get(written, "losses")));
    json_decref(constant);
    json_decref(given);
    json_decref(written);
    tp_recipe_free(r);
}

/* What changes training is off and unwritten by default, and written when it is on. */
static void regimes_are_written_when_they_are_on(void **state) {
    (void)state;
    tp_recipe *r = recipe_of("{}");
    check_not_null(r);
    json_t *written = tp_recipe_to_json(r);
    assert_null(json_object_get(written, "regime"));
    assert_null(json_object_get(written, "cascade"));
    assert_null(json_object_get(json_object_get(written, "bridge"), "grow"));
    assert_true(r->regime.gradient_scale == 1 && r->regime.n_stages == 0 && r->cascade.restarts == 0);
    json_decref(written);
    tp_recipe_free(r);
    const char *text = "{\"bridge\": {\"grow\": [[0, 2], [500, 4], [1000, 8]]}, \"regime\": {\"mask_answers\": 0.25,"
                       " \"mask_with\": \"noise\", \"gradient_scale\": 3.0, \"text_steps\": 7, \"text_share\": 0.75},"
                       " \"cascade\": {\"restarts\": 3, \"seeds\": 0, \"collapse\": false}}";
    r = recipe_of(text);
    check_not_null(r);
    written = tp_recipe_to_json(r);
    json_t *given = tp_json_load_bytes(text, strlen(text), "given");
    assert_true(json_equal(json_object_get(given, "regime"), json_object_get(written, "regime")));
    assert_true(json_equal(json_object_get(given, "cascade"), json_object_get(written, "cascade")));
    assert_true(json_equal(json_object_get(json_object_get(given, "bridge"), "grow"),
                           json_object_get(json_object_get(written, "bridge"), "grow")));
    const struct {
        int64_t step;
        int tokens;
    } cases[] = {{0, 2}, {499, 2}, {500, 4}, {1000, 8}, {5000, 8}};
    for (int i = 0; i < 5; i++) assert_int_equal(tp_growth_tokens(&r->regime, cases[i].step), cases[i].tokens);
    json_decref(given);
    json_decref(written);
    tp_recipe_free(r);
}

/* Further tasks: read as strictly as the recipe's own, written as given, and each the own task of a recipe of its own.
 */
static void further_tasks_are_recipes_of_their_own(void **state) {
    (void)state;
    tp_recipe *r = recipe_of("{\"task\": {\"name\": \"trec\"}, \"primer\": \"Type:\", \"tasks\": [{\"task\": {\"name\":"
                             " \"agnews\", \"max_train\": 9}}, {\"task\": {\"train_file\": \"x.csv\"}, \"layout\":"
                             " \"{soft}{primer}\", \"primer\": \"P:\", \"weight\": 2.5}], \"seed\": 5}");
    check_not_null(r);
    assert_int_equal(tp_recipe_n_further(r), 2);
    assert_true(tp_recipe_further_weight(r, 0) == 1 && tp_recipe_further_weight(r, 1) == 2.5);
    json_t *written = tp_recipe_to_json(r);
    tp_recipe *one = tp_recipe_further(written, 0), *two = tp_recipe_further(written, 1);
    check_not_null(one);
    check_not_null(two);
    assert_string_equal(one->task.name, "agnews");
    assert_int_equal(one->task.max_train, 9);
    assert_null(one->primer); /* its own task's */
    assert_string_equal(one->layout, r->layout);
    assert_string_equal(two->layout, "{soft}{primer}");
    assert_string_equal(two->primer, "P:");
    assert_string_equal(two->task.train_file, "x.csv");
    assert_true(two->seed == 5 && tp_recipe_n_further(two) == 0);
    tp_recipe *again = tp_recipe_from_json(written, "again");
    json_t *twice = tp_recipe_to_json(again);
    assert_true(json_equal(written, twice));
    json_decref(twice);
    json_decref(written);
    tp_recipe *all[] = {r, one, two, again};
    for (int i = 0; i < 4; i++) tp_recipe_free(all[i]);
}

static void losses_follow_their_schedules(void **state) {
    (void)state;
    const tp_loss_term constant = {.weight = 2},
                       anneal = {.weight = 2, .schedule = TP_SCHEDULE_ANNEAL, .from = 10, .to = 20},
                       window = {.weight = 2, .schedule = TP_SCHEDULE_WINDOW, .from = 10, .to = 20};
    const struct {
        int64_t step;
        double constant, anneal, window;
    } cases[] = {{0, 2, 0, 0},    {10, 2, 0, 2}, {11, 2, 0.2, 2}, {15, 2, 1, 2},
                 {19, 2, 1.8, 2}, {20, 2, 2, 0}, {99, 2, 2, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_true(tp_loss_weight(&constant, cases[i].step) == cases[i].constant);
        assert_true(fabs(tp_loss_weight(&anneal, cases[i].step) - cases[i].anneal) < 1e-12);
        assert_true(tp_loss_weight(&window, cases[i].step) == cases[i].window);
    }
}

static void a_file_is_named_by_its_stem(void **state) {
    (void)state;
    char *dir = check_temp_dir();
    char *path = tp_path_join(dir, "trec.quick.json");
    check_ok(tp_write_file(path, "{}", 2));
    tp_recipe *r = tp_recipe_load(path);
    check_not_null(r);
    assert_string_equal(r->name, "trec.quick");
    tp_recipe_free(r);
    check_ok(tp_write_file(path, "{", 1));
    assert_null(tp_recipe_load(path));
    assert_non_null(strstr(tp_last_error(), "trec.quick.json"));
    tp_free(path);
    path = tp_path_join(dir, "absent.json");
    assert_null(tp_recipe_load(path));
    tp_free(path);
    check_remove_dir(dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_recipe_takes_the_defaults_of_its_classes),
        cmocka_unit_test(what_is_set_stays),
        cmocka_unit_test(a_layer_is_an_integer_or_a_share_of_the_depth),
        cmocka_unit_test(a_recipe_reads_back_as_it_was_written),
        cmocka_unit_test(later_keys_are_written_where_they_are_set),
        cmocka_unit_test(what_is_wrong_is_named),
        cmocka_unit_test(losses_have_keys_of_their_own),
        cmocka_unit_test(regimes_are_written_when_they_are_on),
        cmocka_unit_test(further_tasks_are_recipes_of_their_own),
        cmocka_unit_test(losses_follow_their_schedules),
        cmocka_unit_test(a_file_is_named_by_its_stem),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
