/* Verdicts. See claims.h. */
#include "report/claims.h"

#include "base/mem.h"
#include "base/str.h"
#include "report/number.h"

#include <math.h>
#include <string.h>

static const double level = 0.05;

/* ---- is it more often right than ...? ---- */

/* The chance of what the group shows, after Holm's correction. */
static double holm_of(const tp_report_group *g, const tp_row_summary *row) {
    return g->holm[row - g->summary.rows];
}

static tp_claim beats(const tp_report_group *g, const char *const *names) {
    const tp_row_summary *other = g->bridge ? tp_report_best(g, names) : NULL;
    if (other == NULL) return (tp_claim){0};
    double gap, p = holm_of(g, other);
    tp_interval interval = tp_report_gap(g, other, &gap);
    tp_claim claim = {.made = true, .tone = p >= level ? TP_TONE_OPEN : gap > 0 ? TP_TONE_YES : TP_TONE_NO};
    char points[TP_NUMBER_SIZE], low[TP_NUMBER_SIZE], high[TP_NUMBER_SIZE], chance[TP_NUMBER_SIZE];
    char ours[TP_NUMBER_SIZE], theirs[TP_NUMBER_SIZE];
    tp_number_signed(100 * gap, 1, points);
    tp_number_p(p, chance);
    claim.brief = tp_format("%s\n%s points\n%s", tp_verdict_word(claim.tone), points, chance);
    char *name = tp_report_row_name(other);
    claim.sentence =
        tp_format("The bridge is right in %s %%, “%s” in %s %%: %s points (95 %% interval %s to %s), %s.%s",
                  tp_number_percent(g->bridge->mean, ours), name, tp_number_percent(other->mean, theirs), points,
                  tp_number_signed(100 * interval.low, 1, low), tp_number_signed(100 * interval.high, 1, high), chance,
                  claim.tone != TP_TONE_OPEN ? ""
                  : g->n > 1                 ? " The difference is not there in every seed beyond chance."
                                             : " So small a difference may be chance.");
    tp_free(name);
    return claim;
}

/* ---- is it communication? ---- */

/* Whether a control gets more right than the same answers given without looking: then so much did not come from the
 * source. The interval is Bonferroni's over `n_controls`. */
static bool is_above_blind(const tp_report_group *g, const tp_row_summary *row, size_t n_controls, double *blind) {
    size_t rows = g->results[0]->truth.n;
    *blind = tp_blind_accuracy(g->results, g->n, row);
    tp_interval interval = tp_wilson((size_t)llround(row->mean * (double)rows), rows, 1 - level / (double)n_controls);
    return interval.low > *blind;
}

/* Controls that destroy the source are judged in the bridge's own reading. */
static bool is_control(const tp_report_group *g, const tp_row_summary *row) {
    return tp_report_is_control(row->method) && row->reading == g->bridge->reading;
}

