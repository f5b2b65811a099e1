/* lm/config and lm/rope_frequencies: every fixture's config, both spellings of the rotary settings, writing and reading
 * back, and the frequencies transformers computes. What is refused is in test_config_refused.c. */
#include "config_text.h"

#include "lm/checkpoint.h"
#include "lm/rope_frequencies.h"

#include <math.h>

/* ---- good files ---- */

static void the_fixtures_say_what_they_are(void **state) {
    (void)state;
    tp_lm_config c = read_ok(fixture("llama2"));
    assert_int_equal(c.family, TP_LM_LLAMA);
    assert_int_equal(c.vocab_size, 131);
    assert_int_equal(c.d_model, 40);
    assert_int_equal(c.n_layers, 2);
    assert_int_equal(c.n_heads, 4);
    assert_int_equal(c.n_kv_heads, 4);
    assert_int_equal(c.head_dim, 10);
    assert_int_equal(c.d_ff, 68);
    assert_int_equal(c.max_position_embeddings, 128);
    assert_true(c.norm_eps == 1e-5 && c.rope_theta == 10000);
    assert_int_equal(c.rope_scaling.kind, TP_ROPE_PLAIN);
    assert_int_equal(c.sliding_window, 0);
    assert_false(c.qkv_bias || c.o_bias || c.tie_word_embeddings);
    assert_int_equal(c.bos_id, 1);
    assert_int_equal(c.n_eos, 1);
    assert_int_equal(c.eos_ids[0], 2);
    assert_int_equal(c.dtype, TP_F32);

    c = read_ok(fixture("llama3_1"));
    assert_int_equal(c.head_dim, 12); /* not 48 / 6 */
    assert_int_equal(c.n_kv_heads, 2);
    assert_true(c.tie_word_embeddings && c.rope_theta == 500000);
    assert_int_equal(c.rope_scaling.kind, TP_ROPE_LLAMA3);
    assert_true(c.rope_scaling.factor == 8 && c.rope_scaling.low_freq_factor == 1 &&
                c.rope_scaling.high_freq_factor == 4);
    assert_int_equal(c.rope_scaling.original_max_position_embeddings, 64);
    assert_int_equal(c.n_eos, 2);
    assert_int_equal(c.eos_ids[1], 3);
    assert_int_equal(c.dtype, TP_BF16);
    tp_lm_config new_spelling;
    check_ok(tp_lm_config_read_file(fixture("llama3_1/config.rope_parameters.json"), &new_spelling));
    same_config(&new_spelling, &c);

    c = read_ok(fixture("mistral"));
    assert_int_equal(c.family, TP_LM_MISTRAL);
    assert_int_equal(c.sliding_window, 8);
    assert_true(c.rope_theta == 1e6 && c.norm_eps == 1e-6);
    for (int i = 0; i < c.n_layers; i++) assert_int_equal(tp_lm_config_window(&c, i), 8);

    c = read_ok(fixture("qwen2"));
    assert_int_equal(c.family, TP_LM_QWEN2);
    assert_int_equal(c.head_dim, 14);
    assert_true(c.qkv_bias && !c.o_bias);
    assert_int_equal(c.sliding_window, 0);
    assert_int_equal(c.dtype, TP_F16);
}

