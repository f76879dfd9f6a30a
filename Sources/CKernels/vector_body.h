/* The kernels over vectors of LANES floats; avx2.c and avx512.c each include this once and say what a vector is.
 *
 * A dense layer is computed in tiles of ROWS × COLUMNS sums over k, kept in registers: both x[m][k] and the stored
 * w[n][k] have k innermost, so neither is packed or transposed. Every sum has the same order whatever the tile: lanes
 * over k, folded to four, added pairwise, block after block of TK_BLOCK.
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

/* ---- dense layers ---- */

ALWAYS float total(vf sum) {
    const __m128 four = folded(sum);
    const __m128 two = _mm_hadd_ps(four, four);
    return _mm_cvtss_f32(_mm_hadd_ps(two, two));
}

/* rows × columns sums of k products; y = sums, or y += sums. rows and columns are constants after inlining. */
ALWAYS void tile(const float *x, int64_t ldx, const float *w, int64_t ldw, int64_t k, float *y, int64_t ldy,
                 const int rows, const int columns, int adds) {
    vf sum[ROWS][COLUMNS];
    for (int r = 0; r < rows; r++)
        for (int c = 0; c < columns; c++) sum[r][c] = (vf){0};
    int64_t i = 0;
    for (; i + LANES <= k; i += LANES) {
        vf weights[COLUMNS];
        for (int c = 0; c < columns; c++) weights[c] = load(w + c * ldw + i);
        for (int r = 0; r < rows; r++) {
            const vf activation = load(x + r * ldx + i);
            for (int c = 0; c < columns; c++) sum[r][c] = fused(activation, weights[c], sum[r][c]);
        }
    }
    if (i < k) {
        for (int c = 0; c < columns; c++) {
            const vf weights = load_part(w + c * ldw + i, k - i);
            for (int r = 0; r < rows; r++) sum[r][c] = fused(load_part(x + r * ldx + i, k - i), weights, sum[r][c]);
        }
    }
    for (int r = 0; r < rows; r++) {
        int c = 0;
        for (; c + 4 <= columns; c += 4) {
            const __m128 a = _mm_hadd_ps(folded(sum[r][c]), folded(sum[r][c + 1]));
            const __m128 b = _mm_hadd_ps(folded(sum[r][c + 2]), folded(sum[r][c + 3]));
            const __m128 four = _mm_hadd_ps(a, b);
            float *to = y + r * ldy + c;
            _mm_storeu_ps(to, adds ? _mm_add_ps(_mm_loadu_ps(to), four) : four);
        }
        for (; c < columns; c++) y[r * ldy + c] = adds ? y[r * ldy + c] + total(sum[r][c]) : total(sum[r][c]);
    }
}

/* All rows against a panel of `columns` weights. */
ALWAYS void panel(const float *x, int64_t ldx, int64_t m, const float *w, int64_t ldw, int64_t k, float *y, int64_t ldy,
                  const int columns, int adds) {
    int64_t row = 0;
    for (; row + ROWS <= m; row += ROWS) tile(x + row * ldx, ldx, w, ldw, k, y + row * ldy, ldy, ROWS, columns, adds);
    x += row * ldx;
    y += row * ldy;
    switch (m - row) {
    case 3: if (ROWS > 3) tile(x, ldx, w, ldw, k, y, ldy, 3, columns, adds); break;
    case 2: tile(x, ldx, w, ldw, k, y, ldy, 2, columns, adds); break;
    case 1: tile(x, ldx, w, ldw, k, y, ldy, 1, columns, adds); break;
    }
}

static void full_panel(const float *x, int64_t ldx, int64_t m, const float *w, int64_t ldw, int64_t k, float *y,
                       int64_t ldy, int adds) {
    panel(x, ldx, m, w, ldw, k, y, ldy, COLUMNS, adds);
}

static void thin_panel(const float *x, int64_t ldx, int64_t m, const float *w, int64_t ldw, int64_t k, float *y,
                       int64_t ldy, int adds) {
    panel(x, ldx, m, w, ldw, k, y, ldy, 1, adds);
}

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

static void linear(const tk_linear *job, int64_t n0, int64_t n1, float *scratch) {
    const int64_t width = tk_width(job->dtype);
    for (int64_t n = n0; n < n1;) {
        const int64_t columns = n1 - n >= COLUMNS ? COLUMNS : 1;
        for (int64_t k0 = 0; k0 < job->k; k0 += TK_BLOCK) {
            const int64_t k = job->k - k0 < TK_BLOCK ? job->k - k0 : TK_BLOCK;
            const char *stored = (const char *)job->w + (n * job->ldw + k0) * width;
            const float *w = (const float *)stored;
            int64_t ldw = job->ldw;
            if (job->dtype != TK_F32) {
                for (int64_t c = 0; c < columns; c++)
                    widen(scratch + c * TK_BLOCK, stored + c * ldw * width, job->dtype, k);
                w = scratch;
                ldw = TK_BLOCK;
            }
            (columns == COLUMNS ? full_panel : thin_panel)(job->x + k0, job->ldx, job->m, w, ldw, k, job->y + n,
                                                           job->ldy, k0 > 0);
        }
        n += columns;
    }
    finish(job, n0, n1);
}

/* ---- rows ---- */

static void layer_norm(float *y, const float *x, const float *gamma, const float *beta, float epsilon, int64_t rows,
                       int64_t h) {
    for (int64_t row = 0; row < rows; row++, x += h, y += h) {
        vf sum = {0}, squares = {0};
        for (int64_t i = 0; i < h; i += LANES) sum += load_part(x + i, h - i < LANES ? h - i : LANES);
        const float mean = total(sum) / (float)h;
        int64_t i = 0;
        for (; i + LANES <= h; i += LANES) {
            const vf centred = load(x + i) - mean;
            squares = fused(centred, centred, squares);
        }
        if (i < h) { /* lanes beyond the row count as the mean */
            float rest[LANES];
            for (int64_t j = 0; j < LANES; j++) rest[j] = i + j < h ? x[i + j] - mean : 0;
            squares = fused(load(rest), load(rest), squares);
        }
        const float scale = 1 / sqrtf(total(squares) / (float)h + epsilon);
        for (i = 0; i < h; i += LANES) {
            const int64_t count = h - i < LANES ? h - i : LANES;
            const vf centred = (load_part(x + i, count) - mean) * scale;
            store_part(y + i, fused(centred, load_part(gamma + i, count), load_part(beta + i, count)), count);
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
    float top = -INFINITY;
    for (int lane = 0; lane < LANES; lane++) top = most[lane] > top ? most[lane] : top;
    for (int64_t j = i; j < n; j++) top = x[j] > top ? x[j] : top;
    vf sum = {0};
    for (i = 0; i + LANES <= n; i += LANES) sum += exponential((load(x + i) - top) * inverse_temperature);
    double rest = 0;
    for (; i < n; i++) rest += exp(((double)x[i] - top) * inverse_temperature);
    for (int lane = 0; lane < LANES; lane++) rest += sum[lane];
    return (float)((double)top * inverse_temperature + log(rest));
}

#include "vector_attention.h"

const tk_kernels TABLE = {
    TABLE_ISA, TABLE_NAME, linear, layer_norm, embed, attend, log_sum_exp, widen, tk_top,
};
