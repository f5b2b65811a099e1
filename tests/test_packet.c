/* wire/packet: exact sizes, round trips within each type's precision, the documented bytes, hostile input. */
#include "check.h"

#include "base/hash.h"
#include "base/mem.h"
#include "base/rng.h"
#include "wire/packet.h"

#include <math.h>

static const tp_dtype dtypes[] = {TP_F32, TP_F16, TP_BF16, TP_I8, TP_I4};
enum { N_DTYPES = 5 };

static tp_packet_info info_of(int64_t n_tokens, int64_t width, tp_dtype dtype) {
    tp_packet_info info = {.n_tokens = n_tokens, .width = width, .dtype = dtype};
    strcpy(info.receiver, "00112233445566778899aabbccddeeff");
    strcpy(info.bridge, "f0e1d2c3b4a5968778695a4b3c2d1e0f");
    return info;
}

static void seal(unsigned char *packet, size_t n) { /* a checksum that fits, whatever was changed */
    uint64_t sum = tp_hash64(packet, n - 8);
    for (int i = 0; i < 8; i++) packet[n - 8 + i] = (unsigned char)(sum >> 8 * i);
}

static void sizes_are_those_of_the_documentation(void **state) {
    (void)state;
    const struct {
        int64_t width;
        size_t total[N_DTYPES];
    } cases[] = {{256, {8248, 4152, 4152, 2136, 1112}},
                 {4096, {131128, 65592, 65592, 32856, 16472}},
                 {3, {152, 104, 104, 112, 104}}}; /* an odd width: half a byte of each token is unused */
    for (int c = 0; c < 3; c++)
        for (int t = 0; t < N_DTYPES; t++) {
            tp_packet_info info = info_of(8, cases[c].width, dtypes[t]);
            tp_packet_size size;
            check_ok(tp_packet_measure(&info, &size));
            assert_int_equal(size.total, cases[c].total[t]);
            assert_int_equal(size.header + size.scales + size.payload, size.total);
            assert_int_equal(size.header, 56);
            assert_int_equal(size.scales, t >= 3 ? 32 : 0);
        }
}

static void packets_come_back_within_their_types_precision(void **state) {
    (void)state;
    enum { M = 5, D = 37 };
    float soft[M * D];
    tp_rng rng = tp_rng_stream(1, "soft", 0);
    tp_rng_fill_normal(&rng, soft, M * D, 0.03);
    for (int j = 0; j < D; j++) soft[2 * D + j] = 0;                 /* a token of zeros */
    for (int j = 0; j < D; j++) soft[3 * D + j] *= 1e6f;             /* tokens of different size */
    for (int j = 0; j < D; j++) soft[4 * D + j] = 1e-44f * (float)j; /* subnormal */
    const double precision[] = {0, 0x1p-11, 0x1p-8};                 /* relative; integers below */
    for (int t = 0; t < N_DTYPES; t++) {
        tp_packet_info info = info_of(M, D, dtypes[t]), read;
        unsigned char *packet;
        size_t n;
        float *back;
        check_ok(tp_packet_encode(soft, &info, &packet, &n));
        tp_packet_size size;
        check_ok(tp_packet_measure(&info, &size));
        assert_int_equal(n, size.total);
        check_ok(tp_packet_decode(packet, n, "p", &read, &back));
        assert_int_equal(read.n_tokens, M);
        assert_int_equal(read.width, D);
        assert_int_equal(read.dtype, dtypes[t]);
        assert_string_equal(read.receiver, info.receiver);
        assert_string_equal(read.bridge, info.bridge);
        for (int i = 0; i < M; i++) {
            double largest = 0;
            for (int j = 0; j < D; j++) largest = fmax(largest, fabs(soft[i * D + j]));
            for (int j = 0; j < D; j++) {
                double error = fabs((double)back[i * D + j] - soft[i * D + j]);
                double allowed = t == 3   ? largest / 254 * 1.001
                                 : t == 4 ? largest / 14 * 1.001
                                          : fabs(soft[i * D + j]) * precision[t];
                if (t == 1) allowed = fmax(allowed, 0x1p-25); /* f16 has no smaller numbers */
                if (t >= 2) allowed = fmax(allowed, 1e-40);
                if (!(error <= allowed))
                    fail_msg("%s token %d: %g came back as %g", tp_dtype_name(dtypes[t]), i, soft[i * D + j],
                             back[i * D + j]);
            }
        }
        /* what came back is sent again as the same bytes */
        unsigned char *again;
        size_t m;
        check_ok(tp_packet_encode(back, &info, &again, &m));
        assert_int_equal(m, n);
        if (t < 3) assert_memory_equal(again, packet, n);
        /* crossing without a packet is the same, to the bit */
        float crossed[M * D];
        memcpy(crossed, soft, sizeof soft);
        tp_packet_cross(dtypes[t], crossed, M, D);
        assert_memory_equal(crossed, back, sizeof crossed);
        tp_free(again);
        tp_free(packet);
        tp_free(back);
    }
}

