/* What the tests of configurations share: a folder, fixtures by name, and configs by JSON text. */
#ifndef TP_TESTS_CONFIG_TEXT_H
#define TP_TESTS_CONFIG_TEXT_H

#include "check.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "lm/config.h"

static char *dir;

static inline char *in_dir(const char *name) {
    static char path[4096];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

static inline const char *fixture(const char *name) {
    static char path[4096];
    snprintf(path, sizeof path, "%s/tests/fixtures/lm/%s", TP_SOURCE_DIR, name);
    return path;
}

static inline tp_lm_config read_ok(const char *folder) {
    tp_lm_config c;
    check_ok(tp_lm_config_read(folder, &c));
    return c;
}

static inline void write_text(const char *path, const char *text) {
    check_ok(tp_write_file(path, text, strlen(text)));
}

static inline void config_fingerprint(const tp_lm_config *c, char hex[33]) {
    tp_hash *h = tp_hash_new();
    tp_lm_config_hash(c, h);
    tp_hash_end(h, hex);
}

static inline void same_config(const tp_lm_config *a, const tp_lm_config *b) {
    char one[33], two[33];
    config_fingerprint(a, one);
    config_fingerprint(b, two);
    assert_string_equal(one, two);
    assert_int_equal(a->family, b->family);
    assert_int_equal(a->max_position_embeddings, b->max_position_embeddings);
    assert_int_equal(a->bos_id, b->bos_id);
    assert_int_equal(a->n_eos, b->n_eos);
    assert_memory_equal(a->eos_ids, b->eos_ids, sizeof a->eos_ids);
    assert_int_equal(a->dtype, b->dtype);
}

/* Reads the text as a config.json. */
static inline tp_status read_text(const char *text, tp_lm_config *c) {
    write_text(in_dir("config.json"), text);
    return tp_lm_config_read_file(in_dir("config.json"), c);
}

/* A sound small config with `more` (key-value pairs that begin with a comma) added. */
static inline tp_status read_with(const char *type, const char *more, tp_lm_config *c) {
    char *text =
        tp_format("{\"model_type\": \"%s\", \"vocab_size\": 100, \"hidden_size\": 32, \"num_hidden_layers\": 4, "
                  "\"num_attention_heads\": 4, \"intermediate_size\": 64%s%s}",
                  type, strcmp(type, "llama") == 0 ? "" : ", \"num_key_value_heads\": 2", more);
    tp_status status = read_text(text, c);
    tp_free(text);
    return status;
}

/* The words must stand in the last error. */
static inline void refused(tp_status wanted, tp_status got, const char *what, const char *words) {
    if (got != wanted) fail_msg("%s: status %d, expected %d", what, got, wanted);
    if (strstr(tp_last_error(), "config.json") == NULL) fail_msg("\"%s\" does not name the file", tp_last_error());
    if (strstr(tp_last_error(), words) == NULL) fail_msg("\"%s\" does not say \"%s\"", tp_last_error(), words);
}

static inline int make_dir(void **state) {
    (void)state;
    dir = check_temp_dir();
    return 0;
}

static inline int remove_dir(void **state) {
    (void)state;
    check_remove_dir(dir);
    return 0;
}

#endif
