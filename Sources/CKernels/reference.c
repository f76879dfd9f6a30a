/* The scalar truth that every instruction set is compared with: plain loops, sums in double precision. */
#include <math.h>
#include <string.h>

#include "tables.h"

static float widened(const void *x, tk_dtype dtype, int64_t i) {
    float value;
    if (dtype == TK_F32) {
        memcpy(&value, (const char *)x + 4 * i, 4);
        return value;
    }
    uint16_t bits;
    memcpy(&bits, (const char *)x + 2 * i, 2);
    if (dtype == TK_BF16) {
        const uint32_t wide = (uint32_t)bits << 16; /* bfloat16 is the upper half of a float */
        memcpy(&value, &wide, 4);
        return value;
    }
    _Float16 half;
    memcpy(&half, &bits, 2);
    return (float)half;
}

static void widen(float *y, const void *x, tk_dtype dtype, int64_t n) {
    for (int64_t i = 0; i < n; i++) y[i] = widened(x, dtype, i);
}

static float activate(float x, tk_activation activation) {
    const double d = x;
    switch (activation) {
    case TK_IDENTITY: return x;
    case TK_GELU: return (float)(0.5 * d * erfc(-d * M_SQRT1_2));
    case TK_GELU_TANH: return (float)(0.5 * d * (1 + tanh(sqrt(2 / M_PI) * (d + 0.044715 * d * d * d))));
    case TK_RELU: return x > 0 ? x : x < 0 ? 0 : x; /* NaN stays NaN */
    }
}

static void linear(const tk_linear *job, int64_t n0, int64_t n1, float *scratch) {
    for (int64_t n = n0; n < n1; n++) {
        const char *row = (const char *)job->w + n * job->ldw * tk_width(job->dtype);
        for (int64_t m = 0; m < job->m; m++) {
            double sum = 0;
            for (int64_t k0 = 0; k0 < job->k; k0 += TK_BLOCK) {
                const int64_t count = job->k - k0 < TK_BLOCK ? job->k - k0 : TK_BLOCK;
                widen(scratch, row + k0 * tk_width(job->dtype), job->dtype, count);
                const float *x = job->x + m * job->ldx + k0;
                for (int64_t k = 0; k < count; k++) sum += (double)x[k] * scratch[k];
            }
            if (job->bias) sum += job->bias[n];
            float y = activate((float)sum, job->activation);
            if (job->residual) y += job->residual[m * job->ldr + n];
            job->y[m * job->ldy + n] = y;
        }
    }
}

static void layer_norm(float *y, const float *x, const float *gamma, const float *beta, float epsilon, int64_t rows,
                       int64_t h) {
    for (int64_t row = 0; row < rows; row++, x += h, y += h) {
        double mean = 0, variance = 0;
        for (int64_t i = 0; i < h; i++) mean += x[i];
        mean /= (double)h;
        for (int64_t i = 0; i < h; i++) variance += (x[i] - mean) * (x[i] - mean);
        variance /= (double)h;
        const double scale = 1 / sqrt(variance + epsilon);
        for (int64_t i = 0; i < h; i++) y[i] = (float)((x[i] - mean) * scale * gamma[i] + beta[i]);
    }
}

static void embed(float *y, const void *words, tk_dtype dtype, const int32_t *ids, const float *positions,
                  const float *type0, int64_t first, int64_t count, int64_t h) {
    for (int64_t i = 0; i < count; i++)
        for (int64_t j = 0; j < h; j++)
            y[i * h + j] = widened(words, dtype, ids[i] * h + j) + positions[(first + i) * h + j] + type0[j];
}

static void attend(const float *q, int64_t ldq, const float *k, int64_t ldk, const float *v, int64_t ldv, float *out,
                   int64_t ldo, int64_t nq, int64_t nk, int64_t head, float scale, float *scratch) {
    for (int64_t i = 0; i < nq; i++, q += ldq, out += ldo) {
        float most = -INFINITY;
        for (int64_t j = 0; j < nk; j++) {
            double dot = 0;
            for (int64_t d = 0; d < head; d++) dot += (double)q[d] * k[j * ldk + d];
            scratch[j] = (float)dot * scale;
            if (scratch[j] > most) most = scratch[j];
        }
        double sum = 0;
        for (int64_t j = 0; j < nk; j++) sum += scratch[j] = (float)exp((double)scratch[j] - most);
        for (int64_t d = 0; d < head; d++) {
            double mixed = 0;
            for (int64_t j = 0; j < nk; j++) mixed += (double)scratch[j] * v[j * ldv + d];
            out[d] = (float)(mixed / sum);
        }
    }
}

static float log_sum_exp(const float *x, int64_t n, float inverse_temperature) {
    float most = -INFINITY;
    double sum = 0;
    for (int64_t i = 0; i < n; i++) most = x[i] > most ? x[i] : most;
    for (int64_t i = 0; i < n; i++) sum += exp(((double)x[i] - most) * inverse_temperature);
    return (float)((double)most * inverse_temperature + log(sum));
}

static float entropy(const float *x, int64_t n, float inverse_temperature, float log_sum) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
        const double log_p = (double)x[i] * inverse_temperature - log_sum;
        sum -= exp(log_p) * log_p;
    }
    return (float)sum;
}

/* An insertion into a short sorted list: nearly every value fails the first comparison. */
int64_t tk_top(const float *x, int64_t n, int64_t count, int32_t *index, float *value) {
    int64_t found = 0;
    if (count <= 0) return 0;
    for (int64_t i = 0; i < n; i++) {
        if (!(x[i] > (found == count ? value[count - 1] : -INFINITY))) continue;
        int64_t place = found < count ? found++ : count - 1;
        for (; place > 0 && value[place - 1] < x[i]; place--) {
            value[place] = value[place - 1];
            index[place] = index[place - 1];
        }
        value[place] = x[i];
        index[place] = (int32_t)i;
    }
    return found;
}

