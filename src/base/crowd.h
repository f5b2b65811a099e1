/* How many threads it pays to compute with while other programs want the processors too.
 *
 * OpenMP regions end when their last thread does. If one of two threads shares its core with another program, every
 * region may wait a time slice for it, and a model that has dozens of regions per token runs many times slower than on
 * one thread. So between steps this looks at how long the process's threads stood in the scheduler's queue
 * (/proc/self/task/N/schedstat, Linux); if that is much, the next steps use fewer threads, and all of them are tried
 * again after a while. Only steps whose numbers do not depend on the number of threads are treated so: the rest, such
 * as reading a prompt through a library's matrix product, keeps all threads, and results do not depend on what else the
 * machine does. */
#ifndef TP_BASE_CROWD_H
#define TP_BASE_CROWD_H

#include <stdbool.h>

/* Watches the regions that this thread starts from now on. It changes the thread's OpenMP setting
 * (omp_set_num_threads), which is the program's to decide and not the library's: nothing happens without this call. */
void tp_crowd_watch(bool on);

/* To be called before each step of work: cheap, and does nothing unless this thread is watched. A step that is not
 * `indifferent` to the number of threads gets all of them. */
void tp_crowd_adapt(bool indifferent);

/* The rule behind it, without a clock or a file: the threads to go on with, when `now` of at most `most` threads were
 * used for `seconds` and stood in the queue for `waited` seconds in all. */
int tp_crowd_threads(int now, int most, double waited, double seconds);

#endif
