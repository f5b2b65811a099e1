/* bridge/layout and bridge/prompt: templates, answers tokenised behind their primer, batches, texts cut to fit. */
#include "check.h"

#include "base/file.h"
#include "base/mem.h"
#include "bridge/layout.h"
#include "bridge/prompt.h"
#include "lm/decoder.h"
#include "text/train_bpe.h"

#include <math.h>

static const char *const labels[] = {"human", "location", "sci/tech", "card arrival", "card"};
enum { N_LABELS = 5 };

/* One tokenizer of each kind, trained here on a few lines. */
static tp_tokenizer *tokenizers[2];

static bool next_line(void *context, const char **text, size_t *n) {
    static const char *const lines[] = {
        "Question: who wrote the book about the card?\nQuestion type: human",
        "Question: where is the human location?\nQuestion type: location",
        "Topic: sci/tech and the location of a card arrival. Type:  human",
        "the card arrival was late; the human was not. Sentiment: good",
    };
    int *at = context;
    if (*at == 40) return false;
    *text = lines[(*at)++ % 4];
    *n = strlen(*text);
    return true;
}

static int make_tokenizers(void **state) {
    (void)state;
    for (int kind = 0; kind < 2; kind++) {
        char *dir = check_temp_dir();
        int at = 0;
        check_ok(tp_bpe_train(kind ? TP_BPE_SENTENCEPIECE : TP_BPE_BYTE_LEVEL, kind ? 340 : 330, next_line, &at, dir));
        tokenizers[kind] = tp_tokenizer_load(dir, NULL);
        check_not_null(tokenizers[kind]);
        check_remove_dir(dir);
    }
    return 0;
}

static int free_tokenizers(void **state) {
    (void)state;
    for (int kind = 0; kind < 2; kind++) tp_tokenizer_free(tokenizers[kind]);
    return 0;
}

static tp_layout *layout_of(const tp_tokenizer *t, const char *pattern, const char *primer) {
    tp_layout *l = tp_layout_new(&(tp_layout_options){
        .pattern = pattern, .primer = primer, .tokenizer = t, .eos = -1, .labels = labels, .n_labels = N_LABELS});
    check_not_null(l);
    return l;
}

/* What the receiver reads in sequence s: ids, and -1 - j for soft token j of the batch. */
static tp_ids sequence(const tp_layout_batch *b, int64_t s) {
    tp_ids out = {0};
    for (int64_t i = b->offsets[s]; i < b->offsets[s + 1]; i++)
        tp_ids_append(&out, b->rows[i].source ? (int32_t)(-1 - b->rows[i].row) : b->ids[b->rows[i].row]);
    return out;
}

static void same_ids(const int32_t *found, size_t n_found, const tp_ids *expected) {
    assert_int_equal(n_found, expected->len);
    if (n_found) assert_memory_equal(found, expected->data, n_found * sizeof *found);
}

static void encode(const tp_tokenizer *t, const char *text, tp_ids *out) {
    check_ok(tp_tokenizer_encode(t, text, strlen(text), TP_TOKENS_PLAIN, out));
}

/* Whatever the primer: what is read, and the answer's ids behind it, are the whole text's own ids, then EOS. */
static void answers_are_the_ids_of_the_whole_text(void **state) {
    (void)state;
    const char *primers[] = {"Question type:", "Type: ", "Sentiment", "type:\n", "Type:  "};
    for (int kind = 0; kind < 2; kind++)
        for (size_t p = 0; p < sizeof primers / sizeof primers[0]; p++) {
            tp_layout *l = layout_of(tokenizers[kind], "{bos}{soft}{primer}", primers[p]);
            tp_arena *arena = tp_arena_new();
            for (int i = 0; i < N_LABELS; i++) {
                const tp_ids *answer = tp_layout_label(l, i);
                tp_layout_batch b;
                check_ok(tp_layout_build(l, arena, &(tp_layout_item){0}, 1, 2, &b));
                tp_ids read = sequence(&b, 0), whole = {0};
                assert_int_equal(read.data[0], tp_tokenizer_bos(tokenizers[kind]));
                assert_int_equal(read.data[1], -1);
                assert_int_equal(read.data[2], -2);
                for (size_t j = 0; j < answer->len; j++) tp_ids_append(&read, answer->data[j]);
                char text[128];
                bool open = strchr(" \n", primers[p][strlen(primers[p]) - 1]) == NULL;
                snprintf(text, sizeof text, "%s%s%s", primers[p], open ? " " : "", labels[i]);
                encode(tokenizers[kind], text, &whole);
                tp_ids_append(&whole, tp_tokenizer_eos(tokenizers[kind]));
                same_ids(read.data + 3, read.len - 3, &whole);
                tp_ids_free(&read);
                tp_ids_free(&whole);
            }
            tp_arena_free(arena);
            tp_layout_free(l);
        }
}

