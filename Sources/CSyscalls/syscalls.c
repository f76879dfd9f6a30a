#define _GNU_SOURCE
#include "CSyscalls.h"

#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

int tk_exchange(const char *path, const char *other) {
    return (int)syscall(SYS_renameat2, AT_FDCWD, path, AT_FDCWD, other, RENAME_EXCHANGE);
}

void tk_give_way(void) {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    const struct sched_param none = {0};
    pthread_setschedparam(pthread_self(), SCHED_IDLE, &none);
    syscall(SYS_ioprio_set, 1 /* a thread */, 0 /* this one */, 2 << 13 | 7 /* best effort, the last */);
}

void tk_insist(void) {
    const struct sched_param none = {0};
    pthread_setschedparam(pthread_self(), SCHED_OTHER, &none);
    setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), 5);
}

void tk_trim(void) { malloc_trim(0); }