static tp_claim communicates(const tp_report_group *g) {
    size_t n_controls = 0, n_failed = 0;
    for (size_t i = 0; g->bridge && i < g->summary.n; i++) n_controls += is_control(g, &g->summary.rows[i]);
    if (n_controls == 0) return (tp_claim){0};
    if (g->results[0]->free_answers) return (tp_claim){0}; /* what blind answers get cannot be told from labels */
    tp_str fallen = {0}, alive = {0};
    double blind, bridge_blind;
    char a[TP_NUMBER_SIZE], b[TP_NUMBER_SIZE];
    for (size_t i = 0; i < g->summary.n; i++) {
        const tp_row_summary *row = &g->summary.rows[i];
        if (!is_control(g, row)) continue;
        bool above = is_above_blind(g, row, n_controls, &blind);
        tp_str *out = above ? &alive : &fallen;
        n_failed += above;
        tp_str_appendf(out, "%s%s %s %% (blind %s %%)", out->len ? ", " : "", row->method->title,
                       tp_number_percent(row->mean, a), tp_number_percent(blind, b));
    }
    bool heard = is_above_blind(g, g->bridge, 1, &bridge_blind);
    tp_claim claim = {.made = true, .tone = n_failed == 0 && heard ? TP_TONE_YES : TP_TONE_NO};
    const tp_row_summary *shuffled = tp_report_row(g, tp_method_shuffled.name, g->bridge->reading);
    tp_str brief = {0}, sentence = {0};
    tp_str_append_text(&brief, tp_verdict_word(claim.tone));
    if (shuffled) tp_str_appendf(&brief, "\nshuffled %s %%", tp_number_percent(shuffled->mean, a));
    tp_str_appendf(&brief, "\nbridge %s %%", tp_number_percent(g->bridge->mean, a));
    if (!heard)
        tp_str_appendf(&sentence,
                       "The bridge itself (%s %%) is not above the same answers given without looking (%s %%). ",
                       tp_number_percent(g->bridge->mean, a), tp_number_percent(bridge_blind, b));
    if (alive.len)
        tp_str_appendf(&sentence, "Not communication: right without the source more often than blind answers are: %s. ",
                       alive.data);
    if (fallen.len) tp_str_appendf(&sentence, "Fallen to what blind answers get: %s.", fallen.data);
    while (sentence.len && sentence.data[sentence.len - 1] == ' ') sentence.data[--sentence.len] = '\0';
    claim.brief = tp_str_take(&brief);
    claim.sentence = tp_str_take(&sentence);
    tp_str_free(&fallen);
    tp_str_free(&alive);
    return claim;
}

/* ---- is it cheaper? ---- */

/* Times of one and the same method differ by as much from call to call, on a machine that does other things, too. */
static const double LIKE_TIMES = 1.1;

static tp_claim faster(const tp_report_group *g, const char *const *names) {
    const tp_row_summary *other = NULL;
    for (size_t i = 0; g->bridge && i < g->summary.n; i++) { /* the quickest in the bridge's own reading */
        const tp_row_summary *row = &g->summary.rows[i];
        bool named = false;
        for (size_t k = 0; names[k]; k++) named = named || strcmp(row->method->name, names[k]) == 0;
        if (named && row->reading == g->bridge->reading && !isnan(row->total_ms) &&
            (other == NULL || row->total_ms < other->total_ms))
            other = row;
    }
    if (other == NULL || isnan(g->bridge->total_ms)) return (tp_claim){0};
    double ratio = other->total_ms / g->bridge->total_ms;
    char factor[TP_NUMBER_SIZE], ours[TP_NUMBER_SIZE], theirs[TP_NUMBER_SIZE];
    tp_number_short(ratio >= 1 ? ratio : 1 / ratio, factor);
    bool like = ratio < LIKE_TIMES && ratio > 1 / LIKE_TIMES;
    tp_claim claim = {.made = true, .tone = like ? TP_TONE_OPEN : ratio > 1 ? TP_TONE_YES : TP_TONE_NO};
    const char *than = ratio > 1 ? "faster" : "slower";
    claim.brief = tp_format("%s\n%s× %s", tp_verdict_word(claim.tone), factor, than);
    claim.sentence = tp_format("One text takes the bridge %s ms and “%s” %s ms: %s times %s.",
                               tp_number_short(g->bridge->total_ms, ours), other->method->title,
                               tp_number_short(other->total_ms, theirs), factor, than);
    return claim;
}

