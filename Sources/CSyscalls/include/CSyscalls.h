/* System calls that Swift cannot make itself: variadic, or hidden by the C library's headers. Each returns what the
 * call returns and leaves errno as it is. */
#ifndef TK_SYSCALLS_H
#define TK_SYSCALLS_H

/* The calling thread gives way to everything else: all signals blocked, scheduled only where nobody else wants to run
 * and preempted at once (SCHED_IDLE, sched(7)), last in line for the disk (ioprio_set(2)). */
void tk_give_way(void);

/* It has given way long enough: an ordinary thread again, at nice 5. */
void tk_insist(void);

/* The same for a whole process, threads that it starts later included. */
void tk_give_way_whole(void);
void tk_insist_whole(void);

/* The core that the calling thread runs on; how many it may run on (sched_getaffinity(2)). */
int tk_cpu(void);
int tk_cpus(void);

/* The calling thread moves to another core than these, if it may use one; where it goes later is the scheduler's again. */
void tk_leave(const int *cpus, int count);

/* The calling thread stays on the index-th core that the process may use; and may use all of them again. */
void tk_hold_core(int index);
void tk_free_core(void);

/* Freed memory goes back to the system (malloc_trim(3)). */
void tk_trim(void);

#endif
