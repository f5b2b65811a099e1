/* train/pretrain: small runs learn, and end with the same bytes however often they were stopped or killed; states of
 * other runs are refused by name; what is held out is chosen by content; the score of a text is what a plain forward
 * pass of each of its pieces gives. */
#include "tiny_training.h"

#include "base/hash.h"
#include "lm/decoder.h"
#include "train/pretrain.h"

#include <math.h>
#include <signal.h>
#include <sys/resource.h>

static char *dir;

static const char *in_dir(const char *name) {
    static char path[8][4096];
    static int next;
    next = (next + 1) % 8;
    snprintf(path[next], sizeof path[next], "%s/%s", dir, name);
    return path[next];
}

static const tp_lm_config shape = {.family = TP_LM_MISTRAL,
                                   .vocab_size = 420,
                                   .d_model = 32,
                                   .n_layers = 2,
                                   .n_heads = 4,
                                   .n_kv_heads = 2,
                                   .head_dim = 8,
                                   .d_ff = 64,
                                   .norm_eps = 1e-5,
                                   .rope_theta = 10000,
                                   .max_position_embeddings = 64,
                                   .sliding_window = 16,
                                   .bos_id = 1,
                                   .eos_ids = {2},
                                   .n_eos = 1,
                                   .dtype = TP_BF16};

enum { N_DOCUMENTS = 60 };

/* Document k of a corpus: some sentences, different for each k; long ones do not fit into a context of 64. */
static void document(int k, char *out, size_t size) {
    char sentence[128];
    out[0] = '\0';
    for (int i = 0; i <= k % 6; i++) {
        tiny_pair_text((k * 7 + i * 31) % 180, sentence, sizeof sentence);
        snprintf(out + strlen(out), size - strlen(out), "%s%s", i ? " " : "", sentence);
    }
    snprintf(out + strlen(out), size - strlen(out), " Number %d.", k);
}

/* Documents from .. to - 1, each `times` times. */
static void write_corpus(const char *path, int from, int to, int times) {
    tp_writer *w = tp_writer_open(path);
    check_not_null(w);
    for (int time = 0; time < times; time++)
        for (int k = from; k < to; k++) {
            char text[1024];
            document(k, text, sizeof text);
            tp_writer_printf(w, "{\"text\": \"%s\"}\n", text);
        }
    check_ok(tp_writer_commit(w));
}

static int set_up(void **state) {
    (void)state;
    dir = check_temp_dir();
    tiny_pair_make(dir); /* for its tokenizers */
    write_corpus(in_dir("text.jsonl"), 0, N_DOCUMENTS, 1);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    check_remove_dir(dir);
    return 0;
}

/* Options of a run of 30 steps over text.jsonl; the texts they point to last until the next call. */
static tp_pretrain_options options_of(const char *out) {
    static char folder[4096], tokenizer[4096], file[4096];
    static const char *files[1] = {file};
    snprintf(folder, sizeof folder, "%s", in_dir(out));
    snprintf(tokenizer, sizeof tokenizer, "%s", in_dir("receiver"));
    snprintf(file, sizeof file, "%s", in_dir("text.jsonl"));
    return (tp_pretrain_options){.config = &shape,
                                 .tokenizer = tokenizer,
                                 .files = files,
                                 .n_files = 1,
                                 .out = folder,
                                 .steps = 30,
                                 .batch_tokens = 256,
                                 .context = 64,
                                 .lr = 3e-3,
                                 .min_lr_ratio = 0.1,
                                 .warmup = 5,
                                 .adamw = {.beta1 = 0.9, .beta2 = 0.95, .eps = 1e-8, .weight_decay = 0.1, .clip = 1},
                                 .embed_std = 0.05,
                                 .held_out = 0.2,
                                 .eval_every = 10,
                                 .save_every = 8,
                                 .seed = 11,
                                 .math = TP_MATH_F32};
}

static tp_status pretrain(tp_pretrain_options o, int64_t stop_at, tp_pretrain_result *result) {
    tiny_watcher watcher = {.stop_at = stop_at};
    o.progress = tiny_progress(&watcher);
    o.stop = &watcher.stop;
    tp_status status = tp_pretrain(&o, result);
    tp_progress_free(o.progress);
    tp_str_free(&watcher.said);
    return status;
}

