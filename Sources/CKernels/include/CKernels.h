/* The compute kernels of the exact (fp32) path.
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

    /* y[i] = x[i] as float, exactly. */
    void (*widen)(float *y, const void *x, tk_dtype dtype, int64_t n);

    /* The `count` largest: value descending, equal values by lower index first. NaN and −∞ are never among them. Returns how
     * many were written (fewer than count where there are not so many). n < 2³¹. index, value: [count]. */
    int64_t (*top)(const float *x, int64_t n, int64_t count, int32_t *index, float *value);
} tk_kernels;

/* Constant and valid for ever, or NULL where this build or this machine lacks it. avx2 and avxvnni share all of the
 * above (they will differ in integers); avx512vnni asks for AVX-512 F, BW, DQ, VL and VNNI. */
TK_API const tk_kernels *tk_kernels_for(tk_isa isa);

/* In floats; enough for every instruction set, and for every smaller k, nk or head. */
TK_API int64_t tk_linear_scratch(int64_t k);
TK_API int64_t tk_attend_scratch(int64_t nk, int64_t head);

/* Tells the core that this thread waits in a loop. */
static inline void tk_pause(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb" ::: "memory");
#endif
}

#endif
