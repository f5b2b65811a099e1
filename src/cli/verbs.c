/* Loading a model and writing behind an input. See verbs.h. */
#include "cli/verbs.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/table.h"
#include "cli/terminal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

const char *const tp_math_names[] = {"f32", "bf16", NULL};
const char *const tp_cache_type_names[] = {"f32", "f16", "bf16", "i8", NULL}; /* in the order of tp_cache_type */

tp_engine *tp_args_engine(const tp_args *args, unsigned flags) {
    if (tp_args_choice(args, "math") == 0) flags |= TP_ENGINE_F32;
    if (tp_args_flag(args, "mlock")) flags |= TP_ENGINE_MLOCK;
    return tp_engine_load(tp_args_text(args, "MODEL"), flags);
}

tp_session *tp_args_session(const tp_args *args, const tp_engine *engine, int64_t n_prompt, bool whole) {
    int64_t most = tp_engine_get_facts(engine)->max_positions, wanted = tp_args_int(args, "predict");
    int64_t capacity = tp_args_given(args, "ctx") ? tp_args_int(args, "ctx") : most;
    if (!tp_args_given(args, "ctx") && !whole && wanted >= 0 && n_prompt + wanted < most) capacity = n_prompt + wanted;
    if (n_prompt > capacity)
        return tp_fail_null(TP_ERR_ARGUMENT, "the input has %lld positions, the context has %lld", (long long)n_prompt,
                            (long long)capacity);
    return tp_session_new_cached(engine, capacity < 1 ? 1 : capacity,
                                 (tp_cache_type)tp_args_choice(args, "cache-type"));
}

/* ---- writing ---- */

typedef struct writing {
    const volatile sig_atomic_t *stop;
    bool show;   /* on stdout, as it comes */
    bool broken; /* stdout takes no more */
    tp_written *out;
} writing;

void tp_written_free(tp_written *w) {
    tp_str_free(&w->text);
    tp_ids_free(&w->ids);
    *w = (tp_written){0};
}

static bool on_token(void *context, int32_t id) {
    writing *w = context;
    tp_ids_append(&w->out->ids, id);
    return !*w->stop;
}

static bool on_text(void *context, const char *text, size_t n) {
    writing *w = context;
    tp_str_append(&w->out->text, text, n);
    if (!w->show) return true;
    fwrite(text, 1, n, stdout);
    w->broken = fflush(stdout) != 0; /* main says so */
    return !w->broken;
}

static tp_generation settings(const tp_args *args, tp_session *session, writing *w) {
    int64_t room = tp_session_capacity(session) - tp_session_length(session), wanted = tp_args_int(args, "predict");
    int64_t window = tp_args_int(args, "repeat-last-n");
    const char *const *stops;
    int64_t n_stops = (int64_t)tp_args_list(args, "stop", &stops);
    return (tp_generation){.max_new = wanted < 0 || wanted > room ? room : wanted,
                           .sampling = {.temperature = tp_args_real(args, "temp"),
                                        .top_k = (int32_t)tp_args_int(args, "top-k"),
                                        .top_p = tp_args_real(args, "top-p"),
                                        .min_p = tp_args_real(args, "min-p"),
                                        .repeat_penalty = window == 0 ? 0 : tp_args_real(args, "repeat-penalty"),
                                        .repeat_window = window < 0 ? 0 : window,
                                        .seed = (uint64_t)tp_args_int(args, "seed")},
                           .stops = stops,
                           .n_stops = n_stops,
                           .ignore_eos = tp_args_flag(args, "ignore-eos"),
                           .show_special = tp_args_flag(args, "special"),
                           .on_token = on_token,
                           .on_text = on_text,
                           .context = w};
}

