/* How long a suite will take, by the jobs whose times are known. See suite_parts.h. */
#include "eval/suite_parts.h"

#include <math.h>

/* Of an evaluation, whatever the number of its rows: opponents that learn, reports. Counted as so many rows. */
enum { ROWS_OF_AN_EVALUATION = 1000 };

static const double LEAST_SHARE = 0.02; /* of a training, that tells its pace */

/* What a job costs, up to a factor that depends on the machine. */
static double units_of(const tp_suite_place *p, bool training) {
    const tp_recipe *r = p->recipe;
    if (!training) return (double)p->task->test.n + ROWS_OF_AN_EVALUATION;
    return (double)(r->optimiser.steps * r->optimiser.batch * r->optimiser.accumulate) * (r->bridge.soft_tokens + 16);
}

static bool leads(const tp_suite_plan *plan, size_t i) {
    return plan->suite->cells[i].leader == i;
}

/* The seconds of a whole training or evaluation: its own if known, or else by the mean over those that are known, of
 * the same task or else of any; an evaluation's by those of leaders or of followers. */
static double whole(const tp_suite_plan *plan, size_t i, bool training) {
    double own = training ? plan->known[i].train_seconds : plan->known[i].evaluate_seconds, sum[2] = {0}, n[2] = {0};
    if (isfinite(own)) return own;
    for (size_t k = 0; k < plan->n; k++) {
        double seconds = training ? plan->known[k].train_seconds : plan->known[k].evaluate_seconds;
        if (!isfinite(seconds) || (!training && leads(plan, k) != leads(plan, i))) continue;
        bool same = plan->places[k].task == plan->places[i].task;
        sum[same] += seconds / units_of(&plan->places[k], training);
        n[same]++;
    }
    double rate = n[1] > 0 ? sum[1] / n[1] : n[0] > 0 ? sum[0] / n[0] : NAN;
    return rate * units_of(&plan->places[i], training);
}

void tp_suite_estimate(tp_suite_plan *plan) {
    for (size_t i = 0; i < plan->n; i++) {
        tp_suite_place *p = &plan->places[i];
        p->train_seconds = p->state < TP_PLACE_TRAINED ? whole(plan, i, true) : 0;
        p->evaluate_seconds = p->state < TP_PLACE_DONE ? whole(plan, i, false) : 0;
    }
}

/* The part of a training that was made since its job began. */
static double made(const tp_suite_running *job) {
    return job->share - job->first_share;
}

/* What is left of a job that takes `seconds` in all: of a training by its own pace once there is one. An evaluation is
 * many unlike pieces of work, whose share says little: by its time, which may turn out longer than was thought. */
static double rest_of(const tp_suite_running *job, double seconds) {
    if (!job->training) return fmax(seconds - job->seconds, 0.1 * seconds);
    return (made(job) > LEAST_SHARE ? job->seconds / made(job) : seconds) * (1 - job->share);
}

double tp_suite_left(const tp_suite_plan *plan, const tp_suite_running *jobs, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < plan->n; i++) {
        const tp_suite_place *p = &plan->places[i];
        double left[2] = {p->evaluate_seconds, p->train_seconds};
        if (p->state >= TP_PLACE_DONE) continue;
        /* before the first evaluation: a leader asks every method, a follower those that depend on the run */
        if (!isfinite(left[0])) left[0] = whole(plan, i, true) * (leads(plan, i) ? 1 : 0.5);
        for (size_t k = 0; k < n; k++)
            if (jobs[k].place == i) left[jobs[k].training] = rest_of(&jobs[k], left[jobs[k].training]);
        sum += left[0] + left[1];
    }
    return sum;
}

void tp_suite_learn(tp_suite_plan *plan, const tp_suite_running *job, bool ended) {
    tp_known_times *known = &plan->known[job->place];
    if (job->training && made(job) > LEAST_SHARE) known->train_seconds = job->seconds / made(job);
    if (!job->training && ended && job->from_nothing) known->evaluate_seconds = job->seconds;
    tp_suite_estimate(plan);
}
