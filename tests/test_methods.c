/* eval/: what single methods must be true of, checked against the same computed in another way on a tiny pair of models
 * with a bridge that was trained for a moment. test_eval checks what all methods share, test_free_methods those that
 * answer freely. */
#include "tiny_scene.h"

#include "base/mem.h"
#include "eval/latent.h"
#include "eval/probe.h"
#include "eval/results.h"
#include "eval/surprisal.h"
#include "eval/texts.h"

#include <math.h>

static double accuracy(const tp_predictions *p) {
    size_t right = 0;
    assert_int_equal(p->n, task->test.n);
    for (size_t i = 0; i < p->n; i++) right += p->labels[i] == task->test.examples[i].label;
    return (double)right / (double)p->n;
}

static bool same(const tp_predictions *a, const tp_predictions *b) {
    return a->n == b->n && memcmp(a->labels, b->labels, a->n * sizeof *a->labels) == 0;
}

static const tp_predictions *scored(const tp_method_result *r) {
    assert_non_null(r->readings[TP_READ_SCORE].predictions.labels);
    return &r->readings[TP_READ_SCORE].predictions;
}

/* ---- parts of the text ---- */

/* The receiver on a task whose test texts were cut beforehand says the same. */
static void expect_as_if_cut(const tp_method *method, const tp_example *cut, double bytes) {
    tp_task other = *task;
    other.test.examples = (tp_example *)(uintptr_t)cut;
    scene whole, parts;
    open_scene(&whole, task);
    open_scene(&parts, &other);
    tp_method_result found = ask(&whole, method), expected = ask(&parts, &tp_method_receiver);
    for (tp_reading r = TP_READ_SCORE; r < TP_N_READINGS; r++)
        assert_true(same(&found.readings[r].predictions, &expected.readings[r].predictions));
    assert_true(fabs(found.bytes - bytes) < 1e-9);
    tp_method_result_free(&found);
    tp_method_result_free(&expected);
    close_scene(&whole);
    close_scene(&parts);
}

static void a_budget_cuts_the_text(void **state) {
    (void)state;
    size_t n = task->test.n;
    int m = relay->recipe->bridge.soft_tokens;
    for (int last = 0; last < 2; last++) {
        tp_example *cut = tp_alloc(n * sizeof *cut);
        char **texts = tp_alloc(n * sizeof *texts);
        double bytes = 0;
        for (size_t i = 0; i < n; i++) {
            const tp_example *e = &task->test.examples[i];
            tp_ids ids = {0};
            check_ok(tp_tokenizer_encode(receiver->tokenizer, e->text, e->len, TP_TOKENS_PLAIN, &ids));
            assert_true(ids.len > (size_t)m);
            cut[i] = *e;
            texts[i] = tp_tokenizer_decode(receiver->tokenizer, ids.data + (last ? ids.len - (size_t)m : 0), (size_t)m,
                                           TP_TOKENS_SKIP_SPECIAL, &cut[i].len);
            cut[i].text = texts[i];
            assert_non_null(strstr(e->text, texts[i] + strspn(texts[i], " ")));
            bytes += (double)cut[i].len / (double)n;
            tp_ids_free(&ids);
        }
        expect_as_if_cut(last ? &tp_method_last_tokens : &tp_method_first_tokens, cut, bytes);
        for (size_t i = 0; i < n; i++) tp_free(texts[i]);
        tp_free(texts);
        tp_free(cut);
    }
}

