/* bridge/vq, bridge/fsq, bridge/diffusion: outputs, codes, losses and all gradients against PyTorch (tools/reference/
 * discrete_reference.py, diffusion_reference.py); bridge/codes: there and back bit for bit, sizes in bits, and what is
 * refused. */
#include "check.h"

#include "base/mem.h"
#include "bridge/codes.h"
#include "lm/safetensors.h"

#include <math.h>

#define DISCRETE       TP_SOURCE_DIR "/tests/fixtures/bridge/discrete.safetensors"
#define DIFFUSION      TP_SOURCE_DIR "/tests/fixtures/bridge/diffusion.safetensors"
#define DIFFUSION_KEYS "{\"kind\": \"diffusion\", \"steps\": 4, \"ffn_multiple\": 2, \"conditioning\": "

enum { D_SOURCE = 5, D_TARGET = 6, M = 3, TOKENS = 2 * M };
static const int64_t offsets[] = {0, 3, 5};

/* A bridge of the fixture's sizes, as the JSON text of its section says beside them. */
static tp_bridge *make(const char *section, int64_t d_source, int64_t d_target, uint64_t seed) {
    json_t *bridge = json_loads("{\"soft_tokens\": 3, \"depth\": 1, \"heads\": 2, \"width\": 4,"
                                " \"learnable_normaliser\": true}",
                                0, NULL),
           *more = json_loads(section, 0, NULL), *top = json_object();
    assert_non_null(more);
    json_object_update(bridge, more);
    json_object_set_new(top, "bridge", bridge);
    tp_recipe *r = tp_recipe_from_json(top, "test");
    check_not_null(r);
    tp_bridge *b = tp_bridge_new(&r->bridge, d_source, d_target, NULL, seed);
    tp_recipe_free(r);
    json_decref(more);
    json_decref(top);
    return b;
}

typedef struct {
    const tp_safetensors *file;
    const char *name;
} case_file;

static const tp_st_tensor *stored(const case_file *c, const char *prefix, const char *name) {
    char *full = tp_format("%s.%s%s", c->name, prefix, name);
    const tp_st_tensor *t = tp_safetensors_find(c->file, full);
    check_not_null(t);
    tp_free(full);
    return t;
}

static void load(void *context, tp_weight *w) {
    const tp_st_tensor *t = stored(context, "", w->name);
    assert_int_equal(t->n_bytes, (size_t)(w->rows * w->cols) * sizeof(float));
    memcpy(tp_weight_values(w), t->data, t->n_bytes);
}

/* The largest difference over the largest expected magnitude. */
static double relative_error(const float *found, const tp_st_tensor *expected) {
    double difference = 0, magnitude = 1e-12;
    const float *e = expected->data;
    for (size_t i = 0; i < expected->n_bytes / sizeof(float); i++) {
        difference = fmax(difference, fabs((double)found[i] - e[i]));
        magnitude = fmax(magnitude, fabs(e[i]));
        if (isnan(found[i])) return INFINITY;
    }
    return difference / magnitude;
}

static tp_var *weighted(tp_tape *tape, tp_var *y, const float *g) {
    int64_t n = y->rows * y->cols;
    tp_weight *row = tp_arena_alloc(tape->arena, sizeof *row);
    *row = (tp_weight){.name = "g", .dtype = TP_F32, .rows = 1, .cols = n, .data = g};
    return tp_linear(tape, tp_reshape(tape, y, 1, n), row, NULL);
}

static const struct {
    const char *name, *section, *file;
    tp_loss_name loss;
} cases[] = {
    {"vq.l2", "{\"kind\": \"vq\", \"codes\": 7}", DISCRETE, TP_LOSS_VQ},
    {"vq.cosine", "{\"kind\": \"vq\", \"codes\": 7, \"distance\": \"cosine\"}", DISCRETE, TP_LOSS_VQ},
    {"fsq", "{\"kind\": \"fsq\", \"levels\": [8, 8, 5, 2]}", DISCRETE, TP_LOSS_FSQ},
    {"pooled", DIFFUSION_KEYS "\"pooled\"}", DIFFUSION, TP_LOSS_FLOW},
    {"cross", DIFFUSION_KEYS "\"cross\"}", DIFFUSION, TP_LOSS_FLOW},
    {"hybrid", DIFFUSION_KEYS "\"hybrid\"}", DIFFUSION, TP_LOSS_FLOW},
};
enum { N_CASES = sizeof cases / sizeof *cases, N_DISCRETE = 3 };

