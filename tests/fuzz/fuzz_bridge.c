/* libFuzzer: a bridge folder that holds any bytes is refused with a sentence that names a file of it, or read as a
 * bridge that maps hidden states to soft tokens and is the same bridge when it is saved and read again.
 *
 * An input that begins with `{` is a whole adapter_config.json. Of others the first byte chooses: the bytes as
 * adapter_model.safetensors, bytes changed in either file, keys of the configuration set to odd values, tensors changed
 * under a fingerprint that fits, or a recipe from which a folder is made that must load. */
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/rng.h"
#include "bridge/checkpoint.h"
#include "lm/safetensors.h"
#include "memory_file.h"

#include <math.h>
#include <string.h>

enum { SENDER_WIDTH = 3, RECEIVER_WIDTH = 4, MOST_NUMBERS = 20000 };

static const char binding_key[] = "telepathy_config";
static const char *const labels[] = {"yes", "no", "caf\xE9"}; /* the last is not UTF-8 */
static char folder[64], other[80];
static char *config, *tensors; /* of the sound folder */
static size_t config_size, tensors_size;

/* ---- a sound folder ---- */

static tp_lm stand_in(int d_model, char digit) {
    tp_lm lm = {.config = {.d_model = d_model, .n_layers = 4}, .path = "m"};
    memset(lm.fingerprint, digit, 32);
    return lm;
}

/* Saves a new bridge of this recipe; false if there is none, or a large one. */
static bool save_bridge(const char *text, size_t n, const char *to) {
    json_t *value = tp_json_load_bytes(text, n, "recipe");
    tp_recipe *recipe = value ? tp_recipe_from_json(value, "recipe") : NULL;
    json_decref(value);
    if (recipe == NULL) return false;
    tp_recipe_complete(recipe, 3, "Type:");
    int64_t count = tp_bridge_count(&recipe->bridge, SENDER_WIDTH, RECEIVER_WIDTH);
    tp_bridge *bridge = count >= 0 && count <= MOST_NUMBERS
                            ? tp_bridge_new(&recipe->bridge, SENDER_WIDTH, RECEIVER_WIDTH, NULL, 1)
                            : NULL;
    if (bridge) {
        tp_lm sender = stand_in(SENDER_WIDTH, 'a'), receiver = stand_in(RECEIVER_WIDTH, 'b');
        tp_trained_bridge *t =
            tp_trained_bridge_new(bridge, recipe, 2, "Q: {text}", &sender, &receiver, "t", labels, 3);
        must(t != NULL && tp_bridge_save(to, t) == TP_OK);
        tp_trained_bridge_free(t);
    }
    tp_recipe_free(recipe);
    return bridge != NULL;
}

static char *file_of(const char *dir, const char *name, size_t *n) {
    char path[128], *bytes;
    snprintf(path, sizeof path, "%s/%s", dir, name);
    must(tp_read_file(path, 0, &bytes, n) == TP_OK);
    return bytes;
}

static void put(const char *name, const void *bytes, size_t n) {
    char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "wb");
    must(f != NULL && fwrite(bytes, 1, n, f) == n);
    fclose(f);
}

static void put_config(const void *bytes, size_t n) {
    put("adapter_config.json", bytes, n);
}

static void put_tensors(const void *bytes, size_t n) {
    put("adapter_model.safetensors", bytes, n);
}

static void forget(void) {
    static const char *const names[] = {"adapter_config.json", "adapter_model.safetensors", "README.md", ""};
    for (int d = 0; d < 2; d++)
        for (int i = 0; i < 4; i++) {
            char path[128];
            snprintf(path, sizeof path, "%s/%s", d == 0 ? other : folder, names[i]);
            remove(path);
        }
}

static void set_up(void) {
    static const char recipe[] = "{\"bridge\":{\"width\":4,\"heads\":2,\"soft_tokens\":2,\"depth\":1}}";
    strcpy(folder, access("/dev/shm", W_OK) == 0 ? "/dev/shm/fuzz-XXXXXX" : "/tmp/fuzz-XXXXXX");
    must(mkdtemp(folder) != NULL);
    snprintf(other, sizeof other, "%s/again", folder);
    atexit(forget);
    must(save_bridge(recipe, sizeof recipe - 1, folder));
    config = file_of(folder, "adapter_config.json", &config_size);
    tensors = file_of(folder, "adapter_model.safetensors", &tensors_size);
}

