/* Writing SVG, and guessing how wide text is. See svg.h. */
#include "report/svg.h"

#include "base/mem.h"
#include "base/table.h"
#include "report/escape.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- elements ---- */

/* Two decimals at most, by whole numbers, so that no locale has a say. */
static void number(tp_str *out, double x) {
    long long hundredths = isfinite(x) ? llround(x * 100) : 0;
    unsigned long long size = (unsigned long long)(hundredths < 0 ? -hundredths : hundredths);
    if (hundredths < 0) tp_str_append_char(out, '-');
    tp_str_appendf(out, "%llu", size / 100);
    if (size % 100) tp_str_appendf(out, size % 10 ? ".%02llu" : ".%llu", size % 10 ? size % 100 : size % 100 / 10);
}

static void attribute(tp_str *out, const char *name, double x) {
    tp_str_appendf(out, " %s=\"", name);
    number(out, x);
    tp_str_append_char(out, '"');
}

static void text_element(tp_str *out, const char *name, const char *text) {
    tp_str_appendf(out, "<%s>", name);
    tp_escape_html(out, text);
    tp_str_appendf(out, "</%s>", name);
}

/* Ends an element that was begun without its closing bracket. */
static void finish(tp_svg *svg, const char *name, const char *class, const char *hint) {
    if (class) tp_str_appendf(&svg->body, " class=\"%s\"", class);
    if (hint == NULL) {
        tp_str_append_text(&svg->body, "/>\n");
        return;
    }
    tp_str_append_char(&svg->body, '>');
    text_element(&svg->body, "title", hint);
    tp_str_appendf(&svg->body, "</%s>\n", name);
}

tp_svg tp_svg_begin(double width, double height, const char *title, const char *detail) {
    tp_svg svg = {.width = width, .height = height};
    tp_str_append_text(&svg.body, "<svg xmlns=\"http://www.w3.org/2000/svg\" role=\"img\"");
    attribute(&svg.body, "width", width);
    attribute(&svg.body, "height", height);
    tp_str_append_text(&svg.body, " viewBox=\"0 0 ");
    number(&svg.body, width);
    tp_str_append_char(&svg.body, ' ');
    number(&svg.body, height);
    tp_str_append_text(&svg.body, "\">\n");
    text_element(&svg.body, "title", title);
    if (detail) text_element(&svg.body, "desc", detail);
    tp_str_append_char(&svg.body, '\n');
    return svg;
}

char *tp_svg_end(tp_svg *svg) {
    tp_str_append_text(&svg->body, "</svg>\n");
    return tp_str_take(&svg->body);
}

void tp_svg_rect(tp_svg *svg, double x, double y, double width, double height, const char *class, const char *hint) {
    tp_str_append_text(&svg->body, "<rect");
    attribute(&svg->body, "x", x);
    attribute(&svg->body, "y", y);
    attribute(&svg->body, "width", width);
    attribute(&svg->body, "height", height);
    finish(svg, "rect", class, hint);
}

void tp_svg_cell(tp_svg *svg, double x, double y, double width, double height, double shade, const char *hint) {
    tp_str_append_text(&svg->body, "<rect");
    attribute(&svg->body, "x", x);
    attribute(&svg->body, "y", y);
    attribute(&svg->body, "width", width);
    attribute(&svg->body, "height", height);
    attribute(&svg->body, "fill-opacity", shade < 0 ? 0 : shade > 1 ? 1 : shade);
    finish(svg, "rect", "heat", hint);
}

void tp_svg_line(tp_svg *svg, double x1, double y1, double x2, double y2, const char *class) {
    tp_str_append_text(&svg->body, "<line");
    attribute(&svg->body, "x1", x1);
    attribute(&svg->body, "y1", y1);
    attribute(&svg->body, "x2", x2);
    attribute(&svg->body, "y2", y2);
    finish(svg, "line", class, NULL);
}

static void point(tp_svg *svg, char command, double x, double y) {
    tp_str_append_char(&svg->body, command);
    number(&svg->body, x);
    tp_str_append_char(&svg->body, ' ');
    number(&svg->body, y);
}

void tp_svg_path(tp_svg *svg, const double *x, const double *y, size_t n, const char *class) {
    bool going = false;
    tp_str_append_text(&svg->body, "<path d=\"");
    for (size_t i = 0; i < n; i++) {
        bool here = isfinite(x[i]) && isfinite(y[i]);
        if (here) point(svg, going ? 'L' : 'M', x[i], y[i]);
        going = here;
    }
    tp_str_append_char(&svg->body, '"');
    finish(svg, "path", class, NULL);
}

void tp_svg_band(tp_svg *svg, const double *x, const double *low, const double *high, size_t n, const char *class) {
    bool going = false;
    tp_str_append_text(&svg->body, "<path d=\"");
    for (size_t i = 0; i < n; i++) {
        if (!isfinite(low[i]) || !isfinite(high[i])) continue;
        point(svg, going ? 'L' : 'M', x[i], high[i]);
        going = true;
    }
    for (size_t i = n; i-- > 0;)
        if (isfinite(low[i]) && isfinite(high[i])) point(svg, 'L', x[i], low[i]);
    if (going) tp_str_append_char(&svg->body, 'Z');
    tp_str_append_char(&svg->body, '"');
    finish(svg, "path", class, NULL);
}