static void check_codes(tp_tape *tape, const tp_bridge *b, const case_file *c, tp_var *hidden) {
    const int32_t *codes;
    int parts;
    if (b->family->encode == NULL) return;
    check_ok(tp_bridge_encode(tape, b, hidden, offsets, 2, &codes, &parts));
    assert_memory_equal(codes, stored(c, "", "codes")->data, (size_t)(TOKENS * parts) * sizeof *codes);
}

static void families_agree_with_pytorch_in_values_codes_and_all_gradients(void **state) {
    (void)state;
    for (int k = 0; k < N_CASES; k++) {
        tp_safetensors *file = tp_safetensors_open(cases[k].file);
        check_not_null(file);
        case_file c = {file, cases[k].name};
        tp_bridge *b = make(cases[k].section, D_SOURCE, D_TARGET, 1);
        check_not_null(b);
        tp_bridge_visit(b, load, &c);
        tp_tape *tape = tp_tape_new(TP_MATH_F32);
        tape->seed = 5;
        tape->step = 9;
        tp_var *hidden = tp_var_leaf(tape, stored(&c, "", "hidden")->data, 5, D_SOURCE);
        tp_bridge_terms terms;
        tp_bridge_lesson lesson = {.tokens_taught = true};
        if (cases[k].loss == TP_LOSS_FLOW) {
            lesson.targets = tp_var_new(tape, TOKENS, D_TARGET);
            memcpy(lesson.targets->data, stored(&c, "", "targets")->data, TOKENS * D_TARGET * sizeof(float));
        }
        tp_var *soft = tp_bridge_forward_training(tape, b, hidden, offsets, 2, &lesson, &terms);
        tp_var *own = terms.losses[cases[k].loss];
        assert_int_equal(soft->rows, TOKENS);
        assert_true(relative_error(soft->data, stored(&c, "", "output")) < 1e-5);
        assert_true(relative_error(own->data, stored(&c, "", "own_loss")) < 1e-5);
        for (int i = 0; i < TP_N_LOSSES; i++) assert_int_equal(terms.losses[i] != NULL, i == (int)cases[k].loss);
        check_codes(tape, b, &c, hidden);

        tp_var *both[] = {weighted(tape, soft, stored(&c, "", "output_grad")->data), own};
        tp_backward(tape, tp_weighted_sum(tape, both, (const float[]){1, 0.7f}, 2), 1);
        assert_true(relative_error(hidden->grad, stored(&c, "grad.", "hidden")) < 1e-4);
        for (size_t i = 0; i < b->params.n; i++) {
            const tp_weight *w = b->params.items[i];
            double error = relative_error(w->grad, stored(&c, "grad.", w->name));
            if (!(error < 1e-4)) fail_msg("%s: gradient of %s is off by %g", c.name, w->name, error);
        }
        tp_tape_free(tape);
        tp_bridge_free(b);
        tp_safetensors_close(file);
    }
}

/* The reference was given the numbers of the product's own streams. */
static void the_reference_saw_the_products_noise(void **state) {
    (void)state;
    tp_safetensors *file = tp_safetensors_open(DIFFUSION);
    check_not_null(file);
    float noise[2 * M * D_TARGET], times[2];
    tp_rng rng = tp_rng_stream(0, "diffusion", 0);
    tp_rng_fill_normal(&rng, noise, M * D_TARGET, 1);
    assert_memory_equal(noise, tp_safetensors_find(file, "noise")->data, M * D_TARGET * sizeof *noise);
    rng = tp_rng_stream(5, "flow", 9);
    for (int i = 0; i < 2; i++) times[i] = (float)tp_rng_uniform(&rng);
    tp_rng_fill_normal(&rng, noise, TOKENS * D_TARGET, 1);
    assert_memory_equal(times, tp_safetensors_find(file, "times")->data, sizeof times);
    assert_memory_equal(noise, tp_safetensors_find(file, "flow_noise")->data, sizeof noise);
    tp_safetensors_close(file);
}

