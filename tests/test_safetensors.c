/* lm/safetensors: round trips, and hostile files (each must give a sentence that names the file and the matter,
 * whatever the bytes). */
#include "check.h"
#include "one_folder.h"

#include "base/file.h"
#include "base/half.h"
#include "base/mem.h"
#include "base/str.h"
#include "lm/checkpoint.h"
#include "lm/safetensors.h"

/* One temporary folder for the whole program. */
static char *in_dir(const char *name) {
    static char path[4096];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

/* Writes a file of `length` (the u64 it claims), the header and n_data bytes of data 0, 1, 2, ... */
static const char *raw_file(const char *name, uint64_t length, const char *header, size_t n_header, size_t n_data) {
    const char *path = in_dir(name);
    tp_writer *w = tp_writer_open(path);
    check_not_null(w);
    tp_writer_write(w, &length, sizeof length);
    tp_writer_write(w, header, n_header);
    for (size_t i = 0; i < n_data; i++) tp_writer_write(w, &(unsigned char){(unsigned char)i}, 1);
    check_ok(tp_writer_commit(w));
    return path;
}

static const char *header_file(const char *name, const char *header, size_t n_data) {
    return raw_file(name, strlen(header), header, strlen(header), n_data);
}

/* Opening must fail with a sentence that holds the file's name and each of the words. */
static void refused(const char *path, const char *const *words) {
    tp_safetensors *st = tp_safetensors_open(path);
    if (st != NULL) fail_msg("%s was accepted", path);
    if (strstr(tp_last_error(), path) == NULL) fail_msg("\"%s\" does not name %s", tp_last_error(), path);
    for (; *words; words++)
        if (strstr(tp_last_error(), *words) == NULL) fail_msg("\"%s\" does not say \"%s\"", tp_last_error(), *words);
    tp_checkpoint *c = tp_checkpoint_open(path);
    assert_null(c);
}

#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

/* ---- good files ---- */

static void what_is_written_is_read_back(void **state) {
    (void)state;
    float a[6] = {1, -2, 3.5f, 0, 1e-30f, 6};
    tp_bf16 b[3] = {1, 2, 0xFFFF};
    uint8_t flag = 1;
    int64_t big[2] = {INT64_MIN, 7};
    const tp_st_tensor tensors[] = {
        {.name = "flag", .dtype = TP_BOOL, .n_dims = 0, .data = &flag, .n_bytes = 1},
        {.name = "w.b", .dtype = TP_BF16, .n_dims = 1, .shape = {3}, .data = b, .n_bytes = 6},
        {.name = "w.a", .dtype = TP_F32, .n_dims = 2, .shape = {2, 3}, .data = a, .n_bytes = 24},
        {.name = "empty", .dtype = TP_F32, .n_dims = 2, .shape = {0, 3}},
        {.name = "\xC3\xA9 \"quoted\"", .dtype = TP_I64, .n_dims = 1, .shape = {2}, .data = big, .n_bytes = 16},
    };
    const tp_st_metadata metadata[] = {{"recipe", "{\"x\": [1, \"\\n\"]}"}, {"about", "line\nline"}};
    char *path = in_dir("good.safetensors");
    check_ok(tp_safetensors_write(path, tensors, 5, metadata, 2));
    tp_safetensors *st = tp_safetensors_open(path);
    check_not_null(st);
    assert_int_equal(tp_safetensors_count(st), 5);
    for (size_t i = 0; i + 1 < 5; i++)
        assert_true(strcmp(tp_safetensors_get(st, i)->name, tp_safetensors_get(st, i + 1)->name) < 0);
    assert_null(tp_safetensors_get(st, 5));
    for (size_t i = 0; i < 5; i++) {
        const tp_st_tensor *t = tp_safetensors_find(st, tensors[i].name);
        check_not_null(t);
        assert_int_equal(t->dtype, tensors[i].dtype);
        assert_int_equal(t->n_dims, tensors[i].n_dims);
        assert_memory_equal(t->shape, tensors[i].shape, sizeof t->shape);
        assert_int_equal(t->n_bytes, tensors[i].n_bytes);
        if (t->n_bytes > 0) assert_memory_equal(t->data, tensors[i].data, t->n_bytes);
        assert_string_equal(t->file, path);
    }
    assert_int_equal((uintptr_t)tp_safetensors_find(st, "\xC3\xA9 \"quoted\"")->data % 64, 0); /* first, at the start */
    assert_string_equal(tp_safetensors_metadata(st, "recipe"), metadata[0].value);
    assert_string_equal(tp_safetensors_metadata(st, "about"), metadata[1].value);
    assert_string_equal(tp_safetensors_metadata(st, "format"), "pt");
    assert_null(tp_safetensors_metadata(st, "nothing"));
    assert_null(tp_safetensors_find(st, "w.c"));
    assert_non_null(strstr(tp_last_error(), "good.safetensors has no tensor `w.c`"));
    check_ok(tp_st_check_shape(tp_safetensors_find(st, "w.a"), 2, (int64_t[]){2, 3}));
    assert_int_equal(tp_st_check_shape(tp_safetensors_find(st, "w.a"), 2, (int64_t[]){3, 2}), TP_ERR_FORMAT);
    assert_string_equal(strstr(tp_last_error(), "good.safetensors"),
                        "good.safetensors: tensor `w.a` has the shape [2, 3], [3, 2] was expected");
    assert_int_equal(tp_st_check_shape(tp_safetensors_find(st, "w.a"), 1, (int64_t[]){6}), TP_ERR_FORMAT);
    tp_safetensors_close(st);
}

static void the_same_content_gives_the_same_bytes(void **state) {
    (void)state;
    float a[2] = {1, 2};
    uint16_t h[1] = {3};
    tp_st_tensor tensors[] = {
        {.name = "a", .dtype = TP_F32, .n_dims = 1, .shape = {2}, .data = a, .n_bytes = 8},
        {.name = "b", .dtype = TP_F16, .n_dims = 1, .shape = {1}, .data = h, .n_bytes = 2},
        {.name = "c", .dtype = TP_F32, .n_dims = 1, .shape = {2}, .data = a, .n_bytes = 8},
    };
    tp_st_metadata metadata[] = {{"k", "1"}, {"format", "pt"}};
    char *one, *two;
    size_t n_one, n_two;
    check_ok(tp_safetensors_write(in_dir("one"), tensors, 3, metadata, 2));
    check_ok(tp_read_file(in_dir("one"), 0, &one, &n_one));
    tp_st_tensor shuffled[] = {tensors[2], tensors[1], tensors[0]};
    tp_st_metadata only_k[] = {metadata[0]};
    check_ok(tp_safetensors_write(in_dir("two"), shuffled, 3, only_k, 1));
    check_ok(tp_read_file(in_dir("two"), 0, &two, &n_two));
    assert_int_equal(n_one, n_two);
    assert_memory_equal(one, two, n_one);
    uint64_t length;
    memcpy(&length, one, 8);
    assert_int_equal((8 + length) % 64, 0);
    assert_int_equal(n_one, 8 + length + 18);
    tp_free(one);
    tp_free(two);
}

typedef struct {
    const tp_st_tensor *tensors;
    size_t made, fail_at;
} maker;

static tp_status make(void *context, size_t index, tp_writer *writer) {
    maker *m = context;
    if (m->made++ == m->fail_at) return tp_fail(TP_ERR_MEMORY, "no more");
    tp_writer_write(writer, m->tensors[index].data, m->tensors[index].n_bytes);
    return TP_OK;
}

static void what_is_made_while_writing_gives_the_same_bytes(void **state) {
    (void)state;
    float a[2] = {1, 2}, b[1] = {3};
    uint16_t h[1] = {4};
    tp_st_tensor tensors[] = {
        {.name = "c", .dtype = TP_F16, .n_dims = 1, .shape = {1}, .data = h, .n_bytes = 2},
        {.name = "b", .dtype = TP_F32, .n_dims = 1, .shape = {1}, .data = b, .n_bytes = 4},
        {.name = "a", .dtype = TP_F32, .n_dims = 1, .shape = {2}, .data = a, .n_bytes = 8},
    };
    char *one, *two;
    size_t n_one, n_two;
    check_ok(tp_safetensors_write(in_dir("as they are"), tensors, 3, NULL, 0));
    check_ok(tp_read_file(in_dir("as they are"), 0, &one, &n_one));
    tp_st_tensor empty[] = {tensors[0], tensors[1], tensors[2]};
    for (int i = 0; i < 3; i++) empty[i].data = NULL;
    maker m = {.tensors = tensors, .fail_at = 3};
    check_ok(tp_safetensors_write_made(in_dir("made"), empty, 3, NULL, 0, make, &m));
    check_ok(tp_read_file(in_dir("made"), 0, &two, &n_two));
    assert_int_equal(n_one, n_two);
    assert_memory_equal(one, two, n_one);
    m = (maker){.tensors = tensors, .fail_at = 1};
    assert_int_equal(tp_safetensors_write_made(in_dir("half made"), empty, 3, NULL, 0, make, &m), TP_ERR_MEMORY);
    assert_false(tp_path_exists(in_dir("half made")));
    tp_free(one);
    tp_free(two);
}

static void the_writer_refuses_what_the_reader_would(void **state) {
    (void)state;
    float a[2] = {1, 2};
    tp_st_tensor good = {.name = "a", .dtype = TP_F32, .n_dims = 1, .shape = {2}, .data = a, .n_bytes = 8};
    tp_st_tensor bad[] = {good, good, good, good, good, good};
    bad[0].n_bytes = 4;
    bad[1].dtype = TP_UNKNOWN;
    bad[2].shape[0] = -2;
    bad[3].name = "\xFF not utf-8";
    bad[4].n_dims = 9;
    bad[5].name = "__metadata__";
    for (int i = 0; i < 6; i++) {
        assert_int_equal(tp_safetensors_write(in_dir("never"), &bad[i], 1, NULL, 0), TP_ERR_ARGUMENT);
        assert_non_null(strstr(tp_last_error(), "never"));
    }
    tp_st_tensor twice[] = {good, good};
    assert_int_equal(tp_safetensors_write(in_dir("never"), twice, 2, NULL, 0), TP_ERR_ARGUMENT);
    tp_st_metadata same[] = {{"k", "1"}, {"k", "2"}};
    assert_int_equal(tp_safetensors_write(in_dir("never"), &good, 1, same, 2), TP_ERR_ARGUMENT);
    assert_int_equal(tp_safetensors_write(in_dir("no/such/folder"), &good, 1, NULL, 0), TP_ERR_IO);
    assert_false(tp_path_exists(in_dir("never")));
}

static void legal_oddities_are_read(void **state) {
    (void)state;
    const char *odd =
        "{ \"b\" : {\"shape\":[2],\"dtype\":\"I16\",\"data_offsets\":[1,5], \"more\": null},\n\"\\u0061\":"
        "{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[0,1]},\"none\":{\"dtype\":\"F64\",\"shape\":[7,0],"
        "\"data_offsets\":[5,5]}}     ";
    tp_safetensors *st = tp_safetensors_open(header_file("odd.safetensors", odd, 5));
    check_not_null(st);
    assert_int_equal(*(const uint8_t *)tp_safetensors_find(st, "a")->data, 0);
    const tp_st_tensor *b = tp_safetensors_find(st, "b"); /* begins at an odd byte: an aligned copy */
    assert_int_equal((uintptr_t)b->data % 2, 0);
    assert_int_equal(((const int16_t *)b->data)[1], 0x0403);
    assert_int_equal(tp_safetensors_find(st, "none")->n_bytes, 0);
    tp_safetensors_close(st);
    const char *empty = "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
                        "\"e\":{\"dtype\":\"F64\",\"shape\":[0],\"data_offsets\":[1,1]}}";
    st = tp_safetensors_open(header_file("empty.safetensors", empty, 1));
    check_not_null(st);
    assert_int_equal((uintptr_t)tp_safetensors_find(st, "e")->data % 8, 0); /* empty, and aligned nevertheless */
    tp_safetensors_close(st);
    st = tp_safetensors_open(header_file("nothing.safetensors", "{}", 0));
    check_not_null(st);
    assert_int_equal(tp_safetensors_count(st), 0);
    assert_null(tp_safetensors_find(st, "a"));
    assert_null(tp_safetensors_metadata(st, "a"));
    tp_safetensors_close(st);
}

static void an_unknown_dtype_matters_only_when_asked_for(void **state) {
    (void)state;
    const char *header = "{\"a\":{\"dtype\":\"F8_E4M3\",\"shape\":[4],\"data_offsets\":[0,4]},"
                         "\"b\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[4,5]}}";
    tp_safetensors *st = tp_safetensors_open(header_file("f8.safetensors", header, 5));
    check_not_null(st);
    assert_int_equal(tp_safetensors_get(st, 0)->dtype, TP_UNKNOWN);
    assert_string_equal(tp_safetensors_get(st, 0)->file_dtype, "F8_E4M3");
    assert_int_equal(*(const uint8_t *)tp_safetensors_find(st, "b")->data, 4);
    assert_null(tp_safetensors_find(st, "a"));
    assert_int_equal(tp_last_status(), TP_ERR_UNSUPPORTED);
    assert_non_null(strstr(tp_last_error(), "f8.safetensors"));
    assert_non_null(strstr(tp_last_error(), "F8_E4M3"));
    assert_non_null(strstr(tp_last_error(), "BF16"));
    tp_safetensors_close(st);
    tp_checkpoint *c = tp_checkpoint_open(in_dir("f8.safetensors"));
    check_not_null(c);
    assert_true(tp_checkpoint_has(c, "a"));
    assert_null(tp_checkpoint_find(c, "a"));
    assert_int_equal(tp_last_status(), TP_ERR_UNSUPPORTED);
    assert_null(tp_checkpoint_weight(c, "b", 1, (int64_t[]){1}));
    assert_non_null(strstr(tp_last_error(), "`b` has the dtype U8, a weight must be"));
    tp_checkpoint_close(c);
}

/* ---- hostile files ---- */

static void broken_lengths_are_refused(void **state) {
    (void)state;
    char *path = in_dir("short");
    check_ok(tp_write_file(path, "", 0));
    refused(path, WORDS("0 bytes long", "too short"));
    check_ok(tp_write_file(path, "1234567", 7));
    refused(path, WORDS("7 bytes long"));
    refused(raw_file("only-length", 2, "", 0, 0), WORDS("header of 2 bytes", "only 0 follow", "truncated"));
    refused(raw_file("zero-length", 0, "", 0, 0), WORDS("not a JSON object"));
    refused(raw_file("beyond", 3, "{}", 2, 0), WORDS("header of 3 bytes", "only 2 follow", "truncated"));
    refused(raw_file("huge", UINT64_C(1) << 63, "{}", 2, 0), WORDS("9223372036854775808", "100000000"));
    refused(raw_file("all-ones", UINT64_MAX, "{}", 2, 0), WORDS("18446744073709551615"));
    refused(raw_file("over-cap", 100000001, "{}", 2, 0), WORDS("100000001", "at most 100000000"));
    char lfs[] = "version https://git-lfs.github.com/spec/v1\noid sha256:0\n";
    check_ok(tp_write_file(in_dir("pointer"), lfs, strlen(lfs)));
    refused(in_dir("pointer"), WORDS("Git LFS"));
    refused(in_dir("is-not-there"), WORDS("No such file"));
}

static void every_truncation_of_a_good_file_is_refused(void **state) {
    (void)state;
    float a[4] = {1, 2, 3, 4};
    tp_st_tensor t = {.name = "a", .dtype = TP_F32, .n_dims = 1, .shape = {4}, .data = a, .n_bytes = 16};
    char *bytes;
    size_t n;
    check_ok(tp_safetensors_write(in_dir("whole"), &t, 1, NULL, 0));
    check_ok(tp_read_file(in_dir("whole"), 0, &bytes, &n));
    char *path = in_dir("cut");
    for (size_t i = 0; i < n; i++) {
        check_ok(tp_write_file(path, bytes, i));
        refused(path, i < 8 ? WORDS("too short") : WORDS("truncated"));
    }
    tp_str longer = {0};
    tp_str_append(&longer, bytes, n);
    tp_str_append(&longer, "x", 1);
    check_ok(tp_write_file(path, longer.data, longer.len));
    refused(path, WORDS("hole", "last 1 bytes"));
    tp_str_free(&longer);
    tp_free(bytes);
}

/* One tensor `t` of which one part is wrong; 8 bytes of data. */
#define ENTRY(dtype, shape, offsets) "{\"t\":{\"dtype\":" dtype ",\"shape\":" shape ",\"data_offsets\":" offsets "}}"

static void broken_headers_are_refused(void **state) {
    (void)state;
    static const struct {
        const char *header;
        const char *words[3];
    } cases[] = {
        {"no JSON", {"not a JSON object"}},
        {"[]", {"not a JSON object"}},
        {" {}", {"not a JSON object"}},
        {"{", {"a tensor's name"}},
        {"{}x", {"goes on after"}},
        {"{\"t\"", {"not valid JSON", "`:`"}},
        {"{\"t\":", {"an object"}},
        {"{\"t\":1}", {"an object"}},
        {"{\"t\":[]}", {"an object"}},
        {"{t:{}}", {"tensor's name"}},
        {"{\"t\":{}}", {"`t.dtype` is missing"}},
        {"{\"t\":{\"dtype\":\"F32\"", {"not valid JSON"}},
        {"{\"\xFF\":{}}", {"not valid JSON", "tensor's name"}},
        {"{\"a\\u0000b\":{}}", {"zero byte"}},
        {"{\"a\\u001b[2Jb\":{}}", {"control character 0x1b"}},
        {"{\"t\":{\"dtype\":\"F32\",\"shape\":[2]}}", {"`t.data_offsets` is missing"}},
        {"{\"t\":{\"dtype\":\"F32\",\"data_offsets\":[0,8]}}", {"`t.shape` is missing"}},
        {"{\"t\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", {"duplicate"}},
        {ENTRY("3", "[2]", "[0,8]"), {"`t.dtype` is an integer"}},
        {ENTRY("null", "[2]", "[0,8]"), {"`t.dtype` is missing"}},
        {ENTRY("\"F32\"", "2", "[0,8]"), {"`t.shape` is an integer"}},
        {ENTRY("\"F32\"", "{}", "[0,8]"), {"`t.shape` is an object"}},
        {ENTRY("\"F32\"", "[-2]", "[0,8]"), {"`t.shape`", "from 0 up"}},
        {ENTRY("\"F32\"", "[2.0]", "[0,8]"), {"`t.shape`", "from 0 up"}},
        {ENTRY("\"F32\"", "[\"2\"]", "[0,8]"), {"`t.shape`", "from 0 up"}},
        {ENTRY("\"F32\"", "[99999999999999999999]", "[0,8]"), {"not valid JSON"}},
        {ENTRY("\"U8\"", "[1,1,1,1,1,1,1,1,8]", "[0,8]"), {"`t.shape`", "9 dimensions", "at most 8"}},
        {ENTRY("\"F32\"", "[4611686018427387904,4]", "[0,8]"), {"`t.shape`", "overflow"}},
        {ENTRY("\"F32\"", "[4294967296,4294967296,0]", "[0,8]"), {"`t.shape`", "overflow"}},
        {ENTRY("\"F32\"", "[4611686018427387905]", "[0,8]"), {"`t.shape`", "overflow"}},
        {ENTRY("\"F8_X\"", "[4294967296,4294967296]", "[0,8]"), {"`t.shape`", "overflow"}},
        {ENTRY("\"F32\"", "[3]", "[0,8]"), {"`t.data_offsets`", "span 8 bytes", "need 12"}},
        {ENTRY("\"F32\"", "[1]", "[0,8]"), {"`t.data_offsets`", "span 8 bytes", "need 4"}},
        {ENTRY("\"F32\"", "[2]", "[-1,7]"), {"`t.data_offsets`", "negative"}},
        {ENTRY("\"F32\"", "[2]", "[0,-8]"), {"`t.data_offsets`", "negative"}},
        {ENTRY("\"F32\"", "[2]", "[8,0]"), {"`t.data_offsets`", "ends before it begins"}},
        {ENTRY("\"F32\"", "[2]", "[1,9]"), {"`t.data_offsets`", "outside the file", "8 bytes"}},
        {ENTRY("\"F32\"", "[2]", "[9223372036854775799,9223372036854775807]"),
         {"`t.data_offsets`", "outside the file"}},
        {ENTRY("\"F32\"", "[2]", "[0]"), {"`t.data_offsets`", "two integers"}},
        {ENTRY("\"F32\"", "[2]", "[0,8,8]"), {"`t.data_offsets`", "two integers"}},
        {ENTRY("\"F32\"", "[2]", "[0,8.0]"), {"`t.data_offsets`", "two integers"}},
        {ENTRY("\"F32\"", "[2]", "\"0,8\""), {"`t.data_offsets` is a string"}},
        {ENTRY("\"F32\"", "[1]", "[4,8]"), {"hole", "0 to 4", "`t`"}},
        {ENTRY("\"F32\"", "[1]", "[0,4]"), {"hole", "last 4 bytes"}},
        {"{}", {"hole", "last 8 bytes"}},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[5],\"data_offsets\":[0,5]},"
         "\"b\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[4,8]}}",
         {"`a`", "`b`", "overlap"}},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[8],\"data_offsets\":[0,8]},"
         "\"b\":{\"dtype\":\"U8\",\"shape\":[8],\"data_offsets\":[0,8]}}",
         {"`a`", "`b`", "overlap"}},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[0,3]},"
         "\"b\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[4,8]}}",
         {"hole", "3 to 4", "`b`"}},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},"
         "\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[4,8]}}",
         {"`a`", "twice", "duplicate"}},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},"
         "\"\\u0061\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[4,8]}}",
         {"`a`", "twice", "duplicate"}},
        {"{\"__metadata__\":[]}", {"`__metadata__`", "object of strings"}},
        {"{\"__metadata__\":{\"a\":1}}", {"`__metadata__`", "string"}},
        {"{\"__metadata__\":{\"a\":{}}}", {"`__metadata__`", "string"}},
        {"{\"__metadata__\":{\"a\":\"1\",\"a\":\"2\"}}", {"`__metadata__`", "`a`", "duplicate"}},
        {"{\"__metadata__\":{},\"__metadata__\":{}}", {"`__metadata__`", "duplicate"}},
        {"{\"__metadata__\":{\"a\":\"1\"", {"not valid JSON"}},
        {"{\"__metadata__\":{\"a\":\"1\",}}", {"`__metadata__`"}},
        {"{\"t\":{\"dtype\":\"U8\",\"shape\":[8],\"data_offsets\":[0,8]},}", {"tensor's name"}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *words[4] = {cases[i].words[0], cases[i].words[1], cases[i].words[2], NULL};
        refused(header_file("hostile.safetensors", cases[i].header, 8), words);
        assert_int_equal(tp_last_status(), TP_ERR_FORMAT);
    }
}

