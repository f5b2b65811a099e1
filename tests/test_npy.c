/* base/npy: numpy's own files are read, what is written is what numpy writes, and broken files get a sentence. */
#include "check.h"
#include "one_folder.h"

#include "base/half.h"
#include "base/mem.h"
#include "base/npy.h"
#include "base/str.h"

#include <dirent.h>

static const char *fixture(const char *name) {
    static char path[4096];
    snprintf(path, sizeof path, "%s/tests/fixtures/npy/%s", TP_SOURCE_DIR, name);
    return path;
}

/* Number i as tools/reference/npy_reference.py has it. */
static double expected(tp_dtype dtype, int64_t i) {
    if (tp_dtype_is_float(dtype)) return (double)i * 1.5 - 3;
    if (dtype == TP_BOOL) return (double)(i % 2);
    return dtype == TP_I8 || dtype == TP_I16 || dtype == TP_I32 || dtype == TP_I64 ? (double)(i - 3) : (double)i;
}

static double number(const tp_npy *a, int64_t i) {
    const void *p = (const char *)a->data + (size_t)i * tp_dtype_size(a->dtype);
#define AS(TYPE) ((double)*(const TYPE *)p)
    switch (a->dtype) {
    case TP_F32:
        return AS(float);
    case TP_F16:
        return (double)tp_f16_to_f32(*(const tp_f16 *)p);
    case TP_F64:
        return AS(double);
    case TP_I8:
        return AS(int8_t);
    case TP_I16:
        return AS(int16_t);
    case TP_I32:
        return AS(int32_t);
    case TP_I64:
        return AS(int64_t);
    case TP_U16:
        return AS(uint16_t);
    case TP_U32:
        return AS(uint32_t);
    case TP_U64:
        return AS(uint64_t);
    default:
        return AS(uint8_t);
    }
#undef AS
}

static void same_bytes(const char *a, const char *b) {
    char *x, *y;
    size_t n, m;
    check_ok(tp_read_file(a, 0, &x, &n));
    check_ok(tp_read_file(b, 0, &y, &m));
    if (n != m || memcmp(x, y, n) != 0) fail_msg("%s and %s differ", a, b);
    tp_free(x);
    tp_free(y);
}

static void every_file_of_numpy_is_read_and_written_alike(void **state) {
    (void)state;
    char folder[4096], *written = tp_path_join(dir, "again.npy");
    snprintf(folder, sizeof folder, "%s", fixture(""));
    DIR *entries = opendir(folder);
    assert_non_null(entries);
    int n_ok = 0, n_no = 0;
    for (struct dirent *e; (e = readdir(entries)) != NULL;) {
        tp_npy a;
        if (tp_starts_with(e->d_name, "no_")) {
            n_no++;
            assert_int_equal(tp_npy_open(fixture(e->d_name), &a), TP_ERR_UNSUPPORTED);
            assert_non_null(strstr(tp_last_error(), e->d_name));
        }
        if (!tp_starts_with(e->d_name, "ok_")) continue;
        n_ok++;
        check_ok(tp_npy_open(fixture(e->d_name), &a));
        for (int64_t i = 0; i < a.n; i++)
            if (number(&a, i) != expected(a.dtype, i)) fail_msg("%s: number %d", e->d_name, (int)i);
        check_ok(tp_npy_write(written, a.dtype, a.n_dims, a.shape, a.data));
        if (!tp_starts_with(e->d_name, "ok_v")) same_bytes(fixture(e->d_name), written);
        tp_npy_close(&a);
        tp_npy_close(&a); /* twice is as good as once */
    }
    closedir(entries);
    assert_int_equal(n_ok, 19);
    assert_int_equal(n_no, 6);
    tp_free(written);
}

static void shapes_are_as_written(void **state) {
    (void)state;
    tp_npy a;
    check_ok(tp_npy_open(fixture("ok_f4_2x1x3x1x1x1x1x1.npy"), &a));
    assert_int_equal(a.n_dims, 8);
    assert_int_equal(a.shape[0] * 100 + a.shape[1] * 10 + a.shape[2], 213);
    assert_int_equal(a.n, 6);
    tp_npy_close(&a);
    check_ok(tp_npy_open(fixture("ok_f4_scalar.npy"), &a));
    assert_int_equal(a.n_dims, 0);
    assert_int_equal(a.n, 1);
    tp_npy_close(&a);
    assert_int_equal(tp_npy_write("/nonexistent/x.npy", TP_BF16, 0, NULL, ""), TP_ERR_UNSUPPORTED);
    assert_int_equal(tp_npy_write("/nonexistent/x.npy", TP_F32, 0, NULL, "...."), TP_ERR_IO);
}

