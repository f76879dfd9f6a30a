/* AVX2, FMA, F16C: 8 floats a vector, 16 registers. What every office PC of the last ten years has. */
#if defined(__x86_64__)
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)
#include <immintrin.h>
#include <stdint.h>

#define LANES 8
#define TALL 6 /* 6 × 2 sums, 2 weights and 1 activation: 15 registers */
#define WIDE 2
#define QUERIES 6 /* 6 × 2 sums, 2 keys and 1 query: 15 registers */
#define SCORES 2
#define MIXERS 6 /* 6 × 2 sums, 2 values and 1 weight */
#define MIXED 2
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

static inline float largest(vf a) {
    __m128 m = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    m = _mm_max_ps(m, _mm_movehl_ps(m, m));
    return _mm_cvtss_f32(_mm_max_ss(m, _mm_movehdup_ps(m)));
}
static inline vi most_signed(vi a, vi b) { return _mm256_max_epi32(a, b); }
static inline vi most_unsigned(vi a, vi b) { return _mm256_max_epu32(a, b); }
static inline int32_t total_most_signed(vi a) {
    __m128i m = _mm_max_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
    m = _mm_max_epi32(m, _mm_shuffle_epi32(m, 0x4E));
    return _mm_cvtsi128_si32(_mm_max_epi32(m, _mm_shuffle_epi32(m, 0xB1)));
}

/* Sixteen codes: as bytes, or wide, as 16 bits and without their zero. */
static inline void store_codes(char *to, const vf *x, float inverse, int shift, int wide) {
    const vi least = _mm256_set1_epi32(-(1 << shift)), most = _mm256_set1_epi32(255 - (1 << shift));
    vi a = _mm256_cvtps_epi32(x[0] * inverse), b = _mm256_cvtps_epi32(x[1] * inverse);
    a = _mm256_min_epi32(_mm256_max_epi32(a, least), most);
    b = _mm256_min_epi32(_mm256_max_epi32(b, least), most);
    vi words = _mm256_permute4x64_epi64(_mm256_packs_epi32(a, b), 0xD8);
    if (wide) return _mm256_storeu_si256((vi *)to, words);
    words = _mm256_add_epi16(words, _mm256_set1_epi16((short)(1 << shift)));
    _mm_storeu_si128((__m128i *)to, _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1)));
}

/* Four inputs from i on of eight rows: of rows[0] and rows[4]. */
static inline vf gathered(const float *const *rows, int64_t i) {
    return _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(rows[0] + i)), _mm_loadu_ps(rows[4] + i), 1);
}
/* 4 × 4 within each half. */
static inline void turn_four(vf *v) {
    const __m256d a = (__m256d)_mm256_unpacklo_ps(v[0], v[1]), b = (__m256d)_mm256_unpackhi_ps(v[0], v[1]);
    const __m256d c = (__m256d)_mm256_unpacklo_ps(v[2], v[3]), d = (__m256d)_mm256_unpackhi_ps(v[2], v[3]);
    v[0] = (vf)_mm256_unpacklo_pd(a, c);
    v[1] = (vf)_mm256_unpackhi_pd(a, c);
    v[2] = (vf)_mm256_unpacklo_pd(b, d);
    v[3] = (vf)_mm256_unpackhi_pd(b, d);
}

/* Eight vectors become their columns. */
static inline void turn_square(vf *v) {
    turn_four(v);
    turn_four(v + 4);
    /* Half h of v[4·r + i] is now column 4·h + i of rows 4·r to 4·r + 3. */
    for (int i = 0; i < 4; i++) {
        const vf low = v[i], high = v[4 + i];
        v[i] = _mm256_permute2f128_ps(low, high, 0x20);
        v[4 + i] = _mm256_permute2f128_ps(low, high, 0x31);
    }
}

#include "vector_body.h"
#define TILE_ROWS 4
#include "vector_packed.h"