/* What sets each family apart, read from the files that transformers 5 wrote. */
static void the_families_differ_in_fields(void **state) {
    (void)state;
    tp_lm_config c = read_ok(fixture("qwen3"));
    assert_true(c.family == TP_LM_QWEN3 && c.qk_norm && !c.qkv_bias && c.head_dim == 18 && c.tie_word_embeddings);
    c = read_ok(fixture("gemma2"));
    assert_true(c.post_norms && !c.qk_norm && c.activation == TP_ACT_GELU_TANH && c.tie_word_embeddings);
    assert_true(c.attention_softcap == 2 && c.final_softcap == 3 && c.embedding_scale == sqrt(30));
    assert_true(fabs(c.query_scale * c.query_scale * 20 - 1) < 1e-12);
    assert_int_equal(c.full_attention_every, 2);
    for (int i = 0; i < 3; i++) assert_int_equal(tp_lm_config_window(&c, i), i == 1 ? 0 : 6);
    c = read_ok(fixture("gemma3"));
    assert_true(c.post_norms && c.qk_norm && c.attention_softcap == 0 && c.final_softcap == 0);
    assert_true(c.rope_theta == 20000 && c.rope_local_theta == 100);
    assert_true(c.rope_scaling.kind == TP_ROPE_LINEAR && c.rope_scaling.factor == 8);
    for (int i = 0; i < 4; i++) assert_int_equal(tp_lm_config_window(&c, i), i == 2 ? 0 : 5);
    c = read_ok(fixture("phi3"));
    assert_true(c.qkv_layout == TP_QKV_STACKED && c.fused_gate_up && c.sliding_window == 20);
    assert_int_equal(c.rotary_dim, 12);
    assert_int_equal(tp_lm_config_rotary_pairs(&c), 6);
    assert_true(c.rope_scaling.kind == TP_ROPE_LONG && c.rope_scaling.original_max_position_embeddings == 16);
    assert_true(fabs(c.rope_scaling.attention_factor - sqrt(2)) < 1e-12); /* 256 is 16 squared */
    c = read_ok(fixture("gpt2"));
    assert_true(c.norm == TP_NORM_LAYER && c.positions == TP_POSITION_LEARNED && c.plain_ffn && c.ffn_bias);
    assert_true(c.d_model == 36 && c.n_kv_heads == 6 && c.head_dim == 6 && c.d_ff == 60 && c.norm_eps == 1e-5);
    assert_int_equal(tp_lm_config_rotary_pairs(&c), 0);
    c = read_ok(fixture("neox"));
    assert_true(c.parallel_residual && c.qkv_layout == TP_QKV_PER_HEAD && c.qkv_bias && c.o_bias && c.ffn_bias);
    assert_true(c.rotary_dim == 4 && c.head_dim == 16 && c.rope_theta == 1000 && c.activation == TP_ACT_GELU);
    c = read_ok(fixture("neox_serial"));
    assert_true(!c.parallel_residual && !c.qkv_bias && !c.o_bias && c.ffn_bias && c.tie_word_embeddings);
    assert_true(c.rotary_dim == 0 && c.activation == TP_ACT_GELU_TANH);
}

/* The same in the keys of transformers 4, and what the classes take where the file is silent. */
static void older_spellings_mean_the_same(void **state) {
    (void)state;
    tp_lm_config c;
    check_ok(read_with("gemma2", "", &c));
    assert_true(c.attention_softcap == 50 && c.final_softcap == 30 && c.head_dim == 256 && c.tie_word_embeddings);
    assert_true(c.query_scale == 1.0 / 16 && c.sliding_window == 4096);
    assert_true(tp_lm_config_window(&c, 0) == 4096 && tp_lm_config_window(&c, 1) == 0);
    check_ok(read_with("gemma2", ", \"attn_logit_softcapping\": null, \"sliding_window\": null", &c));
    assert_true(c.attention_softcap == 0 && c.final_softcap == 30 && tp_lm_config_window(&c, 0) == 0);
    check_ok(read_with("gemma3_text",
                       ", \"rope_theta\": 500000.0, \"rope_local_base_freq\": 5000.0, \"sliding_window_pattern\": 4, "
                       "\"rope_scaling\": {\"rope_type\": \"linear\", \"factor\": 2.0}",
                       &c));
    assert_true(c.rope_theta == 500000 && c.rope_local_theta == 5000 && c.rope_scaling.factor == 2);
    assert_true(tp_lm_config_window(&c, 2) > 0 && tp_lm_config_window(&c, 3) == 0);
    check_ok(read_with("gemma3_text", "", &c));
    assert_true(c.rope_theta == 1e6 && c.rope_local_theta == 10000 &&
                c.full_attention_every == 0); /* of 4 layers none */
    check_ok(read_with("phi3",
                       ", \"max_position_embeddings\": 64, \"original_max_position_embeddings\": 8, \"rope_scaling\": "
                       "{\"type\": \"su\", \"short_factor\": [1, 1.5, 2, 3], \"long_factor\": [4, 5, 6, 70.5]}",
                       &c));
    assert_true(c.rope_scaling.long_factor[3] == 70.5f && c.sliding_window == 0);
    assert_true(fabs(c.rope_scaling.attention_factor - sqrt(2)) < 1e-12);
    check_ok(read_with("gpt_neox", ", \"rotary_pct\": 0.5, \"rotary_emb_base\": 777", &c));
    assert_true(c.rotary_dim == 4 && c.rope_theta == 777 && c.n_kv_heads == 4);
    check_ok(read_with("qwen2",
                       ", \"use_sliding_window\": true, \"layer_types\": [\"sliding_attention\", "
                       "\"full_attention\", \"sliding_attention\", \"full_attention\"]",
                       &c));
    assert_int_equal(c.full_attention_every, 2);
    check_ok(read_with("llama", ", \"mlp_bias\": true", &c));
    assert_true(c.ffn_bias && !c.o_bias);
}
static void the_fixtures_weights_fit_their_configs(void **state) {
    (void)state;
    static const char *const names[] = {"llama2", "llama3_1", "mistral", "qwen2"};
    for (int i = 0; i < 4; i++) {
        tp_lm_config c = read_ok(fixture(names[i]));
        tp_checkpoint *weights = tp_checkpoint_open(fixture(names[i]));
        check_not_null(weights);
        int64_t d = c.d_model, q = (int64_t)c.n_heads * c.head_dim, kv = (int64_t)c.n_kv_heads * c.head_dim;
        check_not_null(tp_checkpoint_weight(weights, "model.embed_tokens.weight", 2, (int64_t[]){c.vocab_size, d}));
        check_not_null(tp_checkpoint_weight(weights, "model.norm.weight", 1, &d));
        check_not_null(tp_checkpoint_weight(weights, "model.layers.1.self_attn.q_proj.weight", 2, (int64_t[]){q, d}));
        check_not_null(tp_checkpoint_weight(weights, "model.layers.1.self_attn.k_proj.weight", 2, (int64_t[]){kv, d}));
        check_not_null(tp_checkpoint_weight(weights, "model.layers.1.self_attn.o_proj.weight", 2, (int64_t[]){d, q}));
        check_not_null(tp_checkpoint_weight(weights, "model.layers.0.mlp.up_proj.weight", 2, (int64_t[]){c.d_ff, d}));
        assert_int_equal(tp_checkpoint_has(weights, "model.layers.0.self_attn.k_proj.bias"), c.qkv_bias);
        assert_int_equal(tp_checkpoint_has(weights, "lm_head.weight"), !c.tie_word_embeddings);
        assert_int_equal(tp_checkpoint_find(weights, "model.norm.weight")->dtype, c.dtype);
        size_t per_layer = c.qkv_bias ? 12 : 9;
        assert_int_equal(tp_checkpoint_count(weights), 3 - c.tie_word_embeddings + per_layer * (size_t)c.n_layers);
        tp_checkpoint_close(weights);
        char *path = tp_path_join(fixture(names[i]), "expected.safetensors");
        tp_safetensors *expected = tp_safetensors_open(path);
        check_not_null(expected);
        const tp_st_tensor *logits = tp_safetensors_find(expected, "logits_0");
        check_not_null(logits);
        check_ok(tp_st_check_shape(logits, 2, (int64_t[]){37, c.vocab_size}));
        tp_safetensors_close(expected);
        tp_free(path);
    }
}

