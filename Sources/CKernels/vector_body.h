/* The kernels over vectors of LANES floats; avx2.c and avx512.c each include this once and say what a vector is.
 */
#include <math.h>
#include <string.h>

#include "tables.h"

#define ALWAYS static inline __attribute__((always_inline))

ALWAYS vf load(const float *p) {
    vf v;
    memcpy(&v, p, sizeof v);
    return v;
}
ALWAYS void store(float *p, vf v) { memcpy(p, &v, sizeof v); }
ALWAYS vf all(float x) { return x - (vf){0}; }

#include "vector_math.h"

/* ---- widening ---- */

static void widen(float *y, const void *x, tk_dtype dtype, int64_t n) {
    const char *p = x;
    if (dtype == TK_F32) {
        memcpy(y, x, (size_t)n * 4);
        return;
    }
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) store(y + i, dtype == TK_F16 ? from_half(p + 2 * i) : from_bfloat(p + 2 * i));
    if (i < n) {
        char rest[LANES * 2] = {0};
        memcpy(rest, p + 2 * i, (size_t)(n - i) * 2);
        store_part(y + i, dtype == TK_F16 ? from_half(rest) : from_bfloat(rest), n - i);
    }
}

#include "packed.h"

/* ---- dense layers ----
 *
 * A panel of WIDE vectors of outputs at a time, TK_BLOCK inputs at a time: their weights, which are stored with k
 * innermost, are turned round into L1, so that a sum is a lane; then all rows pass over them, TALL at a time, and fetch
 * the weights that come next. Every sum has the same order whatever the rows and columns around it: k after k, block
 * after block. */

enum { PANEL = WIDE * LANES };

ALWAYS float total(vf sum) {
    const __m128 four = folded(sum);
    const __m128 two = _mm_hadd_ps(four, four);
    return _mm_cvtss_f32(_mm_hadd_ps(two, two));
}

/* A row of weights that is beyond the matrix. */
static const float nothing[TK_BLOCK] = {0};

/* to[k][PANEL] = the panel's weights. Sixteen inputs of four rows at a time: rows of a matrix lie so that their lines
 * share a set of L1, which many rows at once would throw each other out of. */
ALWAYS void turn(float *to, const float *const *rows, int64_t k, int64_t ahead) {
    for (int c = 0; c < WIDE; c++, rows += LANES) {
        int64_t i = 0;
        for (; i + 16 <= k; i += 16) {
            vf four[4][4];
            if (ahead)
                for (int r = 0; r < LANES; r++) __builtin_prefetch(rows[r] + ahead + i, 0, 2);
            for (int r = 0; r < 4; r++)
                for (int q = 0; q < 4; q++) four[q][r] = gathered(rows + r, i + 4 * q);
            for (int q = 0; q < 4; q++) {
                turn_four(four[q]);
                for (int r = 0; r < 4; r++) store(to + (i + 4 * q + r) * PANEL + c * LANES, four[q][r]);
            }
        }
        for (; i < k; i++)
            for (int n = 0; n < LANES; n++) to[i * PANEL + c * LANES + n] = rows[n][i];
    }
}

/* What is fetched while a panel is multiplied: TK_BLOCK inputs of `count` rows, `each` of them with every input, for a
 * core has only so many lines on their way at a time. */
typedef struct {
    const char *row;
    int64_t stride; /* bytes */
    int64_t count;
    int64_t each;
} coming;

/* y[rows][PANEL] = or += x · w; rows is a constant after inlining */
ALWAYS void tile(const float *x, int64_t ldx, const float *w, int64_t k, float *y, int64_t ldy, int64_t columns,
                 const int rows, int adds, const coming *next) {
    vf sum[TALL][WIDE];
    for (int r = 0; r < rows; r++)
        for (int c = 0; c < WIDE; c++)
            sum[r][c] = !adds ? (vf){0}
                        : columns == PANEL ? load(y + r * ldy + c * LANES)
                        : columns > c * LANES ? load_part(y + r * ldy + c * LANES, columns - c * LANES < LANES ? columns - c * LANES : LANES)
                                              : (vf){0};
    for (int64_t i = 0; i < k; i++) {
        /* sixteen inputs are a line of floats: the same line of all rows, then the next */
        const int64_t row = (i & 15) * next->each;
        for (int64_t l = row; l < row + next->each && l < next->count; l++)
            __builtin_prefetch(next->row + l * next->stride + (i >> 4) * 64, 0, 2);
        vf weights[WIDE];
        for (int c = 0; c < WIDE; c++) weights[c] = load(w + i * PANEL + c * LANES);
        for (int r = 0; r < rows; r++) {
            const vf activation = all(x[r * ldx + i]);
            for (int c = 0; c < WIDE; c++) sum[r][c] = fused(activation, weights[c], sum[r][c]);
        }
    }
    for (int r = 0; r < rows; r++)
        for (int c = 0; c < WIDE; c++) {
            if (columns == PANEL) store(y + r * ldy + c * LANES, sum[r][c]);
            else if (columns > c * LANES)
                store_part(y + r * ldy + c * LANES, sum[r][c], columns - c * LANES < LANES ? columns - c * LANES : LANES);
        }
}

