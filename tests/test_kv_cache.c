/* The cache of keys and values: every type, rings that wrap, copies, rewinding, and what memory is touched. The oracle
 * is the same model without a cache. Weights are made large, so that attention is far from uniform and a key that is
 * missing, stale or at a wrong place shows. */
#include "check.h"

#include "lm/decoder.h"
#include "tensor/kernels.h"

#include <math.h>
#include <sys/mman.h>

static const tp_dtype types[] = {TP_F32, TP_F16, TP_BF16, TP_I8};
enum { N_TYPES = sizeof types / sizeof *types, VOCAB = 40, LENGTH = 61 };

static tp_status enlarge(void *context, tp_weight *w, const char *name, int64_t rows, int64_t cols) {
    (void)context, (void)name;
    for (int64_t i = 0; rows > 1 && i < rows * cols; i++) ((float *)(uintptr_t)w->data)[i] *= 12;
    return TP_OK;
}

/* Five layers: all windowed (first_windowed 0), or only those from first_windowed on. */
static tp_lm *model(int window, int first_windowed, int heads, int kv_heads, int head_dim) {
    tp_lm_config c = {.family = TP_LM_MISTRAL,
                      .vocab_size = VOCAB,
                      .d_model = 48,
                      .n_layers = 5,
                      .n_heads = heads,
                      .n_kv_heads = kv_heads,
                      .head_dim = head_dim,
                      .d_ff = 64,
                      .norm_eps = 1e-5,
                      .rope_theta = 1e4,
                      .max_position_embeddings = 512,
                      .sliding_window = window,
                      .first_windowed_layer = first_windowed,
                      .tie_word_embeddings = true,
                      .bos_id = -1,
                      .dtype = TP_F32};
    tp_lm *lm = tp_lm_new_frozen(&c, 5, TP_F32);
    check_not_null(lm);
    tp_lm_visit(lm, enlarge, NULL);
    return lm;
}

static int32_t token(int64_t i) {
    return (int32_t)((i * 7 + i * i * 3) % VOCAB);
}

static tp_tape *frozen_tape(void) {
    tp_tape *tape = tp_tape_new(TP_MATH_F32);
    tape->frozen = true;
    return tape;
}

/* Feeds positions from .. to - 1 of the test's text (from + shift elsewhere) and copies their last hidden states. */
static void feed(const tp_lm *lm, tp_tape *tape, tp_kv_cache *cache, int64_t slot, int64_t from, int64_t to,
                 float *out) {
    int32_t ids[512];
    for (int64_t i = from; i < to; i++) ids[i - from] = token(i);
    int64_t offsets[2] = {0, to - from};
    tp_tape_reset(tape);
    tp_batch batch = {.n_sequences = 1, .offsets = offsets, .cache = cache, .slots = &slot};
    tp_var *x = tp_lm_blocks(tape, lm, tp_lm_embed(tape, lm, ids, to - from), &batch, 0, lm->config.n_layers);
    if (out) memcpy(out, x->data, (size_t)(x->rows * x->cols) * sizeof(float));
}

/* The largest difference relative to the largest number. */
static double difference(const float *a, const float *b, int64_t n) {
    double most = 0, largest = 0;
    for (int64_t i = 0; i < n; i++) {
        double d = fabs((double)a[i] - b[i]);
        if (!(d <= most)) most = d;
        if (fabs(b[i]) > largest) largest = fabs(b[i]);
    }
    return most / largest;
}

static const struct {
    int window, first_windowed, heads, kv_heads, head_dim;
} shapes[] = {{0, 0, 4, 2, 12}, {5, 0, 4, 2, 12},  {7, 2, 6, 1, 16},
              {1, 3, 2, 2, 8},  {16, 1, 8, 1, 20}, {60, 0, 3, 3, 6}};

