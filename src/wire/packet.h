/* The packet: soft tokens on the wire.
 *
 * What a sender's side hands to a receiver's side: M rows of d numbers, stored as f32, f16, bf16, or as int8 or
 * int4 with one scale per token, behind a header that says what they are, for which receiver and from which bridge. The
 * format is documented to the byte in docs/wire.md, so that any program can read it. Decoding believes nothing: sizes,
 * types, checksum and finiteness are checked before a number is handed out. */
#ifndef TP_WIRE_PACKET_H
#define TP_WIRE_PACKET_H

#include "base/dtype.h"
#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

typedef struct tp_packet_info {
    int64_t n_tokens, width; /* M, d */
    tp_dtype dtype;          /* TP_F32, TP_F16, TP_BF16, TP_I8 or TP_I4 */
    char receiver[33];       /* fingerprints, 32 hexadecimal digits; "" where there is none */
    char bridge[33];
} tp_packet_info;

/* Where the bytes of a packet go, for honest tables. */
typedef struct tp_packet_size {
    size_t header;  /* with the checksum at the end */
    size_t scales;  /* int8 and int4 only */
    size_t payload; /* the numbers themselves */
    size_t total;
} tp_packet_size;

/* An error if the shape or type cannot be sent (1 to 65,536 tokens, widths of 1 to 1,048,576). */
tp_status tp_packet_measure(const tp_packet_info *info, tp_packet_size *size);

/* Makes a packet of soft [n_tokens, width]: *out (free with tp_free) of *n bytes. An error if a number is not finite
 * or, in f16, too large. */
tp_status tp_packet_encode(const float *soft, const tp_packet_info *info, unsigned char **out, size_t *n);

/* Reads a packet of exactly n bytes; `name` is what error messages call it. *soft (free with tp_free) gets
 * [info->n_tokens, info->width]. Nothing is set on error. */
tp_status tp_packet_decode(const void *bytes, size_t n, const char *name, tp_packet_info *info, float **soft);

/* The numbers soft [n_tokens, width] as they come out of a packet of that type: what encoding and decoding make of
 * them. (A number that cannot be sent, which encoding refuses, comes out as infinity.) */
void tp_packet_cross(tp_dtype dtype, float *soft, int64_t n_tokens, int64_t width);

/* TP_OK if the packet is for this receiver and from this bridge; "" or NULL is not looked at. */
tp_status tp_packet_check(const tp_packet_info *info, const char *name, const char *receiver, const char *bridge);

#endif
