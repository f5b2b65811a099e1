/* Fetching the published files of a task.
 *
 * What arrives goes into NAME.part beside its destination and stays there when the connection breaks, so that the next
 * try asks for the rest only (an HTTP range). The file gets its name once its size and SHA-256 are those that were
 * published; what is wrong is never left under that name. */
#ifndef TP_DATA_DOWNLOAD_H
#define TP_DATA_DOWNLOAD_H

#include "base/error.h"
#include "base/progress.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct tp_published {
    const char *name; /* of the file, without a folder */
    const char *url;
    int64_t size;       /* bytes */
    const char *sha256; /* 64 hexadecimal digits in lower case */
} tp_published;

/* Puts the file into the folder, which must exist. *already (may be NULL) says that it was there and right. One process
 * at a time may fetch a file. Errors say what arrived and what was expected. */
tp_status tp_download(const tp_published *file, const char *folder, tp_progress *progress, bool *already);

#endif