/* A flow's noise is another at each step and each time it is asked for; without a lesson there is no such loss, and
 * without a loss on the soft tokens no gradient comes from them. */
static void a_flow_is_taught_with_new_noise_and_only_as_asked(void **state) {
    (void)state;
    float rows[5 * 20], targets[TOKENS * 28], losses[4];
    tp_bridge *b = make(DIFFUSION_KEYS "\"hybrid\"}", 20, 28, 3);
    check_not_null(b);
    tp_rng rng = tp_rng_stream(9, "rows", 0);
    tp_rng_fill_normal(&rng, rows, 5 * 20, 1.5);
    tp_rng_fill_normal(&rng, targets, TOKENS * 28, 1);
    tp_tape *tape = tp_tape_new(TP_MATH_F32);
    for (int run = 0; run < 4; run++) { /* the same twice, then another step, another call */
        tape->step = run == 2 ? 8 : 7;
        tape->n_masks = run == 3 ? 1 : 0;
        tp_bridge_terms terms;
        tp_bridge_lesson lesson = {.targets = tp_var_wrap(tape, targets, TOKENS, 28)};
        tp_var *soft = tp_bridge_forward_training(tape, b, tp_var_leaf(tape, rows, 5, 20), offsets, 2, &lesson, &terms);
        losses[run] = terms.losses[TP_LOSS_FLOW]->data[0];
        assert_true(terms.losses[TP_LOSS_FLOW]->wants_grad);
        assert_int_equal(tape->frozen, false);
        tp_tape *other = tp_tape_new(TP_MATH_F32); /* what is looked at is what inference gives */
        other->frozen = true;
        const tp_var *used = tp_bridge_forward(other, b, tp_var_wrap(other, rows, 5, 20), offsets, 2);
        assert_memory_equal(soft->data, used->data, (size_t)(soft->rows * soft->cols) * sizeof(float));
        tp_tape_free(other);
        tp_bridge_forward_training(tape, b, tp_var_leaf(tape, rows, 5, 20), offsets, 2, &(tp_bridge_lesson){0}, &terms);
        assert_null(terms.losses[TP_LOSS_FLOW]);
    }
    assert_true(losses[0] == losses[1] && losses[0] != losses[2] && losses[0] != losses[3]);
    tp_tape_free(tape);
    tp_bridge_free(b);
}

/* Bytes that a packet takes where nothing is recorded, and the packet, of a diffusion with so many steps and blocks. */
static size_t peak_of(int steps, int depth, float *packet) {
    char keys[200];
    float rows[5 * 20];
    snprintf(keys, sizeof keys, "{\"kind\": \"diffusion\", \"steps\": %d, \"depth\": %d, \"conditioning\": \"hybrid\"}",
             steps, depth);
    tp_bridge *b = make(keys, 20, 28, 3);
    check_not_null(b);
    tp_rng rng = tp_rng_stream(9, "rows", 0);
    tp_rng_fill_normal(&rng, rows, 5 * 20, 1.5);
    size_t peak = 0;
    for (int frozen = 1; frozen >= 0; frozen--) { /* recorded or not, it is the same packet */
        tp_tape *tape = tp_tape_new(TP_MATH_F32);
        tape->frozen = frozen;
        const tp_var *soft = tp_bridge_forward(tape, b, tp_var_wrap(tape, rows, 5, 20), offsets, 2);
        size_t bytes = (size_t)(soft->rows * soft->cols) * sizeof(float);
        if (frozen) {
            peak = tp_arena_peak(tape->arena);
            memcpy(packet, soft->data, bytes);
        } else {
            assert_memory_equal(packet, soft->data, bytes);
        }
        tp_tape_free(tape);
    }
    tp_bridge_free(b);
    return peak;
}

