/* The compute kernels: the exact (fp32) path, and the fast one (8 bits, packed.h).
 *
 * C here gets pointers and sizes, owns no memory, allocates nothing, does no I/O and reports no errors: sizes are the
 * caller's to check. Every function is pure in its arguments and may run on any number of threads at once.
 *
 * Shapes: m rows of activations, n outputs and k inputs of a dense layer, h hidden size; [a][b] is row-major. Strides
 * (ld…) and lengths count elements, not bytes. Any size from 0 up is allowed unless a function says otherwise.
 *
 * Alignment: float and int32 arrays as usual for their type (64 bytes is fastest); anything passed as `const void *`
 * is stored tensor data and may lie at any address.
 *
 * What a row becomes depends on that row alone: results are bit-identical whatever the other rows are, however many
 * there are, and however columns are split among threads. They differ in the last bits between instruction sets.
 *
 * NaN in means NaN out. Nothing changes the rounding mode or flushes subnormals. */
#ifndef TIANKONG_CKERNELS_H
#define TIANKONG_CKERNELS_H

#include <stdint.h>

#define TK_API __attribute__((visibility("default")))

typedef enum { TK_F32 = 0, TK_F16 = 1, TK_BF16 = 2 } tk_dtype;

typedef enum {
    TK_IDENTITY = 0,
    TK_GELU = 1,      /* x · Φ(x), with the error function, as in the paper's code */
    TK_GELU_TANH = 2, /* the approximation by tanh, known as gelu_new */
    TK_RELU = 3
} tk_activation;

/* Weakest first. */
typedef enum { TK_ISA_SCALAR = 0, TK_ISA_AVX2 = 1, TK_ISA_AVXVNNI = 2, TK_ISA_AVX512VNNI = 3 } tk_isa;

/* One dense layer: y = activation(x · wᵀ + bias) + residual. */
typedef struct {
    const float *x; /* [m][k]; must not overlap y */
    int64_t ldx;
    const void *w; /* [n][k] as stored in the file */
    tk_dtype dtype;
    int64_t ldw;
    const float *bias;     /* [n], or NULL */
    const float *residual; /* [m][n], or NULL; must not overlap y */
    int64_t ldr;
    float *y; /* [m][n] */
    int64_t ldy;
    int64_t m, n, k;
    tk_activation activation;
} tk_linear;

/* ---- eight bits ----
 *
 * Weights: a packed matrix is blocks [tiles][groups], a tile being 48 outputs and a group 64 inputs, the last of each
 * filled up with zeros. A block is 3 264 bytes, 51 cache lines:
 *
 *        0  uint16[48]        scales: the upper halves of floats (bfloat16), rounded up
 *       96  int16[48]         minus the sum of the output's codes
 *      192  int8[16][48][4]   codes, −127…127: step, output, input within the step
 *
 * weight ≈ code · scale. A matrix of several planes has them one after the other; the second holds what the first has
 * left over, and so on; the weight is their sum.
 *
 * Activations: each group of 64 inputs of a row has a scale; code = round(x / scale) + zero, 0…255, zero = 1 << shift.
 * Shift 7 is for values on both sides of 0, shift 5 for those of an activation (GELU is never below −0.17). Codes of
 * inputs that fill up the last group are `zero`. How codes lie in memory is the instruction set's own (code_width).
 *
 * Where both have two parts, the product of the second ones is left out: it is beyond fp32's own rounding.
 *
 * A dot product of a group is an exact integer on every instruction set; groups are added in their order as fp32. */
enum { TK_TILE = 48, TK_GROUP = 64, TK_BLOCK_BYTES = 3264, TK_SYMMETRIC = 7, TK_ONE_SIDED = 5, TK_FUSED_COLUMNS = 192 };

/* Quantised rows: [m][depth][groups · 64] codes and [m][depth][groups] scales. With a depth of 2 the second codes are
 * what the first leave over: sixteen bits. */
typedef struct {
    void *codes;
    float *scales;
    int64_t groups;
    int64_t depth; /* 1 or 2 */
    int shift;
} tk_codes;

/* One dense layer over a packed matrix: y = activation(x · wᵀ + bias + residual). */
typedef struct {
    tk_codes x;
    const void *w; /* packed, at any address (a multiple of 64 is fastest) */
    int64_t planes;
    const float *bias;     /* [n], or NULL */
    const float *residual; /* [m][n], or NULL; must not overlap y */
    int64_t ldr;
    float *y; /* [m][n]; NULL where `quantised` is wanted instead */
    int64_t ldy;
    int64_t m, n;
    tk_activation activation;
    const tk_codes *quantised; /* y as codes, or NULL; then columns are split at multiples of 192 */
} tk_packed;

