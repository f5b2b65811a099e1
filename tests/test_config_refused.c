/* lm/config: which configurations are refused, and in which words. */
#include "config_text.h"

static void new_keys_are_checked(void **state) {
    (void)state;
    static const struct {
        const char *type, *more, *words;
    } cases[] = {
        {"gemma2", ", \"attn_logit_softcapping\": -1", "`attn_logit_softcapping` is -1"},
        {"gemma2", ", \"query_pre_attn_scalar\": 0", "`query_pre_attn_scalar` is 0"},
        {"gemma3_text", ", \"sliding_window_pattern\": 0", "`sliding_window_pattern` is 0"},
        {"gemma3_text", ", \"rope_local_base_freq\": 0", "`rope_local_base_freq` is 0"},
        {"gpt_neox", ", \"rotary_pct\": 0.1", "turns 0 elements of a head of 8"},
        {"gpt_neox", ", \"rotary_pct\": 0.4", "turns 3 elements of a head of 8: an even number from 2 on"},
        {"gpt_neox", ", \"rotary_pct\": 2", "`rotary_pct` is 2"},
        {"phi3", ", \"rope_scaling\": {\"type\": \"longrope\"}", "`rope_scaling.short_factor` is missing"},
        {"phi3",
         ", \"rope_scaling\": {\"type\": \"longrope\", \"short_factor\": [1, 2], \"long_factor\": [1, 2, 3, 4]}",
         "`rope_scaling.short_factor` has 2 numbers, one for each of the 4 pairs"},
        {"phi3",
         ", \"rope_scaling\": {\"type\": \"longrope\", \"short_factor\": [1, 2, 3, 0], \"long_factor\": [1, 2, 3, 4]}",
         "`rope_scaling.short_factor` holds something else than numbers from 0.01"},
        {"phi3",
         ", \"rope_scaling\": {\"type\": \"longrope\", \"short_factor\": [1, 2, 3, 4], \"long_factor\": [1, 2, 3, "
         "\"4\"]}",
         "`rope_scaling.long_factor` holds something else"},
    };
    tp_lm_config c;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        refused(TP_ERR_FORMAT, read_with(cases[i].type, cases[i].more, &c), cases[i].more, cases[i].words);
    static const struct {
        const char *more, *words;
    } gpt2[] = {
        {", \"scale_attn_by_inverse_layer_idx\": true", "`scale_attn_by_inverse_layer_idx` is true"},
        {", \"scale_attn_weights\": false", "`scale_attn_weights` is false"},
        {", \"activation_function\": \"silu\"", "supported without a gate are: gelu, gelu_new"},
    };
    for (size_t i = 0; i < sizeof gpt2 / sizeof gpt2[0]; i++) {
        char *text = tp_format("{\"model_type\": \"gpt2\", \"vocab_size\": 9, \"n_embd\": 8, \"n_layer\": 1, "
                               "\"n_head\": 2%s}",
                               gpt2[i].more);
        refused(TP_ERR_UNSUPPORTED, read_text(text, &c), gpt2[i].more, gpt2[i].words);
        tp_free(text);
    }
}

