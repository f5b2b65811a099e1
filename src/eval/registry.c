/* Finished runs into the registry and out of it. See registry.h.
 *
 * What goes in is what eval.json holds, taken apart: columns that people ask SQL about, the answers to all rows as one
 * JSON list per method and reading, and the rest of each object as it is. What comes out is put together again and read
 * by the reader of eval.json. So whatever results learn to hold, the registry keeps. */
#include "base/file.h"
#include "base/hash.h"
#include "eval/registry_db.h"

#include <math.h>
#include <string.h>

/* ---- the fingerprint of what came out ---- */

static void hash_answers(tp_hash *h, const tp_method *method, const json_t *result) {
    const char *reading, *name;
    json_t *answers, *value;
    json_object_foreach(json_object_get(result, "readings"), reading, answers) {
        json_object_foreach(answers, name, value) {
            if (!json_is_array(value) || strcmp(name, "interval") == 0) continue; /* that is computed from the others */
            tp_hash_add_text(h, method->name);
            tp_hash_add_text(h, reading);
            tp_hash_add_text(h, name);
            char *text = tp_db_json_text(value);
            tp_hash_add_text(h, text ? text : "");
            free(text);
        }
    }
}

static void outcome_of(json_t *all, const tp_results *results, char hex[33]) {
    const char *bridge = json_string_value(json_object_get(results->subject, "bridge"));
    tp_hash *h = tp_hash_new();
    tp_hash_add_text(h, bridge ? bridge : "");
    for (int m = 0; tp_methods[m]; m++)
        hash_answers(h, tp_methods[m], json_object_get(json_object_get(all, "methods"), tp_methods[m]->name));
    tp_hash_end(h, hex);
}

void tp_results_outcome(const tp_results *results, char hex[33]) {
    json_t *all = tp_results_to_json(results);
    outcome_of(all, results, hex);
    json_decref(all);
}

/* ---- in ---- */

