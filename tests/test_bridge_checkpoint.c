/* bridge/checkpoint: a trained bridge as a folder, read back to the bit; broken folders and wrong pairs refused. */
#include "check.h"

#include "base/file.h"
#include "base/mem.h"
#include "bridge/checkpoint.h"
#include "lm/safetensors.h"

#include <math.h>

static const char *const labels[] = {"human", "location", "caf\xE9"}; /* the last is not UTF-8 */

static tp_lm *model(int d_model, char digit) {
    tp_lm_config config = {.family = TP_LM_LLAMA,
                           .vocab_size = 30,
                           .d_model = d_model,
                           .n_layers = 4,
                           .n_heads = 2,
                           .n_kv_heads = 2,
                           .head_dim = 4,
                           .d_ff = 8,
                           .norm_eps = 1e-5,
                           .rope_theta = 10000,
                           .max_position_embeddings = 32,
                           .tie_word_embeddings = true,
                           .bos_id = 1,
                           .dtype = TP_F32};
    tp_lm *lm = tp_lm_new_frozen(&config, 5, TP_F32);
    check_not_null(lm);
    memset(lm->fingerprint, digit, 32);
    return lm;
}

static tp_trained_bridge *trained(uint64_t seed, const char *more) {
    char text[512];
    snprintf(text, sizeof text, "{\"bridge\": {\"width\": 16, \"heads\": 2, \"soft_tokens\": 3%s}}", more);
    json_t *value = tp_json_load_bytes(text, strlen(text), "r");
    tp_recipe *recipe = tp_recipe_from_json(value, "r");
    check_not_null(recipe);
    json_decref(value);
    tp_recipe_complete(recipe, 3, "Type:");
    tp_lm *sender = model(8, 'a'), *receiver = model(12, 'b');
    tp_moments *m = tp_moments_new(8);
    float rows[32];
    tp_rng rng = tp_rng_stream(seed, "rows", 0);
    tp_rng_fill_normal(&rng, rows, 32, 1);
    tp_moments_add(m, rows, 4);
    tp_calibration *c = tp_calibration_new(m, &receiver->embed, 0);
    tp_bridge *bridge = tp_bridge_new(&recipe->bridge, 8, 12, c, seed);
    check_not_null(bridge);
    tp_trained_bridge *t =
        tp_trained_bridge_new(bridge, recipe, 2, "Question: {text}", sender, receiver, "trec", labels, 3);
    check_not_null(t);
    tp_calibration_free(c);
    tp_moments_free(m);
    tp_recipe_free(recipe);
    tp_lm_free(sender);
    tp_lm_free(receiver);
    return t;
}

static void soft_tokens(const tp_trained_bridge *t, float out[36]) {
    float hidden[40];
    tp_rng rng = tp_rng_stream(1, "hidden", 0);
    tp_rng_fill_normal(&rng, hidden, 40, 1);
    tp_tape *tape = tp_tape_new(TP_MATH_F32);
    tape->frozen = true;
    tp_var *y = tp_bridge_forward(tape, t->bridge, tp_var_wrap(tape, hidden, 5, 8), (const int64_t[]){0, 5}, 1);
    assert_int_equal(y->rows * y->cols, 36);
    memcpy(out, y->data, 36 * sizeof(float));
    tp_tape_free(tape);
}

static char *bytes_of(const char *dir, const char *name, size_t *n) {
    char *path = tp_path_join(dir, name), *bytes;
    check_ok(tp_read_file(path, 0, &bytes, n));
    tp_free(path);
    return bytes;
}

static void its_card_says_what_it_is(void **state) {
    (void)state;
    char *dir = check_temp_dir();
    tp_trained_bridge *t = trained(3, "");
    tp_free(t->sender.name);
    tp_free(t->receiver.name);
    t->receiver.name = tp_strdup("models/finch");
    t->sender.name = tp_strdup("a \"wren\"\nbase_model: evil"); /* a name cannot add a line of its own */
    check_ok(tp_bridge_save(dir, t));
    size_t n;
    char *card = bytes_of(dir, "README.md", &n);
    const char *const lines[] = {
        "\n  - \"a \\\"wren\\\" base_model: evil\"\n",
        "Trained for the task `trec` with seed 42: ", "reads the sender's layer 2 and writes 3 soft\n",
        "`{bos}{soft}{primer}`", "one of 3 labels: "};
    for (int i = 0; i < 5; i++)
        if (strstr(card, lines[i]) == NULL) fail_msg("the card does not say \"%s\":\n%s", lines[i], card);
    assert_non_null(strstr(card, t->sender.fingerprint));
    tp_free(card);
    tp_trained_bridge_free(t);
    check_remove_dir(dir);
}

