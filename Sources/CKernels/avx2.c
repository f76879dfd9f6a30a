/* AVX2, FMA, F16C: 8 floats a vector, 16 registers. What every office PC of the last ten years has. */
#if defined(__x86_64__)
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)
#include <immintrin.h>

#define LANES 8
#define ROWS 3
#define COLUMNS 4 /* 3 × 4 sums, 3 activations and 1 weight: 16 registers */
#define TABLE tk_avx2
#define TABLE_ISA TK_ISA_AVX2
#define TABLE_NAME "avx2"
typedef __m256 vf;
typedef __m256i vi;

static inline vf from_half(const void *p) { return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p)); }
static inline vf from_bfloat(const void *p) {
    return (vf)_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)p)), 16);
}
static inline vf fused(vf a, vf b, vf c) { return _mm256_fmadd_ps(a, b, c); }
static inline vf most_of(vf a, vf b) { return _mm256_max_ps(a, b); }
static inline vf least_of(vf a, vf b) { return _mm256_min_ps(a, b); }
static inline vf rounded(vf a) { return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
static inline vi to_integers(vf a) { return _mm256_cvtps_epi32(a); }
static inline vi part_mask(int64_t n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
static inline vf load_part(const float *p, int64_t n) { return _mm256_maskload_ps(p, part_mask(n)); }
static inline void store_part(float *p, vf a, int64_t n) { _mm256_maskstore_ps(p, part_mask(n), a); }
/* Four lanes that add up to all: the order of every sum over k ends the same way. */
static inline __m128 folded(vf a) { return _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1)); }

#include "vector_body.h"

const tk_kernels tk_avxvnni = {
    TK_ISA_AVXVNNI, "avxvnni", linear, layer_norm, embed, attend, log_sum_exp, widen, tk_top,
};
#pragma clang attribute pop
#else
typedef int tk_no_avx2;
#endif