#define TILE_OF(R) \
    static void tile_##R(const float *x, int64_t ldx, const float *w, int64_t k, float *y, int64_t ldy, int64_t columns, \
                         int adds, const coming *next) { \
        tile(x, ldx, w, k, y, ldy, columns, R, adds, next); \
    }
TILE_OF(1)
TILE_OF(2)
TILE_OF(3)
TILE_OF(4)
TILE_OF(5)
TILE_OF(6)
#if TALL == 8
TILE_OF(7)
TILE_OF(8)
#endif
static void (*const tile_by[])(const float *, int64_t, const float *, int64_t, float *, int64_t, int64_t, int,
                               const coming *) = {tile_1, tile_2, tile_3, tile_4, tile_5, tile_6,
#if TALL == 8
                                                  tile_7, tile_8
#endif
};

/* bias, activation and residual over the columns that are done, while they are in the cache */
static void finish(const tk_linear *job, int64_t n0, int64_t n1) {
    for (int64_t m = 0; m < job->m; m++) {
        float *y = job->y + m * job->ldy;
        for (int64_t n = n0; n < n1; n += LANES) {
            const int64_t count = n1 - n < LANES ? n1 - n : LANES;
            vf v = load_part(y + n, count);
            if (job->bias) v += load_part(job->bias + n, count);
            v = activated(v, job->activation);
            if (job->residual) v += load_part(job->residual + m * job->ldr + n, count);
            store_part(y + n, v, count);
        }
    }
}

/* The panel's rows of weights from k0 on, widened where they are not fp32 */
ALWAYS void panel_rows(const tk_linear *job, int64_t n, int64_t columns, int64_t k0, int64_t k, float *widened,
                       const float **rows) {
    const int64_t width = tk_width(job->dtype);
    for (int64_t c = 0; c < PANEL; c++) {
        const char *stored = (const char *)job->w + ((n + c) * job->ldw + k0) * width;
        if (c >= columns) {
            rows[c] = nothing;
        } else if (job->dtype == TK_F32) {
            rows[c] = (const float *)stored;
        } else {
            widen(widened + c * TK_BLOCK, stored, job->dtype, k);
            rows[c] = widened + c * TK_BLOCK;
        }
    }
}

/* The stretch behind this one: of the same panel, else the first of the next. Shared out among `blocks` of rows. */
ALWAYS coming coming_after(const tk_linear *job, int64_t n, int64_t n1, int64_t k0, int64_t block, int64_t blocks) {
    const int64_t width = tk_width(job->dtype), k = k0 + TK_BLOCK < job->k ? k0 + TK_BLOCK : 0, panel = k ? n : n + PANEL;
    const int64_t columns = n1 - panel < PANEL ? n1 - panel : PANEL, share = (PANEL + blocks - 1) / blocks;
    const int64_t first = block * share, count = columns - first < share ? columns - first : share;
    return (coming){(const char *)job->w + ((panel + first) * job->ldw + k) * width, job->ldw * width,
                    count > 0 ? count : 0, (share + 15) / 16};
}

static void linear(const tk_linear *job, int64_t n0, int64_t n1, float *scratch) {
    float *turned = scratch, *widened = scratch + TK_BLOCK * PANEL;
    const int64_t blocks = (job->m + TALL - 1) / TALL;
    for (int64_t n = n0; n < n1; n += PANEL) {
        const int64_t columns = n1 - n < PANEL ? n1 - n : PANEL;
        for (int64_t k0 = 0; k0 < job->k; k0 += TK_BLOCK) {
            const int64_t k = job->k - k0 < TK_BLOCK ? job->k - k0 : TK_BLOCK;
            const float *rows[PANEL];
            panel_rows(job, n, columns, k0, k, widened, rows);
            turn(turned, rows, k, job->dtype == TK_F32 ? LANES * job->ldw : 0);
            for (int64_t block = 0; block < blocks; block++) {
                const int64_t m = block * TALL, count = job->m - m < TALL ? job->m - m : TALL;
                const coming next = coming_after(job, n, n1, k0, block, blocks);
                tile_by[count - 1](job->x + m * job->ldx + k0, job->ldx, turned, k, job->y + m * job->ldy + n, job->ldy,
                                   columns, k0 > 0, &next);
            }
        }
    }
    finish(job, n0, n1);
}