static void the_bytes_are_those_of_the_documentation(void **state) {
    (void)state;
    const float soft[] = {1.0f, -0.5f, 0, 254.0f, -127.0f, 1.0f};
    const unsigned char header[] = {'T', 'P', 'S', 'T', 1, 0, 4, 0, 2, 0, 0, 0, 3, 0, 0, 0};
    tp_packet_info info = info_of(2, 3, TP_I8);
    info.bridge[0] = 0;
    unsigned char *packet;
    size_t n;
    check_ok(tp_packet_encode(soft, &info, &packet, &n));
    assert_int_equal(n, 48 + 8 + 6 + 8);
    assert_memory_equal(packet, header, sizeof header);
    for (int i = 0; i < 16; i++) {
        assert_int_equal(packet[16 + i], i * 0x11);
        assert_int_equal(packet[32 + i], 0);
    }
    float scales[2];
    memcpy(scales, packet + 48, 8);
    assert_true(scales[0] == 1.0f / 127 && scales[1] == 2.0f);
    const signed char numbers[] = {127, -64, 0, 127, -64, 0}; /* -63.5 and 0.5 go to the even neighbour */
    assert_memory_equal(packet + 56, numbers, 6);
    unsigned char copy[128];
    memcpy(copy, packet, n);
    seal(copy, n);
    assert_memory_equal(copy, packet, n);
    tp_free(packet);
}

/* Two numbers in a byte, the first in its lower half; -3.5 and 0.5 go to the even neighbour. */
static void the_bytes_of_int4_are_those_of_the_documentation(void **state) {
    (void)state;
    const float soft[] = {1.75f, -0.875f, 0.25f, 14.0f, 1.0f, -14.0f};
    tp_packet_info info = info_of(2, 3, TP_I4);
    unsigned char *packet;
    size_t n;
    check_ok(tp_packet_encode(soft, &info, &packet, &n));
    assert_int_equal(n, 48 + 8 + 4 + 8);
    assert_int_equal(packet[6], 5);
    float scales[2];
    memcpy(scales, packet + 48, 8);
    assert_true(scales[0] == 0.25f && scales[1] == 2.0f);
    const unsigned char numbers[] = {0xC7, 0x01, 0x07, 0x09}; /* 7, -4, 1; 7, 0, -7 */
    assert_memory_equal(packet + 56, numbers, 4);
    float *back;
    tp_packet_info read;
    check_ok(tp_packet_decode(packet, n, "p", &read, &back));
    const float expected[] = {1.75f, -1.0f, 0.25f, 14.0f, 0.0f, -14.0f};
    assert_memory_equal(back, expected, sizeof expected);
    tp_free(back);
    tp_free(packet);
}

static void numbers_that_cannot_be_sent_are_refused(void **state) {
    (void)state;
    const struct {
        float x;
        tp_dtype dtype;
        bool fine;
    } cases[] = {{NAN, TP_F32, false},         {INFINITY, TP_I8, false},    {65504, TP_F16, true},
                 {65520, TP_F16, false},       {65520, TP_BF16, true},      {3.4e38f, TP_F32, true},
                 {3.4028e38f, TP_BF16, false}, {-INFINITY, TP_BF16, false}, {3.4028e38f, TP_I8, true}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const float soft[] = {0, 0, cases[i].x, 0};
        tp_packet_info info = info_of(2, 2, cases[i].dtype), read;
        unsigned char *packet = NULL;
        size_t n;
        float *back;
        tp_status status = tp_packet_encode(soft, &info, &packet, &n);
        if ((status == TP_OK) != cases[i].fine) fail_msg("case %zu: %d", i, status);
        if (status != TP_OK) {
            assert_non_null(strstr(tp_last_error(), "soft token 1"));
            continue;
        }
        check_ok(tp_packet_decode(packet, n, "p", &read, &back));
        tp_free(back);
        tp_free(packet);
    }
    unsigned char *packet;
    size_t n;
    const float soft[4] = {0};
    tp_packet_info bad[] = {info_of(0, 2, TP_F32), info_of(70000, 2, TP_F32), info_of(2, 0, TP_F32),
                            info_of(2, 2, TP_F64), info_of(2, INT64_MAX, TP_F32)};
    for (int i = 0; i < 5; i++) assert_int_equal(tp_packet_encode(soft, &bad[i], &packet, &n), TP_ERR_ARGUMENT);
    tp_packet_info print = info_of(2, 2, TP_F32);
    print.bridge[3] = 'x';
    assert_int_equal(tp_packet_encode(soft, &print, &packet, &n), TP_ERR_ARGUMENT);
    assert_non_null(strstr(tp_last_error(), "no fingerprint"));
}