/* ---- what must hold ---- */

static void run_bridge(const tp_trained_bridge *t) {
    int64_t width = t->bridge->d_source;
    float *hidden = tp_alloc((size_t)(3 * width) * sizeof *hidden);
    for (int64_t i = 0; i < 3 * width; i++) hidden[i] = (float)(i % 5) - 2;
    tp_tape *tape = tp_tape_new(TP_MATH_F32);
    tape->frozen = true;
    tp_var *soft = tp_bridge_forward(tape, t->bridge, tp_var_wrap(tape, hidden, 3, width), (const int64_t[]){0, 3}, 1);
    must(soft->rows == t->recipe->bridge.soft_tokens && soft->cols == t->bridge->d_target);
    tp_tape_free(tape);
    tp_free(hidden);
}

static bool try_folder(void) {
    tp_trained_bridge *t = tp_bridge_load(folder);
    if (t == NULL) {
        must(strlen(tp_last_error()) > 10 && strstr(tp_last_error(), "adapter_") != NULL);
        return false;
    }
    must(strlen(t->fingerprint) == 32 && t->layer >= 0 && strstr(t->prompt, "{text}") != NULL);
    must(t->bridge->d_source == t->sender.d_model && t->bridge->d_target == t->receiver.d_model);
    for (int i = 0; i < t->n_labels; i++) must(t->labels[i] != NULL);
    run_bridge(t);
    must(tp_bridge_save(other, t) == TP_OK);
    tp_trained_bridge *again = tp_bridge_load(other);
    must(again != NULL && strcmp(again->fingerprint, t->fingerprint) == 0);
    tp_trained_bridge_free(again);
    tp_trained_bridge_free(t);
    return true;
}

/* ---- the ways to make a folder of the input ---- */

/* Three bytes a change: a place and what stands there. */
static void change_bytes(char *bytes, size_t size, const uint8_t *data, size_t n) {
    for (size_t i = 0; i + 3 <= n && i < 60; i += 3)
        bytes[(size_t)(data[i] << 8 | data[i + 1]) % size] = (char)data[i + 2];
}

static void try_changed(const uint8_t *data, size_t n, bool of_config) {
    size_t size = of_config ? config_size : tensors_size;
    char *copy = tp_strndup(of_config ? config : tensors, size);
    change_bytes(copy, size, data, n);
    put_config(of_config ? copy : config, config_size);
    put_tensors(of_config ? tensors : copy, tensors_size);
    try_folder();
    tp_free(copy);
}

/* Two bytes a key: which, and its value. */
static void try_keys(const uint8_t *data, size_t n) {
    static const char *const keys[][2] = {
        {"", "peft_type"},       {"", "format_version"},
        {"", "layer"},           {"", "prompt"},
        {"", "labels"},          {"", "recipe"},
        {"", "sender"},          {"", "task"},
        {"sender", "d_model"},   {"sender", "n_layers"},
        {"sender", "name"},      {"sender", "fingerprint"},
        {"receiver", "d_model"}, {"receiver", "tokenizer"},
        {"receiver", "name"},    {"", "base_model_name_or_path"},
        {"recipe", "bridge"},    {"recipe", "layout"},
        {"recipe", "primer"},    {"recipe", "losses"},
        {"recipe", "seed"},      {"recipe", "sender"},
        {"recipe", "task"},      {"recipe", "math"},
    };
    static const char *const values[] = {
        "null",
        "true",
        "0",
        "-1",
        "1",
        "3",
        "4",
        "1048576",
        "2147483648",
        "9223372036854775807",
        "1e300",
        "\"\"",
        "\"TELEPATHY\"",
        "\"{text}\"",
        "\"0123456789abcdef0123456789abcdef\"",
        "[]",
        "[\"a\",{\"hex\":\"00ff\"}]",
        "[{\"hex\":\"4\"}]",
        "[{\"hex\":\"\"},\"\"]",
        "{}",
        "{\"d_model\":3}",
        "{\"soft_tokens\":4096,\"width\":65536,\"depth\":64}",
        "{\"soft_tokens\":2,\"width\":4,\"heads\":2,\"depth\":1,\"normaliser\":\"none\"}",
        "{\"soft_tokens\":2,\"width\":4,\"heads\":2,\"depth\":1,\"scale\":\"tanh\"}",
        "{\"kind\":\"none\",\"soft_tokens\":1}",
        "\"{soft}\"",
    };
    enum { N_KEYS = sizeof keys / sizeof keys[0], N_VALUES = sizeof values / sizeof values[0] };
    json_t *changed = tp_json_load_bytes(config, config_size, "sound");
    for (size_t i = 0; i + 2 <= n && i < 20; i += 2) {
        const char *const *key = keys[data[i] % N_KEYS];
        json_t *object = *key[0] ? json_object_get(changed, key[0]) : changed;
        if (json_is_object(object))
            json_object_set_new(object, key[1], json_loads(values[data[i + 1] % N_VALUES], JSON_DECODE_ANY, NULL));
    }
    char *text = json_dumps(changed, 0);
    put_config(text, strlen(text));
    put_tensors(tensors, tensors_size);
    try_folder();
    free(text);
    json_decref(changed);
}

