/* From what people write to a path. See model_path.h. The layout of the cache is huggingface_hub's:
 * models--ORG--NAME/refs/REVISION holds a commit, snapshots/COMMIT the files (links into blobs/). */
#include "base/model_path.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>

enum { LARGEST_REF = 256, LONGEST_NAME = 96, MOST_LISTED = 8 };

/* ---- folders of GGUF files ---- */

static bool holds(const char *folder, const char *name) {
    char *path = tp_path_join(folder, name);
    bool there = tp_path_exists(path);
    tp_free(path);
    return there;
}

/* Takes `path` and gives it back, or the one .gguf file in it. */
static char *enter_folder(char *path) {
    DIR *dir = opendir(path);
    if (dir == NULL || holds(path, "model.safetensors") || holds(path, "model.safetensors.index.json")) {
        if (dir) closedir(dir);
        return path;
    }
    int n = 0;
    char *one = NULL;
    tp_str list = {0};
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        if (!tp_ends_with(entry->d_name, ".gguf")) continue;
        if (n++ < MOST_LISTED) tp_str_appendf(&list, "%s%s", n > 1 ? ", " : "", entry->d_name);
        tp_free(one);
        one = tp_path_join(path, entry->d_name);
    }
    closedir(dir);
    if (n > 1) {
        tp_fail(TP_ERR_ARGUMENT, "%s holds %d GGUF files, say which one is meant: %s%s", path, n, list.data,
                n > MOST_LISTED ? ", ..." : "");
        tp_free(one);
        one = NULL;
    } else if (n == 0) {
        one = tp_strdup(path);
    }
    tp_str_free(&list);
    tp_free(path);
    return one;
}

/* ---- the cache ---- */

static char *cache_folder(void) {
    const char *direct[] = {getenv("HF_HUB_CACHE"), getenv("HUGGINGFACE_HUB_CACHE")};
    for (int i = 0; i < 2; i++)
        if (direct[i] && *direct[i]) return tp_strdup(direct[i]);
    const char *home = getenv("HF_HOME"), *cache = getenv("XDG_CACHE_HOME"), *user = getenv("HOME");
    if (home && *home) return tp_path_join(home, "hub");
    if (cache && *cache) return tp_path_join(cache, "huggingface/hub");
    return tp_path_join(user ? user : "", ".cache/huggingface/hub");
}

/* Letters, digits, '-', '_' and '.', not at either end nor twice: what the Hub allows. */
static bool is_plain_name(const char *text, size_t n) {
    if (n == 0 || n > LONGEST_NAME) return false;
    for (size_t i = 0; i < n; i++) {
        char c = text[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
        if (!letter && c != '-' && c != '.') return false;
        if (c == '.' && (i == 0 || i + 1 == n || text[i - 1] == '.')) return false;
    }
    return true;
}

/* A branch such as "refs/pr/1": plain names with slashes between, so that it leads nowhere else. */
static bool is_revision(const char *text) {
    for (;;) {
        size_t n = strcspn(text, "/");
        if (!is_plain_name(text, n)) return false;
        if (text[n] == '\0') return true;
        text += n + 1;
    }
}

/* "org/name@revision" taken apart: the folder's name in the cache, owned by the caller; NULL if it is none. */
static char *folder_name(const char *model, size_t n) {
    const char *slash = memchr(model, '/', n);
    size_t org = slash ? (size_t)(slash - model) : 0, start = slash ? org + 1 : 0;
    if ((slash && !is_plain_name(model, org)) || !is_plain_name(model + start, n - start)) return NULL;
    return slash ? tp_format("models--%.*s--%.*s", (int)org, model, (int)(n - start), model + start)
                 : tp_format("models--%.*s", (int)n, model);
}

/* The commit that refs/REVISION holds; NULL if there is none. */
static char *read_ref(const char *folder, const char *revision) {
    char *path = tp_format("%s/refs/%s", folder, revision), *text = NULL;
    size_t n = 0;
    if (tp_path_exists(path) && !tp_is_dir(path) && tp_read_file(path, LARGEST_REF, &text, &n) == TP_OK)
        while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == '\r' || text[n - 1] == ' ')) text[--n] = '\0';
    tp_free(path);
    if (text && is_plain_name(text, n)) return text;
    tp_free(text);
    return NULL;
}

/* The snapshot of that revision (a ref, or a commit itself); NULL if there is none. */
static char *snapshot(const char *folder, const char *revision) {
    char *commit = read_ref(folder, revision);
    char *path = tp_format("%s/snapshots/%s", folder, commit ? commit : revision);
    tp_free(commit);
    if (tp_is_dir(path)) return path;
    tp_free(path);
    return NULL;
}

static char *look_up(const char *model, const char *name, size_t n, const char *revision) {
    char *cache = cache_folder(), *folder = tp_path_join(cache, name);
    char *path = snapshot(folder, revision ? revision : "main");
    if (path == NULL) {
        tp_str command = {0};
        tp_str_appendf(&command, "hf download %.*s", (int)n, model);
        if (revision) tp_str_appendf(&command, " --revision %s", revision);
        tp_fail(TP_ERR_IO,
                "there is no model at %s, and the Hugging Face cache %s does not have it; if it is a model there, "
                "download it with: %s (in older versions: huggingface-cli%s)",
                model, cache, command.data, command.data + 2);
        tp_str_free(&command);
    }
    tp_free(folder);
    tp_free(cache);
    return path;
}

char *tp_model_path(const char *model) {
    if (tp_path_exists(model)) return enter_folder(tp_strdup(model));
    size_t n = strcspn(model, "@");
    const char *revision = model[n] == '@' ? model + n + 1 : NULL;
    bool file = n > 5 && strncmp(model + n - 5, ".gguf", 5) == 0; /* a file that is not there, no name on the Hub */
    char *name = file ? NULL : folder_name(model, n);
    if (name == NULL || (revision && !is_revision(revision))) {
        tp_free(name);
        return tp_strdup(model);
    }
    char *path = look_up(model, name, n, revision);
    tp_free(name);
    return path ? enter_folder(path) : NULL;
}
