/* Writing a model as a Hugging Face folder. See hf_export.h. */
#include "lm/hf_export.h"

#include "base/file.h"
#include "base/mem.h"
#include "lm/model.h"

#include <string.h>

static tp_dtype type_of(const char *name, const tp_lm *lm) {
    if (strcmp(name, "keep") != 0) return tp_dtype_from_name(name);
    /* what most weights are; the embedding may be another */
    tp_dtype now = lm->config.n_layers > 0 ? lm->layers[0].down.dtype : lm->embed.dtype;
    return tp_dtype_is_block(now) ? TP_F16 : now;
}

/* The tokenizer of a folder, file by file. */
static tp_status copy_tokenizer(const char *from, const char *to) {
    static const char *const names[] = {"tokenizer.json", "tokenizer_config.json", "tokenizer.model",
                                        "special_tokens_map.json", "chat_template.jinja"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char *source = tp_path_join(from, names[i]), *target = tp_path_join(to, names[i]), *bytes = NULL;
        size_t n = 0;
        tp_status status = TP_OK;
        if (tp_path_exists(source)) {
            status = tp_read_file(source, 0, &bytes, &n);
            if (status == TP_OK) status = tp_write_file(target, bytes, n);
        }
        tp_free(bytes);
        tp_free(source);
        tp_free(target);
        TP_TRY(status);
    }
    return TP_OK;
}

tp_status tp_hf_export(const char *model, const char *type, const char *folder) {
    tp_lm *lm = tp_lm_load(model, false);
    if (lm == NULL) return tp_last_status();
    tp_status status = tp_lm_save(lm, folder, type_of(type, lm));
    const tp_gguf *g = tp_checkpoint_gguf(lm->checkpoint);
    if (status == TP_OK && g == NULL) status = copy_tokenizer(lm->path, folder);
    if (status == TP_OK && g && tp_gguf_find(g, "tokenizer.ggml.tokens")) status = tp_hf_write_tokenizer(g, folder);
    tp_lm_free(lm);
    return status;
}