void tp_svg_mark(tp_svg *svg, double x, double y, double radius, int shape, const char *class, const char *hint) {
    double r = radius;
    if (shape % 4 == 0) {
        tp_str_append_text(&svg->body, "<circle");
        attribute(&svg->body, "cx", x);
        attribute(&svg->body, "cy", y);
        attribute(&svg->body, "r", r);
        finish(svg, "circle", class, hint);
        return;
    }
    tp_str_append_text(&svg->body, "<path d=\"");
    if (shape % 4 == 1) { /* a square */
        point(svg, 'M', x - r, y - r);
        point(svg, 'L', x + r, y - r);
        point(svg, 'L', x + r, y + r);
        point(svg, 'L', x - r, y + r);
    } else if (shape % 4 == 2) { /* a triangle */
        point(svg, 'M', x, y - 1.3 * r);
        point(svg, 'L', x + 1.2 * r, y + 0.9 * r);
        point(svg, 'L', x - 1.2 * r, y + 0.9 * r);
    } else { /* a diamond */
        point(svg, 'M', x, y - 1.4 * r);
        point(svg, 'L', x + 1.4 * r, y);
        point(svg, 'L', x, y + 1.4 * r);
        point(svg, 'L', x - 1.4 * r, y);
    }
    tp_str_append_text(&svg->body, "Z\"");
    finish(svg, "path", class, hint);
}

static void text_at(tp_svg *svg, double x, double y, tp_anchor anchor, const char *class, const char *text, bool up) {
    static const char *const anchors[] = {NULL, "middle", "end"};
    tp_str_append_text(&svg->body, "<text");
    attribute(&svg->body, "x", x);
    attribute(&svg->body, "y", y);
    if (anchors[anchor]) tp_str_appendf(&svg->body, " text-anchor=\"%s\"", anchors[anchor]);
    if (up) {
        tp_str_append_text(&svg->body, " transform=\"rotate(-90 ");
        number(&svg->body, x);
        tp_str_append_char(&svg->body, ' ');
        number(&svg->body, y);
        tp_str_append_text(&svg->body, ")\"");
    }
    if (class) tp_str_appendf(&svg->body, " class=\"%s\"", class);
    tp_str_append_char(&svg->body, '>');
    tp_escape_html(&svg->body, text);
    tp_str_append_text(&svg->body, "</text>\n");
}

void tp_svg_text(tp_svg *svg, double x, double y, tp_anchor anchor, const char *class, const char *text) {
    text_at(svg, x, y, anchor, class, text, false);
}

void tp_svg_text_up(tp_svg *svg, double x, double y, tp_anchor anchor, const char *class, const char *text) {
    text_at(svg, x, y, anchor, class, text, true);
}

/* ---- how wide text is ---- */

/* Advance widths in thousandths of the letters' size, characters from blank to tilde: those of DejaVu Sans, the widest
 * of the sans-serif fonts that systems come with. */
static const unsigned short widths[95] = {
    318, 401, 460, 838, 636, 950, 780, 275, 390, 390, 500, 838, 318, 361,  318, 337, 636, 636, 636,
    636, 636, 636, 636, 636, 636, 636, 337, 337, 838, 838, 838, 531, 1000, 684, 686, 698, 770, 632,
    575, 775, 752, 295, 295, 656, 557, 863, 748, 787, 603, 787, 695, 635,  611, 732, 684, 989, 685,
    611, 685, 390, 337, 390, 838, 500, 500, 613, 635, 550, 635, 615, 352,  635, 634, 278, 278, 579,
    278, 974, 634, 612, 635, 635, 411, 521, 392, 634, 592, 818, 592, 592,  525, 636, 337, 636, 838};

static const double letter_size = 12;

static double character_pixels(const char *text, size_t n) {
    unsigned char c = (unsigned char)*text;
    double width = c >= ' ' && c <= '~' ? widths[c - ' '] : 650 * (double)tp_text_width(text, n);
    return width * letter_size / 1000;
}

/* Bytes of the character at text. */
static size_t character_bytes(const char *text) {
    size_t n = 1;
    while (n < 4 && ((unsigned char)text[n] & 0xC0) == 0x80) n++;
    return n;
}

double tp_text_pixels(const char *text) {
    double pixels = 0;
    for (size_t n; *text; text += n) {
        n = character_bytes(text);
        pixels += character_pixels(text, n);
    }
    return pixels;
}

char *tp_text_clip(const char *text, double pixels) {
    char *clean = tp_clean_text(text);
    if (tp_text_pixels(clean) <= pixels) return clean;
    double used = tp_text_pixels("…");
    size_t end = 0;
    while (clean[end]) {
        size_t n = character_bytes(clean + end);
        used += character_pixels(clean + end, n);
        if (used > pixels) break;
        end += n;
    }
    while (end > 0 && clean[end - 1] == ' ') end--;
    tp_str out = {0};
    tp_str_append(&out, clean, end);
    tp_str_append_text(&out, "…");
    tp_free(clean);
    return tp_str_take(&out);
}
