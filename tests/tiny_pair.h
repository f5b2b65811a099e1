/* A pair of tiny models of two families, with tokenizers of their own, made in a temporary folder: what tests of
 * bridges, training, evaluation and commands run on. The weights are random, which is enough for a bridge to learn
 * something: the words of a text are in the sender's states, and the receiver's answer depends on its inputs.
 *
 *     char *dir = check_temp_dir();
 *     tiny_pair_make(dir);                      dir/sender (Llama family), dir/receiver (Mistral family)
 *     tp_lm *sender = tiny_pair_load(dir, "sender");
 *     tiny_pair_write_task(dir, 90);            dir/train.csv, dir/test.csv: columns text, label; three labels
 *     tiny_pair_recipe(dir, "demo.json", 20);   dir/demo.json: a recipe for these models and this task, 20 steps */
#ifndef TP_TESTS_TINY_PAIR_H
#define TP_TESTS_TINY_PAIR_H

#include "check.h"

#include "base/file.h"
#include "lm/model.h"
#include "text/train_bpe.h"

static const char *const tiny_words[3][6] = {{"red", "green", "blue", "yellow", "white", "black"},
                                             {"dog", "cat", "horse", "mouse", "eagle", "whale"},
                                             {"one", "two", "three", "seven", "nine", "ten"}};
static const char *const tiny_labels[3] = {"colour", "animal", "number"};

/* Text k of the task; its label is k % 3. */
static inline void tiny_pair_text(int k, char *out, size_t size) {
    static const char *const forms[5][2] = {{"What is it about ", "?"},
                                            {"Tell me of ", ", please."},
                                            {"I saw ", " there."},
                                            {"Nobody knows ", " like that."},
                                            {"Is ", " here?"}};
    int form = k / 18;
    snprintf(out, size, "%s%s%s (%d)", forms[form % 5][0], tiny_words[k % 3][k / 3 % 6], forms[form % 5][1], form);
}

typedef struct tiny_documents {
    int next;
    char text[256];
} tiny_documents;

static inline bool tiny_pair_next(void *context, const char **text, size_t *n) {
    tiny_documents *d = context;
    if (d->next >= 180) return false;
    tiny_pair_text(d->next, d->text, sizeof d->text);
    size_t used = strlen(d->text);
    snprintf(d->text + used, sizeof d->text - used, " It is a %s.", tiny_labels[d->next % 3]);
    d->next++;
    *text = d->text;
    *n = strlen(d->text);
    return true;
}

/* The small weights that training starts from let a block pass on little of what it reads. Here they must do without
 * training: matrices get a variance of about one over their inputs, and logits a spread. */
static inline tp_status tiny_pair_enlarge(void *context, tp_weight *w, const char *name, int64_t rows, int64_t cols) {
    (void)context;
    float factor = strstr(name, "layers") && rows > 1 ? 10 : strstr(name, "lm_head") ? 20 : 1;
    for (int64_t i = 0; i < rows * cols; i++) tp_weight_values(w)[i] *= factor;
    return TP_OK;
}

static inline void tiny_pair_save(const char *dir, const char *name, const tp_lm_config *config, tp_bpe_kind kind,
                                  double embed_std, uint64_t seed) {
    char *folder = tp_path_join(dir, name);
    check_ok(tp_make_dirs(folder));
    tiny_documents documents = {0};
    check_ok(tp_bpe_train(kind, config->vocab_size, tiny_pair_next, &documents, folder));
    tp_lm *lm = tp_lm_new(config, seed, embed_std);
    check_not_null(lm);
    check_ok(tp_lm_visit(lm, tiny_pair_enlarge, NULL));
    check_ok(tp_lm_save(lm, folder, TP_F32));
    tp_lm_free(lm);
    free(folder);
}

static inline void tiny_pair_make(const char *dir) {
    tp_lm_config sender = {.family = TP_LM_LLAMA,
                           .vocab_size = 340,
                           .d_model = 32,
                           .n_layers = 4,
                           .n_heads = 4,
                           .n_kv_heads = 2,
                           .head_dim = 8,
                           .d_ff = 64,
                           .norm_eps = 1e-5,
                           .rope_theta = 500000,
                           .max_position_embeddings = 256,
                           .tie_word_embeddings = true,
                           .bos_id = 338, /* the tokenizer's specials stand last */
                           .eos_ids = {339},
                           .n_eos = 1,
                           .dtype = TP_F32};
    tp_lm_config receiver = {.family = TP_LM_MISTRAL,
                             .vocab_size = 360,
                             .d_model = 24,
                             .n_layers = 3,
                             .n_heads = 3,
                             .n_kv_heads = 1,
                             .head_dim = 8,
                             .d_ff = 48,
                             .norm_eps = 1e-6,
                             .rope_theta = 1000000,
                             .max_position_embeddings = 256,
                             .sliding_window = 64,
                             .bos_id = 1,
                             .eos_ids = {2},
                             .n_eos = 1,
                             .dtype = TP_F32};
    tiny_pair_save(dir, "sender", &sender, TP_BPE_BYTE_LEVEL, 0.1, 1);
    tiny_pair_save(dir, "receiver", &receiver, TP_BPE_SENTENCEPIECE, 0.5, 2);
}

static inline tp_lm *tiny_pair_load(const char *dir, const char *name) {
    char *folder = tp_path_join(dir, name);
    tp_lm *lm = tp_lm_load(folder, true);
    check_not_null(lm);
    free(folder);
    return lm;
}

/* train.csv with texts 0 .. n - 1 and test.csv with 45 others. */
static inline void tiny_pair_write_task(const char *dir, int n) {
    for (int test = 0; test < 2; test++) {
        char *path = tp_path_join(dir, test ? "test.csv" : "train.csv");
        tp_writer *w = tp_writer_open(path);
        check_not_null(w);
        tp_writer_printf(w, "text,label\n");
        for (int k = test ? n : 0; k < (test ? n + 45 : n); k++) {
            char text[128];
            tiny_pair_text(k, text, sizeof text);
            tp_writer_printf(w, "\"%s\",%s\n", text, tiny_labels[k % 3]);
        }
        check_ok(tp_writer_commit(w));
        free(path);
    }
}

/* A recipe file in the folder, for the folder's models and task. */
static inline void tiny_pair_recipe(const char *dir, const char *name, int steps) {
    char *path = tp_path_join(dir, name);
    tp_writer *w = tp_writer_open(path);
    check_not_null(w);
    tp_writer_printf(
        w,
        "{\"models\": {\"sender\": \"%s/sender\", \"receiver\": \"%s/receiver\"},\n"
        " \"task\": {\"train_file\": \"%s/train.csv\", \"test_file\": \"%s/test.csv\"},\n"
        " \"bridge\": {\"kind\": \"perceiver\", \"soft_tokens\": 3, \"depth\": 1, \"heads\": 2, \"width\": 16},\n"
        " \"optimiser\": {\"steps\": %d, \"batch\": 8, \"lr\": 0.003},\n"
        " \"early_stopping\": {\"every\": 100, \"patience\": 0}, \"quick_eval\": {\"every\": 0},\n"
        " \"math\": \"f32\", \"seed\": 7}\n",
        dir, dir, dir, dir, steps);
    check_ok(tp_writer_commit(w));
    free(path);
}

#endif