static void a_packet_larger_than_the_texts_is_the_text(void **state) {
    (void)state;
    scene s;
    open_scene(&s, task);
    tp_results *found = tp_results_new(&s.eval, "here");
    tp_method_result receiver_alone = ask(&s, &tp_method_receiver), computed = ask(&s, &tp_method_text_bytes);
    assert_true(same(scored(&computed), scored(&receiver_alone)));
    assert_non_null(strstr(computed.setting, "45 of 45 texts are no longer"));
    tp_results_put(found, &tp_method_receiver, &receiver_alone);
    s.eval.found = found; /* what is known is not asked again */
    tp_method_result taken = ask(&s, &tp_method_text_bytes);
    assert_true(same(scored(&computed), scored(&taken)));
    assert_non_null(strstr(taken.setting, "no text is longer"));
    assert_true(computed.bytes == taken.bytes);
    tp_method_result_free(&computed);
    tp_method_result_free(&taken);
    tp_results_free(found);
    close_scene(&s);
}

/* ---- surprise ---- */

/* -log p of each id by running every beginning of the text on its own. */
static void surprisals_equal_those_of_each_beginning(void **state) {
    (void)state;
    static const int32_t ids[9] = {338, 20, 57, 99, 31, 338, 60, 12, 77};
    const int64_t offsets[4] = {0, 5, 5, 9};
    float found[9];
    tp_tape *tape = tp_tape_new(TP_MATH_F32);
    tape->frozen = true;
    tp_surprisal(tape, sender, ids, offsets, 3, found);
    assert_true(isinf(found[0]) && isinf(found[5]));
    for (int s = 0; s < 3; s += 2)
        for (int64_t i = offsets[s] + 1; i < offsets[s + 1]; i++) {
            int64_t n = i - offsets[s], ends[2] = {0, n};
            tp_batch batch = {.n_sequences = 1, .offsets = ends};
            tp_tape_reset(tape);
            tp_var *x = tp_lm_embed(tape, sender, ids + offsets[s], n);
            x = tp_lm_blocks(tape, sender, x, &batch, 0, sender->config.n_layers);
            const float *logits = tp_lm_logits(tape, sender, x)->data + (n - 1) * sender->config.vocab_size;
            double sum = 0;
            for (int v = 0; v < sender->config.vocab_size; v++) sum += exp((double)logits[v]);
            assert_true(fabs(log(sum) - (double)logits[ids[i]] - (double)found[i]) < 1e-4);
        }
    tp_tape_free(tape);
}

/* The M ids of a text that surprise the sender most, in their order, spelled. */
static char *most_surprising(const tp_example *e, size_t m, size_t *len) {
    tp_ids ids = {0};
    tp_ids_append(&ids, tp_tokenizer_bos(sender->tokenizer));
    check_ok(tp_tokenizer_encode(sender->tokenizer, e->text, e->len, TP_TOKENS_PLAIN, &ids));
    tp_tape *tape = tp_tape_new(relay->recipe->math);
    tape->frozen = true;
    float *surprisals = tp_alloc(ids.len * sizeof *surprisals);
    tp_surprisal(tape, sender, ids.data, (const int64_t[]){0, (int64_t)ids.len}, 1, surprisals);
    int32_t kept[16];
    size_t n = 0;
    for (size_t i = 1; i < ids.len; i++) {
        size_t more = 0; /* that surprise more, or as much and earlier */
        for (size_t k = 1; k < ids.len; k++)
            more += surprisals[k] > surprisals[i] || (surprisals[k] == surprisals[i] && k < i);
        if (more < m) kept[n++] = ids.data[i];
    }
    assert_int_equal(n, m);
    char *text = tp_tokenizer_decode(sender->tokenizer, kept, n, TP_TOKENS_SKIP_SPECIAL, len);
    tp_free(surprisals);
    tp_tape_free(tape);
    tp_ids_free(&ids);
    return text;
}

static void pruning_keeps_what_surprises(void **state) {
    (void)state;
    size_t n = task->test.n;
    tp_example *cut = tp_alloc(n * sizeof *cut);
    double bytes = 0;
    for (size_t i = 0; i < n; i++) {
        cut[i] = task->test.examples[i];
        cut[i].text = most_surprising(&task->test.examples[i], (size_t)relay->recipe->bridge.soft_tokens, &cut[i].len);
        bytes += (double)cut[i].len / (double)n;
    }
    expect_as_if_cut(&tp_method_pruned, cut, bytes);
    for (size_t i = 0; i < n; i++) tp_free((void *)(uintptr_t)cut[i].text);
    tp_free(cut);
}