/* A sampler's steps and blocks follow each other in the same memory. */
static void a_packet_takes_the_memory_of_one_step(void **state) {
    (void)state;
    static float packet[TOKENS * 28 * 4];
    size_t one = peak_of(1, 2, packet), many = peak_of(40, 2, packet), deep = peak_of(40, 4, packet);
    if (many > one + one / 10) fail_msg("one step takes %zu bytes, 40 take %zu", one, many);
    if (deep > 2 * one) fail_msg("two blocks take %zu bytes, four %zu", one, deep);
}

/* Hidden states of some sequences, the same each time. */
static void fill(float *rows, int64_t n) {
    tp_rng rng = tp_rng_stream(9, "rows", 0);
    tp_rng_fill_normal(&rng, rows, (size_t)n, 1.5);
}

static void codes_decode_to_the_same_bits_and_training_sends_what_inference_does(void **state) {
    (void)state;
    float rows[5 * 20];
    fill(rows, 5 * 20);
    for (int k = 0; k < N_DISCRETE; k++) {
        tp_bridge *b = make(cases[k].section, 20, 28, 3);
        check_not_null(b);
        tp_tape *tape = tp_tape_new(TP_MATH_F32);
        tape->frozen = true;
        tp_var *x = tp_var_wrap(tape, rows, 5, 20), *soft = tp_bridge_forward(tape, b, x, offsets, 2), *again;
        size_t bytes = (size_t)(soft->rows * soft->cols) * sizeof(float);
        const int32_t *codes;
        int parts;
        check_ok(tp_bridge_encode(tape, b, x, offsets, 2, &codes, &parts));
        check_ok(tp_bridge_decode(tape, b, codes, TOKENS, &again));
        assert_memory_equal(soft->data, again->data, bytes);
        tp_bridge_terms terms;
        tp_var *trained = tp_bridge_forward_training(tape, b, x, offsets, 2, &(tp_bridge_lesson){0}, &terms);
        assert_memory_equal(soft->data, trained->data, bytes);
        /* and one sequence alone chooses the same */
        const int32_t *alone;
        check_ok(tp_bridge_encode(tape, b, tp_var_wrap(tape, rows + 3 * 20, 2, 20), (const int64_t[]){0, 2}, 1, &alone,
                                  &parts));
        assert_memory_equal(alone, codes + M * parts, (size_t)(M * parts) * sizeof *codes);
        int32_t *wrong = tp_arena_zalloc(tape->arena, (size_t)(M * parts) * sizeof *wrong);
        wrong[parts] = 8;
        assert_int_equal(tp_bridge_decode(tape, b, wrong, M, &again), TP_ERR_ARGUMENT);
        assert_non_null(strstr(tp_last_error(), "of token 1 is 8"));
        tp_tape_free(tape);
        tp_bridge_free(b);
    }
}

/* The chosen code is the nearest of all, by a search in double precision. */
static void the_nearest_code_is_chosen(void **state) {
    (void)state;
    for (int cosine = 0; cosine < 2; cosine++) {
        tp_bridge *b = make(cosine ? "{\"kind\": \"vq\", \"codes\": 50, \"distance\": \"cosine\"}"
                                   : "{\"kind\": \"vq\", \"codes\": 50}",
                            D_SOURCE, D_TARGET, 4);
        check_not_null(b);
        float rows[40 * D_SOURCE];
        fill(rows, 40 * D_SOURCE);
        tp_tape *tape = tp_tape_new(TP_MATH_F32);
        tape->frozen = true;
        const int64_t many[] = {0, 10, 11, 40};
        tp_var *x = tp_bridge_way_in(tape, b, tp_var_wrap(tape, rows, 40, D_SOURCE));
        const tp_var *tokens = b->inner->family->resample(tape, b->inner, x, many, 3);
        int32_t codes[3 * M];
        b->family->encode(tape, b, x, many, 3, codes);
        const tp_weight *table = b->params.items[b->params.n - 6]; /* before the scale and the normaliser's four */
        assert_string_equal(table->name, "codebook");
        const float *c = table->data;
        for (int i = 0; i < 3 * M; i++) {
            double best = INFINITY, chosen = INFINITY;
            for (int j = 0; j < 50; j++) {
                double dot = 0, tt = 0, cc = 0;
                for (int e = 0; e < D_TARGET; e++) {
                    double t = tokens->data[i * D_TARGET + e], v = c[j * D_TARGET + e];
                    dot += t * v, tt += t * t, cc += v * v;
                }
                double distance = cosine ? -dot / sqrt(tt * cc) : tt - 2 * dot + cc;
                best = fmin(best, distance);
                if (codes[i] == j) chosen = distance;
            }
            assert_true(chosen <= best + 1e-5 * fabs(best));
        }
        tp_tape_free(tape);
        tp_bridge_free(b);
    }
}

