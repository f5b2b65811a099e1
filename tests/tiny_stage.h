/* The stage of a test program that trains on the tiny pair: made before its first test, removed after its last. */
#ifndef TP_TESTS_TINY_STAGE_H
#define TP_TESTS_TINY_STAGE_H

#include "tiny_training.h"

static tiny_stage stage;

static inline int set_up(void **state) {
    (void)state;
    stage = tiny_stage_make();
    return 0;
}

static inline int tear_down(void **state) {
    (void)state;
    tiny_stage_free(&stage);
    return 0;
}

#endif
