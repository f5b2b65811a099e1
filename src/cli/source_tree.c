/* Finding what comes with the program. See source_tree.h. */
#include "cli/source_tree.h"

#include "base/file.h"
#include "base/mem.h"

#include <limits.h>
#include <unistd.h>

char *tp_program_folder(void) {
    char path[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
    while (n > 0 && path[n - 1] != '/') n--;
    return n > 1 ? tp_strndup(path, (size_t)n - 1) : tp_strdup(".");
}

char *tp_in_source_tree(const char *name) {
    if (tp_path_exists(name)) return tp_strdup(name);
    char *folder = tp_program_folder(), *path = tp_format("%s/../%s", folder, name);
    tp_free(folder);
    return path;
}
