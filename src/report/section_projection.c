/* The soft tokens of test texts as points in the plane: whether texts of a class lie together. */
#include "report/sections.h"

#include "base/mem.h"
#include "report/documents.h"
#include "report/number.h"

#include <math.h>

typedef struct points {
    double *xy;
    int32_t *classes;
    size_t n;
} points;

static points read_points(json_t *projection, const char *key) {
    points p = {0};
    p.xy = tp_document_matrix(json_object_get(projection, key), 2, &p.n);
    p.classes = tp_alloc((p.n + 1) * sizeof *p.classes);
    json_t *labels = json_object_get(projection, "labels");
    for (size_t i = 0; i < p.n; i++) {
        json_t *label = json_array_get(labels, i);
        json_int_t value = json_integer_value(label);
        p.classes[i] = json_is_integer(label) && value >= 0 && value < INT32_MAX ? (int32_t)value : -1;
    }
    return p;
}

static void axis_label(json_t *projection, size_t axis, char *out, size_t size) {
    json_t *share = json_array_get(json_object_get(projection, "explained"), axis);
    char percent[TP_NUMBER_SIZE];
    if (json_is_number(share))
        snprintf(out, size, "component %zu (%s %% of the variance)", axis + 1,
                 tp_number_percent(json_number_value(share), percent));
    else
        snprintf(out, size, "component %zu", axis + 1);
}

/* The share of points whose nearest neighbour is of the same class: what the eye looks for. */
static double neighbours_agree(const points *p) {
    size_t agree = 0, n = 0;
    for (size_t i = 0; i < p->n; i++) {
        double least = INFINITY;
        size_t nearest = i;
        for (size_t k = 0; k < p->n; k++) {
            double dx = p->xy[2 * i] - p->xy[2 * k], dy = p->xy[2 * i + 1] - p->xy[2 * k + 1], d = dx * dx + dy * dy;
            if (k != i && d < least) least = d, nearest = k;
        }
        if (nearest == i) continue;
        agree += p->classes[i] == p->classes[nearest];
        n++;
    }
    return n ? (double)agree / (double)n : NAN;
}

static void draw(tp_doc *doc, const tp_results *r, json_t *projection, const char *key, const char *method) {
    points p = read_points(projection, key);
    size_t n_names;
    const char **names = tp_document_texts(json_object_get(r->subject, "labels"), &n_names);
    if (p.n > 0) {
        char x[64] = "no unit: only nearness counts", y[64] = "", share[TP_NUMBER_SIZE];
        bool pca = key[0] == 'p';
        if (pca) {
            axis_label(projection, 0, x, sizeof x);
            axis_label(projection, 1, y, sizeof y);
        }
        char *svg = tp_chart_scatter(method, p.xy, p.classes, p.n, names, n_names, x, y);
        tp_doc_figure(doc, svg, false, "%s, %s: the nearest of %zu points is of the same class in %s %%", r->task,
                      method, p.n, tp_number_percent(neighbours_agree(&p), share));
    }
    tp_free(names);
    tp_free(p.xy);
    tp_free(p.classes);
}

/* How alike packets are, and how large their tokens: a row per task. */
static void likeness(tp_doc *doc, const tp_report_view *view) {
    static const char *const columns[] = {"<task",        ">within a text", ">same class",
                                          ">other class", ">size",          ">size of embeddings"};
    tp_sheet *s = NULL;
    for (size_t k = 0; k < view->groups.n_main; k++) {
        const tp_report_group *g = tp_report_main(&view->groups, k);
        for (size_t i = 0; i < g->n; i++) {
            json_t *similarity = json_object_get(g->runs[i]->inspect, "similarity");
            json_t *rms = json_object_get(g->runs[i]->inspect, "rms"), *soft = json_object_get(rms, "soft");
            if (!json_is_object(similarity)) continue;
            if (s == NULL) {
                s = tp_doc_table(doc, "likeness",
                                 "Mean cosine between soft tokens of a text, and between packets of texts of "
                                 "the same and of other classes (mean packet taken off); root mean square of "
                                 "soft tokens and of the receiver's embeddings");
                for (size_t c = 0; c < sizeof columns / sizeof columns[0]; c++) tp_sheet_column(s, columns[c]);
            }
            json_t *centred = json_object_get(similarity, "centred");
            double sum = 0;
            for (size_t m = 0; m < json_array_size(soft); m++) sum += json_number_value(json_array_get(soft, m));
            tp_sheet_text(s, "%s", g->results[0]->task);
            tp_sheet_number(s, tp_document_number(similarity, "within_text"), 2);
            tp_sheet_number(s, tp_document_number(centred, "same_class"), 2);
            tp_sheet_number(s, tp_document_number(centred, "different_class"), 2);
            tp_sheet_short(s, json_array_size(soft) ? sum / (double)json_array_size(soft) : NAN);
            tp_sheet_short(s, tp_document_number(json_object_get(rms, "embeddings"), "mean"));
            break;
        }
    }
}

bool tp_section_projection(tp_doc *doc, const tp_report_view *view) {
    size_t start = doc->n;
    tp_doc_section(doc, "projection", "What the soft tokens look like");
    for (size_t k = 0; k < view->groups.n_main; k++) {
        const tp_report_group *g = tp_report_main(&view->groups, k);
        for (size_t i = 0; i < g->n; i++) {
            json_t *projection = json_object_get(g->runs[i]->inspect, "projection");
            if (!json_is_object(projection)) continue;
            draw(doc, g->results[0], projection, "pca", "PCA");
            draw(doc, g->results[0], projection, "tsne", "t-SNE");
            break; /* one seed shows it */
        }
    }
    likeness(doc, view);
    bool any = doc->n > start + 1;
    if (any)
        tp_doc_note(doc,
                    "Each point is the packet of one test text, of the first seed that was inspected; where there are "
                    "too many classes for colours, a thin line leads to the middle of its class. PCA keeps large "
                    "distances, t-SNE who is near whom.");
    else
        tp_doc_cut(doc, start);
    return any;
}
