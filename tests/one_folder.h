/* One temporary folder for a whole test program: made before its first test, removed behind its last.
 *
 *     return cmocka_run_group_tests(tests, make_dir, remove_dir);
 *
 * Included behind check.h. */
#ifndef TESTS_ONE_FOLDER_H
#define TESTS_ONE_FOLDER_H

static char *dir;

static inline int make_dir(void **state) {
    (void)state;
    dir = check_temp_dir();
    return 0;
}

static inline int remove_dir(void **state) {
    (void)state;
    check_remove_dir(dir);
    return 0;
}

#endif