/* A file of version 1 with this header and n bytes of data. */
static const char *file_of(const char *header, size_t n) {
    static char *path;
    tp_free(path);
    path = tp_path_join(dir, "broken.npy");
    tp_str s = {0};
    tp_str_append(&s, "\x93NUMPY\x01\x00", 8);
    tp_str_append_char(&s, (char)strlen(header));
    tp_str_append_char(&s, (char)(strlen(header) >> 8));
    tp_str_append_text(&s, header);
    for (size_t i = 0; i < n; i++) tp_str_append_char(&s, (char)i);
    check_ok(tp_write_file(path, s.data, s.len));
    tp_str_free(&s);
    return path;
}

#define HEAD "{'descr': '<f4', 'fortran_order': False, 'shape': "

static void broken_files_get_a_sentence(void **state) {
    (void)state;
    static const struct {
        const char *header;
        size_t n;
        const char *says; /* NULL: it is fine */
    } cases[] = {
        {HEAD "(2,)}   ", 8, NULL},
        {"{\"shape\": (2, ), \"fortran_order\": False, \"descr\": \"<f4\", }       \n", 8, NULL},
        {HEAD "(2,)}   ", 7, "ask for more"},
        {HEAD "(2,)}   ", 9, "ask for fewer"},
        {HEAD "(2,)}  ", 8, "begins at byte"},
        {HEAD "(2)}     ", 8, "','"},
        {HEAD "(2,,)}", 8, "a number"},
        {HEAD "(-2,)}", 8, "a number"},
        {HEAD "[2]}", 8, "'('"},
        {HEAD "(2 3)}", 24, "','"},
        {HEAD "(2,3 3)}", 24, "',' or ')'"},
        {HEAD "(9223372036854775808,)}", 0, "below 2^63"},
        {HEAD "(9223372036854775807,)}", 0, "ask for more"},
        {HEAD "(4294967296, 4294967296)}", 0, "ask for more"},
        {HEAD "(1,1,1,1,1,1,1,1,1)}", 4, "dimensions"},
        {HEAD "(2,), 'shape': (2,)}", 8, "twice"},
        {HEAD "(2,), 'more': 1}", 8, "`more`"},
        {HEAD "(2,)} x", 8, "nothing but blanks"},
        {HEAD "(2,)", 8, "',' or '}'"},
        {"{'descr': '<f4', 'shape': (2,)}", 8, "lacks the key `fortran_order`"},
        {"{'descr': '|O', 'fortran_order': False, 'shape': (2,)}", 8, "`descr` is \"|O\""},
        {"{'descr': '<f4', 'fortran_order': None, 'shape': (2,)}", 8, "True or False"},
        {"{'descr': '<f4, 'fortran_order': True, 'shape': (2,)}", 8, "broken"},
        {"{'descr': '<f4", 0, "end of a string"},
        {"", 0, "'{'"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        tp_npy a;
        const char *path = file_of(cases[i].header, cases[i].n);
        tp_status status = tp_npy_open(path, &a);
        if (cases[i].says == NULL) {
            if (status != TP_OK) fail_msg("%s: %s", cases[i].header, tp_last_error());
            tp_npy_close(&a);
            continue;
        }
        if (status == TP_OK) fail_msg("accepted: %s", cases[i].header);
        if (!strstr(tp_last_error(), cases[i].says) || !strstr(tp_last_error(), path))
            fail_msg("\"%s\" does not say \"%s\"", tp_last_error(), cases[i].says);
        assert_null(a.data);
    }
}

static void what_is_no_npy_file_is_refused(void **state) {
    (void)state;
    static const struct {
        const char *bytes;
        size_t n;
        const char *says;
    } cases[] = {
        {"", 0, "does not begin"},
        {"PK\x03\x04 an npz file", 16, "does not begin"},
        {"\x93NUMPY\x04\x00\x00\x00\x00\x00", 12, "version 4.0"},
        {"\x93NUMPY\x01\x01\x00\x00", 10, "version 1.1"},
        {"\x93NUMPY\x02\x00\x00\x00", 10, "within its header"},
        {"\x93NUMPY\x01\x00\x10\x00{", 11, "said to have 16 bytes"},
        {"\x93NUMPY\x02\x00\xFF\xFF\xFF\xFF{", 13, "said to have 4294967295 bytes"},
    };
    char *path = tp_path_join(dir, "other.npy");
    tp_npy a;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        check_ok(tp_write_file(path, cases[i].bytes, cases[i].n));
        assert_int_not_equal(tp_npy_open(path, &a), TP_OK);
        if (!strstr(tp_last_error(), cases[i].says)) fail_msg("\"%s\"", tp_last_error());
    }
    assert_int_equal(tp_npy_open(dir, &a), TP_ERR_IO);
    tp_free(path);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_file_of_numpy_is_read_and_written_alike),
        cmocka_unit_test(shapes_are_as_written),
        cmocka_unit_test(broken_files_get_a_sentence),
        cmocka_unit_test(what_is_no_npy_file_is_refused),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
