/* Sessions with caches of each type, prompts that share a beginning with what a session holds, and sessions saved and
 * restored: what goes on from a file is bit for bit what would have gone on, and a file that does not belong is refused
 * without a change. */
#include "check.h"
#include "one_folder.h"

#include "base/file.h"
#include "base/mem.h"
#include "lm/safetensors.h"

#include <math.h>

static const char *const families[] = {"llama2", "mistral", "qwen2", NULL}; /* the last two have windows */
static const tp_cache_type types[] = {TP_CACHE_F32, TP_CACHE_F16, TP_CACHE_BF16, TP_CACHE_I8};
typedef struct {
    tp_engine *engine;
    const tp_engine_facts *facts;
    tp_safetensors *expected;
    const int32_t *ids;
    int64_t n;
} fixture;

static fixture fixture_open(const char *family) {
    fixture f;
    char path[1024];
    snprintf(path, sizeof path, "%s/tests/fixtures/lm/%s", TP_SOURCE_DIR, family);
    f.engine = tp_engine_load(path, TP_ENGINE_NO_TOKENIZER | TP_ENGINE_F32);
    check_not_null(f.engine);
    f.facts = tp_engine_get_facts(f.engine);
    strcat(path, "/expected.safetensors");
    f.expected = tp_safetensors_open(path);
    check_not_null(f.expected);
    const tp_st_tensor *ids = tp_safetensors_find(f.expected, "input_ids_0");
    check_not_null(ids);
    f.ids = ids->data;
    f.n = ids->shape[0];
    return f;
}

static void fixture_close(fixture *f) {
    tp_safetensors_close(f->expected);
    tp_engine_free(f->engine);
}

static double difference(const float *a, const float *b, int64_t n) {
    double most = 0, largest = 1e-30;
    for (int64_t i = 0; i < n; i++) {
        double d = fabs((double)a[i] - b[i]);
        if (!(d <= most)) most = d;
        if (fabs((double)b[i]) > largest) largest = fabs((double)b[i]);
    }
    return most / largest;
}

static void feed(tp_session *s, const int32_t *ids, int64_t n) {
    check_ok(tp_session_feed(s, &(tp_input){.ids = ids, .n = n}, 1));
}

static float *logits_after(const fixture *f, tp_cache_type type, const int32_t *ids, int64_t n) {
    tp_session *s = tp_session_new_cached(f->engine, 0, type);
    check_not_null(s);
    feed(s, ids, n);
    float *logits = tp_alloc((size_t)f->facts->vocab_size * sizeof *logits);
    check_ok(tp_session_logits(s, logits));
    tp_session_free(s);
    return logits;
}

static void every_type_is_near_f32(void **state) {
    (void)state;
    static const double bounds[] = {0, 2e-3, 2e-2, 3e-2};
    for (int k = 0; families[k]; k++) {
        fixture f = fixture_open(families[k]);
        float *wanted = logits_after(&f, TP_CACHE_F32, f.ids, f.n);
        for (int t = 0; t < 4; t++) {
            float *found = logits_after(&f, types[t], f.ids, f.n);
            double off = difference(found, wanted, f.facts->vocab_size);
            if (!(off <= bounds[t])) fail_msg("%s, type %d: logits are off by %g", families[k], t, off);
            if (t > 0) assert_true(off > 0);
            tp_free(found);
        }
        tp_free(wanted);
        assert_null(tp_session_new_cached(f.engine, 0, (tp_cache_type)9));
        assert_non_null(strstr(tp_last_error(), "cache type 9"));
        fixture_close(&f);
    }
}

/* ---- shared beginnings ---- */

static void check_refeed(const fixture *f, tp_session *s, const int32_t *ids, int64_t n, int64_t kept) {
    int64_t found = -1;
    check_ok(tp_session_refeed(s, &(tp_input){.ids = ids, .n = n}, 1, &found));
    assert_int_equal(tp_session_length(s), n);
    assert_int_equal(found, kept);
    float *wanted = logits_after(f, TP_CACHE_F32, ids, n), *logits = tp_alloc((size_t)f->facts->vocab_size * 4);
    check_ok(tp_session_logits(s, logits));
    assert_true(difference(logits, wanted, f->facts->vocab_size) < 2e-5);
    tp_free(wanted);
    tp_free(logits);
}