static void real_configs_are_read(void **state) {
    (void)state;
    check_needs_shared("models/tinystories-656k/config.json");
    tp_lm_config c = read_ok(check_shared("models/tinystories-656k"));
    assert_int_equal(c.d_model, 128);
    assert_int_equal(c.n_kv_heads, 4);
    assert_int_equal(c.head_dim, 16);
    assert_true(c.tie_word_embeddings && c.norm_eps == 1e-6);
    c = read_ok(check_shared("models/capp-gpt2"));
    assert_int_equal(c.family, TP_LM_GPT2);
    assert_int_equal(c.d_ff, 256); /* n_inner is null there */
    assert_int_equal(c.positions, TP_POSITION_LEARNED);
    assert_true(c.bos_id == -1 && c.eos_ids[0] == 51); /* bos is 50256 there, of 53 tokens */
    assert_true(c.tie_word_embeddings && c.plain_ffn && c.qkv_bias);
}

static void defaults_are_those_of_the_family(void **state) {
    (void)state;
    tp_lm_config c;
    check_ok(read_with("llama", "", &c));
    assert_int_equal(c.n_kv_heads, 4);
    assert_int_equal(c.head_dim, 8);
    assert_int_equal(c.max_position_embeddings, 2048);
    assert_int_equal(c.bos_id, 1);
    assert_int_equal(c.eos_ids[0], 2);
    assert_true(c.norm_eps == 1e-6 && c.rope_theta == 10000);
    assert_int_equal(c.dtype, TP_F32);
    check_ok(read_with("mistral", "", &c));
    assert_int_equal(c.sliding_window, 4096); /* its class's default; null is how a file says "none" */
    check_ok(read_with("mistral", ", \"sliding_window\": null", &c));
    assert_int_equal(c.sliding_window, 0);
    check_ok(read_with("qwen2", "", &c));
    assert_int_equal(c.bos_id, -1);
    assert_int_equal(c.n_eos, 0);
    assert_int_equal(c.sliding_window, 0);
    check_ok(read_with("llama", ", \"bos_token_id\": null, \"eos_token_id\": null", &c));
    assert_int_equal(c.bos_id, -1);
    assert_int_equal(c.n_eos, 0);
    check_ok(read_with("llama", ", \"attention_bias\": true, \"hidden_act\": \"swish\", \"brand_new_key\": {}", &c));
    assert_true(c.qkv_bias && c.o_bias);
    check_ok(
        read_with("llama", ", \"sliding_window\": 7, \"rope_scaling\": {\"type\": \"linear\", \"factor\": 4}", &c));
    assert_int_equal(c.sliding_window, 0); /* not a thing of Llama's class */
    assert_int_equal(c.rope_scaling.kind, TP_ROPE_LINEAR);
    assert_true(c.rope_scaling.factor == 4);
}

