#ifndef TK_PATCH_FLOATS_H
#define TK_PATCH_FLOATS_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "CPatchCodec.h"

// Between fp32 and the narrower types, as integers; without branches, so that the compiler makes vectors of the loops.

static inline uint16_t load16(const uint8_t *p) { uint16_t v; memcpy(&v, p, 2); return v; }
static inline uint32_t load32(const uint8_t *p) { uint32_t v; memcpy(&v, p, 4); return v; }
static inline void store16(uint8_t *p, uint16_t v) { memcpy(p, &v, 2); }
static inline void store32(uint8_t *p, uint32_t v) { memcpy(p, &v, 4); }
static inline float to_float(uint32_t bits) { float f; memcpy(&f, &bits, 4); return f; }
static inline uint32_t to_bits(float f) { uint32_t bits; memcpy(&bits, &f, 4); return bits; }

/// All exponent bits set: infinity or NaN.
static inline uint32_t not_finite(uint32_t bits) { return (bits & 0x7F800000u) == 0x7F800000u; }

static inline size_t width_of(int type) { return type == TK_F32 ? 4 : 2; }

static inline uint32_t widened_half(uint16_t half) {
    uint32_t sign = (uint32_t)(half & 0x8000) << 16, exponent = half >> 10 & 0x1F, fraction = half & 0x3FF;
    // A subnormal is its fraction times 2^-24: exact, and normal in fp32.
    uint32_t small = to_bits((float)(int32_t)fraction * 0x1p-24f);
    uint32_t normal = (exponent + 112) << 23 | fraction << 13;
    uint32_t special = 0x7F800000u | fraction << 13;
    return sign | (exponent == 0 ? small : exponent == 31 ? special : normal);
}

static inline uint16_t narrowed_half(uint32_t bits) {
    uint32_t sign = bits >> 16 & 0x8000, magnitude = bits & 0x7FFFFFFFu;
    // Beside 2^-1 the last place of a fraction is 2^-24, as in a subnormal half: the addition rounds.
    uint32_t small = to_bits(to_float(magnitude) + 0.5f) - 0x3F000000u;
    uint32_t normal = (magnitude + 0xFFF + (magnitude >> 13 & 1) - 0x38000000u) >> 13;
    // From 65520 on to infinity.
    uint32_t special = magnitude > 0x7F800000u ? 0x7E00 : 0x7C00;
    return (uint16_t)(sign | (magnitude >= 0x477FF000u ? special : magnitude < 0x38800000u ? small : normal));
}

static inline uint16_t narrowed_bfloat(uint32_t bits) {
    uint32_t rounded = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16;
    // A NaN stays one, whatever its fraction.
    return (uint16_t)((bits & 0x7FFFFFFFu) > 0x7F800000u ? bits >> 16 | 0x40 : rounded);
}

static inline void widen(const uint8_t *restrict source, int type, size_t count, uint8_t *restrict floats) {
    if (type == TK_F16)
        for (size_t i = 0; i < count; i++) store32(floats + 4 * i, widened_half(load16(source + 2 * i)));
    else
        for (size_t i = 0; i < count; i++) store32(floats + 4 * i, (uint32_t)load16(source + 2 * i) << 16);
}

/// Returns 1 where one of the results is not finite: an fp32 near the end of the scale may round to infinity.
static inline uint32_t narrow(const uint8_t *restrict floats, int type, size_t count, uint8_t *restrict target) {
    uint32_t bad = 0;
    if (type == TK_F16)
        for (size_t i = 0; i < count; i++) {
            uint16_t half = narrowed_half(load32(floats + 4 * i));
            store16(target + 2 * i, half);
            bad |= (half & 0x7C00) == 0x7C00;
        }
    else
        for (size_t i = 0; i < count; i++) {
            uint16_t half = narrowed_bfloat(load32(floats + 4 * i));
            store16(target + 2 * i, half);
            bad |= (half & 0x7F80) == 0x7F80;
        }
    return bad;
}

#endif
