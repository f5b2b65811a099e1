/* lm/generate: greedy generation with a cache equals recomputing everything; scoring through the shared tree equals
 * scoring each answer alone; real trained weights continue as their README says. */
#include "check.h"

#include "lm/generate.h"

#include <math.h>

static tp_lm *load_fixture(const char *family) {
    char path[1024];
    snprintf(path, sizeof path, "%s/tests/fixtures/lm/%s", TP_SOURCE_DIR, family);
    tp_lm *lm = tp_lm_load(path, false);
    check_not_null(lm);
    return lm;
}

/* Logits after the last id, computed without any cache. */
static const float *plain_logits(const tp_lm *lm, tp_tape *tape, const int32_t *ids, int64_t n) {
    int64_t offsets[2] = {0, n};
    tp_batch batch = {.n_sequences = 1, .offsets = offsets};
    tp_var *x = tp_lm_blocks(tape, lm, tp_lm_embed(tape, lm, ids, n), &batch, 0, lm->config.n_layers);
    return tp_lm_logits(tape, lm, x)->data + (n - 1) * lm->config.vocab_size;
}

static float *embed(const tp_lm *lm, const int32_t *ids, int64_t n) {
    float *rows = tp_alloc((size_t)(n * lm->config.d_model) * sizeof(float));
    for (int64_t i = 0; i < n; i++) tp_lm_embedding_row(lm, ids[i], rows + i * lm->config.d_model);
    return rows;
}

static void generation_equals_recomputing(void **state) {
    (void)state;
    tp_lm *lm = load_fixture("mistral");
    tp_tape *tape = tp_tape_new(TP_MATH_F32);
    tape->frozen = true;
    int32_t ids[9] = {5, 17, 30, 2, 99, 7, 7, 61, 12};
    int64_t offsets[4] = {0, 4, 5, 9};
    float *rows = embed(lm, ids, 9);
    tp_prompts prompts = {.rows = rows, .offsets = offsets, .n = 3};
    tp_ids out[3] = {{0}};
    check_ok(tp_generate_greedy(lm, TP_MATH_F32, &prompts, 20, out));
    for (int p = 0; p < 3; p++) {
        int32_t all[64];
        int64_t n = offsets[p + 1] - offsets[p];
        memcpy(all, ids + offsets[p], (size_t)n * 4);
        for (int made = 0; made < 20; made++) {
            tp_tape_reset(tape);
            const float *logits = plain_logits(lm, tape, all, n);
            int32_t best = 0;
            for (int v = 1; v < lm->config.vocab_size; v++)
                if (logits[v] > logits[best]) best = v;
            bool end = false;
            for (int e = 0; e < lm->config.n_eos; e++) end = end || lm->config.eos_ids[e] == best;
            if (end) {
                assert_int_equal(out[p].len, made);
                break;
            }
            assert_true((size_t)made < out[p].len);
            assert_int_equal(out[p].data[made], best);
            all[n++] = best;
        }
        tp_ids_free(&out[p]);
    }
    tp_free(rows);
    tp_tape_free(tape);
    tp_lm_free(lm);
}

static void scoring_equals_each_answer_alone(void **state) {
    (void)state;
    tp_lm *lm = load_fixture("qwen2");
    tp_tape *tape = tp_tape_new(TP_MATH_F32);
    tape->frozen = true;
    int32_t ids[7] = {5, 17, 30, 2, 99, 7, 8};
    int64_t offsets[3] = {0, 4, 7};
    /* shared beginnings, one answer the beginning of another, equal answers, single tokens */
    int32_t tokens[6][4] = {{3, 4, 5, 6}, {3, 4, 9}, {3, 4}, {8}, {3, 4, 9}, {10, 4}};
    size_t lengths[6] = {4, 3, 2, 1, 3, 2};
    tp_ids answers[6];
    for (int a = 0; a < 6; a++) answers[a] = (tp_ids){tokens[a], lengths[a], lengths[a]};
    float *rows = embed(lm, ids, 7);
    tp_prompts prompts = {.rows = rows, .offsets = offsets, .n = 2};
    double scores[12];
    check_ok(tp_score_answers(lm, TP_MATH_F32, &prompts, answers, 6, scores));
    for (int p = 0; p < 2; p++)
        for (int a = 0; a < 6; a++) {
            int32_t all[16];
            int64_t n = offsets[p + 1] - offsets[p];
            memcpy(all, ids + offsets[p], (size_t)n * 4);
            double wanted = 0;
            for (size_t i = 0; i < lengths[a]; i++) {
                tp_tape_reset(tape);
                const float *logits = plain_logits(lm, tape, all, n);
                double sum = 0;
                for (int v = 0; v < lm->config.vocab_size; v++) sum += exp((double)logits[v]);
                wanted += logits[tokens[a][i]] - log(sum);
                all[n++] = tokens[a][i];
            }
            assert_true(fabs(scores[p * 6 + a] - wanted) < 1e-4);
        }
    tp_free(rows);
    tp_tape_free(tape);
    tp_lm_free(lm);
}

