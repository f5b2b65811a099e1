/* What pages are made of: numbers, escaped text, axes; charts keep their texts apart; colours can be read. */
#include "check.h"

#include "base/mem.h"
#include "base/rng.h"
#include "base/str.h"
#include "markup.h"
#include "report/axis.h"
#include "report/chart.h"
#include "report/escape.h"
#include "report/number.h"
#include "report/writers.h"

/* ---- pieces ---- */

static void numbers_are_written_for_people(void **state) {
    (void)state;
    char out[TP_NUMBER_SIZE];
    assert_string_equal(tp_number_fixed(81.249, 1, out), "81.2");
    assert_string_equal(tp_number_fixed(-0.04, 1, out), "0.0");
    assert_string_equal(tp_number_fixed(NAN, 1, out), "");
    assert_string_equal(tp_number_percent(0.5, out), "50.0");
    assert_string_equal(tp_number_short(3128, out), "3128");
    assert_string_equal(tp_number_short(12.94, out), "12.9");
    assert_string_equal(tp_number_short(2.654, out), "2.65");
    assert_string_equal(tp_number_signed(-1.23, 1, out), "−1.2");
    assert_string_equal(tp_number_signed(1.23, 1, out), "+1.2");
    assert_string_equal(tp_number_signed(-0.01, 1, out), "0.0");
    assert_string_equal(tp_number_p(0.0004, out), "p\u00a0<\u00a00.001");
    assert_string_equal(tp_number_p(0.034, out), "p\u00a0=\u00a00.034");
    assert_string_equal(tp_number_p(0.3, out), "p\u00a0=\u00a00.30");
    assert_string_equal(tp_number_exact(0.1, out), "0.1");
}

static void foreign_text_becomes_harmless(void **state) {
    (void)state;
    tp_str out = {0};
    tp_escape_html(&out, "<script>alert(\"x\" & 'y')</script>\x01\xff\xe2\x80\xaeturned\ttab");
    assert_string_equal(out.data, "&lt;script&gt;alert(&quot;x&quot; &amp; &#39;y&#39;)&lt;/script&gt;"
                                  "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBDturned tab");
    check_markup(out.data);
    tp_str_clear(&out);
    tp_escape_html(&out, "\xf0\x9f"); /* a character that is cut off */
    assert_string_equal(out.data, "\xEF\xBF\xBD\xEF\xBF\xBD");
    tp_str_clear(&out);
    tp_escape_markdown(&out, "a|b*c\n<i>");
    assert_string_equal(out.data, "a\\|b\\*c &lt;i>");
    tp_str_clear(&out);
    tp_escape_csv(&out, "say \"a, b\"");
    assert_string_equal(out.data, "\"say \"\"a, b\"\"\"");
    tp_str_clear(&out);
    tp_escape_csv(&out, "=HYPERLINK(1)");
    assert_string_equal(out.data, "'=HYPERLINK(1)");
    tp_str_clear(&out);
    tp_escape_csv(&out, "-1.5");
    assert_string_equal(out.data, "-1.5");
    tp_str_free(&out);
}

static void axes_have_round_numbers(void **state) {
    (void)state;
    tp_axis s = tp_axis_round(3, 97, 6, 0, 100);
    assert_true(s.low == 0 && s.high == 100 && s.n_ticks == 6);
    assert_true(s.ticks[1] == 20 && tp_axis_at(&s, 50) == 50);
    s = tp_axis_round(0.013, 0.058, 6, 0, 1);
    assert_true(s.n_ticks <= 6 && s.decimals == 2 && fabs(s.low - 0.01) < 1e-12 && fabs(s.high - 0.06) < 1e-12);
    s = tp_axis_round(5, 5, 4, 0, 1); /* nothing between the ends */
    assert_true(s.low < 5 && s.high > 5 && s.n_ticks >= 2 && s.n_ticks <= 4);
    s = tp_axis_round(NAN, NAN, 4, 0, 1);
    assert_true(s.low < s.high);
    s = tp_axis_exact(50, 2000, 6, 0, 1);
    assert_true(s.ticks[0] == 500 && s.ticks[3] == 2000 && s.n_ticks == 4);
    s = tp_axis_log(2, 128, 9, 0, 6);
    assert_true(s.n_ticks == 7 && s.ticks[2] == 8 && fabs(tp_axis_at(&s, 16) - 3) < 1e-9);
    s = tp_axis_log(3, 60, 5, 0, 1);
    assert_true(s.n_ticks == 4 && s.ticks[0] == 5 && s.ticks[3] == 50);
    s = tp_axis_log(1, 1e6, 5, 0, 6);
    assert_true(s.n_ticks <= 5);
    /* whatever the ends, the ticks stand on the axis, in order and not too many */
    tp_rng rng = tp_rng_stream(1, "axes", 0);
    for (int i = 0; i < 2000; i++) {
        double low = (tp_rng_uniform(&rng) - 0.5) * pow(10, tp_rng_uniform(&rng) * 12 - 6);
        double high = low + pow(10, tp_rng_uniform(&rng) * 10 - 6);
        size_t most = 3 + (size_t)tp_rng_below(&rng, 9);
        s = tp_axis_round(low, high, most, 0, 1);
        double slack = 1e-8 * (high - low);
        if (!(s.low <= low + slack) || !(s.high >= high - slack) || s.n_ticks < 2 || s.n_ticks > most)
            fail_msg("%g..%g: %zu ticks of %zu, %g..%g", low, high, s.n_ticks, most, s.low, s.high);
        for (size_t t = 1; t < s.n_ticks; t++) assert_true(s.ticks[t] > s.ticks[t - 1]);
    }
}

