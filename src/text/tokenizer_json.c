/* Reading Hugging Face's tokenizer.json.
 *
 * The file describes a pipeline in pieces that could be combined freely. What the model families use is accepted; all
 * else is refused by name, because a tokenizer that is almost right spoils everything quietly. Of the decoder section
 * only WordPiece's options are read: what a token stands for follows from the pipeline. */
#include "text/tokenizer_json.h"

#include "base/mem.h"

#include <string.h>

/* ---- added tokens, and what goes around a text ---- */

static tp_status add_added_token(tp_json_loading *l, json_t *value) {
    tp_tokenizer *t = l->t;
    tp_json_reader r;
    tp_json_begin(&r, value, l->path);
    snprintf(r.prefix, sizeof r.prefix, "added_tokens.");
    tp_json_require(&r, "id");
    tp_json_require(&r, "content");
    int32_t id = (int32_t)tp_json_int(&r, "id", 0, 0, l->largest_id);
    const char *content = tp_json_text(&r, "content", "");
    tp_added_token token = {.id = id, .special = tp_json_bool(&r, "special", false)};
    token.single_word = tp_json_bool(&r, "single_word", false);
    token.strip_left = tp_json_bool(&r, "lstrip", false);
    token.strip_right = tp_json_bool(&r, "rstrip", false);
    bool normalized = tp_json_bool(&r, "normalized", !token.special);
    TP_TRY(r.status);
    int32_t known = tp_json_token_id(l, content);
    if (known >= 0 ? known != id : tp_vocab_has(&t->pieces, id))
        return tp_fail(TP_ERR_FORMAT, "%s: the added token `%.100s` has the id %d, but the vocabulary has %s", l->path,
                       content, id, known >= 0 ? "it under another" : "another token there");
    size_t n = strlen(content);
    if (known < 0 || token.special) tp_vocab_set(&t->pieces, id, content, n); /* as written, not as bytes or blanks */
    if (token.special) tp_ids_append(&t->specials, id);
    if (normalized && t->normalizers.len > 0) {
        tp_str text = {0};
        tp_status status = tp_tokenizer_normalize(t, content, n, &text);
        tp_added_put(&t->normal_added, text.data, text.len, token);
        tp_str_free(&text);
        TP_TRY(status);
    } else {
        tp_added_put(&t->raw_added, content, n, token);
    }
    return TP_OK;
}

static tp_status template_ids(tp_json_loading *l, const json_t *post, const char *name, tp_ids *out) {
    const json_t *ids = json_object_get(json_object_get(json_object_get(post, "special_tokens"), name), "ids");
    for (size_t i = 0; i < json_array_size(ids); i++) {
        json_int_t id = json_integer_value(json_array_get(ids, i));
        if (!json_is_integer(json_array_get(ids, i)) || id < 0 || id >= l->t->size)
            return tp_fail(TP_ERR_FORMAT, "%s: the post-processor's special token `%.100s` has an id outside 0..%d",
                           l->path, name, l->t->size - 1);
        tp_ids_append(out, (int32_t)id);
    }
    if (json_array_size(ids) == 0)
        return tp_fail(TP_ERR_FORMAT, "%s: the post-processor names the special token `%.100s` without ids", l->path,
                       name);
    return TP_OK;
}

/* BertProcessing and RobertaProcessing: `cls` before and `sep` behind, each [text, id]. */
static tp_status read_pair(tp_json_loading *l, tp_json_reader *r, const char *key, tp_ids *out) {
    const json_t *id = json_array_get(tp_json_array(r, key), 1);
    TP_TRY(r->status);
    if (!json_is_integer(id) || json_integer_value(id) < 0 || json_integer_value(id) >= l->t->size)
        return tp_fail(TP_ERR_FORMAT, "%s: the post-processor's `%s` is not a text and an id from 0 to %d", l->path,
                       key, l->t->size - 1);
    tp_ids_append(out, (int32_t)json_integer_value(id));
    return TP_OK;
}

