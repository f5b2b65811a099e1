/* A trained vocabulary as the three files of a Hugging Face tokenizer, laid out as the models' own: byte level like
 * Llama 3 (specials behind the vocabulary, BOS by template), SentencePiece like Llama 2 and Mistral (specials and
 * bytes first; a normaliser puts U+2581 for blanks and one in front). */
#include "text/train_parts.h"

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "text/pretokenize.h"
#include "text/unicode.h"

/* The token as tokenizer.json writes it. */
static json_t *written(tp_bpe_kind kind, const char *bytes, size_t n) {
    tp_str out = {0};
    for (size_t i = 0; i < n; i++) {
        char utf8[4];
        if (kind == TP_BPE_BYTE_LEVEL) {
            tp_str_append(&out, utf8, tp_utf8_encode(tp_byte_to_char((unsigned char)bytes[i]), utf8));
        } else {
            tp_str_append_char(&out, bytes[i]);
        }
    }
    json_t *text = json_stringn(out.data, out.len);
    tp_str_free(&out);
    return text;
}

static json_t *added_token(int id, const char *content) {
    return json_pack("{s:i, s:s, s:b, s:b, s:b, s:b, s:b}", "id", id, "content", content, "single_word", 0, "lstrip", 0,
                     "rstrip", 0, "normalized", 0, "special", 1);
}

/* "Put BOS in front", for one text and for two. */
static json_t *template_processing(const char *bos, int id) {
    return json_pack("{s:s, s:[{s:{s:s, s:i}}, {s:{s:s, s:i}}],"
                     " s:[{s:{s:s, s:i}}, {s:{s:s, s:i}}, {s:{s:s, s:i}}, {s:{s:s, s:i}}],"
                     " s:{s:{s:s, s:[i], s:[s]}}}",
                     "type", "TemplateProcessing", "single", "SpecialToken", "id", bos, "type_id", 0, "Sequence", "id",
                     "A", "type_id", 0, "pair", "SpecialToken", "id", bos, "type_id", 0, "Sequence", "id", "A",
                     "type_id", 0, "SpecialToken", "id", bos, "type_id", 1, "Sequence", "id", "B", "type_id", 1,
                     "special_tokens", bos, "id", bos, "ids", id, "tokens", bos);
}

static json_t *byte_level(int use_regex) {
    return json_pack("{s:s, s:b, s:b, s:b}", "type", "ByteLevel", "add_prefix_space", 0, "trim_offsets", 1, "use_regex",
                     use_regex);
}

static json_t *model(tp_bpe_kind kind, const tp_bpe_result *r) {
    json_t *vocab = json_object(), *merges = json_array();
    int32_t id = 0;
    if (kind == TP_BPE_SENTENCEPIECE) {
        static const char *const specials[] = {"<unk>", "<s>", "</s>"};
        for (; id < 3; id++) json_object_set_new(vocab, specials[id], json_integer(id));
        for (unsigned byte = 0; byte < 256; byte++, id++) {
            char name[8];
            snprintf(name, sizeof name, "<0x%02X>", byte);
            json_object_set_new(vocab, name, json_integer(id));
        }
    }
    json_t **text = tp_alloc((size_t)r->n_tokens * sizeof *text);
    for (int32_t i = 0; i < r->n_tokens; i++, id++) {
        text[i] = written(kind, r->token[i], r->length[i]);
        json_object_set_new(vocab, json_string_value(text[i]), json_integer(id));
    }
    for (int32_t i = 0; i < r->n_merges; i++)
        json_array_append_new(merges, json_sprintf("%s %s", json_string_value(text[r->merge[i][0]]),
                                                   json_string_value(text[r->merge[i][1]])));
    for (int32_t i = 0; i < r->n_tokens; i++) json_decref(text[i]);
    tp_free(text);
    int spm = kind == TP_BPE_SENTENCEPIECE;
    return json_pack("{s:s, s:n, s:s?, s:n, s:n, s:b, s:b, s:b, s:o, s:o}", "type", "BPE", "dropout", "unk_token",
                     spm ? "<unk>" : NULL, "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk", spm,
                     "byte_fallback", spm, "ignore_merges", !spm, "vocab", vocab, "merges", merges);
}

