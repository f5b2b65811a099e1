/* The training losses against PyTorch: tests/fixtures/bridge/objective.safetensors, made by
 * tools/reference/loss_reference.py in double precision. The losses are called as the objective calls them, on a
 * receiver that is nothing but a table of embeddings; their gradients through a whole receiver are in
 * test_objective_losses.c. */
#include "compare.h"

#include "base/mem.h"
#include "lm/safetensors.h"
#include "train/losses.h"

#include <math.h>

enum { N = 4, M = 3, MOST_PARAMETERS = 24 };

static tp_safetensors *file;

static const tp_st_tensor *tensor(const char *name) {
    const tp_st_tensor *t = tp_safetensors_find(file, name);
    check_not_null(t);
    return t;
}

static int64_t numbers_of(const tp_st_tensor *t) {
    int64_t n = 1;
    for (int i = 0; i < t->n_dims; i++) n *= t->shape[i];
    return n;
}

static void check_like(const char *what, const float *found, const tp_st_tensor *t, double tolerance) {
    const float *expected = t->data;
    double most = 0;
    for (int64_t i = 0; i < numbers_of(t); i++) most = fmax(most, fabs(expected[i]));
    for (int64_t i = 0; i < numbers_of(t); i++)
        if (!(fabs((double)found[i] - expected[i]) <= tolerance * most))
            fail_msg("%s: %s[%lld] is %.9g, expected %.9g", what, t->name, (long long)i, found[i], expected[i]);
}

/* A weight of the fixture, with a gradient of zeros. */
static void take(tp_weight *w, const char *name) {
    const tp_st_tensor *t = tensor(name);
    bool matrix = t->n_dims == 2;
    *w = (tp_weight){.name = t->name,
                     .dtype = TP_F32,
                     .rows = matrix ? t->shape[0] : 1,
                     .cols = t->shape[matrix ? 1 : 0],
                     .data = t->data,
                     .grad = tp_alloc((size_t)numbers_of(t) * sizeof(float))};
}

/* Everything a loss may ask for. */
typedef struct {
    tp_lm lm;
    tp_recipe recipe;
    tp_bridge bridge;
    tp_relay relay;
    tp_loss_aids aids;
    tp_example examples[N];
    const tp_example *rows[N];
    int64_t offsets[N + 1], target_offsets[N + 1];
    const int32_t *ids[N];
    tp_layout_batch layout;
    tp_objective_batch batch;
    tp_loss_context context;
    tp_var *view;
    float inverse_std[16];
    tp_weight *weights[MOST_PARAMETERS]; /* that were taken from the fixture */
    int n_weights;
} stage;

static tp_weight *trained(stage *s, tp_weight *w, const char *name) {
    take(w, name);
    s->weights[s->n_weights++] = w;
    return w;
}

static void set_heads(stage *s, bool token) {
    tp_recon_head *head = &s->aids.recon;
    head->mean = (float *)(uintptr_t)tensor("source_mean")->data;
    for (int64_t j = 0; j < numbers_of(tensor("source_std")); j++)
        s->inverse_std[j] = 1 / ((const float *)tensor("source_std")->data)[j];
    head->inverse_std = s->inverse_std;
    trained(s, &s->aids.bow.weight, "bow.weight");
    trained(s, &s->aids.bow.bias, "bow.bias");
    trained(s, &head->out.weight, token ? "recon.out.weight" : "pooled.weight");
    trained(s, &head->out.bias, token ? "recon.out.bias" : "pooled.bias");
    if (!token) return;
    trained(s, &head->in.weight, "recon.in.weight");
    trained(s, &head->in.bias, "recon.in.bias");
    tp_nn_linear *const parts[] = {&head->attention.q, &head->attention.k, &head->attention.v, &head->attention.o};
    const char *const names[] = {"recon.attention.q.weight", "recon.attention.k.weight", "recon.attention.v.weight",
                                 "recon.attention.o.weight"};
    for (int i = 0; i < 4; i++) trained(s, &parts[i]->weight, names[i]);
    head->attention.heads = 2;
    trained(s, &head->norm.weight, "recon.norm.weight");
    trained(s, &head->norm.bias, "recon.norm.bias");
    trained(s, &head->ffn.up.weight, "recon.ffn.up.weight");
    trained(s, &head->ffn.up.bias, "recon.ffn.up.bias");
    trained(s, &head->ffn.down.weight, "recon.ffn.down.weight");
    trained(s, &head->ffn.down.bias, "recon.ffn.down.bias");
}

