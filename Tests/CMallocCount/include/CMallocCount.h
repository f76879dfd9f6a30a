/* Counts what the computing threads allocate: malloc and its family as glibc lets a program replace them. */
#ifndef CMALLOCCOUNT_H
#define CMALLOCCOUNT_H

/* Allocations made so far by threads named "tiankong-math". */
long tk_malloc_count(void);

#endif
