/* libFuzzer: any bytes are either refused with a sentence, leaving the cache as it was, or restored as a state that can
 * be run on and saved again. Inputs are tried as they are, as the body of a file whose header fits (both under a
 * checksum that fits too, or the first would seldom get past it), and as changes to a valid file. */
#include "base/bytes.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"
#include "lm/decoder.h"
#include "lm/kv_file.h"
#include "memory_file.h"

#include <math.h>
#include <string.h>

enum { CAPACITY = 9, WIDTH = 8 };

static const tp_dtype types[] = {TP_F32, TP_F16, TP_BF16, TP_I8};
static tp_lm *lm;
static unsigned char *valid[4];
static size_t valid_size[4];

static void feed(tp_kv_cache *cache, int32_t id, float *last) {
    tp_tape *tape = tp_tape_new(TP_MATH_F32);
    tape->frozen = true;
    const int64_t offsets[2] = {0, 1}, slot = 0;
    tp_batch batch = {.n_sequences = 1, .offsets = offsets, .cache = cache, .slots = &slot};
    tp_var *x = tp_lm_blocks(tape, lm, tp_lm_embed(tape, lm, &id, 1), &batch, 0, lm->config.n_layers);
    memcpy(last, x->data, WIDTH * sizeof(float));
    tp_tape_free(tape);
}

static void set_up(void) {
    tp_lm_config c = {.family = TP_LM_MISTRAL,
                      .vocab_size = 5,
                      .d_model = WIDTH,
                      .n_layers = 2,
                      .n_heads = 2,
                      .n_kv_heads = 1,
                      .head_dim = 4,
                      .d_ff = 8,
                      .norm_eps = 1e-5,
                      .rope_theta = 1e4,
                      .max_position_embeddings = 64,
                      .sliding_window = 4,
                      .first_windowed_layer = 1,
                      .tie_word_embeddings = true,
                      .bos_id = -1,
                      .dtype = TP_F32};
    lm = tp_lm_new_frozen(&c, 1, TP_F32);
    memcpy(lm->fingerprint, "00112233445566778899aabbccddeeff", 33);
    for (int t = 0; t < 4; t++) {
        tp_kv_cache *cache = tp_kv_cache_new_typed(lm, types[t], 1, CAPACITY);
        int32_t ids[CAPACITY] = {1, 2, 3, 4, 0, 1};
        float last[WIDTH];
        for (int i = 0; i < 6; i++) feed(cache, ids[i], last);
        char path[] = "/tmp/telepathy-fuzz-kv-XXXXXX";
        int fd = mkstemp(path);
        must(fd >= 0 && tp_kv_file_save(path, lm, cache, 0, ids, last) == TP_OK);
        char *bytes;
        must(tp_read_file(path, 0, &bytes, &valid_size[t]) == TP_OK);
        valid[t] = (unsigned char *)bytes;
        close(fd);
        unlink(path);
        tp_kv_cache_free(cache);
    }
}

static void try_file(const unsigned char *bytes, size_t n, tp_dtype type, bool must_work) {
    const char *path = memory_file(bytes, n, "", 0);
    tp_kv_cache *cache = tp_kv_cache_new_typed(lm, type, 1, CAPACITY);
    int32_t ids[CAPACITY] = {0};
    float last[WIDTH] = {0};
    bool has_last = false;
    if (tp_kv_file_load(path, lm, cache, 0, ids, last, &has_last) != TP_OK) {
        must(!must_work && strstr(tp_last_error(), "/proc/self/fd") != NULL);
        must(cache->lengths[0] == 0 && cache->reached[0] == 0 && ids[0] == 0 && !has_last);
    } else {
        must(cache->lengths[0] >= 1 && cache->lengths[0] <= CAPACITY);
        for (int64_t i = 0; i < cache->lengths[0]; i++) must(ids[i] >= -1 && ids[i] < lm->config.vocab_size);
        while (cache->lengths[0] < CAPACITY) feed(cache, 1, last);
        tp_kv_cache_rewind(cache, 0, CAPACITY - 1);
    }
    tp_kv_cache_free(cache);
}

static void sign(unsigned char *bytes, size_t n) {
    tp_hash *h = tp_hash_new();
    char hex[33];
    tp_hash_add(h, bytes, n - 16);
    tp_hash_end(h, hex);
    tp_hash_to_bytes(hex, bytes + n - 16);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (lm == NULL) {
        set_up();
        for (int t = 0; t < 4; t++) try_file(valid[t], valid_size[t], types[t], true);
    }
    if (size < 1) return 0;
    int t = data[0] % 4;
    data++, size--;
    try_file(data, size, types[t], false);
    enum { HEADER = 48 + 2 * 4 };
    unsigned char *file = tp_alloc(HEADER + size + 16 + valid_size[t]);
    memcpy(file, valid[t], HEADER); /* its body */
    memcpy(file + HEADER, data, size);
    if (size > 1) file[7] = data[0] & 1, file[24] = data[1] % 16;
    sign(file, HEADER + size + 16);
    try_file(file, HEADER + size + 16, types[t], false);
    memcpy(file, valid[t], valid_size[t]); /* changes: a place and what stands there */
    for (size_t i = 0; i + 3 <= size && i < 60; i += 3)
        file[(data[i] << 8 | data[i + 1]) % (int)valid_size[t]] = data[i + 2];
    sign(file, valid_size[t]);
    try_file(file, valid_size[t], types[t], false);
    tp_free(file);
    return 0;
}