static tp_claim smaller(const tp_report_group *g) {
    const tp_row_summary *text = NULL;
    for (size_t i = 0; g->bridge && i < g->summary.n; i++)
        if (g->summary.rows[i].method == &tp_method_receiver) text = &g->summary.rows[i];
    if (text == NULL || isnan(text->bytes) || isnan(g->bridge->bytes)) return (tp_claim){0};
    double ratio = g->bridge->bytes / text->bytes;
    char factor[TP_NUMBER_SIZE], ours[TP_NUMBER_SIZE], theirs[TP_NUMBER_SIZE];
    tp_number_short(ratio >= 1 ? ratio : 1 / ratio, factor);
    tp_claim claim = {.made = true, .tone = ratio < 1 ? TP_TONE_YES : TP_TONE_NO};
    const char *than = ratio < 1 ? "less" : "more";
    claim.brief = tp_format("%s\n%s× %s", tp_verdict_word(claim.tone), factor, than);
    claim.sentence =
        tp_format("The packet of soft tokens takes %s bytes, the text itself %s on average: %s times %s.",
                  tp_number_short(g->bridge->bytes, ours), tp_number_short(text->bytes, theirs), factor, than);
    return claim;
}

/* ---- all of them ---- */

static const char *const words[] = {"words", NULL};
static const char *const probes[] = {"probe*", NULL};
static const char *const senders[] = {"sender*", NULL};
static const char *const readers[] = {"receiver", "receiver_shots", NULL};
static const char *const relays[] = {"text_relay", "relay*", NULL};
static const char *const equal_bytes[] = {"text_bytes", NULL};
static const char *const maps[] = {"ridge", "pca", NULL};
static const char *const tuned[] = {"prompt_tuning", "lora", NULL};
static const char *const anybody[] = {"*", NULL};
static const char *const reader_times[] = {"receiver", NULL};
static const char *const relay_times[] = {"text_relay", "relay_word", "relay_long", NULL};

typedef enum kind { BEATS, COMMUNICATES, FASTER, SMALLER } kind;

static const struct {
    kind kind;
    const char *name, *denial;
    const char *object;       /* that it is more often right than; NULL: the claim is said by itself */
    const char *const *names; /* methods to compare with */
} claims[TP_N_CLAIMS] = {
    {COMMUNICATES, "owes its answers to the source", "does not owe its answers to the source", NULL, NULL},
    {BEATS, "beats the words alone", NULL, "the words alone", words},
    {BEATS, "beats the linear probe of its layer", NULL, "the linear probe of its layer", probes},
    {BEATS, "beats the sender's own answer", NULL, "the sender's own answer", senders},
    {BEATS, "beats the receiver reading the text", NULL, "the receiver reading the text", readers},
    {BEATS, "beats the text relay", NULL, "the text relay", relays},
    {BEATS, "beats as many bytes of text", NULL, "as many bytes of text", equal_bytes},
    {BEATS, "beats a map that is solved for", NULL, "a map that is solved for", maps},
    {BEATS, "beats the tuned receiver", NULL, "the tuned receiver", tuned},
    {BEATS, "beats every opponent", "does not beat every opponent", NULL, anybody},
    {FASTER, "is faster than the receiver reading the text", "is not faster than the receiver reading the text", NULL,
     reader_times},
    {FASTER, "is faster than the text relay", "is not faster than the text relay", NULL, relay_times},
    {SMALLER, "takes fewer bytes than the text", "does not take fewer bytes than the text", NULL, NULL},
};

const char *tp_claim_name(size_t claim) {
    return claims[claim].name;
}

const char *tp_claim_object(size_t claim) {
    return claims[claim].object;
}

const char *tp_claim_denial(size_t claim) {
    return claims[claim].denial;
}

const char *tp_verdict_word(tp_tone tone) {
    return tone == TP_TONE_YES ? "yes" : tone == TP_TONE_NO ? "no" : "not told apart";
}

tp_claim tp_claim_judge(const tp_report_group *group, size_t claim) {
    switch (claims[claim].kind) {
    case BEATS:
        return beats(group, claims[claim].names);
    case COMMUNICATES:
        return communicates(group);
    case FASTER:
        return faster(group, claims[claim].names);
    case SMALLER:
        return smaller(group);
    }
    return (tp_claim){0};
}

void tp_claim_free(tp_claim *claim) {
    tp_free(claim->brief);
    tp_free(claim->sentence);
    *claim = (tp_claim){0};
}