/* ---- what the sender writes ---- */

static void relays_write_what_they_say(void **state) {
    (void)state;
    scene s;
    open_scene(&s, task);
    enum { N = 6 };
    char *written[4][N];
    for (tp_writing w = TP_WRITE_WORD; w <= TP_WRITE_THOUGHTS; w++) {
        tp_text_relay *r = tp_text_relay_new(&s.eval, w);
        check_not_null(r);
        check_ok(tp_text_relay_write(r, task->test.examples, N, written[w]));
        tp_text_relay_free(r);
    }
    size_t sizes[4] = {0};
    for (int i = 0; i < N; i++) {
        assert_null(strpbrk(written[TP_WRITE_WORD][i], " \t\r\n"));
        assert_null(strpbrk(written[TP_WRITE_LINE][i], "\r\n"));
        size_t line = strlen(written[TP_WRITE_LINE][i]);
        /* greedy text behind the same prompt: the longer begins with the shorter */
        assert_int_equal(strncmp(written[TP_WRITE_LONG][i], written[TP_WRITE_LINE][i], line), 0);
        for (int w = 0; w < 4; w++) {
            sizes[w] += strlen(written[w][i]);
            tp_free(written[w][i]);
        }
    }
    assert_true(sizes[TP_WRITE_WORD] > 0 && sizes[TP_WRITE_LINE] < sizes[TP_WRITE_LONG] &&
                sizes[TP_WRITE_LONG] < sizes[TP_WRITE_THOUGHTS]);
    close_scene(&s);
}

/* ---- shots ---- */

/* Which row of train a shot "prompt with the text, blank, label" is; -1: none. */
static int64_t row_of_shot(const char *shot) {
    for (size_t i = 0; i < task->train.n; i++) {
        const tp_example *e = &task->train.examples[i];
        char wanted[512];
        snprintf(wanted, sizeof wanted, "Text: %s\nLabel: %s", e->text, task->labels[e->label].name);
        if (strcmp(shot, wanted) == 0) return (int64_t)i;
    }
    return -1;
}

static void shots_are_balanced_rows_of_train(void **state) {
    (void)state;
    scene s;
    open_scene(&s, task);
    for (int tight = 0; tight < 2; tight++) {
        int n, found = 0, counts[3] = {0};
        char *text = shots_of(&s, sender, tight ? 200 : 100000, &n), *rest = text;
        bool seen[200] = {false};
        for (char *end; (end = strstr(rest, "\n\n")) != NULL; rest = end + 2, found++) {
            *end = 0;
            int64_t row = row_of_shot(rest);
            if (row < 0) fail_msg("\"%s\" is no shot", rest);
            assert_false(seen[row]);
            seen[row] = true;
            counts[task->train.examples[row].label]++;
        }
        assert_true(*rest == 0);
        assert_int_equal(found, n);
        if (tight)
            assert_true(n >= 3 && n < 15);
        else
            assert_int_equal(n, 15);
        for (int l = 0; l < 3; l++) assert_true(tight ? counts[l] >= 1 : counts[l] == 5);
        tp_free(text);
    }
    int n;
    char *first = shots_of(&s, receiver, 300, &n), *again = shots_of(&s, receiver, 300, &n);
    s.eval.seed = 8;
    char *other = shots_of(&s, receiver, 300, &n);
    assert_string_equal(first, again);
    assert_string_not_equal(first, other);
    tp_free(first);
    tp_free(again);
    tp_free(other);
    tp_method_result result = ask(&s, &tp_method_receiver_shots);
    assert_non_null(strstr(result.setting, "shots of 5 for each of 3 labels fit into 128 tokens"));
    scored(&result);
    tp_method_result_free(&result);
    close_scene(&s);
}

