/* lm/encoder against transformers and sentence-transformers (tests/fixtures/encoder, made by
 * tools/reference/encoder_reference.py): states of every layer, gradients to the input, pooling; and the sentence
 * embeddings of the trained all-MiniLM-L6-v2 where its weights are at hand. */
#include "check.h"
#include "one_folder.h"

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "lm/embed.h"

#include <math.h>

#define BERT TP_SOURCE_DIR "/tests/fixtures/encoder/bert"

enum { N_SEQUENCES = 3, N_LAYERS = 3, D = 36 };

static tp_safetensors *expected;

static const tp_st_tensor *find(const char *format, int i, int l) {
    char name[64];
    snprintf(name, sizeof name, format, i, l);
    const tp_st_tensor *t = tp_safetensors_find(expected, name);
    check_not_null(t);
    return t;
}

/* Largest difference, as a share of the largest expected value. */
static double difference(const float *got, const float *wanted, int64_t n) {
    double worst = 0, most = 1e-30;
    for (int64_t i = 0; i < n; i++) {
        double d = fabs((double)got[i] - wanted[i]);
        if (!(d <= worst)) worst = d; /* catches NaN as well */
        if (fabs((double)wanted[i]) > most) most = fabs((double)wanted[i]);
    }
    return worst / most;
}

static double close_to(const char *what, const float *got, const tp_st_tensor *t, double tolerance) {
    double d = difference(got, t->data, (int64_t)(t->n_bytes / sizeof(float)));
    if (!(d <= tolerance)) fail_msg("%s is off by %.2e (allowed %.1e)", what, d, tolerance);
    return d;
}

/* The three sequences of the fixture as one ragged batch. */
typedef struct {
    int32_t ids[64], types[64];
    float probe[64 * D];
    int64_t offsets[N_SEQUENCES + 1];
} batch;

static batch load_batch(void) {
    batch b = {0};
    for (int i = 0; i < N_SEQUENCES; i++) {
        const tp_st_tensor *ids = find("input_ids_%d", i, 0);
        int64_t n = ids->shape[0], at = b.offsets[i];
        memcpy(b.ids + at, ids->data, (size_t)n * sizeof *b.ids);
        memcpy(b.types + at, find("token_types_%d", i, 0)->data, (size_t)n * sizeof *b.types);
        memcpy(b.probe + at * D, find("probe_%d", i, 0)->data, (size_t)(n * D) * sizeof *b.probe);
        b.offsets[i + 1] = at + n;
    }
    return b;
}

static void states_and_gradients_match_transformers(void **state) {
    (void)state;
    tp_encoder *e = tp_encoder_load(BERT, false);
    check_not_null(e);
    tp_tape *tape = tp_tape_new(TP_MATH_F32);
    batch b = load_batch();
    double worst = 0;
    tp_var *x = tp_encoder_embed(tape, e, b.ids, b.types, b.offsets, N_SEQUENCES);
    tp_var *input = x = tp_var_leaf(tape, x->data, x->rows, D);
    for (int l = 0; l <= N_LAYERS; l++) {
        if (l > 0) x = tp_encoder_blocks(tape, e, x, b.offsets, N_SEQUENCES, l - 1, l);
        for (int i = 0; i < N_SEQUENCES; i++)
            worst = fmax(
                worst, close_to("a hidden state", x->data + b.offsets[i] * D, find("hidden_states_%d_%d", i, l), 2e-5));
    }
    /* sum(x * probe), as a chain of ops that ends in a scalar */
    tp_var *product = tp_mul(tape, x, tp_var_wrap(tape, b.probe, x->rows, D));
    int64_t whole[2] = {0, x->rows * D};
    tp_var *mean = tp_mean_rows(tape, tp_reshape(tape, product, x->rows * D, 1), whole, 1);
    tp_backward(tape, mean, (float)(x->rows * D));
    for (int i = 0; i < N_SEQUENCES; i++)
        close_to("the gradient of hidden state 0", input->grad + b.offsets[i] * D, find("grad_%d", i, 0), 1e-4);
    assert_null(e->layers[0].q.grad);
    print_message("states differ by %.1e at most\n", worst);
    tp_tape_free(tape);
    tp_encoder_free(e);
}

