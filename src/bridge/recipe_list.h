/* The recipes of a folder, such as those that come with the program: found by name, read, sorted. */
#ifndef TP_BRIDGE_RECIPE_LIST_H
#define TP_BRIDGE_RECIPE_LIST_H

#include "bridge/recipe.h"

#include <stddef.h>

typedef struct tp_listed_recipe {
    char *name; /* from the folder, without its end: "phases/01-lm-recon" */
    char *path;
    tp_recipe *recipe; /* not completed */
} tp_listed_recipe;

typedef struct tp_recipe_list {
    tp_listed_recipe *items; /* [n] by name; those of the folder itself first */
    size_t n, capacity;
} tp_recipe_list;

/* Reads all recipes of a folder and of those right below it; the folders `suites` and `pretrain` hold something else.
 * One that cannot be read is an error. Free with tp_recipe_list_free, also after an error. */
tp_status tp_recipe_list_read(const char *folder, tp_recipe_list *out);
void tp_recipe_list_free(tp_recipe_list *list);

/* The path of a recipe by what people call it: a file that is there, or a name as in the list: whole ("phases/
 * 01-lm-recon"), without its folder ("01-lm-recon"), its words alone ("lm-recon"), or a phase's number alone ("01").
 * The caller frees it. NULL on error: none or several are called so. */
char *tp_recipe_find(const tp_recipe_list *list, const char *name);

#endif