static void check_stop(tp_pretrain_options o, int64_t step) {
    tp_pretrain_result result;
    assert_int_equal(pretrain(o, step, &result), TP_ERR_CANCELLED);
    char words[64];
    snprintf(words, sizeof words, "stopped at step %lld;", (long long)step);
    assert_non_null(strstr(tp_last_error(), words));
}

static void check_error(tp_status status, const char *words) {
    assert_int_not_equal(status, TP_OK);
    if (strstr(tp_last_error(), words) == NULL) fail_msg("\"%s\" does not say \"%s\"", tp_last_error(), words);
}

static void shell(const char *format, ...) {
    char command[9000];
    va_list args;
    va_start(args, format);
    vsnprintf(command, sizeof command, format, args);
    va_end(args);
    assert_int_equal(system(command), 0);
}

/* ---- learning ---- */

static void a_repetitive_text_is_learned(void **state) {
    (void)state;
    tp_writer *w = tp_writer_open(in_dir("chorus.txt"));
    for (int i = 0; i < 200; i++) tp_writer_printf(w, "one two three seven nine ten ");
    check_ok(tp_writer_commit(w));
    for (int math = 0; math < 2; math++) {
        tp_pretrain_options o = options_of(math ? "chorus-bf16" : "chorus");
        const char *file = in_dir("chorus.txt");
        o.files = &file;
        o.steps = 250;
        o.lr = 8e-3;
        o.held_out = 0;
        o.math = math ? TP_MATH_BF16 : TP_MATH_F32;
        tp_pretrain_result result;
        check_ok(pretrain(o, 0, &result));
        assert_true(result.train_loss < 0.05 * log(420));                     /* log(420) is where it began */
        assert_true(isnan(result.perplexity) && isnan(result.bits_per_byte)); /* nothing was held out */
        assert_int_equal(result.held_out_documents, 0);
        assert_int_equal(result.steps, 250);

        /* what was written is a model that knows the chorus: bf16 weights lose little */
        tp_lm *lm = tp_lm_load(o.out, true);
        check_not_null(lm);
        assert_int_equal(lm->config.bos_id, 1);
        assert_int_equal(lm->embed.dtype, TP_BF16);
        tp_corpus *corpus = tp_corpus_open(&file, 1);
        check_not_null(corpus);
        tp_text_score score;
        check_ok(tp_score_corpus(lm, corpus, 64, o.math, NULL, &score));
        assert_true(score.perplexity < 1.6);
        assert_int_equal(score.documents, 1);
        assert_int_equal(score.bytes, 200 * 29);
        tp_corpus_close(corpus);
        tp_lm_free(lm);
    }
}

/* ---- going on ---- */

static void stopping_anywhere_changes_no_byte(void **state) {
    (void)state;
    tp_pretrain_result whole, parts;
    check_ok(pretrain(options_of("whole"), 0, &whole));
    assert_false(whole.resumed);
    const int64_t stops[] = {1, 5, 8, 9, 17, 29}; /* an epoch is about 12 steps */
    for (int i = 0; i < 6; i++) check_stop(options_of("parts"), stops[i]);
    check_ok(pretrain(options_of("parts"), 0, &parts));
    assert_true(parts.resumed);
    assert_int_equal(parts.tokens_seen, whole.tokens_seen);
    assert_true(parts.train_loss == whole.train_loss && parts.bits_per_byte == whole.bits_per_byte);
    assert_true(tiny_same_folders(in_dir("whole"), in_dir("parts")));

    /* once more, when all is done: the same again */
    check_ok(pretrain(options_of("parts"), 0, &parts));
    assert_true(tiny_same_folders(in_dir("whole"), in_dir("parts")));

    /* killed while a state was being written, and later while the model was */
    check_stop(options_of("killed"), 13);
    shell("(head -c 5000 '%s' > '%s/state.safetensors.'$$.tmp)", in_dir("killed/state.safetensors"), in_dir("killed"));
    check_ok(pretrain(options_of("killed"), 0, &parts));
    shell("rm '%s' '%s'", in_dir("killed/model.safetensors"), in_dir("killed/tokenizer.json"));
    check_ok(pretrain(options_of("killed"), 0, &parts));
    assert_true(tiny_same_folders(in_dir("whole"), in_dir("killed")));
}

