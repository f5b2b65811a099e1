/* base/: arenas, strings, files, random streams, half floats, JSON with typed fields. */
#include "check.h"

#include "base/file.h"
#include "base/half.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/str.h"

#include <math.h>
#include <unistd.h>

static void arena_gives_back_and_keeps_its_peak(void **state) {
    (void)state;
    tp_arena *a = tp_arena_new();
    char *first = tp_arena_alloc(a, 100);
    assert_int_equal((uintptr_t)first % TP_ALIGN, 0);
    tp_arena_mark mark = tp_arena_get_mark(a);
    for (int i = 0; i < 100; i++) memset(tp_arena_alloc(a, 100000), i, 100000);
    size_t peak = tp_arena_peak(a);
    assert_true(peak >= 100 * 100000);
    tp_arena_release(a, mark);
    char *again = tp_arena_alloc(a, 64);
    assert_ptr_equal(again, first + 192); /* 100 bytes rounded up, and a spare line */
    for (int round = 0; round < 5; round++) {
        tp_arena_reset(a);
        for (int i = 0; i < 100; i++) memset(tp_arena_alloc(a, 100000), i, 100000);
    }
    assert_true(tp_arena_peak(a) <= peak + 4096); /* equal rounds do not grow it */
    tp_arena_free(a);
}

static void halves_round_trip_every_value(void **state) {
    (void)state;
    for (uint32_t h = 0; h < 65536; h++) {
        float b = tp_bf16_to_f32((tp_bf16)h), f = tp_f16_to_f32((tp_f16)h);
        if (!isnan(b)) assert_int_equal(tp_f32_to_bf16(b), h);
        if (!isnan(f)) assert_int_equal(tp_f32_to_f16(f), h);
        /* halfway between two neighbours goes to the even one */
        if ((h & 0x7FFF) < 0x7BFF) {
            float middle = 0.5f * (f + tp_f16_to_f32((tp_f16)(h + 1)));
            assert_int_equal(tp_f32_to_f16(middle), h & 1 ? h + 1 : h);
        }
    }
    assert_int_equal(tp_f32_to_f16(1e6f), 0x7C00);
    assert_true(isnan(tp_f16_to_f32(tp_f32_to_f16(NAN))));
    assert_true(isnan(tp_bf16_to_f32(tp_f32_to_bf16(NAN))));
}

static void random_streams_are_independent_and_repeatable(void **state) {
    (void)state;
    tp_rng a = tp_rng_stream(42, "init", 0), b = tp_rng_stream(42, "init", 0);
    tp_rng c = tp_rng_stream(42, "order", 0), d = tp_rng_stream(42, "init", 1), e = tp_rng_stream(43, "init", 0);
    int same_c = 0, same_d = 0, same_e = 0;
    for (int i = 0; i < 1000; i++) {
        uint32_t x = tp_rng_u32(&a);
        assert_int_equal(x, tp_rng_u32(&b));
        same_c += x == tp_rng_u32(&c);
        same_d += x == tp_rng_u32(&d);
        same_e += x == tp_rng_u32(&e);
    }
    assert_true(same_c + same_d + same_e <= 1);
    double sum = 0, square = 0;
    enum { N = 100000 };
    for (int i = 0; i < N; i++) {
        double x = tp_rng_normal(&a);
        sum += x;
        square += x * x;
    }
    assert_true(fabs(sum / N) < 0.02 && fabs(square / N - 1) < 0.02);
    int64_t order[100];
    for (int i = 0; i < 100; i++) order[i] = i;
    tp_rng_shuffle(&a, order, 100);
    int64_t total = 0, moved = 0;
    for (int i = 0; i < 100; i++) total += order[i], moved += order[i] != i;
    assert_int_equal(total, 4950);
    assert_true(moved > 80);
}

/* The first block of Philox4x32-10 with zero key and counter, from the known-answer tests of Random123. */
static void philox_matches_the_published_vector(void **state) {
    (void)state;
    tp_rng zero = {.key = {0, 0}};
    uint32_t got[4];
    for (int i = 3; i >= 0; i--) got[i] = tp_rng_u32(&zero);
    assert_int_equal(got[0], 0x6627e8d5);
    assert_int_equal(got[1], 0xe169c58d);
    assert_int_equal(got[2], 0xbc57ac4c);
    assert_int_equal(got[3], 0x9b00dbd8);
}