/* Pieces of all sizes, larger and smaller than the windows, which wrap many times. */
static void cached_equals_uncached(void **state) {
    (void)state;
    static const int64_t pieces[][8] = {
        {LENGTH}, {1, 1, 1, 1, 1, 1, 1, 54}, {20, 1, 3, 1, 30, 6}, {4, 4, 4, 9, 13, 27}};
    for (size_t m = 0; m < sizeof shapes / sizeof *shapes; m++) {
        tp_lm *lm =
            model(shapes[m].window, shapes[m].first_windowed, shapes[m].heads, shapes[m].kv_heads, shapes[m].head_dim);
        tp_tape *tape = frozen_tape();
        int64_t d = lm->config.d_model, n = LENGTH * d;
        float *wanted = tp_alloc((size_t)n * 4), *found = tp_alloc((size_t)n * 4);
        feed(lm, tape, NULL, 0, 0, LENGTH, wanted);
        for (int t = 0; t < N_TYPES; t++)
            for (size_t p = 0; p <= sizeof pieces / sizeof *pieces; p++) { /* the last round: one by one */
                tp_kv_cache *cache = tp_kv_cache_new_typed(lm, types[t], 2, LENGTH + 3);
                check_not_null(cache);
                int64_t done = 0;
                for (int i = 0; done < LENGTH; i++) {
                    int64_t size = p == sizeof pieces / sizeof *pieces ? 1 : pieces[p][i];
                    feed(lm, tape, cache, 1, done, done + size, found + done * d);
                    done += size;
                }
                assert_int_equal(cache->lengths[1], LENGTH);
                /* f32 is exact; the others are rounded. */
                static const double tolerance[] = {1e-5, 2e-2, 1e-1, 1e-1};
                double off = difference(found, wanted, n);
                if (!(off <= tolerance[t])) fail_msg("model %zu, type %d, pieces %zu: off by %g", m, t, p, off);
                if (types[t] != TP_F32 && !(off > 0)) fail_msg("type %d is not rounded at all", t);
                tp_kv_cache_free(cache);
            }
        tp_free(wanted);
        tp_free(found);
        tp_tape_free(tape);
        tp_lm_free(lm);
    }
}

/* Two sequences of different lengths in one batch, then one copied into a third slot, go on as each alone. */
static void slots_are_independent_and_copied(void **state) {
    (void)state;
    for (size_t m = 0; m < sizeof shapes / sizeof *shapes; m++)
        for (int t = 0; t < N_TYPES; t++) {
            tp_lm *lm = model(shapes[m].window, shapes[m].first_windowed, shapes[m].heads, shapes[m].kv_heads,
                              shapes[m].head_dim);
            tp_tape *tape = frozen_tape();
            int64_t d = lm->config.d_model;
            float *alone = tp_alloc((size_t)(LENGTH * d) * 4), *found = tp_alloc((size_t)(LENGTH * d) * 4);
            tp_kv_cache *cache = tp_kv_cache_new_typed(lm, types[t], 3, LENGTH);
            feed(lm, tape, cache, 0, 0, LENGTH, alone);
            tp_kv_cache_rewind(cache, 0, 0);
            int32_t ids[64];
            for (int64_t i = 0; i < 25; i++) ids[i] = token(i);
            for (int64_t i = 0; i < 30; i++) ids[25 + i] = token(i);
            tp_tape_reset(tape);
            tp_batch both = {
                .n_sequences = 2, .offsets = (int64_t[]){0, 25, 55}, .cache = cache, .slots = (int64_t[]){2, 0}};
            tp_var *x = tp_lm_blocks(tape, lm, tp_lm_embed(tape, lm, ids, 55), &both, 0, lm->config.n_layers);
            assert_true(difference(x->data, alone, 25 * d) < 1e-3);
            assert_true(difference(x->data + 25 * d, alone, 30 * d) < 1e-3);
            tp_kv_cache_copy(cache, 2, 1);
            assert_int_equal(cache->lengths[1], 25);
            feed(lm, tape, cache, 2, 25, LENGTH, found); /* the copy does not change with its source */
            feed(lm, tape, cache, 1, 25, 40, found);
            feed(lm, tape, cache, 1, 40, LENGTH, found + 15 * d);
            assert_true(difference(found, alone + 25 * d, (LENGTH - 25) * d) < 1e-3);
            tp_kv_cache_free(cache);
            tp_free(alone);
            tp_free(found);
            tp_tape_free(tape);
            tp_lm_free(lm);
        }
}