/* A tree of 90 answers with two to four tokens after 40 prompts: the likeliest is found without following all. */
static void the_best_answer_is_the_largest_score(void **state) {
    (void)state;
    enum { PROMPTS = 40, ANSWERS = 90 };
    tp_lm *lm = load_fixture("qwen2");
    tp_rng rng = tp_rng_stream(3, "answers", 0);
    int32_t tokens[ANSWERS][4], ids[3 * PROMPTS], best[PROMPTS], wanted[PROMPTS];
    int64_t offsets[PROMPTS + 1];
    tp_ids answers[ANSWERS];
    for (int a = 0; a < ANSWERS; a++) {
        size_t n = 2 + tp_rng_below(&rng, 3);
        for (size_t i = 0; i < n; i++) tokens[a][i] = (int32_t)tp_rng_below(&rng, 5);
        answers[a] = (tp_ids){tokens[a], n, n};
    }
    for (int i = 0; i < 3 * PROMPTS; i++) ids[i] = (int32_t)tp_rng_below(&rng, 60);
    for (int i = 0; i <= PROMPTS; i++) offsets[i] = 3 * i;
    for (int i = 0; i < PROMPTS; i++) wanted[i] = (int32_t)tp_rng_below(&rng, ANSWERS);
    float *rows = embed(lm, ids, 3 * PROMPTS);
    tp_prompts prompts = {.rows = rows, .offsets = offsets, .n = PROMPTS};
    double *scores = tp_alloc(PROMPTS * ANSWERS * sizeof *scores), likelihoods[PROMPTS];
    check_ok(tp_score_answers(lm, TP_MATH_F32, &prompts, answers, ANSWERS, scores));
    for (int with = 0; with < 2; with++) {
        check_ok(tp_best_answers(lm, TP_MATH_F32, &prompts, answers, ANSWERS, best, with ? wanted : NULL,
                                 with ? likelihoods : NULL));
        for (int i = 0; i < PROMPTS; i++) {
            const double *row = scores + i * ANSWERS;
            int largest = 0;
            for (int a = 1; a < ANSWERS; a++)
                if (row[a] > row[largest]) largest = a;
            /* answers that occur twice have one score; the first counts */
            assert_int_equal(best[i], largest);
            if (with) assert_true(fabs(likelihoods[i] - row[wanted[i]]) < 1e-4);
        }
    }
    tp_free(scores);
    tp_free(rows);
    tp_lm_free(lm);
}

/* What stands before all prompts and is read once for them gives what it gives as a part of each prompt; also where it
 * is longer than the window of a layer. */
static void a_shared_beginning_equals_a_beginning_of_each(void **state) {
    (void)state;
    static const char *const families[] = {"llama2", "mistral", "gemma2"};
    for (int f = 0; f < 3; f++) {
        tp_lm *lm = load_fixture(families[f]);
        enum { BEFORE = 25 };
        int32_t before[BEFORE], ids[7] = {5, 17, 30, 2, 61, 7, 12}, whole[7 + 2 * BEFORE];
        for (int i = 0; i < BEFORE; i++) before[i] = 3 + 11 * i % 90;
        memcpy(whole, before, sizeof before);
        memcpy(whole + BEFORE, ids, 4 * sizeof *ids);
        memcpy(whole + BEFORE + 4, before, sizeof before);
        memcpy(whole + 2 * BEFORE + 4, ids + 4, 3 * sizeof *ids);
        int64_t offsets[3] = {0, 4, 7}, ends[3] = {0, BEFORE + 4, 2 * BEFORE + 7};
        float *head = embed(lm, before, BEFORE), *tail = embed(lm, ids, 7), *all = embed(lm, whole, 7 + 2 * BEFORE);
        tp_kv_cache *read = tp_read_before(lm, TP_MATH_F32, head, BEFORE, NULL);
        tp_prompts shared = {.rows = tail, .offsets = offsets, .n = 2, .before = read};
        tp_prompts apart = {.rows = all, .offsets = ends, .n = 2};
        int32_t tokens[2][3] = {{3, 4, 9}, {3, 8, 1}};
        tp_ids answers[2] = {{tokens[0], 3, 3}, {tokens[1], 3, 3}}, written[2][2] = {{{0}}};
        double scores[2][4];
        check_ok(tp_score_answers(lm, TP_MATH_F32, &shared, answers, 2, scores[0]));
        check_ok(tp_score_answers(lm, TP_MATH_F32, &apart, answers, 2, scores[1]));
        for (int i = 0; i < 4; i++) assert_true(fabs(scores[0][i] - scores[1][i]) < 1e-4);
        check_ok(tp_generate_greedy(lm, TP_MATH_F32, &shared, 12, written[0]));
        check_ok(tp_generate_greedy(lm, TP_MATH_F32, &apart, 12, written[1]));
        for (int p = 0; p < 2; p++) {
            assert_int_equal(written[0][p].len, written[1][p].len);
            if (written[0][p].len) assert_memory_equal(written[0][p].data, written[1][p].data, 4 * written[0][p].len);
        }
        shared.before = NULL; /* and it does matter */
        check_ok(tp_score_answers(lm, TP_MATH_F32, &shared, answers, 2, scores[0]));
        assert_true(fabs(scores[0][0] - scores[1][0]) > 1e-3);
        for (int p = 0; p < 4; p++) tp_ids_free(&written[p / 2][p % 2]);
        tp_kv_cache_free(read);
        tp_free(head);
        tp_free(tail);
        tp_free(all);
        tp_lm_free(lm);
    }
}

