/* A strict reader of what the report writes: well-formed markup (every tag closed in order, attributes in quotes, only
 * entities that XML knows, UTF-8 without control characters), and no text in a drawing that leaves it or lies on
 * another.
 */
#ifndef TP_TESTS_MARKUP_H
#define TP_TESTS_MARKUP_H

#include "check.h"

#include "base/mem.h"
#include "report/svg.h"

#include <ctype.h>
#include <math.h>
#include <utf8proc.h>

static void check_characters(const char *text) {
    for (const char *c = text; *c;) {
        utf8proc_int32_t code;
        utf8proc_ssize_t n = utf8proc_iterate((const utf8proc_uint8_t *)c, -1, &code);
        if (n <= 0 || (code < 0x20 && code != '\n') || code == 0x7F || code == 0xFFFE || code == 0xFFFF)
            fail_msg("a byte that no markup may hold: %.40s", c);
        c += n;
    }
}

static void check_entity(const char *at) {
    static const char *const known[] = {"&amp;", "&lt;", "&gt;", "&quot;", "&#39;"};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strncmp(at, known[i], strlen(known[i])) == 0) return;
    fail_msg("no entity: %.40s", at);
}

/* One tag; gives what stands behind it. */
static const char *check_tag(const char *at, char (*open)[32], size_t *depth) {
    const char *start = at++;
    bool closing = *at == '/';
    if (closing) at++;
    size_t n = 0;
    while (isalnum((unsigned char)at[n])) n++;
    if (n == 0 || n > 31) fail_msg("no tag: %.40s", start);
    char name[32];
    snprintf(name, sizeof name, "%.*s", (int)n, at);
    at += n;
    while (*at == ' ' && !closing) {
        at++;
        n = strcspn(at, "= />");
        if (n == 0 || at[n] != '=' || at[n + 1] != '"') fail_msg("no attribute: %.60s", at);
        at += n + 2;
        for (; *at != '"'; at++) {
            if (*at == '\0' || *at == '<') fail_msg("an attribute that does not end: %.60s", start);
            if (*at == '&') check_entity(at);
        }
        at++;
    }
    bool empty = *at == '/';
    if (empty) at++;
    if (*at != '>') fail_msg("a tag that does not end: %.60s", start);
    if (closing) {
        if (*depth == 0 || strcmp(open[*depth - 1], name) != 0)
            fail_msg("</%s> closes <%s>: %.60s", name, *depth ? open[*depth - 1] : "nothing", start);
        --*depth;
    } else if (!empty) {
        assert_true(*depth < 40);
        snprintf(open[(*depth)++], 32, "%s", name);
    }
    return at + 1;
}

static void check_markup(const char *text) {
    char open[40][32];
    size_t depth = 0;
    check_characters(text);
    if (strncmp(text, "<!DOCTYPE html>", 15) == 0) text += 15;
    while (*text) {
        if (*text == '<') {
            text = check_tag(text, open, &depth);
            continue;
        }
        bool style = depth > 0 && strcmp(open[depth - 1], "style") == 0; /* where brackets choose children */
        if (*text == '>' && !style) fail_msg("a bracket in text: %.40s", text);
        if (*text == '&') check_entity(text);
        text++;
    }
    if (depth) fail_msg("<%s> is never closed", open[depth - 1]);
}

/* ---- where texts of a drawing lie ---- */

typedef struct box {
    double left, top, right, bottom;
    char text[128];
} box;

static double number_in(const char *tag, const char *attribute, double fallback) {
    char key[32];
    snprintf(key, sizeof key, " %s=\"", attribute);
    const char *at = strstr(tag, key), *end = strchr(tag, '>');
    return at && at < end ? atof(at + strlen(key)) : fallback;
}

static bool has_in(const char *tag, const char *what) {
    const char *at = strstr(tag, what), *end = strchr(tag, '>');
    return at && at < end;
}

/* The five entities back into letters. */
static void plain_text(const char *from, const char *end, char *out, size_t size) {
    static const struct {
        const char *entity;
        char letter;
    } known[] = {{"&amp;", '&'}, {"&lt;", '<'}, {"&gt;", '>'}, {"&quot;", '"'}, {"&#39;", '\''}};
    size_t n = 0;
    while (from < end && n + 1 < size) {
        char letter = *from;
        size_t used = 1;
        for (size_t i = 0; i < 5; i++)
            if (strncmp(from, known[i].entity, strlen(known[i].entity)) == 0)
                letter = known[i].letter, used = strlen(known[i].entity);
        out[n++] = letter;
        from += used;
    }
    out[n] = '\0';
}

static box box_of(const char *tag) {
    box b;
    const char *from = strchr(tag, '>') + 1;
    plain_text(from, strstr(from, "</text>"), b.text, sizeof b.text);
    double x = number_in(tag, "x", 0), y = number_in(tag, "y", 0), width = tp_text_pixels(b.text), up = 9, down = 2;
    double before = has_in(tag, "text-anchor=\"middle\"") ? width / 2 : has_in(tag, "text-anchor=\"end\"") ? width : 0;
    if (has_in(tag, "rotate(-90"))
        return b.left = x - up, b.right = x + down, b.top = y - (width - before), b.bottom = y + before, b;
    b.left = x - before;
    b.right = b.left + width;
    b.top = y - up;
    b.bottom = y + down;
    return b;
}

/* No text of the drawing leaves it or lies on another. Texts with a halo may lie on points, not on each other. */
static void check_drawing(const char *svg) {
    enum { MOST = 2000 };
    box *boxes = tp_alloc(MOST * sizeof *boxes);
    size_t n = 0;
    const char *end = strstr(svg, "</svg>");
    double width = number_in(svg, "width", 0), height = number_in(svg, "height", 0);
    for (const char *tag = strstr(svg, "<text"); tag && tag < end && n < MOST; tag = strstr(tag + 5, "<text"))
        boxes[n++] = box_of(tag);
    for (size_t i = 0; i < n; i++) {
        const box *a = &boxes[i];
        if (a->left < -1 || a->right > width + 1 || a->top < -1 || a->bottom > height + 1)
            fail_msg("`%s` at %g..%g, %g..%g leaves the drawing of %g x %g: %.200s", a->text, a->left, a->right, a->top,
                     a->bottom, width, height, svg);
        for (size_t k = 0; k < i; k++)
            if (boxes[k].left < a->right && a->left < boxes[k].right && boxes[k].top < a->bottom &&
                a->top < boxes[k].bottom)
                fail_msg("`%s` lies on `%s` in %.300s", a->text, boxes[k].text, svg);
    }
    tp_free(boxes);
}

/* All drawings of a page; gives how many there are. */
static inline size_t check_drawings(const char *page) {
    size_t n = 0;
    for (const char *svg = strstr(page, "<svg"); svg; svg = strstr(svg + 4, "<svg"), n++) check_drawing(svg);
    return n;
}

#endif