/* Three bytes a change: which tensor, what becomes of it, and how much. */
static void try_tensors(const uint8_t *data, size_t n) {
    static const float odd[] = {0, -0.0f, 1e38f, 3e38f, 1e-45f, -1e30f, INFINITY, NAN};
    put_config(config, config_size);
    put_tensors(tensors, tensors_size);
    char path[128], aside[128];
    snprintf(path, sizeof path, "%s/adapter_model.safetensors", folder);
    snprintf(aside, sizeof aside, "%s/README.md", folder);
    tp_safetensors *st = tp_safetensors_open(path);
    must(st != NULL);
    size_t count = tp_safetensors_count(st);
    tp_st_tensor *list = tp_alloc((count + 1) * sizeof *list);
    for (size_t i = 0; i < count; i++) list[i] = *tp_safetensors_get(st, i);
    char *copy = tp_alloc(tensors_size);
    size_t used = 0;
    for (size_t i = 0; i + 3 <= n && i < 30; i += 3) {
        tp_st_tensor *t = &list[data[i] % count];
        switch (data[i + 1] % 6) {
        case 0: /* other numbers */
            if (used + t->n_bytes > tensors_size) break;
            t->data = memcpy(copy + used, t->data, t->n_bytes);
            used += t->n_bytes;
            memcpy((char *)(uintptr_t)t->data + data[i + 2] * sizeof(float) % t->n_bytes, &odd[data[i + 2] % 8], 4);
            break;
        case 1:
            t->dtype = data[i + 2] % 2 ? TP_I32 : TP_F32;
            break;
        case 2:
            t->name = data[i + 2] % 2 ? "queries" : "other";
            break;
        case 3: /* turned */
            if (t->n_dims == 2) t->shape[0] ^= t->shape[1], t->shape[1] ^= t->shape[0], t->shape[0] ^= t->shape[1];
            break;
        case 4: /* another number of dimensions */
            if (t->n_dims == 1) t->n_dims = 2, t->shape[1] = 1;
            break;
        default: /* away */
            if (count > 1) *t = list[--count];
        }
    }
    tp_st_metadata binding = {.key = binding_key, .value = tp_safetensors_metadata(st, binding_key)};
    bool written = tp_safetensors_write(aside, list, count, &binding, 1) == TP_OK; /* not with a name given twice */
    tp_safetensors_close(st);
    if (written) must(rename(aside, path) == 0);
    try_folder();
    tp_free(copy);
    tp_free(list);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (config == NULL) {
        set_up();
        must(try_folder());
    }
    if (size == 0) return 0;
    if (data[0] == '{') {
        put_config(data, size);
        put_tensors(tensors, tensors_size);
        try_folder();
        return 0;
    }
    int choice = *data++ % 6;
    size--;
    if (choice == 0) {
        put_config(config, config_size);
        put_tensors(data, size);
        try_folder();
    } else if (choice == 1 || choice == 2) {
        try_changed(data, size, choice == 1);
    } else if (choice == 3) {
        try_keys(data, size);
    } else if (choice == 4) {
        try_tensors(data, size);
    } else if (save_bridge((const char *)data, size, folder)) {
        must(try_folder());
    }
    return 0;
}