/* Scoring and generating together give what each gives by itself, in several chunks, with all scores and without. */
static void both_ways_at_once_equal_each(void **state) {
    (void)state;
    enum { PROMPTS = 70, ANSWERS = 5 };
    static const char *const families[] = {"llama2", "mistral"};
    for (int f = 0; f < 2; f++) {
        tp_lm *lm = load_fixture(families[f]);
        tp_rng rng = tp_rng_stream(5, "prompts", 0);
        int32_t tokens[ANSWERS][3], ids[4 * PROMPTS], best[2][PROMPTS], v = lm->config.vocab_size;
        int64_t offsets[PROMPTS + 1] = {0};
        tp_ids answers[ANSWERS], alone[PROMPTS] = {{0}};
        for (int i = 0; i < 3 * ANSWERS; i++) tokens[i / 3][i % 3] = (int32_t)tp_rng_below(&rng, 4);
        for (int a = 0; a < ANSWERS; a++) answers[a] = (tp_ids){tokens[a], 1 + (size_t)a % 3, 3};
        for (int i = 0; i < 4 * PROMPTS; i++) ids[i] = (int32_t)tp_rng_below(&rng, (uint64_t)v);
        for (int i = 0; i < PROMPTS; i++) offsets[i + 1] = offsets[i] + 1 + i % 4;
        float *rows = embed(lm, ids, offsets[PROMPTS]);
        tp_prompts prompts = {.rows = rows, .offsets = offsets, .n = PROMPTS};
        double expected[PROMPTS * ANSWERS], scores[PROMPTS * ANSWERS];
        check_ok(tp_score_answers(lm, TP_MATH_F32, &prompts, answers, ANSWERS, expected));
        check_ok(tp_generate_greedy(lm, TP_MATH_F32, &prompts, 6, alone));
        for (int all = 0; all < 2; all++) {
            tp_ids out[PROMPTS] = {{0}};
            check_ok(tp_answer_both_ways(lm, TP_MATH_F32, &prompts, answers, ANSWERS, best[all], all ? scores : NULL, 6,
                                         out));
            for (int i = 0; i < PROMPTS; i++) {
                assert_int_equal(out[i].len, alone[i].len);
                if (out[i].len) assert_memory_equal(out[i].data, alone[i].data, 4 * out[i].len);
                tp_ids_free(&out[i]);
            }
        }
        for (int i = 0; i < PROMPTS; i++) {
            int largest = 0;
            for (int a = 0; a < ANSWERS; a++) {
                assert_true(fabs(scores[i * ANSWERS + a] - expected[i * ANSWERS + a]) < 1e-4);
                if (expected[i * ANSWERS + a] > expected[i * ANSWERS + largest]) largest = a;
            }
            assert_int_equal(best[0][i], largest);
            assert_int_equal(best[1][i], largest);
            tp_ids_free(&alone[i]);
        }
        tp_free(rows);
        tp_lm_free(lm);
    }
}

