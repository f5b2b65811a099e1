/* train/: the parts of a run that need no model. The optimiser against PyTorch, schedules, samplers as functions of the
 * step, documents and batches, detectors. */
#include "check.h"

#include "base/file.h"
#include "base/mem.h"
#include "lm/safetensors.h"
#include "one_folder.h"
#include "text/train_bpe.h"
#include "train/detectors.h"
#include "train/documents.h"
#include "train/optimizer.h"
#include "train/sampler.h"

#include <math.h>

static char *in_dir(const char *name) {
    static char path[4][4096];
    static int next;
    next = (next + 1) % 4;
    snprintf(path[next], sizeof path[next], "%s/%s", dir, name);
    return path[next];
}

/* ---- the optimiser ---- */

static const float *fixture(tp_safetensors *file, const char *name, int64_t n) {
    const tp_st_tensor *t = tp_safetensors_find(file, name);
    check_not_null(t);
    assert_int_equal(t->dtype, TP_F32);
    assert_int_equal(t->n_bytes, (size_t)n * sizeof(float));
    return t->data;
}

static void check_near(const char *what, const float *found, const float *expected, int64_t n, double tolerance) {
    double most = 0;
    for (int64_t i = 0; i < n; i++) most = fmax(most, fabs(expected[i]));
    for (int64_t i = 0; i < n; i++)
        if (!(fabs((double)found[i] - expected[i]) <= tolerance * most))
            fail_msg("%s[%lld] is %.9g, expected %.9g", what, (long long)i, found[i], expected[i]);
}

static const tp_adamw_options plain = {.beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8};

static void adamw_walks_as_pytorchs_does(void **state) {
    (void)state;
    tp_safetensors *file = tp_safetensors_open(TP_SOURCE_DIR "/tests/fixtures/bridge/losses.safetensors");
    check_not_null(file);
    for (int scaled = 0; scaled < 2;
         scaled++) { /* the sum of four gradients and a scale of 1/4 are one of their size */
        tp_params params = {0};
        tp_weight w;
        tp_params_attach(&params, &w, "w", 11, 1); /* a matrix, so that it decays as PyTorch's did */
        memcpy(tp_weight_values(&w), fixture(file, "adamw.param", 11), 11 * sizeof(float));
        tp_adamw_options options = plain;
        options.weight_decay = 0.1;
        tp_adamw *a = tp_adamw_new(&params, &options);
        for (int step = 0; step < 3; step++) {
            const float *grads = fixture(file, "adamw.grads", 33) + 11 * step;
            double square = 0;
            for (int i = 0; i < 11; i++) {
                w.grad[i] = scaled ? 4 * grads[i] : grads[i];
                square += (double)grads[i] * grads[i];
            }
            double norm = tp_adamw_step(a, 0.02, scaled ? 0.25 : 1);
            assert_true(fabs(norm - sqrt(square)) < 1e-6 * norm);
            check_near("param", w.data, fixture(file, "adamw.params", 33) + 11 * step, 11, 1e-6);
            check_near("m", a->m, fixture(file, "adamw.m", 33) + 11 * step, 11, 1e-6);
            check_near("v", a->v, fixture(file, "adamw.v", 33) + 11 * step, 11, 2e-5);
            for (int i = 0; i < 11; i++) assert_true(w.grad[i] == 0);
        }
        assert_int_equal(a->t, 3);
        tp_adamw_free(a);
        tp_params_free(&params);
    }
    tp_safetensors_close(file);
}

static void only_matrices_decay(void **state) {
    (void)state;
    tp_params params = {0};
    tp_weight matrix, vector, scalar;
    tp_params_attach(&params, &matrix, "matrix", 2, 3);
    tp_params_attach(&params, &vector, "vector", 1, 6);
    tp_params_attach(&params, &scalar, "scalar", 1, 1);
    tp_weight_init_value(&matrix, 2);
    tp_weight_init_value(&vector, 2);
    tp_weight_init_value(&scalar, 2);
    tp_adamw_options options = plain;
    options.weight_decay = 0.5;
    tp_adamw *a = tp_adamw_new(&params, &options);
    tp_adamw_step(a, 0.1, 1); /* no gradient: nothing but the decay acts */
    for (int i = 0; i < 6; i++) assert_true(fabsf(((const float *)matrix.data)[i] - 2 * 0.95f) < 1e-6f);
    for (int i = 0; i < 6; i++) assert_true(((const float *)vector.data)[i] == 2);
    assert_true(((const float *)scalar.data)[0] == 2);
    tp_adamw_free(a);
    tp_params_free(&params);
}

