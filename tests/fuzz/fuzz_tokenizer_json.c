/* libFuzzer: any tokenizer.json is either refused with a sentence or read as a tokenizer that encodes and decodes any
 * text. Each input is tried as a whole file, and as a choice of parts (which normaliser, splits, model) with a text for
 * what they make together. */
#include "base/str.h"
#include "tokenizer_input.h"

static const char *const normalizers[] = {
    "null",
    "{\"type\":\"NFC\"}",
    "{\"type\":\"NFKD\"}",
    "{\"type\":\"BertNormalizer\",\"clean_text\":true,\"handle_chinese_chars\":true,\"lowercase\":true}",
    ("{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Strip\"},{\"type\":\"Lowercase\"},"
     "{\"type\":\"StripAccents\"}]}"),
    "{\"type\":\"Prepend\",\"prepend\":\"\xE2\x96\x81\"}",
    "{\"type\":\"Replace\",\"pattern\":{\"Regex\":\"a|(?=b)| +\"},\"content\":\"ab\"}",
    "{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},\"content\":\"\xE2\x96\x81\"}",
    "{\"type\":\"Nmt\"}",
};
static const char *const pre_tokenizers[] = {
    "null",
    "{\"type\":\"ByteLevel\",\"add_prefix_space\":true}",
    "{\"type\":\"Metaspace\",\"prepend_scheme\":\"first\"}",
    "{\"type\":\"Metaspace\",\"prepend_scheme\":\"always\",\"split\":false}",
    "{\"type\":\"BertPreTokenizer\"}",
    "{\"type\":\"Whitespace\"}",
    "{\"type\":\"Split\",\"pattern\":{\"Regex\":\"(?=a)|\\\\d\"},\"behavior\":\"MergedWithNext\",\"invert\":true}",
    "{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"WhitespaceSplit\"},{\"type\":\"Metaspace\"},{\"type\":"
    "\"Punctuation\",\"behavior\":\"Contiguous\"},{\"type\":\"Split\",\"pattern\":{\"String\":\"b\"},\"behavior\":"
    "\"MergedWithPrevious\"}]}",
};
static const char *const models[] = {
    "{\"type\":\"BPE\",\"unk_token\":\"?\",\"byte_fallback\":true,\"vocab\":{\"?\":0,\"a\":1,\"b\":2,\"ab\":3,\"bab\":"
    "4,"
    "\"<0x0A>\":5,\"\xE2\x96\x81\":6,\"\xE2\x96\x81\x61\":7,\"\xC4\xA0\":8},\"merges\":[\"a b\",\"b ab\","
    "\"\xE2\x96\x81 a\"]}",
    "{\"type\":\"WordPiece\",\"unk_token\":\"?\",\"max_input_chars_per_word\":9,\"vocab\":{\"?\":0,\"a\":1,\"##b\":2,"
    "\"##ab\":3,\"b\":4,\"e\":5}}",
    "{\"type\":\"Unigram\",\"unk_id\":0,\"vocab\":[[\"?\",0],[\"a\",-1],[\"b\",-2],[\"ab\",-2.5],[\"bab\",-4],"
    "[\"\xE2\x96\x81\",-3],[\"\xC3\xA9\",-3],[\"<0x0A>\",-5]],\"byte_fallback\":true}",
};
static const char *const added[] = {"", "{\"id\":20,\"content\":\"<s>\",\"special\":true}",
                                    "{\"id\":20,\"content\":\"ba\",\"single_word\":true},{\"id\":21,\"content\":"
                                    "\"b\\u00e9\",\"lstrip\":true,\"rstrip\":"
                                    "true,\"normalized\":true}"};

/* Some parts do not fit together and are refused. */
static void try_composed(const uint8_t *data, size_t size) {
    if (size < 4) return;
    tp_str file = {0};
    tp_str_appendf(&file, "{\"added_tokens\":[%s],\"normalizer\":%s,\"pre_tokenizer\":%s,\"model\":%s}",
                   added[data[0] % 3], normalizers[data[1] % 9], pre_tokenizers[data[2] % 8], models[data[3] % 3]);
    const char *path = memory_file(file.data, file.len, NULL, 0);
    tp_tokenizer *t = tp_tokenizer_load(path, NULL);
    try_tokenizer(t, path, (const char *)data + 4, size - 4);
    tp_str_free(&file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size > 0 && data[0] == '{') {
        const char *path = memory_file(data, size, NULL, 0);
        try_tokenizer(tp_tokenizer_load(path, NULL), path, (const char *)data, size);
    }
    try_composed(data, size);
    return 0;
}