static void broken_configs_are_refused(void **state) {
    (void)state;
    static const struct {
        const char *more, *words;
    } cases[] = {
        {", \"vocab_size\": 5", "duplicate"},
        {", \"num_key_value_heads\": 3", "`num_key_value_heads` is 3, which does not divide `num_attention_heads` 4"},
        {", \"num_key_value_heads\": 8", "does not divide"},
        {", \"num_key_value_heads\": 0", "`num_key_value_heads` is 0, allowed is 1"},
        {", \"num_key_value_heads\": \"4\"", "`num_key_value_heads` is a string, an integer was expected"},
        {", \"head_dim\": 7", "`head_dim` is 7, an even number"},
        {", \"head_dim\": 4096", "`head_dim` is 4096, allowed"},
        {", \"head_dim\": 8.0", "`head_dim` is a number with a fraction"},
        {", \"rms_norm_eps\": 0", "`rms_norm_eps` is 0"},
        {", \"rms_norm_eps\": -1e-6", "`rms_norm_eps`"},
        {", \"rms_norm_eps\": \"1e-6\"", "`rms_norm_eps` is a string"},
        {", \"max_position_embeddings\": 0", "`max_position_embeddings` is 0"},
        {", \"rope_theta\": 0", "`rope_theta` is 0"},
        {", \"rope_theta\": 1e300", "`rope_theta`"},
        {", \"rope_theta\": []", "`rope_theta` is a list"},
        {", \"rope_scaling\": 2", "`rope_scaling` is an integer, an object was expected"},
        {", \"rope_scaling\": {\"type\": \"linear\"}", "`rope_scaling.factor` is missing"},
        {", \"rope_scaling\": {\"type\": \"linear\", \"factor\": 0}", "`rope_scaling.factor` is 0"},
        {", \"rope_scaling\": {\"type\": 3}", "`rope_scaling.type` is an integer"},
        {", \"rope_parameters\": {\"rope_type\": \"llama3\", \"factor\": 8, \"high_freq_factor\": 4, "
         "\"original_max_position_embeddings\": 64}",
         "`rope_parameters.low_freq_factor` is missing"},
        {", \"rope_parameters\": {\"rope_type\": \"llama3\", \"factor\": 8, \"low_freq_factor\": 4, "
         "\"high_freq_factor\": 4, "
         "\"original_max_position_embeddings\": 64}",
         "must be above `low_freq_factor`"},
        {", \"rope_theta\": 10000.0, \"rope_parameters\": {\"rope_theta\": 500000.0}",
         "`rope_parameters.rope_theta` is 500000, but `rope_theta` says 10000"},
        {", \"bos_token_id\": 100", "`bos_token_id` is 100, allowed is -1 to 99"},
        {", \"eos_token_id\": 100", "`eos_token_id` is 100"},
        {", \"eos_token_id\": [1, \"2\"]", "`eos_token_id` lists"},
        {", \"eos_token_id\": [1, -2]", "`eos_token_id` lists"},
        {", \"eos_token_id\": [1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]", "`eos_token_id` lists 17 ids"},
        {", \"tie_word_embeddings\": 1", "`tie_word_embeddings` is an integer, true or false"},
        {", \"torch_dtype\": \"int8\"", "`torch_dtype` is \"int8\", known are: float32, float16, bfloat16"},
        {", \"hidden_act\": \"relu\"", "`hidden_act` is \"relu\", known are: silu"},
        {", \"architectures\": \"LlamaForCausalLM\"", "`architectures` is a string"},
        {", \"architectures\": [1]", "`architectures` is not a list of strings"},
    };
    tp_lm_config c;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        refused(TP_ERR_FORMAT, read_with("llama", cases[i].more, &c), cases[i].more, cases[i].words);
    refused(TP_ERR_FORMAT, read_with("mistral", ", \"sliding_window\": -1", &c), "window", "`sliding_window` is -1");
    const char *types = ", \"layer_types\": [\"full_attention\"]";
    refused(TP_ERR_FORMAT, read_with("qwen2", types, &c), types, "`layer_types` has 1 entries for 4 layers");
    types = ", \"layer_types\": [\"full_attention\", \"full_attention\", \"full_attention\", \"sliding_attention\"]";
    refused(TP_ERR_FORMAT, read_with("qwen2", types, &c), types, "`sliding_window` is not in force");
}

