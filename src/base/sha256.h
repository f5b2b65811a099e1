/* SHA-256 of files, by which data sets are published. For our own fingerprints hash.h is the faster one. */
#ifndef TP_BASE_SHA256_H
#define TP_BASE_SHA256_H

#include "base/error.h"

/* The file's SHA-256 as 64 hexadecimal digits in lower case. */
tp_status tp_sha256_file(const char *path, char hex[65]);

#endif
