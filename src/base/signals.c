/* Handlers on a stack of their own. See signals.h. */
#include "base/signals.h"

#include <signal.h>
#include <stddef.h>

void tp_on_signal(int number, void (*handler)(int number), int once) {
    static char own[1 << 16]; /* the registers alone take up to 11 KiB of it (AMX) */
    stack_t stack = {.ss_sp = own, .ss_size = sizeof own};
    sigaltstack(&stack, NULL); /* fails while a handler runs on it, when it is set already */
    struct sigaction action = {.sa_handler = handler,
                               .sa_flags = (int)(SA_ONSTACK | SA_RESTART | (once ? SA_RESETHAND : 0))};
    sigaction(number, &action, NULL);
}