static void a_bridge_reads_back_to_the_bit(void **state) {
    (void)state;
    const char *variants[] = {"", ", \"learnable_normaliser\": true", ", \"normaliser\": \"none\"",
                              ", \"scale\": \"tanh\""};
    for (int v = 0; v < 4; v++) {
        char *dir = check_temp_dir();
        char *folder = tp_path_join(dir, "a/best");
        tp_trained_bridge *t = trained(3, variants[v]);
        tp_weight_init_value(&t->bridge->scale, 0.3f);
        check_ok(tp_bridge_save(folder, t));
        tp_trained_bridge *again = tp_bridge_load(folder);
        check_not_null(again);
        float before[36], after[36];
        soft_tokens(t, before);
        soft_tokens(again, after);
        assert_memory_equal(before, after, sizeof before);
        assert_int_equal(again->layer, 2);
        assert_int_equal(again->n_labels, 3);
        for (int i = 0; i < 3; i++) assert_string_equal(again->labels[i], labels[i]);
        assert_string_equal(again->task, "trec");
        assert_string_equal(again->recipe->layout, "{bos}{soft}{primer}");
        assert_string_equal(again->recipe->primer, "Type:");
        assert_int_equal(again->sender.n_layers, 4);
        assert_int_equal(strlen(again->fingerprint), 32);
        json_t *first = tp_recipe_to_json(t->recipe), *second = tp_recipe_to_json(again->recipe);
        assert_true(json_equal(first, second));
        json_decref(first);
        json_decref(second);
        /* saved again it is the same, byte for byte */
        const char *files[] = {"adapter_config.json", "adapter_model.safetensors", "README.md"};
        char *bytes[3];
        size_t n[3];
        for (int f = 0; f < 3; f++) bytes[f] = bytes_of(folder, files[f], &n[f]);
        check_ok(tp_bridge_save(folder, again));
        for (int f = 0; f < 3; f++) {
            size_t m;
            char *now = bytes_of(folder, files[f], &m);
            assert_int_equal(m, n[f]);
            assert_memory_equal(now, bytes[f], m);
            tp_free(now);
            tp_free(bytes[f]);
        }
        /* another seed is another bridge */
        tp_trained_bridge *other = trained(4, variants[v]);
        check_ok(tp_bridge_save(folder, other));
        tp_trained_bridge *third = tp_bridge_load(folder);
        check_not_null(third);
        assert_string_not_equal(third->fingerprint, again->fingerprint);
        tp_trained_bridge_free(third);
        tp_trained_bridge_free(other);
        tp_trained_bridge_free(again);
        tp_trained_bridge_free(t);
        tp_free(folder);
        check_remove_dir(dir);
    }
}

static void a_bridge_refuses_models_it_was_not_trained_with(void **state) {
    (void)state;
    tp_trained_bridge *t = trained(3, "");
    tp_lm *sender = model(8, 'a'), *receiver = model(12, 'b'), *other = model(8, 'c'), *wide = model(16, 'b');
    check_ok(tp_bridge_check_models(t, "runs/x", sender, receiver));
    check_ok(tp_bridge_check_models(t, "runs/x", NULL, receiver));
    check_ok(tp_bridge_check_models(t, "runs/x", sender, NULL));
    assert_int_equal(tp_bridge_check_models(t, "runs/x", other, receiver), TP_ERR_ARGUMENT);
    assert_non_null(strstr(tp_last_error(), "runs/x was trained with another sender"));
    assert_non_null(strstr(tp_last_error(), "cccccccc"));
    assert_int_equal(tp_bridge_check_models(t, "runs/x", receiver, sender), TP_ERR_ARGUMENT);
    assert_int_equal(tp_bridge_check_models(t, "runs/x", sender, wide), TP_ERR_ARGUMENT);
    assert_non_null(strstr(tp_last_error(), "receiver"));
    tp_trained_bridge_free(t);
    tp_lm_free(sender);
    tp_lm_free(receiver);
    tp_lm_free(other);
    tp_lm_free(wide);
}