static void files_appear_whole_or_not_at_all(void **state) {
    (void)state;
    char *dir = check_temp_dir();
    char *path = tp_path_join(dir, "a/b/file.txt");
    char *folder = tp_path_join(dir, "a/b");
    assert_int_equal(tp_write_file(path, "x", 1), TP_ERR_IO);
    assert_non_null(strstr(tp_last_error(), "file.txt"));
    check_ok(tp_make_dirs(folder));
    tp_writer *w = tp_writer_open(path);
    tp_writer_write(w, "one\ntwo\n\nlast", 13);
    assert_false(tp_path_exists(path));
    check_ok(tp_writer_commit(w));
    assert_int_equal(tp_file_size(path), 13);
    tp_lines *lines = tp_lines_open(path);
    const char *expected[] = {"one", "two", "", "last"};
    char *line;
    size_t n;
    for (int i = 0; i < 4; i++) {
        assert_true(tp_lines_next(lines, &line, &n));
        assert_string_equal(line, expected[i]);
    }
    assert_false(tp_lines_next(lines, &line, &n));
    tp_lines_close(lines);
    tp_mapping map;
    check_ok(tp_map_file(path, &map));
    assert_memory_equal(map.data, "one\ntwo\n\nlast", 13);
    tp_unmap_file(&map);
    assert_int_equal(tp_map_file(folder, &map), TP_ERR_IO);
    tp_free(path);
    tp_free(folder);
    check_remove_dir(dir);
}

static void a_full_disk_is_an_error_and_leaves_nothing(void **state) {
    (void)state;
    if (access("/dev/full", W_OK) != 0) skip();
    tp_writer *w = tp_writer_open("/dev/full"); /* the temporary stands beside it, in /dev */
    if (w == NULL) skip();
    tp_writer_abandon(w);
    assert_false(tp_path_exists("/no-such-folder/x"));
    assert_int_equal(tp_write_file("/no-such-folder/x", "a", 1), TP_ERR_IO);
}

static void json_fields_are_typed_and_unknown_keys_refused(void **state) {
    (void)state;
    const char *text = "{\"a\": 3, \"b\": {\"c\": \"x\", \"d\": 1.5}, \"extra\": 1}";
    json_t *value = tp_json_load_bytes(text, strlen(text), "t.json");
    tp_json_reader r, inner;
    tp_json_begin(&r, value, "t.json");
    assert_int_equal(tp_json_int(&r, "a", 0, 0, 10), 3);
    tp_json_object(&r, "b", &inner);
    assert_string_equal(tp_json_text(&inner, "c", ""), "x");
    assert_true(tp_json_real(&inner, "d", 0, 0, 2) == 1.5);
    tp_json_end_object(&r, &inner, true);
    assert_int_equal(tp_json_end(&r, true), TP_ERR_FORMAT);
    assert_non_null(strstr(tp_last_error(), "`extra`"));
    tp_json_begin(&r, value, "t.json");
    tp_json_object(&r, "b", &inner);
    tp_json_int(&inner, "c", 0, 0, 1);
    tp_json_end_object(&r, &inner, false);
    assert_int_equal(r.status, TP_ERR_FORMAT);
    assert_string_equal(tp_last_error(), "t.json: `b.c` is a string, an integer was expected");
    json_decref(value);
    assert_null(tp_json_load_bytes("{\"a\":1,\"a\":2}", 13, "dup"));
}

static void fingerprints_tell_pieces_apart(void **state) {
    (void)state;
    char one[33], two[33];
    tp_hash *h = tp_hash_new();
    tp_hash_add_text(h, "ab");
    tp_hash_add_text(h, "c");
    tp_hash_end(h, one);
    h = tp_hash_new();
    tp_hash_add_text(h, "a");
    tp_hash_add_text(h, "bc");
    tp_hash_end(h, two);
    assert_int_equal(strlen(one), 32);
    assert_string_not_equal(one, two);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arena_gives_back_and_keeps_its_peak),
        cmocka_unit_test(halves_round_trip_every_value),
        cmocka_unit_test(random_streams_are_independent_and_repeatable),
        cmocka_unit_test(philox_matches_the_published_vector),
        cmocka_unit_test(files_appear_whole_or_not_at_all),
        cmocka_unit_test(a_full_disk_is_an_error_and_leaves_nothing),
        cmocka_unit_test(json_fields_are_typed_and_unknown_keys_refused),
        cmocka_unit_test(fingerprints_tell_pieces_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