static void answers_behind_soft_tokens_are_those_behind_a_colon(void **state) {
    (void)state;
    for (int kind = 0; kind < 2; kind++) {
        tp_layout *soft = layout_of(tokenizers[kind], "{bos}{primer}{soft}", "Question type:");
        tp_layout *primer = layout_of(tokenizers[kind], "{bos}{soft}{primer}", "Question type:");
        for (int i = 0; i < N_LABELS; i++)
            same_ids(tp_layout_label(soft, i)->data, tp_layout_label(soft, i)->len, tp_layout_label(primer, i));
        tp_ids free_form = {0};
        check_ok(tp_layout_encode_answer(soft, "a location", 10, &free_form));
        size_t n;
        char *text = tp_tokenizer_decode(tokenizers[kind], free_form.data, free_form.len - 1, TP_TOKENS_NO_PREFIX, &n);
        assert_non_null(strstr(text, "a location"));
        assert_int_equal(free_form.data[free_form.len - 1], tp_layout_eos(soft));
        tp_free(text);
        tp_ids_free(&free_form);
        tp_layout_free(soft);
        tp_layout_free(primer);
    }
}

static void the_same_holds_for_real_vocabularies(void **state) {
    (void)state;
    check_needs_shared("tokenizers/llama2/tokenizer.model");
    const struct {
        const char *path, *pattern;
    } real[] = {{"tokenizers/llama2/tokenizer.model", NULL}, {"tokenizers/llama3/tokenizer.model", "llama3"}};
    for (int k = 0; k < 2; k++) {
        tp_tokenizer *t = tp_tokenizer_load(check_shared(real[k].path), real[k].pattern);
        check_not_null(t);
        const char *endings[] = {"{bos}{soft}{primer}", "{bos}{primer}{soft}"};
        for (int e = 0; e < 2; e++) {
            tp_layout *l = layout_of(t, endings[e], "Question type:");
            for (int i = 0; i < N_LABELS; i++) {
                tp_ids all = {0}, whole = {0};
                encode(t, "Question type:", &all);
                for (size_t j = 0; j + 1 < tp_layout_label(l, i)->len; j++)
                    tp_ids_append(&all, tp_layout_label(l, i)->data[j]);
                char text[128];
                snprintf(text, sizeof text, "Question type: %s", labels[i]);
                encode(t, text, &whole);
                same_ids(all.data, all.len, &whole);
                tp_ids_free(&all);
                tp_ids_free(&whole);
            }
            tp_layout_free(l);
        }
        tp_tokenizer_free(t);
    }
}

static void batches_hold_rows_targets_and_weights(void **state) {
    (void)state;
    const tp_tokenizer *t = tokenizers[0];
    tp_layout *l = layout_of(t, "{bos}{primer}{soft} now:", "Topic:");
    tp_layout_item items[3] = {{0}};
    for (int s = 0; s < 2; s++) {
        items[s].answer = tp_layout_label(l, 2 + s)->data;
        items[s].n_answer = tp_layout_label(l, 2 + s)->len;
    }
    tp_arena *arena = tp_arena_new();
    tp_layout_batch b;
    check_ok(tp_layout_build(l, arena, items, 3, 4, &b));
    assert_int_equal(b.n_sequences, 3);
    assert_int_equal(b.offsets[3], b.n_rows);
    assert_int_equal(b.target_offsets[3], b.n_targets);
    for (int64_t s = 0; s < 3; s++) {
        tp_ids expected = {0};
        tp_ids_append(&expected, tp_tokenizer_bos(t));
        encode(t, "Topic:", &expected);
        for (int j = 0; j < 4; j++) tp_ids_append(&expected, (int32_t)(-1 - (s * 4 + j)));
        encode(t, " now:", &expected);
        int64_t prompt = (int64_t)expected.len, n_answer = (int64_t)items[s].n_answer;
        for (int64_t j = 0; j + 1 < n_answer; j++)
            tp_ids_append(&expected, items[s].answer[j]); /* all but EOS is read */
        tp_ids found = sequence(&b, s);
        same_ids(found.data, found.len, &expected);
        tp_ids_free(&found);
        tp_ids_free(&expected);
        int64_t first = b.target_offsets[s];
        assert_int_equal(b.target_offsets[s + 1] - first, n_answer);
        for (int64_t j = 0; j < n_answer; j++) {
            assert_int_equal(b.targets[first + j], items[s].answer[j]);
            assert_int_equal(b.offsets[s + 1] - n_answer + j,
                             b.offsets[s] + prompt - 1 + j); /* the row before predicts */
            assert_true(b.lm_weights[first + j] == 1 && b.first_weights[first + j] == (j == 0));
        }
        if (n_answer) assert_int_equal(b.targets[first + n_answer - 1], tp_tokenizer_eos(t));
    }
    tp_arena_free(arena);
    tp_layout_free(l);
}