static void long_names_are_cut(void **state) {
    (void)state;
    char *text = tp_text_clip("beneficiary not allowed to be paid", 100);
    assert_true(tp_text_pixels(text) <= 100);
    assert_true(strlen(text) > 8 && strstr(text, "…"));
    tp_free(text);
    text = tp_text_clip("short", 100);
    assert_string_equal(text, "short");
    tp_free(text);
    text = tp_text_clip("汉字汉字汉字汉字", 40);
    check_characters(text);
    tp_free(text);
}

/* ---- charts ---- */

static void charts_keep_their_texts_apart(void **state) {
    (void)state;
    tp_bar bars[40];
    for (int i = 0; i < 40; i++)
        bars[i] = (tp_bar){"a method with a name that is much too long for a bar",
                           i * 2.5,
                           i * 2.5 - 3,
                           i * 2.5 + 3,
                           i % 3,
                           i % 7 == 0};
    bars[3].value = NAN;
    char *svg = tp_chart_bars("Bars & <bars>", bars, 40, 1.3, "the most frequent label: 1.3 %");
    check_markup(svg);
    check_drawing(svg);
    tp_free(svg);

    double parts[2][3] = {{5, 3, 900}, {NAN, NAN, 12}};
    tp_stack stacks[2] = {{"bridge", parts[0], true}, {"receiver", parts[1], false}};
    static const char *const phases[] = {"sender", "bridge", "receiver"};
    svg = tp_chart_stack("Times", stacks, 2, phases, 3, "ms");
    check_markup(svg);
    check_drawing(svg);
    tp_free(svg);

    /* eight lines that all end at the same place */
    double x[3] = {1, 10000, 123456}, y[8][3];
    tp_series series[8];
    for (int i = 0; i < 8; i++) {
        for (int k = 0; k < 3; k++) y[i][k] = k == 2 ? 50 : 10 * i + k;
        series[i] = (tp_series){
            .name = "a line with quite a long name", .x = x, .y = y[i], .n = 3, .colour = i, .marked = i % 2};
    }
    for (int log = 0; log < 2; log++) {
        tp_lines_axes axes = {"updates", "right, %", log, log, NAN, NAN, NAN};
        svg = tp_chart_lines("Lines", &axes, series, 8);
        check_markup(svg);
        check_drawing(svg);
        tp_free(svg);
    }
    tp_lines_axes axes = {"x", "y", false, false, NAN, NAN, NAN};
    svg = tp_chart_lines("No line at all", &axes, NULL, 0);
    check_markup(svg);
    tp_free(svg);

    /* ten classes in one heap: their names must still not lie on each other */
    static const char *const names[] = {"one", "two",   "three", "four", "five",
                                        "six", "seven", "eight", "nine", "a class with a long name"};
    double xy[200];
    int32_t classes[100];
    tp_rng rng = tp_rng_stream(3, "points", 0);
    for (int i = 0; i < 100; i++) {
        xy[2 * i] = tp_rng_normal(&rng) + 30 * (i == 99);
        xy[2 * i + 1] = tp_rng_normal(&rng);
        classes[i] = i % 10;
    }
    xy[4] = NAN;
    svg = tp_chart_scatter("Points", xy, classes, 100, names, 10, "component 1", "component 2");
    check_markup(svg);
    check_drawing(svg);
    tp_free(svg);
}

/* ---- colours ---- */

static double linear(double channel) {
    return channel <= 0.04045 ? channel / 12.92 : pow((channel + 0.055) / 1.055, 2.4);
}

/* The relative luminance (WCAG 2) of the variable's value, as the style from `scheme` on defines it. */
static double luminance(const char *scheme, const char *name) {
    char key[32];
    unsigned r, g, b;
    snprintf(key, sizeof key, "--%s:#", name);
    const char *at = strstr(scheme, key);
    if (at == NULL || sscanf(at + strlen(key), "%2x%2x%2x", &r, &g, &b) != 3) fail_msg("no colour %s", key);
    return 0.2126 * linear(r / 255.0) + 0.7152 * linear(g / 255.0) + 0.0722 * linear(b / 255.0);
}

static void colours_can_be_read(void **state) {
    (void)state;
    static const char *const letters[] = {"ink", "soft", "yes", "no", "t0", "t1", "t2", "t3", "t4", "t5", "t6", "t7"};
    static const char *const marks[] = {"plain", "control", "c0", "c1", "c2", "c3", "c4", "c5", "c6", "c7"};
    const char *schemes[] = {tp_report_style[0], strstr(tp_report_style[0], "prefers-color-scheme:dark")};
    for (int s = 0; s < 2; s++)
        for (int kind = 0; kind < 2; kind++) {
            const char *const *names = kind ? marks : letters;
            size_t n = kind ? sizeof marks / sizeof marks[0] : sizeof letters / sizeof letters[0];
            static const char *const grounds[] = {"paper", "faint"};
            for (size_t i = 0; i < n; i++)
                for (int g = 0; g < 2 - kind; g++) {
                    double a = luminance(schemes[s], names[i]), b = luminance(schemes[s], grounds[g]);
                    double contrast = (fmax(a, b) + 0.05) / (fmin(a, b) + 0.05);
                    if (contrast < (kind ? 3 : 4.5))
                        fail_msg("--%s on --%s, scheme %d: contrast %.2f", names[i], grounds[g], s, contrast);
                }
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_written_for_people), cmocka_unit_test(foreign_text_becomes_harmless),
        cmocka_unit_test(axes_have_round_numbers),        cmocka_unit_test(long_names_are_cut),
        cmocka_unit_test(charts_keep_their_texts_apart),  cmocka_unit_test(colours_can_be_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
