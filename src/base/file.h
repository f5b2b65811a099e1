/* Files: mapped reading, whole-file reading, and writing that is never half done.
 *
 * Every file this program makes appears by write-to-temporary, fsync, rename: a reader sees the old file or the new
 * one, never a part. All functions name the path in their error sentence. */
#ifndef TP_BASE_FILE_H
#define TP_BASE_FILE_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* A file mapped read-only. Untouched pages are never read. */
typedef struct tp_mapping {
    const unsigned char *data; /* NULL for an empty file */
    size_t size;
} tp_mapping;

tp_status tp_map_file(const char *path, tp_mapping *out);
void tp_unmap_file(tp_mapping *mapping);

/* Whether a part of a mapped file is read here and there. Then of what is touched only that is read, where the system
 * would else read on (up to megabytes); tp_fetch_mapped begins to read what will be touched, without waiting. Wishes:
 * nothing fails. */
void tp_map_sparsely(const void *part, size_t size, bool sparsely);
void tp_fetch_mapped(const void *part, size_t size);

tp_status tp_lock_mapping(const tp_mapping *mapping, const char *path); /* keeps all of it in memory (mlock) */

/* The whole file (plain, or gzip if it starts so) in memory with a zero byte behind it; free with tp_free. `limit`
 * bounds the bytes taken (0: no bound); a larger file is an error. */
tp_status tp_read_file(const char *path, size_t limit, char **out, size_t *size);

/* A file in the making. Errors of single writes are remembered and reported by commit, so callers may write freely. */
typedef struct tp_writer tp_writer;
tp_writer *tp_writer_open(const char *path); /* NULL on error */
void tp_writer_write(tp_writer *w, const void *bytes, size_t n);
void tp_writer_printf(tp_writer *w, const char *format, ...) __attribute__((format(printf, 2, 3)));
tp_status tp_writer_commit(tp_writer *w); /* flush, fsync, rename over `path`; frees w in any case */
void tp_writer_abandon(tp_writer *w);     /* nothing appears; frees w; takes NULL */
tp_status tp_write_file(const char *path, const void *bytes, size_t n);

/* Locks a folder against other processes (flock): a descriptor to close, which unlocks, or -1 with an error if another
 * process holds it. Where the file system knows no locks, none is taken. `what` is what the folder is used for, for
 * the message. */
int tp_lock_folder(const char *folder, const char *what);

/* Removes from a folder what writers of killed processes left there: temporaries that nobody is writing any more. Call
 * it before anything is written; what cannot be removed stays. */
void tp_remove_leftovers(const char *folder);

tp_status tp_make_dirs(const char *path); /* like mkdir -p */
bool tp_path_exists(const char *path);
bool tp_is_dir(const char *path);
int64_t tp_file_size(const char *path);                   /* -1 if there is none */
char *tp_path_join(const char *folder, const char *name); /* malloc'ed */
char *tp_path_last(const char *path); /* the part people call it by, "wren" for "models/wren/"; malloc'ed */

/* Lines of a file that may be gzipped, one at a time, in memory bounded by the longest line. */
typedef struct tp_lines tp_lines;
tp_lines *tp_lines_open(const char *path); /* NULL on error */
/* The next line without its line feed (a CR before it is kept); false at the end or on error (see tp_lines_status). */
bool tp_lines_next(tp_lines *lines, char **line, size_t *len);
tp_status tp_lines_status(const tp_lines *lines);
void tp_lines_close(tp_lines *lines);

#endif
