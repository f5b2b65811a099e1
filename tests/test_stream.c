/* text/stream: characters come out whole, stop texts never, whatever the pieces the text comes in. */
#include "check.h"

#include "base/mem.h"
#include "base/rng.h"
#include "text/stream.h"
#include "text/unicode.h"

/* What comes out of bytes that come in pieces of 1 to `most` bytes (drawn; 1: single bytes). */
static char *through(const char *bytes, size_t n, const char *const *stops, int64_t n_stops, uint64_t most,
                     bool *stopped) {
    tp_text_stream stream = {.stops = stops, .n_stops = n_stops};
    tp_str out = {0};
    tp_rng rng = tp_rng_stream(most, "pieces", n);
    for (size_t at = 0; at < n;) {
        size_t piece = 1 + (size_t)tp_rng_below(&rng, most);
        if (piece > n - at) piece = n - at;
        tp_text_stream_add(&stream, bytes + at, piece, &out);
        if (out.len) assert_int_equal(tp_utf8_valid_prefix(out.data, out.len), out.len); /* whole at every moment */
        at += piece;
    }
    if (stopped) *stopped = stream.stopped;
    tp_text_stream_end(&stream, &out);
    return tp_str_take(&out);
}

static void expect(const char *bytes, const char *const *stops, const char *wanted, bool stops_here) {
    int64_t n_stops = 0;
    while (stops && stops[n_stops]) n_stops++;
    for (uint64_t most = 1; most < 12; most++) {
        bool stopped;
        char *out = through(bytes, strlen(bytes), stops, n_stops, most, &stopped);
        assert_string_equal(out, wanted);
        assert_int_equal(stopped, stops_here);
        tp_free(out);
    }
}

#define LOST "\xEF\xBF\xBD"

static void characters_come_out_whole(void **state) {
    (void)state;
    expect("plain", NULL, "plain", false);
    expect("", NULL, "", false);
    expect("na\xC3\xAFve \xE2\x82\xAC \xF0\x9F\xA6\x89!", NULL, "na\xC3\xAFve \xE2\x82\xAC \xF0\x9F\xA6\x89!", false);
    expect("cut \xE2\x82", NULL, "cut ", false); /* a character that never became whole */
    expect("cut \xF0\x9F\xA6", NULL, "cut ", false);
    /* what can be no character, with as many signs of it as Python's decoder gives */
    expect("a\xFFz", NULL, "a" LOST "z", false);
    expect("a\x80\x80z", NULL, "a" LOST LOST "z", false);
    expect("a\xE2\x82z", NULL, "a" LOST "z", false);
    expect("a\xC0\xAFz", NULL, "a" LOST LOST "z", false);                   /* overlong */
    expect("a\xED\xA0\x80z", NULL, "a" LOST LOST LOST "z", false);          /* a surrogate */
    expect("a\xF4\x90\x80\x80z", NULL, "a" LOST LOST LOST LOST "z", false); /* above U+10FFFF */
    expect("a\xF0\x9F\xE2\x82\xAC", NULL, "a" LOST "\xE2\x82\xAC", false);
    expect("a\xE0\x80z", NULL, "a" LOST LOST "z", false);
}

static void text_is_let_through_at_once(void **state) {
    (void)state;
    const char *const stops[] = {"User:", "\n\n"};
    tp_text_stream stream = {.stops = stops, .n_stops = 2};
    const char *const pieces[] = {"Hi", "\xE2", "\x82", "\xAC ok", " U", "s", "ed", "\n", "x", " Use", "r", ": no"};
    const char *const come_out[] = {"Hi", "", "", "\xE2\x82\xAC ok", " ", "", "Used", "", "\nx", " ", "", ""};
    for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
        tp_str out = {0};
        tp_text_stream_add(&stream, pieces[i], strlen(pieces[i]), &out);
        assert_string_equal(out.data ? out.data : "", come_out[i]);
        tp_str_free(&out);
    }
    assert_true(stream.stopped);
    tp_str out = {0};
    tp_text_stream_add(&stream, "more", 4, &out);
    tp_text_stream_end(&stream, &out);
    assert_int_equal(out.len, 0);
    tp_str_free(&out);
}

static void stop_texts_stop(void **state) {
    (void)state;
    static const char *const one[] = {"END", NULL}, *const two[] = {"aab", "b", NULL}, *const dots[] = {"...", NULL},
                             *const owl[] = {"\xF0\x9F\xA6\x89", NULL}, *const same[] = {"abab", NULL};
    expect("to the END of it", one, "to the ", true);
    expect("to the EN", one, "to the EN", false); /* held back, then not it */
    expect("EENDx", one, "E", true);
    expect("ENENEND", one, "ENEN", true);
    expect("caaab", two, "ca", true); /* the stop that begins first counts */
    expect("cab", two, "ca", true);
    expect("a..b....", dots, "a..b", true);
    expect("aabab", same, "a", true);
    expect("\xF0\x9F\xA6\x8A \xF0\x9F\xA6\x89 x", owl, "\xF0\x9F\xA6\x8A ", true);
    expect("x\xF0\x9F\xA6", owl, "x", false);
    expect("x\xFF\x80\xC3 END", one, "x" LOST LOST LOST " ", true);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(characters_come_out_whole),
        cmocka_unit_test(text_is_let_through_at_once),
        cmocka_unit_test(stop_texts_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