static double number_of(const json_t *object, const char *key) {
    const json_t *value = json_object_get(object, key);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

/* Puts every list of n values of an answer into a row of its own, and takes it out of the object. */
static tp_status put_lists(tp_registry *r, int64_t run, const char *method, const char *reading, json_t *answers,
                           size_t n) {
    const char *name;
    json_t *value;
    void *next;
    json_object_foreach_safe(answers, next, name, value) {
        if (!json_is_array(value) || json_array_size(value) != n) continue;
        char *data = tp_db_json_text(value);
        tp_status status = tp_db_do(
            r, tp_db_prepare(r, "INSERT INTO predictions (run, method, reading, name, data) VALUES (?, ?, ?, ?, ?)",
                             "issss", run, method, reading, name, data));
        free(data);
        TP_TRY(status);
        json_object_del(answers, name);
    }
    return TP_OK;
}

static tp_status put_reading(tp_registry *r, int64_t run, const char *method, const char *reading, json_t *answers,
                             size_t n) {
    double accuracy = number_of(answers, "accuracy"), invalid = number_of(answers, "invalid");
    static const char *const computed[] = {"accuracy", "invalid",        "interval",
                                           "macro_f1", "class_accuracy", "confusion"};
    for (size_t i = 0; i < sizeof computed / sizeof computed[0]; i++) json_object_del(answers, computed[i]);
    TP_TRY(put_lists(r, run, method, reading, answers, n));
    char *detail = tp_db_json_text(answers);
    tp_status status = tp_db_do(
        r, tp_db_prepare(r,
                         "INSERT INTO results (run, method, reading, accuracy, invalid, n, sender_ms, bridge_ms, "
                         "receiver_ms, per_second, detail) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                         "issddidddds", run, method, reading, accuracy, invalid, (int64_t)n,
                         number_of(answers, "sender_ms"), number_of(answers, "bridge_ms"),
                         number_of(answers, "receiver_ms"), number_of(answers, "per_second"), detail));
    free(detail);
    return status;
}

static tp_status put_method(tp_registry *r, int64_t run, const char *method, json_t *result, size_t n) {
    const char *reading;
    json_t *answers;
    json_object_foreach(json_object_get(result, "readings"), reading, answers)
        TP_TRY(put_reading(r, run, method, reading, answers, n));
    json_object_del(result, "readings");
    char *detail = tp_db_json_text(result);
    tp_status status = tp_db_do(r, tp_db_prepare(r,
                                                 "INSERT INTO methods (run, method, bytes, setting, note, detail) "
                                                 "VALUES (?, ?, ?, ?, ?, ?)",
                                                 "isdsss", run, method, number_of(result, "bytes"),
                                                 json_string_value(json_object_get(result, "setting")),
                                                 json_string_value(json_object_get(result, "note")), detail));
    free(detail);
    return status;
}

/* Rows and labels of a test split, once for all runs on it. */
static tp_status put_items(tp_registry *r, const tp_results *results) {
    const char *test = results->truth.fingerprint;
    int64_t known = 0;
    tp_status status = TP_OK;
    sqlite3_stmt *stmt = tp_db_prepare(r, "SELECT count(*) FROM items WHERE test = ?", "s", test);
    while (tp_db_next(r, stmt, &status)) known = sqlite3_column_int64(stmt, 0);
    if (known == (int64_t)results->truth.n) return status;
    for (size_t i = 0; i < results->truth.n && status == TP_OK; i++)
        status =
            tp_db_do(r, tp_db_prepare(r, "INSERT OR REPLACE INTO items (test, item, row, label) VALUES (?, ?, ?, ?)",
                                      "siii", test, (int64_t)i, (int64_t)results->truth.examples[i].id,
                                      (int64_t)results->truth.examples[i].label));
    return status;
}

static tp_status put_row(tp_registry *r, const tp_finished_run *f, json_t *all, int64_t *run) {
    const tp_results *x = f->results;
    char outcome[33];
    outcome_of(all, x, outcome);
    json_t *rest = json_copy(all); /* what eval.json holds beside what has a place of its own */
    static const char *const placed[] = {"run", "subject", "rows", "truth", "methods"};
    for (size_t i = 0; i < sizeof placed / sizeof placed[0]; i++) json_object_del(rest, placed[i]);
    char *recipe = tp_db_json_text(json_object_get(x->subject, "recipe")), *subject = tp_db_json_text(x->subject);
    char *detail = tp_db_json_text(rest);
    json_decref(rest);
    tp_status status = tp_db_do(
        r, tp_db_prepare(r,
                         "INSERT INTO runs (key, name, folder, task, seed, state, layer, soft_tokens, n_test, "
                         "settings, bridge, outcome, test, recipe, subject, detail) "
                         "VALUES (?, ?, ?, ?, ?, 'done', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                         "ssssiiiisssssss", f->key, f->name, f->folder, x->task, (int64_t)x->seed, (int64_t)x->layer,
                         (int64_t)x->soft_tokens, (int64_t)x->truth.n, f->settings ? f->settings : "",
                         json_string_value(json_object_get(x->subject, "bridge")), outcome, x->truth.fingerprint,
                         recipe, subject, detail));
    free(recipe);
    free(subject);
    free(detail);
    *run = sqlite3_last_insert_rowid(r->db);
    return status;
}

static tp_status put_circumstances(tp_registry *r, int64_t run, const tp_circumstances *c) {
    return tp_db_do(r, tp_db_prepare(r,
                                     "INSERT INTO circumstances (run, started, revision, version, machine, kernels, "
                                     "threads, peak_bytes, train_seconds, evaluate_seconds) "
                                     "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                                     "isssssiidd", run, c->started, c->revision, TP_VERSION, c->machine, c->kernels,
                                     c->threads, c->peak_bytes, c->train_seconds, c->evaluate_seconds));
}

static tp_status put_document(tp_registry *r, int64_t run, const tp_document *d) {
    return tp_db_do(r, tp_db_prepare(r, "INSERT OR REPLACE INTO documents (run, name, content) VALUES (?, ?, ?)", "isb",
                                     run, d->name, d->bytes, d->n));
}

static tp_status put_all(tp_registry *r, const tp_finished_run *f, json_t *all) {
    int64_t run = 0;
    TP_TRY(tp_registry_delete(r, f->key));
    TP_TRY(put_row(r, f, all, &run));
    TP_TRY(put_circumstances(r, run, &f->circumstances));
    TP_TRY(put_items(r, f->results));
    const char *method;
    json_t *result;
    json_object_foreach(json_object_get(all, "methods"), method, result)
        TP_TRY(put_method(r, run, method, result, f->results->truth.n));
    for (size_t i = 0; i < f->n_documents; i++) TP_TRY(put_document(r, run, &f->documents[i]));
    return TP_OK;
}

tp_status tp_registry_put(tp_registry *r, const tp_finished_run *f) {
    json_t *all = tp_results_to_json(f->results);
    tp_status status = tp_db_begin(r);
    if (status == TP_OK) status = tp_db_end(r, put_all(r, f, all));
    json_decref(all);
    return status;
}

tp_status tp_registry_put_failure(tp_registry *r, const char *key, const char *name, const char *folder,
                                  const char *task, int64_t seed, const char *sentence) {
    return tp_db_do(r, tp_db_prepare(r,
                                     "INSERT INTO runs (key, name, folder, task, seed, state, note) "
                                     "VALUES (?, ?, ?, ?, ?, 'failed', ?) "
                                     "ON CONFLICT (key) DO UPDATE SET note = excluded.note WHERE state = 'failed'",
                                     "ssssis", key, name, folder, task, seed, sentence));
}

tp_status tp_registry_delete(tp_registry *r, const char *key) {
    return tp_db_do(r, tp_db_prepare(r, "DELETE FROM runs WHERE key = ?", "s", key));
}

tp_status tp_registry_put_document(tp_registry *r, const char *key, const tp_document *document) {
    tp_status status = TP_OK;
    int64_t run = tp_db_run(r, key, &status);
    TP_TRY(status);
    if (run == 0) return tp_fail(TP_ERR_ARGUMENT, "%s: there is no run with the key %s", r->path, key);
    return put_document(r, run, document);
}

/* ---- out ---- */

/* {"rows": [...], "truth": [...]} of a test split. */
static tp_status get_items(tp_registry *r, const char *test, json_t *all) {
    json_t *rows = json_array(), *truth = json_array();
    json_object_set_new(all, "rows", rows);
    json_object_set_new(all, "truth", truth);
    tp_status status = TP_OK;
    sqlite3_stmt *stmt = tp_db_prepare(r, "SELECT row, label FROM items WHERE test = ? ORDER BY item", "s", test);
    while (tp_db_next(r, stmt, &status)) {
        json_array_append_new(rows, json_integer(sqlite3_column_int64(stmt, 0)));
        json_array_append_new(truth, json_integer(sqlite3_column_int64(stmt, 1)));
    }
    return status;
}

/* Adds the JSON of `column` to `parent` as `name`; false on error, and the statement is then freed. */
static bool add_json(tp_registry *r, sqlite3_stmt *stmt, int column, json_t *parent, const char *name,
                     tp_status *status) {
    json_t *value = json_is_object(parent) ? tp_db_json(r, stmt, column) : NULL;
    if (value && json_object_set_new(parent, name, value) == 0) return true;
    *status = tp_fail(TP_ERR_FORMAT, "%s: what it holds of `%s` is broken", r->path, name);
    sqlite3_finalize(stmt);
    return false;
}

static tp_status get_methods(tp_registry *r, int64_t run, json_t *methods) {
    tp_status status = TP_OK;
    sqlite3_stmt *stmt = tp_db_prepare(r, "SELECT method, detail FROM methods WHERE run = ?", "i", run);
    while (tp_db_next(r, stmt, &status)) {
        const char *method = tp_db_text(stmt, 0);
        if (!add_json(r, stmt, 1, methods, method, &status)) return status;
        json_object_set_new(json_object_get(methods, method), "readings", json_object());
    }
    if (status == TP_OK) stmt = tp_db_prepare(r, "SELECT method, reading, detail FROM results WHERE run = ?", "i", run);
    while (status == TP_OK && tp_db_next(r, stmt, &status)) {
        json_t *readings = json_object_get(json_object_get(methods, tp_db_text(stmt, 0)), "readings");
        if (!add_json(r, stmt, 2, readings, tp_db_text(stmt, 1), &status)) return status;
    }
    if (status == TP_OK)
        stmt = tp_db_prepare(r, "SELECT method, reading, name, data FROM predictions WHERE run = ?", "i", run);
    while (status == TP_OK && tp_db_next(r, stmt, &status)) {
        json_t *readings = json_object_get(json_object_get(methods, tp_db_text(stmt, 0)), "readings");
        json_t *answers = json_object_get(readings, tp_db_text(stmt, 1));
        if (!add_json(r, stmt, 3, answers, tp_db_text(stmt, 2), &status)) return status;
    }
    return status;
}

/* What the run's eval.json would hold, but for what is computed from the answers. */
static tp_status get_all(tp_registry *r, const char *key, json_t *all, char name[64]) {
    tp_status status = TP_OK;
    int64_t run = 0;
    char test[33] = "";
    sqlite3_stmt *stmt = tp_db_prepare(
        r, "SELECT id, state, note, name, folder, test, subject, detail FROM runs WHERE key = ?", "s", key);
    while (tp_db_next(r, stmt, &status)) {
        run = sqlite3_column_int64(stmt, 0);
        if (strcmp(tp_db_text(stmt, 1), "done") != 0) {
            status = tp_fail(TP_ERR_ARGUMENT, "%s: the run %s has no results, it failed: %s", r->path,
                             tp_db_text(stmt, 3), tp_db_text(stmt, 2) ? tp_db_text(stmt, 2) : "");
            sqlite3_finalize(stmt);
            return status;
        }
        json_t *rest = tp_db_json(r, stmt, 7);
        json_object_update(all, rest);
        json_decref(rest);
        snprintf(name, 64, "%s", tp_db_text(stmt, 3));
        snprintf(test, sizeof test, "%s", tp_db_text(stmt, 5) ? tp_db_text(stmt, 5) : "");
        json_object_set_new(all, "run", json_string(tp_db_text(stmt, 4) ? tp_db_text(stmt, 4) : name));
        if (!add_json(r, stmt, 6, all, "subject", &status)) return status;
    }
    TP_TRY(status);
    if (run == 0) return tp_fail(TP_ERR_ARGUMENT, "%s: there is no run with the key %s", r->path, key);
    TP_TRY(get_items(r, test, all));
    json_t *methods = json_object();
    json_object_set_new(all, "methods", methods);
    return get_methods(r, run, methods);
}

tp_results *tp_registry_results(tp_registry *r, const char *key) {
    json_t *all = json_object();
    char name[64] = "";
    tp_results *results = NULL;
    /* one transaction: all parts are of the same moment */
    if (sqlite3_exec(r->db, "BEGIN", NULL, NULL, NULL) != SQLITE_OK)
        tp_fail(TP_ERR_IO, "%s: %s", r->path, sqlite3_errmsg(r->db));
    else if (tp_db_end(r, get_all(r, key, all, name)) == TP_OK) {
        char *where = tp_format("%s, run %s", r->path, name);
        results = tp_results_from_json(all, where);
        tp_free(where);
    }
    json_decref(all);
    return results;
}

tp_status tp_registry_document(tp_registry *r, const char *key, const char *name, char **bytes, size_t *n) {
    *bytes = NULL;
    *n = 0;
    tp_status status = TP_OK;
    sqlite3_stmt *stmt = tp_db_prepare(
        r, "SELECT content FROM documents JOIN runs ON id = run WHERE key = ? AND documents.name = ?", "ss", key, name);
    while (tp_db_next(r, stmt, &status)) {
        const char *content = sqlite3_column_blob(stmt, 0);
        *n = (size_t)sqlite3_column_bytes(stmt, 0);
        *bytes = tp_strndup(content ? content : "", *n);
    }
    return status;
}

json_t *tp_registry_documents(tp_registry *r, const char *key) {
    json_t *names = json_object();
    tp_status status = TP_OK;
    sqlite3_stmt *stmt = tp_db_prepare(r,
                                       "SELECT documents.name, length(content) FROM documents JOIN runs ON id = run "
                                       "WHERE key = ? ORDER BY documents.name",
                                       "s", key);
    while (tp_db_next(r, stmt, &status))
        json_object_set_new(names, tp_db_text(stmt, 0), json_integer(sqlite3_column_int64(stmt, 1)));
    if (status == TP_OK) return names;
    json_decref(names);
    return NULL;
}