static void qwen2_windows_begin_at_a_layer(void **state) {
    (void)state;
    tp_lm_config c;
    check_ok(read_with("qwen2", ", \"sliding_window\": 16, \"max_window_layers\": 3", &c));
    assert_int_equal(tp_lm_config_window(&c, 3), 0); /* use_sliding_window is not there */
    const char *used = ", \"use_sliding_window\": true, \"sliding_window\": 16, \"max_window_layers\": 3";
    check_ok(read_with("qwen2", used, &c));
    assert_int_equal(tp_lm_config_window(&c, 2), 0);
    assert_int_equal(tp_lm_config_window(&c, 3), 16);
    check_ok(
        read_with("qwen2", ", \"use_sliding_window\": true, \"sliding_window\": 16, \"max_window_layers\": 4", &c));
    assert_int_equal(c.sliding_window, 0); /* only four layers there are */
    char *typed = tp_format("%s, \"layer_types\": [\"full_attention\", \"sliding_attention\", \"sliding_attention\", "
                            "\"sliding_attention\"]",
                            used);
    check_ok(read_with("qwen2", typed, &c)); /* the list wins over max_window_layers, as in transformers */
    assert_int_equal(tp_lm_config_window(&c, 0), 0);
    assert_int_equal(tp_lm_config_window(&c, 1), 16);
    tp_free(typed);
}

static void generation_config_has_the_last_word_on_eos(void **state) {
    (void)state;
    tp_lm_config c;
    check_ok(read_with("llama", "", &c));
    char *path = tp_strdup(in_dir("generation_config.json"));
    write_text(path, "{\"eos_token_id\": [5, 7], \"temperature\": 0.6}");
    c = read_ok(dir);
    assert_int_equal(c.n_eos, 2);
    assert_int_equal(c.eos_ids[1], 7);
    write_text(path, "{\"temperature\": 0.6}");
    c = read_ok(dir);
    assert_int_equal(c.n_eos, 1);
    assert_int_equal(c.eos_ids[0], 2);
    write_text(path, "{\"eos_token_id\": [100]}");
    assert_int_equal(tp_lm_config_read(dir, &c), TP_ERR_FORMAT);
    assert_non_null(
        strstr(tp_last_error(), "generation_config.json: `eos_token_id` lists something else than ids from 0 to 99"));
    unlink(path);
    tp_free(path);
}

/* ---- writing ---- */

static void what_is_written_is_read_back(void **state) {
    (void)state;
    static const char *const names[] = {"llama2", "llama3_1", "mistral", "qwen2", "qwen3",      "gemma2",
                                        "gemma3", "phi3",     "gpt2",    "neox",  "neox_serial"};
    char *folder = tp_strdup(in_dir("written"));
    check_ok(tp_make_dirs(folder));
    for (int i = 0; i < 11; i++) {
        tp_lm_config c = read_ok(fixture(names[i]));
        check_ok(tp_lm_config_write(&c, folder));
        tp_lm_config again = read_ok(folder);
        same_config(&again, &c);
    }
    tp_lm_config odd;
    check_ok(
        read_with("qwen2", ", \"use_sliding_window\": true, \"sliding_window\": 16, \"max_window_layers\": 3", &odd));
    odd.norm_eps = 1.0 / 3; /* needs all 17 digits */
    odd.rope_scaling.kind = TP_ROPE_LINEAR;
    odd.rope_scaling.factor = 2.5;
    check_ok(tp_lm_config_write(&odd, folder));
    tp_lm_config again = read_ok(folder);
    same_config(&again, &odd);
    char *path = tp_path_join(folder, "config.json"), *text;
    tp_lm_config c = read_ok(fixture("llama3_1"));
    size_t n;
    check_ok(tp_lm_config_write(&c, folder));
    check_ok(tp_read_file(path, 0, &text, &n));
    assert_non_null(strstr(text, "\"rms_norm_eps\": 1e-5,")); /* and not 1.0000000000000001e-5 */
    assert_non_null(strstr(text, "\"rope_theta\": 500000.0,"));
    tp_free(text);
    tp_free(path);
    tp_free(folder);
}

