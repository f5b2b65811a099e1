/* The vocabularies inside GGUF files: the published vectors, and what a file may say or get wrong. */
#include "check_tokenizer.h"
#include "gguf_vocab_file.h"

static void llama_spm_matches_its_vectors(void **state) {
    (void)state;
    check_needs_shared("tokenizers/ggml-vocab-llama-spm.gguf");
    tp_tokenizer *t = load_gguf_vocab(check_shared("tokenizers/ggml-vocab-llama-spm.gguf"));
    check_not_null(t);
    assert_vectors(t, "llama-spm");
    assert_int_equal(tp_tokenizer_size(t), 32000);
    assert_int_equal(tp_tokenizer_bos(t), 1);
    assert_int_equal(tp_tokenizer_eos(t), 2);
    assert_true(tp_tokenizer_adds_bos(t));
    assert_random_round_trips(t);
    tp_tokenizer_free(t);
}

static void refact_matches_its_vectors(void **state) {
    (void)state;
    check_needs_shared("tokenizers/ggml-vocab-refact.gguf");
    tp_tokenizer *t = load_gguf_vocab(check_shared("tokenizers/ggml-vocab-refact.gguf"));
    check_not_null(t);
    assert_vectors(t, "refact");
    /* no random bytes: the vocabulary lacks tokens for 14 of them */
    assert_false(tp_tokenizer_adds_bos(t));
    tp_tokenizer_free(t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(llama_spm_matches_its_vectors),
        cmocka_unit_test(refact_matches_its_vectors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
