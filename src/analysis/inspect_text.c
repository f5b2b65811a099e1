/* The document of an inspection for people: the same numbers in the order in which they tell something. What only a
 * picture can show (attention over every token, the points of the projections) is left to the report. */
#include "analysis/documents.h"
#include "analysis/inspect.h"
#include "base/mem.h"

#include <math.h>
#include <string.h>

enum { TEXT_COLUMNS = 96, SHOWN = 3 }; /* of a text shown; tokens and neighbours shown for each soft token */

/* One line of a text, cut to fit, control characters as blanks. */
static void append_line(tp_str *out, const char *bytes) {
    size_t n = strlen(bytes), fit = tp_text_fit(bytes, n, TEXT_COLUMNS);
    for (size_t i = 0; i < fit; i++) tp_str_append_char(out, (unsigned char)bytes[i] < ' ' ? ' ' : bytes[i]);
    if (fit < n) tp_str_append_text(out, "...");
}

static void number_cell(tp_table *t, double value) {
    if (isnan(value))
        tp_table_cell(t, "-");
    else
        tp_table_cell(t, "%.3f", value);
}

static void append_similarity(tp_str *out, const json_t *document) {
    const json_t *s = json_object_get(document, "similarity"), *plain = json_object_get(s, "plain");
    const json_t *centred = json_object_get(s, "centred"), *rms = json_object_get(document, "rms");
    const json_t *own = json_object_get(rms, "embeddings");
    tp_table *t = tp_table_new();
    tp_table_column(t, "<cosine");
    tp_table_column(t, ">plain");
    tp_table_column(t, ">mean packet taken off");
    tp_table_cell(t, "soft tokens of one text");
    number_cell(t, tp_json_number(s, "within_text"));
    tp_table_cell(t, "%s", "");
    tp_table_cell(t, "packets of one class");
    number_cell(t, tp_json_number(plain, "same_class"));
    number_cell(t, tp_json_number(centred, "same_class"));
    tp_table_cell(t, "packets of different classes");
    number_cell(t, tp_json_number(plain, "different_class"));
    number_cell(t, tp_json_number(centred, "different_class"));
    tp_str_append_char(out, '\n');
    tp_append_table(out, t);
    tp_str_appendf(out, "\nroot mean square: soft tokens %.4g to %.4g, the receiver's embeddings %.4g +- %.2g\n",
                   tp_json_number(rms, "soft_low"), tp_json_number(rms, "soft_high"), tp_json_number(own, "mean"),
                   tp_json_number(own, "std"));
    const json_t *codes = json_object_get(document, "codes");
    if (codes)
        tp_str_appendf(out, "codes: %.0f different ones in %.0f tokens, perplexity %.4g; %.0f bits a packet\n",
                       tp_json_number(codes, "used"), tp_json_number(codes, "tokens"),
                       tp_json_number(codes, "perplexity"), tp_json_number(codes, "bits_per_packet"));
    const json_t *p = json_object_get(document, "projection"), *e = json_object_get(p, "explained");
    tp_str_appendf(
        out, "two axes of the PCA hold %.1f + %.1f %% of the packets' variance; t-SNE: KL %.3f at perplexity %.4g\n",
        100 * json_number_value(json_array_get(e, 0)), 100 * json_number_value(json_array_get(e, 1)),
        tp_json_number(p, "divergence"), tp_json_number(p, "perplexity"));
}

/* The tokens that a soft token reads most, best first. */
static void append_read(tp_str *out, const json_t *tokens, const json_t *weights) {
    double below = INFINITY;
    size_t last = 0;
    for (int shown = 0; shown < SHOWN; shown++) {
        size_t best = json_array_size(weights);
        for (size_t i = 0; i < json_array_size(weights); i++) {
            double w = json_number_value(json_array_get(weights, i));
            bool after = w < below || (w == below && i > last); /* of equal ones the first comes first */
            if (after && (best == json_array_size(weights) || w > json_number_value(json_array_get(weights, best))))
                best = i;
        }
        if (best == json_array_size(weights)) return;
        below = json_number_value(json_array_get(weights, best));
        last = best;
        tp_str_appendf(out, "%s\"%s\" %.2f", shown ? ", " : "", json_string_value(json_array_get(tokens, best)), below);
    }
}

static void append_nearest(tp_str *out, const json_t *list) {
    for (size_t i = 0; i < SHOWN && i < json_array_size(list); i++) {
        const json_t *token = json_array_get(list, i);
        tp_str_appendf(out, "%s\"%s\" %.2f", i ? ", " : "", tp_json_string(token, "token"),
                       tp_json_number(token, "cosine"));
    }
}

static void append_example(tp_str *out, const json_t *example) {
    const json_t *tokens = json_object_get(example, "tokens"), *attention = json_object_get(example, "attention");
    const json_t *nearest = json_object_get(example, "nearest");
    const json_t *centred = json_object_get(example, "nearest_centred");
    tp_str_appendf(out, "\nrow %lld, %s, answered %s: ", (long long)tp_json_number(example, "row"),
                   tp_json_string(example, "label"), tp_json_string(example, "answer"));
    append_line(out, tp_json_string(example, "text"));
    tp_str_append_char(out, '\n');
    tp_table *t = tp_table_new();
    tp_table_column(t, ">soft token");
    tp_table_column(t, "<reads most");
    tp_table_column(t, "<nearest of the vocabulary");
    tp_table_column(t, "<nearest, mean taken off");
    for (size_t i = 0; i < json_array_size(nearest); i++) {
        tp_str read = {0}, near = {0}, near_centred = {0};
        append_read(&read, tokens, json_array_get(attention, i));
        append_nearest(&near, json_array_get(nearest, i));
        append_nearest(&near_centred, json_array_get(centred, i));
        tp_table_cell(t, "%zu", i + 1);
        tp_table_cell(t, "%s", read.data ? read.data : "");
        tp_table_cell(t, "%s", near.data ? near.data : "");
        tp_table_cell(t, "%s", near_centred.data ? near_centred.data : "");
        tp_str_free(&read);
        tp_str_free(&near);
        tp_str_free(&near_centred);
    }
    tp_append_table(out, t);
}

static void append_transcripts(tp_str *out, const json_t *document) {
    const json_t *list = json_object_get(document, "transcripts"), *item;
    long long asked = (long long)tp_json_number(document, "transcripts_asked");
    if (asked == 0) return;
    tp_str_appendf(out, "\ntext relay and latent relay differ on %lld of %lld texts asked about\n",
                   (long long)tp_json_number(document, "transcripts_differ"), asked);
    size_t i;
    json_array_foreach((json_t *)(uintptr_t)list, i, item) {
        tp_str_appendf(out, "\nrow %lld, %s: ", (long long)tp_json_number(item, "row"), tp_json_string(item, "label"));
        append_line(out, tp_json_string(item, "text"));
        tp_str_append_text(out, "\n  the sender wrote: ");
        append_line(out, tp_json_string(item, "relay_text"));
        tp_str_appendf(out, "\n  from this: %s; from soft tokens: %s\n", tp_json_string(item, "text_answer"),
                       tp_json_string(item, "latent_answer"));
    }
}

char *tp_inspect_text(const json_t *document) {
    tp_str out = {0};
    tp_subject_line(&out, json_object_get(document, "subject"));
    append_similarity(&out, document);
    const json_t *examples = json_object_get(document, "examples");
    for (size_t i = 0; i < json_array_size(examples); i++) append_example(&out, json_array_get(examples, i));
    append_transcripts(&out, document);
    return tp_str_take(&out);
}