static void texts_are_cut_on_their_side_and_counted(void **state) {
    (void)state;
    const char *text = "the h\xC3\xA9ro who wrote the book about the card arrival was not late";
    for (int kind = 0; kind < 2; kind++)
        for (int side = 0; side < 2; side++) {
            tp_ids full = {0};
            bool truncated;
            const char *prompt = "Question: {text}\nQuestion type:";
            check_ok(
                tp_prompt_encode(tokenizers[kind], prompt, text, strlen(text), 0, (tp_side)side, 0, &full, &truncated));
            assert_false(truncated);
            for (int64_t most = (int64_t)full.len; most > 0; most--) {
                tp_ids ids = {0};
                tp_status status = tp_prompt_encode(tokenizers[kind], prompt, text, strlen(text), most, (tp_side)side,
                                                    0, &ids, &truncated);
                if (status != TP_OK) { /* not even the words around the text fit */
                    assert_non_null(strstr(tp_last_error(), "without any text"));
                    assert_int_equal(ids.len, 0);
                    assert_true(most < (int64_t)full.len / 2);
                    tp_ids_free(&ids);
                    break;
                }
                assert_int_equal(truncated, most < (int64_t)full.len);
                assert_true((int64_t)ids.len <= most);
                char *back = tp_tokenizer_decode(tokenizers[kind], ids.data, ids.len, 0, NULL);
                char *begin = strstr(back, "Question: "), *end = strstr(back, "\nQuestion type:");
                assert_non_null(begin);
                assert_non_null(end);
                *end = 0;
                begin += strlen("Question: ");
                size_t kept = strlen(begin);
                assert_memory_equal(begin, side == TP_SIDE_RIGHT ? text : text + strlen(text) - kept, kept);
                if (kept) assert_int_not_equal((unsigned char)begin[0], 0xA9); /* no half character at either end */
                if (kept) assert_int_not_equal((unsigned char)begin[kept - 1], 0xC3);
                tp_free(back);
                tp_ids_free(&ids);
            }
            tp_ids_free(&full);
        }
    tp_layout *l = tp_layout_new(&(tp_layout_options){.pattern = "{bos}Text: {text}\n{primer}",
                                                      .primer = "Type:",
                                                      .tokenizer = tokenizers[0],
                                                      .eos = 7,
                                                      .max_text_tokens = 20,
                                                      .truncate = TP_SIDE_LEFT});
    check_not_null(l);
    assert_true(tp_layout_has_text(l));
    assert_false(tp_layout_has_soft(l));
    assert_int_equal(tp_layout_eos(l), 7);
    const tp_layout_item items[] = {{.text = text, .len = strlen(text)}, {.text = "card", .len = 4}};
    tp_arena *arena = tp_arena_new();
    tp_layout_batch b;
    check_ok(tp_layout_build(l, arena, items, 2, 0, &b));
    assert_int_equal(b.n_truncated, 1);
    for (int64_t s = 0; s < 2; s++) {
        tp_ids ids = sequence(&b, s);
        assert_true(ids.len <= 21);
        char *back = tp_tokenizer_decode(tokenizers[0], ids.data + 1, ids.len - 1, 0, NULL);
        assert_true(strncmp(back, "Text: ", 6) == 0);
        assert_non_null(strstr(back, s ? "card\nType:" : "late\nType:"));
        tp_free(back);
        tp_ids_free(&ids);
    }
    tp_arena_free(arena);
    tp_layout_free(l);
}

