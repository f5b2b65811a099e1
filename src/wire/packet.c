/* Packets: encoding and decoding. See packet.h, and docs/wire.md for the byte table that the offsets below follow. */
#include "wire/packet.h"

#include "base/bytes.h"
#include "base/half.h"
#include "base/hash.h"
#include "base/mem.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

enum {
    AT_MAGIC = 0,
    AT_VERSION = 4,
    AT_DTYPE = 6,
    AT_RESERVED = 7,
    AT_TOKENS = 8,
    AT_WIDTH = 12,
    AT_RECEIVER = 16,
    AT_BRIDGE = 32,
    HEADER = 48,
    CHECKSUM = 8,
    VERSION = 1,
    MOST_TOKENS = 65536,
    WIDEST = 1 << 20,
};

static const char magic[4] = {'T', 'P', 'S', 'T'};

/* In the order of their codes on the wire, from 1. */
static const tp_dtype dtypes[] = {TP_F32, TP_F16, TP_BF16, TP_I8, TP_I4};
enum { N_DTYPES = 5 };

static void put_float(unsigned char *at, float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    tp_put_le(at, bits, 4);
}

static float get_float(const unsigned char *at) {
    uint32_t bits = (uint32_t)tp_get_le(at, 4);
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static int code_of(tp_dtype dtype) {
    for (int i = 0; i < N_DTYPES; i++)
        if (dtypes[i] == dtype) return i + 1;
    return 0;
}

static bool has_scales(tp_dtype dtype) {
    return dtype == TP_I8 || dtype == TP_I4;
}

/* Bytes of one token's numbers: with int4 an odd one has half a byte to itself. */
static size_t bytes_of_row(tp_dtype dtype, int64_t width) {
    return dtype == TP_I4 ? (size_t)(width + 1) / 2 : (size_t)width * tp_dtype_size(dtype);
}

tp_status tp_packet_measure(const tp_packet_info *info, tp_packet_size *size) {
    if (info->n_tokens < 1 || info->n_tokens > MOST_TOKENS || info->width < 1 || info->width > WIDEST)
        return tp_fail(TP_ERR_ARGUMENT, "a packet holds 1 to %d soft tokens of width 1 to %d, not %lld of width %lld",
                       MOST_TOKENS, WIDEST, (long long)info->n_tokens, (long long)info->width);
    if (code_of(info->dtype) == 0)
        return tp_fail(TP_ERR_ARGUMENT, "soft tokens are sent as f32, f16, bf16, i8 or i4, not as %s",
                       tp_dtype_name(info->dtype));
    size_t n_tokens = (size_t)info->n_tokens; /* numbers: at most 2^36 */
    *size = (tp_packet_size){.header = HEADER + CHECKSUM,
                             .scales = has_scales(info->dtype) ? n_tokens * sizeof(float) : 0,
                             .payload = n_tokens * bytes_of_row(info->dtype, info->width)};
    size->total = size->header + size->scales + size->payload;
    return TP_OK;
}

/* ---- fingerprints: 32 hexadecimal digits as 16 bytes, 16 zero bytes for none ---- */

static tp_status put_fingerprint(unsigned char *at, const char *hex) {
    if (*hex == 0) return TP_OK;
    if (!tp_hash_to_bytes(hex, at))
        return tp_fail(TP_ERR_ARGUMENT, "\"%.40s\" is no fingerprint: 32 hexadecimal digits were expected", hex);
    return TP_OK;
}

static void get_fingerprint(const unsigned char *at, char hex[33]) {
    static const unsigned char none[16] = {0};
    tp_hash_from_bytes(at, hex);
    if (memcmp(at, none, 16) == 0) hex[0] = 0;
}

/* ---- numbers ---- */

/* Integers: x is nearest to scale * q with scale = max |x| / most, so that the largest number of a token is kept. */
static float scale_of(const float *row, int64_t width, int most) {
    float largest = 0;
    for (int64_t j = 0; j < width; j++) largest = fmaxf(largest, fabsf(row[j]));
    return largest / (float)most;
}

static int quantised(float x, float scale, int most) {
    long q = scale > 0 ? lrintf(x / scale) : 0;
    return q > most ? most : q < -most ? -most : (int)q; /* a subnormal scale may have been rounded down */
}

/* One token's numbers to `at`, its scale (integers only) to *scale. */
static void encode_row(tp_dtype dtype, float *scale, unsigned char *at, const float *row, int64_t width) {
    int most = dtype == TP_I4 ? 7 : 127;
    *scale = has_scales(dtype) ? scale_of(row, width, most) : 1;
    if (dtype == TP_I4) memset(at, 0, bytes_of_row(dtype, width));
    for (int64_t j = 0; j < width; j++) {
        if (dtype == TP_F32)
            put_float(at + 4 * j, row[j]);
        else if (dtype == TP_I8)
            at[j] = (unsigned char)(signed char)quantised(row[j], *scale, most);
        else if (dtype == TP_I4) /* the even one in the lower half */
            at[j / 2] |= (unsigned char)((quantised(row[j], *scale, most) & 15) << 4 * (j % 2));
        else
            tp_put_le(at + 2 * j, dtype == TP_F16 ? tp_f32_to_f16(row[j]) : tp_f32_to_bf16(row[j]), 2);
    }
}

static float decode_number(tp_dtype dtype, const unsigned char *at, int64_t j, float scale) {
    switch (dtype) {
    case TP_F32:
        return get_float(at + 4 * j);
    case TP_F16:
        return tp_f16_to_f32((tp_f16)tp_get_le(at + 2 * j, 2));
    case TP_BF16:
        return tp_bf16_to_f32((tp_bf16)tp_get_le(at + 2 * j, 2));
    case TP_I4: /* two's complement in four bits */
        return scale * (float)(((at[j / 2] >> 4 * (j % 2) & 15) ^ 8) - 8);
    default:
        return scale * (float)(signed char)at[j];
    }
}

void tp_packet_cross(tp_dtype dtype, float *soft, int64_t n_tokens, int64_t width) {
    unsigned char *at = tp_alloc(bytes_of_row(dtype, width));
    for (int64_t i = 0; i < n_tokens; i++) {
        float scale, *row = soft + i * width;
        encode_row(dtype, &scale, at, row, width);
        for (int64_t j = 0; j < width; j++) row[j] = decode_number(dtype, at, j, scale);
    }
    tp_free(at);
}

/* What a number becomes on the wire must be finite too: f16 ends at 65504, bf16 rounds the last few up to infinity. */
static tp_status check_numbers(const float *soft, const tp_packet_info *info) {
    for (int64_t i = 0; i < info->n_tokens * info->width; i++) {
        float sent = info->dtype == TP_F16    ? tp_f16_to_f32(tp_f32_to_f16(soft[i]))
                     : info->dtype == TP_BF16 ? tp_bf16_to_f32(tp_f32_to_bf16(soft[i]))
                                              : soft[i];
        if (!isfinite(sent))
            return tp_fail(TP_ERR_ARGUMENT, "soft token %lld holds %g, which cannot be sent as %s",
                           (long long)(i / info->width), soft[i], tp_dtype_name(info->dtype));
    }
    return TP_OK;
}

tp_status tp_packet_encode(const float *soft, const tp_packet_info *info, unsigned char **out, size_t *n) {
    tp_packet_size size;
    unsigned char prints[32] = {0};
    TP_TRY(tp_packet_measure(info, &size));
    TP_TRY(put_fingerprint(prints, info->receiver));
    TP_TRY(put_fingerprint(prints + 16, info->bridge));
    TP_TRY(check_numbers(soft, info));
    unsigned char *p = tp_try_alloc(size.total, 1);
    if (p == NULL) return tp_last_status();
    memcpy(p + AT_MAGIC, magic, sizeof magic);
    tp_put_le(p + AT_VERSION, VERSION, 2);
    p[AT_DTYPE] = (unsigned char)code_of(info->dtype);
    tp_put_le(p + AT_TOKENS, (uint64_t)info->n_tokens, 4);
    tp_put_le(p + AT_WIDTH, (uint64_t)info->width, 4);
    memcpy(p + AT_RECEIVER, prints, sizeof prints);
    size_t row_bytes = bytes_of_row(info->dtype, info->width);
    for (int64_t i = 0; i < info->n_tokens; i++) {
        float scale;
        encode_row(info->dtype, &scale, p + HEADER + size.scales + (size_t)i * row_bytes, soft + i * info->width,
                   info->width);
        if (size.scales > 0) put_float(p + HEADER + 4 * i, scale);
    }
    tp_put_le(p + size.total - CHECKSUM, tp_hash64(p, size.total - CHECKSUM), CHECKSUM);
    *out = p;
    *n = size.total;
    return TP_OK;
}

static tp_status read_header(const unsigned char *p, size_t n, const char *name, tp_packet_info *info,
                             tp_packet_size *size) {
    if (n < HEADER + CHECKSUM)
        return tp_fail(TP_ERR_FORMAT, "%s: a packet has at least %d bytes, found %zu", name, HEADER + CHECKSUM, n);
    if (memcmp(p + AT_MAGIC, magic, sizeof magic) != 0)
        return tp_fail(TP_ERR_FORMAT, "%s is no packet of soft tokens: it does not start with \"TPST\"", name);
    if (tp_get_le(p + AT_VERSION, 2) != VERSION)
        return tp_fail(TP_ERR_UNSUPPORTED, "%s: packet version is %d, %d was expected", name,
                       (int)tp_get_le(p + AT_VERSION, 2), VERSION);
    if (p[AT_DTYPE] < 1 || p[AT_DTYPE] > N_DTYPES)
        return tp_fail(TP_ERR_FORMAT, "%s: packet type is %d, 1 (f32) to %d (i4) were expected", name, p[AT_DTYPE],
                       N_DTYPES);
    if (p[AT_RESERVED] != 0)
        return tp_fail(TP_ERR_FORMAT, "%s: reserved byte of the packet is %d, 0 was expected", name, p[AT_RESERVED]);
    *info = (tp_packet_info){.n_tokens = (int64_t)tp_get_le(p + AT_TOKENS, 4),
                             .width = (int64_t)tp_get_le(p + AT_WIDTH, 4),
                             .dtype = dtypes[p[AT_DTYPE] - 1]};
    get_fingerprint(p + AT_RECEIVER, info->receiver);
    get_fingerprint(p + AT_BRIDGE, info->bridge);
    if (tp_packet_measure(info, size) != TP_OK) {
        tp_fail_context("%s", name);
        return tp_fail(TP_ERR_FORMAT, "%s", tp_last_error());
    }
    if (size->total != n)
        return tp_fail(TP_ERR_FORMAT, "%s: a packet of %lld tokens of width %lld in %s has %zu bytes, found %zu", name,
                       (long long)info->n_tokens, (long long)info->width, tp_dtype_name(info->dtype), size->total, n);
    if (tp_get_le(p + n - CHECKSUM, CHECKSUM) != tp_hash64(p, n - CHECKSUM))
        return tp_fail(TP_ERR_FORMAT, "%s: the packet's checksum does not fit, it was damaged on its way", name);
    return TP_OK;
}

tp_status tp_packet_decode(const void *bytes, size_t n, const char *name, tp_packet_info *info, float **soft) {
    const unsigned char *p = bytes;
    tp_packet_info read;
    tp_packet_size size;
    TP_TRY(read_header(p, n, name, &read, &size));
    size_t row_bytes = bytes_of_row(read.dtype, read.width);
    float *out = tp_try_alloc((size_t)(read.n_tokens * read.width), sizeof *out);
    if (out == NULL) return tp_last_status();
    for (int64_t i = 0; i < read.n_tokens; i++) {
        float scale = size.scales > 0 ? get_float(p + HEADER + 4 * i) : 1;
        const unsigned char *at = p + HEADER + size.scales + (size_t)i * row_bytes;
        bool fine = isfinite(scale) && scale >= 0;
        for (int64_t j = 0; fine && j < read.width; j++) {
            float x = decode_number(read.dtype, at, j, scale);
            fine = isfinite(x);
            out[i * read.width + j] = x;
        }
        if (!fine) {
            tp_free(out);
            return tp_fail(TP_ERR_FORMAT, "%s: soft token %lld holds a number or scale that is not finite", name,
                           (long long)i);
        }
    }
    *info = read;
    *soft = out;
    return TP_OK;
}

tp_status tp_packet_check(const tp_packet_info *info, const char *name, const char *receiver, const char *bridge) {
    if (receiver && *receiver && strcmp(receiver, info->receiver) != 0)
        return tp_fail(TP_ERR_ARGUMENT, "%s is for another receiver: its fingerprint is %s, that of this one is %s",
                       name, *info->receiver ? info->receiver : "missing", receiver);
    if (bridge && *bridge && strcmp(bridge, info->bridge) != 0)
        return tp_fail(TP_ERR_ARGUMENT, "%s is from another bridge: its fingerprint is %s, that of this one is %s",
                       name, *info->bridge ? info->bridge : "missing", bridge);
    return TP_OK;
}
