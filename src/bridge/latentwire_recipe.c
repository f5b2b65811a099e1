/* The recipe's section `latentwire`. See latentwire_recipe.h. */
#include "bridge/latentwire_recipe.h"

#include "base/mem.h"

#include <string.h>

static const char *const encoders[] = {"simple", "bytes", "decoder", "pca", NULL};
static const char *const adapters[] = {"tanh", "mlp", NULL};

const char *tp_latentwire_encoder_name(tp_latentwire_encoder encoder) {
    return encoders[encoder];
}

bool tp_latentwire_taps(const tp_latentwire_recipe *recipe) {
    return recipe->encoder == TP_LATENTWIRE_DECODER || recipe->encoder == TP_LATENTWIRE_PCA;
}

static void drop_receivers(tp_latentwire_recipe *w) {
    for (int i = 0; i < w->n_receivers; i++) tp_free(w->receivers[i]);
    w->n_receivers = 0;
}

void tp_latentwire_recipe_free(tp_latentwire_recipe *w) {
    if (w == NULL) return;
    drop_receivers(w);
    tp_free(w);
}

static void read_receivers(tp_json_reader *r, tp_latentwire_recipe *w) {
    json_t *list = tp_json_array(r, "receivers"), *value;
    size_t i;
    if (list && json_array_size(list) == 0) tp_json_error(r, "receivers", "is empty, at least one was expected");
    if (json_array_size(list) > TP_LATENTWIRE_MOST_RECEIVERS) {
        tp_json_error(r, "receivers", "names %zu models, at most %d were expected", json_array_size(list),
                      TP_LATENTWIRE_MOST_RECEIVERS);
        return;
    }
    json_array_foreach(list, i, value) {
        if (!json_is_string(value)) {
            tp_json_error(r, "receivers", "holds something that is not a string at place %zu", i);
            return;
        }
        w->receivers[w->n_receivers++] = tp_strdup(json_string_value(value));
    }
}

tp_latentwire_recipe *tp_latentwire_recipe_read(tp_json_reader *top) {
    if (top->object == NULL || !tp_json_has(top, "latentwire")) return NULL;
    tp_latentwire_recipe *w = tp_alloc(sizeof *w);
    tp_json_reader r, recon;
    tp_json_object(top, "latentwire", &r);
    tp_json_require(&r, "encoder");
    w->encoder = (tp_latentwire_encoder)tp_json_choice(&r, "encoder", TP_LATENTWIRE_DECODER, encoders);
    read_receivers(&r, w);
    w->width = (int)tp_json_int(&r, "width", 256, 1, 65536);
    w->private_tokens = (int)tp_json_int(&r, "private", 0, 0, 1024);
    w->max_bytes = (int)tp_json_int(&r, "max_bytes", 512, 1, 1 << 20);
    w->adapter = (tp_latentwire_adapter)tp_json_choice(&r, "adapter", TP_LATENTWIRE_TANH, adapters);
    w->hidden = (int)tp_json_int(&r, "hidden", 2 * w->width, 1, 1 << 20);
    w->dropout = tp_json_real(&r, "dropout", 0, 0, 0.9);
    w->calibrate = tp_json_bool(&r, "calibrate", true);
    w->scale_reg = tp_json_real(&r, "scale_reg", 0.05, 0, 1e6);
    w->slot_dropout = tp_json_real(&r, "slot_dropout", 0, 0, 0.9);
    w->warmup = tp_json_int(&r, "warmup", 0, 0, INT64_MAX);
    w->align = tp_json_real(&r, "align", 0.5, 0, 1e6);
    w->align_tokens = (int)tp_json_int(&r, "align_tokens", 4, 1, 4096);
    tp_json_object(&r, "recon", &recon);
    w->recon_cosine = tp_json_real(&recon, "cosine", 0, 0, 1e6);
    w->recon_mse = tp_json_real(&recon, "mse", 0, 0, 1e6);
    tp_json_end_object(&r, &recon, true);
    tp_json_end_object(top, &r, true);
    if (top->status == TP_OK) return w;
    tp_latentwire_recipe_free(w);
    return NULL;
}

json_t *tp_latentwire_recipe_to_json(const tp_latentwire_recipe *w) {
    json_t *o = json_object();
    json_object_set_new(o, "encoder", json_string(encoders[w->encoder]));
    if (w->n_receivers > 0) {
        json_t *list = json_array();
        for (int i = 0; i < w->n_receivers; i++) json_array_append_new(list, json_string(w->receivers[i]));
        json_object_set_new(o, "receivers", list);
    }
    json_object_set_new(o, "width", json_integer(w->width));
    json_object_set_new(o, "private", json_integer(w->private_tokens));
    json_object_set_new(o, "max_bytes", json_integer(w->max_bytes));
    json_object_set_new(o, "adapter", json_string(adapters[w->adapter]));
    json_object_set_new(o, "hidden", json_integer(w->hidden));
    json_object_set_new(o, "dropout", json_real(w->dropout));
    json_object_set_new(o, "calibrate", json_boolean(w->calibrate));
    json_object_set_new(o, "scale_reg", json_real(w->scale_reg));
    json_object_set_new(o, "slot_dropout", json_real(w->slot_dropout));
    json_object_set_new(o, "warmup", json_integer(w->warmup));
    json_object_set_new(o, "align", json_real(w->align));
    json_object_set_new(o, "align_tokens", json_integer(w->align_tokens));
    json_object_set_new(o, "recon", json_pack("{s:f, s:f}", "cosine", w->recon_cosine, "mse", w->recon_mse));
    return o;
}

tp_status tp_latentwire_recipe_set_receivers(tp_latentwire_recipe *w, const char *list) {
    drop_receivers(w);
    for (const char *at = list;;) {
        size_t n = strcspn(at, ",");
        if (w->n_receivers == TP_LATENTWIRE_MOST_RECEIVERS)
            return tp_fail(TP_ERR_ARGUMENT, "\"%s\" names too many receivers: at most %d can read one latent", list,
                           TP_LATENTWIRE_MOST_RECEIVERS);
        if (n == 0) return tp_fail(TP_ERR_ARGUMENT, "\"%s\" holds an empty name of a receiver", list);
        w->receivers[w->n_receivers++] = tp_strndup(at, n);
        if (at[n] == '\0') return TP_OK;
        at += n + 1;
    }
}
