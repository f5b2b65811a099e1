/* train/objective: the gradient of every loss of its own, through the whole receiver, the bridge and the losses' heads,
 * is that of central differences; what PyTorch cannot be asked (the question's words, the teacher) is computed again
 * here. Values and gradients of each loss by itself are in test_losses.c. */
#include "tiny_objective.h"

/* Statistics of the stage's validation states, and the aids of the relay's losses made with them. */
static tp_loss_aids *aids_of(const tp_relay *r, tp_state_cache *states) {
    tp_moments *moments = tp_moments_new(stage.sender->config.d_model);
    tp_tape *tape = tp_tape_new(TP_MATH_F32);
    int64_t indices[N];
    for (int64_t i = 0; i < N; i++) indices[i] = i;
    const int64_t *offsets;
    tp_var *hidden = tp_state_cache_fetch(states, tape, indices, N, &offsets);
    tp_moments_add(moments, hidden->data, hidden->rows);
    tp_calibration *c = tp_calibration_new(moments, &stage.receiver->embed, stage.receiver->config.embedding_scale);
    tp_loss_aids *aids = tp_loss_aids_new(r, c, stage.task, 3);
    check_not_null(aids);
    tp_calibration_free(c);
    tp_moments_free(moments);
    tp_tape_free(tape);
    return aids;
}

static void every_losses_gradient_is_that_of_central_differences(void **state) {
    (void)state;
    const struct {
        const char *loss;
        bool shares; /* with `lm`: alone it would move nothing but the scale */
    } cases[] = {
        {"\"bottleneck\", \"tokens\": 1, \"factor\": 9", false},
        {"\"contrastive\", \"positives\": \"views\", \"temperature\": 0.5", false},
        {"\"contrastive\", \"positives\": \"label\", \"temperature\": 0.5", false},
        {"\"contrastive\", \"positives\": \"self\", \"temperature\": 0.5", false},
        {"\"anchor\"", false},
        {"\"anchor\", \"target\": \"question\"", false},
        {"\"anchor\", \"distance\": \"mse\"", false},
        {"\"align\", \"tokens\": 2", false},
        {"\"recon\"", false},
        {"\"recon\", \"of\": \"token\", \"distance\": \"cosine\"", false},
        {"\"bow\"", false},
        {"\"distill\", \"temperature\": 2", false},
        {"\"distill\", \"tokens\": 1, \"prompt\": \"plain\"", false},
        {"\"scale_reg\", \"weight\": 0.5", true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *changes = tp_format("{\"losses\": [%s{\"name\": %s%s}], \"bridge\": {\"dropout\": 0}}",
                                  cases[i].shares ? "{\"name\": \"lm\"}, " : "", cases[i].loss,
                                  strstr(cases[i].loss, "weight") ? "" : ", \"weight\": 1");
        tp_relay *r = make_relay(changes);
        check_ok(tp_objective_check(r));
        tp_state_cache *states = states_of(r, &stage.task->valid);
        tp_loss_aids *aids = aids_of(r, states);
        print_message("%s\n", cases[i].loss);
        int important = check_slopes(r, states, aids, 0);
        if (important < 5) fail_msg("%s: only %d parameters matter", changes, important);
        tp_loss_aids_free(aids);
        tp_state_cache_free(states);
        tp_relay_free(r);
        tp_free(changes);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_losses_gradient_is_that_of_central_differences),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
