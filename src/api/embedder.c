/* Public interface: vectors of texts. */
#include "api/engine.h"
#include "lm/embed.h"

int32_t tp_embedder_width(const tp_embedder *embedder) {
    if (embedder) return embedder->d_model;
    tp_missing(__func__, "embedder");
    return -1;
}

tp_status tp_embedder_embed(const tp_embedder *embedder, const char *const *texts, int64_t n_texts, float *out) {
    TP_NEEDS(embedder);
    TP_NEEDS(texts);
    TP_NEEDS(out);
    if (n_texts < 0) return tp_fail(TP_ERR_ARGUMENT, "the number of texts is %lld", (long long)n_texts);
    for (int64_t i = 0; i < n_texts; i++)
        if (texts[i] == NULL) return tp_fail(TP_ERR_ARGUMENT, "text %lld is NULL", (long long)i);
    return tp_embedder_texts(embedder, texts, (size_t)n_texts, TP_MATH_F32, NULL, out);
}