/* Loads the folder after one key of its configuration was changed (removed, if value is NULL). */
static void config_refused(const char *dir, const char *object, const char *key, json_t *value, const char *named) {
    char *path = tp_path_join(dir, "adapter_config.json");
    json_t *original = tp_json_load_file(path), *changed = json_deep_copy(original);
    json_t *at = *object ? json_object_get(changed, object) : changed;
    assert_non_null(at);
    if (value)
        json_object_set_new(at, key, value);
    else
        json_object_del(at, key);
    check_ok(tp_json_save_file(changed, path));
    tp_trained_bridge *t = tp_bridge_load(dir);
    if (t) fail_msg("accepted a changed %s.%s", object, key);
    if (strstr(tp_last_error(), named) == NULL || strstr(tp_last_error(), "adapter_") == NULL)
        fail_msg("%s.%s: the error does not name %s: %s", object, key, named, tp_last_error());
    check_ok(tp_json_save_file(original, path));
    json_decref(original);
    json_decref(changed);
    tp_free(path);
}

static void broken_configurations_are_refused(void **state) {
    (void)state;
    char *dir = check_temp_dir();
    assert_null(tp_bridge_load(dir));
    assert_non_null(strstr(tp_last_error(), "adapter_config.json"));
    tp_trained_bridge *t = trained(3, "");
    check_ok(tp_bridge_save(dir, t));
    config_refused(dir, "", "peft_type", json_string("LORA"), "this adapter is not a bridge");
    config_refused(dir, "", "peft_type", NULL, "`peft_type`");
    config_refused(dir, "", "colour", json_true(), "`colour`");
    config_refused(dir, "", "format_version", json_integer(2), "`format_version`");
    config_refused(dir, "", "recipe", NULL, "`recipe` is missing");
    config_refused(dir, "", "recipe", json_integer(3), "recipe");
    config_refused(dir, "", "labels", json_pack("[i]", 3), "`labels`");
    config_refused(dir, "", "labels", json_pack("[{s:s}]", "hex", "4g"), "`labels`");
    config_refused(dir, "", "labels", json_pack("[s]", "human"), "does not belong");
    config_refused(dir, "", "layer", json_integer(-1), "`layer`");
    config_refused(dir, "", "layer", json_integer(3), "does not belong");
    config_refused(dir, "sender", "fingerprint", json_string("zz"), "`sender.fingerprint`");
    config_refused(dir, "sender", "d_model", NULL, "`sender.d_model` is missing");
    config_refused(dir, "sender", "name2", json_true(), "`sender.name2`");
    config_refused(dir, "receiver", "d_model", json_integer(1 << 20), "numbers");
    config_refused(dir, "receiver", "d_model", json_integer(11), "output_proj");
    config_refused(dir, "recipe", "layout", json_string("{bos}{primer}{soft}"), "does not belong");
    config_refused(dir, "recipe", "steps", json_integer(3), "`steps`");
    json_t *bridge = json_pack("{s:i, s:i, s:i}", "width", 64, "heads", 2, "soft_tokens", 3);
    config_refused(dir, "recipe", "bridge", bridge, "does not belong");
    config_refused(dir, "recipe", "bridge", json_pack("{s:s, s:i}", "kind", "perceiver", "width", 16), "soft_tokens");
    tp_trained_bridge *again = tp_bridge_load(dir); /* all was put back */
    check_not_null(again);
    tp_trained_bridge_free(again);
    tp_trained_bridge_free(t);
    check_remove_dir(dir);
}

