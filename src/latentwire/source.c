/* States, embeddings or bytes of texts. See source.h. */
#include "latentwire/source.h"

#include "base/mem.h"
#include "latentwire/bytes.h"

#include <string.h>

struct tp_latentwire_source {
    const tp_latentwire_group *group;
    const tp_example *examples; /* [n] */
    size_t n;
    tp_state_cache *states; /* where the encoder taps the sender */
    float *embeddings;      /* [n, d] where it reads those */
};

static tp_status embed(tp_latentwire_source *s, tp_progress *progress) {
    const tp_embedder *e = s->group->models->embedder;
    s->embeddings = tp_try_alloc(s->n * (size_t)e->d_model, sizeof *s->embeddings);
    if (s->embeddings == NULL) return tp_last_status();
    const char **texts = tp_alloc((s->n + 1) * sizeof *texts);
    for (size_t i = 0; i < s->n; i++) texts[i] = s->examples[i].text;
    tp_status status =
        s->n > 0 ? tp_embedder_texts(e, texts, s->n, s->group->recipe->math, progress, s->embeddings) : TP_OK;
    tp_free(texts);
    return status;
}

tp_latentwire_source *tp_latentwire_source_new(const tp_latentwire_group *group, const tp_example *examples, size_t n,
                                               tp_cache_kind kind, int64_t max_bytes, const char *path,
                                               tp_progress *progress) {
    tp_latentwire_source *s = tp_alloc(sizeof *s);
    *s = (tp_latentwire_source){.group = group, .examples = examples, .n = n};
    tp_status status = TP_OK;
    if (group->models->sender) {
        s->states = tp_state_cache_new(&group->tap, examples, n, kind, max_bytes, path);
        if (s->states == NULL) status = tp_last_status();
    } else if (group->models->embedder) {
        status = embed(s, progress);
    }
    if (status == TP_OK) return s;
    tp_latentwire_source_free(s);
    return NULL;
}

void tp_latentwire_source_free(tp_latentwire_source *s) {
    if (s == NULL) return;
    tp_state_cache_free(s->states);
    tp_free(s->embeddings);
    tp_free(s);
}

static void fetch_embeddings(const tp_latentwire_source *s, tp_tape *tape, const int64_t *indices, int64_t n,
                             tp_latentwire_input *input) {
    int64_t d = s->group->models->embedder->d_model, *offsets = tp_arena_alloc(tape->arena, (size_t)(n + 1) * 8);
    input->rows = tp_var_new(tape, n, d);
    for (int64_t i = 0; i < n; i++)
        memcpy(input->rows->data + i * d, s->embeddings + indices[i] * d, (size_t)d * sizeof(float));
    for (int64_t i = 0; i <= n; i++) offsets[i] = i;
    input->offsets = offsets;
}

static void fetch_bytes(const tp_latentwire_source *s, tp_tape *tape, const int64_t *indices, int64_t n,
                        tp_latentwire_input *input) {
    int most = s->group->recipe->latentwire->max_bytes;
    int64_t *offsets = tp_arena_alloc(tape->arena, (size_t)(n + 1) * sizeof *offsets), total = 0;
    for (int64_t i = 0; i < n; i++) {
        size_t len = s->examples[indices[i]].len;
        total += (int64_t)(len < (size_t)most ? len : (size_t)most) + 2;
    }
    int32_t *ids = tp_arena_alloc(tape->arena, (size_t)total * sizeof *ids);
    offsets[0] = 0;
    for (int64_t i = 0; i < n; i++) {
        const tp_example *e = &s->examples[indices[i]];
        int64_t own;
        tp_latentwire_byte_ids(e->text, e->len, most, ids + offsets[i], &own);
        offsets[i + 1] = offsets[i] + own;
    }
    input->ids = ids;
    input->offsets = offsets;
}

tp_latentwire_input tp_latentwire_source_fetch(tp_latentwire_source *s, tp_tape *tape, const int64_t *indices,
                                               int64_t n) {
    tp_latentwire_input input = {.n = n};
    if (s->states)
        input.rows = tp_state_cache_fetch(s->states, tape, indices, n, &input.offsets);
    else if (s->embeddings)
        fetch_embeddings(s, tape, indices, n, &input);
    else
        fetch_bytes(s, tape, indices, n, &input);
    return input;
}

int64_t tp_latentwire_source_truncated(const tp_latentwire_source *s) {
    if (s->states) return tp_state_cache_describe(s->states).n_truncated;
    int64_t cut = 0;
    for (size_t i = 0; s->embeddings == NULL && i < s->n; i++)
        cut += s->examples[i].len > (size_t)s->group->recipe->latentwire->max_bytes;
    return cut;
}

int64_t tp_latentwire_source_bytes(const tp_latentwire_source *s) {
    return s->states ? tp_state_cache_describe(s->states).most_bytes : 0;
}
