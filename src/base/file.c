/* Files: mapping, reading, atomic writing. See file.h. */
#include "base/file.h"

#include "base/mem.h"
#include "base/str.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

static tp_status io_error(const char *doing, const char *path) {
    return tp_fail(TP_ERR_IO, "cannot %s %s: %s", doing, path, strerror(errno));
}

tp_status tp_map_file(const char *path, tp_mapping *out) {
    *out = (tp_mapping){0};
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return io_error("open", path);
    struct stat st;
    if (fstat(fd, &st) != 0) {
        close(fd);
        return io_error("read", path);
    }
    if (!S_ISREG(st.st_mode)) {
        close(fd);
        return tp_fail(TP_ERR_IO, "cannot read %s: it is not a regular file", path);
    }
    if (st.st_size > 0) {
        void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
        if (p == MAP_FAILED) {
            close(fd);
            return io_error("map", path);
        }
        out->data = p;
        out->size = (size_t)st.st_size;
    }
    close(fd);
    return TP_OK;
}

void tp_unmap_file(tp_mapping *mapping) {
    if (mapping->data) munmap((void *)(uintptr_t)mapping->data, mapping->size);
    *mapping = (tp_mapping){0};
}

/* Advice is for whole pages. */
static void advise(const void *part, size_t size, int advice) {
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), from = (uintptr_t)part / page * page;
    if (size > 0) madvise((void *)from, (uintptr_t)part + size - from, advice);
}

void tp_map_sparsely(const void *part, size_t size, bool sparsely) {
    advise(part, size, sparsely ? MADV_RANDOM : MADV_NORMAL);
}

void tp_fetch_mapped(const void *part, size_t size) {
    advise(part, size, MADV_WILLNEED);
}

tp_status tp_lock_mapping(const tp_mapping *mapping, const char *path) {
    if (mapping->size == 0 || mlock(mapping->data, mapping->size) == 0) return TP_OK;
    return tp_fail(TP_ERR_MEMORY, "cannot keep the %zu bytes of %s in memory (%s): see ulimit -l", mapping->size, path,
                   strerror(errno));
}

/* zlib's gz* functions read plain files as they are, so one path serves both. */
static gzFile open_gz(const char *path) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        io_error("open", path);
        return NULL;
    }
    struct stat st;
    if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode)) {
        close(fd);
        return tp_fail_null(TP_ERR_IO, "cannot read %s: it is a folder, a file was expected", path);
    }
    gzFile gz = gzdopen(fd, "rb");
    if (gz == NULL) {
        close(fd);
        return tp_fail_null(TP_ERR_MEMORY, "cannot read %s: out of memory", path);
    }
    gzbuffer(gz, 1 << 17);
    return gz;
}

static tp_status gz_error(gzFile gz, const char *path) {
    int code = 0;
    const char *what = gzerror(gz, &code);
    if (code == Z_BUF_ERROR) what = "the gzip file is cut off";
    return tp_fail(TP_ERR_IO, "cannot read %s: %s", path, code == Z_ERRNO ? strerror(errno) : what);
}

/* gzread, but a gzip file that ends too early is an error (-1) like any other; zlib itself calls that an end. */
static int read_gz(gzFile gz, void *buffer, unsigned size) {
    int n = gzread(gz, buffer, size), code = Z_OK;
    if (n == 0) gzerror(gz, &code);
    return code == Z_OK || code == Z_STREAM_END ? n : -1;
}