static void hostile_packets_are_refused_by_name(void **state) {
    (void)state;
    const float soft[] = {1, 2, 3, 4, 5, 6};
    const struct {
        size_t at;
        unsigned char byte;
        const char *named;
    } cases[] = {
        {0, 'X', "does not start with"}, {4, 2, "version is 2"},  {6, 0, "type is 0"}, {6, 6, "type is 6"},
        {6, 5, "bytes, found"},          {6, 1, "bytes, found"},  {7, 1, "reserved"},  {8, 0, "1 to 65536"},
        {8, 3, "bytes, found"},          {11, 255, "1 to 65536"}, {12, 0, "of width"}, {15, 255, "of width"},
        {51, 0xFF, "not finite"}, /* the first scale, negative */
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        tp_packet_info info = info_of(2, 3, TP_I8), read;
        unsigned char *packet;
        size_t n;
        float *back = NULL;
        check_ok(tp_packet_encode(soft, &info, &packet, &n));
        packet[cases[i].at] = cases[i].byte;
        seal(packet, n);
        tp_status status = tp_packet_decode(packet, n, "from-afar", &read, &back);
        if (status == TP_OK) fail_msg("case %zu was accepted", i);
        if (strstr(tp_last_error(), cases[i].named) == NULL || strstr(tp_last_error(), "from-afar") == NULL)
            fail_msg("case %zu: the error does not name %s: %s", i, cases[i].named, tp_last_error());
        assert_null(back);
        tp_free(packet);
    }
}

static void damage_anywhere_is_found(void **state) {
    (void)state;
    const float soft[] = {1, 2, 3, 4, 5, 6};
    for (int t = 0; t < N_DTYPES; t++) {
        tp_packet_info info = info_of(2, 3, dtypes[t]), read;
        unsigned char *packet;
        size_t n;
        float *back = NULL;
        check_ok(tp_packet_encode(soft, &info, &packet, &n));
        for (size_t i = 0; i < 8 * n; i++) { /* each bit */
            packet[i / 8] ^= (unsigned char)(1u << i % 8);
            assert_int_not_equal(tp_packet_decode(packet, n, "p", &read, &back), TP_OK);
            packet[i / 8] ^= (unsigned char)(1u << i % 8);
        }
        for (size_t length = 0; length < n; length++) { /* exact copies, so that a reader beyond the end is seen */
            unsigned char *cut = malloc(length ? length : 1);
            memcpy(cut, packet, length);
            assert_int_equal(tp_packet_decode(cut, length, "p", &read, &back), TP_ERR_FORMAT);
            free(cut);
        }
        if (t < 3) { /* an exponent of all ones, with a checksum that fits */
            memset(packet + 48, 0xFF, 4);
            seal(packet, n);
            assert_int_equal(tp_packet_decode(packet, n, "p", &read, &back), TP_ERR_FORMAT);
            assert_non_null(strstr(tp_last_error(), "soft token 0"));
        }
        assert_null(back);
        tp_free(packet);
    }
}

static void a_packet_for_others_is_refused(void **state) {
    (void)state;
    tp_packet_info info = info_of(2, 3, TP_F32);
    check_ok(tp_packet_check(&info, "p", info.receiver, info.bridge));
    check_ok(tp_packet_check(&info, "p", NULL, ""));
    assert_int_equal(tp_packet_check(&info, "p", info.bridge, info.bridge), TP_ERR_ARGUMENT);
    assert_non_null(strstr(tp_last_error(), "another receiver"));
    assert_int_equal(tp_packet_check(&info, "p", info.receiver, info.receiver), TP_ERR_ARGUMENT);
    assert_non_null(strstr(tp_last_error(), "another bridge"));
    info.bridge[0] = 0;
    assert_int_equal(tp_packet_check(&info, "p", NULL, info.receiver), TP_ERR_ARGUMENT);
    assert_non_null(strstr(tp_last_error(), "missing"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_are_those_of_the_documentation),
        cmocka_unit_test(packets_come_back_within_their_types_precision),
        cmocka_unit_test(the_bytes_are_those_of_the_documentation),
        cmocka_unit_test(the_bytes_of_int4_are_those_of_the_documentation),
        cmocka_unit_test(numbers_that_cannot_be_sent_are_refused),
        cmocka_unit_test(hostile_packets_are_refused_by_name),
        cmocka_unit_test(damage_anywhere_is_found),
        cmocka_unit_test(a_packet_for_others_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