static void missing_and_impossible_sizes_are_refused(void **state) {
    (void)state;
    static const char *const keys[] = {"vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads",
                                       "intermediate_size"};
    static const char *const values[] = {NULL,    "0",   "-1",  "1000000000000", "99999999999999999999",
                                         "\"8\"", "8.5", "null"};
    for (int k = 0; k < 5; k++) {
        for (int v = 0; v < 8; v++) {
            tp_str text = {0};
            tp_str_append_text(&text, "{\"model_type\": \"llama\"");
            for (int i = 0; i < 5; i++) {
                if (i != k)
                    tp_str_appendf(&text, ", \"%s\": 8", keys[i]);
                else if (values[v])
                    tp_str_appendf(&text, ", \"%s\": %s", keys[i], values[v]);
            }
            tp_str_append_text(&text, "}");
            tp_lm_config c;
            tp_status status = read_text(text.data, &c);
            refused(TP_ERR_FORMAT, status, text.data, v == 4 ? "not valid JSON" : keys[k]);
            if (v == 0 || v == 7) refused(TP_ERR_FORMAT, status, text.data, "is missing");
            tp_str_free(&text);
        }
    }
    tp_lm_config c;
    const char *uneven =
        "{\"model_type\": \"llama\", \"vocab_size\": 8, \"hidden_size\": 33, \"num_hidden_layers\": 1, "
        "\"num_attention_heads\": 4, \"intermediate_size\": 8}";
    refused(TP_ERR_FORMAT, read_text(uneven, &c), "uneven",
            "`num_attention_heads` is 4, which does not divide `hidden_size` 33");
    const char *no_kv = "{\"model_type\": \"qwen2\", \"vocab_size\": 8, \"hidden_size\": 32, \"num_hidden_layers\": 1, "
                        "\"num_attention_heads\": 4, \"intermediate_size\": 8}";
    refused(TP_ERR_FORMAT, read_text(no_kv, &c), "no kv", "`num_key_value_heads` is missing");
}

static void what_is_not_a_config_is_refused(void **state) {
    (void)state;
    tp_lm_config c;
    refused(TP_ERR_FORMAT, read_text("", &c), "empty", "not valid JSON");
    refused(TP_ERR_FORMAT, read_text("{\"model_type\": ", &c), "cut", "not valid JSON");
    refused(TP_ERR_FORMAT, read_text("[]", &c), "list", "a list, an object was expected");
    refused(TP_ERR_FORMAT, read_text("{}", &c), "nothing", "`model_type` is missing");
    refused(TP_ERR_FORMAT, read_text("{\"model_type\": 7}", &c), "number", "`model_type` is an integer");
    refused(TP_ERR_FORMAT, read_text("{\"model_type\": \"\xFF\"}", &c), "bytes", "not valid JSON");
    assert_int_equal(tp_lm_config_read(in_dir("nowhere"), &c), TP_ERR_IO);
    assert_non_null(strstr(tp_last_error(), "nowhere/config.json"));
    tp_str large = {0};
    tp_str_append_text(&large, "{\"x\": \"");
    for (int i = 0; i < 5 << 10; i++) {
        char block[1024];
        memset(block, 'x', sizeof block);
        tp_str_append(&large, block, sizeof block);
    }
    refused(TP_ERR_FORMAT, read_text(large.data, &c), "large", "larger than");
    tp_str_free(&large);
}

