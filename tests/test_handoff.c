/* Chains and broadcasts: a chain is what its steps by hand give, through soft tokens and through injected keys and
 * values; a broadcast is each relay by itself; runs that do not fit are refused; the command prints the same. */
#include "tiny_training.h"

#include "base/mem.h"
#include "bridge/handoff.h"
#include "wire/packet.h"

#include <math.h>

static tiny_stage stage;
static tp_relay *there, *deep, *injected, *back; /* sender -> receiver at three taps; receiver -> sender */

static const char text[] = "I saw green there.";

static tp_relay *make(const char *name, const char *changes, const tp_lm *sender, const tp_lm *receiver) {
    char *out = tp_path_join(stage.dir, name);
    tp_recipe *recipe = tiny_recipe(changes);
    recipe->optimiser.steps = 10;
    tp_train_result result;
    check_ok(tp_train(
        &(tp_train_options){
            .recipe = recipe, .sender = sender, .receiver = receiver, .task = stage.task, .out = out, .save_every = 0},
        &result));
    tp_recipe_free(recipe);
    tp_relay *relay = tp_relay_load(out, sender, receiver);
    check_not_null(relay);
    free(out);
    return relay;
}

static int set_up(void **state) {
    (void)state;
    stage = tiny_stage_make();
    there = make("there", "{\"sender\": {\"layer\": 2}}", stage.sender, stage.receiver);
    deep = make("deep", "{\"sender\": {\"layers\": [1, 3]}}", stage.sender, stage.receiver);
    injected = make("injected", "{\"sender\": {\"layer\": 4}, \"bridge\": {\"injection\": \"kv\"}}", stage.sender,
                    stage.receiver);
    back = make("back", "{\"sender\": {\"layer\": 1}}", stage.receiver, stage.sender);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    tp_relay_free(there);
    tp_relay_free(deep);
    tp_relay_free(injected);
    tp_relay_free(back);
    tiny_stage_free(&stage);
    return 0;
}

static tp_tape *frozen(void) {
    tp_tape *tape = tp_tape_new(TP_MATH_F32);
    tape->frozen = true;
    return tape;
}

/* Soft tokens of the text through one relay. */
static tp_var *alone(const tp_relay *relay, tp_tape *tape, tp_dtype sent) {
    tp_ids ids = {0};
    check_ok(tp_tap_tokens(&relay->tap, text, strlen(text), &ids, NULL));
    int64_t n = (int64_t)ids.len, *offsets = tp_arena_alloc(tape->arena, 2 * sizeof *offsets);
    offsets[0] = 0, offsets[1] = n;
    tp_var *states = tp_var_new(tape, n, tp_tap_width(&relay->tap));
    tp_tape *scratch = frozen();
    tp_tap_run(&relay->tap, scratch, ids.data, n, states->data);
    tp_tape_free(scratch);
    tp_ids_free(&ids);
    tp_var *soft = tp_relay_soft(relay, tape, states, offsets, 1);
    tp_packet_cross(sent, soft->data, soft->rows, soft->cols);
    return soft;
}

