/* Keeping a model's weights in memory. */
#ifndef TP_LM_LOCK_H
#define TP_LM_LOCK_H

#include "lm/model.h"

/* Reads every weight and forbids the system to put any out of memory again (mlock), until the model is freed. An error
 * that says what is allowed, if that is less than the weights need. */
tp_status tp_lm_lock(tp_lm *lm);

#endif
