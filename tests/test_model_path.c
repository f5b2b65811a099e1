/* base/model_path: paths as they are, names in a Hugging Face cache laid out as huggingface_hub does it, folders of
 * GGUF files, and the sentences for what is not there. */
#include "check.h"
#include "one_folder.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/model_path.h"
#include "lm/model.h"
#include "text/tokenizer.h"

static const char *in(const char *name) {
    static char path[4][4096];
    static int next;
    next = (next + 1) % 4;
    snprintf(path[next], sizeof path[next], "%s/%s", dir, name);
    return path[next];
}

static void put(const char *name, const char *text) {
    char *folder = tp_strdup(in(name));
    *strrchr(folder, '/') = '\0';
    check_ok(tp_make_dirs(folder));
    check_ok(tp_write_file(in(name), text, strlen(text)));
    tp_free(folder);
}

static void means(const char *model, const char *path) {
    char *found = tp_model_path(model);
    if (found == NULL) fail_msg("%s: %s", model, tp_last_error());
    assert_string_equal(found, path);
    tp_free(found);
}

static void refused(const char *model, const char *says) {
    char *found = tp_model_path(model);
    if (found) fail_msg("%s: %s", model, found);
    if (strstr(tp_last_error(), says) == NULL) fail_msg("\"%s\" does not say \"%s\"", tp_last_error(), says);
}

#define COMMIT "0123456789abcdef0123456789abcdef01234567"
#define OTHER  "fedcba9876543210fedcba9876543210fedcba98"

static void make_cache(const char *hub) {
    char name[256];
    const char *const files[][2] = {{"models--org--name/refs/main", COMMIT},
                                    {"models--org--name/refs/v2", OTHER "\n"},
                                    {"models--org--name/refs/refs/pr/1", OTHER},
                                    {"models--org--name/refs/gone", "00000000"},
                                    {"models--org--name/refs/evil", "../../../etc"},
                                    {"models--org--name/snapshots/" COMMIT "/config.json", "{}"},
                                    {"models--org--name/snapshots/" OTHER "/config.json", "{}"},
                                    {"models--alone/refs/main", COMMIT},
                                    {"models--alone/snapshots/" COMMIT "/config.json", "{}"},
                                    {"models--org--packed/refs/main", COMMIT},
                                    {"models--org--packed/snapshots/" COMMIT "/packed.Q8_0.gguf", "GGUF"}};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        snprintf(name, sizeof name, "%s/%s", hub, files[i][0]);
        put(name, files[i][1]);
    }
}

static void names_are_found_in_the_cache(void **state) {
    (void)state;
    make_cache("hub");
    setenv("HF_HUB_CACHE", in("hub"), 1);
    means("org/name", in("hub/models--org--name/snapshots/" COMMIT));
    means("org/name@main", in("hub/models--org--name/snapshots/" COMMIT));
    means("org/name@v2", in("hub/models--org--name/snapshots/" OTHER));
    means("org/name@refs/pr/1", in("hub/models--org--name/snapshots/" OTHER));
    means("org/name@" OTHER, in("hub/models--org--name/snapshots/" OTHER));
    means("alone", in("hub/models--alone/snapshots/" COMMIT));
    means("org/packed", in("hub/models--org--packed/snapshots/" COMMIT "/packed.Q8_0.gguf"));
}

static void what_is_not_there_gets_the_command(void **state) {
    (void)state;
    setenv("HF_HUB_CACHE", in("hub"), 1);
    refused("org/none", "hf download org/none (");
    refused("org/none", "huggingface-cli download org/none)");
    refused("org/none", in("hub"));
    refused("none", "hf download none (");
    refused("org/name@v3", "hf download org/name --revision v3 (");
    refused("org/name@gone", "--revision gone");
    refused("org/name@evil", "--revision evil"); /* a ref that leads out of the cache is none */
    assert_null(tp_lm_load("org/none", false));
    assert_non_null(strstr(tp_last_error(), "hf download org/none"));
    assert_null(tp_tokenizer_load("org/none", NULL));
    assert_non_null(strstr(tp_last_error(), "hf download org/none"));
}

static void what_is_no_name_stays_a_path(void **state) {
    (void)state;
    static const char *const paths[] = {
        "/no/where", "./nowhere",        "a/b/c",       "no where", "../x",       "a/..b",         "a/", "/", "",
        "org/name@", "org/name@../../x", "org/.hidden", "a..b/c",   "model.gguf", "models/8b.gguf"};
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) means(paths[i], paths[i]);
}

static void the_environment_says_where_the_cache_is(void **state) {
    (void)state;
    make_cache("home/hub");
    make_cache("xdg/huggingface/hub");
    make_cache("user/.cache/huggingface/hub");
    static const struct {
        const char *variable, *folder, *found;
    } places[] = {
        {"HOME", "user", "user/.cache/huggingface/hub"},
        {"XDG_CACHE_HOME", "xdg", "xdg/huggingface/hub"},
        {"HF_HOME", "home", "home/hub"},
        {"HF_HUB_CACHE", "hub", "hub"},
    };
    unsetenv("HF_HUB_CACHE");
    unsetenv("HUGGINGFACE_HUB_CACHE");
    unsetenv("HF_HOME");
    unsetenv("XDG_CACHE_HOME");
    for (int i = 0; i < 4; i++) { /* each goes before the ones above it */
        char path[512];
        setenv(places[i].variable, in(places[i].folder), 1);
        snprintf(path, sizeof path, "%s/models--alone/snapshots/" COMMIT, places[i].found);
        means("alone", in(path));
    }
}

static void a_folder_with_one_gguf_file_means_that_file(void **state) {
    (void)state;
    put("folder/readme.md", "");
    means(in("folder"), in("folder")); /* nothing of the kind: somebody else says what was expected */
    put("folder/model.Q4_0.gguf", "GGUF");
    means(in("folder"), in("folder/model.Q4_0.gguf"));
    means(in("folder/model.Q4_0.gguf"), in("folder/model.Q4_0.gguf"));
    put("folder/model.Q8_0.gguf", "GGUF");
    refused(in("folder"), "holds 2 GGUF files");
    refused(in("folder"), "model.Q4_0.gguf");
    refused(in("folder"), "model.Q8_0.gguf");
    put("folder/model.safetensors", "");
    means(in("folder"), in("folder")); /* the weights that belong to config.json */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_found_in_the_cache),
        cmocka_unit_test(what_is_not_there_gets_the_command),
        cmocka_unit_test(what_is_no_name_stays_a_path),
        cmocka_unit_test(the_environment_says_where_the_cache_is),
        cmocka_unit_test(a_folder_with_one_gguf_file_means_that_file),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