static void pooling_matches_the_reference(void **state) {
    (void)state;
    tp_encoder *e = tp_encoder_load(BERT, false);
    check_not_null(e);
    assert_true(e->config.pooling == TP_POOL_MEAN && e->config.normalize && e->config.max_tokens == 40);
    tp_tape *tape = tp_tape_new(TP_MATH_F32);
    tape->frozen = true;
    batch b = load_batch();
    tp_var *x = tp_encoder_embed(tape, e, b.ids, b.types, b.offsets, N_SEQUENCES);
    x = tp_encoder_blocks(tape, e, x, b.offsets, N_SEQUENCES, 0, N_LAYERS);
    for (int p = 0; tp_pooling_names[p]; p++) {
        tp_var *pooled = tp_pool(tape, x, b.offsets, N_SEQUENCES, (tp_pooling)p);
        close_to(tp_pooling_names[p], pooled->data, find(tp_pooling_names[p], 0, 0), 2e-5);
        if (p == TP_POOL_MEAN) close_to("sentence", tp_unit_rows(tape, pooled)->data, find("sentence", 0, 0), 2e-5);
    }
    float zeros[D] = {0};
    tp_var *none = tp_unit_rows(tape, tp_var_wrap(tape, zeros, 1, D));
    assert_memory_equal(none->data, zeros, sizeof zeros); /* not NaN */
    tp_tape_free(tape);
    tp_encoder_free(e);
}

/* Sequences know nothing of their neighbours: each alone gives what it gives in the batch. */
static void a_batch_is_its_sequences(void **state) {
    (void)state;
    tp_encoder *e = tp_encoder_load(BERT, false);
    check_not_null(e);
    tp_tape *tape = tp_tape_new(TP_MATH_F32);
    tape->frozen = true;
    batch b = load_batch();
    tp_var *all = tp_encoder_embed(tape, e, b.ids, NULL, b.offsets, N_SEQUENCES);
    all = tp_encoder_blocks(tape, e, all, b.offsets, N_SEQUENCES, 0, N_LAYERS);
    for (int i = 0; i < N_SEQUENCES; i++) {
        int64_t alone[2] = {0, b.offsets[i + 1] - b.offsets[i]};
        tp_var *one = tp_encoder_embed(tape, e, b.ids + b.offsets[i], NULL, alone, 1);
        one = tp_encoder_blocks(tape, e, one, alone, 1, 0, N_LAYERS);
        assert_true(difference(one->data, all->data + b.offsets[i] * D, alone[1] * D) < 1e-5);
    }
    tp_tape_free(tape);
    tp_encoder_free(e);
}

/* ---- folders ---- */

static void put(const char *name, const char *text) {
    char *path = tp_path_join(dir, name), *slash = strrchr(path, '/');
    *slash = '\0';
    check_ok(tp_make_dirs(path));
    *slash = '/';
    check_ok(tp_write_file(path, text, strlen(text)));
    tp_free(path);
}

static void copy(const char *name) {
    char *from = tp_path_join(BERT, name), *to = tp_path_join(dir, name), *bytes;
    size_t n;
    check_ok(tp_read_file(from, 0, &bytes, &n));
    check_ok(tp_write_file(to, bytes, n));
    tp_free(bytes);
    tp_free(from);
    tp_free(to);
}

