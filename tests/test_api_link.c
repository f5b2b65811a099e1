/* include/telepathy.h: texts become ids and texts again, and a bridge works with its two ends apart. */
#include "api_fixture.h"
#include "tiny_pair.h"

#include "bridge/relay.h"
#include "wire/packet.h"

/* dir/sender and dir/receiver, and dir/bridge (untrained, which changes nothing here) with another seed in dir/other,
 * and for a receiver that reads the text too in dir/reading. */
static int make_pair(void **state) {
    char *dir = check_temp_dir();
    tiny_pair_make(dir);
    tiny_pair_write_task(dir, 90);
    tiny_pair_recipe(dir, "recipe.json", 1);
    char *paths[6];
    const char *names[6] = {"recipe.json", "train.csv", "test.csv", "bridge", "other", "reading"};
    for (int i = 0; i < 6; i++) paths[i] = tp_path_join(dir, names[i]);
    tp_lm *sender = tiny_pair_load(dir, "sender"), *receiver = tiny_pair_load(dir, "receiver");
    tp_task *task = tp_task_load(&(tp_task_options){.train_file = paths[1], .test_file = paths[2]});
    check_not_null(task);
    for (int i = 3; i < 6; i++) {
        tp_recipe *recipe = tp_recipe_load(paths[0]);
        check_not_null(recipe);
        if (i == 5) {
            tp_free(recipe->layout);
            recipe->layout = tp_strdup("{bos}{soft}{text} {primer}");
        }
        tp_relay *relay = tp_relay_new(recipe, sender, receiver, task);
        check_not_null(relay);
        tp_bridge *bridge = tp_bridge_new(&recipe->bridge, 32, 24, NULL, (uint64_t)i);
        check_not_null(bridge);
        tp_relay_set_bridge(relay, bridge, task);
        check_ok(tp_bridge_save(paths[i], relay->trained));
        tp_relay_free(relay);
    }
    tp_task_free(task);
    tp_lm_free(sender);
    tp_lm_free(receiver);
    for (int i = 0; i < 6; i++) tp_free(paths[i]);
    *state = dir;
    return 0;
}

static int remove_pair(void **state) {
    check_remove_dir(*state);
    return 0;
}

static tp_link *open_in(const char *dir, const char *name, const tp_engine *sender, const tp_engine *receiver) {
    char *path = tp_path_join(dir, name);
    tp_link *link = tp_link_open(path, sender, receiver);
    tp_free(path);
    return link;
}

static void texts_become_ids_and_texts_again(void **state) {
    const char *names[2] = {"sender", "receiver"}, text[] = "Tell me of cats, \xFF please.";
    for (int k = 0; k < 2; k++) {
        tp_engine *engine = load_in(*state, names[k]);
        const tp_engine_facts *facts = tp_engine_get_facts(engine);
        assert_true(facts->has_tokenizer && facts->n_eos == 1 && facts->d_model == (k ? 24 : 32));
        assert_string_equal(facts->family, k ? "mistral" : "llama");
        assert_int_equal(strlen(facts->fingerprint), 32);
        int64_t n, none;
        size_t length, total = 0;
        int32_t *ids = tp_engine_tokenize(engine, text, strlen(text), TP_TOKENS_ADD_SPECIAL, &n);
        check_not_null(ids);
        assert_true(n > 2 && n < (int64_t)strlen(text));
        char *back = tp_engine_detokenize(engine, ids, n, TP_TOKENS_SKIP_SPECIAL, &length);
        assert_int_equal(length, strlen(text));
        assert_memory_equal(back, text, length);
        for (int64_t i = 1; i < n; i++) { /* behind BOS */
            size_t piece;
            check_not_null(tp_engine_piece(engine, ids[i], &piece));
            total += piece;
        }
        assert_int_equal(total, strlen(text) + (size_t)k); /* SentencePiece puts a blank in front */
        assert_null(tp_engine_piece(engine, 100000, &length));
        assert_int_equal(length, 0);
        tp_free(back);
        tp_free(ids);
        ids = tp_engine_tokenize(engine, NULL, 0, TP_TOKENS_PLAIN, &none);
        check_not_null(ids);
        assert_int_equal(none, 0);
        tp_free(ids);
        tp_engine_free(engine);
    }
}

/* ---- links ---- */

