/* The container of GGUF files (lm/gguf.h): files as the gguf package writes them (tools/reference/gguf_reference.py),
 * what is refused and with which sentence, and our own writer, which must give back what it was given. */
#include "check.h"

#include "base/file.h"
#include "base/half.h"
#include "base/mem.h"
#include "base/str.h"
#include "lm/checkpoint.h"
#include "lm/gguf.h"
#include "tensor/quant.h"

#include <math.h>

#define FIXTURE(name) TP_SOURCE_DIR "/tests/fixtures/gguf/" name

static char *folder;

static int make_folder(void **state) {
    (void)state;
    folder = check_temp_dir();
    return 0;
}

static int remove_folder(void **state) {
    (void)state;
    check_remove_dir(folder);
    return 0;
}

/* ---- what the gguf package wrote ---- */

static void test_values(void **state) {
    (void)state;
    tp_gguf *g = tp_gguf_open(FIXTURE("types.gguf"));
    check_not_null(g);
    assert_int_equal(tp_gguf_version(g), 3);
    assert_int_equal(tp_gguf_alignment(g), 32);
    const struct {
        const char *key;
        int64_t value;
    } wholes[] = {{"test.u8", 200},        {"test.i8", -3},           {"test.u16", 60000},
                  {"test.i16", -30000},    {"test.u32", 4000000000},  {"test.i32", -2000000000},
                  {"test.u64", 1LL << 40}, {"test.i64", -(1LL << 40)}};
    tp_gguf_fields f = {.file = g};
    for (size_t i = 0; i < sizeof wholes / sizeof wholes[0]; i++)
        assert_int_equal(tp_gguf_get_whole(&f, wholes[i].key, 0, INT64_MIN, INT64_MAX), wholes[i].value);
    assert_true(tp_gguf_get_real(&f, "test.f32", 0, -1, 1) == 0.1); /* what was meant */
    assert_true(tp_gguf_real(tp_gguf_find(g, "test.f32"), 0) == (double)0.1f);
    assert_true(tp_gguf_get_real(&f, "test.f64", 0, -1, 1) == 0.1);
    assert_true(tp_gguf_get_bool(&f, "test.bool", false));
    char *text = tp_gguf_get_text(&f, "test.text");
    assert_string_equal(text, "Grüße, 世界");
    tp_free(text);
    assert_int_equal(tp_gguf_get_whole(&f, "absent", 77, 0, 1), 77); /* a fallback need not be in range */
    check_ok(f.status);

    const tp_gguf_value *texts = tp_gguf_get_array(&f, "test.array.texts", TP_GGUF_TEXT);
    const char *const expected[] = {"a", "", "ccc", "é"};
    assert_int_equal(texts->n, 4);
    size_t at = 0, len;
    for (int i = 0; i < 4; i++) {
        const char *t = tp_gguf_next_text(texts, &at, &len);
        assert_int_equal(len, strlen(expected[i]));
        assert_memory_equal(t, expected[i], len);
    }
    assert_null(tp_gguf_next_text(texts, &at, &len));
    const tp_gguf_value *reals = tp_gguf_get_array(&f, "test.array.reals", TP_GGUF_F32);
    assert_true(reals->n == 3 && tp_gguf_real(reals, 1) == -1.5);
    const tp_gguf_value *wholes_array = tp_gguf_get_array(&f, "test.array.wholes", TP_GGUF_I32);
    assert_true(wholes_array->n == 3 && tp_gguf_whole(wholes_array, 1) == -2);
    check_ok(f.status);

    /* the first thing wrong stays */
    tp_gguf_get_whole(&f, "test.text", 0, 0, 1);
    assert_non_null(strstr(tp_last_error(), "`test.text` is text, a whole number was expected"));
    f.status = TP_OK;
    tp_gguf_get_whole(&f, "test.u8", 0, 0, 199);
    assert_non_null(strstr(tp_last_error(), "`test.u8` is 200, allowed is 0 to 199"));
    tp_gguf_get_bool(&f, "test.u8", false);
    assert_non_null(strstr(tp_last_error(), "allowed is"));
    f.status = TP_OK;
    tp_gguf_get_array(&f, "test.array.texts", TP_GGUF_I32);
    assert_non_null(strstr(tp_last_error(), "is an array of text, an array of i32 was expected"));
    f.status = TP_OK;
    tp_gguf_require(&f, "nothing");
    assert_non_null(strstr(tp_last_error(), "the metadata has no `nothing`"));
    tp_gguf_close(g);
}

