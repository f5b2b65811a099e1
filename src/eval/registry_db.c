/* Opening a registry, and SQLite made short. See registry_db.h.
 *
 * The journal is a write-ahead log: readers do not wait for a writer, and a process that is killed leaves a log that
 * the next one reads or throws away. Every commit is synced. */
#include "eval/registry_db.h"

#include "base/file.h"

#include <math.h>
#include <string.h>

enum { APPLICATION = 0x74704c52, VERSION = 1, PATIENCE_MS = 60000 }; /* "tpLR" in the file's header */

/* STRICT: a column holds what it says. Texts of JSON are compact, with all digits of reals. */
static const char schema[] =
    "CREATE TABLE runs (\n"
    "  id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, name TEXT NOT NULL, folder TEXT, task TEXT NOT NULL,\n"
    "  seed INTEGER NOT NULL, state TEXT NOT NULL CHECK (state IN ('done', 'failed')), note TEXT, layer INTEGER,\n"
    "  soft_tokens INTEGER, n_test INTEGER, settings TEXT, bridge TEXT, outcome TEXT, test TEXT, recipe TEXT,\n"
    "  subject TEXT, detail TEXT) STRICT;\n"
    "CREATE TABLE circumstances (\n"
    "  run INTEGER PRIMARY KEY REFERENCES runs (id) ON DELETE CASCADE, started TEXT, revision TEXT, version TEXT,\n"
    "  machine TEXT, kernels TEXT, threads INTEGER, peak_bytes INTEGER, train_seconds REAL,\n"
    "  evaluate_seconds REAL) STRICT;\n"
    "CREATE TABLE items (test TEXT NOT NULL, item INTEGER NOT NULL, row INTEGER NOT NULL, label INTEGER NOT NULL,\n"
    "  PRIMARY KEY (test, item)) STRICT, WITHOUT ROWID;\n"
    "CREATE TABLE methods (\n"
    "  run INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE, method TEXT NOT NULL, bytes REAL, setting TEXT,\n"
    "  note TEXT, detail TEXT NOT NULL, PRIMARY KEY (run, method)) STRICT, WITHOUT ROWID;\n"
    "CREATE TABLE results (\n"
    "  run INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE, method TEXT NOT NULL, reading TEXT NOT NULL,\n"
    "  accuracy REAL, invalid REAL, n INTEGER NOT NULL, sender_ms REAL, bridge_ms REAL, receiver_ms REAL,\n"
    "  per_second REAL, detail TEXT NOT NULL, PRIMARY KEY (run, method, reading)) STRICT, WITHOUT ROWID;\n"
    "CREATE TABLE predictions (\n"
    "  run INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE, method TEXT NOT NULL, reading TEXT NOT NULL,\n"
    "  name TEXT NOT NULL, data TEXT NOT NULL, PRIMARY KEY (run, method, reading, name)) STRICT, WITHOUT ROWID;\n"
    "CREATE TABLE documents (\n"
    "  run INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE, name TEXT NOT NULL, content BLOB NOT NULL,\n"
    "  PRIMARY KEY (run, name)) STRICT;\n"
    "CREATE TABLE suites (name TEXT PRIMARY KEY, definition TEXT NOT NULL) STRICT, WITHOUT ROWID;\n"
    "CREATE TABLE members (\n"
    "  suite TEXT NOT NULL REFERENCES suites (name) ON DELETE CASCADE, position INTEGER NOT NULL, key TEXT NOT NULL,\n"
    "  name TEXT NOT NULL, cell TEXT NOT NULL, PRIMARY KEY (suite, position)) STRICT, WITHOUT ROWID;\n"
    "CREATE INDEX members_key ON members (key);\n"
    "CREATE VIEW answers AS\n"
    "  SELECT r.name AS run, r.task, r.seed, p.method, p.reading, i.row, i.label, j.value AS answer\n"
    "  FROM predictions p JOIN runs r ON r.id = p.run JOIN json_each(p.data) j\n"
    "  JOIN items i ON i.test = r.test AND i.item = j.key WHERE p.name = 'predictions';\n";

