/* Keeping a model's weights in memory. See lock.h. */
#include "lm/lock.h"

#include "base/dtype.h"

#include <errno.h>
#include <math.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

typedef struct locking {
    size_t locked; /* bytes so far */
    const tp_lm *lm;
} locking;

static tp_status lock_weight(void *context, tp_weight *w, const char *name, int64_t rows, int64_t cols) {
    locking *l = context;
    size_t bytes;
    if (!tp_weight_present(w) || !tp_dtype_bytes(w->dtype, rows * cols, &bytes)) return TP_OK;
    if (mlock(w->data, bytes) == 0) { /* whole pages; those that weights share are locked once */
        l->locked += bytes;
        return TP_OK;
    }
    struct rlimit limit = {0};
    getrlimit(RLIMIT_MEMLOCK, &limit);
    return tp_fail(TP_ERR_MEMORY,
                   "cannot lock the weights of %s in memory: %s at %s, after %.1f MB; the limit is %.1f MB (ulimit -l)",
                   l->lm->path ? l->lm->path : "a new model", strerror(errno), name, (double)l->locked / 1e6,
                   limit.rlim_cur == RLIM_INFINITY ? INFINITY : (double)limit.rlim_cur / 1e6);
}

tp_status tp_lm_lock(tp_lm *lm) {
    locking l = {.lm = lm};
    return tp_lm_visit(lm, lock_weight, &l);
}
