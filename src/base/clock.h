/* Time, for progress and measurement only: nothing that is computed depends on it. */
#ifndef TP_BASE_CLOCK_H
#define TP_BASE_CLOCK_H

double tp_now(void); /* seconds on the monotonic clock */

#endif
