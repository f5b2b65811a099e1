/* What the tests of include/telepathy.h share: a fixture's model as an engine beside what the reference computed with
 * it, and engines of models that a test made. */
#ifndef TP_TESTS_API_FIXTURE_H
#define TP_TESTS_API_FIXTURE_H

#include "check.h"

#include "base/file.h"
#include "base/mem.h"
#include "lm/safetensors.h"

#include <math.h>

typedef struct {
    tp_engine *engine;
    const tp_engine_facts *facts;
    tp_safetensors *expected;
    const int32_t *ids; /* of the fixture's first prompt */
    int64_t n;
    float *rows; /* their embeddings, [n, d_model] */
} fixture;

static inline const tp_st_tensor *find(const fixture *f, const char *format, int i, int l) {
    char name[64];
    snprintf(name, sizeof name, format, i, l);
    const tp_st_tensor *t = tp_safetensors_find(f->expected, name);
    check_not_null(t);
    return t;
}

static inline fixture fixture_open(const char *family, unsigned flags) {
    fixture f;
    char path[1024];
    snprintf(path, sizeof path, "%s/tests/fixtures/lm/%s", TP_SOURCE_DIR, family);
    f.engine = tp_engine_load(path, flags | TP_ENGINE_NO_TOKENIZER);
    check_not_null(f.engine);
    f.facts = tp_engine_get_facts(f.engine);
    snprintf(path, sizeof path, "%s/tests/fixtures/lm/%s/expected.safetensors", TP_SOURCE_DIR, family);
    f.expected = tp_safetensors_open(path);
    check_not_null(f.expected);
    const tp_st_tensor *ids = find(&f, "input_ids_%d", 0, 0);
    f.ids = ids->data;
    f.n = ids->shape[0];
    f.rows = tp_alloc((size_t)(f.n * f.facts->d_model) * sizeof(float));
    tp_input input = {.ids = f.ids, .n = f.n};
    check_ok(tp_engine_states(f.engine, &input, 1, (const int32_t[]){0}, 1, f.rows));
    return f;
}

static inline void fixture_close(fixture *f) {
    tp_free(f->rows);
    tp_safetensors_close(f->expected);
    tp_engine_free(f->engine);
}

/* Largest difference, as a share of the largest expected value. */
static inline double difference(const float *got, const float *expected, int64_t n) {
    double worst = 0, most = 1e-30;
    for (int64_t i = 0; i < n; i++) {
        double d = fabs((double)got[i] - expected[i]);
        if (!(d <= worst)) worst = d; /* catches NaN as well */
        if (fabs((double)expected[i]) > most) most = fabs((double)expected[i]);
    }
    return worst / most;
}

/* The logits after the inputs, in a session of their own; free with tp_free. */
static inline float *logits_of(const fixture *f, const tp_input *inputs, int64_t n_inputs) {
    tp_session *session = tp_session_new(f->engine, 0);
    check_not_null(session);
    check_ok(tp_session_feed(session, inputs, n_inputs));
    float *logits = tp_alloc((size_t)f->facts->vocab_size * sizeof *logits);
    check_ok(tp_session_logits(session, logits));
    tp_session_free(session);
    return logits;
}

static inline tp_engine *load_in(const char *dir, const char *name) {
    char *path = tp_path_join(dir, name);
    tp_engine *engine = tp_engine_load(path, TP_ENGINE_F32);
    check_not_null(engine);
    tp_free(path);
    return engine;
}

#endif