static tp_status db_error(const tp_registry *r, int code) {
    if (code == SQLITE_NOTADB || code == SQLITE_CORRUPT)
        return tp_fail(TP_ERR_FORMAT,
                       "%s is no registry of runs, or is damaged (%s); move it away, and the suite that made it will "
                       "write a new one from its runs' folders",
                       r->path, sqlite3_errmsg(r->db));
    if (code == SQLITE_BUSY)
        return tp_fail(TP_ERR_IO, "%s is in use: another process has been writing to it for a minute", r->path);
    return tp_fail(TP_ERR_IO, "%s: %s", r->path, sqlite3_errmsg(r->db));
}

/* ---- statements ---- */

sqlite3_stmt *tp_db_prepare(tp_registry *r, const char *sql, const char *types, ...) {
    sqlite3_stmt *stmt = NULL;
    int code = sqlite3_prepare_v2(r->db, sql, -1, &stmt, NULL);
    va_list values;
    va_start(values, types);
    for (int i = 1; code == SQLITE_OK && types[i - 1]; i++) {
        switch (types[i - 1]) {
        case 's':
            code = sqlite3_bind_text(stmt, i, va_arg(values, const char *), -1, SQLITE_STATIC);
            break;
        case 'i':
            code = sqlite3_bind_int64(stmt, i, va_arg(values, int64_t));
            break;
        case 'd': {
            double x = va_arg(values, double);
            code = isfinite(x) ? sqlite3_bind_double(stmt, i, x) : sqlite3_bind_null(stmt, i);
            break;
        }
        default: { /* a NULL pointer would be NULL, and no empty blob */
            const void *bytes = va_arg(values, const void *);
            size_t n = va_arg(values, size_t);
            code = sqlite3_bind_blob64(stmt, i, n ? bytes : "", n, SQLITE_STATIC);
        }
        }
    }
    va_end(values);
    if (code == SQLITE_OK) return stmt;
    db_error(r, code);
    sqlite3_finalize(stmt);
    return NULL;
}

bool tp_db_next(tp_registry *r, sqlite3_stmt *stmt, tp_status *status) {
    if (stmt == NULL) {
        *status = tp_last_status();
        return false;
    }
    int code = sqlite3_step(stmt);
    if (code == SQLITE_ROW) return true;
    if (code != SQLITE_DONE) *status = db_error(r, code);
    sqlite3_finalize(stmt);
    return false;
}

tp_status tp_db_do(tp_registry *r, sqlite3_stmt *stmt) {
    tp_status status = TP_OK;
    while (tp_db_next(r, stmt, &status)) continue;
    return status;
}

static tp_status execute(tp_registry *r, const char *sql) {
    int code = sqlite3_exec(r->db, sql, NULL, NULL, NULL);
    return code == SQLITE_OK ? TP_OK : db_error(r, code);
}

tp_status tp_db_begin(tp_registry *r) {
    return execute(r, "BEGIN IMMEDIATE");
}

tp_status tp_db_end(tp_registry *r, tp_status status) {
    if (status == TP_OK) status = execute(r, "COMMIT");
    if (status != TP_OK) sqlite3_exec(r->db, "ROLLBACK", NULL, NULL, NULL); /* the sentence is of what failed before */
    return status;
}

const char *tp_db_text(sqlite3_stmt *stmt, int column) {
    return (const char *)sqlite3_column_text(stmt, column);
}

int64_t tp_db_run(tp_registry *r, const char *key, tp_status *status) {
    sqlite3_stmt *stmt = tp_db_prepare(r, "SELECT id FROM runs WHERE key = ?", "s", key);
    int64_t id = 0;
    while (tp_db_next(r, stmt, status)) id = sqlite3_column_int64(stmt, 0);
    return id;
}

