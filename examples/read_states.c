/* read_states MODEL TEXT LAYER...: prints the hidden states of a text in the given layers (0: the embeddings), for each
 * token its RMS and its first numbers. Layers above the highest one given are not computed.
 *
 *     cc read_states.c -o read_states $(pkg-config --cflags --libs telepathy) -lm */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <telepathy.h>

static void print_row(const tp_engine *engine, int32_t layer, int32_t id, const float *row, int32_t d) {
    size_t n;
    const char *piece = tp_engine_piece(engine, id, &n);
    double sum = 0;
    for (int32_t i = 0; i < d; i++) sum += (double)row[i] * row[i];
    printf("layer %-3d %-16.*s rms %-8.4f", (int)layer, (int)n, piece ? piece : "", sqrt(sum / d));
    for (int32_t i = 0; i < 4 && i < d; i++) printf(" %8.4f", row[i]);
    printf(" ...\n");
}

static tp_status run(const tp_engine *engine, const char *text, const int32_t *layers, int n_layers) {
    int32_t d = tp_engine_get_facts(engine)->d_model;
    tp_input input = {0};
    int32_t *ids = tp_engine_tokenize(engine, text, strlen(text), TP_TOKENS_ADD_SPECIAL, &input.n);
    if (ids == NULL) return tp_last_status();
    input.ids = ids;
    float *states = calloc((size_t)(n_layers * input.n * d), sizeof *states); /* [n_layers, n, d] */
    tp_status status = tp_engine_states(engine, &input, 1, layers, n_layers, states);
    for (int64_t l = 0; status == TP_OK && l < n_layers; l++)
        for (int64_t i = 0; i < input.n; i++) print_row(engine, layers[l], ids[i], states + (l * input.n + i) * d, d);
    free(states);
    tp_free(ids);
    return status;
}

int main(int argc, char **argv) {
    if (argc < 4 || argc > 67) {
        fprintf(stderr, "usage: read_states MODEL TEXT LAYER...\n");
        return 2;
    }
    int32_t layers[64];
    for (int i = 3; i < argc; i++) layers[i - 3] = atoi(argv[i]);
    tp_engine *engine = tp_engine_load(argv[1], TP_ENGINE_F32);
    tp_status status = engine ? run(engine, argv[2], layers, argc - 3) : tp_last_status();
    if (status != TP_OK) fprintf(stderr, "read_states: %s\n", tp_last_error());
    tp_engine_free(engine);
    return status != TP_OK;
}
