/* System calls that Swift cannot make itself: variadic, or hidden by the C library's headers. Each returns what the
 * call returns and leaves errno as it is. */
#ifndef TK_SYSCALLS_H
#define TK_SYSCALLS_H

/* Two names of one file system change what they stand for, in one step (renameat2(2), RENAME_EXCHANGE). */
int tk_exchange(const char *path, const char *other);

/* The calling thread gives way to everything else: all signals blocked, nice 15 (on Linux a thread's own), idle class
 * of I/O (ioprio_set(2)). */
void tk_give_way(void);

/* Freed memory goes back to the system (malloc_trim(3)). */
void tk_trim(void);

#endif