static tp_status read_post_processor(tp_json_loading *l, json_t *post) {
    if (post == NULL || json_is_null(post)) return TP_OK;
    tp_json_reader r;
    tp_json_begin(&r, post, l->path);
    tp_json_require(&r, "type");
    const char *type = tp_json_text(&r, "type", "");
    if (strcmp(type, "ByteLevel") == 0) return r.status; /* concerns offsets only */
    if (strcmp(type, "Sequence") == 0) {
        json_t *all = tp_json_array(&r, "processors");
        for (size_t i = 0; i < json_array_size(all); i++) TP_TRY(read_post_processor(l, json_array_get(all, i)));
        return r.status;
    }
    if (strcmp(type, "BertProcessing") == 0 || strcmp(type, "RobertaProcessing") == 0) {
        TP_TRY(read_pair(l, &r, "cls", &l->t->before));
        return read_pair(l, &r, "sep", &l->t->after);
    }
    if (strcmp(type, "TemplateProcessing") != 0) return tp_json_unsupported(&r, "post-processor", type);
    const json_t *single = tp_json_array(&r, "single");
    TP_TRY(r.status);
    bool behind = false;
    for (size_t i = 0; i < json_array_size(single); i++) {
        const json_t *item = json_array_get(single, i);
        const char *name = json_string_value(json_object_get(json_object_get(item, "SpecialToken"), "id"));
        if (name != NULL) {
            TP_TRY(template_ids(l, post, name, behind ? &l->t->after : &l->t->before));
        } else if (json_object_get(item, "Sequence") != NULL && !behind) {
            behind = true;
        } else {
            return tp_fail(TP_ERR_FORMAT, "%s: the post-processor's template is not special tokens around one text",
                           l->path);
        }
    }
    return TP_OK;
}

static tp_status read_root(tp_json_loading *l, json_t *root) {
    tp_json_reader r;
    tp_json_begin(&r, root, l->path);
    json_t *pre = tp_json_any(&r, "pre_tokenizer"), *added = tp_json_array(&r, "added_tokens");
    tp_json_require(&r, "model");
    TP_TRY(r.status);
    l->t->byte_level = tp_json_has_byte_level(pre);
    l->added = added;
    l->decoder = tp_json_any(&r, "decoder");
    TP_TRY(tp_json_read_model(l, tp_json_any(&r, "model")));
    TP_TRY(tp_json_read_normalizer(l, tp_json_any(&r, "normalizer")));
    TP_TRY(tp_json_read_pre_tokenizer(l, pre));
    for (size_t i = 0; i < json_array_size(added); i++) TP_TRY(add_added_token(l, json_array_get(added, i)));
    tp_added_finish(&l->t->raw_added);
    tp_added_finish(&l->t->normal_added);
    l->t->size = (int32_t)l->t->pieces.size;
    return read_post_processor(l, tp_json_any(&r, "post_processor"));
}

static tp_status read_text(tp_tokenizer *t, const char *bytes, size_t n, const char *path, const tp_json_lists *lists) {
    json_t *root = tp_json_load_bytes(bytes, n, path);
    if (root == NULL) return tp_last_status();
    tp_json_loading l = {.t = t, .path = path, .lists = lists};
    tp_status status = read_root(&l, root);
    tp_vocab_free(&l.odd);
    json_decref(root);
    return status;
}

tp_status tp_tokenizer_read_json(tp_tokenizer *t, const char *bytes, size_t n, const char *path) {
    tp_json_lists lists = {0};
    bool done =
        tp_json_lists_read(&lists, bytes, n) && read_text(t, lists.rest.data, lists.rest.len, path, &lists) == TP_OK;
    tp_json_lists_free(&lists);
    if (done) return TP_OK;
    tp_tokenizer_reset(t); /* the ordinary way, which has the right words for what is wrong */
    return read_text(t, bytes, n, path, NULL);
}
