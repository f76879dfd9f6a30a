#ifndef CPATCHCODEC_H
#define CPATCHCODEC_H

#include <stddef.h>
#include <stdint.h>

// The loops of a patch: between a tensor, another one of its shape, and what a frame holds of their difference. Plain C
// on integers and single roundings, so that every CPU and every compiler gives the same bits. Everything is
// little-endian; pointers need no alignment and no two of a call may overlap; memory is the caller's.
//
// A difference is taken on fp32. Widening F16 and BF16 is exact; narrowing rounds once, to nearest even.

enum { TK_F32, TK_F16, TK_BF16 };

/// result = base + difference, the difference in four planes of bytes, `stride` bytes from each other.
/// Returns 1 where every element of the result is finite, else 0.
int tk_patch_apply_exact(
    const uint8_t *base, int base_type, const uint8_t *planes, size_t stride, size_t count, uint8_t *result, int type);

/// The way there: `count` bytes of each plane.
void tk_patch_take_exact(
    const uint8_t *base, int base_type, const uint8_t *target, int type, size_t count, uint8_t *planes, size_t stride);

/// One row: result = base + scale * code. Returns 1 where every element of the result is finite, else 0.
int tk_patch_apply_compact(
    const uint8_t *base, int base_type, float scale, const int8_t *codes, size_t count, uint8_t *result, int type);

/// The way there, of one row. Returns its scale, 0 where nothing differs or the difference is too small for codes; not
/// finite, and no codes written, where the difference is too large for an fp32.
float tk_patch_take_compact(
    const uint8_t *base, int base_type, const uint8_t *target, int type, size_t count, int8_t *codes);

/// How far a tensor is from the one that was wanted.
typedef struct {
    /// Between two elements of the same place.
    float largest;
    /// Sums over all elements: of the differences' squares, and of the wanted elements'.
    double difference_squares, wanted_squares;
} tk_patch_distance_t;

tk_patch_distance_t tk_patch_distance(const uint8_t *made, int made_type, const uint8_t *wanted, int wanted_type, size_t count);

#endif