static void a_chain_is_its_steps_by_hand(void **state) {
    (void)state;
    tp_relay *relays[2] = {there, back};
    check_ok(tp_chain_check(relays, 2));
    tp_tape *tape = frozen(), *other = frozen();
    tp_var *soft = tp_chain_soft(relays, 2, tape, text, strlen(text), TP_F16);
    check_not_null(soft);
    /* "{bos}{soft}{primer}": the receiver's rows are laid out here, its states read up to layer 1 */
    const tp_lm *lm = stage.receiver;
    int64_t d = lm->config.d_model;
    tp_var *first = alone(there, other, TP_F16);
    tp_ids primer = {0};
    check_ok(tp_tokenizer_encode(lm->tokenizer, there->recipe->primer, strlen(there->recipe->primer), TP_TOKENS_PLAIN,
                                 &primer));
    int64_t n = 1 + first->rows + (int64_t)primer.len, offsets[2] = {0, n};
    tp_var *x = tp_var_new(other, n, d);
    int32_t bos = tp_tokenizer_bos(lm->tokenizer);
    memcpy(x->data, tp_lm_embed(other, lm, &bos, 1)->data, (size_t)d * sizeof(float));
    memcpy(x->data + d, first->data, (size_t)(first->rows * d) * sizeof(float));
    if (primer.len > 0)
        memcpy(x->data + (1 + first->rows) * d, tp_lm_embed(other, lm, primer.data, (int64_t)primer.len)->data,
               primer.len * (size_t)d * sizeof(float));
    tp_batch batch = {.n_sequences = 1, .offsets = offsets};
    tp_var *states = tp_lm_blocks(other, lm, x, &batch, 0, 1);
    tp_var *expected = tp_relay_soft(back, other, states, offsets, 1);
    tp_packet_cross(TP_F16, expected->data, expected->rows, expected->cols);
    assert_int_equal(soft->rows, expected->rows);
    assert_int_equal(soft->cols, stage.sender->config.d_model);
    assert_memory_equal(soft->data, expected->data, (size_t)(soft->rows * soft->cols) * sizeof(float));
    tp_ids_free(&primer);
    tp_tape_free(tape);
    tp_tape_free(other);
}

/* The middle model attends to injected keys and values: its states are those of a batch that has them. */
static void a_chain_goes_through_injected_keys_and_values(void **state) {
    (void)state;
    tp_relay *relays[2] = {injected, back};
    check_ok(tp_chain_check(relays, 2));
    tp_tape *tape = frozen(), *other = frozen();
    tp_var *soft = tp_chain_soft(relays, 2, tape, text, strlen(text), TP_F32);
    check_not_null(soft);
    tp_var *first = alone(injected, other, TP_F32);
    tp_prompts prompts;
    check_ok(tp_relay_prompts(injected, other, first, NULL, 1, &prompts));
    assert_non_null(prompts.before);
    tp_kv_cache *cache = tp_kv_cache_new_behind(stage.receiver, prompts.before, 1, 40);
    check_not_null(cache);
    int64_t slot = 0, rows = prompts.offsets[1];
    tp_kv_cache_go_on(cache, 0, 0);
    tp_batch batch = {.n_sequences = 1,
                      .offsets = prompts.offsets,
                      .cache = cache,
                      .slots = &slot,
                      .injected = first,
                      .n_injected = first->rows};
    tp_var *x = tp_var_new(other, rows, stage.receiver->config.d_model);
    memcpy(x->data, prompts.rows, (size_t)(x->rows * x->cols) * sizeof(float));
    tp_var *states = tp_lm_blocks(other, stage.receiver, x, &batch, 0, 1);
    tp_var *expected = tp_relay_soft(back, other, states, prompts.offsets, 1);
    for (int64_t i = 0; i < soft->rows * soft->cols; i++) assert_true(fabsf(soft->data[i] - expected->data[i]) < 1e-5f);
    tp_kv_cache_free(cache);
    tp_tape_free(tape);
    tp_tape_free(other);
}

static void a_broadcast_is_each_relay_by_itself(void **state) {
    (void)state;
    tp_relay *relays[3] = {there, deep, injected};
    check_ok(tp_broadcast_check(relays, 3));
    tp_tape *tape = frozen(), *other = frozen();
    tp_var *soft[3];
    static const tp_dtype types[] = {TP_F16, TP_I4};
    for (int t = 0; t < 2; t++) {
        check_ok(tp_broadcast_soft(relays, 3, tape, text, strlen(text), types[t], soft));
        for (int i = 0; i < 3; i++) {
            tp_var *expected = alone(relays[i], other, types[t]);
            assert_int_equal(soft[i]->cols, expected->cols);
            assert_memory_equal(soft[i]->data, expected->data, (size_t)(soft[i]->rows * soft[i]->cols) * sizeof(float));
        }
    }
    tp_tape_free(tape);
    tp_tape_free(other);
}