json_t *tp_db_json(tp_registry *r, sqlite3_stmt *stmt, int column) {
    const char *text = tp_db_text(stmt, column);
    return text ? tp_json_load_bytes(text, strlen(text), r->path)
                : tp_fail_null(TP_ERR_FORMAT, "%s: a JSON text is missing", r->path);
}

char *tp_db_json_text(const json_t *value) {
    return json_dumps(value, JSON_COMPACT | JSON_REAL_PRECISION(17) | JSON_ENCODE_ANY);
}

/* ---- opening ---- */

static tp_status read_number(tp_registry *r, const char *pragma, int64_t *value) {
    sqlite3_stmt *stmt = tp_db_prepare(r, pragma, "");
    tp_status status = TP_OK;
    while (tp_db_next(r, stmt, &status)) *value = sqlite3_column_int64(stmt, 0);
    return status;
}

static tp_status make_schema(tp_registry *r) {
    int64_t version = 0;
    TP_TRY(tp_db_begin(r));
    tp_status status = read_number(r, "PRAGMA user_version", &version);
    if (status == TP_OK && version == 0) { /* nobody else has made it meanwhile */
        char *numbers = tp_format("PRAGMA application_id = %d; PRAGMA user_version = %d", APPLICATION, VERSION);
        status = execute(r, schema);
        if (status == TP_OK) status = execute(r, numbers);
        tp_free(numbers);
    }
    return tp_db_end(r, status);
}

static tp_status check_schema(tp_registry *r) {
    int64_t application = 0, version = 0, tables = 0;
    TP_TRY(execute(r, "BEGIN")); /* all three at one moment: another process may be making the schema */
    tp_status status = read_number(r, "PRAGMA application_id", &application);
    if (status == TP_OK) status = read_number(r, "PRAGMA user_version", &version);
    if (status == TP_OK) status = read_number(r, "SELECT count(*) FROM sqlite_schema", &tables);
    TP_TRY(tp_db_end(r, status));
    if (application == 0 && version == 0 && tables == 0) return make_schema(r);
    if (application != APPLICATION)
        return tp_fail(TP_ERR_FORMAT, "%s is a database of some other program, and no registry of runs", r->path);
    if (version > VERSION)
        return tp_fail(TP_ERR_FORMAT,
                       "%s was written by a newer telepathy: it is a registry of version %lld, and this program knows "
                       "versions up to %d",
                       r->path, (long long)version, VERSION);
    return TP_OK;
}

static tp_status open_db(tp_registry *r, bool create) {
    int flags = SQLITE_OPEN_READWRITE | (create ? SQLITE_OPEN_CREATE : 0);
    int code = sqlite3_open_v2(r->path, &r->db, flags, NULL);
    if (code != SQLITE_OK) return db_error(r, code);
    sqlite3_busy_timeout(r->db, PATIENCE_MS);
    TP_TRY(execute(r, "PRAGMA foreign_keys = ON"));
    TP_TRY(check_schema(r));
    if (sqlite3_db_readonly(r->db, "main") == 1) return TP_OK;
    /* where the log cannot be had (a file system without shared memory) the old journal does the same, more slowly */
    sqlite3_exec(r->db, "PRAGMA journal_mode = WAL", NULL, NULL, NULL);
    return execute(r, "PRAGMA synchronous = FULL");
}

tp_registry *tp_registry_open(const char *path, bool create) {
    if (!create && !tp_path_exists(path)) return tp_fail_null(TP_ERR_IO, "%s: there is no registry of runs", path);
    tp_registry *r = tp_alloc(sizeof *r);
    r->path = tp_strdup(path);
    if (open_db(r, create) == TP_OK) return r;
    tp_registry_close(r);
    return NULL;
}

tp_registry *tp_registry_open_in(const char *folder, bool create) {
    char *path = tp_path_join(folder, "runs.db");
    tp_registry *r = tp_registry_open(path, create);
    tp_free(path);
    return r;
}

void tp_registry_close(tp_registry *r) {
    if (r == NULL) return;
    sqlite3_close(r->db);
    tp_free(r->path);
    tp_free(r);
}