static void usage_counts_codes_and_their_perplexity(void **state) {
    (void)state;
    const int32_t codes[] = {1, 2, /**/ 2, 1, /**/ 1, 2, /**/ 1, 2, /**/ 1, 1, /**/ 1, 2};
    tp_code_usage u = tp_code_usage_of(codes, 6, 2);
    assert_int_equal(u.n, 6);
    assert_int_equal(u.different, 3);
    double entropy = -(4.0 / 6 * log(4.0 / 6) + 2.0 / 6 * log(1.0 / 6));
    assert_true(fabs(u.perplexity - exp(entropy)) < 1e-12);
    assert_true(tp_code_usage_of(codes, 1, 2).perplexity == 1.0);
}

static void packets_have_their_exact_number_of_bits(void **state) {
    (void)state;
    tp_bridge_recipe r = {.kind = "vq", .soft_tokens = 8};
    tp_bridge_recipe_defaults(&r);
    assert_int_equal(tp_code_packet_bits(&r), 8 * 12); /* 4096 codes */
    r.codes = 4097;
    assert_int_equal(tp_code_packet_bits(&r), 97);
    snprintf(r.kind, sizeof r.kind, "fsq");
    assert_int_equal(tp_code_packet_bits(&r), 8 * 24); /* eight of 8 levels */
    r.n_levels = 32;
    for (int i = 0; i < 32; i++) r.levels[i] = 5;
    assert_int_equal(tp_code_packet_bits(&r), 595); /* 256 log2(5) = 594.42 */
    snprintf(r.kind, sizeof r.kind, "perceiver");
    assert_int_equal(tp_code_packet_bits(&r), 0);
}

static void what_cannot_be_quantised_is_refused(void **state) {
    (void)state;
    assert_null(make("{\"kind\": \"vq\", \"inner\": \"fsq\"}", 5, 6, 1));
    assert_non_null(strstr(tp_last_error(), "`bridge.inner` is \"fsq\""));
    assert_null(make("{\"kind\": \"fsq\", \"inner\": \"telegraph\"}", 5, 6, 1));
    assert_non_null(strstr(tp_last_error(), "`bridge.inner` is \"telegraph\", known are: perceiver"));
    tp_bridge *b = make("{}", 5, 6, 1);
    tp_tape *tape = tp_tape_new(TP_MATH_F32);
    const int32_t *codes;
    int parts;
    float rows[5 * 5] = {0};
    assert_int_equal(tp_bridge_encode(tape, b, tp_var_wrap(tape, rows, 5, 5), offsets, 2, &codes, &parts),
                     TP_ERR_UNSUPPORTED);
    tp_tape_free(tape);
    tp_bridge_free(b);
}

