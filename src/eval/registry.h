/* The registry: every run of an experiment in one SQLite file, runs.db.
 *
 * A finished run goes in whole or not at all, in one transaction: what decides it (recipe, seed, fingerprints of data
 * and models), what came out (each method's answer to every test row), and how it came about (machine, times). Reports
 * are made from the registry alone. Two processes may use it at once, and one that is killed leaves it whole: that is
 * what SQLite is for. docs/suites.md documents the tables; any SQLite reads them.
 *
 * What must come out again when a run is repeated (weights, predictions) is kept apart from what may differ (times,
 * machine, revision): `outcome` is a fingerprint of the former, and nothing of the latter enters it. */
#ifndef TP_EVAL_REGISTRY_H
#define TP_EVAL_REGISTRY_H

#include "base/mem.h"
#include "eval/results.h"

typedef struct tp_registry tp_registry; /* of one thread; never carried over a fork */

/* Opens a registry; with `create` a new one is made where none is. NULL on error: no such file, not a registry, one of
 * a newer version. */
tp_registry *tp_registry_open(const char *path, bool create);
/* The one in a suite's folder, DIR/runs.db. */
tp_registry *tp_registry_open_in(const char *folder, bool create);
void tp_registry_close(tp_registry *registry); /* takes NULL */

/* ---- runs ---- */

/* How a run came about: of no consequence for what came out. Texts may be NULL, numbers NAN (0 for integers). */
typedef struct tp_circumstances {
    const char *started;  /* "2026-11-22T16:00:00Z" */
    const char *revision; /* of the program's source */
    const char *machine, *kernels;
    int64_t threads, peak_bytes;
    double train_seconds, evaluate_seconds;
} tp_circumstances;

typedef struct tp_document {
    const char *name; /* "train", "log", "inspect", "latency" */
    const void *bytes;
    size_t n;
} tp_document;

typedef struct tp_finished_run {
    const char *key;    /* 32 hexadecimal digits: a fingerprint of all that decides the run */
    const char *name;   /* for people: "trec-42" */
    const char *folder; /* from the registry's folder; NULL: none */
    const tp_results *results;
    const char *settings; /* how it was evaluated, to be told from another evaluation; NULL: "" */
    tp_circumstances circumstances;
    const tp_document *documents;
    size_t n_documents;
} tp_finished_run;

/* Puts a finished run, in place of an older one with the same key: all of it, or nothing on error. */
tp_status tp_registry_put(tp_registry *registry, const tp_finished_run *run);

/* Remembers that a run failed, and why; nothing if it is there already. */
tp_status tp_registry_put_failure(tp_registry *registry, const char *key, const char *name, const char *folder,
                                  const char *task, int64_t seed, const char *sentence);

/* Forgets a run with all that belongs to it; TP_OK if there is none. */
tp_status tp_registry_delete(tp_registry *registry, const char *key);

typedef struct tp_run_entry {
    const char *key, *name, *folder, *task, *settings;
    const char *state;               /* "done" or "failed" */
    const char *note;                /* why it failed; else NULL */
    const char *bridge;              /* fingerprint of the trained bridge; NULL if it failed */
    const char *outcome;             /* fingerprint of weights and predictions; NULL if it failed */
    const char *methods, *documents; /* names with commas between them, in no order; NULL: none */
    int64_t seed;
    int layer, soft_tokens;
    size_t n_test;
    tp_circumstances circumstances;
} tp_run_entry;

typedef struct tp_run_list {
    tp_run_entry *runs; /* [n] */
    size_t n;
    tp_arena *memory; /* of all texts */
} tp_run_list;

typedef struct tp_run_filter { /* NULL, or a seed of -1: any */
    const char *suite, *task;
    const char *run; /* a name, its own or a suite's for it, or the beginning of a key (four digits or more) */
    int64_t seed;
} tp_run_filter;

/* The runs that pass the filter (NULL: all), by suite in the suite's order, else by task, name and seed. Free with
 * tp_run_list_free, also after an error. */
tp_status tp_registry_list(tp_registry *registry, const tp_run_filter *filter, tp_run_list *out);
void tp_run_list_free(tp_run_list *list);

/* What an evaluation of the run gave, the same as from its eval.json. NULL on error (no such run; it failed). */
tp_results *tp_registry_results(tp_registry *registry, const char *key);

/* ---- documents of a run ---- */

/* Puts a document of a run that is there, in place of an older one of that name. */
tp_status tp_registry_put_document(tp_registry *registry, const char *key, const tp_document *document);
/* The bytes, a zero byte behind them, to be freed with tp_free; NULL, and TP_OK, if there is none. */
tp_status tp_registry_document(tp_registry *registry, const char *key, const char *name, char **bytes, size_t *n);
/* Names and sizes of a run's documents as {"name": bytes, ...}, by name. NULL on error. */
json_t *tp_registry_documents(tp_registry *registry, const char *key);

/* ---- suites ---- */

/* One place of a suite's grid. */
typedef struct tp_suite_member {
    const char *key, *name;
    json_t *cell; /* where on the grid: {"task": "trec", "soft_tokens": 8, "seed": 42, ...}; borrowed */
} tp_suite_member;

/* Puts a suite with its members in order, in place of an older one of that name. Members need not be there yet. */
tp_status tp_registry_put_suite(tp_registry *registry, const char *name, const json_t *definition,
                                const tp_suite_member *members, size_t n);
/* All suites by name: [{"name", "definition": {...}, "members": [{"key", "name", "cell": {...}, "state": "done",
 * "failed" or null}, ...]}, ...]. NULL on error. */
json_t *tp_registry_suites(tp_registry *registry);

/* ---- one evaluation against another ---- */

/* The fingerprint `outcome`: of the bridge, and of every method's answers to every row. */
void tp_results_outcome(const tp_results *results, char hex[33]);

#endif