static void a_fingerprint_sees_what_changes_the_result(void **state) {
    (void)state;
    tp_lm_config c = read_ok(fixture("llama2"));
    char base[33], other[33];
    config_fingerprint(&c, base);
    c.dtype = TP_BF16;
    c.n_eos = 0;
    config_fingerprint(&c, other);
    assert_string_equal(base, other);
    c.rope_theta = 10001;
    config_fingerprint(&c, other);
    assert_string_not_equal(base, other);
    c = read_ok(fixture("phi3"));
    config_fingerprint(&c, base);
    c.rope_scaling.long_factor[5] += 1;
    config_fingerprint(&c, other);
    assert_string_not_equal(base, other);
    c = read_ok(fixture("gemma2"));
    config_fingerprint(&c, base);
    c.final_softcap += 1;
    config_fingerprint(&c, other);
    assert_string_not_equal(base, other);
}

/* ---- rotary frequencies ---- */

/* Numbers computed by ROPE_INIT_FUNCTIONS of transformers 5.23.0, in float32. */
static void the_frequencies_are_those_of_transformers(void **state) {
    (void)state;
    tp_lm_config c = {.head_dim = 128, .rope_theta = 500000};
    c.rope_scaling.kind = TP_ROPE_LLAMA3;
    c.rope_scaling.factor = 8;
    c.rope_scaling.low_freq_factor = 1;
    c.rope_scaling.high_freq_factor = 4;
    c.rope_scaling.original_max_position_embeddings = 8192;
    static const struct {
        int i;
        float inv_freq;
    } llama3[] = {
        {0, 1.0f},
        {1, 0.8146172165870667f},
        {10, 0.12868738174438477f},
        {27, 0.003942275885492563f}, /* kept as they are up to 28, blended to 34, divided by 8 from 35 */
        {28, 0.0032114461064338684f},
        {29, 0.0021665706299245358f},
        {31, 0.0008567514596506953f},
        {33, 0.0003126936499029398f},
        {34, 0.0001785077911335975f},
        {35, 9.556212171446532e-05f},
        {36, 7.784655463183299e-05f},
        {50, 4.411534519022098e-06f},
        {63, 3.068925877869333e-07f},
    };
    float inv_freq[64];
    tp_rope_frequencies(&c, TP_FREQUENCIES_USUAL, inv_freq);
    for (size_t k = 0; k < sizeof llama3 / sizeof llama3[0]; k++) {
        double error = fabs((double)inv_freq[llama3[k].i] / (double)llama3[k].inv_freq - 1);
        if (error > 2e-6) fail_msg("pair %d: %.9g", llama3[k].i, (double)inv_freq[llama3[k].i]);
    }
    static const float linear[8] = {0.25f,
                                    0.07905694097280502f,
                                    0.02500000037252903f,
                                    0.007905694656074047f,
                                    0.0024999999441206455f,
                                    0.0007905694656074047f,
                                    0.0002500000118743628f,
                                    7.905694656074047e-05f};
    c = (tp_lm_config){.head_dim = 16, .rope_theta = 10000};
    c.rope_scaling.kind = TP_ROPE_LINEAR;
    c.rope_scaling.factor = 4;
    tp_rope_frequencies(&c, TP_FREQUENCIES_USUAL, inv_freq);
    for (int i = 0; i < 8; i++) assert_true(fabs((double)inv_freq[i] / (double)linear[i] - 1) < 2e-7);
    c.rope_scaling.kind = TP_ROPE_PLAIN;
    tp_rope_frequencies(&c, TP_FREQUENCIES_USUAL, inv_freq);
    for (int i = 0; i < 8; i++) assert_true(fabs((double)inv_freq[i] / (4 * (double)linear[i]) - 1) < 2e-7);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_fixtures_say_what_they_are),
        cmocka_unit_test(the_families_differ_in_fields),
        cmocka_unit_test(older_spellings_mean_the_same),
        cmocka_unit_test(the_fixtures_weights_fit_their_configs),
        cmocka_unit_test(real_configs_are_read),
        cmocka_unit_test(defaults_are_those_of_the_family),
        cmocka_unit_test(qwen2_windows_begin_at_a_layer),
        cmocka_unit_test(generation_config_has_the_last_word_on_eos),
        cmocka_unit_test(what_is_written_is_read_back),
        cmocka_unit_test(a_fingerprint_sees_what_changes_the_result),
        cmocka_unit_test(the_frequencies_are_those_of_transformers),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