static void prompts_share_their_beginning(void **state) {
    (void)state;
    fixture f = fixture_open("llama2");
    int64_t n = f.n, half = n / 2, d = f.facts->d_model;
    int32_t other[128];
    memcpy(other, f.ids, (size_t)n * 4);
    for (int64_t i = half; i < n; i++) other[i] = (f.ids[i] + 1) % f.facts->vocab_size;
    tp_session *s = tp_session_new(f.engine, n + 3);
    check_refeed(&f, s, f.ids, n, 0);
    check_refeed(&f, s, f.ids, n, n); /* nothing to do */
    check_refeed(&f, s, other, n, half);
    check_refeed(&f, s, f.ids, n - 2, half);
    check_refeed(&f, s, f.ids, n, n - 2);
    check_refeed(&f, s, f.ids, n - 2, n - 3); /* the last position's hidden state went: it is computed again */
    check_ok(tp_session_rewind(s, half));
    check_refeed(&f, s, f.ids, half, half - 1);
    /* rows are never taken for the same, and what stands behind them neither */
    float *rows = tp_alloc((size_t)(n * d) * 4);
    check_ok(tp_engine_states(f.engine, &(tp_input){.ids = f.ids, .n = n}, 1, (const int32_t[]){0}, 1, rows));
    tp_input mixed[3] = {{.ids = f.ids, .n = 3}, {.rows = rows + 3 * d, .n = 2}, {.ids = f.ids + 5, .n = n - 5}};
    int64_t kept;
    check_ok(tp_session_refeed(s, mixed, 3, &kept));
    assert_int_equal(kept, 3);
    check_ok(tp_session_refeed(s, mixed, 3, &kept));
    assert_int_equal(kept, 3);
    check_refeed(&f, s, f.ids, n, 3);
    /* what is refused changes nothing */
    float before[4096], after[4096];
    assert_true(f.facts->vocab_size <= 4096);
    check_ok(tp_session_logits(s, before));
    int32_t wrong[2] = {f.ids[0], -5};
    assert_int_equal(tp_session_refeed(s, &(tp_input){.ids = wrong, .n = 2}, 1, NULL), TP_ERR_ARGUMENT);
    assert_int_equal(tp_session_refeed(s, mixed, 0, NULL), TP_ERR_ARGUMENT);
    assert_int_equal(tp_session_refeed(NULL, mixed, 1, NULL), TP_ERR_ARGUMENT);
    check_ok(tp_session_logits(s, after));
    assert_memory_equal(before, after, (size_t)f.facts->vocab_size * 4);
    tp_free(rows);
    tp_session_free(s);
    fixture_close(&f);
    /* a window has dropped what the beginning needs: it is computed again, and says so */
    f = fixture_open("mistral");
    s = tp_session_new(f.engine, f.n);
    check_refeed(&f, s, f.ids, f.n, 0);
    memcpy(other, f.ids, (size_t)f.n * 4);
    other[f.n - 1] = (other[f.n - 1] + 1) % f.facts->vocab_size;
    check_refeed(&f, s, other, f.n, f.n - 1); /* one back is held */
    other[f.n - 4] = (other[f.n - 4] + 1) % f.facts->vocab_size;
    check_refeed(&f, s, other, f.n, 0);
    tp_session_free(s);
    fixture_close(&f);
}

/* ---- files ---- */

