/* AVX-512 F, BW, DQ, VL: 16 floats a vector, 32 registers. */
#if defined(__x86_64__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,fma,f16c"))), apply_to = function)
#include <immintrin.h>
#include <stdint.h>

#define LANES 16
#define TALL 8 /* 8 × 3 sums, 3 weights and 1 activation: 28 registers */
#define WIDE 3
#define QUERIES 8 /* 8 × 3 sums, 3 keys and 1 query: 28 registers */
#define SCORES 3
#define MIXERS 4 /* 4 × 4 sums, 4 values and 1 weight */
#define MIXED 4
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

static inline float largest(vf a) { return _mm512_reduce_max_ps(a); }
static inline vi most_signed(vi a, vi b) { return _mm512_max_epi32(a, b); }
static inline vi most_unsigned(vi a, vi b) { return _mm512_max_epu32(a, b); }
static inline int32_t total_most_signed(vi a) { return _mm512_reduce_max_epi32(a); }

/* Sixteen codes, as bytes. */
static inline void store_codes(char *to, const vf *x, float inverse, int shift, int wide) {
    (void)wide;
    vi code = _mm512_add_epi32(_mm512_cvtps_epi32(*x * inverse), _mm512_set1_epi32(1 << shift));
    code = _mm512_max_epi32(code, _mm512_setzero_si512());
    _mm_storeu_si128((__m128i *)to, _mm512_cvtusepi32_epi8(code)); /* above 255: 255 */
}

/* Four inputs from i on of sixteen rows: of rows[0], rows[4], rows[8], rows[12]. */
static inline vf gathered(const float *const *rows, int64_t i) {
    __m512 v = _mm512_castps128_ps512(_mm_loadu_ps(rows[0] + i));
    v = _mm512_insertf32x4(v, _mm_loadu_ps(rows[4] + i), 1);
    v = _mm512_insertf32x4(v, _mm_loadu_ps(rows[8] + i), 2);
    return _mm512_insertf32x4(v, _mm_loadu_ps(rows[12] + i), 3);
}
/* 4 × 4 within each quarter. */
static inline void turn_four(vf *v) {
    const __m512d a = (__m512d)_mm512_unpacklo_ps(v[0], v[1]), b = (__m512d)_mm512_unpackhi_ps(v[0], v[1]);
    const __m512d c = (__m512d)_mm512_unpacklo_ps(v[2], v[3]), d = (__m512d)_mm512_unpackhi_ps(v[2], v[3]);
    v[0] = (vf)_mm512_unpacklo_pd(a, c);
    v[1] = (vf)_mm512_unpackhi_pd(a, c);
    v[2] = (vf)_mm512_unpacklo_pd(b, d);
    v[3] = (vf)_mm512_unpackhi_pd(b, d);
}

/* Sixteen vectors become their columns. */
static inline void turn_square(vf *v) {
    vf w[16];
    for (int i = 0; i < 16; i++) w[i] = v[i];
    for (int i = 0; i < 16; i += 4) turn_four(w + i);
    /* Quarter q of w[4·r + i] is now column 4·q + i of rows 4·r to 4·r + 3. */
    for (int i = 0; i < 4; i++) {
        const vf a = _mm512_shuffle_f32x4(w[i], w[4 + i], 0x88), b = _mm512_shuffle_f32x4(w[i], w[4 + i], 0xDD);
        const vf c = _mm512_shuffle_f32x4(w[8 + i], w[12 + i], 0x88), d = _mm512_shuffle_f32x4(w[8 + i], w[12 + i], 0xDD);
        v[i] = _mm512_shuffle_f32x4(a, c, 0x88);
        v[4 + i] = _mm512_shuffle_f32x4(b, d, 0x88);
        v[8 + i] = _mm512_shuffle_f32x4(a, c, 0xDD);
        v[12 + i] = _mm512_shuffle_f32x4(b, d, 0xDD);
    }
}

#include "vector_body.h"
#define TILE_ROWS 8
#include "vector_packed.h"

/* Eight rows × 48 outputs: 24 integer sums, 3 weights and 1 activation are 28 registers; the float sums are in L1, and
 * in registers where four rows or fewer leave room. */