static void test_tensors(void **state) {
    (void)state;
    tp_checkpoint *c = tp_checkpoint_open(FIXTURE("types.gguf"));
    check_not_null(c);
    assert_non_null(tp_checkpoint_gguf(c));
    const int64_t shape[2] = {2, 256};
    const tp_dtype types[] = {TP_F32,  TP_F16,  TP_BF16, TP_Q4_0, TP_Q4_1, TP_Q5_0, TP_Q5_1,
                              TP_Q8_0, TP_Q2_K, TP_Q3_K, TP_Q4_K, TP_Q5_K, TP_Q6_K};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        const tp_st_tensor *t = tp_checkpoint_weight(c, tp_dtype_name(types[i]), 2, shape);
        check_not_null(t);
        assert_int_equal(t->dtype, types[i]);
        size_t bytes;
        assert_true(tp_dtype_bytes(types[i], 512, &bytes) && bytes == t->n_bytes);
        const unsigned char *raw = t->data;
        float out[512];
        if (types[i] >= TP_Q2_K)
            for (size_t b = 0; b < bytes; b++) assert_int_equal(raw[b], (b * 7 + 3) & 255);
        if (types[i] == TP_F32) memcpy(out, raw, sizeof out);
        if (types[i] >= TP_BLOCK_TYPES) tp_dequantize_row(types[i], raw, 512, out);
        for (int j = 0; j < 512 && (types[i] == TP_F32 || (types[i] >= TP_Q4_0 && types[i] <= TP_Q8_0)); j++)
            if (!(fabs(out[j] - (j / 100.0 - 2)) < (types[i] == TP_F32 ? 1e-6 : 0.4)))
                fail_msg("%s: number %d is %g", tp_dtype_name(types[i]), j, (double)out[j]);
    }
    const int64_t other[2] = {256, 2}, one[1] = {512};
    assert_null(tp_checkpoint_weight(c, "f32", 2, other));
    assert_non_null(strstr(tp_last_error(), "[2, 256]"));
    assert_null(tp_checkpoint_weight(c, "q4_0", 1, one));
    assert_null(tp_checkpoint_weight(c, "nothing", 2, shape));
    tp_checkpoint_close(c);
}

static void test_version_2(void **state) {
    (void)state;
    tp_gguf *g = tp_gguf_open(FIXTURE("v2.gguf"));
    check_not_null(g);
    assert_int_equal(tp_gguf_version(g), 2);
    assert_int_equal(tp_gguf_alignment(g), 64);
    assert_int_equal(tp_gguf_count(g), 2);
    const float *a = tp_gguf_get(g, 0)->data;
    assert_true(a[0] == 0 && a[2] == 2);
    const tp_st_tensor *b = tp_gguf_get(g, 1);
    assert_true(b->n_dims == 2 && b->shape[0] == 2 && b->shape[1] == 4);
    assert_int_equal(((const tp_f16 *)b->data)[7], tp_f32_to_f16(7));
    tp_gguf_close(g);
}

/* ---- what is refused ---- */

static void u32(tp_str *s, uint32_t v) {
    tp_str_append(s, &v, sizeof v);
}

static void u64(tp_str *s, uint64_t v) {
    tp_str_append(s, &v, sizeof v);
}

static void text(tp_str *s, const char *t) {
    u64(s, strlen(t));
    tp_str_append_text(s, t);
}

static void front(tp_str *s, uint64_t n_tensors, uint64_t n_values) {
    tp_str_clear(s);
    tp_str_append_text(s, "GGUF");
    u32(s, 3);
    u64(s, n_tensors);
    u64(s, n_values);
}

static void tensor(tp_str *s, const char *name, uint32_t type, uint64_t rows, uint64_t cols, uint64_t offset) {
    text(s, name);
    u32(s, 2);
    u64(s, cols);
    u64(s, rows);
    u32(s, type);
    u64(s, offset);
}

