/* Lines of a text file as people have them: a byte-order mark in front, LF or CR LF behind, gzipped or not.
 *
 * Every reader of labelled text stands on this. Bytes are kept as they are, whatever the encoding, but for what cannot
 * be read line by line at all: UTF-16 and binary files are refused with the line and the reason. */
#ifndef TP_DATA_TEXT_LINES_H
#define TP_DATA_TEXT_LINES_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>

typedef struct tp_text_lines tp_text_lines;

tp_text_lines *tp_text_lines_open(const char *path); /* NULL on error */
/* The next line without its end; *cr (may be NULL) says whether a CR stood there. The bytes may be changed and last
 * until the next line. False at the end or on error. */
bool tp_text_lines_next(tp_text_lines *lines, char **line, size_t *len, bool *cr);
size_t tp_text_lines_number(const tp_text_lines *lines); /* of the line read last, from 1 */
tp_status tp_text_lines_status(const tp_text_lines *lines);
/* Forgets an error in one line, so that reading can go on behind it; false if the file itself cannot be read. */
bool tp_text_lines_recover(tp_text_lines *lines);
void tp_text_lines_close(tp_text_lines *lines); /* takes NULL */

/* Moves the ends of a text inwards over blanks. */
void tp_trim(const char **text, size_t *n);

#endif