static json_t *byte_level_json(const tp_bpe_result *r) {
    int bos = r->n_tokens, eos = bos + 1;
    json_t *split = json_pack("{s:s, s:{s:s}, s:s, s:b}", "type", "Split", "pattern", "Regex", TP_PATTERN_LLAMA3,
                              "behavior", "Isolated", "invert", 0);
    return json_pack("{s:s, s:n, s:n, s:[o, o], s:n, s:{s:s, s:[o, o]}, s:{s:s, s:[o, o]}, s:o, s:o}", "version", "1.0",
                     "truncation", "padding", "added_tokens", added_token(bos, "<|begin_of_text|>"),
                     added_token(eos, "<|end_of_text|>"), "normalizer", "pre_tokenizer", "type", "Sequence",
                     "pretokenizers", split, byte_level(0), "post_processor", "type", "Sequence", "processors",
                     byte_level(1), template_processing("<|begin_of_text|>", bos), "decoder", byte_level(1), "model",
                     model(TP_BPE_BYTE_LEVEL, r));
}

static json_t *sentencepiece_json(const tp_bpe_result *r) {
    static const char blank[] = "\xE2\x96\x81";
    json_t *normalizer =
        json_pack("{s:s, s:[{s:s, s:s}, {s:s, s:{s:s}, s:s}]}", "type", "Sequence", "normalizers", "type", "Prepend",
                  "prepend", blank, "type", "Replace", "pattern", "String", " ", "content", blank);
    json_t *decoder =
        json_pack("{s:s, s:[{s:s, s:{s:s}, s:s}, {s:s}, {s:s}, {s:s, s:s, s:i, s:i}]}", "type", "Sequence", "decoders",
                  "type", "Replace", "pattern", "String", blank, "content", " ", "type", "ByteFallback", "type", "Fuse",
                  "type", "Strip", "content", " ", "start", 1, "stop", 0);
    return json_pack("{s:s, s:n, s:n, s:[o, o, o], s:o, s:n, s:o, s:o, s:o}", "version", "1.0", "truncation", "padding",
                     "added_tokens", added_token(0, "<unk>"), added_token(1, "<s>"), added_token(2, "</s>"),
                     "normalizer", normalizer, "pre_tokenizer", "post_processor", template_processing("<s>", 1),
                     "decoder", decoder, "model", model(TP_BPE_SENTENCEPIECE, r));
}

static tp_status save(json_t *value, const char *folder, const char *name) {
    char *path = tp_path_join(folder, name);
    tp_status status =
        value ? tp_json_save_file(value, path) : tp_fail(TP_ERR_MEMORY, "cannot put %s together: out of memory", path);
    tp_free(path);
    json_decref(value);
    return status;
}

tp_status tp_bpe_write(tp_bpe_kind kind, const tp_bpe_result *r, const char *folder) {
    bool spm = kind == TP_BPE_SENTENCEPIECE;
    const char *bos = spm ? "<s>" : "<|begin_of_text|>", *eos = spm ? "</s>" : "<|end_of_text|>";
    TP_TRY(save(spm ? sentencepiece_json(r) : byte_level_json(r), folder, "tokenizer.json"));
    json_t *map = json_pack("{s:s, s:s, s:s*}", "bos_token", bos, "eos_token", eos, "unk_token", spm ? "<unk>" : NULL);
    json_t *config =
        json_pack("{s:b, s:b, s:s, s:s, s:s*, s:b, s:[s, s], s:s}", "add_bos_token", 1, "add_eos_token", 0, "bos_token",
                  bos, "eos_token", eos, "unk_token", spm ? "<unk>" : NULL, "clean_up_tokenization_spaces", 0,
                  "model_input_names", "input_ids", "attention_mask", "tokenizer_class", "PreTrainedTokenizerFast");
    tp_status status = save(map, folder, "special_tokens_map.json");
    tp_status second = save(config, folder, "tokenizer_config.json");
    return status != TP_OK ? status : second;
}