static tp_var *leaf(tp_tape *tape, const char *name) {
    const tp_st_tensor *t = tensor(name);
    return tp_var_leaf(tape, t->data, t->shape[0], t->shape[1]);
}

static void set_up(stage *s, bool token) {
    tp_tape *tape = tp_tape_new(TP_MATH_F32);
    *s = (stage){.recipe = {.bridge = {.kind = "perceiver"}}};
    take(&s->lm.embed, "embed");
    tp_free(s->lm.embed.grad);
    s->lm.embed.grad = NULL;
    trained(s, &s->bridge.scale, "scale");
    set_heads(s, token);
    s->aids.target_rms = 0.6;
    s->relay = (tp_relay){.recipe = &s->recipe, .receiver = &s->lm, .bridge = &s->bridge};
    const int32_t *offsets = tensor("offsets")->data, *target_offsets = tensor("target_offsets")->data,
                  *labels = tensor("labels")->data, *ids = tensor("ids")->data;
    for (int i = 0; i <= N; i++) s->offsets[i] = offsets[i], s->target_offsets[i] = target_offsets[i];
    for (int i = 0; i < N; i++) {
        s->examples[i].label = labels[i];
        s->rows[i] = &s->examples[i];
        s->ids[i] = ids + offsets[i];
    }
    s->layout = (tp_layout_batch){.n_sequences = N,
                                  .n_targets = target_offsets[N],
                                  .target_offsets = s->target_offsets,
                                  .targets = (int32_t *)(uintptr_t)tensor("targets")->data};
    s->batch = (tp_objective_batch){.examples = s->rows,
                                    .n = N,
                                    .soft = leaf(tape, "soft"),
                                    .aids = &s->aids,
                                    .hidden = leaf(tape, "hidden"),
                                    .offsets = s->offsets,
                                    .ids = s->ids};
    s->batch.hidden->wants_grad = false;
    s->view = leaf(tape, "view");
    s->context = (tp_loss_context){
        .relay = &s->relay, .tape = tape, .batch = &s->batch, .layout = &s->layout, .logits = leaf(tape, "logits")};
}

static void tear_down(stage *s) {
    for (int i = 0; i < s->n_weights; i++) tp_free(s->weights[i]->grad), tp_weight_release(s->weights[i]);
    tp_tape_free(s->context.tape);
}

/* A gradient that the fixture has must be there and equal; one that it has not must not be there. */
static int check_gradient(const char *loss, const char *input, const float *found) {
    char *name = tp_format("%s.grad.%s", loss, input);
    const tp_st_tensor *t = tp_safetensors_find(file, name);
    if (t && found == NULL) fail_msg("%s has no gradient", name);
    if (t) check_like(loss, found, t, 1e-5);
    tp_free(name);
    return t != NULL;
}

static int check_loss(stage *s, const char *name, tp_var *value) {
    char *key = tp_format("%s.value", name);
    tp_backward(s->context.tape, value, 1);
    check_like(name, value->data, tensor(key), 1e-5);
    tp_free(key);
    int n = check_gradient(name, "soft", s->batch.soft->grad) + check_gradient(name, "view", s->view->grad) +
            check_gradient(name, "logits", s->context.logits->grad);
    for (int i = 0; i < s->n_weights; i++) n += check_gradient(name, s->weights[i]->name, s->weights[i]->grad);
    return n;
}