static void a_full_disk_loses_nothing(void **state) {
    (void)state;
    tp_pretrain_result result;
    check_ok(pretrain(options_of("roomy"), 0, &result));
    check_stop(options_of("full"), 4);
    struct rlimit limit, small;
    getrlimit(RLIMIT_FSIZE, &limit);
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    small = (struct rlimit){.rlim_cur = 20000, .rlim_max = limit.rlim_max};
    setrlimit(RLIMIT_FSIZE, &small);
    tp_status status = pretrain(options_of("full"), 0, &result);
    setrlimit(RLIMIT_FSIZE, &limit);
    signal(SIGXFSZ, handler);
    assert_int_equal(status, TP_ERR_IO);
    assert_non_null(strstr(tp_last_error(), in_dir("full/state.safetensors")));
    check_ok(pretrain(options_of("full"), 0, &result));
    assert_true(tiny_same_folders(in_dir("roomy"), in_dir("full")));
}

static void a_state_of_another_run_is_refused_by_name(void **state) {
    (void)state;
    tp_pretrain_result result;
    check_stop(options_of("mine"), 9);
    shell("cp -r '%s' '%s'", in_dir("mine"), in_dir("mine before"));
    tp_pretrain_options o = options_of("mine");
    o.seed = 12;
    check_error(pretrain(o, 0, &result), "`seed`: 11, now 12");
    o = options_of("mine");
    o.batch_tokens = 300;
    check_error(pretrain(o, 0, &result), "`batch_tokens`");
    o = options_of("mine");
    o.context = 32;
    check_error(pretrain(o, 0, &result), "`context`: 64, now 32");
    o = options_of("mine");
    o.held_out = 0.3;
    check_error(pretrain(o, 0, &result), "`training_text`");

    /* a text with as many tokens, but one of them another */
    char *bytes;
    size_t n;
    check_ok(tp_read_file(in_dir("text.jsonl"), 0, &bytes, &n));
    char *place = strstr(bytes, "whale");
    assert_non_null(place);
    memcpy(place, "horse", 5);
    check_ok(tp_write_file(in_dir("other.jsonl"), bytes, n));
    tp_free(bytes);
    const char *other = in_dir("other.jsonl");
    o = options_of("mine");
    o.files = &other;
    check_error(pretrain(o, 0, &result), "`training_text`");

    tp_lm_config config = shape;
    config.rope_theta = 20000; /* the same tensors, another model */
    o = options_of("mine");
    o.config = &config;
    check_error(pretrain(o, 0, &result), "`model`");
    config = shape;
    config.n_layers = 1; /* all its tensors are there */
    check_error(pretrain(o, 0, &result), "state of another run");
    config.n_layers = 2;
    config.d_ff = 65;
    check_error(pretrain(o, 0, &result), "state of another run");
    assert_true(tiny_same_folders(in_dir("mine"), in_dir("mine before"))); /* no refusal changed anything */
    check_ok(pretrain(options_of("mine"), 0, &result));
}

static void a_finished_run_is_not_shortened_but_may_go_on(void **state) {
    (void)state;
    tp_pretrain_result result;
    check_ok(pretrain(options_of("longer"), 0, &result));
    tp_pretrain_options o = options_of("longer");
    o.steps = 20;
    check_error(pretrain(o, 0, &result), "has made 30 steps already, more than the 20 asked for");
    o.steps = 35;
    check_ok(pretrain(o, 0, &result));
    assert_int_equal(result.steps, 35);
    assert_true(result.resumed);
}

/* ---- what is held out ---- */

static bool is_held_out(const char *text, double share) {
    return (double)(tp_hash64(text, strlen(text)) >> 11) * 0x1p-53 < share;
}

