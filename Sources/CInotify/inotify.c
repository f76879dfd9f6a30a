#define _GNU_SOURCE
#include "CInotify.h"

#include <dlfcn.h>
#include <errno.h>
#include <inotifytools/inotify.h>
#include <inotifytools/inotifytools.h>
#include <string.h>

/* The header's own types, so that a library of another shape fails to compile, not to run. */
static __typeof__(&inotifytools_initialize) initialize;
static __typeof__(&inotifytools_watch_file) watch_file;
static __typeof__(&inotifytools_remove_watch_by_filename) remove_watch;
static __typeof__(&inotifytools_next_event) next_event;
static __typeof__(&inotifytools_error) last_error;

static const int events = IN_CLOSE_WRITE | IN_MOVED_TO | IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_DELETE_SELF
                          | IN_MOVE_SELF | IN_UNMOUNT;

int tk_inotify_open(void) {
    if (initialize) return 0;
    void *library = dlopen("libinotifytools.so.0", RTLD_NOW | RTLD_LOCAL);
    if (!library) return -1;
    watch_file = (__typeof__(watch_file))dlsym(library, "inotifytools_watch_file");
    remove_watch = (__typeof__(remove_watch))dlsym(library, "inotifytools_remove_watch_by_filename");
    next_event = (__typeof__(next_event))dlsym(library, "inotifytools_next_event");
    last_error = (__typeof__(last_error))dlsym(library, "inotifytools_error");
    __typeof__(initialize) found = (__typeof__(initialize))dlsym(library, "inotifytools_initialize");
    if (!found || !watch_file || !remove_watch || !next_event || !last_error || !found()) {
        dlclose(library);
        return -1;
    }
    initialize = found;
    return 0;
}

int tk_inotify_watch(const char *folder) {
    if (watch_file(folder, events)) return 0;
    const int code = last_error();
    return code ? code : EIO;
}

void tk_inotify_unwatch(const char *folder) { remove_watch(folder); }

int tk_inotify_next(int seconds, uint32_t *bits, char *name, size_t capacity) {
    struct inotify_event *event = next_event(seconds);
    *bits = 0;
    if (capacity > 0) name[0] = 0;
    /* Null is a timeout and an error alike; the error says which. */
    if (!event) return last_error() ? -1 : 0;
    if (event->mask & IN_Q_OVERFLOW) *bits |= TK_EVENT_OVERFLOW;
    if (event->mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT | IN_IGNORED)) *bits |= TK_EVENT_GONE;
    /* `len` counts the padding as well; the name within is NUL-ended. */
    if (event->len > 0 && capacity > 0) {
        const size_t length = strnlen(event->name, event->len);
        const size_t kept = length < capacity - 1 ? length : capacity - 1;
        memcpy(name, event->name, kept);
        name[kept] = 0;
    }
    return 1;
}