tp_status tp_read_file(const char *path, size_t limit, char **out, size_t *size) {
    *out = NULL;
    *size = 0;
    gzFile gz = open_gz(path);
    if (gz == NULL) return tp_last_status();
    tp_str text = {0};
    char buffer[1 << 16];
    int n;
    tp_status status = TP_OK;
    while ((n = read_gz(gz, buffer, sizeof buffer)) > 0) {
        tp_str_append(&text, buffer, (size_t)n);
        if (limit > 0 && text.len > limit) {
            status = tp_fail(TP_ERR_FORMAT, "%s is larger than the %zu bytes allowed for such a file", path, limit);
            break;
        }
    }
    if (n < 0) status = gz_error(gz, path);
    gzclose(gz);
    if (status != TP_OK) {
        tp_str_free(&text);
        return status;
    }
    *size = text.len;
    *out = tp_str_take(&text);
    return TP_OK;
}

/* ---- writing ---- */

struct tp_writer {
    FILE *file;
    char *path;
    char *temporary;
    int error; /* errno of the first failed write, 0 if none */
};

tp_writer *tp_writer_open(const char *path) {
    tp_writer *w = tp_alloc(sizeof *w);
    w->path = tp_strdup(path);
    w->temporary = tp_format("%s.%ld.tmp", path, (long)getpid());
    w->file = fopen(w->temporary, "wbe");
    if (w->file == NULL) {
        io_error("write", path);
        tp_writer_abandon(w);
        return NULL;
    }
    (void)flock(fileno(w->file), LOCK_EX | LOCK_NB); /* someone is writing it: see tp_remove_leftovers */
    return w;
}

void tp_writer_write(tp_writer *w, const void *bytes, size_t n) {
    if (n > 0 && w->error == 0 && fwrite(bytes, 1, n, w->file) != n) w->error = errno ? errno : EIO;
}

void tp_writer_printf(tp_writer *w, const char *format, ...) {
    va_list args;
    va_start(args, format);
    if (w->error == 0 && vfprintf(w->file, format, args) < 0) w->error = errno ? errno : EIO;
    va_end(args);
}

/* The rename itself lives in the folder: without this a power cut could undo it. */
static void sync_folder_of(const char *path) {
    char *folder = tp_strdup(path);
    char *slash = strrchr(folder, '/');
    if (slash) slash[slash == folder ? 1 : 0] = '\0';
    int fd = open(slash ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        (void)fsync(fd);
        close(fd);
    }
    tp_free(folder);
}

tp_status tp_writer_commit(tp_writer *w) {
    if (w->error == 0 && (fflush(w->file) != 0 || fsync(fileno(w->file)) != 0)) w->error = errno;
    /* renamed while still open, and so still locked: nobody takes it for a leftover */
    if (w->error == 0 && rename(w->temporary, w->path) != 0) w->error = errno;
    if (fclose(w->file) != 0 && w->error == 0) w->error = errno;
    w->file = NULL;
    tp_status status = TP_OK;
    if (w->error) {
        errno = w->error;
        status = io_error("write", w->path);
    } else {
        sync_folder_of(w->path);
        w->temporary[0] = '\0'; /* nothing left to remove */
    }
    tp_writer_abandon(w);
    return status;
}

void tp_writer_abandon(tp_writer *w) {
    if (w == NULL) return;
    if (w->file) fclose(w->file);
    if (w->temporary[0]) unlink(w->temporary);
    tp_free(w->temporary);
    tp_free(w->path);
    tp_free(w);
}

tp_status tp_write_file(const char *path, const void *bytes, size_t n) {
    tp_writer *w = tp_writer_open(path);
    if (w == NULL) return tp_last_status();
    tp_writer_write(w, bytes, n);
    return tp_writer_commit(w);
}

/* Is it the name of a writer's temporary, "name.PID.tmp"? */
static bool is_temporary(const char *name) {
    size_t n = strlen(name), end = n < 4 ? 0 : n - 4, begin = end;
    if (end == 0 || strcmp(name + end, ".tmp") != 0) return false;
    while (begin > 0 && name[begin - 1] >= '0' && name[begin - 1] <= '9') begin--;
    return begin < end && begin > 0 && name[begin - 1] == '.';
}

/* Whether a process still writes a temporary is told by its lock, which goes with the process. Its number would not
 * do: a killed process keeps it until its parent has noticed, and then another process may get it. */
