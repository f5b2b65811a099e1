/* The grammar of the demonstration's questions. See demo_questions.h.
 *
 * A template is a sentence with places in braces: {city} draws from the list of that name, {built|founded} one of the
 * words. To keep the words of a question from giving its class away, an opening or a tail is put around some of them
 * ("When Ada Lovelace came to Oslo, ... according to the man who wrote Emma?"), drawn without regard to the class. */
#include "data/demo_questions.h"

#include "base/hash.h"
#include "base/rng.h"
#include "base/str.h"

#include <ctype.h>
#include <string.h>

enum { MOST_PLACES = 8, MOST_TRIES = 1000 };

typedef struct grammar {
    json_t *lists, *templates, *openings, *tails;
    const char *side;
    tp_rng rng;
    const json_t *used[MOST_PLACES]; /* words of this question, so that none is drawn twice */
    int n_used;
} grammar;

/* One of the side's entries of `named`, at random; NULL if it has none. */
static const json_t *draw(grammar *g, const json_t *named) {
    const json_t *entries = json_object_get(named, g->side);
    size_t n = json_array_size(entries);
    return n == 0 ? NULL : json_array_get(entries, (size_t)tp_rng_below(&g->rng, n));
}

static bool is_used(const grammar *g, const json_t *word) {
    for (int i = 0; i < g->n_used; i++)
        if (g->used[i] == word) return true;
    return false;
}

/* Appends what stands for the place `{name}`; name has n bytes. */
static tp_status fill_place(grammar *g, const char *name, size_t n, tp_str *out) {
    if (memchr(name, '|', n)) {
        size_t ways = 1, at = 0;
        for (size_t i = 0; i < n; i++) ways += name[i] == '|';
        for (uint64_t skip = tp_rng_below(&g->rng, ways); skip > 0; at++) skip -= name[at] == '|';
        const char *end = memchr(name + at, '|', n - at);
        tp_str_append(out, name + at, end ? (size_t)(end - name) - at : n - at);
        return TP_OK;
    }
    char key[64];
    snprintf(key, sizeof key, "%.*s", (int)n, name);
    const json_t *word = NULL;
    for (int tries = 0; tries < MOST_TRIES && (word == NULL || is_used(g, word)); tries++) {
        word = draw(g, json_object_get(g->lists, key));
        if (word == NULL)
            return tp_fail(TP_ERR_FORMAT, "the grammar of the demo names no %s words for {%s}", g->side, key);
    }
    if (g->n_used < MOST_PLACES) g->used[g->n_used++] = word;
    tp_str_append_text(out, json_string_value(word));
    return TP_OK;
}

static tp_status expand(grammar *g, const char *pattern, size_t n, tp_str *out) {
    for (size_t at = 0; at < n;) {
        const char *close = pattern[at] == '{' ? memchr(pattern + at, '}', n - at) : NULL;
        if (close == NULL) {
            tp_str_append_char(out, pattern[at++]);
        } else {
            TP_TRY(fill_place(g, pattern + at + 1, (size_t)(close - pattern) - at - 1, out));
            at = (size_t)(close - pattern) + 1;
        }
    }
    return TP_OK;
}

static tp_status question(grammar *g, const char *class_key, tp_str *out) {
    tp_str_clear(out);
    g->n_used = 0;
    const char *pattern = json_string_value(draw(g, json_object_get(g->templates, class_key)));
    const char *opening = json_string_value(draw(g, g->openings)), *tail = json_string_value(draw(g, g->tails));
    if (pattern == NULL || opening == NULL || tail == NULL)
        return tp_fail(TP_ERR_FORMAT, "the grammar of the demo lacks %s templates for %s, openings or tails", g->side,
                       class_key);
    double decoration = tp_rng_uniform(&g->rng); /* one of them, or none: both together would be a strange sentence */
    size_t n = strlen(pattern);
    bool has_opening = decoration < 0.2;
    if (has_opening) TP_TRY(expand(g, opening, strlen(opening), out));
    size_t start = out->len;
    TP_TRY(expand(g, pattern, n - 1, out)); /* without the question mark */
    if (has_opening && pattern[0] != '{') out->data[start] = (char)tolower((unsigned char)out->data[start]);
    if (!has_opening && decoration > 0.65) TP_TRY(expand(g, tail, strlen(tail), out));
    tp_str_append_char(out, pattern[n - 1]);
    if (pattern[0] == '{' && start == 0) out->data[0] = (char)toupper((unsigned char)out->data[0]);
    return TP_OK;
}

static bool known_text(const tp_rows *rows, const int64_t *table, size_t mask, const tp_str *text, size_t *slot) {
    for (*slot = (size_t)tp_hash64(text->data, text->len) & mask; table[*slot] != 0; *slot = (*slot + 1) & mask) {
        const tp_row *row = &rows->items[table[*slot] - 1];
        if (row->len == text->len && memcmp(row->text, text->data, text->len) == 0) return true;
    }
    return false;
}

static void add_question(tp_rows *rows, tp_str *text, const char *key) {
    while (text->len > 0 && text->data[text->len - 1] == ' ') text->data[--text->len] = '\0';
    tp_rows_add(rows, &(tp_row){.text = text->data, .len = text->len, .label = key, .line = rows->n + 1});
}

tp_status tp_demo_questions(json_t *grammar_json, const char *side, size_t count, const tp_task *task, tp_rows *rows) {
    grammar g = {.lists = json_object_get(grammar_json, "lists"),
                 .templates = json_object_get(grammar_json, "templates"),
                 .openings = json_object_get(grammar_json, "openings"),
                 .tails = json_object_get(grammar_json, "tails"),
                 .side = side,
                 .rng = tp_rng_stream(1, side, 0)};
    size_t mask = 15, n_labels = (size_t)task->n_labels;
    while (mask < 2 * count) mask = mask * 2 + 1;
    int64_t *table = tp_alloc((mask + 1) * sizeof *table), *classes = tp_alloc(count * sizeof *classes);
    for (size_t i = 0; i < count; i++) classes[i] = (int64_t)(i % n_labels);
    tp_rng_shuffle(&g.rng, classes, count);
    tp_str text = {0};
    tp_status status = TP_OK;
    for (size_t i = 0; i < count && status == TP_OK; i++) {
        const char *key = task->labels[classes[i]].key;
        size_t slot = 0;
        int tries = 0;
        do {
            status = question(&g, key, &text);
        } while (status == TP_OK && known_text(rows, table, mask, &text, &slot) && ++tries < MOST_TRIES);
        if (status == TP_OK && tries == MOST_TRIES)
            status = tp_fail(TP_ERR_FORMAT, "the grammar of the demo has no %zu different %s questions", count, side);
        if (status != TP_OK) break;
        add_question(rows, &text, key);
        table[slot] = (int64_t)rows->n;
    }
    tp_str_free(&text);
    tp_free(table);
    tp_free(classes);
    return status;
}
