/* AVX-512 F, BW, DQ, VL: 16 floats a vector, 32 registers. */
#if defined(__x86_64__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,fma,f16c"))), apply_to = function)
#include <immintrin.h>

#define LANES 16
#define ROWS 4
#define COLUMNS 6 /* 4 × 6 sums, 6 weights and 1 activation: 31 registers */
#define TABLE tk_avx512
#define TABLE_ISA TK_ISA_AVX512VNNI
#define TABLE_NAME "avx512vnni"
typedef __m512 vf;
typedef __m512i vi;

static inline vf from_half(const void *p) { return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p)); }
static inline vf from_bfloat(const void *p) {
    return (vf)_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)p)), 16);
}
static inline vf fused(vf a, vf b, vf c) { return _mm512_fmadd_ps(a, b, c); }
static inline vf most_of(vf a, vf b) { return _mm512_max_ps(a, b); }
static inline vf least_of(vf a, vf b) { return _mm512_min_ps(a, b); }
static inline vf rounded(vf a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
static inline vi to_integers(vf a) { return _mm512_cvtps_epi32(a); }
static inline vf load_part(const float *p, int64_t n) { return _mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p); }
static inline void store_part(float *p, vf a, int64_t n) { _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), a); }
/* Four lanes that add up to all: the order of every sum over k ends the same way. */
static inline __m128 folded(vf a) {
    const __m256 half = _mm256_add_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
    return _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
}

#include "vector_body.h"
#pragma clang attribute pop
#else
typedef int tk_no_avx512;
#endif
