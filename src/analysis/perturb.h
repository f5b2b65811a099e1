/* How answers fare when texts are altered: any methods of the evaluation, asked about the same test rows as they are
 * and altered in each way and strength (alter.h). */
#ifndef TP_ANALYSIS_PERTURB_H
#define TP_ANALYSIS_PERTURB_H

#include "base/json.h"
#include "eval/method.h"

/* The document of `telepathy perturb` (docs/analysis.md). Each method runs once, on all alterations of all test rows
 * together, so that what it learns it learns once. Of the evaluation `task`, `relay` and `seed` are used. NULL on
 * error; free with json_decref. */
json_t *tp_perturb(tp_eval *eval, const tp_method *const *methods, size_t n_methods);

/* The same for people. The caller frees it. */
char *tp_perturb_text(const json_t *document);

#endif
