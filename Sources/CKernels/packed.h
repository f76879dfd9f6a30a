/* What is the same for every instruction set about packed matrices: packing itself, and the way through tiles. Included
 * by reference.c and vector_body.h after `widen`; the compiler makes vectors of the loops.
 *
 * Every operation here rounds as IEEE 754 says and none is fused, so that a packed file is the same wherever it was made.
 */
#include <float.h>

#pragma clang fp contract(off)

/* The least bfloat16 that is not below x ≥ 0, as its 16 bits. */
static uint16_t scale_bits(float x) {
    uint32_t bits;
    memcpy(&bits, &x, 4);
    return (uint16_t)((bits + 0xFFFF) >> 16);
}

static float scale_of(uint16_t stored) {
    const uint32_t bits = (uint32_t)stored << 16;
    float x;
    memcpy(&x, &bits, 4);
    return x;
}

/* Of a scale so small that its reciprocal would be infinite: 0, and all codes are those of 0. */
static float inverse_of(float scale) { return scale >= FLT_MIN ? 1 / scale : 0; }

/* One output's group: its codes into the block; `w` keeps what they leave over. */
static void pack_group(char *block, float *w, int64_t output) {
    float most = 0;
    for (int i = 0; i < TK_GROUP; i++) {
        const float size = fabsf(w[i]);
        most = size > most ? size : most;
    }
    const uint16_t stored = scale_bits(most / 127);
    const float scale = scale_of(stored), inverse = inverse_of(scale);
    int32_t sum = 0;
    int8_t codes[TK_GROUP];
    for (int i = 0; i < TK_GROUP; i++) {
        /* What rounds up to 127.5 in the quotient would be 128. */
        float code = rintf(w[i] * inverse);
        code = code > 127 ? 127 : code < -127 ? -127 : code;
        codes[i] = (int8_t)code;
        sum += (int32_t)code;
        w[i] -= code * scale;
    }
    const int16_t minus = (int16_t)-sum;
    memcpy(block + 2 * output, &stored, 2);
    memcpy(block + 2 * TK_TILE + 2 * output, &minus, 2);
    for (int step = 0; step < TK_GROUP / 4; step++)
        memcpy(block + 4 * TK_TILE + (step * TK_TILE + output) * 4, codes + 4 * step, 4);
}

static void pack(void *to, const void *w, tk_dtype dtype, int64_t n, int64_t k, int64_t planes, int64_t t0, int64_t t1,
                 float *scratch) {
    const int64_t groups = (k + TK_GROUP - 1) / TK_GROUP, width = groups * TK_GROUP, row = k * tk_width(dtype);
    for (int64_t tile = t0; tile < t1; tile++) {
        memset(scratch, 0, (size_t)(TK_TILE * width) * 4);
        for (int64_t i = 0; i < TK_TILE && tile * TK_TILE + i < n; i++)
            widen(scratch + i * width, (const char *)w + (tile * TK_TILE + i) * row, dtype, k);
        char *blocks = (char *)to + tile * groups * TK_BLOCK_BYTES;
        for (int64_t plane = 0; plane < planes; plane++, blocks += tk_packed_bytes(n, k))
            for (int64_t g = 0; g < groups; g++)
                for (int64_t i = 0; i < TK_TILE; i++)
                    pack_group(blocks + g * TK_BLOCK_BYTES, scratch + i * width + g * TK_GROUP, i);
    }
}
#pragma clang fp contract(on)
