/* Undoing the quirks of the official AG News files, the same way for train and test.
 *
 * The files come from HTML that was cut to pieces on its way: a backslash stands where a line was broken, `\$` is a
 * dollar sign, entities lost their ampersand (` #39;`, `quot;`, `#151;`) or kept it (`&lt;b&gt;`), and some texts hold
 * whole tags. Done here, in this order: `\$` to `$`, other backslashes to a blank; entities to their characters
 * (UTF-8); tags removed; runs of blanks to one; the blank before a cut-off `'s` (and its kind) or closing quote
 * removed. */
#ifndef TP_DATA_CLEAN_H
#define TP_DATA_CLEAN_H

#include "base/str.h"

#include <stddef.h>

/* Puts the cleaned text into `out` (cleared first). */
void tp_clean_ag_news(const char *text, size_t n, tp_str *out);

#endif
