/* The bridge with packets of each type of numbers: what is evaluated is what packets carry, byte by byte and answer by
 * answer. */
#define TINY_RUN_STEPS 60
#include "tiny_finished_run.h"

#include "eval/evaluate.h"
#include "eval/single.h"
#include "wire/packet.h"

static const struct {
    const tp_method *method;
    tp_dtype dtype;
    double bytes; /* of 3 soft tokens of 24 numbers */
} types[] = {{&tp_method_bridge_f32, TP_F32, 56 + 3 * 24 * 4},
             {&tp_method_bridge, TP_F16, 56 + 3 * 24 * 2},
             {&tp_method_bridge_bf16, TP_BF16, 56 + 3 * 24 * 2},
             {&tp_method_bridge_int8, TP_I8, 56 + 3 * (24 + 4)},
             {&tp_method_bridge_int4, TP_I4, 56 + 3 * (24 / 2 + 4)}};

/* The label that the receiver gives the row when its packet has really been encoded and decoded. */
static int32_t by_packet(const tp_example *row, tp_dtype dtype) {
    tp_ids ids = {0};
    check_ok(tp_tap_tokens(&relay->tap, row->text, row->len, &ids, NULL));
    int64_t n = (int64_t)ids.len, offsets[2] = {0, n};
    tp_tape *tapes[2] = {tp_tape_new(relay->recipe->math), tp_tape_new(relay->recipe->math)};
    tapes[0]->frozen = tapes[1]->frozen = true;
    tp_var *hidden = tp_var_new(tapes[1], n, sender->config.d_model);
    tp_tap_run(&relay->tap, tapes[0], ids.data, n, hidden->data);
    const tp_var *soft = tp_relay_soft(relay, tapes[1], hidden, offsets, 1);
    tp_packet_info info = {.n_tokens = soft->rows, .width = soft->cols, .dtype = dtype};
    unsigned char *bytes;
    size_t size;
    float *back;
    check_ok(tp_packet_encode(soft->data, &info, &bytes, &size));
    check_ok(tp_packet_decode(bytes, size, "packet", &info, &back));
    tp_prompts prompts;
    check_ok(
        tp_relay_prompts(relay, tapes[1], tp_var_wrap(tapes[1], back, info.n_tokens, info.width), row, 1, &prompts));
    int32_t best;
    check_ok(tp_relay_best(relay, &prompts, &best, NULL, NULL));
    tp_free(back);
    tp_free(bytes);
    tp_tape_free(tapes[0]);
    tp_tape_free(tapes[1]);
    tp_ids_free(&ids);
    return best;
}

static void each_type_is_what_its_packets_carry(void **state) {
    (void)state;
    bool wanted[TP_MOST_METHODS] = {false};
    for (size_t t = 0; t < sizeof types / sizeof types[0]; t++)
        for (int m = 0; tp_methods[m]; m++) wanted[m] = wanted[m] || tp_methods[m] == types[t].method;
    const char *runs[1] = {run};
    tp_results *results[1];
    check_ok(tp_evaluate_runs(
        &(tp_evaluate_options){
            .runs = runs, .n_runs = 1, .sender = sender, .receiver = receiver, .task = task, .wanted = wanted},
        results));
    for (size_t t = 0; t < sizeof types / sizeof types[0]; t++) {
        const tp_method_result *r = tp_results_get(results[0], types[t].method);
        check_not_null(r);
        assert_true(r->bytes == types[t].bytes);
        for (size_t i = 0; i < task->test.n; i++)
            assert_int_equal(r->readings[TP_READ_SCORE].predictions.labels[i],
                             by_packet(&task->test.examples[i], types[t].dtype));
    }
    tp_results_free(results[0]);
}

/* A packet that one end made is answered by the other, which has no sender, as in one piece; not so one of another
 * bridge, nor one that was damaged. */
static void the_two_ends_may_be_apart(void **state) {
    (void)state;
    tp_relay *end = tp_relay_load(run, NULL, receiver);
    check_not_null(end);
    for (size_t t = 0; t < sizeof types / sizeof types[0]; t++)
        for (size_t i = 0; i < 4; i++) {
            const tp_example *row = &task->test.examples[i];
            tp_single whole, received;
            check_ok(tp_single_run_as(relay, task, types[t].dtype, row->text, row->len, &whole));
            assert_int_equal(whole.packet.total, (size_t)types[t].bytes);
            assert_int_equal(whole.best, by_packet(row, types[t].dtype));
            check_ok(tp_single_receive(end, task, whole.bytes, whole.packet.total, "p", "", 0, &received));
            assert_int_equal(received.sent, types[t].dtype);
            assert_int_equal(received.best, whole.best);
            assert_string_equal(received.written, whole.written);
            for (int l = 0; l < 3; l++) assert_true(received.probabilities[l] == whole.probabilities[l]);
            tp_single_free(&received);
            whole.bytes[60] ^= 1;
            assert_int_equal(tp_single_receive(end, task, whole.bytes, whole.packet.total, "p", "", 0, &received),
                             TP_ERR_FORMAT);
            tp_single_free(&whole);
        }
    float soft[3 * 24] = {0};
    tp_packet_info info = {.n_tokens = 3, .width = 24, .dtype = TP_F32};
    snprintf(info.receiver, sizeof info.receiver, "%s", receiver->fingerprint);
    snprintf(info.bridge, sizeof info.bridge, "%s", "00112233445566778899aabbccddeeff");
    unsigned char *bytes;
    size_t n;
    tp_single received;
    check_ok(tp_packet_encode(soft, &info, &bytes, &n));
    assert_int_equal(tp_single_receive(end, task, bytes, n, "from afar", "", 0, &received), TP_ERR_ARGUMENT);
    assert_non_null(strstr(tp_last_error(), "from afar is from another bridge"));
    tp_free(bytes);
    tp_relay_free(end);
}

static void the_program_writes_and_reads_packets(void **state) {
    (void)state;
    char command[9000], first[4096], second[4096];
    const char *const commands[2] = {"'I saw green there.' --packet int4 --write", "--read"};
    for (int k = 0; k < 2; k++) {
        char *out = k ? second : first;
        snprintf(command, sizeof command, "'%s/telepathy' relay '%s' %s '%s/p' --json", TP_BINARY_DIR, run, commands[k],
                 dir);
        FILE *pipe = popen(command, "r");
        assert_non_null(pipe);
        out[fread(out, 1, 4095, pipe)] = 0;
        assert_int_equal(pclose(pipe), 0);
    }
    json_t *a = json_loads(first, 0, NULL), *b = json_loads(second, 0, NULL);
    assert_true(json_equal(json_object_get(a, "labels"), json_object_get(b, "labels")));
    assert_true(json_equal(json_object_get(a, "packet"), json_object_get(b, "packet")));
    assert_string_equal(json_string_value(json_object_get(b, "packet_type")), "i4");
    json_decref(a);
    json_decref(b);
    snprintf(command, sizeof command, "%s/p", dir);
    assert_int_equal(tp_file_size(command), 56 + 3 * (24 / 2 + 4));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_type_is_what_its_packets_carry),
        cmocka_unit_test(the_two_ends_may_be_apart),
        cmocka_unit_test(the_program_writes_and_reads_packets),
    };
    return cmocka_run_group_tests(tests, tiny_run_set_up, tiny_run_tear_down);
}