/* The same weights under the names of models with a head, and of files made from TensorFlow's. */
static void other_names_of_the_weights_are_found(void **state) {
    (void)state;
    copy("config.json");
    char *path = tp_path_join(BERT, "model.safetensors"), *out = tp_path_join(dir, "model.safetensors");
    tp_safetensors *st = tp_safetensors_open(path);
    check_not_null(st);
    size_t n = tp_safetensors_count(st);
    for (int gamma = 0; gamma < 2; gamma++) {
        tp_st_tensor *tensors = tp_alloc(n * sizeof *tensors);
        for (size_t i = 0; i < n; i++) {
            tensors[i] = *tp_safetensors_get(st, i);
            char *name = tp_format("bert.%s", tensors[i].name), *norm = strstr(name, "LayerNorm.");
            if (gamma && norm) strcpy(norm + 10, tp_ends_with(name, ".weight") ? "gamma" : "beta");
            tensors[i].name = name;
        }
        check_ok(tp_safetensors_write(out, tensors, n, NULL, 0));
        tp_encoder *e = tp_encoder_load(dir, false);
        check_not_null(e);
        assert_true(e->config.pooling == TP_POOL_MEAN && !e->config.normalize && e->config.max_tokens == 48);
        tp_tape *tape = tp_tape_new(TP_MATH_F32);
        tape->frozen = true;
        batch b = load_batch();
        tp_var *x = tp_encoder_embed(tape, e, b.ids, b.types, b.offsets, N_SEQUENCES);
        x = tp_encoder_blocks(tape, e, x, b.offsets, N_SEQUENCES, 0, N_LAYERS);
        close_to("the last state", x->data, find("hidden_states_%d_%d", 0, N_LAYERS), 2e-5);
        tp_tape_free(tape);
        tp_encoder_free(e);
        for (size_t i = 0; i < n; i++) tp_free((void *)(uintptr_t)tensors[i].name);
        tp_free(tensors);
    }
    tp_safetensors_close(st);
    tp_free(path);
    tp_free(out);
}

