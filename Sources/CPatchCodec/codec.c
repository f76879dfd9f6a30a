#include "CPatchCodec.h"

#include <math.h>

#include "floats.h"

// base + scale * code are two roundings and never one.
#pragma STDC FP_CONTRACT OFF

/// Elements at a time where a type must be widened or narrowed: they stay in the first cache, and no tensor is copied.
enum { BLOCK = 1024 };

/// `count` elements of a tensor as fp32: where they are if they are that already, else in `room`.
static inline const uint8_t *as_floats(const uint8_t *source, int type, size_t count, uint8_t *room) {
    if (type == TK_F32) return source;
    widen(source, type, count, room);
    return room;
}

static inline size_t least(size_t a, size_t b) { return a < b ? a : b; }

// MARK: exact

/// Keeps the order of floats: a negative one's bits inverted, a positive one's sign bit set.
static inline uint32_t ordered(uint32_t bits) { return bits ^ ((uint32_t)((int32_t)bits >> 31) | 0x80000000u); }
static inline uint32_t unordered(uint32_t order) { return order ^ (~(uint32_t)((int32_t)order >> 31) | 0x80000000u); }

static uint32_t apply_planes(
    const uint8_t *restrict base, const uint8_t *restrict p0, const uint8_t *restrict p1, const uint8_t *restrict p2,
    const uint8_t *restrict p3, size_t count, uint8_t *restrict result) {
    uint32_t bad = 0;
    for (size_t i = 0; i < count; i++) {
        uint32_t zigzag = p0[i] | (uint32_t)p1[i] << 8 | (uint32_t)p2[i] << 16 | (uint32_t)p3[i] << 24;
        uint32_t difference = (zigzag >> 1) ^ (0u - (zigzag & 1));
        uint32_t bits = unordered(ordered(load32(base + 4 * i)) + difference);
        store32(result + 4 * i, bits);
        bad |= not_finite(bits);
    }
    return bad;
}

int tk_patch_apply_exact(
    const uint8_t *base, int base_type, const uint8_t *planes, size_t stride, size_t count, uint8_t *result, int type) {
    uint8_t widened[4 * BLOCK], made[4 * BLOCK];
    uint32_t bad = 0;
    for (size_t at = 0; at < count; at += BLOCK) {
        size_t some = least(BLOCK, count - at);
        const uint8_t *floats = as_floats(base + at * width_of(base_type), base_type, some, widened), *p = planes + at;
        uint8_t *out = type == TK_F32 ? result + 4 * at : made;
        bad |= apply_planes(floats, p, p + stride, p + 2 * stride, p + 3 * stride, some, out);
        if (type != TK_F32) bad |= narrow(made, type, some, result + 2 * at);
    }
    return bad == 0;
}

void tk_patch_take_exact(
    const uint8_t *base, int base_type, const uint8_t *target, int type, size_t count, uint8_t *planes, size_t stride) {
    uint8_t room[4 * BLOCK], more_room[4 * BLOCK];
    for (size_t at = 0; at < count; at += BLOCK) {
        size_t some = least(BLOCK, count - at);
        const uint8_t *from = as_floats(base + at * width_of(base_type), base_type, some, room);
        const uint8_t *to = as_floats(target + at * width_of(type), type, some, more_room);
        uint8_t *p = planes + at;
        for (size_t i = 0; i < some; i++) {
            uint32_t difference = ordered(load32(to + 4 * i)) - ordered(load32(from + 4 * i));
            uint32_t zigzag = difference << 1 ^ (uint32_t)((int32_t)difference >> 31);
            for (int plane = 0; plane < 4; plane++) p[plane * stride + i] = (uint8_t)(zigzag >> 8 * plane);
        }
    }
}

// MARK: compact

static uint32_t apply_codes(
    const uint8_t *restrict base, float scale, const int8_t *restrict codes, size_t count, uint8_t *restrict result) {
    uint32_t bad = 0;
    for (size_t i = 0; i < count; i++) {
        float step = scale * (float)codes[i];
        float sum = to_float(load32(base + 4 * i)) + step;
        store32(result + 4 * i, to_bits(sum));
        bad |= not_finite(to_bits(sum));
    }
    return bad;
}

int tk_patch_apply_compact(
    const uint8_t *base, int base_type, float scale, const int8_t *codes, size_t count, uint8_t *result, int type) {
    uint8_t widened[4 * BLOCK], made[4 * BLOCK];
    uint32_t bad = 0;
    for (size_t at = 0; at < count; at += BLOCK) {
        size_t some = least(BLOCK, count - at);
        const uint8_t *floats = as_floats(base + at * width_of(base_type), base_type, some, widened);
        uint8_t *out = type == TK_F32 ? result + 4 * at : made;
        bad |= apply_codes(floats, scale, codes + at, some, out);
        if (type != TK_F32) bad |= narrow(made, type, some, result + 2 * at);
    }
    return bad == 0;
}

/// Of a normal distribution cut into steps of an eighth of its deviation a code holds 5.05 bits, and the error is 3.6 %
/// of the deviation. Where one element is beyond 127 of such steps, all of the row's steps are as wide as it needs.
static float scale_of(double squares, float largest, size_t count) {
    float fine = (float)sqrt(squares / (double)count) / 8, wide = largest / 127;
    return fine > wide ? fine : wide;
}

float tk_patch_take_compact(
    const uint8_t *base, int base_type, const uint8_t *target, int type, size_t count, int8_t *codes) {
    uint8_t room[4 * BLOCK], more_room[4 * BLOCK];
    double squares = 0;
    float largest = 0, scale = 0;
    for (int pass = 0; pass < 2; pass++) {
        for (size_t at = 0; at < count; at += BLOCK) {
            size_t some = least(BLOCK, count - at);
            const uint8_t *from = as_floats(base + at * width_of(base_type), base_type, some, room);
            const uint8_t *to = as_floats(target + at * width_of(type), type, some, more_room);
            for (size_t i = 0; i < some; i++) {
                float difference = to_float(load32(to + 4 * i)) - to_float(load32(from + 4 * i));
                if (pass == 0) {
                    squares += (double)difference * (double)difference;
                    largest = fmaxf(largest, fabsf(difference));
                } else {
                    float code = scale > 0 ? rintf(difference / scale) : 0;
                    codes[at + i] = (int8_t)fmaxf(-127, fminf(127, code));
                }
            }
        }
        if (pass == 0) scale = scale_of(squares, largest, count);
        if (not_finite(to_bits(scale))) break;
    }
    return scale;
}

tk_patch_distance_t tk_patch_distance(const uint8_t *made, int made_type, const uint8_t *wanted, int wanted_type, size_t count) {
    uint8_t room[4 * BLOCK], more_room[4 * BLOCK];
    tk_patch_distance_t all = {0, 0, 0};
    for (size_t at = 0; at < count; at += BLOCK) {
        size_t some = least(BLOCK, count - at);
        const uint8_t *x = as_floats(made + at * width_of(made_type), made_type, some, room);
        const uint8_t *y = as_floats(wanted + at * width_of(wanted_type), wanted_type, some, more_room);
        for (size_t i = 0; i < some; i++) {
            double element = to_float(load32(y + 4 * i)), difference = to_float(load32(x + 4 * i)) - element;
            all.largest = fmaxf(all.largest, (float)fabs(difference));
            all.difference_squares += difference * difference;
            all.wanted_squares += element * element;
        }
    }
    return all;
}