static void gradients_are_clipped_together(void **state) {
    (void)state;
    const double clips[] = {0, 5, 100}; /* none, below the norm of 50, above it */
    for (int c = 0; c < 3; c++) {
        tp_params params = {0};
        tp_weight x, y;
        tp_params_attach(&params, &x, "x", 1, 1);
        tp_params_attach(&params, &y, "y", 1, 1);
        tp_adamw_options options = plain;
        options.clip = clips[c];
        tp_adamw *a = tp_adamw_new(&params, &options);
        x.grad[0] = 60, y.grad[0] = 80;
        assert_true(fabs(tp_adamw_step(a, 0.1, 0.5) - 50) < 1e-9); /* of the scaled gradients, before clipping */
        float factor = c == 1 ? 0.1f : 1;
        assert_true(fabsf(a->m[0] - 0.1f * 30 * factor) < 1e-5f && fabsf(a->m[1] - 0.1f * 40 * factor) < 1e-5f);
        tp_adamw_free(a);
        tp_params_free(&params);
    }
}

static void gradients_that_are_no_numbers_change_nothing(void **state) {
    (void)state;
    const float bad[] = {NAN, INFINITY, -INFINITY};
    for (int b = 0; b < 3; b++) {
        tp_params params = {0};
        tp_weight x, y;
        tp_params_attach(&params, &x, "x", 2, 2);
        tp_params_attach(&params, &y, "y", 1, 3);
        tp_weight_init_value(&x, 3);
        tp_adamw_options options = plain;
        options.weight_decay = 0.1;
        options.clip = 1;
        tp_adamw *a = tp_adamw_new(&params, &options);
        for (int i = 0; i < 4; i++) x.grad[i] = 1;
        tp_adamw_step(a, 0.1, 1);
        float kept[3][7];
        memcpy(kept[0], x.data, 4 * sizeof(float));
        memcpy(kept[0] + 4, y.data, 3 * sizeof(float));
        memcpy(kept[1], a->m, 7 * sizeof(float));
        memcpy(kept[2], a->v, 7 * sizeof(float));
        for (int i = 0; i < 4; i++) x.grad[i] = 1;
        y.grad[1] = bad[b];
        assert_false(isfinite(tp_adamw_step(a, 0.1, 1)));
        assert_memory_equal(kept[0], x.data, 4 * sizeof(float));
        assert_memory_equal(kept[0] + 4, y.data, 3 * sizeof(float));
        assert_memory_equal(kept[1], a->m, 7 * sizeof(float));
        assert_memory_equal(kept[2], a->v, 7 * sizeof(float));
        assert_int_equal(a->t, 1);
        assert_true(x.grad[0] == 0 && y.grad[1] == 0); /* or the next step would see it again */
        tp_adamw_free(a);
        tp_params_free(&params);
    }
}

static void rates_warm_up_and_follow_a_cosine(void **state) {
    (void)state;
    const double lr = 2e-3;
    for (int k = 0; k < 10; k++) assert_true(fabs(tp_cosine_lr(lr, 0.1, k, 10, 110) - lr * (k + 1) / 10) < 1e-12);
    assert_true(fabs(tp_cosine_lr(lr, 0.1, 10, 10, 110) - lr) < 1e-12);
    assert_true(fabs(tp_cosine_lr(lr, 0.1, 60, 10, 110) - lr * 0.55) < 1e-12); /* half way: the mean of both ends */
    double third = 0.1 + 0.9 * 0.75;                                           /* cos(60 degrees) = 1/2 */
    assert_true(fabs(tp_cosine_lr(lr, 0.1, 10 + 40, 10, 10 + 120) - lr * third) < 1e-12);
    assert_true(fabs(tp_cosine_lr(lr, 0.1, 110, 10, 110) - lr * 0.1) < 1e-12);
    assert_true(fabs(tp_cosine_lr(lr, 0.1, 500, 10, 110) - lr * 0.1) < 1e-12); /* past the end it stays */
    assert_true(tp_cosine_lr(lr, 0.1, 0, 0, 100) == lr);
    for (int k = 10; k < 110; k++) {
        assert_true(tp_cosine_lr(lr, 1, k, 10, 110) == lr);
        assert_true(tp_cosine_lr(lr, 0, k + 1, 10, 110) < tp_cosine_lr(lr, 0, k, 10, 110));
    }
    assert_true(fabs(tp_cosine_lr(lr, 0.1, 3, 10, 5) - lr * 0.4) < 1e-12); /* shorter than its warm-up */
    assert_true(isfinite(tp_cosine_lr(lr, 0.1, 10, 10, 10)));
}