static void print_json(const tp_written *w, const char *ending, int64_t n_prompt, double prompt_s, double generate_s) {
    json_t *ids = json_array();
    for (size_t i = 0; i < w->ids.len; i++) json_array_append_new(ids, json_integer(w->ids.data[i]));
    json_t *value = json_pack("{s:s%, s:s, s:o, s:I, s:I, s:f, s:f}", "text", w->text.data ? w->text.data : "",
                              w->text.len, "ending", ending, "ids", ids, "prompt_tokens", (json_int_t)n_prompt,
                              "tokens", (json_int_t)w->ids.len, "prompt_seconds", prompt_s, "seconds", generate_s);
    json_dumpf(value, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
    putchar('\n');
    json_decref(value);
}

/* For the person at the terminal; a log needs no such line. */
static void say_speed(const tp_args *args, int64_t n_prompt, double prompt_s, size_t n, double generate_s) {
    if (!tp_terminal_is(stderr, false)) return;
    tp_progress_say(tp_args_progress(args), "%lld tokens read in %.2f s (%.1f/s), %zu written in %.2f s (%.1f/s)",
                    (long long)n_prompt, prompt_s, (double)n_prompt / prompt_s, n, generate_s, (double)n / generate_s);
}

tp_status tp_write(const tp_args *args, tp_session *session, const tp_input *inputs, int64_t n_inputs,
                   tp_written *out) {
    static const char *const endings[] = {"length", "eos", "stop", "interrupted"};
    *out = (tp_written){0};
    writing w = {.stop = tp_interrupt_catch(), .show = !tp_args_flag(args, "json"), .out = out};
    int64_t kept = 0;
    double start = tp_now();
    tp_status status = tp_session_refeed(session, inputs, n_inputs, &kept);
    double fed = tp_now();
    int64_t n_prompt = tp_session_length(session);
    tp_ending ending = TP_ENDING_CALLER;
    if (status == TP_OK && !*w.stop) {
        tp_generation options = settings(args, session, &w);
        status = tp_session_generate(session, &options, &ending);
    }
    double done = tp_now();
    if (status == TP_OK && w.show)
        putchar('\n');
    else if (status == TP_OK)
        print_json(out, endings[ending], n_prompt, fed - start, done - fed);
    if (status == TP_OK) say_speed(args, n_prompt - kept, fed - start, out->ids.len, done - fed);
    if (status == TP_OK && *w.stop)
        status = tp_fail(TP_ERR_CANCELLED, "interrupted after %zu tokens", out->ids.len);
    else if (status == TP_OK && w.broken)
        status = tp_fail(TP_ERR_IO, "cannot write the answer");
    return status;
}

/* ---- scoring ---- */

static void print_score_table(const char *const *labels, const double *scores, const double *shares, size_t n) {
    tp_table *t = tp_table_new();
    tp_table_column(t, "<label");
    tp_table_column(t, ">log-likelihood");
    tp_table_column(t, ">share");
    for (size_t i = 0; i < n; i++) {
        tp_table_cell(t, "%s", labels[i]);
        tp_table_cell(t, "%.6f", scores[i]);
        tp_table_cell(t, "%.1f %%", 100 * shares[i]);
    }
    char *text = tp_table_text(t, TP_TABLE_PLAIN);
    fputs(text, stdout);
    tp_free(text);
    tp_table_free(t);
}

static void print_score_json(const char *const *labels, const double *scores, const double *shares, size_t n) {
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(
            list, json_pack("{s:s, s:f, s:f}", "label", labels[i], "log_likelihood", scores[i], "share", shares[i]));
    json_dumpf(list, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
    putchar('\n');
    json_decref(list);
}

static void print_scores(const tp_args *args, const char *const *labels, const double *scores, size_t n) {
    double *shares = tp_alloc(n * sizeof *shares), most = -INFINITY, sum = 0;
    for (size_t i = 0; i < n; i++) most = fmax(most, scores[i]);
    for (size_t i = 0; i < n; i++) sum += shares[i] = exp(scores[i] - most);
    for (size_t i = 0; i < n; i++) shares[i] /= sum;
    (tp_args_flag(args, "json") ? print_score_json : print_score_table)(labels, scores, shares, n);
    tp_free(shares);
}

tp_status tp_print_scores(const tp_args *args, const tp_engine *engine, const tp_input *inputs, int64_t n_inputs,
                          const char *const *labels, size_t n_labels) {
    tp_input *answers = tp_alloc(n_labels * sizeof *answers);
    double *scores = tp_alloc(n_labels * sizeof *scores);
    tp_status status = TP_OK;
    for (size_t i = 0; i < n_labels && status == TP_OK; i++) {
        answers[i].ids = tp_engine_tokenize(engine, labels[i], strlen(labels[i]), TP_TOKENS_NO_PREFIX, &answers[i].n);
        if (answers[i].ids == NULL) status = tp_last_status();
    }
    if (status == TP_OK) status = tp_engine_score(engine, inputs, n_inputs, answers, (int64_t)n_labels, scores);
    if (status == TP_OK) print_scores(args, labels, scores, n_labels);
    for (size_t i = 0; i < n_labels; i++) tp_free((void *)(uintptr_t)answers[i].ids);
    tp_free(answers);
    tp_free(scores);
    return status;
}