/* ---- closed form ---- */

/* Where the answer is a function of the mean state, nearest label embeddings find it. */
static void the_ridge_map_points_at_the_answer(void **state) {
    (void)state;
    scene s;
    open_scene(&s, task);
    tp_method_result result = ask(&s, &tp_method_ridge);
    assert_non_null(strstr(result.setting, "penalty "));
    assert_true(result.bytes == tp_latent_packet_bytes(1, receiver->config.d_model));
    scored(&result);
    tp_method_result_free(&result);
    result = ask(&s, &tp_method_pca);
    int components, of;
    double held;
    assert_int_equal(sscanf(result.setting, "%d of %d components, which hold %lf", &components, &of, &held), 3);
    assert_true(of == 32 && components > 1 && components <= 24 && held > 50);
    assert_true(result.bytes == tp_latent_packet_bytes(3, components));
    scored(&result);
    tp_method_result_free(&result);
    close_scene(&s);
}

/* ---- probes ---- */

static void probes_come_with_both_prompts(void **state) {
    (void)state;
    scene s;
    open_scene(&s, task);
    tp_method_result plain = ask(&s, &tp_method_probe_mean), told = ask(&s, &tp_method_probe_mean_labels);
    assert_true(accuracy(&plain.readings[TP_READ_DIRECT].predictions) > 0.8);
    assert_true(accuracy(&told.readings[TP_READ_DIRECT].predictions) > 0.5);
    const tp_features *a = s.kept.features[TP_PROMPT_PLAIN], *b = s.kept.features[TP_PROMPT_LABELS];
    assert_true(a && b && a->d == b->d && a->n_test == b->n_test);
    size_t bytes = (a->n_train + a->n_valid + a->n_test) * (size_t)a->d * sizeof(float);
    for (int p = 0; p < TP_N_POOLINGS; p++) assert_memory_not_equal(a->rows[p], b->rows[p], bytes);
    assert_ptr_equal(tp_features_get(&s.eval, TP_PROMPT_LABELS), b); /* computed once */
    tp_method_result_free(&plain);
    tp_method_result_free(&told);
    close_scene(&s);
}

/* ---- tuning ---- */

static void lora_teaches_the_receiver(void **state) {
    (void)state;
    scene s;
    open_scene(&s, task);
    s.eval.prompt_steps = 0;
    int64_t steps = relay->recipe->optimiser.steps;
    relay->recipe->optimiser.steps = 600;
    s.eval.seed = 3;
    tp_method_result before = ask(&s, &tp_method_receiver), after = ask(&s, &tp_method_lora);
    double gain = accuracy(scored(&after)) - accuracy(scored(&before));
    if (gain < 0.15) fail_msg("LoRA brought the receiver from %g by %g only", accuracy(scored(&before)), gain);
    relay->recipe->optimiser.steps = steps;
    assert_non_null(strstr(after.setting, "of 3 from 0.0003 to 0.01"));
    /* the receiver itself is as it was */
    tp_method_result later = ask(&s, &tp_method_receiver);
    assert_true(same(scored(&before), scored(&later)));
    tp_method_result_free(&before);
    tp_method_result_free(&after);
    tp_method_result_free(&later);
    close_scene(&s);
}

static void the_choice_of_the_first_run_is_taken_over(void **state) {
    (void)state;
    scene s;
    open_scene(&s, task);
    tp_method_result first = ask(&s, &tp_method_prompt_tuning);
    assert_non_null(strstr(first.setting, "of 2 beginnings"));
    assert_true(first.chosen >= 0 && first.chosen < 10);
    s.eval.chosen = 1 + 5; /* the second rate, the second beginning */
    tp_method_result second = ask(&s, &tp_method_prompt_tuning);
    assert_non_null(strstr(second.setting, "learning rate 0.001 of 5"));
    assert_non_null(strstr(second.setting, "begun from the task's text"));
    assert_true(second.chosen == 6);
    s.eval.chosen = first.chosen;
    tp_method_result third = ask(&s, &tp_method_prompt_tuning);
    assert_true(same(scored(&first), scored(&third)));
    assert_string_equal(first.setting, third.setting);
    tp_method_result_free(&first);
    tp_method_result_free(&second);
    tp_method_result_free(&third);
    close_scene(&s);
}