static float dot(const float *x, const void *w, tk_dtype dtype, int64_t k) {
    vf sum = {0};
    const char *p = w;
    float part[64];
    for (int64_t i = 0; i < k; i += 64) {
        const int64_t count = k - i < 64 ? k - i : 64;
        widen(part, p + i * tk_width(dtype), dtype, count);
        int64_t j = 0;
        for (; j + LANES <= count; j += LANES) sum = fused(load(x + i + j), load(part + j), sum);
        if (j < count) sum = fused(load_part(x + i + j, count - j), load_part(part + j, count - j), sum);
    }
    return total(sum);
}

/* ---- rows ---- */

/* Σ (x[i] − from)ᵖ, p being 2 or 1, in four sums, for one would have to wait for itself. */
ALWAYS float powers(const float *x, int64_t h, float from, const int squared) {
    vf sums[4] = {{0}, {0}, {0}, {0}};
    int64_t i = 0;
    for (; i + 4 * LANES <= h; i += 4 * LANES)
        for (int c = 0; c < 4; c++) {
            const vf value = load(x + i + c * LANES) - from;
            sums[c] = squared ? fused(value, value, sums[c]) : sums[c] + value;
        }
    for (; i < h; i += LANES) {
        const int64_t count = h - i < LANES ? h - i : LANES;
        float rest[LANES] = {0}; /* lanes beyond the row count as `from` */
        for (int64_t j = 0; j < count; j++) rest[j] = x[i + j] - from;
        sums[0] = squared ? fused(load(rest), load(rest), sums[0]) : sums[0] + load(rest);
    }
    return total((sums[0] + sums[1]) + (sums[2] + sums[3]));
}

static void layer_norm(float *y, const float *x, const float *gamma, const float *beta, float epsilon, int64_t rows,
                       int64_t h) {
    for (int64_t row = 0; row < rows; row++, x += h, y += h) {
        const float mean = powers(x, h, 0, 0) / (float)h;
        const float scale = 1 / sqrtf(powers(x, h, mean, 1) / (float)h + epsilon);
        int64_t i = 0;
        for (; i + LANES <= h; i += LANES)
            store(y + i, fused((load(x + i) - mean) * scale, load(gamma + i), load(beta + i)));
        if (i < h) {
            const vf centred = (load_part(x + i, h - i) - mean) * scale;
            store_part(y + i, fused(centred, load_part(gamma + i, h - i), load_part(beta + i, h - i)), h - i);
        }
    }
}

static void embed(float *y, const void *words, tk_dtype dtype, const int32_t *ids, const float *positions,
                  const float *type0, int64_t first, int64_t count, int64_t h) {
    for (int64_t i = 0; i < count; i++, y += h) {
        widen(y, (const char *)words + ids[i] * h * tk_width(dtype), dtype, h);
        const float *position = positions + (first + i) * h;
        for (int64_t j = 0; j < h; j++) y[j] = y[j] + position[j] + type0[j];
    }
}

static float log_sum_exp(const float *x, int64_t n, float inverse_temperature) {
    vf most = all(-INFINITY);
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) most = most_of(most, load(x + i));
    float top = largest(most);
    for (int64_t j = i; j < n; j++) top = x[j] > top ? x[j] : top;
    vf sum = {0};
    for (i = 0; i + LANES <= n; i += LANES) sum += exponential_below((load(x + i) - top) * inverse_temperature);
    double rest = 0;
    for (; i < n; i++) rest += exp(((double)x[i] - top) * inverse_temperature);
    for (int lane = 0; lane < LANES; lane++) rest += sum[lane];
    return (float)((double)top * inverse_temperature + log(rest));
}

static float entropy(const float *x, int64_t n, float inverse_temperature, float log_sum) {
    vf sum = {0};
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        /* What rounding lifts above 0 is 0. */
        const vf log_p = least_of(load(x + i) * inverse_temperature - log_sum, (vf){0});
        sum = fused(exponential_below(log_p), log_p, sum);
    }
    double rest = 0;
    for (; i < n; i++) {
        const double log_p = (double)x[i] * inverse_temperature - log_sum;
        rest += exp(log_p) * log_p;
    }
    for (int lane = 0; lane < LANES; lane++) rest += sum[lane];
    return (float)-rest;
}

#include "vector_attention.h"

/* ---- what the core can do at best ---- */

#define KEEP(x) __asm__ volatile("" : "+v"(x))

static int64_t multiply_adds(int64_t rounds) {
    vf sums[12], a = all(1e-9f), b = all(0.999f);
    for (int i = 0; i < 12; i++) sums[i] = all((float)i);
    for (int64_t n = 0; n < rounds; n++)
        for (int i = 0; i < 12; i++) {
            sums[i] = fused(sums[i], b, a);
            KEEP(sums[i]);
        }
    return rounds * 12 * LANES * 2;
}