/* Soft tokens that are a text's own embedding rows: the loss is that of the text's ids, and a gradient reaches them. */
static void a_layout_of_embedding_rows_scores_as_the_ids_do(void **state) {
    (void)state;
    const tp_tokenizer *t = tokenizers[1];
    tp_lm_config config = {.family = TP_LM_LLAMA,
                           .vocab_size = tp_tokenizer_size(t),
                           .d_model = 16,
                           .n_layers = 2,
                           .n_heads = 2,
                           .n_kv_heads = 1,
                           .head_dim = 8,
                           .d_ff = 32,
                           .norm_eps = 1e-5,
                           .rope_theta = 10000,
                           .max_position_embeddings = 64,
                           .tie_word_embeddings = true,
                           .bos_id = 1,
                           .dtype = TP_F32};
    tp_lm *lm = tp_lm_new_frozen(&config, 5, TP_F32);
    check_not_null(lm);
    tp_layout *l = layout_of(t, "{bos}{soft}{primer}", "Type:");
    const tp_ids *answer = tp_layout_label(l, 3);
    tp_tape *tape = tp_tape_new(TP_MATH_F32);
    tp_layout_batch b;
    const tp_layout_item item = {.answer = answer->data, .n_answer = answer->len};
    check_ok(tp_layout_build(l, tape->arena, &item, 1, 3, &b));
    const int32_t spoken[] = {40, 41, 42};
    tp_var *rows = tp_lm_embed(tape, lm, spoken, 3);
    tp_var *soft = tp_var_leaf(tape, rows->data, 3, 16);
    tp_var *x = tp_layout_input(tape, lm, &b, soft);
    tp_batch batch = {.n_sequences = 1, .offsets = b.offsets, .wanted = b.target_offsets};
    tp_var *logits = tp_lm_logits(tape, lm, tp_lm_blocks(tape, lm, x, &batch, 0, 2));
    tp_var *loss = tp_cross_entropy(tape, logits, b.targets, b.lm_weights, NULL);
    tp_backward(tape, loss, 1);
    assert_non_null(soft->grad);
    double norm = 0;
    for (int i = 0; i < 48; i++) norm += (double)soft->grad[i] * soft->grad[i];
    assert_true(norm > 1e-12);

    tp_ids whole = {0};
    tp_ids_append(&whole, tp_tokenizer_bos(t));
    for (int i = 0; i < 3; i++) tp_ids_append(&whole, spoken[i]);
    encode(t, "Type:", &whole);
    int64_t prompt = (int64_t)whole.len;
    for (size_t i = 0; i < answer->len; i++) tp_ids_append(&whole, answer->data[i]);
    int64_t offsets[] = {0, (int64_t)whole.len};
    tp_var *all = tp_lm_blocks(tape, lm, tp_lm_embed(tape, lm, whole.data, offsets[1]),
                               &(tp_batch){.n_sequences = 1, .offsets = offsets}, 0, 2);
    tp_var *all_logits = tp_lm_logits(tape, lm, all);
    double expected = 0;
    for (int64_t i = prompt - 1; i + 1 < offsets[1]; i++) {
        const float *row = all_logits->data + i * config.vocab_size;
        double sum = 0;
        for (int v = 0; v < config.vocab_size; v++) sum += exp(row[v]);
        expected += log(sum) - row[whole.data[i + 1]];
    }
    assert_true(fabs(loss->data[0] - expected / (double)answer->len) < 1e-4);
    tp_ids_free(&whole);
    tp_tape_free(tape);
    tp_layout_free(l);
    tp_lm_free(lm);
}

static void wrong_layouts_are_refused(void **state) {
    (void)state;
    const struct {
        const char *pattern, *named;
    } cases[] = {
        {"{bos}{sfot}", "{sfot} is no place"},
        {"{bos}{soft}{soft}", "{soft} stands in it twice"},
        {"{text}{text}", "{text} stands in it twice"},
        {"{bos", "{bos is no place"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        tp_layout_options options = {.pattern = cases[i].pattern, .tokenizer = tokenizers[0], .eos = -1};
        assert_null(tp_layout_new(&options));
        if (strstr(tp_last_error(), cases[i].named) == NULL) fail_msg("%s: %s", cases[i].pattern, tp_last_error());
    }
    const char *const none[] = {"a", ""};
    tp_layout_options options = {
        .pattern = "{bos}{soft}", .tokenizer = tokenizers[0], .eos = -1, .labels = none, .n_labels = 2};
    assert_null(tp_layout_new(&options));
    assert_non_null(strstr(tp_last_error(), "label 1"));
    options.pattern = "{text}";
    options.n_labels = 0;
    tp_layout *l = tp_layout_new(&options);
    check_not_null(l);
    tp_arena *arena = tp_arena_new();
    tp_layout_batch b;
    assert_int_equal(tp_layout_build(l, arena, &(tp_layout_item){.text = ""}, 1, 0, &b), TP_ERR_ARGUMENT);
    assert_non_null(strstr(tp_last_error(), "nothing to read"));
    tp_arena_free(arena);
    tp_layout_free(l);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_are_the_ids_of_the_whole_text),
        cmocka_unit_test(answers_behind_soft_tokens_are_those_behind_a_colon),
        cmocka_unit_test(the_same_holds_for_real_vocabularies),
        cmocka_unit_test(batches_hold_rows_targets_and_weights),
        cmocka_unit_test(texts_are_cut_on_their_side_and_counted),
        cmocka_unit_test(a_layout_of_embedding_rows_scores_as_the_ids_do),
        cmocka_unit_test(wrong_layouts_are_refused),
    };
    return cmocka_run_group_tests(tests, make_tokenizers, free_tokenizers);
}
