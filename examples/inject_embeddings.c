/* inject_embeddings MODEL BEFORE WORDS AFTER: puts one row of numbers where tokens would stand. The row is the mean of
 * the embeddings of WORDS (say, " king queen"), something no text can say; before and after it stand the tokens of
 * BEFORE and AFTER. Prints the five most likely next tokens.
 *
 *     cc inject_embeddings.c -o inject_embeddings $(pkg-config --cflags --libs telepathy) */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <telepathy.h>

static tp_input tokens(const tp_engine *engine, const char *text, unsigned flags) {
    tp_input input = {0};
    input.ids = tp_engine_tokenize(engine, text, strlen(text), flags, &input.n);
    return input;
}

/* The mean embedding of the words, [d]; NULL on error. Hidden state 0 is the embeddings. */
static float *mean_embedding(const tp_engine *engine, const tp_input *words, int32_t d) {
    float *rows = calloc((size_t)((words->n + 1) * d), sizeof *rows), *mean = rows + words->n * d;
    if (tp_engine_states(engine, words, 1, (const int32_t[]){0}, 1, rows) != TP_OK) return free(rows), NULL;
    for (int64_t i = 0; i < words->n * d; i++) mean[i % d] += rows[i] / (float)words->n;
    memmove(rows, mean, (size_t)d * sizeof *rows);
    return rows;
}

static void print_best(const tp_engine *engine, float *logits, int32_t vocab_size) {
    for (int rank = 1; rank <= 5; rank++) {
        int32_t best = 0;
        for (int32_t i = 1; i < vocab_size; i++)
            if (logits[i] > logits[best]) best = i;
        size_t n;
        const char *piece = tp_engine_piece(engine, best, &n);
        printf("%d. \"%.*s\" (logit %.3f)\n", rank, (int)n, piece ? piece : "", logits[best]);
        logits[best] = -1e30f;
    }
}

static tp_status run(const tp_engine *engine, char **texts) {
    const tp_engine_facts *facts = tp_engine_get_facts(engine);
    tp_input words = tokens(engine, texts[1], TP_TOKENS_NO_PREFIX);
    tp_input inputs[3] = {
        tokens(engine, texts[0], TP_TOKENS_ADD_SPECIAL), {0}, tokens(engine, texts[2], TP_TOKENS_NO_PREFIX)};
    float *row = mean_embedding(engine, &words, facts->d_model);
    inputs[1] = (tp_input){.rows = row, .n = 1};
    tp_session *session = row ? tp_session_new(engine, inputs[0].n + 1 + inputs[2].n) : NULL;
    tp_status status = session ? tp_session_feed(session, inputs, 3) : tp_last_status();
    float *logits = calloc((size_t)facts->vocab_size, sizeof *logits);
    if (status == TP_OK) status = tp_session_logits(session, logits);
    if (status == TP_OK) print_best(engine, logits, facts->vocab_size);
    free(logits);
    free(row);
    tp_session_free(session);
    tp_free((void *)words.ids);
    for (int i = 0; i < 3; i += 2) tp_free((void *)inputs[i].ids);
    return status;
}

int main(int argc, char **argv) {
    if (argc != 5) {
        fprintf(stderr, "usage: inject_embeddings MODEL BEFORE WORDS AFTER\n");
        return 2;
    }
    tp_engine *engine = tp_engine_load(argv[1], 0);
    tp_status status = engine ? run(engine, argv + 2) : tp_last_status();
    if (status != TP_OK) fprintf(stderr, "inject_embeddings: %s\n", tp_last_error());
    tp_engine_free(engine);
    return status != TP_OK;
}