/* ---- the sampler ---- */

enum { N_ROWS = 100 };

/* 60 rows of label 0, 30 of 1, none of 2, 10 of 3; mixed. */
static void make_examples(tp_example *examples) {
    for (int i = 0; i < N_ROWS; i++) {
        int place = i * 37 % N_ROWS;
        examples[i] = (tp_example){.text = "", .label = place < 60 ? 0 : place < 90 ? 1 : 3, .id = i};
    }
}

static void balanced_batches_draw_classes_alike(void **state) {
    (void)state;
    tp_example examples[N_ROWS];
    make_examples(examples);
    tp_sampler *s = tp_sampler_new(examples, N_ROWS, 4, true, 5);
    int64_t by_class[4] = {0}, by_row[N_ROWS] = {0}, batch[10];
    for (int step = 0; step < 3000; step++) {
        tp_sampler_batch(s, step, 10, batch);
        for (int i = 0; i < 10; i++) {
            assert_in_range(batch[i], 0, N_ROWS - 1);
            by_class[examples[batch[i]].label]++;
            by_row[batch[i]]++;
        }
    }
    assert_int_equal(by_class[2], 0);
    for (int c = 0; c < 4; c++) /* 10000 each; five standard deviations are 408 */
        if (c != 2) assert_in_range(by_class[c], 10000 - 408, 10000 + 408);
    for (int i = 0; i < N_ROWS; i++) {
        double expected = 10000.0 / (examples[i].label == 0 ? 60 : examples[i].label == 1 ? 30 : 10);
        assert_true(fabs((double)by_row[i] - expected) < 5 * sqrt(expected));
    }
    tp_sampler_free(s);
}

static void an_epoch_is_a_permutation(void **state) {
    (void)state;
    tp_example examples[N_ROWS];
    make_examples(examples);
    const struct {
        size_t n;
        int64_t batch;
    } cases[] = {{23, 5}, {7, 50}, {1, 3}, {100, 16}}; /* among them batches larger than the data */
    for (int c = 0; c < 4; c++) {
        size_t n = cases[c].n, drawn = 0;
        tp_sampler *s = tp_sampler_new(examples, n, 4, false, 5);
        int64_t seen[N_ROWS] = {0}, batch[50], orders[2][N_ROWS];
        for (int64_t step = 0; drawn < 10 * n; step++) {
            tp_sampler_batch(s, step, cases[c].batch, batch);
            for (int64_t i = 0; i < cases[c].batch; i++, drawn++) {
                assert_in_range(batch[i], 0, n - 1);
                if (drawn < 2 * n) orders[drawn / n][drawn % n] = batch[i];
                int64_t epoch = (int64_t)(drawn / n);
                assert_int_equal(seen[batch[i]]++, epoch); /* once in each epoch before, not yet in this one */
            }
        }
        if (n > 5) assert_memory_not_equal(orders[0], orders[1], n * sizeof(int64_t));
        tp_sampler_free(s);
    }
}

