#define _GNU_SOURCE
#include "CSyscalls.h"

#include <stdlib.h>
#include <dirent.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

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

static void schedule_whole(int policy, int nice) {
    DIR *tasks = opendir("/proc/self/task");
    if (!tasks) return;
    const struct sched_param none = {0};
    for (struct dirent *entry; (entry = readdir(tasks));) {
        const int thread = atoi(entry->d_name);
        if (thread <= 0) continue;
        sched_setscheduler(thread, policy, &none);
        if (nice) setpriority(PRIO_PROCESS, (id_t)thread, nice);
    }
    closedir(tasks);
}

void tk_give_way_whole(void) {
    schedule_whole(SCHED_IDLE, 0);
    syscall(SYS_ioprio_set, 1, 0, 2 << 13 | 7);
}

void tk_insist_whole(void) { schedule_whole(SCHED_OTHER, 10); }

void tk_trim(void) { malloc_trim(0); }

int tk_cpu(void) { return sched_getcpu(); }

int tk_cpus(void) {
    cpu_set_t allowed;
    return sched_getaffinity(0, sizeof allowed, &allowed) == 0 ? CPU_COUNT(&allowed) : 1;
}

void tk_leave(const int *cpus, int count) {
    cpu_set_t allowed, others;
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) return;
    others = allowed;
    for (int i = 0; i < count; i++) {
        if (cpus[i] >= 0 && cpus[i] < CPU_SETSIZE) CPU_CLR(cpus[i], &others);
    }
    if (CPU_COUNT(&others) == 0) return;
    /* The first call moves the thread at once, the second lets the scheduler have its way again. */
    if (sched_setaffinity(0, sizeof others, &others) == 0) sched_setaffinity(0, sizeof allowed, &allowed);
}

void tk_hold_core(int index) {
    cpu_set_t allowed, one;
    if (sched_getaffinity(getpid(), sizeof allowed, &allowed) != 0) return;
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, &allowed) || index-- > 0) continue;
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        sched_setaffinity(0, sizeof one, &one);
        return;
    }
}

void tk_free_core(void) {
    cpu_set_t allowed;
    if (sched_getaffinity(getpid(), sizeof allowed, &allowed) == 0) sched_setaffinity(0, sizeof allowed, &allowed);
}