/* Writes the tensors again after `change` saw them, in place of the bridge's own. */
static void tensors_refused(const char *dir, int change, const char *named) {
    char *path = tp_path_join(dir, "adapter_model.safetensors");
    tp_trained_bridge *t = trained(3, "");
    check_ok(tp_bridge_save(dir, t));
    tp_safetensors *st = tp_safetensors_open(path);
    check_not_null(st);
    size_t n = tp_safetensors_count(st);
    tp_st_tensor *list = tp_alloc((n + 1) * sizeof *list);
    for (size_t i = 0; i < n; i++) list[i] = *tp_safetensors_get(st, i);
    char *hex = tp_strdup(tp_safetensors_metadata(st, "telepathy_config"));
    float bad[3 * 16] = {[5] = NAN};
    for (size_t i = 0; i < n; i++) {
        if (strcmp(list[i].name, "queries") != 0) continue;
        assert_int_equal(list[i].n_bytes, sizeof bad);
        if (change == 0) list[i].name = "answers";
        if (change == 1) list[i].data = bad;
        if (change == 2) list[i].shape[0] = 16, list[i].shape[1] = 3;
        if (change == 3) list[i].dtype = TP_I32;
    }
    if (change == 4)
        list[n++] =
            (tp_st_tensor){.name = "more", .dtype = TP_F32, .n_dims = 1, .shape = {2}, .data = bad, .n_bytes = 8};
    if (change == 5) hex[0] = hex[0] == '0' ? '1' : '0';
    tp_st_metadata metadata = {.key = change == 6 ? "other" : "telepathy_config", .value = hex};
    char *aside = tp_path_join(dir, "changed.safetensors");
    check_ok(tp_safetensors_write(aside, list, n, &metadata, 1));
    tp_safetensors_close(st);
    assert_int_equal(rename(aside, path), 0);
    tp_trained_bridge *read = tp_bridge_load(dir);
    if (read) fail_msg("change %d was accepted", change);
    if (strstr(tp_last_error(), named) == NULL || strstr(tp_last_error(), "adapter_model.safetensors") == NULL)
        fail_msg("change %d: the error does not name %s: %s", change, named, tp_last_error());
    tp_trained_bridge_free(t);
    tp_free(aside);
    tp_free(list);
    tp_free(hex);
    tp_free(path);
}

static void broken_tensors_are_refused(void **state) {
    (void)state;
    char *dir = check_temp_dir();
    tensors_refused(dir, 0, "queries");
    tensors_refused(dir, 1, "tensor queries holds nan");
    tensors_refused(dir, 2, "queries");
    tensors_refused(dir, 3, "tensor queries is of type i32");
    tensors_refused(dir, 4, "tensors");
    tensors_refused(dir, 5, "does not belong");
    tensors_refused(dir, 6, "does not belong");
    char *path = tp_path_join(dir, "adapter_model.safetensors");
    assert_int_equal(unlink(path), 0);
    assert_null(tp_bridge_load(dir));
    assert_non_null(strstr(tp_last_error(), "adapter_model.safetensors"));
    tp_free(path);
    check_remove_dir(dir);
}

/* Checked before memory is taken: the count must be what build attaches. */
static void families_count_what_they_attach(void **state) {
    (void)state;
    tp_bridge_recipe recipe = {
        .kind = "perceiver", .soft_tokens = 7, .depth = 3, .heads = 2, .width = 10, .ffn_multiple = 3};
    for (int v = 0; v < 3; v++) {
        recipe.learnable_normaliser = v == 1;
        recipe.normaliser = v == 2 ? TP_NORMALISER_NONE : TP_NORMALISER_WHITEN;
        tp_bridge *b = tp_bridge_new(&recipe, 9, 11, NULL, 1);
        check_not_null(b);
        assert_int_equal(tp_bridge_count(&recipe, 9, 11), tp_bridge_n_parameters(b) + (v == 0 ? 40 : 0));
        tp_bridge_free(b);
    }
}

static void an_unwritable_folder_is_an_error(void **state) {
    (void)state;
    char *dir = check_temp_dir();
    char *file = tp_path_join(dir, "file");
    check_ok(tp_write_file(file, "x", 1));
    char *folder = tp_path_join(file, "bridge");
    tp_trained_bridge *t = trained(3, "");
    assert_int_equal(tp_bridge_save(folder, t), TP_ERR_IO);
    assert_non_null(strstr(tp_last_error(), "file"));
    tp_trained_bridge_free(t);
    tp_free(folder);
    tp_free(file);
    check_remove_dir(dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_bridge_reads_back_to_the_bit),
        cmocka_unit_test(its_card_says_what_it_is),
        cmocka_unit_test(a_bridge_refuses_models_it_was_not_trained_with),
        cmocka_unit_test(broken_configurations_are_refused),
        cmocka_unit_test(broken_tensors_are_refused),
        cmocka_unit_test(families_count_what_they_attach),
        cmocka_unit_test(an_unwritable_folder_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
