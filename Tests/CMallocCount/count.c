#define _GNU_SOURCE
#include "CMallocCount.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);

static atomic_long allocations;

/* Names are set by a thread itself before it does anything else, so the first answer stays true. */
static void count(void) {
    static __thread signed char counted;
    if (counted == 0) {
        char name[16] = "";
        counted = pthread_getname_np(pthread_self(), name, sizeof name) == 0 && strcmp(name, "tiankong-math") == 0 ? 1 : -1;
    }
    if (counted > 0) atomic_fetch_add_explicit(&allocations, 1, memory_order_relaxed);
}

long tk_malloc_count(void) { return atomic_load(&allocations); }

void *malloc(size_t size) { count(); return __libc_malloc(size); }
void *calloc(size_t items, size_t size) { count(); return __libc_calloc(items, size); }
void *realloc(void *old, size_t size) { count(); return __libc_realloc(old, size); }
void *memalign(size_t alignment, size_t size) { count(); return __libc_memalign(alignment, size); }
void *aligned_alloc(size_t alignment, size_t size) { count(); return __libc_memalign(alignment, size); }
int posix_memalign(void **result, size_t alignment, size_t size) {
    count();
    *result = __libc_memalign(alignment, size);
    return *result ? 0 : 12;
}