static void a_link_works_with_its_ends_apart(void **state) {
    tp_engine *sender = load_in(*state, "sender"), *receiver = load_in(*state, "receiver");
    tp_link *both = open_in(*state, "bridge", sender, receiver), *there = open_in(*state, "bridge", NULL, receiver);
    tp_link *here = open_in(*state, "bridge", sender, NULL), *other = open_in(*state, "other", sender, receiver);
    check_not_null(both);
    check_not_null(here);
    check_not_null(there);
    check_not_null(other);
    const tp_link_facts *facts = tp_link_get_facts(here);
    assert_int_equal(facts->n_soft, 3);
    assert_int_equal(facts->width, 24);
    assert_int_equal(facts->n_labels, 3);
    assert_false(facts->reads_text);
    assert_string_equal(facts->fingerprint, tp_link_get_facts(there)->fingerprint);
    assert_string_not_equal(facts->fingerprint, tp_link_get_facts(other)->fingerprint);

    /* what this floor says is what the bridge floor says */
    const char *text = "Nobody knows cat like that.";
    size_t n = strlen(text), n_packet;
    char *path = tp_path_join(*state, "bridge");
    tp_lm *s = tiny_pair_load(*state, "sender"), *r = tiny_pair_load(*state, "receiver");
    tp_relay *relay = tp_relay_load(path, s, r);
    check_not_null(relay);
    tp_ids ids = {0};
    check_ok(tp_tap_tokens(&relay->tap, text, n, &ids, NULL));
    tp_tape *tape = tp_tape_new(relay->recipe->math);
    tape->frozen = true;
    float *hidden = tp_alloc(ids.len * 32 * sizeof *hidden), soft[3 * 24], arrived[3 * 24];
    tp_tap_run(&relay->tap, tape, ids.data, (int64_t)ids.len, hidden);
    tp_tape_reset(tape);
    const tp_var *wanted = tp_relay_soft(relay, tape, tp_var_wrap(tape, hidden, (int64_t)ids.len, 32),
                                         (const int64_t[]){0, (int64_t)ids.len}, 1);
    bool truncated = true;
    check_ok(tp_link_soft(here, text, n, soft, &truncated));
    assert_false(truncated);
    assert_memory_equal(soft, wanted->data, sizeof soft);

    double scores[3], directly[3];
    unsigned char *packet = tp_link_pack(here, soft, "f32", &n_packet);
    check_not_null(packet);
    assert_int_equal(n_packet, 56 + sizeof soft);
    check_ok(tp_link_unpack(there, packet, n_packet, arrived));
    assert_memory_equal(arrived, soft, sizeof soft);
    check_ok(tp_link_score(there, arrived, NULL, 0, scores));
    check_ok(tp_link_score(both, soft, text, n, directly));
    assert_memory_equal(scores, directly, sizeof scores);
    tp_prompts prompts;
    check_ok(tp_relay_prompts(relay, tape, tp_var_wrap(tape, soft, 3, 24), NULL, 1, &prompts));
    check_ok(tp_relay_score(relay, &prompts, directly));
    assert_memory_equal(scores, directly, sizeof scores);
    char *answer = tp_link_generate(there, arrived, NULL, 0, 0), *expected;
    check_not_null(answer);
    check_ok(tp_relay_generate(relay, &prompts, tp_relay_longest_answer(relay), &expected));
    assert_string_equal(answer, expected);
    tp_free(answer);
    tp_free(expected);

    /* each end refuses the other's work, foreign packets and damaged ones */
    assert_int_equal(tp_link_soft(there, text, n, soft, NULL), TP_ERR_ARGUMENT);
    assert_int_equal(tp_link_score(here, soft, text, n, scores), TP_ERR_ARGUMENT);
    assert_null(tp_link_generate(here, soft, text, n, 4));
    assert_int_equal(tp_link_unpack(other, packet, n_packet, arrived), TP_ERR_ARGUMENT);
    assert_non_null(strstr(tp_last_error(), "another bridge"));
    packet[60] ^= 1;
    assert_int_equal(tp_link_unpack(there, packet, n_packet, arrived), TP_ERR_FORMAT);
    tp_free(packet);
    packet = tp_link_pack(both, soft, "i8", &n_packet);
    check_not_null(packet);
    assert_int_equal(n_packet, 56 + 3 * 4 + 3 * 24);
    check_ok(tp_link_unpack(both, packet, n_packet, arrived));
    assert_true(difference(arrived, soft, 72) < 1.0 / 127);
    tp_free(packet);
    assert_null(tp_link_pack(both, soft, "f33", &n_packet));
    assert_null(tp_link_pack(both, soft, "i64", &n_packet));
    soft[5] = NAN;
    assert_int_equal(tp_link_score(both, soft, NULL, 0, scores), TP_ERR_ARGUMENT);
    assert_null(tp_link_generate(both, arrived, NULL, 0, 100000));

    /* models other than those it was trained for */
    assert_null(tp_link_open(path, receiver, sender));
    assert_non_null(strstr(tp_last_error(), "another sender"));
    assert_null(tp_link_open(path, NULL, sender));
    assert_non_null(strstr(tp_last_error(), "another receiver"));
    assert_null(tp_link_open(path, NULL, NULL));
    assert_null(tp_link_open(*state, sender, receiver));

    tp_free(path);
    tp_free(hidden);
    tp_ids_free(&ids);
    tp_tape_free(tape);
    tp_relay_free(relay);
    tp_lm_free(s);
    tp_lm_free(r);
    tp_link_free(both);
    tp_link_free(here);
    tp_link_free(there);
    tp_link_free(other);
    tp_link_free(NULL);
    tp_engine_free(sender);
    tp_engine_free(receiver);
}

static void a_receiver_may_read_the_text_too(void **state) {
    tp_engine *receiver = load_in(*state, "receiver");
    tp_link *link = open_in(*state, "reading", NULL, receiver);
    check_not_null(link);
    assert_true(tp_link_get_facts(link)->reads_text);
    float soft[3 * 24] = {0.5f};
    double one[3], two[3], again[3];
    check_ok(tp_link_score(link, soft, "a cat", 5, one));
    check_ok(tp_link_score(link, soft, "seven", 5, two));
    check_ok(tp_link_score(link, soft, "a cat and more", 5, again));
    assert_memory_equal(one, again, sizeof one);
    assert_memory_not_equal(one, two, sizeof one);
    assert_int_equal(tp_link_score(link, soft, NULL, 0, one), TP_ERR_ARGUMENT);
    assert_null(tp_link_generate(link, soft, NULL, 0, 2));
    tp_link_free(link);
    tp_engine_free(receiver);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_become_ids_and_texts_again),
        cmocka_unit_test(a_link_works_with_its_ends_apart),
        cmocka_unit_test(a_receiver_may_read_the_text_too),
    };
    return cmocka_run_group_tests(tests, make_pair, remove_pair);
}