static void documents_are_held_out_by_content(void **state) {
    (void)state;
    /* every document twice, in two files: both copies must fall on one side */
    write_corpus(in_dir("a.jsonl"), 0, N_DOCUMENTS, 1);
    write_corpus(in_dir("b.jsonl"), 20, N_DOCUMENTS, 1);
    write_corpus(in_dir("c.jsonl"), 0, 20, 1);
    const char *files[3] = {in_dir("b.jsonl"), in_dir("a.jsonl"), in_dir("c.jsonl")};
    tp_pretrain_options o = options_of("content");
    o.files = files;
    o.n_files = 3;
    tp_pretrain_result result;
    check_ok(pretrain(o, 0, &result));
    int held_out = 0;
    tp_writer *w = tp_writer_open(in_dir("held-out.jsonl"));
    for (int k = 0; k < N_DOCUMENTS; k++) {
        char text[1024];
        document(k, text, sizeof text);
        if (!is_held_out(text, 0.2)) continue;
        held_out++;
        tp_writer_printf(w, "{\"text\": \"%s\"}\n", text);
    }
    check_ok(tp_writer_commit(w));
    assert_in_range(held_out, 4, 30);
    assert_int_equal(result.held_out_documents, 2 * held_out);
    assert_int_equal(result.train_documents, 2 * (N_DOCUMENTS - held_out));

    /* and the score that is reported is that of these documents; bf16 weights make a small difference */
    tp_lm *lm = tp_lm_load(o.out, true);
    check_not_null(lm);
    const char *file = in_dir("held-out.jsonl");
    tp_corpus *corpus = tp_corpus_open(&file, 1);
    check_not_null(corpus);
    tp_text_score score;
    check_ok(tp_score_corpus(lm, corpus, 64, TP_MATH_F32, NULL, &score));
    assert_int_equal(score.documents, held_out);
    assert_true(fabs(score.bits_per_byte / result.bits_per_byte - 1) < 0.01);
    assert_true(fabs(score.perplexity / result.perplexity - 1) < 0.02);
    tp_corpus_close(corpus);
    tp_lm_free(lm);
}

/* ---- scores ---- */

static void a_score_is_that_of_plain_forward_passes(void **state) {
    (void)state;
    tp_lm *lm = tiny_pair_load(dir, "receiver");
    const char *file = in_dir("text.jsonl");
    const int64_t contexts[] = {64, 10, 1};
    for (int c = 0; c < 3; c++) {
        double nats = 0;
        int64_t tokens = 0, bytes = 0;
        tp_tape *tape = tp_tape_new(TP_MATH_F32);
        tape->frozen = true;
        for (int k = 0; k < N_DOCUMENTS; k++) {
            char text[1024];
            document(k, text, sizeof text);
            tp_ids ids = {0};
            tp_ids_append(&ids, tp_tokenizer_bos(lm->tokenizer));
            check_ok(tp_tokenizer_encode(lm->tokenizer, text, strlen(text), TP_TOKENS_PLAIN, &ids));
            bytes += (int64_t)strlen(text);
            for (int64_t begin = 0; begin + 1 < (int64_t)ids.len; begin += contexts[c]) {
                int64_t left = (int64_t)ids.len - 1 - begin, n = left < contexts[c] ? left : contexts[c];
                tp_tape_reset(tape);
                int64_t offsets[2] = {0, n};
                tp_var *x = tp_lm_embed(tape, lm, ids.data + begin, n);
                x = tp_lm_blocks(tape, lm, x, &(tp_batch){.n_sequences = 1, .offsets = offsets}, 0,
                                 lm->config.n_layers);
                tp_var *logits = tp_lm_logits(tape, lm, x);
                for (int64_t i = 0; i < n; i++) {
                    const float *row = logits->data + i * logits->cols;
                    double sum = 0;
                    for (int64_t v = 0; v < logits->cols; v++) sum += exp((double)row[v]);
                    nats -= row[ids.data[begin + i + 1]] - log(sum);
                    tokens++;
                }
            }
            tp_ids_free(&ids);
        }
        tp_tape_free(tape);
        tp_corpus *corpus = tp_corpus_open(&file, 1);
        check_not_null(corpus);
        tp_text_score score;
        check_ok(tp_score_corpus(lm, corpus, contexts[c], TP_MATH_F32, NULL, &score));
        tp_corpus_close(corpus);
        assert_int_equal(score.documents, N_DOCUMENTS);
        assert_int_equal(score.tokens, tokens);
        assert_int_equal(score.bytes, bytes);
        assert_true(fabs(score.nats / nats - 1) < 1e-5);
        assert_true(fabs(score.perplexity / exp(nats / (double)tokens) - 1) < 1e-4);
        assert_true(fabs(score.bits_per_byte / (nats / log(2) / (double)bytes) - 1) < 1e-5);
    }
    tp_lm_free(lm);
}

