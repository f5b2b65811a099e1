/* latentwire: the recipe's section; encoders and adapters against values and all gradients computed by PyTorch
 * (tools/reference), by central differences, alone and in batches. */
#include "compare.h"

#include "base/mem.h"
#include "base/str.h"
#include "latentwire/bytes.h"
#include "latentwire/latentwire.h"

static tp_recipe *recipe_of(const char *text) {
    json_t *value = tp_json_load_bytes(text, strlen(text), "r.json");
    check_not_null(value);
    tp_recipe *recipe = tp_recipe_from_json(value, "r.json");
    json_decref(value);
    return recipe;
}

/* ---- the recipe's section ---- */

static void a_section_reads_back_as_it_was_written(void **state) {
    (void)state;
    const char all[] =
        "{\"latentwire\": {\"encoder\": \"pca\", \"receivers\": [\"a\", \"b\"], \"width\": 32, \"private\": 2, "
        "\"max_bytes\": 99, \"adapter\": \"mlp\", \"hidden\": 48, \"dropout\": 0.1, \"calibrate\": false, "
        "\"scale_reg\": 0.1, \"slot_dropout\": 0.2, \"warmup\": 7, \"align\": 0.25, \"align_tokens\": 3, "
        "\"recon\": {\"cosine\": 1.5, \"mse\": 2.5}}}";
    tp_recipe *r = recipe_of(all);
    check_not_null(r);
    json_t *given = tp_json_load_bytes(all, strlen(all), "given"), *written = tp_recipe_to_json(r);
    assert_true(json_equal(json_object_get(given, "latentwire"), json_object_get(written, "latentwire")));
    json_decref(given);
    json_decref(written);
    check_ok(tp_latentwire_recipe_set_receivers(r->latentwire, "c,d,e"));
    assert_int_equal(r->latentwire->n_receivers, 3);
    assert_string_equal(r->latentwire->receivers[2], "e");
    assert_int_equal(tp_latentwire_recipe_set_receivers(r->latentwire, "c,,e"), TP_ERR_ARGUMENT);
    assert_int_equal(tp_latentwire_recipe_set_receivers(r->latentwire, "a,b,c,d,e,f,g,h,i"), TP_ERR_ARGUMENT);
    tp_recipe_free(r);
}

static void without_a_section_nothing_is_written(void **state) {
    (void)state;
    tp_recipe *r = recipe_of("{}");
    check_not_null(r);
    assert_null(r->latentwire);
    json_t *written = tp_recipe_to_json(r);
    assert_null(json_object_get(written, "latentwire"));
    json_decref(written);
    tp_recipe_free(r);
}