static void refused(const char *says) {
    tp_encoder_config c;
    assert_int_not_equal(tp_encoder_config_read(dir, &c), TP_OK);
    if (strstr(tp_last_error(), says) == NULL || strstr(tp_last_error(), dir) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", tp_last_error(), says);
}

#define CONFIG(MORE)                                                                                                   \
    "{\"model_type\": \"bert\", \"vocab_size\": 7, \"hidden_size\": 8, \"num_hidden_layers\": 1, "                     \
    "\"num_attention_heads\": 2, \"intermediate_size\": 9" MORE "}"
#define MODULE(PATH, TYPE) "{\"path\": \"" PATH "\", \"type\": \"sentence_transformers.models." TYPE "\"}"

static void configurations_are_checked(void **state) {
    (void)state;
    static const char *const bad[][2] = {
        {"{\"model_type\": \"roberta\"}", "`model_type`"},
        {"{\"model_type\": \"bert\"}", "`vocab_size` is missing"},
        {CONFIG(", \"hidden_act\": \"relu\""), "`hidden_act`"},
        {CONFIG(", \"position_embedding_type\": \"relative_key\""), "`position_embedding_type`"},
        {CONFIG(", \"is_decoder\": true"), "`is_decoder`"},
        {CONFIG(", \"layer_norm_eps\": 0"), "`layer_norm_eps`"},
        {"[]", "an object was expected"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        put("config.json", bad[i][0]);
        refused(bad[i][1]);
    }
    assert_false(tp_encoder_is(dir));
    put("config.json", CONFIG(", \"num_attention_heads_\": 3, \"max_position_embeddings\": 20"));
    assert_true(tp_encoder_is(dir));
    assert_true(tp_encoder_is(BERT));
    assert_null(tp_lm_load(BERT, false));
    assert_non_null(strstr(tp_last_error(), "telepathy embed"));
    assert_false(tp_encoder_is("/no/where"));
    tp_encoder_config c;
    check_ok(tp_encoder_config_read(dir, &c));
    assert_true(c.max_tokens == 20 && c.n_types == 2 && c.norm_eps == 1e-12);
    put("tokenizer_config.json", "{\"model_max_length\": 1000000000000000019884624838656}");
    check_ok(tp_encoder_config_read(dir, &c));
    assert_int_equal(c.max_tokens, 20);
    put("tokenizer_config.json", "{\"model_max_length\": 15}");
    put("sentence_bert_config.json", "{\"transformer_task\": \"feature-extraction\"}");
    check_ok(tp_encoder_config_read(dir, &c));
    assert_int_equal(c.max_tokens, 15); /* the tokenizer's counts where nobody else says */
    put("sentence_bert_config.json", "{\"max_seq_length\": 512}");
    check_ok(tp_encoder_config_read(dir, &c));
    assert_int_equal(c.max_tokens, 20); /* no more than there are positions */
    put("modules.json", "[" MODULE("", "Transformer") ", " MODULE("pool", "Pooling") "]");
    put("pool/config.json", "{\"pooling_mode_cls_token\": true, \"pooling_mode_mean_tokens\": false}");
    check_ok(tp_encoder_config_read(dir, &c));
    assert_true(c.pooling == TP_POOL_CLS && !c.normalize);
    put("pool/config.json", "{\"pooling_mode_lasttoken\": true}");
    check_ok(tp_encoder_config_read(dir, &c));
    assert_true(c.pooling == TP_POOL_LAST);
    put("pool/config.json",
        "{\"pooling_mode\": \"cls\", \"pooling_mode_max_tokens\": true}"); /* the new spelling wins */
    check_ok(tp_encoder_config_read(dir, &c));
    assert_true(c.pooling == TP_POOL_CLS);
    put("pool/config.json", "{\"pooling_mode\": [\"lasttoken\"]}");
    check_ok(tp_encoder_config_read(dir, &c));
    assert_true(c.pooling == TP_POOL_LAST);
    put("pool/config.json", "{\"pooling_mode_mean_tokens\": false}"); /* none is the mean */
    check_ok(tp_encoder_config_read(dir, &c));
    assert_true(c.pooling == TP_POOL_MEAN);
    static const char *const pools[] = {
        "{\"pooling_mode_max_tokens\": true}",
        "{\"pooling_mode_cls_token\": true, \"pooling_mode_mean_tokens\": true}",
        "{\"pooling_mode\": \"max\"}",
        "{\"pooling_mode\": \"huh\"}",
        "{\"pooling_mode\": [\"mean\", \"cls\"]}",
        "{\"pooling_mode\": 1}",
    };
    for (size_t i = 0; i < sizeof pools / sizeof pools[0]; i++) {
        put("pool/config.json", pools[i]);
        refused("supported is one of mean, cls, last token");
    }
    put("pool/config.json", "{}");
    put("sentence_bert_config.json", "{\"do_lower_case\": true}");
    refused("do_lower_case");
    put("sentence_bert_config.json", "{}");
    put("modules.json", "[" MODULE("", "Transformer") ", " MODULE("../pool", "Pooling") "]");
    refused("../pool");
    put("modules.json", "[" MODULE("", "Transformer") ", " MODULE("2_Dense", "Dense") "]");
    refused("Dense");
    put("modules.json", "{}");
    refused("list of modules");
}

/* ---- trained weights ---- */

/* The folder of all-MiniLM-L6-v2: TELEPATHY_MINILM, else ../shared/models/all-MiniLM-L6-v2; NULL if it is not there. */
static const char *minilm(void) {
    const char *folder = getenv("TELEPATHY_MINILM");
    if (folder == NULL) folder = check_shared("models/all-MiniLM-L6-v2");
    return tp_encoder_is(folder) ? folder : NULL;
}

#define NEEDS_MINILM()                                                                                                 \
    do {                                                                                                               \
        if (minilm() == NULL) {                                                                                        \
            fprintf(stderr, "SKIPPED: TELEPATHY_MINILM names no folder with all-MiniLM-L6-v2, %s did not run\n",       \
                    __func__);                                                                                         \
            skip();                                                                                                    \
        }                                                                                                              \
    } while (0)

enum { MINILM_D = 384, MOST_TEXTS = 16 };

static json_t *minilm_texts(size_t *n) {
    json_t *list = tp_json_load_file(TP_SOURCE_DIR "/tests/fixtures/encoder/minilm.json");
    check_not_null(list);
    *n = json_array_size(list);
    assert_true(*n <= MOST_TEXTS);
    return list;
}

static void close_to_minilm(const float *out, size_t n) {
    tp_safetensors *st = tp_safetensors_open(TP_SOURCE_DIR "/tests/fixtures/encoder/minilm.safetensors");
    check_not_null(st);
    const tp_st_tensor *t = tp_safetensors_find(st, "embeddings");
    check_not_null(t);
    assert_int_equal(t->n_bytes, n * MINILM_D * sizeof *out);
    const float *wanted = t->data;
    double worst = 0;
    for (size_t i = 0; i < n * MINILM_D; i++) {
        double d = fabs((double)out[i] - wanted[i]);
        if (!(d <= worst)) worst = d;
    }
    print_message("all-MiniLM-L6-v2: embeddings differ by %.1e at most\n", worst);
    assert_true(worst <= 1e-5);
    tp_safetensors_close(st);
}

static void minilm_embeds_the_reference_ids_alike(void **state) {
    (void)state;
    NEEDS_MINILM();
    size_t n, i, k;
    json_t *list = minilm_texts(&n), *item, *id;
    tp_encoder *e = tp_encoder_load(minilm(), false);
    check_not_null(e);
    assert_true(e->config.max_tokens == 256 && e->config.pooling == TP_POOL_MEAN && e->config.normalize);
    tp_ids ids = {0};
    int64_t offsets[MOST_TEXTS + 1] = {0};
    json_array_foreach(list, i, item) {
        json_array_foreach(json_object_get(item, "ids"), k, id) tp_ids_append(&ids, (int32_t)json_integer_value(id));
        offsets[i + 1] = (int64_t)ids.len;
    }
    tp_tape *tape = tp_tape_new(TP_MATH_F32);
    tape->frozen = true;
    tp_var *x = tp_encoder_embed(tape, e, ids.data, NULL, offsets, (int64_t)n);
    x = tp_encoder_blocks(tape, e, x, offsets, (int64_t)n, 0, e->config.n_layers);
    x = tp_unit_rows(tape, tp_pool(tape, x, offsets, (int64_t)n, e->config.pooling));
    close_to_minilm(x->data, n);
    tp_tape_free(tape);
    tp_ids_free(&ids);
    tp_encoder_free(e);
    json_decref(list);
}

static void minilm_gives_its_sentence_embeddings(void **state) {
    (void)state;
    NEEDS_MINILM();
    size_t n, i, k;
    json_t *list = minilm_texts(&n), *item;
    tp_embedder *e = tp_embedder_load(minilm());
    check_not_null(e);
    const char *texts[MOST_TEXTS];
    json_array_foreach(list, i, item) {
        texts[i] = json_string_value(json_object_get(item, "text"));
        tp_ids ids = {0};
        check_ok(tp_encoder_tokenize(e->encoder, texts[i], strlen(texts[i]), &ids));
        const json_t *wanted = json_object_get(item, "ids"), *id;
        assert_int_equal(ids.len, json_array_size(wanted));
        json_array_foreach(wanted, k, id) assert_int_equal(ids.data[k], json_integer_value(id));
        tp_ids_free(&ids);
    }
    float *out = tp_alloc(n * MINILM_D * sizeof *out);
    check_ok(tp_embedder_texts(e, texts, n, TP_MATH_F32, NULL, out));
    close_to_minilm(out, n);
    tp_free(out);
    tp_embedder_free(e);
    json_decref(list);
}

static int open_expected(void **state) {
    (void)state;
    expected = tp_safetensors_open(BERT "/expected.safetensors");
    return expected ? 0 : -1;
}

static int close_expected(void **state) {
    (void)state;
    tp_safetensors_close(expected);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(states_and_gradients_match_transformers),
        cmocka_unit_test(pooling_matches_the_reference),
        cmocka_unit_test(a_batch_is_its_sequences),
        cmocka_unit_test_setup_teardown(other_names_of_the_weights_are_found, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(configurations_are_checked, make_dir, remove_dir),
        cmocka_unit_test(minilm_embeds_the_reference_ids_alike),
        cmocka_unit_test(minilm_gives_its_sentence_embeddings),
    };
    return cmocka_run_group_tests(tests, open_expected, close_expected);
}