typedef struct tk_kernels {
    tk_isa isa;
    const char *name; /* "scalar", "avx2", "avxvnni", "avx512vnni" */

    /* Columns n0..<n1 of the layer only; other columns of y are neither read nor written.
     * scratch: tk_linear_scratch(k) floats, of this thread alone. Splits at multiples of 48 are fastest. */
    void (*linear)(const tk_linear *job, int64_t n0, int64_t n1, float *scratch);

    /* y[row] = (x[row] − mean) / √(variance + epsilon) · gamma + beta; variance divides by width. x, y: [rows][width]
     * without gaps, gamma, beta: [width]. y may be x. */
    void (*layer_norm)(
        float *y, const float *x, const float *gamma, const float *beta, float epsilon, int64_t rows, int64_t width);

    /* y[i] = words[ids[i]] + type0 + positions[first + i], for i in 0..<count; LayerNorm comes after. y: [count][h],
     * words: [vocabulary][h], positions: [positions][h], type0: [h]; every id and first + i must be within its table. */
    void (*embed)(
        float *y, const void *words, tk_dtype dtype, const int32_t *ids, const float *positions, const float *type0,
        int64_t first, int64_t count, int64_t h);

    /* One sequence, one head: out = softmax(q · kᵀ · scale) · v. q, out: [nq][head], k, v: [nk][head], nk ≥ 1; out must
     * not overlap the others. scratch: tk_attend_scratch(nk, head) floats, of this thread alone. */
    void (*attend)(
        const float *q, int64_t ldq, const float *k, int64_t ldk, const float *v, int64_t ldv, float *out, int64_t ldo,
        int64_t nq, int64_t nk, int64_t head, float scale, float *scratch);

    /* log Σ exp(x[i] · inverse_temperature), without overflow on the way; n ≥ 1. */
    float (*log_sum_exp)(const float *x, int64_t n, float inverse_temperature);

    /* −Σ p ln p in nats, where ln p[i] = x[i] · inverse_temperature − log_sum, the sum that log_sum_exp gives; n ≥ 1. */
    float (*entropy)(const float *x, int64_t n, float inverse_temperature, float log_sum);

    /* y[i] = x[i] as float, exactly. */
    void (*widen)(float *y, const void *x, tk_dtype dtype, int64_t n);

    /* The `count` largest: value descending, equal values by lower index first. NaN and −∞ are never among them. Returns how
     * many were written (fewer than count where there are not so many). n < 2³¹. index, value: [count]. */
    int64_t (*top)(const float *x, int64_t n, int64_t count, int32_t *index, float *value);

    /* Bytes of an activation's code. */
    int64_t code_width;

    /* Rows of x[rows][columns], ldx apart, into groups g0.. of codes, beginning at its row `row`. */
    void (*quantise)(const tk_codes *codes, int64_t row, int64_t rows, int64_t g0, const float *x, int64_t ldx,
                     int64_t columns);

    /* Columns n0..<n1 of the layer only; other columns of y are neither read nor written.
     * scratch: tk_packed_scratch(m) floats, of this thread alone. Splits at multiples of 48 are fastest. */
    void (*packed)(const tk_packed *job, int64_t n0, int64_t n1, float *scratch);

    /* Tiles t0..<t1 of w[n][k] into `to` (which begins with tile 0), tk_packed_bytes(n, k) bytes a plane. The same bytes
     * on every instruction set. scratch: tk_pack_scratch(k) floats. */
    void (*pack)(void *to, const void *w, tk_dtype dtype, int64_t n, int64_t k, int64_t planes, int64_t t0, int64_t t1,
                 float *scratch);

    /* What this core can do at best, for who times them: each does `rounds` rounds of independent operations in
     * registers and returns how many operations that were (a multiply-add is two): fp32, and the eight-bit dot product
     * that `packed` is made of. */
    int64_t (*multiply_adds)(int64_t rounds);
    int64_t (*dots)(int64_t rounds);

    /* Σ x[i] · w[i]: one output for one row. */
    float (*dot)(const float *x, const void *w, tk_dtype dtype, int64_t k);
} tk_kernels;

/* Constant and valid for ever, or NULL where this build or this machine lacks it. avx2 and avxvnni differ in
 * `packed` alone; avx512vnni asks for AVX-512 F, BW, DQ, VL and VNNI. */
TK_API const tk_kernels *tk_kernels_for(tk_isa isa);

/* In floats; enough for every instruction set, and for every smaller k, nk or head. */
TK_API int64_t tk_linear_scratch(int64_t k);
TK_API int64_t tk_attend_scratch(int64_t nk, int64_t head);
TK_API int64_t tk_packed_scratch(int64_t m);
TK_API int64_t tk_pack_scratch(int64_t k);

/* Bytes of one plane of a packed matrix; a multiple of 64. */
TK_API int64_t tk_packed_bytes(int64_t n, int64_t k);

/* Reads memory, for who times it; returns `bytes` less what does not fill a stretch of 256. */
TK_API int64_t tk_read(const void *memory, int64_t bytes);

/* Tells the core that this thread waits in a loop. */
static inline void tk_pause(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb" ::: "memory");
#endif
}

#endif