static void data(tp_str *s, size_t n) {
    while (s->len % 32 != 0) tp_str_append_char(s, '\0');
    for (size_t i = 0; i < n; i++) tp_str_append_char(s, (char)i);
}

static tp_gguf *open_bytes(const tp_str *s) {
    char *path = tp_path_join(folder, "x.gguf");
    check_ok(tp_write_file(path, s->data, s->len));
    tp_gguf *g = tp_gguf_open(path);
    tp_free(path);
    return g;
}

static void check_refused(const tp_str *s, const char *sentence) {
    tp_gguf *g = open_bytes(s);
    if (g != NULL) fail_msg("accepted, where `%s` was expected", sentence);
    if (strstr(tp_last_error(), sentence) == NULL || strstr(tp_last_error(), "x.gguf") == NULL)
        fail_msg("the error is `%s`, `%s` was expected", tp_last_error(), sentence);
}

static void test_refuses_bad_fronts(void **state) {
    (void)state;
    tp_str s = {0};
    tp_str_append_text(&s, "");
    check_refused(&s, "ends at byte 0");
    tp_str_append_text(&s, "GGML, and more of it");
    check_refused(&s, "is no GGUF file");
    front(&s, 0, 0);
    tp_gguf *empty = open_bytes(&s);
    check_not_null(empty); /* nothing in it, and nothing wrong with it */
    tp_gguf_close(empty);
    s.data[4] = 1;
    check_refused(&s, "of version 1, supported are 2 and 3");
    memcpy(s.data + 4, "\0\0\0\3", 4);
    check_refused(&s, "big-endian");
    front(&s, 1ULL << 60, 0);
    check_refused(&s, "more than its 24 bytes have room for");
    front(&s, 0, UINT64_MAX);
    check_refused(&s, "more than its 24 bytes have room for");
    tp_str_free(&s);
}

static void test_refuses_bad_values(void **state) {
    (void)state;
    tp_str s = {0};
    front(&s, 0, 2);
    for (int i = 0; i < 2; i++) text(&s, "same"), u32(&s, TP_GGUF_U32), u32(&s, 1);
    check_refused(&s, "`same` comes twice");
    front(&s, 0, 1);
    text(&s, "key"), u32(&s, 13), u64(&s, 1);
    check_refused(&s, "`key` has the value type 13");
    front(&s, 0, 1);
    text(&s, "key"), u32(&s, TP_GGUF_ARRAY), u32(&s, TP_GGUF_ARRAY), u64(&s, 1), u64(&s, 1);
    check_refused(&s, "array of arrays");
    front(&s, 0, 1);
    text(&s, "key"), u32(&s, TP_GGUF_ARRAY), u32(&s, TP_GGUF_F64), u64(&s, 1ULL << 61), u64(&s, 1);
    check_refused(&s, "inside its header, in key");
    front(&s, 0, 1);
    text(&s, "key"), u32(&s, TP_GGUF_ARRAY), u32(&s, TP_GGUF_TEXT), u64(&s, 2), text(&s, "one"), u64(&s, 1ULL << 63);
    check_refused(&s, "inside its header, in key");
    front(&s, 0, 1);
    u64(&s, 0), u32(&s, TP_GGUF_U8), u64(&s, 0);
    check_refused(&s, "has 0 bytes");
    front(&s, 0, 1);
    u64(&s, UINT64_MAX), u32(&s, TP_GGUF_U8), u64(&s, 0);
    check_refused(&s, "1 to 1024 were expected");
    front(&s, 0, 1);
    u64(&s, 3), tp_str_append(&s, "a\0b", 3), u32(&s, TP_GGUF_U8), u64(&s, 0);
    check_refused(&s, "holds a zero byte");
    const uint32_t alignments[] = {0, 4, 48, 1u << 30};
    for (int i = 0; i < 4; i++) {
        front(&s, 0, 1);
        text(&s, "general.alignment"), u32(&s, TP_GGUF_U32), u32(&s, alignments[i]);
        check_refused(&s, "`general.alignment` is");
    }
    tp_str_free(&s);
}

