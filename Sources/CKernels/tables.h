/* What dispatch.c chooses from, and what all instruction sets share. */
#ifndef TIANKONG_TABLES_H
#define TIANKONG_TABLES_H

#include "CKernels.h"

extern const tk_kernels tk_reference;
#if defined(__x86_64__)
extern const tk_kernels tk_avx2, tk_avxvnni, tk_avx512;
#endif

/* Inputs of a layer that are summed before the sum goes to memory: a panel of 48 outputs by so many fills three quarters
 * of a 48 KiB L1. Part of a value's definition: another block is another rounding. */
enum { TK_BLOCK = 768, TK_PANEL = 48, TK_QUERIES = 8 };

/* Groups of a packed matrix that are spread out at a time, where an instruction set does that. */
enum { TK_SPREAD = 6 };

static inline int64_t tk_width(tk_dtype dtype) { return dtype == TK_F32 ? 4 : 2; }

int64_t tk_top(const float *x, int64_t n, int64_t count, int32_t *index, float *value);

#endif
