/* Finding what comes with the program: models, recipes. */
#ifndef TP_CLI_SOURCE_TREE_H
#define TP_CLI_SOURCE_TREE_H

/* The folder of the running program; the caller frees it. */
char *tp_program_folder(void);

/* A file of the source tree: below the current folder, or above the folder of the program (build/). The caller frees
 * the path; whoever opens it says if it is not there. */
char *tp_in_source_tree(const char *name);

#endif