ALWAYS void multiply(const stretch *s, const int rows, const int lines) {
    vf sum[TILE_ROWS][3];
    float kept[TILE_ROWS][TK_TILE] __attribute__((aligned(64)));
    const int fits = rows <= 4;
    for (int r = 0; r < rows; r++)
        for (int c = 0; c < 3; c++) {
            sum[r][c] = s->from ? load(s->from + r * s->ldfrom + 16 * c) : (vf){0};
            if (s->bias) sum[r][c] += load(s->bias + 16 * c);
            if (!fits) store(kept[r] + 16 * c, sum[r][c]);
        }
    const __m128i shift = _mm_cvtsi32_si128(s->shift);
    for (int64_t g = 0; g < s->groups; g++) {
        const char *block = s->w + g * TK_BLOCK_BYTES, *codes = s->codes + g * TK_GROUP;
        vi dot[TILE_ROWS][3];
        for (int c = 0; c < 3; c++) {
            const vi minus = _mm512_cvtepi16_epi32(_mm256_loadu_si256((const __m256i *)(block + 96 + 32 * c)));
            for (int r = 0; r < rows; r++) dot[r][c] = _mm512_sll_epi32(minus, shift);
        }
#pragma clang loop unroll(full)
        for (int step = 0; step < TK_GROUP / 4; step++) {
            vi w[3];
            fetch(s->ahead + g * TK_BLOCK_BYTES, step, lines);
            for (int c = 0; c < 3; c++) w[c] = _mm512_loadu_si512(block + 192 + step * 192 + 64 * c);
            for (int r = 0; r < rows; r++) {
                int32_t four;
                memcpy(&four, codes + r * s->ldcodes + 4 * step, 4);
                const vi x = _mm512_set1_epi32(four);
                for (int c = 0; c < 3; c++) dot[r][c] = _mm512_dpbusd_epi32(dot[r][c], x, w[c]);
            }
        }
        for (int c = 0; c < 3; c++) {
            const vf scale = from_bfloat(block + 32 * c);
            for (int r = 0; r < rows; r++) {
                const vf before = fits ? sum[r][c] : load(kept[r] + 16 * c);
                const vf after = fused(_mm512_cvtepi32_ps(dot[r][c]), scale * s->scales[r * s->ldscales + g], before);
                if (fits) sum[r][c] = after;
                else store(kept[r] + 16 * c, after);
            }
        }
    }
    for (int r = 0; r < rows; r++)
        for (int c = 0; c < 3; c++)
            store(s->sums + r * s->ldsums + 16 * c, fits ? sum[r][c] : load(kept[r] + 16 * c));
}

MULTIPLIERS_TO_8_ROWS(multiply, multiply, )

static void quantise_rows(const tk_codes *to, int64_t row, int64_t rows, int64_t g0, const float *x, int64_t ldx,
                          int64_t columns) {
    quantise(to, row, rows, g0, x, ldx, columns, 0);
}

static void packed(const tk_packed *job, int64_t n0, int64_t n1, float *scratch) {
    packed_layer(job, n0, n1, scratch, (means){multiply_by, 0, 0, 1});
}

static int64_t dots(int64_t rounds) {
    vi sums[12], x = _mm512_set1_epi32(0x01020304), w = _mm512_set1_epi32(0x01FF01FF);
    for (int i = 0; i < 12; i++) sums[i] = _mm512_set1_epi32(i);
    for (int64_t n = 0; n < rounds; n++)
        for (int i = 0; i < 12; i++) {
            sums[i] = _mm512_dpbusd_epi32(sums[i], x, w);
            KEEP(sums[i]);
        }
    return rounds * 12 * 64 * 2;
}

const tk_kernels tk_avx512 = {
    TK_ISA_AVX512VNNI, "avx512vnni", linear,        layer_norm, embed, attend, log_sum_exp, entropy, widen, tk_top,
    1,                 quantise_rows, packed, pack,       multiply_adds, dots,          dot,
};
#pragma clang attribute pop
#else
typedef int tk_no_avx512;
#endif