/* Where the sums of `count` outputs begin. */
ALWAYS void begin(float *sums, const stretch *s, int64_t column, const int rows, const int count) {
    for (int r = 0; r < rows; r++)
        for (int c = 0; c < count; c += 8) {
            vf sum = s->from ? load(s->from + r * s->ldfrom + column + c) : (vf){0};
            if (s->bias) sum += load(s->bias + column + c);
            store(sums + r * count + c, sum);
        }
}

ALWAYS void scaled(float *sum, vi dot, vf scale, float row_scale) {
    store(sum, fused(_mm256_cvtepi32_ps(dot), scale * row_scale, load(sum)));
}

/* ---- without a dot product of bytes ----
 *
 * Products of bytes are added in pairs by vpmaddubsw, which saturates at 16 bits: 255 · 127 · 2 does not fit. So weights
 * are widened to 16 bits, activations are kept so, and vpmaddwd adds pairs into 32 bits, exactly. Eight outputs at a
 * time: 8 sums of half an output's step each, 4 activations, a weight and a product: 14 registers. */
ALWAYS void multiply_avx2(const stretch *s, const int rows, const int lines) {
    for (int64_t column = 0; column < TK_TILE; column += 8) {
        float sums[TILE_ROWS * 8];
        begin(sums, s, column, rows, 8);
        for (int64_t g = 0; g < s->groups; g++) {
            const char *block = s->w + g * TK_BLOCK_BYTES, *codes = s->codes + g * TK_GROUP * 2;
            vi dot[TILE_ROWS][2];
            for (int r = 0; r < rows; r++) dot[r][0] = dot[r][1] = _mm256_setzero_si256();
#pragma clang loop unroll_count(4)
            for (int step = 0; step < TK_GROUP / 4; step++) {
                if (column == 0) fetch(s->ahead + g * TK_BLOCK_BYTES, step, lines);
                const char *at = block + 192 + step * 192 + 4 * column;
                const vi w0 = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)at));
                const vi w1 = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(at + 16)));
                for (int r = 0; r < rows; r++) {
                    long long four;
                    memcpy(&four, codes + r * s->ldcodes + 8 * step, 8);
                    const vi x = _mm256_set1_epi64x(four);
                    dot[r][0] = _mm256_add_epi32(dot[r][0], _mm256_madd_epi16(w0, x));
                    dot[r][1] = _mm256_add_epi32(dot[r][1], _mm256_madd_epi16(w1, x));
                }
            }
            const vf scale = from_bfloat(block + 2 * column);
            for (int r = 0; r < rows; r++) {
                const vi whole = _mm256_permute4x64_epi64(_mm256_hadd_epi32(dot[r][0], dot[r][1]), 0xD8);
                scaled(sums + r * 8, whole, scale, s->scales[r * s->ldscales + g]);
            }
        }
        for (int r = 0; r < rows; r++) store(s->sums + r * s->ldsums + column, load(sums + r * 8));
    }
}

MULTIPLIERS(multiply_avx2, multiply_avx2, )

/* Where a stretch serves many rows it is spread out once: a group is int16[32][48][2], a pair of inputs of every output.
 * Then a product of pairs is a lane of its output. */
static void spread_out(char *to, const char *w, int64_t groups) {
    /* Of four outputs of four codes each: the first two of each, then the last two. */
    const vi halves = _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15));
    for (int64_t g = 0; g < groups; g++, w += TK_BLOCK_BYTES)
        for (int step = 0; step < TK_GROUP / 4; step++, to += 8 * TK_TILE)
            for (int n = 0; n < TK_TILE; n += 8) {
                const vi codes = _mm256_loadu_si256((const vi *)(w + 4 * TK_TILE + (step * TK_TILE + n) * 4));
                const vi pairs = _mm256_permute4x64_epi64(_mm256_shuffle_epi8(codes, halves), 0xD8);
                _mm256_storeu_si256((vi *)(to + 4 * n), _mm256_cvtepi8_epi16(_mm256_castsi256_si128(pairs)));
                _mm256_storeu_si256((vi *)(to + 4 * (TK_TILE + n)), _mm256_cvtepi8_epi16(_mm256_extracti128_si256(pairs, 1)));
            }
}