/* ---- the bridge's company ---- */

static void joint_scores_are_the_sum_of_both(void **state) {
    (void)state;
    scene s;
    open_scene(&s, task);
    size_t n = task->test.n, labels = (size_t)task->n_labels;
    s.kept.wants_scores = true;
    tp_method_result text = ask(&s, &tp_method_receiver), soft = ask(&s, &tp_method_bridge),
                     both = ask(&s, &tp_method_joint);
    double weight;
    assert_int_equal(sscanf(both.setting, "the soft tokens' score weighs %lf", &weight), 1);
    for (size_t i = 0; i < n; i++) {
        double row[3];
        for (size_t l = 0; l < labels; l++)
            row[l] = weight * s.kept.soft_scores[i * labels + l] + (1 - weight) * s.kept.text_scores[i * labels + l];
        assert_int_equal(scored(&both)->labels[i], tp_best_score(row, 3));
        assert_int_equal(scored(&text)->labels[i], tp_best_score(s.kept.text_scores + i * labels, 3));
        assert_int_equal(scored(&soft)->labels[i], tp_best_score(s.kept.soft_scores + i * labels, 3));
    }
    /* without what the two have left behind it asks itself */
    scene fresh;
    open_scene(&fresh, task);
    tp_method_result alone = ask(&fresh, &tp_method_joint);
    assert_true(same(scored(&both), scored(&alone)));
    assert_string_equal(both.setting, alone.setting);
    /* with their answers it does not ask again for what a weight of 0 or 1 has left */
    tp_results *found = tp_results_new(&fresh.eval, "here");
    tp_results_put(found, &tp_method_receiver, &text);
    tp_results_put(found, &tp_method_bridge, &soft);
    fresh.eval.found = found;
    tp_method_result told = ask(&fresh, &tp_method_joint);
    assert_true(same(scored(&both), scored(&told)));
    tp_method_result_free(&told);
    tp_results_free(found);
    tp_method_result_free(&both);
    tp_method_result_free(&alone);
    close_scene(&fresh);
    close_scene(&s);
}

static void deranged_labels_are_right_where_the_bridge_is_wrong(void **state) {
    (void)state;
    scene s;
    open_scene(&s, task);
    tp_results *found = tp_results_new(&s.eval, "here");
    tp_method_result bridge = ask(&s, &tp_method_bridge), deranged = ask(&s, &tp_method_deranged);
    int32_t becomes[3] = {-1, -1, -1};
    for (tp_reading r = TP_READ_SCORE; r < TP_N_READINGS; r++)
        for (size_t i = 0; i < task->test.n; i++) {
            int32_t was = bridge.readings[r].predictions.labels[i], is = deranged.readings[r].predictions.labels[i];
            if (was < 0) {
                assert_int_equal(is, -1);
                continue;
            }
            assert_true(is >= 0 && is != was);
            assert_true(becomes[was] < 0 || becomes[was] == is);
            becomes[was] = is;
        }
    tp_results_put(found, &tp_method_bridge, &bridge);
    s.eval.found = found;
    tp_method_result again = ask(&s, &tp_method_deranged); /* from what was found */
    assert_true(same(scored(&deranged), scored(&again)));
    assert_true(isnan(again.readings[TP_READ_SCORE].ms[TP_PHASE_RECEIVER]));
    tp_method_result_free(&deranged);
    tp_method_result_free(&again);
    tp_results_free(found);
    close_scene(&s);
}

/* ---- choices ---- */