static void unsupported_models_are_told_what_is_supported(void **state) {
    (void)state;
    static const struct {
        const char *type, *more, *words;
    } cases[] = {
        {"gemma", "", "`model_type` is \"gemma\", supported are: llama (LlamaForCausalLM), mistral"},
        {"bert", "",
         "qwen3 (Qwen3ForCausalLM), gemma2 (Gemma2ForCausalLM), gemma3_text (Gemma3ForCausalLM), phi3 "
         "(Phi3ForCausalLM), gpt2 (GPT2LMHeadModel), gpt_neox (GPTNeoXForCausalLM)"},
        {"gemma2", ", \"use_bidirectional_attention\": true", "`use_bidirectional_attention` is true"},
        {"gemma3_text", ", \"rope_parameters\": {\"sliding_attention\": {\"rope_type\": \"linear\", \"factor\": 2}}",
         "`rope_parameters.sliding_attention.rope_type` is \"linear\", supported is: default"},
        {"phi3", ", \"rope_scaling\": {\"type\": \"yarn\"}", "supported are: default, linear, llama3, longrope"},
        {"gemma2",
         ", \"layer_types\": [\"sliding_attention\", \"full_attention\", \"full_attention\", "
         "\"sliding_attention\"]",
         "not in every n-th layer"},
        {"llama", ", \"architectures\": [\"LlamaForSequenceClassification\"]",
         "supported are: llama (LlamaForCausalLM)"},
        {"llama", ", \"rope_scaling\": {\"rope_type\": \"yarn\", \"factor\": 4}",
         "supported are: default, linear, llama3"},
        {"qwen2", ", \"rope_scaling\": {\"type\": \"dynamic\", \"factor\": 4}",
         "supported are: default, linear, llama3"},
        {"llama", ", \"rope_parameters\": {\"full_attention\": {}}", "by kind of layer"},
        {"llama", ", \"rope_parameters\": {\"partial_rotary_factor\": 0.5}", "partial_rotary_factor"},
        {"llama", ", \"partial_rotary_factor\": 0.5", "partial_rotary_factor"},
        {"llama", ", \"quantization_config\": {\"quant_method\": \"gptq\"}", "quantised"},
        {"qwen2",
         ", \"use_sliding_window\": true, \"layer_types\": [\"sliding_attention\", \"full_attention\", "
         "\"full_attention\", "
         "\"full_attention\"]",
         "full attention above a sliding window"},
        {"qwen2",
         ", \"layer_types\": [\"full_attention\", \"full_attention\", \"full_attention\", \"linear_attention\"]",
         "neither"},
    };
    tp_lm_config c;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        refused(TP_ERR_UNSUPPORTED, read_with(cases[i].type, cases[i].more, &c), cases[i].more, cases[i].words);
}

static void what_a_family_cannot_say_is_not_written(void **state) {
    (void)state;
    tp_lm_config good = read_ok(fixture("llama2")), c = good;
    c.sliding_window = 4;
    assert_int_equal(tp_lm_config_write(&c, dir), TP_ERR_ARGUMENT);
    assert_non_null(strstr(tp_last_error(), "the family llama has no way to say a sliding window"));
    c = good;
    c.qkv_bias = true;
    assert_int_equal(tp_lm_config_write(&c, dir), TP_ERR_ARGUMENT);
    c = good;
    c.n_kv_heads = 3;
    assert_int_equal(tp_lm_config_write(&c, dir), TP_ERR_FORMAT);
    c = good;
    c.family = TP_LM_MISTRAL;
    c.sliding_window = 4;
    c.first_windowed_layer = 1;
    assert_int_equal(tp_lm_config_write(&c, dir), TP_ERR_ARGUMENT);
    static const struct {
        const char *from, *words;
        tp_lm_family family;
    } moves[] = {{"qwen3", "these norms", TP_LM_LLAMA},
                 {"gemma2", "these norms", TP_LM_GEMMA3},
                 {"phi3", "this kind of block", TP_LM_MISTRAL},
                 {"neox", "these norms", TP_LM_LLAMA},
                 {"neox", "this kind of block", TP_LM_GPT2}};
    for (size_t i = 0; i < sizeof moves / sizeof moves[0]; i++) {
        c = read_ok(fixture(moves[i].from));
        c.family = moves[i].family;
        if (moves[i].family == TP_LM_LLAMA) c.qkv_bias = c.o_bias;
        assert_int_equal(tp_lm_config_write(&c, dir), TP_ERR_ARGUMENT);
        if (!strstr(tp_last_error(), moves[i].words)) fail_msg("%zu: %s", i, tp_last_error());
    }
    c = good;
    c.rope_adjacent = true;
    assert_int_equal(tp_lm_config_write(&c, dir), TP_ERR_ARGUMENT);
    assert_non_null(strstr(tp_last_error(), "these positions"));
    assert_int_equal(tp_lm_config_write(&good, in_dir("no/such/folder")), TP_ERR_IO);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(new_keys_are_checked),
        cmocka_unit_test(broken_configs_are_refused),
        cmocka_unit_test(missing_and_impossible_sizes_are_refused),
        cmocka_unit_test(what_is_not_a_config_is_refused),
        cmocka_unit_test(unsupported_models_are_told_what_is_supported),
        cmocka_unit_test(what_a_family_cannot_say_is_not_written),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