/* Every place a cache can be rewound to gives what was there; where a ring has dropped too much it refuses. */
static void rewinding_is_exact_or_refused(void **state) {
    (void)state;
    for (size_t m = 0; m < sizeof shapes / sizeof *shapes; m++) {
        tp_lm *lm =
            model(shapes[m].window, shapes[m].first_windowed, shapes[m].heads, shapes[m].kv_heads, shapes[m].head_dim);
        tp_tape *tape = frozen_tape();
        int64_t d = lm->config.d_model, w = shapes[m].window;
        float *wanted = tp_alloc((size_t)(LENGTH * d) * 4), *found = tp_alloc((size_t)(LENGTH * d) * 4);
        feed(lm, tape, NULL, 0, 0, LENGTH, wanted);
        tp_kv_cache *cache = tp_kv_cache_new(lm, 1, LENGTH);
        int refused = 0;
        for (int64_t from = 1; from <= LENGTH; from += 4)
            for (int64_t to = 0; to <= from; to++) {
                if (!tp_kv_cache_rewind(cache, 0, 0)) fail_msg("a cache could not be emptied");
                feed(lm, tape, cache, 0, 0, from, NULL);
                bool done = tp_kv_cache_rewind(cache, 0, to);
                bool should = w == 0 || to == 0 || from <= w || to >= from - 1;
                assert_int_equal(done, should);
                refused += !done;
                assert_int_equal(cache->lengths[0], done ? to : from);
                if (!done || to == LENGTH) continue;
                int64_t end = to + 9 < LENGTH ? to + 9 : LENGTH;
                feed(lm, tape, cache, 0, to, end, found);
                if (!(difference(found, wanted + to * d, (end - to) * d) < 1e-5))
                    fail_msg("model %zu rewound from %d to %d goes on differently", m, (int)from, (int)to);
                /* once more: what was dropped before counts still */
                if (end > 2 && tp_kv_cache_rewind(cache, 0, end - 2)) {
                    feed(lm, tape, cache, 0, end - 2, end, found);
                    assert_true(difference(found, wanted + (end - 2) * d, 2 * d) < 1e-5);
                }
            }
        assert_int_equal(refused > 0, w > 0 && w < LENGTH);
        tp_kv_cache_free(cache);
        tp_free(wanted);
        tp_free(found);
        tp_tape_free(tape);
        tp_lm_free(lm);
    }
}

static int64_t touched_pages(const tp_kv_cache *cache) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE), bytes = cache->slot_bytes * (size_t)cache->n_slots;
    size_t n = (bytes + page - 1) / page;
    unsigned char *resident = tp_alloc(n);
    assert_int_equal(mincore(cache->bytes, bytes, resident), 0);
    int64_t touched = 0;
    for (size_t i = 0; i < n; i++) touched += resident[i] & 1;
    tp_free(resident);
    return touched;
}

/* Room for a million positions costs nothing until they are there, and a ring never grows beyond its window. */
static void memory_grows_with_use(void **state) {
    (void)state;
    tp_lm *lm = model(0, 0, 4, 2, 12);
    tp_tape *tape = frozen_tape();
    tp_kv_cache *cache = tp_kv_cache_new_typed(lm, TP_F16, 1, 1 << 20);
    check_not_null(cache);
    assert_true(cache->slot_bytes > 400u << 20);
    assert_int_equal(touched_pages(cache), 0);
    feed(lm, tape, cache, 0, 0, 10, NULL);
    int64_t few = touched_pages(cache);
    assert_true(few > 0 && few <= 5 * 2 * 2 * 2); /* layers, k and v, heads; a head may begin within a page */
    for (int64_t i = 10; i < 500; i += 49) feed(lm, tape, cache, 0, i, i + 49, NULL);
    int64_t more = touched_pages(cache);
    assert_true(more > few && more <= 5 * 2 * 2 * (500 * 24 / 4096 + 2));
    tp_kv_cache_free(cache);
    tp_lm_free(lm);
    lm = model(5, 2, 4, 2, 12); /* 2 layers see all, 3 see five positions */
    int64_t row = 2 * 2 * 12 * 4;
    assert_int_equal(tp_kv_cache_slot_bytes(lm, TP_F32, 3200), 2 * 3200 * row + 3 * 2 * ((5 * row / 2 + 63) / 64 * 64));
    assert_null(tp_kv_cache_new_typed(lm, TP_F64, 1, 10));
    assert_non_null(strstr(tp_last_error(), "f32, f16, bf16 or i8, not f64"));
    assert_null(tp_kv_cache_new_typed(lm, TP_F32, 1, INT64_MAX / 2));
    assert_null(tp_kv_cache_new_typed(lm, TP_F32, 1 << 20, 1 << 30));
    assert_int_equal(tp_last_status(), TP_ERR_MEMORY);
    tp_tape_free(tape);
    tp_lm_free(lm);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cached_equals_uncached),
        cmocka_unit_test(slots_are_independent_and_copied),
        cmocka_unit_test(rewinding_is_exact_or_refused),
        cmocka_unit_test(memory_grows_with_use),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
