/* libFuzzer: a folder whose config.json, modules.json, pooling and length files hold any bytes is refused with a
 * sentence that names the folder, or read as a configuration whose numbers make sense together. The input is cut at
 * zero bytes into the four files; a part that is empty leaves its file out, and the first is also tried as more keys of
 * a sound config. */
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "lm/encoder.h"
#include "memory_file.h"

#include <string.h>
#include <sys/stat.h>

static char folder[64];

static void put(const char *name, const char *text, size_t n) {
    char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    if (n == 0) {
        unlink(path);
        return;
    }
    FILE *f = fopen(path, "wb");
    must(f != NULL && fwrite(text, 1, n, f) == n);
    fclose(f);
}

static void try_folder(void) {
    tp_encoder_config c;
    if (tp_encoder_config_read(folder, &c) != TP_OK) {
        must(strlen(tp_last_error()) > 10 && strstr(tp_last_error(), folder) != NULL);
        return;
    }
    must(c.vocab_size > 0 && c.d_model > 0 && c.n_layers > 0 && c.d_ff > 0 && c.n_types > 0);
    must(c.n_heads > 0 && c.d_model % c.n_heads == 0 && c.norm_eps > 0);
    must(c.max_tokens > 0 && c.max_tokens <= c.n_positions);
    must(c.pooling >= TP_POOL_MEAN && c.pooling <= TP_POOL_LAST);
}

static void forget(void) {
    static const char *const names[] = {
        "config.json", "modules.json", "1_Pooling/config.json", "sentence_bert_config.json", "1_Pooling", ""};
    for (int i = 0; i < 6; i++) {
        char path[128];
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        remove(path);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char *const names[] = {"config.json", "modules.json", "1_Pooling/config.json",
                                        "sentence_bert_config.json"};
    if (folder[0] == '\0') {
        strcpy(folder, access("/dev/shm", W_OK) == 0 ? "/dev/shm/fuzz-XXXXXX" : "/tmp/fuzz-XXXXXX");
        must(mkdtemp(folder) != NULL);
        char path[128];
        snprintf(path, sizeof path, "%s/1_Pooling", folder);
        must(mkdir(path, 0700) == 0);
        atexit(forget);
    }
    char *text = tp_strndup((const char *)data, size), *at = text;
    char *sound =
        tp_format("{\"model_type\": \"bert\", \"vocab_size\": 9, \"hidden_size\": 8, \"num_hidden_layers\": 1, "
                  "\"num_attention_heads\": 2, \"intermediate_size\": 4%s%s}",
                  *text ? ", " : "", text);
    for (int i = 0; i < 4; i++) {
        size_t n = at <= text + size ? strlen(at) : 0;
        put(names[i], at, n);
        if (n > 0 || at <= text + size) at += n + 1;
    }
    try_folder();
    put("config.json", sound, strlen(sound));
    try_folder();
    tp_free(sound);
    tp_free(text);
    return 0;
}