static void a_batch_depends_on_its_number_alone(void **state) {
    (void)state;
    tp_example examples[N_ROWS];
    make_examples(examples);
    for (int balanced = 0; balanced < 2; balanced++) {
        tp_sampler *a = tp_sampler_new(examples, N_ROWS, 4, balanced, 5);
        tp_sampler *b = tp_sampler_new(examples, N_ROWS, 4, balanced, 5);
        tp_sampler *other = tp_sampler_new(examples, N_ROWS, 4, balanced, 6);
        int64_t in_order[40][16], alone[16], others[16];
        for (int step = 0; step < 40; step++) tp_sampler_batch(a, step, 16, in_order[step]);
        for (int step = 39; step >= 0; step -= 3) { /* backwards, and not all of them */
            tp_sampler_batch(b, step, 16, alone);
            assert_memory_equal(in_order[step], alone, sizeof alone);
            tp_sampler_batch(other, step, 16, others);
            assert_memory_not_equal(alone, others, sizeof alone);
        }
        assert_memory_not_equal(in_order[0], in_order[1], sizeof alone);
        tp_sampler_free(a);
        tp_sampler_free(b);
        tp_sampler_free(other);
    }
}

/* ---- documents ---- */

typedef struct {
    int next;
    char text[256];
} some_documents;

/* Documents of 1 to 40 words: some fit into a piece, some need many. */
static bool next_document(void *context, const char **text, size_t *n) {
    static const char *const words[] = {"red", "green", "cat", "dog", "runs", "sings", "over", "under"};
    some_documents *d = context;
    if (d->next == 60) return false;
    tp_rng rng = tp_rng_stream(3, "documents", (uint64_t)d->next++);
    *n = 0;
    for (uint64_t i = 1 + tp_rng_below(&rng, 40); i > 0; i--)
        *n += (size_t)snprintf(d->text + *n, sizeof d->text - *n, "%s ", words[tp_rng_below(&rng, 8)]);
    *text = d->text;
    return true;
}

static tp_tokenizer *make_tokenizer(tp_bpe_kind kind) {
    const char *folder = in_dir(kind == TP_BPE_BYTE_LEVEL ? "bytes" : "pieces");
    some_documents documents = {0};
    check_ok(tp_make_dirs(folder));
    check_ok(tp_bpe_train(kind, kind == TP_BPE_BYTE_LEVEL ? 270 : 280, next_document, &documents, folder));
    tp_tokenizer *t = tp_tokenizer_load(folder, NULL);
    check_not_null(t);
    return t;
}

static void pieces_cover_each_document_once(void **state) {
    (void)state;
    tp_tokenizer *t = make_tokenizer(TP_BPE_SENTENCEPIECE);
    const int64_t contexts[] = {1, 7, 16, 1000};
    for (int with_eos = 0; with_eos < 2; with_eos++)
        for (int c = 0; c < 4; c++) {
            tp_documents d = {0};
            some_documents source = {0};
            const char *text;
            size_t n, piece = 0;
            int64_t bytes = 0;
            while (next_document(&source, &text, &n)) {
                size_t begin = d.tokens.len;
                check_ok(tp_documents_add(&d, t, text, n, contexts[c], with_eos));
                bytes += (int64_t)n;
                tp_ids ids = {0};
                tp_ids_append(&ids, tp_tokenizer_bos(t));
                check_ok(tp_tokenizer_encode(t, text, n, TP_TOKENS_PLAIN, &ids));
                if (with_eos) tp_ids_append(&ids, tp_tokenizer_eos(t));
                assert_int_equal(d.tokens.len - begin, ids.len);
                assert_memory_equal(d.tokens.data + begin, ids.data, ids.len * sizeof(int32_t));
                int64_t at = (int64_t)begin; /* every token but the last is an input once, in order */
                for (; piece < d.n_pieces; piece++) {
                    assert_int_equal(d.pieces[piece].start, at);
                    assert_in_range(d.pieces[piece].n, 1, contexts[c]);
                    at += d.pieces[piece].n;
                    if (at < (int64_t)d.tokens.len - 1) assert_int_equal(d.pieces[piece].n, contexts[c]);
                }
                assert_int_equal(at, d.tokens.len - 1);
                tp_ids_free(&ids);
            }
            assert_int_equal(d.n_documents, 60);
            assert_int_equal(d.bytes, bytes);
            tp_documents_free(&d);
        }
    tp_tokenizer_free(t);
}