static void what_is_wrong_is_named(void **state) {
    (void)state;
    const struct {
        const char *text, *words;
    } cases[] = {
        {"{\"latentwire\": {}}", "`latentwire.encoder`"},
        {"{\"latentwire\": {\"encoder\": \"words\"}}", "`latentwire.encoder`"},
        {"{\"latentwire\": {\"encoder\": \"bytes\", \"bites\": 3}}", "`latentwire.bites`"},
        {"{\"latentwire\": {\"encoder\": \"bytes\", \"recon\": {\"mae\": 3}}}", "`latentwire.recon.mae`"},
        {"{\"latentwire\": {\"encoder\": \"bytes\", \"receivers\": []}}", "`latentwire.receivers` is empty"},
        {"{\"latentwire\": {\"encoder\": \"bytes\", \"receivers\": [\"a\", 1]}}", "at place 1"},
        {"{\"latentwire\": {\"encoder\": \"bytes\", \"receivers\": [1, 2, 3, 4, 5, 6, 7, 8, 9]}}", "at most 8"},
        {"{\"latentwire\": 3}", "`latentwire`"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_null(recipe_of(cases[i].text));
        if (strstr(tp_last_error(), cases[i].words) == NULL)
            fail_msg("\"%s\" does not say \"%s\"", tp_last_error(), cases[i].words);
    }
}

/* ---- the reference ---- */

#define FIXTURE TP_SOURCE_DIR "/tests/fixtures/bridge/latentwire.safetensors"

typedef struct {
    const tp_safetensors *file;
    const char *prefix; /* "simple." */
    size_t n;           /* tensors loaded */
} loading;

static void load(void *context, tp_weight *w) {
    loading *l = context;
    char name[128];
    int64_t n = w->rows * w->cols;
    snprintf(name, sizeof name, "%s%s.%s", l->prefix, w->grad ? "p" : "c", w->name);
    memcpy(tp_weight_values(w), compare_numbers(l->file, name, n), (size_t)n * sizeof(float));
    l->n++;
}

static const float *fixture(const tp_safetensors *st, const char *prefix, const char *name, int64_t n) {
    char full[128];
    snprintf(full, sizeof full, "%s%s", prefix, name);
    return compare_numbers(st, full, n);
}

static void check_reference(const char *prefix, const char *json) {
    tp_safetensors *st = tp_safetensors_open(FIXTURE);
    check_not_null(st);
    tp_recipe *r = recipe_of(json);
    check_not_null(r);
    const int64_t widths[] = {5, 9};
    bool bytes = r->latentwire->encoder == TP_LATENTWIRE_BYTES;
    tp_latentwire *w = tp_latentwire_new(&(tp_latentwire_shape){.recipe = r->latentwire,
                                                                .bridge = &r->bridge,
                                                                .d_source = bytes ? 0 : 7,
                                                                .n_receivers = 2,
                                                                .d_receiver = widths},
                                         1);
    check_not_null(w);
    loading l = {.file = st, .prefix = prefix};
    tp_latentwire_visit(w, load, &l);

    tp_tape *tape = tp_tape_new(TP_MATH_F32);
    int64_t offsets[4] = {0, 1, 2, 3};
    tp_latentwire_input input = {.n = 3, .offsets = offsets};
    if (bytes) {
        const tp_st_tensor *ids = tp_safetensors_find(st, "bytes.ids");
        const tp_st_tensor *ends = tp_safetensors_find(st, "bytes.offsets");
        check_not_null(ids);
        check_not_null(ends);
        input.ids = ids->data;
        for (int i = 0; i < 4; i++) offsets[i] = ((const int32_t *)ends->data)[i];
        const char *const texts[] = {"Hi there", "no", "\xc3\xa9t\xc3\xa9 2"}; /* the same ids from the texts */
        for (int i = 0; i < 3; i++) {
            int32_t own[8];
            int64_t n;
            tp_latentwire_byte_ids(texts[i], strlen(texts[i]), 6, own, &n);
            assert_int_equal(n, offsets[i + 1] - offsets[i]);
            assert_memory_equal(own, input.ids + offsets[i], (size_t)n * sizeof *own);
        }
    } else {
        input.rows = tp_var_leaf(tape, fixture(st, prefix, "rows", 21), 3, 7);
    }
    tp_var *z = tp_latentwire_encode(tape, w, &input, true);
    assert_int_equal(z->rows, 15);
    assert_true(compare_error(z->data, fixture(st, prefix, "z", 15 * 8), 15 * 8) < 1e-5);
    tp_var *terms[3];
    const float weights[3] = {1, 1, 0.05f};
    for (int i = 0; i < 2; i++) {
        char name[32];
        int64_t n = 12 * widths[i];
        tp_var *soft = tp_latentwire_soft(tape, w, z, 3, i);
        assert_int_equal(soft->rows, 12);
        snprintf(name, sizeof name, "soft.%d", i);
        double error = compare_error(soft->data, fixture(st, prefix, name, n), n);
        if (!(error < 1e-5)) fail_msg("%s%s is off by %g", prefix, name, error);
        snprintf(name, sizeof name, "soft_grad.%d", i);
        terms[i] = compare_weighted(tape, soft, fixture(st, prefix, name, n));
    }
    terms[2] = tp_latentwire_scale_reg(tape, w);
    assert_true((terms[2] == NULL) == bytes);
    tp_backward(tape, tp_weighted_sum(tape, terms, weights, terms[2] ? 3 : 2), 1);
    size_t compared = 0, gradients = 0, parameters = 0;
    for (size_t i = 0; i < w->trained.n; i++, compared++) {
        const tp_weight *p = w->trained.items[i];
        char name[128];
        snprintf(name, sizeof name, "grad.%s", p->name);
        double error = compare_error(p->grad, fixture(st, prefix, name, p->rows * p->cols), p->rows * p->cols);
        if (!(error < 1e-4)) fail_msg("%s%s is off by %g", prefix, name, error);
    }
    for (size_t i = 0; i < tp_safetensors_count(st); i++) { /* none of the reference's was passed over */
        const char *name = tp_safetensors_get(st, i)->name;
        if (strncmp(name, prefix, strlen(prefix)) != 0) continue;
        gradients += strncmp(name + strlen(prefix), "grad.", 5) == 0;
        parameters += strncmp(name + strlen(prefix), "p.", 2) == 0 || strncmp(name + strlen(prefix), "c.", 2) == 0;
    }
    assert_int_equal(compared, gradients);
    assert_int_equal(l.n, parameters);
    tp_tape_free(tape);
    tp_latentwire_free(w);
    tp_recipe_free(r);
    tp_safetensors_close(st);
}

static void it_agrees_with_pytorch_in_values_and_all_gradients(void **state) {
    (void)state;
    check_reference("simple.", "{\"bridge\": {\"soft_tokens\": 3}, \"latentwire\": {\"encoder\": \"simple\", "
                               "\"width\": 8, \"private\": 1}}");
    check_reference("bytes.", "{\"bridge\": {\"soft_tokens\": 3, \"width\": 6, \"heads\": 2, \"depth\": 2, "
                              "\"ffn_multiple\": 2}, \"latentwire\": {\"encoder\": \"bytes\", \"width\": 8, "
                              "\"private\": 1, \"max_bytes\": 6, \"adapter\": \"mlp\", \"hidden\": 10}}");
}

/* ---- by itself ---- */

enum { DS = 6, N = 3, MOST = 400 };
static const int64_t state_offsets[N + 1] = {0, 3, 4, 8}, sentence_offsets[N + 1] = {0, 1, 2, 3};
static const int64_t widths[2] = {4, 7};

/* Everything a variant needs; the inputs are the same each time. */
typedef struct {
    tp_recipe *recipe;
    tp_latentwire *wire;
    float rows[8 * DS];
    int32_t ids[N * 12];
    int64_t byte_offsets[N + 1];
    float g[2][MOST];
} stage;

static void fill(float *out, size_t n, const char *stream, double std) {
    tp_rng rng = tp_rng_stream(5, stream, 0);
    tp_rng_fill_normal(&rng, out, n, std);
}

static void stage_make(stage *s, const char *section, uint64_t seed) {
    char json[600];
    snprintf(json, sizeof json,
             "{\"bridge\": {\"soft_tokens\": 2, \"width\": 4, \"heads\": 2, \"depth\": 1, \"ffn_multiple\": 2}, "
             "\"latentwire\": {\"width\": 4, \"max_bytes\": 8, \"hidden\": 5, %s}}",
             section);
    s->recipe = recipe_of(json);
    check_not_null(s->recipe);
    bool bytes = s->recipe->latentwire->encoder == TP_LATENTWIRE_BYTES;
    float mean[DS], std[DS], axes[4 * DS], rms[2] = {0.5f, 2};
    fill(mean, DS, "mean", 0.5);
    fill(std, DS, "std", 0.1);
    fill(axes, 4 * DS, "axes", 1);
    for (int i = 0; i < DS; i++) std[i] += 1;
    s->wire = tp_latentwire_new(&(tp_latentwire_shape){.recipe = s->recipe->latentwire,
                                                       .bridge = &s->recipe->bridge,
                                                       .d_source = bytes ? 0 : DS,
                                                       .n_receivers = 2,
                                                       .d_receiver = widths,
                                                       .rms = rms,
                                                       .mean = mean,
                                                       .std = std,
                                                       .axes = axes},
                                seed);
    check_not_null(s->wire);
    fill(s->rows, 8 * DS, "rows", 1);
    for (int i = 0; i < 2; i++) fill(s->g[i], MOST, i ? "g1" : "g0", 1);
    const char *const texts[N] = {"one", "t", "a longer text"};
    for (int64_t i = 0, at = 0, n; i < N; i++, at += n) {
        tp_latentwire_byte_ids(texts[i], strlen(texts[i]), 8, s->ids + at, &n);
        s->byte_offsets[i] = at;
        s->byte_offsets[i + 1] = at + n;
    }
}

static void stage_free(stage *s) {
    tp_latentwire_free(s->wire);
    tp_recipe_free(s->recipe);
}

/* The input of texts from .. to - 1 of a stage; offsets [to - from + 1] are scratch. */
static tp_latentwire_input stage_input(const stage *s, tp_tape *tape, int from, int to, int64_t *offsets) {
    tp_latentwire_encoder e = s->recipe->latentwire->encoder;
    const int64_t *all = e == TP_LATENTWIRE_BYTES    ? s->byte_offsets
                         : e == TP_LATENTWIRE_SIMPLE ? sentence_offsets
                                                     : state_offsets;
    for (int i = from; i <= to; i++) offsets[i - from] = all[i] - all[from];
    tp_latentwire_input input = {.n = to - from, .offsets = offsets};
    if (e == TP_LATENTWIRE_BYTES)
        input.ids = s->ids + all[from];
    else
        input.rows = tp_var_wrap(tape, (float *)(uintptr_t)s->rows + all[from] * DS, all[to] - all[from], DS);
    return input;
}

/* A loss that all outputs take part in. */
static tp_var *stage_loss(const stage *s, tp_tape *tape) {
    int64_t *offsets = tp_arena_alloc(tape->arena, (N + 1) * sizeof *offsets);
    tp_latentwire_input input = stage_input(s, tape, 0, N, offsets);
    tp_var *z = tp_latentwire_encode(tape, s->wire, &input, true), *terms[3];
    for (int i = 0; i < 2; i++) terms[i] = compare_weighted(tape, tp_latentwire_soft(tape, s->wire, z, N, i), s->g[i]);
    terms[2] = tp_latentwire_scale_reg(tape, s->wire);
    const float weights[3] = {1, 1, 0.3f};
    return tp_weighted_sum(tape, terms, weights, terms[2] ? 3 : 2);
}

static double loss_now(const stage *s, tp_tape *tape) {
    tp_tape_reset(tape);
    return stage_loss(s, tape)->data[0];
}

static const char *const variants[] = {
    "\"encoder\": \"simple\", \"private\": 1",
    "\"encoder\": \"bytes\", \"private\": 2, \"calibrate\": false",
    "\"encoder\": \"decoder\", \"private\": 1, \"adapter\": \"mlp\"",
    "\"encoder\": \"decoder\", \"slot_dropout\": 0.4",
    "\"encoder\": \"pca\", \"adapter\": \"mlp\", \"dropout\": 0.3, \"calibrate\": false",
};
enum { N_VARIANTS = sizeof variants / sizeof variants[0] };

static void gradients_agree_with_central_differences(void **state) {
    (void)state;
    for (int v = 0; v < N_VARIANTS; v++) {
        stage s;
        stage_make(&s, variants[v], 3);
        for (int i = 0; i < 2 && s.recipe->latentwire->adapter == TP_LATENTWIRE_TANH; i++)
            for (size_t p = 0; p < s.wire->params.n; p++) /* off 1, so that the regulariser pulls */
                if (tp_ends_with(s.wire->params.items[p]->name, ".scale"))
                    tp_weight_init_value(s.wire->params.items[p], 0.7f);
        tp_tape *tape = tp_tape_new(TP_MATH_F32);
        tape->step = 4;
        tp_params_zero_grad(&s.wire->trained);
        tp_backward(tape, stage_loss(&s, tape), 1);
        int compared = 0;
        for (size_t p = 0; p < s.wire->trained.n; p++) {
            tp_weight *w = s.wire->trained.items[p];
            double length = 0, slope;
            for (int64_t i = 0; i < w->rows * w->cols; i++) length += (double)w->grad[i] * w->grad[i];
            length = sqrt(length);
            if (length < 1e-3) continue; /* keys' biases and the like: the loss does not depend on them */
            float *values = tp_weight_values(w), *before = tp_alloc((size_t)(w->rows * w->cols) * sizeof(float));
            memcpy(before, values, (size_t)(w->rows * w->cols) * sizeof(float));
            double sides[2], h = fmin(4e-3, 0.05 / length); /* steep where the numbers are small: the queries */
            for (int side = 0; side < 2; side++) {          /* along the gradient: the slope is its length */
                for (int64_t i = 0; i < w->rows * w->cols; i++)
                    values[i] = before[i] + (float)((side ? h : -h) * w->grad[i] / length);
                sides[side] = loss_now(&s, tape);
            }
            memcpy(values, before, (size_t)(w->rows * w->cols) * sizeof(float));
            tp_free(before);
            slope = (sides[1] - sides[0]) / (2 * h);
            if (fabs(slope - length) > 0.02 * length + 2e-3)
                fail_msg("variant %d, %s: slope %g, gradient %g", v, w->name, slope, length);
            compared++;
        }
        if (compared < (int)s.wire->trained.n - 1)
            fail_msg("variant %d: %d of %zu have a gradient", v, compared, s.wire->trained.n);
        tp_tape_free(tape);
        stage_free(&s);
    }
}

static void a_text_alone_gives_what_it_gives_in_a_batch(void **state) {
    (void)state;
    for (int v = 0; v < N_VARIANTS; v++) {
        stage s;
        stage_make(&s, variants[v], 3);
        tp_tape *tape = tp_tape_new(TP_MATH_F32);
        tape->frozen = true; /* nothing is dropped */
        int64_t all[N + 1], own[2];
        tp_latentwire_input input = stage_input(&s, tape, 0, N, all);
        tp_var *z = tp_latentwire_encode(tape, s.wire, &input, true);
        for (int r = 0; r < 2; r++) {
            tp_var *soft = tp_latentwire_soft(tape, s.wire, z, N, r);
            int64_t m = tp_latentwire_soft_tokens(s.wire), numbers = m * widths[r];
            assert_int_equal(soft->rows, N * m);
            for (int i = 0; i < N; i++) {
                tp_latentwire_input one = stage_input(&s, tape, i, i + 1, own);
                tp_var *alone = tp_latentwire_soft(tape, s.wire, tp_latentwire_encode(tape, s.wire, &one, true), 1, r);
                assert_true(compare_error(alone->data, soft->data + i * numbers, numbers) < 1e-5);
            }
            if (!s.recipe->latentwire->calibrate) continue;
            for (int i = 0; i < N; i++) { /* the RMS measured is the RMS of each packet */
                double square = 0;
                for (int64_t k = 0; k < numbers; k++)
                    square += (double)soft->data[i * numbers + k] * soft->data[i * numbers + k];
                assert_true(fabs(sqrt(square / (double)numbers) - (r ? 2 : 0.5)) < 1e-4);
            }
        }
        tp_tape_free(tape);
        stage_free(&s);
    }
}

static void a_seed_decides_it_and_another_changes_it(void **state) {
    (void)state;
    for (int v = 0; v < N_VARIANTS; v++) {
        double found[3];
        for (int i = 0; i < 3; i++) {
            stage s;
            stage_make(&s, variants[v], i == 2 ? 4 : 3);
            tp_tape *tape = tp_tape_new(TP_MATH_F32);
            found[i] = loss_now(&s, tape);
            tp_tape_free(tape);
            stage_free(&s);
        }
        assert_true(found[0] == found[1] && found[0] != found[2]);
    }
}

/* A private row reaches its own receiver only; a shared one both. */
static void private_rows_are_private(void **state) {
    (void)state;
    stage s;
    stage_make(&s, "\"encoder\": \"simple\", \"private\": 1", 3);
    for (int row = 0; row < 4; row++) { /* 2 shared, one of receiver 0, one of receiver 1 */
        bool changed[2];
        for (int r = 0; r < 2; r++) {
            tp_tape *tape = tp_tape_new(TP_MATH_F32);
            tp_var *z = tp_var_new(tape, 4, 4);
            fill(z->data, 16, "z", 1);
            tp_var *before = tp_latentwire_soft(tape, s.wire, z, 1, r);
            z->data[row * 4] += 1;
            tp_var *after = tp_latentwire_soft(tape, s.wire, z, 1, r);
            assert_int_equal(before->rows, 3);
            changed[r] = memcmp(before->data, after->data, (size_t)(3 * widths[r]) * sizeof(float)) != 0;
            tp_tape_free(tape);
        }
        assert_int_equal(changed[0], row != 3);
        assert_int_equal(changed[1], row != 2);
    }
    stage_free(&s);
}

static void what_cannot_be_built_is_refused(void **state) {
    (void)state;
    const struct {
        const char *json, *words;
    } cases[] = {
        {"{\"bridge\": {\"soft_tokens\": 2, \"width\": 8, \"heads\": 4}, \"latentwire\": {\"encoder\": \"bytes\", "
         "\"width\": 6}}",
         "multiples of `bridge.heads` (4)"},
        {"{\"bridge\": {\"soft_tokens\": 2}, \"latentwire\": {\"encoder\": \"pca\", \"private\": 1}}",
         "`latentwire.private` is 1"},
        {"{\"bridge\": {\"soft_tokens\": 2, \"kind\": \"tunnel\"}, \"latentwire\": {\"encoder\": \"decoder\"}}",
         "`bridge.kind` is \"tunnel\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        tp_recipe *r = recipe_of(cases[i].json);
        check_not_null(r);
        assert_null(tp_latentwire_new(
            &(tp_latentwire_shape){
                .recipe = r->latentwire, .bridge = &r->bridge, .d_source = DS, .n_receivers = 2, .d_receiver = widths},
            1));
        if (strstr(tp_last_error(), cases[i].words) == NULL)
            fail_msg("\"%s\" does not say \"%s\"", tp_last_error(), cases[i].words);
        tp_recipe_free(r);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_section_reads_back_as_it_was_written),
        cmocka_unit_test(without_a_section_nothing_is_written),
        cmocka_unit_test(what_is_wrong_is_named),
        cmocka_unit_test(it_agrees_with_pytorch_in_values_and_all_gradients),
        cmocka_unit_test(gradients_agree_with_central_differences),
        cmocka_unit_test(a_text_alone_gives_what_it_gives_in_a_batch),
        cmocka_unit_test(a_seed_decides_it_and_another_changes_it),
        cmocka_unit_test(private_rows_are_private),
        cmocka_unit_test(what_cannot_be_built_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
