/* See sha256.h. */
#include "base/sha256.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

tp_status tp_sha256_file(const char *path, char hex[65]) {
    FILE *file = fopen(path, "rb");
    if (file == NULL) return tp_fail(TP_ERR_IO, "cannot open %s: %s", path, strerror(errno));
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool ok = context && EVP_DigestInit_ex(context, EVP_sha256(), NULL);
    unsigned char buffer[1 << 16], digest[32];
    for (size_t n; ok && (n = fread(buffer, 1, sizeof buffer, file)) > 0;)
        ok = EVP_DigestUpdate(context, buffer, n) != 0;
    bool read = !ferror(file);
    ok = ok && EVP_DigestFinal_ex(context, digest, NULL);
    EVP_MD_CTX_free(context);
    fclose(file);
    if (!read) return tp_fail(TP_ERR_IO, "cannot read %s", path);
    if (!ok) return tp_fail(TP_ERR_IO, "libcrypto could not compute the SHA-256 of %s", path);
    for (int i = 0; i < 32; i++) snprintf(hex + 2 * i, 3, "%02x", digest[i]);
    return TP_OK;
}