/* Text that would become a thousand times its size if it were parsed as one value. */
static void a_header_of_nested_rubbish_is_refused_early(void **state) {
    (void)state;
    tp_str header = {0};
    tp_str_append_text(&header, "{\"t\":{\"shape\":[");
    for (int i = 0; i < 1000000; i++) tp_str_append_text(&header, "[],");
    tp_str_append_text(&header, "[]],\"dtype\":\"F32\",\"data_offsets\":[0,8]}}");
    refused(header_file("rubbish.safetensors", header.data, 8), WORDS("`t`", "too long"));
    tp_str_clear(&header);
    for (int i = 0; i < 1000000; i++) tp_str_append_text(&header, "{\"a\":");
    refused(header_file("deep.safetensors", header.data, 8), WORDS("not valid JSON"));
    tp_str_free(&header);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read_back),
        cmocka_unit_test(the_same_content_gives_the_same_bytes),
        cmocka_unit_test(what_is_made_while_writing_gives_the_same_bytes),
        cmocka_unit_test(the_writer_refuses_what_the_reader_would),
        cmocka_unit_test(legal_oddities_are_read),
        cmocka_unit_test(an_unknown_dtype_matters_only_when_asked_for),
        cmocka_unit_test(broken_lengths_are_refused),
        cmocka_unit_test(every_truncation_of_a_good_file_is_refused),
        cmocka_unit_test(broken_headers_are_refused),
        cmocka_unit_test(a_header_of_nested_rubbish_is_refused_early),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
