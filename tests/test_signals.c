/* base/signals: a handler never runs on the stack that it interrupts, and what was interrupted goes on. */
#include "check.h"

#include "base/signals.h"

#include <signal.h>
#include <stdint.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FAR = 4096 }; /* more than a small handler and the call to it take of a stack */

static volatile sig_atomic_t n_calls, on_own_stack;
static volatile uintptr_t frame;

static void note(int number) {
    (void)number;
    stack_t now;
    n_calls++;
    frame = (uintptr_t)__builtin_frame_address(0);
    on_own_stack = sigaltstack(NULL, &now) == 0 && (now.ss_flags & SS_ONSTACK) != 0;
}

static bool is_far(void) {
    uintptr_t mine = (uintptr_t)__builtin_frame_address(0);
    return (mine > frame ? mine - frame : frame - mine) > FAR;
}

/* Raised straight from here: on a shared stack the two frames would be neighbours. A matrix product whose generated
 * code keeps the stack pointer in its scratch lost that scratch to such a frame. */
static void a_handler_has_a_stack_of_its_own(void **state) {
    (void)state;
    n_calls = 0;
    tp_on_signal(SIGTERM, note, false);
    raise(SIGTERM);
    assert_int_equal(n_calls, 1);
    assert_true(on_own_stack);
    assert_true(is_far());
    raise(SIGTERM); /* the second call starts on it again */
    assert_int_equal(n_calls, 2);
    assert_true(on_own_stack);
    signal(SIGTERM, SIG_DFL);
}

static void two_handlers_share_it(void **state) {
    (void)state;
    n_calls = 0;
    tp_on_signal(SIGINT, note, true);
    tp_on_signal(SIGTERM, note, true);
    raise(SIGINT);
    assert_true(on_own_stack);
    raise(SIGTERM);
    assert_true(on_own_stack);
    assert_int_equal(n_calls, 2);
}

static void once_is_once(void **state) {
    (void)state;
    n_calls = 0;
    tp_on_signal(SIGINT, note, true);
    raise(SIGINT);
    struct sigaction left;
    assert_int_equal(sigaction(SIGINT, NULL, &left), 0);
    assert_true(left.sa_handler == SIG_DFL); /* a second Ctrl-C kills */
    assert_int_equal(n_calls, 1);
}

/* A worker's handler is its parent's, and so is the stack that it needs. */
static void a_child_has_it_too(void **state) {
    (void)state;
    tp_on_signal(SIGTERM, note, false);
    pid_t child = fork();
    if (child == 0) {
        n_calls = 0;
        raise(SIGTERM);
        _exit(n_calls == 1 && on_own_stack && is_far() ? 0 : 1);
    }
    signal(SIGTERM, SIG_DFL);
    int how;
    assert_int_equal(waitpid(child, &how, 0), child);
    assert_true(WIFEXITED(how) && WEXITSTATUS(how) == 0);
}

/* Reading waits through a signal: the child sends one while its parent reads, and the byte only afterwards. */
static void system_calls_go_on(void **state) {
    (void)state;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    n_calls = 0;
    tp_on_signal(SIGTERM, note, false);
    pid_t child = fork();
    if (child == 0) {
        signal(SIGTERM, SIG_DFL);
        usleep(50000); /* the parent reads by now; if not, the test only proves less */
        kill(getppid(), SIGTERM);
        usleep(50000);
        _exit(write(ends[1], "x", 1) == 1 ? 0 : 1);
    }
    char byte = 0;
    ssize_t got = read(ends[0], &byte, 1);
    signal(SIGTERM, SIG_DFL);
    assert_int_equal(got, 1);
    assert_int_equal(byte, 'x');
    assert_int_equal(n_calls, 1);
    assert_int_equal(waitpid(child, NULL, 0), child);
    close(ends[0]);
    close(ends[1]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_handler_has_a_stack_of_its_own),
        cmocka_unit_test(two_handlers_share_it),
        cmocka_unit_test(once_is_once),
        cmocka_unit_test(a_child_has_it_too),
        cmocka_unit_test(system_calls_go_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
