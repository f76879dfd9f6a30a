/* A folder's events through libinotifytools, which is opened at run time (it is GPL-2; where it is absent the folder is
 * polled instead). The library keeps its state in globals and answers in a static buffer, so all calls must come from
 * one thread; names are copied out, never beyond `capacity`. */
#ifndef TK_INOTIFY_H
#define TK_INOTIFY_H

#include <stddef.h>
#include <stdint.h>

/* Bits of an event (inotify(7)) that a caller tells apart. */
enum {
    TK_EVENT_OVERFLOW = 1, /* events were lost */
    TK_EVENT_GONE = 2,     /* the folder was removed, renamed or unmounted */
};

/* Loads the library and makes it ready. 0, or -1: it is not there or has no instance left. Once a process. */
int tk_inotify_open(void);

/* Watches a folder for CLOSE_WRITE, MOVED_TO, CREATE, DELETE_SELF, MOVE_SELF and UNMOUNT. 0, or an errno. */
int tk_inotify_watch(const char *folder);

/* Lets go of it; one that is not watched is fine. */
void tk_inotify_unwatch(const char *folder);

/* Waits for the next event, at most that many seconds. 1: an event, its bits in *bits and its file's name, NUL-ended and
 * cut to the capacity, in *name; 0: none came; -1: the library failed. */
int tk_inotify_next(int seconds, uint32_t *bits, char *name, size_t capacity);

#endif