/* A third of a tile at a time: 8 integer sums, 2 weights, an activation and a product. */
ALWAYS void multiply_spread(const stretch *s, const int rows, const int lines) {
    for (int64_t column = 0; column < TK_TILE; column += 16) {
        float sums[TILE_ROWS * 16];
        begin(sums, s, column, rows, 16);
        for (int64_t g = 0; g < s->groups; g++) {
            const char *block = s->w + g * TK_BLOCK_BYTES, *codes = s->codes + g * TK_GROUP * 2;
            const char *spread = s->spread + (g * TK_GROUP / 2 * TK_TILE + column) * 4;
            vi dot[TILE_ROWS][2];
            for (int r = 0; r < rows; r++)
                for (int c = 0; c < 2; c++) dot[r][c] = _mm256_setzero_si256();
#pragma clang loop unroll(disable)
            for (int pair = 0; pair < TK_GROUP / 2; pair++) {
                vi w[2];
                if (column == 0 && pair % 2 == 0) fetch(s->ahead + g * TK_BLOCK_BYTES, pair / 2, lines);
                for (int c = 0; c < 2; c++) w[c] = _mm256_loadu_si256((const vi *)(spread + pair * TK_TILE * 4 + 32 * c));
                for (int r = 0; r < rows; r++) {
                    int32_t two;
                    memcpy(&two, codes + r * s->ldcodes + 4 * pair, 4);
                    const vi x = _mm256_set1_epi32(two);
                    for (int c = 0; c < 2; c++) dot[r][c] = _mm256_add_epi32(dot[r][c], _mm256_madd_epi16(w[c], x));
                }
            }
            for (int c = 0; c < 2; c++) {
                const vf scale = from_bfloat(block + 2 * column + 16 * c);
                for (int r = 0; r < rows; r++)
                    scaled(sums + r * 16 + 8 * c, dot[r][c], scale, s->scales[r * s->ldscales + g]);
            }
        }
        for (int r = 0; r < rows; r++)
            for (int c = 0; c < 16; c += 8) store(s->sums + r * s->ldsums + column + c, load(sums + r * 16 + c));
    }
}

MULTIPLIERS(multiply_spread, multiply_spread, )

static void quantise_wide(const tk_codes *to, int64_t row, int64_t rows, int64_t g0, const float *x, int64_t ldx,
                          int64_t columns) {
    quantise(to, row, rows, g0, x, ldx, columns, 1);
}

static void packed_avx2(const tk_packed *job, int64_t n0, int64_t n1, float *scratch) {
    packed_layer(job, n0, n1, scratch, (means){multiply_avx2_by, multiply_spread_by, spread_out, 2});
}

static int64_t dots_avx2(int64_t rounds) {
    vi sums[8], x = _mm256_set1_epi32(0x00010002), w = _mm256_set1_epi32(0x0001FFFF);
    for (int i = 0; i < 8; i++) sums[i] = _mm256_set1_epi32(i);
    for (int64_t n = 0; n < rounds; n++)
        for (int i = 0; i < 8; i++) {
            vi product = x;
            KEEP(product); /* or it is computed once */
            sums[i] = _mm256_add_epi32(sums[i], _mm256_madd_epi16(product, w));
            KEEP(sums[i]);
        }
    return rounds * 8 * 16 * 2;
}

const tk_kernels tk_avx2 = {
    TK_ISA_AVX2, "avx2",        linear,      layer_norm, embed,         attend,    log_sum_exp, entropy, widen, tk_top,
    2,           quantise_wide, packed_avx2, pack,       multiply_adds, dots_avx2,     dot,
};

