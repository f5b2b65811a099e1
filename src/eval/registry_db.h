/* SQLite as the registry uses it: opening with the schema checked, statements with their values, errors as sentences.
 * Internal to the registry. */
#ifndef TP_EVAL_REGISTRY_DB_H
#define TP_EVAL_REGISTRY_DB_H

#include "eval/registry.h"

#include <sqlite3.h>

struct tp_registry {
    sqlite3 *db;
    char *path;
};

/* A statement with its values bound, one letter each in `types`: s text, i int64_t, d double, b bytes and their
 * size_t. A NULL text and a number that is not finite become NULL. Texts must live until the statement is done. NULL on
 * error; to be given to tp_db_next or tp_db_do. */
sqlite3_stmt *tp_db_prepare(tp_registry *r, const char *sql, const char *types, ...);

/* The next row; false at the end, or on an error, which *status then holds (else it stays). The statement is freed at
 * the end: a loop that is left early frees it with sqlite3_finalize. `stmt` may be NULL, after an error. */
bool tp_db_next(tp_registry *r, sqlite3_stmt *stmt, tp_status *status);

/* Runs a statement that gives no rows, and frees it. NULL passes the error on. */
tp_status tp_db_do(tp_registry *r, sqlite3_stmt *stmt);

tp_status tp_db_begin(tp_registry *r);                 /* takes the right to write at once */
tp_status tp_db_end(tp_registry *r, tp_status status); /* commits if TP_OK, else takes all back; gives the outcome */

const char *tp_db_text(sqlite3_stmt *stmt, int column); /* NULL for NULL; lives until the next row */

/* The number of a run; 0 if there is none; an error in *status. */
int64_t tp_db_run(tp_registry *r, const char *key, tp_status *status);

/* A JSON text of the registry's own; NULL on error. */
json_t *tp_db_json(tp_registry *r, sqlite3_stmt *stmt, int column);
/* The value as the registry writes it: compact, reals with all digits; free with free(). */
char *tp_db_json_text(const json_t *value);

#endif