static void batches_hold_whole_pieces_within_their_bound(void **state) {
    (void)state;
    tp_tokenizer *t = make_tokenizer(TP_BPE_BYTE_LEVEL);
    tp_documents d = {0};
    some_documents source = {0};
    const char *text;
    size_t n;
    while (next_document(&source, &text, &n)) check_ok(tp_documents_add(&d, t, text, n, 32, true));
    int64_t *order = tp_alloc(d.n_pieces * sizeof *order);
    for (size_t i = 0; i < d.n_pieces; i++) order[i] = (int64_t)i;
    tp_rng rng = tp_rng_stream(1, "order", 0);
    tp_rng_shuffle(&rng, order, d.n_pieces);
    const int64_t bounds[] = {1, 32, 50, 100000};
    for (int b = 0; b < 4; b++) {
        tp_token_batch batch = {0};
        size_t at = 0, filled = 0;
        while (at < d.n_pieces) {
            size_t before = at;
            tp_documents_batch(&d, order, d.n_pieces, &at, bounds[b], &batch);
            assert_int_equal(batch.n_sequences, at - before);
            assert_true(batch.n_sequences >= 1);
            if (batch.n_sequences > 1) assert_true((int64_t)batch.inputs.len <= bounds[b]);
            if (at < d.n_pieces) /* the next would not have fitted */
                assert_true((int64_t)batch.inputs.len + d.pieces[order[at]].n > bounds[b]);
            assert_int_equal(batch.inputs.len, batch.targets.len);
            assert_int_equal(batch.offsets[0], 0);
            for (int64_t s = 0; s < batch.n_sequences; s++) {
                tp_piece piece = d.pieces[order[before + (size_t)s]];
                int64_t from = batch.offsets[s], length = batch.offsets[s + 1] - from;
                assert_int_equal(length, piece.n);
                assert_memory_equal(batch.inputs.data + from, d.tokens.data + piece.start, (size_t)length * 4);
                assert_memory_equal(batch.targets.data + from, d.tokens.data + piece.start + 1, (size_t)length * 4);
                for (int64_t i = 1; i < length; i++) /* one document: BOS can only be its first token */
                    assert_int_not_equal(batch.inputs.data[from + i], tp_tokenizer_bos(t));
                for (int64_t i = 0; i < length; i++)
                    assert_int_not_equal(batch.targets.data[from + i], tp_tokenizer_bos(t));
            }
            assert_int_equal(batch.offsets[batch.n_sequences], batch.inputs.len);
            filled += batch.inputs.len;
        }
        assert_int_equal(filled, d.tokens.len - (size_t)d.n_documents);
        tp_token_batch_free(&batch);
    }
    tp_free(order);
    tp_documents_free(&d);
    tp_tokenizer_free(t);
}

/* ---- detectors ---- */

enum { BATCH = 8, WIDTH = 40, STEPS = 1200 };

typedef struct {
    float common, noise; /* soft tokens: a vector they share, and what is each one's own */
    double gradient;
    double (*loss)(int step);
    int64_t batch;
} patient;

static double falling(int step) {
    return 0.5 + 3.0 * exp(-step / 400.0);
}

static double constant(int step) {
    return 1.7 + 0.01 * (step % 3); /* noise, but no progress */
}

static double slowly_falling(int step) {
    return 2.0 - 1e-3 * step;
}

/* How often each detector speaks in 1200 steps, by a word of its sentence; never twice within 500 steps. */
static void listen(const patient *p, int counts[4]) {
    static const char *const words[4] = {"hardly differ", "point the same way", "no gradient", "has not fallen"};
    int last[4] = {-10000, -10000, -10000, -10000};
    memset(counts, 0, 4 * sizeof *counts);
    tp_detectors d = tp_detectors_new();
    float soft[BATCH * WIDTH], shared[WIDTH], own[BATCH * WIDTH];
    for (int step = 0; step < STEPS; step++) {
        tp_rng rng = tp_rng_stream(9, "soft", (uint64_t)step);
        tp_rng_fill_normal(&rng, shared, WIDTH, p->common);
        tp_rng_fill_normal(&rng, own, BATCH * WIDTH, p->noise);
        for (int i = 0; i < BATCH * WIDTH; i++) soft[i] = shared[i % WIDTH] + own[i];
        tp_vital_signs signs = {.step = step,
                                .loss = p->loss(step),
                                .gradient_norm = p->gradient,
                                .soft = soft,
                                .n = p->batch,
                                .width = WIDTH};
        char sentence[256] = "";
        bool fatal;
        if (!tp_detectors_look(&d, &signs, sentence, sizeof sentence, &fatal)) continue;
        assert_false(fatal);
        assert_true(step >= 20); /* the first steps may look like anything */
        int which = 0;
        while (which < 4 && strstr(sentence, words[which]) == NULL) which++;
        if (which == 4) fail_msg("nobody knows the sentence \"%s\"", sentence);
        assert_true(step - last[which] >= 500);
        last[which] = step;
        counts[which]++;
    }
}