/* ---- AVX-VNNI: the dot product of AVX-512 VNNI in vectors of half the length ----
 *
 * Half a tile at a time: 12 integer sums, 3 weights and 1 activation are all 16 registers; float sums are in L1. */
#define VNNI __attribute__((target("avx2,fma,f16c,avxvnni")))

static inline __attribute__((always_inline)) VNNI void multiply_vnni(const stretch *s, const int rows, const int lines) {
    for (int64_t column = 0; column < TK_TILE; column += 24) {
        float sums[TILE_ROWS * 24];
        begin(sums, s, column, rows, 24);
        for (int64_t g = 0; g < s->groups; g++) {
            const char *block = s->w + g * TK_BLOCK_BYTES, *codes = s->codes + g * TK_GROUP;
            vi dot[TILE_ROWS][3];
            for (int c = 0; c < 3; c++) {
                vi minus = _mm256_cvtepi16_epi32(_mm_loadu_si128((const __m128i *)(block + 96 + 2 * column + 16 * c)));
                minus = _mm256_sll_epi32(minus, _mm_cvtsi32_si128(s->shift));
                for (int r = 0; r < rows; r++) dot[r][c] = minus;
            }
#pragma clang loop unroll(full)
            for (int step = 0; step < TK_GROUP / 4; step++) {
                vi w[3];
                if (column == 0) fetch(s->ahead + g * TK_BLOCK_BYTES, step, lines);
                for (int c = 0; c < 3; c++)
                    w[c] = _mm256_loadu_si256((const vi *)(block + 192 + step * 192 + 4 * column + 32 * c));
                for (int r = 0; r < rows; r++) {
                    int32_t four;
                    memcpy(&four, codes + r * s->ldcodes + 4 * step, 4);
                    const vi x = _mm256_set1_epi32(four);
                    for (int c = 0; c < 3; c++) dot[r][c] = _mm256_dpbusd_avx_epi32(dot[r][c], x, w[c]);
                }
            }
            for (int c = 0; c < 3; c++) {
                const vf scale = from_bfloat(block + 2 * column + 16 * c);
                for (int r = 0; r < rows; r++)
                    scaled(sums + r * 24 + 8 * c, dot[r][c], scale, s->scales[r * s->ldscales + g]);
            }
        }
        for (int r = 0; r < rows; r++)
            for (int c = 0; c < 24; c += 8) store(s->sums + r * s->ldsums + column + c, load(sums + r * 24 + c));
    }
}

MULTIPLIERS(multiply_vnni, multiply_vnni, VNNI)

static void quantise_narrow(const tk_codes *to, int64_t row, int64_t rows, int64_t g0, const float *x, int64_t ldx,
                            int64_t columns) {
    quantise(to, row, rows, g0, x, ldx, columns, 0);
}

static void packed_vnni(const tk_packed *job, int64_t n0, int64_t n1, float *scratch) {
    packed_layer(job, n0, n1, scratch, (means){multiply_vnni_by, 0, 0, 1});
}

static VNNI int64_t dots_vnni(int64_t rounds) {
    vi sums[12], x = _mm256_set1_epi32(0x01020304), w = _mm256_set1_epi32(0x01FF01FF);
    for (int i = 0; i < 12; i++) sums[i] = _mm256_set1_epi32(i);
    for (int64_t n = 0; n < rounds; n++)
        for (int i = 0; i < 12; i++) {
            sums[i] = _mm256_dpbusd_avx_epi32(sums[i], x, w);
            KEEP(sums[i]);
        }
    return rounds * 12 * 32 * 2;
}

const tk_kernels tk_avxvnni = {
    TK_ISA_AVXVNNI, "avxvnni",       linear,      layer_norm, embed,         attend,    log_sum_exp, entropy, widen, tk_top,
    1,              quantise_narrow, packed_vnni, pack,       multiply_adds, dots_vnni,     dot,
};
#pragma clang attribute pop
#else
typedef int tk_no_avx2;
#endif