/* What the receiver writes for the first rows, as the method that reads the text lets it: zero-terminated. */
static void written_by_receiver(const tp_eval *eval, int64_t n, char **out) {
    char *note = NULL;
    tp_layout *layout = tp_texts_layout(eval, receiver, &note);
    check_not_null(layout);
    tp_tape *tape = tp_tape_new(relay->recipe->math);
    tape->frozen = true;
    tp_layout_item items[8] = {{0}};
    tp_ids ids[8] = {{0}};
    for (int64_t i = 0; i < n; i++) {
        const tp_example *e = &eval->task->test.examples[i];
        items[i] = (tp_layout_item){.text = e->text, .len = e->len};
    }
    tp_layout_batch batch;
    check_ok(tp_layout_build(layout, tape->arena, items, n, 0, &batch));
    tp_prompts prompts = {
        .rows = tp_layout_input(tape, receiver, &batch, NULL)->data, .offsets = batch.offsets, .n = n};
    size_t longest = 0;
    for (int l = 0; l < 3; l++)
        if (tp_layout_label(layout, l)->len > longest) longest = tp_layout_label(layout, l)->len;
    check_ok(tp_generate_greedy(receiver, tape->math, &prompts, (int64_t)longest, ids));
    for (int64_t i = 0; i < n; i++) {
        out[i] = tp_tokenizer_decode(receiver->tokenizer, ids[i].data, ids[i].len, TP_TOKENS_SKIP_SPECIAL, NULL);
        tp_ids_free(&ids[i]);
    }
    tp_layout_free(layout);
    tp_tape_free(tape);
    tp_free(note);
}

/* An answer in an option's own words names that option, of its own row. */
static void a_choice_may_be_named_in_words(void **state) {
    (void)state;
    enum { N = 6 };
    tp_task choice = *task;
    tp_example rows[N];
    char *written[N];
    const char *options[N][3];
    choice.kind = TP_TASK_CHOICE;
    choice.test.examples = rows;
    choice.test.n = N;
    memcpy(rows, task->test.examples, sizeof rows);
    scene s;
    open_scene(&s, &choice);
    written_by_receiver(&s.eval, N, written);
    for (int i = 0; i < N; i++) {
        assert_true(written[i][0] != 0);
        for (int l = 0; l < 3; l++) options[i][l] = l == i % 3 ? written[i] : "never written";
        rows[i].options = options[i];
    }
    tp_method_result result = ask(&s, &tp_method_receiver);
    for (int i = 0; i < N; i++) assert_int_equal(result.readings[TP_READ_GENERATE].predictions.labels[i], i % 3);
    for (int i = 0; i < N; i++) tp_free(written[i]);
    tp_method_result_free(&result);
    close_scene(&s);
}

/* Every group stands in one piece, so that a table is cut into as many. */
static void groups_stand_together(void **state) {
    (void)state;
    int m = 0;
    for (; tp_methods[m]; m++) assert_true(m == 0 || tp_methods[m]->group >= tp_methods[m - 1]->group);
    assert_in_range(m, 1, TP_MOST_METHODS);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_budget_cuts_the_text),
        cmocka_unit_test(a_packet_larger_than_the_texts_is_the_text),
        cmocka_unit_test(surprisals_equal_those_of_each_beginning),
        cmocka_unit_test(pruning_keeps_what_surprises),
        cmocka_unit_test(relays_write_what_they_say),
        cmocka_unit_test(shots_are_balanced_rows_of_train),
        cmocka_unit_test(the_ridge_map_points_at_the_answer),
        cmocka_unit_test(probes_come_with_both_prompts),
        cmocka_unit_test(lora_teaches_the_receiver),
        cmocka_unit_test(the_choice_of_the_first_run_is_taken_over),
        cmocka_unit_test(joint_scores_are_the_sum_of_both),
        cmocka_unit_test(deranged_labels_are_right_where_the_bridge_is_wrong),
        cmocka_unit_test(a_choice_may_be_named_in_words),
        cmocka_unit_test(groups_stand_together),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