static void detectors_speak_of_what_is_wrong_and_not_too_often(void **state) {
    (void)state;
    const struct {
        patient signs;
        int expected[4];
    } cases[] = {
        {{0, 1, 0.3, falling, BATCH}, {0, 0, 0, 0}},        /* healthy */
        {{0, 1e-3f, 0.3, falling, BATCH}, {0, 0, 0, 0}},    /* healthy with a receiver of small embeddings */
        {{1, 0.3f, 0.3, falling, BATCH}, {0, 0, 0, 0}},     /* tokens share much, but not all */
        {{1, 1, 0.3, slowly_falling, BATCH}, {0, 0, 0, 0}}, /* slow is not stalled */
        {{1, 0, 1e-3, falling, 1}, {0, 0, 0, 0}},           /* one example differs from no other */
        {{1, 1e-3f, 0.3, falling, BATCH}, {3, 3, 0, 0}},    /* all the same */
        {{1, 0.05f, 0.3, falling, BATCH}, {0, 3, 0, 0}},    /* some spread, one direction */
        {{0, 1, 1e-8, falling, BATCH}, {0, 0, 3, 0}},       /* no gradient */
        {{0, 1, 0.3, constant, BATCH}, {0, 0, 0, 2}},       /* no progress, since steps 500 and 1000 */
    };
    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        int counts[4];
        listen(&cases[c].signs, counts);
        for (int w = 0; w < 4; w++)
            if (counts[w] != cases[c].expected[w])
                fail_msg("case %zu: detector %d spoke %d times, expected %d", c, w, counts[w], cases[c].expected[w]);
    }
}

static void what_is_no_number_is_fatal_at_once(void **state) {
    (void)state;
    const float soft[4] = {1, 2, 3, 4};
    const struct {
        double loss, gradient;
        const char *word;
    } cases[] = {{NAN, 1, "loss"}, {INFINITY, 1, "loss"}, {1, NAN, "gradient"}, {1, INFINITY, "gradient"}};
    for (int c = 0; c < 4; c++) {
        tp_detectors d = tp_detectors_new();
        char sentence[256];
        bool fatal = false;
        assert_true(tp_detectors_look(
            &d,
            &(tp_vital_signs){
                .step = 3, .loss = cases[c].loss, .gradient_norm = cases[c].gradient, .soft = soft, .n = 2, .width = 2},
            sentence, sizeof sentence, &fatal));
        assert_true(fatal);
        assert_non_null(strstr(sentence, cases[c].word));
        assert_non_null(strstr(sentence, "step 3"));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(adamw_walks_as_pytorchs_does),
        cmocka_unit_test(only_matrices_decay),
        cmocka_unit_test(gradients_are_clipped_together),
        cmocka_unit_test(gradients_that_are_no_numbers_change_nothing),
        cmocka_unit_test(rates_warm_up_and_follow_a_cosine),
        cmocka_unit_test(balanced_batches_draw_classes_alike),
        cmocka_unit_test(an_epoch_is_a_permutation),
        cmocka_unit_test(a_batch_depends_on_its_number_alone),
        cmocka_unit_test(pieces_cover_each_document_once),
        cmocka_unit_test(batches_hold_whole_pieces_within_their_bound),
        cmocka_unit_test(detectors_speak_of_what_is_wrong_and_not_too_often),
        cmocka_unit_test(what_is_no_number_is_fatal_at_once),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
