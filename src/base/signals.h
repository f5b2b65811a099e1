/* Signal handlers that may be called at any instant. */
#ifndef TP_BASE_SIGNALS_H
#define TP_BASE_SIGNALS_H

/* Has `handler` called for that signal, system calls going on behind it; `once`: the next one does what it does by
 * default. The handler has a stack of its own: oneDNN's generated code lets the stack pointer stand in a buffer on the
 * heap while it multiplies, and what the kernel would put there for a handler overwrites the heap. For the main thread,
 * which signals to the process go to, and for processes forked by it. */
void tp_on_signal(int number, void (*handler)(int number), int once);

#endif
