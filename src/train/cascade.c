/* Failures and what is done about them. See cascade.h. */
#include "train/cascade.h"

#include "base/file.h"
#include "train/log.h"

#include <math.h>

static const char line_key[] = "failure";

tp_failures tp_failures_new(void) {
    return (tp_failures){.history = json_array()};
}

void tp_failures_free(tp_failures *f) {
    json_decref(f->history);
    f->history = NULL;
}

tp_remedy tp_failures_remedy(const tp_failures *f, const tp_cascade *cascade) {
    if (cascade->restarts == 0) return TP_REMEDY_NONE;
    if (f->restarts < cascade->restarts) return TP_REMEDY_RESTART;
    return f->seeds < cascade->seeds ? TP_REMEDY_SEED : TP_REMEDY_NONE;
}

void tp_failures_add(tp_failures *f, tp_remedy remedy, const char *sentence, int64_t seen, int64_t step) {
    f->restarts = remedy == TP_REMEDY_SEED ? 0 : f->restarts + 1;
    f->seeds += remedy == TP_REMEDY_SEED;
    /* keys in the order in which a state brings them back */
    json_array_append_new(f->history,
                          json_pack("{s:s, s:i, s:f, s:I, s:I}", line_key, sentence, "other_seeds", f->seeds, "rate",
                                    tp_failures_rate(f), "seen_at", (json_int_t)seen, "step", (json_int_t)step));
}

double tp_failures_rate(const tp_failures *f) {
    return pow(0.5, f->restarts);
}

uint64_t tp_failures_seed(const tp_failures *f, uint64_t seed) {
    return seed + 1000003ull * (uint64_t)f->seeds; /* far from the seeds that people choose for other runs */
}

void tp_failures_to_note(const tp_failures *f, json_t *note) {
    if (json_array_size(f->history) == 0) return;
    json_object_set_new(
        note, "failures",
        json_pack("{s:i, s:i, s:O}", "restarts", f->restarts, "seeds", f->seeds, "history", f->history));
}

bool tp_failures_from_note(tp_failures *f, const json_t *note) {
    json_t *found = json_object_get(note, "failures"), *history;
    json_array_clear(f->history);
    f->restarts = f->seeds = 0;
    if (found == NULL) return true;
    if (json_unpack(found, "{s:i, s:i, s:o}", "restarts", &f->restarts, "seeds", &f->seeds, "history", &history) != 0 ||
        !json_is_array(history) || f->restarts < 0 || f->seeds < 0)
        return false;
    json_array_extend(f->history, history);
    return true;
}

tp_status tp_failures_log(const tp_failures *f, const char *log) {
    if (json_array_size(f->history) == 0) return TP_OK;
    size_t logged = 0, n;
    char *line;
    tp_lines *lines = tp_path_exists(log) ? tp_lines_open(log) : NULL;
    while (lines && tp_lines_next(lines, &line, &n)) {
        json_t *value = json_loadb(line, n, 0, NULL);
        logged += json_object_get(value, line_key) != NULL;
        json_decref(value);
    }
    tp_lines_close(lines);
    for (size_t i = logged; i < json_array_size(f->history); i++)
        TP_TRY(tp_log_add(log, json_incref(json_array_get(f->history, i))));
    return TP_OK;
}