static void test_refuses_bad_tensors(void **state) {
    (void)state;
    tp_str s = {0};
    front(&s, 2, 0);
    tensor(&s, "a", 0, 2, 4, 0), tensor(&s, "b", 8, 1, 32, 32), data(&s, 32 + 34);
    tp_gguf *g = open_bytes(&s);
    check_not_null(g); /* a good one, of which the others are spoilt copies */
    assert_int_equal(tp_gguf_get(g, 1)->dtype, TP_Q8_0);
    assert_int_equal(*(const unsigned char *)tp_gguf_get(g, 1)->data, 32);
    tp_gguf_close(g);
    s.len--;
    check_refused(&s, "tensor `b` takes 34 bytes from offset 32 on, but the file's data section has 65");
    front(&s, 2, 0);
    tensor(&s, "a", 0, 2, 4, 0), tensor(&s, "a", 0, 2, 4, 32), data(&s, 64);
    check_refused(&s, "`a` comes twice");
    front(&s, 2, 0);
    tensor(&s, "a", 0, 2, 5, 0), tensor(&s, "b", 0, 2, 4, 32), data(&s, 96);
    check_refused(&s, "`a` and `b` share bytes");
    front(&s, 1, 0);
    tensor(&s, "a", 0, 2, 4, 8), data(&s, 64);
    check_refused(&s, "no multiple of the alignment 32");
    front(&s, 1, 0);
    tensor(&s, "a", 0, 2, 4, UINT64_MAX - 31), data(&s, 64);
    check_refused(&s, "takes 32 bytes from offset");
    front(&s, 1, 0);
    tensor(&s, "a", 0, 1ULL << 33, 1ULL << 33, 0), data(&s, 64);
    check_refused(&s, "dimensions of tensor `a` overflow");
    front(&s, 1, 0);
    tensor(&s, "a", 0, 1, 1ULL << 62, 0), data(&s, 64);
    check_refused(&s, "larger than any file");
    front(&s, 1, 0);
    tensor(&s, "a", 0, 1, 1ULL << 63, 0), data(&s, 64);
    check_refused(&s, "dimensions of tensor `a` overflow");
    front(&s, 1, 0);
    tensor(&s, "a", 12, 2, 128, 0), data(&s, 256);
    check_refused(&s, "tensor `a` has rows of 128 numbers, Q4_K stores blocks of 256");
    front(&s, 1, 0);
    text(&s, "a"), u32(&s, 5), data(&s, 64);
    check_refused(&s, "has 5 dimensions");
    tp_str_free(&s);
}

static void test_lists_types_it_cannot_read(void **state) {
    (void)state;
    tp_str s = {0};
    front(&s, 2, 0);
    tensor(&s, "known", 16, 1, 256, 0), tensor(&s, "strange", 77, 1, 5, 96), data(&s, 200);
    char *path = tp_path_join(folder, "x.gguf");
    check_ok(tp_write_file(path, s.data, s.len));
    tp_checkpoint *c = tp_checkpoint_open(path);
    check_not_null(c);
    assert_int_equal(tp_checkpoint_count(c), 2);
    assert_string_equal(tp_checkpoint_get(c, 0)->file_dtype, "IQ2_XXS");
    assert_int_equal(tp_checkpoint_get(c, 0)->n_bytes, 66);
    const int64_t shape[2] = {1, 256};
    assert_null(tp_checkpoint_weight(c, "known", 2, shape));
    assert_non_null(
        strstr(tp_last_error(), "tensor `known` has the dtype IQ2_XXS, supported are F32, F16, BF16, Q4_0"));
    assert_null(tp_checkpoint_find(c, "strange"));
    tp_checkpoint_close(c);
    tp_free(path);
    tp_str_free(&s);
}

/* Prefixes of a good file (but for the padding at its end), and changed bytes all over its header: an error or a file,
 * never a crash (the sanitizers watch). */