/* ---- what is refused ---- */

static void what_makes_no_sense_is_refused(void **state) {
    (void)state;
    tp_pretrain_result result;
    tp_pretrain_options o = options_of("x");
    o.context = 0;
    check_error(pretrain(o, 0, &result), "at least 1");
    o = options_of("x");
    o.batch_tokens = 0;
    check_error(pretrain(o, 0, &result), "at least 1");
    o = options_of("x");
    o.steps = 0;
    o.epochs = 0;
    check_error(pretrain(o, 0, &result), "nothing to do");
    o = options_of("x");
    o.tokenizer = in_dir("receiver/tokenizer.json"); /* a file: nothing could be copied beside the model */
    check_error(pretrain(o, 0, &result), "is not a folder");
    o = options_of("x");
    o.held_out = 1.1;
    check_error(pretrain(o, 0, &result), "no document to learn from");
    o = options_of("x");
    tp_lm_config config = shape;
    config.vocab_size = 300;
    o.config = &config;
    check_error(pretrain(o, 0, &result), "vocab_size is 300");
    o = options_of("x");
    o.out = "/proc/nowhere";
    check_error(pretrain(o, 0, &result), "/proc/nowhere");

    tp_lm *mute = tp_lm_load(in_dir("receiver"), false);
    check_not_null(mute);
    const char *file = in_dir("text.jsonl");
    tp_corpus *corpus = tp_corpus_open(&file, 1);
    tp_text_score score;
    check_error(tp_score_corpus(mute, corpus, 64, TP_MATH_F32, NULL, &score), "without its tokenizer");
    tp_lm *lm = tiny_pair_load(dir, "receiver");
    check_error(tp_score_corpus(lm, corpus, 0, TP_MATH_F32, NULL, &score), "at least 1");
    tp_corpus_close(corpus);
    tp_lm_free(lm);
    tp_lm_free(mute);
}

static void sequences_are_no_longer_than_the_model_reads(void **state) {
    (void)state;
    tp_pretrain_result result;
    tp_pretrain_options o = options_of("asked");
    o.context = 5000;
    check_ok(pretrain(o, 0, &result));
    check_ok(pretrain(options_of("meant"), 0, &result));
    assert_true(tiny_same_folders(in_dir("asked"), in_dir("meant")));
}

static void epochs_decide_how_many_steps(void **state) {
    (void)state;
    tp_pretrain_result result;
    tp_pretrain_options o = options_of("epochs");
    o.steps = 0;
    o.epochs = 0.5;
    check_ok(pretrain(o, 0, &result));
    assert_int_equal(result.steps, (int64_t)ceil(0.5 * (double)result.train_tokens / 256));
    assert_true(result.tokens_seen <= result.steps * 256);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_repetitive_text_is_learned),
        cmocka_unit_test(stopping_anywhere_changes_no_byte),
        cmocka_unit_test(a_full_disk_loses_nothing),
        cmocka_unit_test(a_state_of_another_run_is_refused_by_name),
        cmocka_unit_test(a_finished_run_is_not_shortened_but_may_go_on),
        cmocka_unit_test(documents_are_held_out_by_content),
        cmocka_unit_test(a_score_is_that_of_plain_forward_passes),
        cmocka_unit_test(what_makes_no_sense_is_refused),
        cmocka_unit_test(sequences_are_no_longer_than_the_model_reads),
        cmocka_unit_test(epochs_decide_how_many_steps),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