static void what_does_not_fit_is_refused(void **state) {
    (void)state;
    tp_relay *no_chain[2] = {there, deep}, *no_broadcast[2] = {there, back};
    assert_int_equal(tp_chain_check(no_chain, 2), TP_ERR_ARGUMENT);
    assert_non_null(strstr(tp_last_error(), "bridges 1 and 2 make no chain"));
    assert_int_equal(tp_broadcast_check(no_broadcast, 2), TP_ERR_ARGUMENT);
    assert_non_null(strstr(tp_last_error(), "no sender in common"));
    tp_relay asks_less = *deep;
    asks_less.tap.max_tokens--;
    no_broadcast[1] = &asks_less;
    assert_int_equal(tp_broadcast_check(no_broadcast, 2), TP_ERR_ARGUMENT);
    assert_non_null(strstr(tp_last_error(), "do not ask the sender the same"));
}

/* The command's output for the arguments. */
static char *output_of(const char *arguments, int *status) {
    static char out[8192];
    char command[9000];
    snprintf(command, sizeof command, "cd '%s' && '%s/telepathy' handoff %s 2>&1", stage.dir, TP_BINARY_DIR, arguments);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    out[fread(out, 1, sizeof out - 1, pipe)] = 0;
    *status = pclose(pipe);
    return out;
}

static int32_t best_of(const tp_relay *relay, tp_tape *tape, tp_var *soft) {
    tp_prompts prompts;
    int32_t best;
    check_ok(tp_relay_prompts(relay, tape, soft, NULL, 1, &prompts));
    check_ok(tp_relay_best(relay, &prompts, &best, NULL, NULL));
    return best;
}

static void the_command_prints_what_the_library_says(void **state) {
    (void)state;
    tp_tape *tape = frozen();
    tp_relay *chain[2] = {there, back};
    int status;
    json_t *found = json_loads(output_of("there back --json --text 'I saw green there.'", &status), 0, NULL);
    assert_int_equal(status, 0);
    assert_int_equal(json_array_size(found), 1);
    tp_var *soft = tp_chain_soft(chain, 2, tape, text, strlen(text), TP_F16);
    json_t *row = json_array_get(found, 0);
    assert_string_equal(json_string_value(json_object_get(row, "label")), back->label_names[best_of(back, tape, soft)]);
    assert_int_equal(json_integer_value(json_object_get(row, "packet_bytes")), 56 + 3 * 32 * 2);
    json_decref(found);
    found = json_loads(
        output_of("--broadcast there injected --packet int8 --json --text 'I saw green there.'", &status), 0, NULL);
    assert_int_equal(status, 0);
    assert_int_equal(json_array_size(found), 2);
    tp_relay *both[2] = {there, injected};
    tp_var *each[2];
    check_ok(tp_broadcast_soft(both, 2, tape, text, strlen(text), TP_I8, each));
    for (size_t i = 0; i < 2; i++) {
        row = json_array_get(found, i);
        assert_string_equal(json_string_value(json_object_get(row, "label")),
                            both[i]->label_names[best_of(both[i], tape, each[i])]);
        assert_int_equal(json_integer_value(json_object_get(row, "packet_bytes")), 56 + 3 * ((i ? 48 : 24) + 4));
    }
    json_decref(found);
    assert_non_null(strstr(output_of("there back --text hello", &status), "packet bytes"));
    assert_int_equal(status, 0);
    assert_non_null(strstr(output_of("there there --text hello", &status), "make no chain"));
    assert_int_not_equal(status, 0);
    tp_tape_free(tape);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_chain_is_its_steps_by_hand),
        cmocka_unit_test(a_chain_goes_through_injected_keys_and_values),
        cmocka_unit_test(a_broadcast_is_each_relay_by_itself),
        cmocka_unit_test(what_does_not_fit_is_refused),
        cmocka_unit_test(the_command_prints_what_the_library_says),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