static void test_survives_damage(void **state) {
    (void)state;
    char *bytes, *path = tp_path_join(folder, "x.gguf");
    size_t n;
    check_ok(tp_read_file(FIXTURE("types.gguf"), 0, &bytes, &n));
    for (size_t cut = 0; cut + 64 < n; cut += cut < 1600 ? 7 : 501) {
        check_ok(tp_write_file(path, bytes, cut));
        tp_gguf *g = tp_gguf_open(path);
        assert_null(g);
        tp_gguf_close(g);
    }
    int opened = 0;
    for (size_t at = 0; at < 1600; at += 3) {
        char kept = bytes[at];
        bytes[at] = (char)(at % 2 ? kept ^ 0x80 : kept + 1);
        check_ok(tp_write_file(path, bytes, n));
        tp_gguf *g = tp_gguf_open(path);
        for (size_t i = 0; g && i < tp_gguf_count(g); i++) opened += *(const char *)tp_gguf_get(g, i)->data != 0;
        tp_gguf_close(g);
        bytes[at] = kept;
    }
    assert_true(opened > 0);
    tp_free(path);
    tp_free(bytes);
}

/* ---- writing ---- */

static tp_status produce(void *context, size_t index, tp_writer *w) {
    assert_int_equal(index, 1);
    tp_writer_write(w, context, 34);
    return TP_OK;
}

static void test_writes_what_it_reads(void **state) {
    (void)state;
    char *path = tp_path_join(folder, "written.gguf"), block[34];
    memset(block, 5, sizeof block);
    const char *const words[] = {"x", "yy", ""}, *const name = "llama";
    const uint32_t number = 7;
    const int32_t array[] = {-1, 5};
    const tp_gguf_pair pairs[] = {
        {"general.architecture", TP_GGUF_TEXT, false, 1, &name, NULL},
        {"a.number", TP_GGUF_U32, false, 1, &number, NULL},
        {"an.array", TP_GGUF_I32, true, 2, array, NULL},
        {"words", TP_GGUF_TEXT, true, 3, words, NULL},
    };
    const float values[6] = {1, 2, 3, 4, 5, 6};
    const tp_st_tensor tensors[] = {
        {.name = "z", .dtype = TP_F32, .n_dims = 2, .shape = {2, 3}, .data = values, .n_bytes = 24},
        {.name = "q", .dtype = TP_Q8_0, .n_dims = 1, .shape = {32}, .n_bytes = 34},
    };
    check_ok(tp_gguf_write(path, pairs, 4, tensors, 2, produce, block));
    tp_gguf *g = tp_gguf_open(path);
    check_not_null(g);
    tp_gguf_fields f = {.file = g};
    assert_int_equal(tp_gguf_get_whole(&f, "a.number", 0, 0, 9), 7);
    char *found = tp_gguf_get_text(&f, "general.architecture");
    assert_string_equal(found, "llama");
    tp_free(found);
    assert_int_equal(tp_gguf_whole(tp_gguf_get_array(&f, "an.array", TP_GGUF_I32), 1), 5);
    assert_int_equal(tp_gguf_get_array(&f, "words", TP_GGUF_TEXT)->n, 3);
    check_ok(f.status);
    const tp_st_tensor *z = tp_gguf_get(g, 1), *q = tp_gguf_get(g, 0);
    assert_true(z->shape[0] == 2 && z->shape[1] == 3 && memcmp(z->data, values, sizeof values) == 0);
    assert_memory_equal(q->data, block, 34);
    tp_gguf_close(g);

    tp_st_tensor bad = tensors[0];
    bad.n_bytes = 20;
    assert_int_equal(tp_gguf_write(path, pairs, 4, &bad, 1, NULL, NULL), TP_ERR_ARGUMENT);
    bad = tensors[1];
    bad.shape[0] = 33;
    assert_int_equal(tp_gguf_write(path, pairs, 4, &bad, 1, NULL, NULL), TP_ERR_ARGUMENT);
    assert_non_null(strstr(tp_last_error(), "rows of 33 cannot be stored as q8_0"));
    g = tp_gguf_open(path); /* what failed left the old file alone */
    check_not_null(g);
    tp_gguf_close(g);
    tp_free(path);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_tensors),
        cmocka_unit_test(test_version_2),
        cmocka_unit_test(test_refuses_bad_fronts),
        cmocka_unit_test(test_refuses_bad_values),
        cmocka_unit_test(test_refuses_bad_tensors),
        cmocka_unit_test(test_lists_types_it_cannot_read),
        cmocka_unit_test(test_survives_damage),
        cmocka_unit_test(test_writes_what_it_reads),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