static const char *in_dir(const char *name) {
    static char path[1024];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

static void restored_goes_on_bit_for_bit(void **state) {
    (void)state;
    for (int k = 0; families[k]; k++)
        for (int t = 0; t < 4; t++)
            for (int64_t left = 0; left < 6; left += 5) {
                fixture f = fixture_open(families[k]);
                size_t bytes = (size_t)f.facts->vocab_size * 4;
                float *a = tp_alloc(bytes), *b = tp_alloc(bytes);
                tp_session *one = tp_session_new_cached(f.engine, f.n, types[t]);
                for (int64_t i = 0; i < f.n - left; i++) feed(one, f.ids + i, 1);
                check_ok(tp_session_save(one, in_dir("state")));
                tp_session *two = tp_session_new_cached(f.engine, f.n + 9, types[t]);
                feed(two, f.ids + 2, 7); /* what stood there goes */
                check_ok(tp_session_load(two, in_dir("state")));
                assert_int_equal(tp_session_length(two), f.n - left);
                check_ok(tp_session_logits(one, a));
                check_ok(tp_session_logits(two, b));
                assert_memory_equal(a, b, bytes);
                for (int64_t i = f.n - left; i < f.n; i++) {
                    feed(one, f.ids + i, 1);
                    feed(two, f.ids + i, 1);
                }
                check_ok(tp_session_logits(one, a));
                check_ok(tp_session_logits(two, b));
                assert_memory_equal(a, b, bytes);
                /* the tokens came along */
                int64_t kept;
                check_ok(tp_session_refeed(two, &(tp_input){.ids = f.ids, .n = f.n}, 1, &kept));
                assert_int_equal(kept, f.n);
                /* rewound sessions have no last state; they can be saved all the same */
                if (left == 0) {
                    check_ok(tp_session_rewind(one, f.n - 1));
                    check_ok(tp_session_save(one, in_dir("state")));
                    check_ok(tp_session_load(two, in_dir("state")));
                    assert_int_equal(tp_session_logits(two, b), TP_ERR_ARGUMENT);
                    feed(two, f.ids + f.n - 1, 1);
                    check_ok(tp_session_logits(two, b));
                    assert_true(difference(b, a, f.facts->vocab_size) < 1e-5);
                }
                tp_session_free(one);
                tp_session_free(two);
                tp_free(a);
                tp_free(b);
                fixture_close(&f);
            }
}

static void check_refused(tp_session *s, const char *path, const char *sentence) {
    int64_t length = tp_session_length(s);
    tp_status status = tp_session_load(s, path);
    if (status == TP_OK || strstr(tp_last_error(), sentence) == NULL || strstr(tp_last_error(), path) == NULL)
        fail_msg("status %d, `%s`; expected was `%s`", (int)status, tp_last_error(), sentence);
    assert_int_equal(tp_session_length(s), length);
}

static void wrong_files_are_refused(void **state) {
    (void)state;
    fixture f = fixture_open("mistral"), g = fixture_open("qwen2");
    tp_session *s = tp_session_new_cached(f.engine, 40, TP_CACHE_I8),
               *other = tp_session_new_cached(g.engine, 40, TP_CACHE_I8);
    tp_session *f16 = tp_session_new_cached(f.engine, 40, TP_CACHE_F16);
    tp_session *small = tp_session_new_cached(f.engine, 11, TP_CACHE_I8);
    assert_int_equal(tp_session_save(s, in_dir("none")), TP_ERR_ARGUMENT);
    assert_false(tp_path_exists(in_dir("none")));
    feed(s, f.ids, 12);
    check_ok(tp_session_save(s, in_dir("state")));
    char *path = tp_strdup(in_dir("state"));
    check_refused(other, path, "another model");
    check_refused(f16, path, "holds an i8 cache, this one is f16");
    check_refused(small, path, "holds 12 positions, there is room for 11");
    check_refused(s, in_dir("missing"), "missing");
    check_refused(s, dir, "regular file");
    assert_int_equal(tp_session_save(s, in_dir("no/such/folder")), TP_ERR_IO);
    assert_int_equal(tp_session_load(NULL, path), TP_ERR_ARGUMENT);
    assert_int_equal(tp_session_load(s, NULL), TP_ERR_ARGUMENT);
    assert_int_equal(tp_session_save(s, NULL), TP_ERR_ARGUMENT);
    /* damage: every byte changed, and every length */
    char *bytes;
    size_t n;
    check_ok(tp_read_file(path, 0, &bytes, &n));
    feed(f16, f.ids, 3);
    tp_session *whole = tp_session_new_cached(f.engine, 40, TP_CACHE_I8);
    for (size_t i = 0; i < n; i++) {
        bytes[i] ^= 0x41;
        check_ok(tp_write_file(in_dir("damaged"), bytes, n));
        if (tp_session_load(whole, in_dir("damaged")) == TP_OK) fail_msg("byte %zu was changed and not missed", i);
        assert_int_equal(tp_session_length(whole), 0);
        bytes[i] ^= 0x41;
    }
    for (size_t i = 0; i < n; i += i < 80 || i + 30 > n ? 1 : 17) {
        check_ok(tp_write_file(in_dir("short"), bytes, i));
        check_refused(whole, in_dir("short"), i < 64 ? "no saved state" : "bytes here");
    }
    check_ok(tp_session_load(whole, path));
    assert_int_equal(tp_session_length(whole), 12);
    tp_free(bytes);
    tp_free(path);
    tp_session_free(whole);
    tp_session_free(s);
    tp_session_free(other);
    tp_session_free(f16);
    tp_session_free(small);
    fixture_close(&f);
    fixture_close(&g);
}

/* What the smaller types change for a trained model: the published continuation stays, the logits move a little. */
static void a_trained_model_says_the_same(void **state) {
    (void)state;
    check_needs_shared("models/tinystories-656k/model.safetensors");
    static const int32_t wanted[] = {1,    147,  201, 282, 215,  286, 598, 1662, 356, 499, 826, 1363,
                                     1145, 1652, 615, 242, 1482, 951, 628, 499,  826, 872, 921, 318};
    static const double bounds[] = {0, 1e-3, 1e-2, 2e-2};
    tp_engine *engine = tp_engine_load(check_shared("models/tinystories-656k"), TP_ENGINE_F32);
    check_not_null(engine);
    fixture f = {.engine = engine, .facts = tp_engine_get_facts(engine)};
    float *exact = logits_after(&f, TP_CACHE_F32, wanted, 24);
    for (int t = 0; t < 4; t++) {
        tp_session *s = tp_session_new_cached(engine, 64, types[t]);
        float *logits = tp_alloc((size_t)f.facts->vocab_size * 4);
        for (int i = 0; i < 24; i++) {
            feed(s, wanted + i, 1);
            check_ok(tp_session_logits(s, logits));
            int32_t best = 0;
            for (int32_t v = 1; v < f.facts->vocab_size; v++)
                if (logits[v] > logits[best]) best = v;
            if (i + 1 < 24) assert_int_equal(best, wanted[i + 1]);
        }
        double off = difference(logits, exact, f.facts->vocab_size);
        if (getenv("TP_SHOW")) fprintf(stderr, "type %d: logits off by %.2g of the largest\n", t, off);
        if (!(off <= (t ? bounds[t] : 1e-5))) fail_msg("type %d: logits are off by %g", t, off);
        tp_free(logits);
        tp_session_free(s);
    }
    tp_free(exact);
    tp_engine_free(engine);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type_is_near_f32),        cmocka_unit_test(prompts_share_their_beginning),
        cmocka_unit_test(restored_goes_on_bit_for_bit),  cmocka_unit_test(wrong_files_are_refused),
        cmocka_unit_test(a_trained_model_says_the_same),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