static void each_loss_is_pytorchs(void **state) {
    (void)state;
    typedef tp_status loss_function(const tp_loss_context *c, const tp_loss_term *term, tp_var **value);
    const struct {
        const char *name;
        loss_function *loss;
        tp_loss_term term;
        int gradients; /* inputs that it depends on */
    } cases[] = {
        {"bottleneck", tp_loss_bottleneck, {.tokens = 2, .factor = 7}, 1},
        {"label", tp_loss_contrastive, {.temperature = 0.07, .positives = TP_POSITIVES_LABEL}, 1},
        {"self", tp_loss_contrastive, {.temperature = 0.07, .positives = TP_POSITIVES_SELF}, 1},
        {"anchor_cosine", tp_loss_anchor, {.distance = TP_DISTANCE_COSINE}, 1},
        {"anchor_mse", tp_loss_anchor, {.distance = TP_DISTANCE_MSE}, 1},
        {"align", tp_loss_align, {.tokens = 2}, 1},
        {"recon_pooled_mse", tp_loss_recon, {.distance = TP_DISTANCE_MSE}, 3},
        {"recon_pooled_cosine", tp_loss_recon, {.distance = TP_DISTANCE_COSINE}, 3},
        {"recon_token_mse", tp_loss_recon, {.of = TP_RECON_TOKEN, .distance = TP_DISTANCE_MSE}, 15},
        {"recon_token_cosine", tp_loss_recon, {.of = TP_RECON_TOKEN, .distance = TP_DISTANCE_COSINE}, 1},
        {"bow", tp_loss_bow, {0}, 3},
        {"scale_reg", tp_loss_scale_reg, {0}, 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        stage s;
        set_up(&s, cases[i].term.of == TP_RECON_TOKEN);
        tp_var *value;
        check_ok(cases[i].loss(&s.context, &cases[i].term, &value));
        assert_int_equal(check_loss(&s, cases[i].name, value), cases[i].gradients);
        tear_down(&s);
    }
}

static void two_views_find_each_other_as_in_pytorch(void **state) {
    (void)state;
    stage s;
    set_up(&s, false);
    assert_int_equal(check_loss(&s, "views", tp_loss_two_views(&s.context, s.batch.soft, s.view, 0.07)), 2);
    tear_down(&s);
}

static void distillation_is_pytorchs(void **state) {
    (void)state;
    stage s;
    set_up(&s, false);
    float weights[16];
    for (int i = 0; i < N; i++)
        for (int64_t t = s.target_offsets[i]; t < s.target_offsets[i + 1]; t++)
            weights[t] = t - s.target_offsets[i] < 2;
    tp_var *teacher = leaf(s.context.tape, "teacher");
    assert_int_equal(
        check_loss(&s, "distill", tp_distillation(s.context.tape, s.context.logits, teacher, weights, 1.7)), 1);
    assert_null(teacher->grad); /* the teacher learns nothing */
    tear_down(&s);
}

static void rows_without_anything_to_find_do_not_count(void **state) {
    (void)state;
    stage s;
    set_up(&s, false);
    for (int i = 0; i < N; i++) s.examples[i].label = i; /* each is alone */
    tp_var *value;
    const tp_loss_term term = {.temperature = 0.07, .positives = TP_POSITIVES_LABEL};
    check_ok(tp_loss_contrastive(&s.context, &term, &value));
    tp_backward(s.context.tape, value, 1);
    assert_true(value->data[0] == 0);
    for (int64_t i = 0; s.batch.soft->grad && i < N * M * s.batch.soft->cols; i++)
        assert_true(s.batch.soft->grad[i] == 0);
    tear_down(&s);
}

static int open_fixture(void **state) {
    (void)state;
    file = compare_open("bridge/objective.safetensors");
    return file ? 0 : -1;
}

static int close_fixture(void **state) {
    (void)state;
    tp_safetensors_close(file);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_loss_is_pytorchs),
        cmocka_unit_test(two_views_find_each_other_as_in_pytorch),
        cmocka_unit_test(distillation_is_pytorchs),
        cmocka_unit_test(rows_without_anything_to_find_do_not_count),
    };
    return cmocka_run_group_tests(tests, open_fixture, close_fixture);
}