/* The keys of a family's own: refused elsewhere, read back as written, defaults not written. */
static void keys_belong_to_their_family(void **state) {
    (void)state;
    static const struct {
        const char *text, *kept, *complaint;
    } tries[] = {
        {"{\"kind\": \"vq\", \"codes\": 4096, \"distance\": \"l2\", \"commitment\": 0.25}", "", NULL},
        {"{\"kind\": \"vq\", \"codes\": 64, \"distance\": \"cosine\", \"entropy\": 0}", "codes distance entropy", NULL},
        {"{\"kind\": \"fsq\", \"levels\": [8, 8, 8, 8, 8, 8, 8, 8]}", "", NULL},
        {"{\"kind\": \"fsq\", \"levels\": [8, 8, 8, 8, 8, 8, 8, 8, 2]}", "levels", NULL},
        {"{\"kind\": \"fsq\", \"levels\": [5]}", "levels", NULL},
        {"{\"kind\": \"perceiver\", \"codes\": 64}", "", "bridge.codes"},
        {"{\"kind\": \"fsq\", \"codes\": 64}", "", "bridge.codes"},
        {"{\"kind\": \"fsq\", \"levels\": []}", "", "bridge.levels"},
        {"{\"kind\": \"fsq\", \"levels\": [8, 1]}", "", "bridge.levels"},
        {"{\"kind\": \"fsq\", \"levels\": [8, \"x\"]}", "", "bridge.levels"},
        {"{\"kind\": \"vq\", \"codes\": 1}", "", "bridge.codes"},
        {DIFFUSION_KEYS "\"pooled\"}", "conditioning steps", NULL},
        {"{\"kind\": \"diffusion\", \"conditioning\": \"hybrid\", \"steps\": 10}", "", NULL},
        {DIFFUSION_KEYS "\"mean\"}", "", "bridge.conditioning"},
    };
    static const char *const keys[] = {"inner",   "codes",  "distance",     "commitment",
                                       "entropy", "levels", "conditioning", "steps"};
    for (size_t t = 0; t < sizeof tries / sizeof *tries; t++) {
        json_t *top = json_object();
        json_object_set_new(top, "bridge", json_loads(tries[t].text, 0, NULL));
        tp_recipe *r = tp_recipe_from_json(top, "test"), *again;
        json_decref(top);
        if (tries[t].complaint) {
            assert_null(r);
            if (!strstr(tp_last_error(), tries[t].complaint)) fail_msg("%s: %s", tries[t].text, tp_last_error());
            continue;
        }
        check_not_null(r);
        json_t *once = tp_recipe_to_json(r), *bridge = json_object_get(once, "bridge");
        for (int i = 0; i < 8; i++) {
            bool kept = json_object_get(bridge, keys[i]) != NULL;
            if (kept != (strstr(tries[t].kept, keys[i]) != NULL)) fail_msg("%s: %s", tries[t].text, keys[i]);
        }
        again = tp_recipe_from_json(once, "again");
        check_not_null(again);
        json_t *twice = tp_recipe_to_json(again);
        assert_true(json_equal(once, twice));
        assert_memory_equal(r->bridge.levels, again->bridge.levels, sizeof r->bridge.levels);
        json_decref(once);
        json_decref(twice);
        tp_recipe_free(r);
        tp_recipe_free(again);
    }
    /* the default losses of a family with losses of its own have these */
    json_t *top = json_pack("{s:{s:s}}", "bridge", "kind", "vq");
    tp_recipe *r = tp_recipe_from_json(top, "test");
    tp_recipe_complete(r, 6, NULL);
    assert_int_equal(r->n_losses, 4);
    assert_int_equal(r->losses[3].name, TP_LOSS_VQ);
    assert_true(r->losses[3].weight == 1.0);
    tp_recipe_free(r);
    json_decref(top);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(families_agree_with_pytorch_in_values_codes_and_all_gradients),
        cmocka_unit_test(the_reference_saw_the_products_noise),
        cmocka_unit_test(a_packet_takes_the_memory_of_one_step),
        cmocka_unit_test(a_flow_is_taught_with_new_noise_and_only_as_asked),
        cmocka_unit_test(codes_decode_to_the_same_bits_and_training_sends_what_inference_does),
        cmocka_unit_test(the_nearest_code_is_chosen),
        cmocka_unit_test(usage_counts_codes_and_their_perplexity),
        cmocka_unit_test(packets_have_their_exact_number_of_bits),
        cmocka_unit_test(what_cannot_be_quantised_is_refused),
        cmocka_unit_test(keys_belong_to_their_family),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
