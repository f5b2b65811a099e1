/* Lists of the registry: its runs, and its suites with their members. See registry.h. */
#include "base/file.h"
#include "eval/registry_db.h"

#include <math.h>
#include <string.h>

/* ---- runs ---- */

static const char *keep(tp_run_list *list, sqlite3_stmt *stmt, int column) {
    const char *text = tp_db_text(stmt, column);
    return text ? tp_arena_strdup(list->memory, text) : NULL;
}

static double real(sqlite3_stmt *stmt, int column) {
    return sqlite3_column_type(stmt, column) == SQLITE_NULL ? NAN : sqlite3_column_double(stmt, column);
}

static const char columns[] =
    "SELECT r.key, r.name, folder, task, settings, state, note, bridge, outcome, seed, layer, soft_tokens, n_test, "
    "started, revision, machine, kernels, threads, peak_bytes, train_seconds, evaluate_seconds, "
    "(SELECT group_concat(method) FROM methods WHERE run = r.id), "
    "(SELECT group_concat(d.name) FROM documents d WHERE run = r.id) "
    "FROM runs r LEFT JOIN circumstances c ON c.run = r.id ";

static tp_run_entry read_entry(tp_run_list *list, sqlite3_stmt *s) {
    return (tp_run_entry){.key = keep(list, s, 0),
                          .name = keep(list, s, 1),
                          .folder = keep(list, s, 2),
                          .task = keep(list, s, 3),
                          .settings = keep(list, s, 4),
                          .state = keep(list, s, 5),
                          .note = keep(list, s, 6),
                          .bridge = keep(list, s, 7),
                          .outcome = keep(list, s, 8),
                          .methods = keep(list, s, 21),
                          .documents = keep(list, s, 22),
                          .seed = sqlite3_column_int64(s, 9),
                          .layer = sqlite3_column_int(s, 10),
                          .soft_tokens = sqlite3_column_int(s, 11),
                          .n_test = (size_t)sqlite3_column_int64(s, 12),
                          .circumstances = {.started = keep(list, s, 13),
                                            .revision = keep(list, s, 14),
                                            .machine = keep(list, s, 15),
                                            .kernels = keep(list, s, 16),
                                            .threads = sqlite3_column_int64(s, 17),
                                            .peak_bytes = sqlite3_column_int64(s, 18),
                                            .train_seconds = real(s, 19),
                                            .evaluate_seconds = real(s, 20)}};
}

tp_status tp_registry_list(tp_registry *r, const tp_run_filter *filter, tp_run_list *out) {
    tp_run_filter any = {.seed = -1};
    if (filter == NULL) filter = &any;
    *out = (tp_run_list){.memory = tp_arena_new()};
    char *sql =
        tp_format("%s%s WHERE (?2 IS NULL OR task = ?2) AND (?3 < 0 OR seed = ?3) AND (?4 IS NULL OR r.name = "
                  "?4 OR ?4 IN (SELECT name FROM members n WHERE n.key = r.key) OR (length(?4) >= 4 AND substr(r.key, "
                  "1, length(?4)) = ?4))%s",
                  columns, filter->suite ? "JOIN members m ON m.key = r.key AND m.suite = ?1" : "",
                  filter->suite ? " ORDER BY m.position" : " AND ?1 IS NULL ORDER BY task, r.name, seed, r.key");
    sqlite3_stmt *stmt = tp_db_prepare(r, sql, "ssis", filter->suite, filter->task, filter->seed, filter->run);
    tp_free(sql);
    tp_status status = TP_OK;
    size_t capacity = 0;
    while (tp_db_next(r, stmt, &status)) {
        tp_grow(&out->runs, &capacity, out->n, sizeof *out->runs);
        out->runs[out->n++] = read_entry(out, stmt);
    }
    return status;
}

void tp_run_list_free(tp_run_list *list) {
    tp_free(list->runs);
    tp_arena_free(list->memory);
    *list = (tp_run_list){0};
}

/* ---- suites ---- */

static tp_status put_members(tp_registry *r, const char *name, const json_t *definition, const tp_suite_member *members,
                             size_t n) {
    TP_TRY(tp_db_do(r, tp_db_prepare(r, "DELETE FROM suites WHERE name = ?", "s", name)));
    char *text = tp_db_json_text(definition);
    tp_status status =
        tp_db_do(r, tp_db_prepare(r, "INSERT INTO suites (name, definition) VALUES (?, ?)", "ss", name, text));
    free(text);
    for (size_t i = 0; i < n && status == TP_OK; i++) {
        char *cell = tp_db_json_text(members[i].cell);
        status = tp_db_do(
            r, tp_db_prepare(r, "INSERT INTO members (suite, position, key, name, cell) VALUES (?, ?, ?, ?, ?)",
                             "sisss", name, (int64_t)i, members[i].key, members[i].name, cell));
        free(cell);
    }
    return status;
}

tp_status tp_registry_put_suite(tp_registry *r, const char *name, const json_t *definition,
                                const tp_suite_member *members, size_t n) {
    TP_TRY(tp_db_begin(r));
    return tp_db_end(r, put_members(r, name, definition, members, n));
}

static json_t *text_or_null(const char *text) {
    return text ? json_string(text) : json_null();
}

static tp_status get_members(tp_registry *r, const char *suite, json_t *list) {
    tp_status status = TP_OK;
    sqlite3_stmt *stmt = tp_db_prepare(r,
                                       "SELECT m.key, m.name, cell, state FROM members m LEFT JOIN runs ON runs.key = "
                                       "m.key WHERE suite = ? ORDER BY position",
                                       "s", suite);
    while (tp_db_next(r, stmt, &status)) {
        json_t *cell = tp_db_json(r, stmt, 2);
        if (cell == NULL) {
            sqlite3_finalize(stmt);
            return tp_last_status();
        }
        json_array_append_new(list,
                              json_pack("{s:s, s:s, s:o, s:o}", "key", tp_db_text(stmt, 0), "name", tp_db_text(stmt, 1),
                                        "cell", cell, "state", text_or_null(tp_db_text(stmt, 3))));
    }
    return status;
}

json_t *tp_registry_suites(tp_registry *r) {
    json_t *suites = json_array();
    tp_status status = TP_OK;
    sqlite3_stmt *stmt = tp_db_prepare(r, "SELECT name, definition FROM suites ORDER BY name", "");
    while (tp_db_next(r, stmt, &status)) {
        json_t *members = json_array(), *definition = tp_db_json(r, stmt, 1);
        status = definition ? get_members(r, tp_db_text(stmt, 0), members) : tp_last_status();
        json_array_append_new(suites, json_pack("{s:s, s:o, s:o}", "name", tp_db_text(stmt, 0), "definition",
                                                definition ? definition : json_null(), "members", members));
        if (status == TP_OK) continue;
        sqlite3_finalize(stmt);
        break;
    }
    if (status == TP_OK) return suites;
    json_decref(suites);
    return NULL;
}