void tp_remove_leftovers(const char *folder) {
    DIR *dir = opendir(folder);
    if (dir == NULL) return;
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        if (!is_temporary(entry->d_name)) continue;
        int fd = openat(dirfd(dir), entry->d_name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0) continue;
        if (flock(fd, LOCK_EX | LOCK_NB) == 0) unlinkat(dirfd(dir), entry->d_name, 0);
        close(fd);
    }
    closedir(dir);
}

int tp_lock_folder(const char *folder, const char *what) {
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        tp_fail(TP_ERR_IO, "cannot open the folder %s: %s", folder, strerror(errno));
        return -1;
    }
    if (flock(fd, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK) return fd;
    close(fd);
    tp_fail(TP_ERR_IO, "%s is in use: %s is running there. Wait for it to end, or choose another folder", folder, what);
    return -1;
}

/* ---- paths ---- */

tp_status tp_make_dirs(const char *path) {
    char *part = tp_strdup(path);
    for (char *p = part + 1; *p; p++) {
        if (*p != '/') continue;
        *p = '\0';
        if (mkdir(part, 0777) != 0 && errno != EEXIST) {
            tp_free(part);
            return io_error("make the folder", path);
        }
        *p = '/';
    }
    int failed = mkdir(part, 0777) != 0 && errno != EEXIST;
    tp_free(part);
    if (failed) return io_error("make the folder", path);
    if (!tp_is_dir(path)) return tp_fail(TP_ERR_IO, "cannot make the folder %s: a file of that name exists", path);
    return TP_OK;
}

bool tp_path_exists(const char *path) {
    return access(path, F_OK) == 0;
}

bool tp_is_dir(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

int64_t tp_file_size(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 ? (int64_t)st.st_size : -1;
}

char *tp_path_join(const char *folder, const char *name) {
    return tp_format("%s%s%s", folder, tp_ends_with(folder, "/") ? "" : "/", name);
}

char *tp_path_last(const char *path) {
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/') n--;
    size_t from = n;
    while (from > 0 && path[from - 1] != '/') from--;
    return tp_strndup(path + from, n - from);
}

/* ---- lines ---- */

struct tp_lines {
    gzFile gz;
    char *path;
    tp_str line;
    tp_status status;
    char buffer[1 << 16];
    size_t at, filled;
};

tp_lines *tp_lines_open(const char *path) {
    gzFile gz = open_gz(path);
    if (gz == NULL) return NULL;
    tp_lines *lines = tp_alloc(sizeof *lines);
    lines->gz = gz;
    lines->path = tp_strdup(path);
    return lines;
}

bool tp_lines_next(tp_lines *lines, char **line, size_t *len) {
    tp_str_clear(&lines->line);
    bool any = false;
    for (;;) {
        if (lines->at == lines->filled) {
            int n = read_gz(lines->gz, lines->buffer, sizeof lines->buffer);
            if (n < 0) lines->status = gz_error(lines->gz, lines->path);
            if (n <= 0) break;
            lines->at = 0;
            lines->filled = (size_t)n;
        }
        char *start = lines->buffer + lines->at;
        char *end = memchr(start, '\n', lines->filled - lines->at);
        size_t n = end ? (size_t)(end - start) : lines->filled - lines->at;
        tp_str_append(&lines->line, start, n);
        any = true;
        lines->at += n + (end ? 1 : 0);
        if (end) break;
    }
    if (!any || lines->status != TP_OK) return false;
    *line = lines->line.data;
    *len = lines->line.len;
    return true;
}

tp_status tp_lines_status(const tp_lines *lines) {
    return lines->status;
}

void tp_lines_close(tp_lines *lines) {
    if (lines == NULL) return;
    gzclose(lines->gz);
    tp_str_free(&lines->line);
    tp_free(lines->path);
    tp_free(lines);
}
