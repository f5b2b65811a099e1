/* The encoder that reads bytes: no tokenizer, no model, no alphabet. A small transformer (pre-norm, learned positions,
 * attention both ways) runs over a text's bytes, and learned queries read what it makes of them:
 * Z = LN(CrossAttention(Q, B)). */
#include "latentwire/bytes.h"
#include "latentwire/latentwire.h"

#include "base/mem.h"
#include "nn/layers.h"

#include <assert.h>
#include <stdio.h>

typedef struct {
    tp_weight bytes;     /* [TP_LATENTWIRE_BYTE_IDS, d_b] */
    tp_weight positions; /* [max_bytes + 2, d_b] */
    tp_nn_block *blocks; /* [depth] */
    tp_nn_norm final_norm;
    tp_nn_linear proj;    /* [d_z, d_b]: from the transformer's width to that of Z */
    tp_weight queries;    /* [rows, d_z] */
    tp_nn_attention read; /* d_z wide */
    tp_nn_norm norm;      /* [d_z] */
} layers;

static const char *block_name(char name[64], int i, const char *part) {
    snprintf(name, 64, "encoder.blocks.%d.%s", i, part);
    return name;
}

static void *build(tp_latentwire *wire, const tp_latentwire_shape *shape, uint64_t seed) {
    (void)shape;
    const tp_bridge_recipe *r = &wire->bridge;
    int64_t d_b = r->width, d = wire->recipe.width;
    tp_params *params = &wire->params;
    char name[64];
    if (d % r->heads != 0 || d_b % r->heads != 0)
        return tp_fail_null(TP_ERR_ARGUMENT,
                            "recipe: `latentwire.width` is %lld and `bridge.width` %lld, multiples of `bridge.heads` "
                            "(%d) were expected",
                            (long long)d, (long long)d_b, r->heads);
    layers *l = tp_alloc(sizeof *l);
    l->blocks = tp_alloc((size_t)r->depth * sizeof *l->blocks);
    tp_params_attach(params, &l->bytes, "encoder.bytes", TP_LATENTWIRE_BYTE_IDS, d_b);
    tp_weight_init_normal(&l->bytes, seed, 0.5);
    tp_params_attach(params, &l->positions, "encoder.positions", wire->recipe.max_bytes + 2, d_b);
    tp_weight_init_normal(&l->positions, seed, 0.5);
    for (int i = 0; i < r->depth; i++) {
        tp_nn_block *b = &l->blocks[i];
        tp_nn_norm_attach(params, &b->norm, block_name(name, i, "norm"), d_b);
        tp_nn_attention_attach(params, &b->attention, block_name(name, i, "attention"), d_b, r->heads, seed);
        tp_nn_norm_attach(params, &b->ffn_norm, block_name(name, i, "ffn.norm"), d_b);
        tp_nn_ffn_attach(params, &b->ffn, block_name(name, i, "ffn"), d_b, d_b * r->ffn_multiple, seed);
    }
    tp_nn_norm_attach(params, &l->final_norm, "encoder.final_norm", d_b);
    tp_nn_linear_attach(params, &l->proj, "encoder.proj", d, d_b, true, seed);
    tp_params_attach(params, &l->queries, "encoder.queries", wire->rows, d);
    tp_weight_init_normal(&l->queries, seed, 1);
    tp_nn_attention_attach(params, &l->read, "encoder.read", d, r->heads, seed);
    tp_nn_norm_attach(params, &l->norm, "encoder.norm", d);
    return l;
}

static void free_layers(void *l) {
    tp_free(((layers *)l)->blocks);
    tp_free(l);
}

static tp_var *encode(tp_tape *tape, const tp_latentwire *wire, const tp_latentwire_input *input) {
    const layers *l = wire->layers;
    float dropout = (float)wire->bridge.dropout;
    int64_t n = input->n, total = input->offsets[n];
    int32_t *places = tp_arena_alloc(tape->arena, (size_t)total * sizeof *places);
    int64_t *own = tp_arena_alloc(tape->arena, (size_t)(n + 1) * sizeof *own); /* offsets of the queries */
    for (int64_t s = 0; s < n; s++) {
        assert(input->offsets[s + 1] - input->offsets[s] <= l->positions.rows);
        for (int64_t i = input->offsets[s]; i < input->offsets[s + 1]; i++)
            places[i] = (int32_t)(i - input->offsets[s]);
    }
    for (int64_t s = 0; s <= n; s++) own[s] = s * wire->rows;

    tp_var *x = tp_embedding(tape, &l->bytes, input->ids, total); /* [total, d_b] */
    x = tp_add(tape, x, tp_embedding(tape, &l->positions, places, total));
    for (int i = 0; i < wire->bridge.depth; i++)
        x = tp_nn_block_apply(tape, &l->blocks[i], x, input->offsets, n, dropout);
    tp_var *context = tp_nn_linear_apply(tape, &l->proj, tp_nn_norm_apply(tape, &l->final_norm, x)); /* [total, d_z] */
    tp_row_ref *which = tp_arena_alloc(tape->arena, (size_t)own[n] * sizeof *which);
    for (int64_t i = 0; i < own[n]; i++) which[i] = (tp_row_ref){0, i % wire->rows};
    tp_var *queries = tp_parameter(tape, &l->queries);
    queries = tp_gather(tape, &queries, 1, which, own[n]); /* [n * rows, d_z] */
    tp_var *z = tp_nn_attention_apply(tape, &l->read, queries, context, own, input->offsets, n);
    return tp_nn_norm_apply(tape, &l->norm, z);
}

const tp_latentwire_encoder_kind tp_latentwire_bytes = {.build = build, .encode = encode, .free = free_layers};

void tp_latentwire_byte_ids(const char *text, size_t n, int max_bytes, int32_t *ids, int64_t *n_ids) {
    size_t kept = n < (size_t)max_bytes ? n : (size_t)max_bytes;
    int64_t at = 0;
    ids[at++] = TP_LATENTWIRE_BYTE_BEGIN;
    for (size_t i = 0; i < kept; i++) ids[at++] = (unsigned char)text[i];
    ids[at++] = TP_LATENTWIRE_BYTE_END;
    *n_ids = at;
}
