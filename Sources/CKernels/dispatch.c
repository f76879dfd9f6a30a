/* Which table a machine can use. */
#include "tables.h"

#if defined(__x86_64__)
/* __builtin_cpu_supports knows what the system saves, too: a kernel without AVX-512 state says no. */
static int has_avx2(void) {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
}

static int has_avx512(void) {
    return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512vnni");
}
#endif

const tk_kernels *tk_kernels_for(tk_isa isa) {
    switch (isa) {
    case TK_ISA_SCALAR: return &tk_reference;
#if defined(__x86_64__)
    case TK_ISA_AVX2: return has_avx2() ? &tk_avx2 : 0;
    case TK_ISA_AVXVNNI: return has_avx2() && __builtin_cpu_supports("avxvnni") ? &tk_avxvnni : 0;
    case TK_ISA_AVX512VNNI: return has_avx512() ? &tk_avx512 : 0;
#endif
    default: return 0;
    }
}

int64_t tk_linear_scratch(int64_t k) {
    (void)k;
    return TK_PANEL * TK_BLOCK;
}

int64_t tk_attend_scratch(int64_t nk, int64_t head) {
    (void)head;
    return TK_QUERIES * ((nk + 15) / 16 * 16);
}
