/* The recipes of a folder. See recipe_list.h. */
#include "bridge/recipe_list.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static tp_status add(tp_recipe_list *list, char *name, char *path) {
    tp_recipe *recipe = tp_recipe_load(path);
    if (recipe == NULL) {
        tp_free(name);
        tp_free(path);
        return tp_last_status();
    }
    tp_grow(&list->items, &list->capacity, list->n, sizeof *list->items);
    list->items[list->n++] = (tp_listed_recipe){name, path, recipe};
    return TP_OK;
}

static int by_name(const struct dirent **a, const struct dirent **b) {
    return strcmp((*a)->d_name, (*b)->d_name);
}

static bool holds_recipes(const char *folder) {
    return folder[0] != '.' && strcmp(folder, "suites") != 0 && strcmp(folder, "pretrain") != 0;
}

/* The files of a folder first, then (with `deep`) those of the folders in it. */
static tp_status read_folder(tp_recipe_list *list, const char *folder, const char *prefix, bool deep) {
    struct dirent **entries;
    int n = scandir(folder, &entries, NULL, by_name);
    if (n < 0) return tp_fail(TP_ERR_IO, "%s: %s", folder, strerror(errno));
    tp_status status = TP_OK;
    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < n && status == TP_OK; i++) {
            const char *entry = entries[i]->d_name;
            char *path = tp_path_join(folder, entry);
            bool inner = tp_is_dir(path);
            if (pass == 0 && !inner && tp_ends_with(entry, ".json"))
                status = add(list, tp_format("%s%.*s", prefix, (int)strlen(entry) - 5, entry), tp_strdup(path));
            if (pass == 1 && inner && deep && holds_recipes(entry)) {
                char *below = tp_format("%s/", entry);
                status = read_folder(list, path, below, false);
                tp_free(below);
            }
            tp_free(path);
        }
    for (int i = 0; i < n; i++) free(entries[i]);
    free(entries);
    return status;
}

tp_status tp_recipe_list_read(const char *folder, tp_recipe_list *out) {
    *out = (tp_recipe_list){0};
    return read_folder(out, folder, "", true);
}

void tp_recipe_list_free(tp_recipe_list *list) {
    for (size_t i = 0; i < list->n; i++) {
        tp_free(list->items[i].name);
        tp_free(list->items[i].path);
        tp_recipe_free(list->items[i].recipe);
    }
    tp_free(list->items);
    *list = (tp_recipe_list){0};
}

/* Is `name` the whole of `listed`, its last part, that part's number, or that part behind its number? */
static bool called(const char *listed, const char *name) {
    const char *slash = strrchr(listed, '/'), *last = slash ? slash + 1 : listed;
    const char *dash = strchr(last, '-');
    bool numbered = dash && last[0] >= '0' && last[0] <= '9'; /* "15" and "15a" alike */
    size_t digits = numbered ? (size_t)(dash - last) : 0;
    bool phase = strncmp(listed, "phases/", 7) == 0; /* whose numbers people know */
    return strcmp(listed, name) == 0 || strcmp(last, name) == 0 ||
           (phase && numbered && strlen(name) == digits && strncmp(last, name, digits) == 0) ||
           (numbered && strcmp(last + digits + 1, name) == 0);
}

char *tp_recipe_find(const tp_recipe_list *list, const char *name) {
    if (tp_path_exists(name) && !tp_is_dir(name)) return tp_strdup(name);
    const tp_listed_recipe *found = NULL;
    for (size_t i = 0; i < list->n; i++) {
        if (!called(list->items[i].name, name)) continue;
        if (found)
            return tp_fail_null(TP_ERR_ARGUMENT, "both %s and %s are called `%s`; say the whole name", found->name,
                                list->items[i].name, name);
        found = &list->items[i];
    }
    if (found) return tp_strdup(found->path);
    return tp_fail_null(TP_ERR_ARGUMENT,
                        "there is no recipe `%s`: neither a file nor one that `telepathy recipes list` shows", name);
}
