/* Fewer threads while the processors are crowded. See crowd.h. */
#include "base/crowd.h"

#include "base/clock.h"

#include <dirent.h>
#include <math.h>
#include <omp.h>
#include <stdio.h>

/* Long enough for scheduling to show, short enough to lose little; and how long fewer threads are kept before all are
 * tried again, which doubles each time that it was in vain. Seconds. */
static const double look_every = 0.05, first_pause = 0.5, longest_pause = 16;

typedef struct {
    bool on;
    int most;      /* threads to begin with */
    int fewer;     /* threads until `retry` */
    double since;  /* when it last looked */
    double waited; /* seconds in the queue until then */
    double retry;  /* when all threads are tried again */
    double pause;
} crowd;

static _Thread_local crowd mine;

/* Seconds that the threads of this process have stood in the queue, ready and not running; 0 where nothing says so. */
static double seconds_waited(void) {
    double total = 0;
    DIR *tasks = opendir("/proc/self/task");
    for (struct dirent *e; tasks && (e = readdir(tasks));) {
        char path[64];
        long long ran, waited;
        if (e->d_name[0] == '.' || snprintf(path, sizeof path, "/proc/self/task/%.20s/schedstat", e->d_name) < 0)
            continue;
        FILE *file = fopen(path, "r");
        if (file == NULL) continue;
        if (fscanf(file, "%lld %lld", &ran, &waited) == 2) total += (double)waited * 1e-9;
        fclose(file);
    }
    if (tasks) closedir(tasks);
    return total;
}

int tp_crowd_threads(int now, int most, double waited, double seconds) {
    double missing = seconds > 0 ? waited / seconds : 0; /* threads that were ready and did not run, on average */
    if (missing < 0.2) return now;
    int fewer = now - (int)ceil(missing);
    return fewer < 1 ? 1 : fewer > most ? most : fewer;
}

void tp_crowd_watch(bool on) {
    mine = (crowd){.on = on && omp_get_max_threads() > 1, .most = omp_get_max_threads(), .pause = first_pause};
    if (mine.on) mine.since = tp_now(), mine.waited = seconds_waited();
}

void tp_crowd_adapt(bool indifferent) {
    if (!mine.on) return;
    double time = tp_now();
    if (!indifferent) {
        omp_set_num_threads(mine.most);
        mine.since = time, mine.waited = seconds_waited();
        return;
    }
    int now = omp_get_max_threads();
    if (now == mine.most && time < mine.retry) omp_set_num_threads(now = mine.fewer); /* after such a step */
    if (now < mine.most && time >= mine.retry) {
        omp_set_num_threads(mine.most);
        mine.since = time, mine.waited = seconds_waited();
        return;
    }
    if (now == 1 || time - mine.since < look_every) return;
    double waited = seconds_waited();
    int threads = tp_crowd_threads(now, mine.most, waited - mine.waited, time - mine.since);
    if (threads < now) {
        omp_set_num_threads(mine.fewer = threads);
        mine.retry = time + mine.pause;
        mine.pause = fmin(2 * mine.pause, longest_pause);
    } else if (now == mine.most) {
        mine.pause = first_pause;
    }
    mine.since = time, mine.waited = waited;
}