#include "packed.h"

static float group_scale(const float *x, int64_t count, int shift) {
    const float zero = (float)(1 << shift);
    float high = 0, low = 0;
    for (int64_t i = 0; i < count; i++) {
        if (x[i] != x[i]) return x[i];
        high = x[i] > high ? x[i] : high;
        low = x[i] < low ? x[i] : low;
    }
    const float up = high * (1 / (255 - zero)), down = -low / zero;
    return up > down ? up : down;
}

static void quantise(const tk_codes *to, int64_t row, int64_t rows, int64_t g0, const float *x, int64_t ldx,
                     int64_t columns) {
    for (int64_t r = 0; r < rows; r++)
        for (int64_t k = 0; k < columns; k += TK_GROUP) {
            const int64_t count = columns - k < TK_GROUP ? columns - k : TK_GROUP;
            float left[TK_GROUP] = {0};
            memcpy(left, x + r * ldx + k, (size_t)count * 4);
            for (int64_t d = 0; d < to->depth; d++) {
                const float scale = group_scale(left, TK_GROUP, to->shift), inverse = inverse_of(scale);
                const int64_t group = ((row + r) * to->depth + d) * to->groups + g0 + k / TK_GROUP;
                uint8_t *codes = (uint8_t *)to->codes + group * TK_GROUP;
                to->scales[group] = scale;
                for (int64_t i = 0; i < TK_GROUP; i++) {
                    const float whole = rintf(left[i] * inverse), code = whole + (float)(1 << to->shift);
                    codes[i] = (uint8_t)(code >= 0 ? code <= 255 ? code : 255 : 0);
                    left[i] = fmaf(-whole, scale, left[i]);
                }
            }
        }
}

/* Σ of one output's group: codes without their zero, times weights' codes. */
static int32_t group_dot(const uint8_t *x, int shift, const char *block, int64_t output) {
    const int8_t *w = (const int8_t *)block + 4 * TK_TILE;
    int32_t sum = 0;
    for (int i = 0; i < TK_GROUP; i++) sum += (x[i] - (1 << shift)) * w[(i / 4 * TK_TILE + output) * 4 + i % 4];
    return sum;
}

static float packed_value(const tk_packed *job, int64_t m, int64_t n) {
    const int64_t groups = job->x.groups, plane_bytes = tk_packed_bytes(job->n, groups * TK_GROUP);
    float sum = job->residual ? job->residual[m * job->ldr + n] : 0;
    if (job->bias) sum += job->bias[n];
    for (int64_t plane = 0; plane < job->planes; plane++)
        for (int64_t d = 0; d < (plane == 0 ? job->x.depth : 1); d++)
            for (int64_t g = 0; g < groups; g++) {
                const char *block = (const char *)job->w + plane * plane_bytes + (n / TK_TILE * groups + g) * TK_BLOCK_BYTES;
                const int64_t group = (m * job->x.depth + d) * groups + g;
                uint16_t stored;
                memcpy(&stored, block + 2 * (n % TK_TILE), 2);
                const int32_t dot = group_dot((const uint8_t *)job->x.codes + group * TK_GROUP, job->x.shift, block, n % TK_TILE);
                sum = fmaf((float)dot, scale_of(stored) * job->x.scales[group], sum);
            }
    return activate(sum, job->activation);
}

static void packed(const tk_packed *job, int64_t n0, int64_t n1, float *scratch) {
    for (int64_t m = 0; m < job->m; m++) {
        float *y = job->quantised ? scratch : job->y + m * job->ldy;
        for (int64_t n = n0; n < n1; n += TK_FUSED_COLUMNS) {
            const int64_t end = n + TK_FUSED_COLUMNS < n1 ? n + TK_FUSED_COLUMNS : n1;
            for (int64_t i = n; i < end; i++) y[job->quantised ? i - n : i] = packed_value(job, m, i);
            if (job->quantised) quantise(job->quantised, m, 1, n / TK_GROUP, scratch, TK_FUSED_COLUMNS, end - n);
        }
    }
}

static float dot(const float *x, const void *w, tk_dtype dtype, int64_t k) {
    double sum = 0;
    for (int64_t i = 0; i < k; i++) sum += (double)x[i] * widened(w, dtype, i);
    return (float)sum;
}

static int64_t multiply_adds(int64_t rounds) {
    volatile float kept;
    float sums[8] = {0, 1, 2, 3, 4, 5, 6, 7};
    for (int64_t n = 0; n < rounds; n++)
        for (int i = 0; i < 8; i++) sums[i] = sums[i] * 0.999f + 1e-9f;
    for (int i = 0; i < 8; i++) kept = sums[i];
    (void)kept;
    return rounds * 8 * 2;
}

static int64_t dots(int64_t rounds) {
    volatile uint32_t kept;
    uint32_t sums[8] = {0, 1, 2, 3, 4, 5, 6, 7};
    for (int64_t n = 0; n < rounds; n++)
        for (uint32_t i = 0; i < 8; i++) sums[i] += (sums[i] & 255) * (i + 3);
    for (int i = 0; i < 8; i++) kept = sums[i];
    (void)kept;
    return rounds * 8 * 2;
}

const tk_kernels tk_reference = {
    TK_ISA_SCALAR, "scalar", linear, layer_norm, embed, attend, log_sum_exp, entropy, widen, tk_top, 1, quantise, packed, pack, multiply_adds, dots, dot,
};
