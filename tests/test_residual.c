/* The residual form: a layout with {text} beside {soft}, in which the receiver reads the text as well. It trains,
 * resumes, evaluates and relays like any other; its bytes count the text; and a packet of zeros is the receiver that
 * reads the text with rows of zeros in the packet's place. */
#include "tiny_stage.h"

#include "bridge/relay.h"
#include "eval/evaluate.h"
#include "eval/single.h"
#include "eval/texts.h"

static const char layout[] = "{bos}{soft}{text}\n{primer}";
static const char residual[] = "{\"layout\": \"{bos}{soft}{text}\\n{primer}\", \"primer\": \"Kind:\"}";

static void it_goes_on_bit_by_bit(void **state) {
    (void)state;
    tiny_check_resume(&stage, stage.task, residual);
}

/* Rows of zeros among the text's own, laid out by hand. */
static void zeros_by_hand(const tp_relay *relay, int32_t *best) {
    const tp_lm *lm = stage.receiver;
    const tp_tokenizer *t = lm->tokenizer;
    int64_t d = lm->config.d_model, n = (int64_t)stage.task->test.n;
    tp_ids answers[3];
    for (int l = 0; l < 3; l++) answers[l] = *tp_layout_label(relay->layout, l);
    for (int64_t i = 0; i < n; i++) {
        const tp_example *e = &stage.task->test.examples[i];
        tp_str text = {0};
        tp_str_append(&text, e->text, e->len);
        tp_str_append_text(&text, "\nKind:");
        tp_ids ids = {0};
        check_ok(tp_tokenizer_encode(t, text.data, text.len, TP_TOKENS_PLAIN, &ids));
        int64_t offsets[2] = {0, 1 + 3 + (int64_t)ids.len};
        tp_tape *tape = tp_tape_new(TP_MATH_F32);
        tape->frozen = true;
        tp_var *x = tp_var_new(tape, offsets[1], d);
        memset(x->data, 0, (size_t)(x->rows * d) * sizeof(float));
        int32_t bos = tp_tokenizer_bos(t);
        memcpy(x->data, tp_lm_embed(tape, lm, &bos, 1)->data, (size_t)d * sizeof(float));
        memcpy(x->data + 4 * d, tp_lm_embed(tape, lm, ids.data, (int64_t)ids.len)->data,
               ids.len * (size_t)d * sizeof(float));
        tp_prompts prompt = {.rows = x->data, .offsets = offsets, .n = 1};
        check_ok(tp_best_answers(lm, TP_MATH_F32, &prompt, answers, 3, &best[i], NULL, NULL));
        tp_tape_free(tape);
        tp_ids_free(&ids);
        tp_str_free(&text);
    }
}

static void it_evaluates_and_counts_the_text(void **state) {
    (void)state;
    tp_train_result trained;
    check_ok(tiny_train(&stage, stage.task, "whole", residual, 0, &trained));
    bool wanted[TP_MOST_METHODS] = {false};
    for (int m = 0; tp_methods[m]; m++)
        wanted[m] = tp_methods[m]->group == TP_GROUP_BRIDGE || tp_methods[m]->group == TP_GROUP_CONTROL ||
                    tp_methods[m] == &tp_method_pca;
    char *folder = tp_path_join(stage.dir, "whole");
    const char *runs[1] = {folder};
    tp_results *results[1];
    check_ok(tp_evaluate_runs(&(tp_evaluate_options){.runs = runs,
                                                     .n_runs = 1,
                                                     .sender = stage.sender,
                                                     .receiver = stage.receiver,
                                                     .task = stage.task,
                                                     .wanted = wanted},
                              results));
    double text = tp_texts_mean_bytes(&stage.task->test), packet = 3 * 24 * 2 + 56;
    assert_true(text > 10);
    const tp_method *const with_packet[] = {&tp_method_bridge, &tp_method_zero, &tp_method_noise, &tp_method_shuffled};
    for (int i = 0; i < 4; i++) assert_true(tp_results_get(results[0], with_packet[i])->bytes == packet + text);
    assert_true(tp_results_get(results[0], &tp_method_receiver_alone)->bytes == text);
    assert_non_null(strstr(tp_results_get(results[0], &tp_method_bridge)->note, "reads the text as well"));

    tp_relay *relay = tp_relay_load(folder, stage.sender, stage.receiver);
    check_not_null(relay);
    assert_string_equal(relay->recipe->layout, layout);
    int32_t best[200];
    zeros_by_hand(relay, best);
    const tp_predictions *zero = &tp_results_get(results[0], &tp_method_zero)->readings[TP_READ_SCORE].predictions;
    for (size_t i = 0; i < stage.task->test.n; i++) assert_int_equal(zero->labels[i], best[i]);

    /* one text by itself says what the evaluation of its row says */
    const tp_predictions *all = &tp_results_get(results[0], &tp_method_bridge)->readings[TP_READ_SCORE].predictions;
    for (int i = 0; i < 5; i++) {
        tp_single single;
        const tp_example *e = &stage.task->test.examples[i];
        check_ok(tp_single_run(relay, stage.task, e->text, e->len, &single));
        assert_int_equal(single.best, all->labels[i]);
        tp_single_free(&single);
    }
    tp_relay_free(relay);
    tp_results_free(results[0]);
    free(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_goes_on_bit_by_bit),
        cmocka_unit_test(it_evaluates_and_counts_the_text),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
