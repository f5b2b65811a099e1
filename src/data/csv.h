/* Delimited records, read as a stream (RFC 4180 for CSV).
 *
 * One record at a time, in memory bounded by the longest record. A field may be quoted: inside quotes the delimiter and
 * line feeds are text and a doubled quote stands for one. Records end in LF or CR LF; a byte-order mark in front of the
 * file and blank lines are skipped. Bytes are kept as they are, whatever the encoding.
 * Tab-separated files have no quoting (IANA text/tab-separated-values; GLUE's files depend on it). */
#ifndef TP_DATA_CSV_H
#define TP_DATA_CSV_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>

typedef struct tp_csv tp_csv;

/* NULL on error. The file may be gzipped. `quotes`: whether a field may be quoted. */
tp_csv *tp_csv_open(const char *path, char delimiter, bool quotes);
/* Reads the next record; false at the end or on error (see tp_csv_status). */
bool tp_csv_next(tp_csv *csv);
size_t tp_csv_n_fields(const tp_csv *csv);
/* Field i of the record, zero-terminated; valid until the next record. */
const char *tp_csv_field(const tp_csv *csv, size_t i, size_t *len);
size_t tp_csv_line(const tp_csv *csv); /* the line the record begins on, from 1 */
tp_status tp_csv_status(const tp_csv *csv);
/* Forgets an error in one record, so that reading can go on at the next line; false if the file cannot be read. */
bool tp_csv_recover(tp_csv *csv);
void tp_csv_close(tp_csv *csv); /* takes NULL */

#endif
