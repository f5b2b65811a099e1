/* See download.h. */
#include "data/download.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/sha256.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct transfer {
    const tp_published *file;
    int descriptor; /* of the part */
    int64_t have;   /* bytes in it */
    bool write_failed;
    bool too_long; /* the server sends more than was published */
    tp_progress *progress;
} transfer;

/* The size and then the digest: TP_OK if the file at `path` is what was published. */
static tp_status verify(const tp_published *file, const char *path) {
    int64_t size = tp_file_size(path);
    if (size != file->size)
        return tp_fail(TP_ERR_FORMAT, "%s has %lld bytes, %lld were published (%s)", path, (long long)size,
                       (long long)file->size, file->url);
    char found[65];
    TP_TRY(tp_sha256_file(path, found));
    if (strcmp(found, file->sha256) == 0) return TP_OK;
    return tp_fail(TP_ERR_FORMAT, "%s has the SHA-256 %s, that of the published file is %s (%s)", path, found,
                   file->sha256, file->url);
}

static size_t take(char *bytes, size_t size, size_t n, void *context) {
    transfer *t = context;
    size_t left = size * n;
    if (t->have + (int64_t)left > t->file->size) {
        t->too_long = true;
        return 0; /* ends the transfer */
    }
    while (left > 0) {
        ssize_t written = write(t->descriptor, bytes, left);
        if (written < 0 && errno == EINTR) continue;
        if (written <= 0) {
            t->write_failed = true;
            return 0;
        }
        bytes += written;
        left -= (size_t)written;
        t->have += written;
    }
    tp_progress_update(t->progress, (double)t->have, (double)t->have, "%s", "");
    return size * n;
}

/* Opens the part for appending and locks it; -1 on error. */
static int open_part(const char *path) {
    int descriptor = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (descriptor < 0) {
        tp_fail(TP_ERR_IO, "cannot write %s: %s", path, strerror(errno));
        return -1;
    }
    if (flock(descriptor, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
        tp_fail(TP_ERR_IO, "%s is being fetched by another process", path);
        close(descriptor);
        return -1;
    }
    return descriptor;
}

static tp_status begin_anew(transfer *t, const char *path) {
    t->have = 0;
    if (ftruncate(t->descriptor, 0) == 0) return TP_OK;
    return tp_fail(TP_ERR_IO, "cannot empty %s: %s", path, strerror(errno));
}

/* One request for what is missing. */
static tp_status request(transfer *t, const char *path, CURLcode *result, char *reason) {
    CURL *curl = curl_easy_init();
    if (curl == NULL) return tp_fail(TP_ERR_IO, "libcurl cannot be used");
    reason[0] = '\0';
    curl_easy_setopt(curl, CURLOPT_URL, t->file->url);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "https,http,file");
    curl_easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS_STR, "https,http");
    curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 1L);
    curl_easy_setopt(curl, CURLOPT_MAXREDIRS, 10L);
    curl_easy_setopt(curl, CURLOPT_FAILONERROR, 1L);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, 30L);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L); /* a byte a second over a minute: the line is dead */
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, 60L);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "telepathy/" TP_VERSION);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, t);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, reason);
    curl_easy_setopt(curl, CURLOPT_RESUME_FROM_LARGE, (curl_off_t)t->have);
    int64_t before = t->have;
    *result = curl_easy_perform(curl);
    if (reason[0] == '\0') snprintf(reason, CURL_ERROR_SIZE, "%s", curl_easy_strerror(*result));
    curl_easy_cleanup(curl);
    if (t->write_failed) return tp_fail(TP_ERR_IO, "cannot write %s: %s", path, strerror(errno));
    /* A server that knows no ranges, or has another file by now: once more from the beginning. */
    bool refused =
        *result == CURLE_RANGE_ERROR || *result == CURLE_HTTP_RETURNED_ERROR || *result == CURLE_BAD_DOWNLOAD_RESUME;
    if (before > 0 && (t->too_long || refused)) {
        t->too_long = false;
        TP_TRY(begin_anew(t, path));
        return request(t, path, result, reason);
    }
    return TP_OK;
}

static tp_status fetch(transfer *t, const char *path) {
    CURLcode result = CURLE_OK;
    char reason[CURL_ERROR_SIZE];
    if (t->have > t->file->size) TP_TRY(begin_anew(t, path));
    if (t->have < t->file->size) TP_TRY(request(t, path, &result, reason));
    if (t->too_long) {
        TP_TRY(begin_anew(t, path));
        return tp_fail(TP_ERR_FORMAT, "%s: more than the published %lld bytes arrived; the file has changed there",
                       t->file->url, (long long)t->file->size);
    }
    if (result != CURLE_OK)
        return tp_fail(TP_ERR_IO, "%s: %s (%lld of %lld bytes are in %s; try again to go on)", t->file->url, reason,
                       (long long)t->have, (long long)t->file->size, path);
    if (t->have < t->file->size)
        return tp_fail(TP_ERR_FORMAT, "%s: %lld bytes arrived, %lld were published", t->file->url, (long long)t->have,
                       (long long)t->file->size);
    if (fsync(t->descriptor) != 0) return tp_fail(TP_ERR_IO, "cannot write %s: %s", path, strerror(errno));
    tp_status status = verify(t->file, path);
    if (status == TP_ERR_FORMAT && ftruncate(t->descriptor, 0) != 0)
        return tp_fail_context("%s holds what is wrong and cannot be emptied: ", path);
    return status;
}

tp_status tp_download(const tp_published *file, const char *folder, tp_progress *progress, bool *already) {
    char *path = tp_path_join(folder, file->name), *part = tp_format("%s.part", path);
    bool there = tp_path_exists(path);
    tp_status status = there ? verify(file, path) : TP_OK;
    if (already) *already = there && status == TP_OK;
    if (there && status != TP_OK) status = tp_fail_context("not overwritten: ");
    transfer t = {.file = file, .descriptor = -1, .progress = progress};
    if (!there) {
        t.descriptor = open_part(part);
        struct stat info;
        if (t.descriptor < 0)
            status = tp_last_status();
        else if (fstat(t.descriptor, &info) != 0)
            status = tp_fail(TP_ERR_IO, "cannot read %s: %s", part, strerror(errno));
        else
            t.have = (int64_t)info.st_size;
    }
    if (!there && status == TP_OK) {
        tp_progress_begin(progress, file->name, (double)file->size, "bytes", NULL);
        tp_progress_resume(progress, (double)t.have, (double)t.have);
        status = fetch(&t, part);
        tp_progress_end(progress);
        if (status == TP_OK && rename(part, path) != 0)
            status = tp_fail(TP_ERR_IO, "cannot rename %s: %s", part, strerror(errno));
    }
    if (t.descriptor >= 0) close(t.descriptor);
    tp_free(path);
    tp_free(part);
    return status;
}