/* Ids that prompts name as ends cut what is written where the first of them stands, and nothing else. */
static void named_ids_end_what_is_written(void **state) {
    (void)state;
    enum { PROMPTS = 12, MOST = 16 };
    tp_lm *lm = load_fixture("llama2");
    int32_t ids[PROMPTS], answer[1] = {3};
    int64_t offsets[PROMPTS + 1];
    for (int i = 0; i <= PROMPTS; i++) offsets[i] = i;
    for (int i = 0; i < PROMPTS; i++) ids[i] = 7 * i + 1;
    float *rows = embed(lm, ids, PROMPTS);
    tp_prompts prompts = {.rows = rows, .offsets = offsets, .n = PROMPTS};
    tp_ids whole[PROMPTS] = {{0}}, cut[2][PROMPTS] = {{{0}}}, answers = {answer, 1, 1};
    check_ok(tp_generate_greedy(lm, TP_MATH_F32, &prompts, MOST, whole));
    bool *ends = tp_alloc((size_t)lm->config.vocab_size * sizeof *ends);
    for (int i = 0; i < PROMPTS; i += 2) ends[whole[i].data[(size_t)i % whole[i].len]] = true;
    prompts.ends = ends;
    int32_t best[PROMPTS];
    check_ok(tp_generate_greedy(lm, TP_MATH_F32, &prompts, MOST, cut[0]));
    check_ok(tp_answer_both_ways(lm, TP_MATH_F32, &prompts, &answers, 1, best, NULL, MOST, cut[1]));
    int shorter = 0, begun = 0;
    for (int i = 0; i < PROMPTS; i++) {
        size_t n = 0;
        while (n < whole[i].len && !ends[whole[i].data[n]]) n++;
        for (int k = 0; k < 2; k++) {
            assert_int_equal(cut[k][i].len, n);
            if (n) assert_memory_equal(cut[k][i].data, whole[i].data, 4 * n);
            tp_ids_free(&cut[k][i]);
        }
        shorter += n < whole[i].len;
        begun += n > 0 && n < whole[i].len;
        tp_ids_free(&whole[i]);
    }
    assert_true(shorter >= PROMPTS / 2 && begun > 0);
    tp_free(ends);
    tp_free(rows);
    tp_lm_free(lm);
}

/* The README of ../shared/models gives these ids and logits, from a forward pass written for the purpose. */
static void tinystories_continues_as_published(void **state) {
    (void)state;
    check_needs_shared("models/tinystories-656k/model.safetensors");
    tp_lm *lm = tp_lm_load(check_shared("models/tinystories-656k"), true);
    check_not_null(lm);
    static const int32_t wanted[] = {147,  201, 282, 215,  286, 598, 1662, 356, 499, 826, 1363, 1145,
                                     1652, 615, 242, 1482, 951, 628, 499,  826, 872, 921, 318,  385};
    int32_t start = 1;
    int64_t offsets[2] = {0, 1};
    float *rows = embed(lm, &start, 1);
    tp_prompts prompts = {.rows = rows, .offsets = offsets, .n = 1};
    tp_ids out = {0};
    check_ok(tp_generate_greedy(lm, TP_MATH_F32, &prompts, 24, &out));
    assert_int_equal(out.len, 24);
    assert_memory_equal(out.data, wanted, sizeof wanted);
    char *text = tp_tokenizer_decode(lm->tokenizer, out.data, out.len, TP_TOKENS_PLAIN, NULL);
    assert_non_null(strstr(text, "Once upon a time, there was a little girl named Lily. She had a toy car"));
    tp_tape *tape = tp_tape_new(TP_MATH_F32);
    tape->frozen = true;
    const float *logits = plain_logits(lm, tape, &start, 1);
    static const struct {
        int id;
        double logit;
    } top[] = {{147, 14.78167}, {429, 12.95511}, {1166, 10.13018}, {299, 9.90539}, {875, 9.80351}};
    for (int i = 0; i < 5; i++) assert_true(fabs(logits[top[i].id] - top[i].logit) < 1e-4);
    double sum = 0;
    for (int v = 0; v < 2048; v++) sum += logits[v];
    assert_true(fabs(sum + 1289.5368) < 0.02);
    tp_free(text);
    tp_ids_free(&out);
    tp_free(rows);
    tp_tape_free(tape);
    tp_lm_free(lm);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(generation_equals_recomputing),
        cmocka_unit_test(scoring_equals_each_answer_alone),
        cmocka_unit_test(the_best_answer_is_the_largest_score),
        cmocka_unit_test(a_shared_beginning_equals_a_beginning_of_each),
        cmocka_unit_test(both_ways_at_once_equal_each),
        cmocka_unit_test(named_ids_end_what_is_written),
        cmocka_unit_test(tinystories_continues_as_published),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
