/* Files inside the binary, so that the one file runs alone: the default model, the page and the API's description.
 * Every buffer is constant and lives as long as the process. */
#ifndef TIANKONG_CRESOURCES_H
#define TIANKONG_CRESOURCES_H

#include <stddef.h>

typedef struct {
    const char *name; /* a path within the binary, e.g. "page/index.html" */
    const unsigned char *bytes;
    size_t count;
} tk_resource;

/* The resource of that index, or one whose name is NULL after the last. */
__attribute__((visibility("default"))) tk_resource tk_resource_at(size_t index);

#endif
