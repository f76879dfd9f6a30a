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
    return 2 * TK_PANEL * TK_BLOCK;
}

int64_t tk_attend_scratch(int64_t nk, int64_t head) {
    const int64_t keys = (nk + 15) / 16 * 16, width = (head + 15) / 16 * 16;
    return head * keys + nk * width + TK_QUERIES * keys;
}

int64_t tk_packed_bytes(int64_t n, int64_t k) {
    return (n + TK_TILE - 1) / TK_TILE * ((k + TK_GROUP - 1) / TK_GROUP) * TK_BLOCK_BYTES;
}

int64_t tk_packed_scratch(int64_t m) { return m * TK_FUSED_COLUMNS + TK_SPREAD * TK_GROUP * TK_TILE / 2; }

int64_t tk_pack_scratch(int64_t k) { return TK_TILE * ((k + TK_GROUP - 1) / TK_GROUP * TK_GROUP); }

int64_t tk_read(const void *memory, int64_t bytes) {
    typedef uint64_t wide __attribute__((vector_size(64), aligned(1)));
    const char *p = memory;
    wide a = {0}, b = {0}, c = {0}, d = {0};
    int64_t i = 0;
    for (; i + 256 <= bytes; i += 256) {
        a ^= *(const wide *)(p + i);
        b ^= *(const wide *)(p + i + 64);
        c ^= *(const wide *)(p + i + 128);
        d ^= *(const wide *)(p + i + 192);
    }
    volatile uint64_t kept = (a ^ b ^ c ^ d)[0];
    (void)kept;
    return i;
}
