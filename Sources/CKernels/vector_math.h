/* exp and the activations over vectors. Coefficients are minimax fits of our own (Benchmarks/kernels/fit.py). */

/* exp(x) / 2ⁿ = 1 + r + r²·q(r), r = x − n·ln 2 in ±ln 2/2: relative error 3e-9 before rounding. */
ALWAYS vf mantissa_of(vf x, vf n) {
    vf r = fused(n, all(-0.693359375f), x); /* ln 2 in two parts: the first has few bits, the product is exact */
    r = fused(n, all(2.12194440e-4f), r);
    vf q = all(1.381459847e-03f);
    q = fused(q, r, all(8.368716887e-03f));
    q = fused(q, r, all(4.166838805e-02f));
    q = fused(q, r, all(1.666652063e-01f));
    q = fused(q, r, all(4.999999345e-01f));
    return fused(r * r, q, r) + 1;
}

/* Below −87.3 it is 0, above 88.7 infinity; NaN stays NaN. */
ALWAYS vf exponential(vf x) {
    const vf n = rounded(x * 1.44269504089f);
    const vf mantissa = mantissa_of(x, n);
    /* 2ⁿ in two factors, so that n = 128 does not overflow before the product does. */
    const vi whole = to_integers(least_of(most_of(n, all(-130)), all(130)));
    typedef int32_t lanes __attribute__((vector_size(LANES * 4)));
    const lanes half = (lanes)whole >> 1;
    const vf low = (vf)((half + 127) << 23), high = (vf)(((lanes)whole - half + 127) << 23);
    const vf result = mantissa * low * high;
    const lanes tiny = (lanes)(x < -87.3f), huge = (lanes)(x > 88.7228f);
    const vf kept = (vf)((lanes)result & ~tiny & ~huge);
    const vf infinite = (vf)(huge & 0x7F800000);
    const lanes isnan = (lanes)(x != x);
    return (vf)(((lanes)kept | (lanes)infinite) & ~isnan) + (vf)((lanes)x & isnan);
}

/* The same, bit for bit, of what is not above 0. */
ALWAYS vf exponential_below(vf x) {
    const vf n = rounded(x * 1.44269504089f);
    const vf mantissa = mantissa_of(x, n);
    typedef int32_t lanes __attribute__((vector_size(LANES * 4)));
    const vf result = mantissa * (vf)(((lanes)to_integers(n) + 127) << 23);
    return (vf)((lanes)result & ~(lanes)(x < -87.3f));
}

/* x·Φ(x) by erfc(z) = exp(−z²)·t·p(t), z = |x|/√2, t = 1/(1 + 0.3·z): relative error 2e-8 of erfc before rounding. */
ALWAYS vf gelu(vf x) {
    const vf z = most_of(x, -x) * 0.70710678118654752f;
    const vf t = 1.0f / fused(z, all(0.3f), all(1));
    vf p = all(-1.294340711e-01f);
    p = fused(p, t, all(4.850964044e-01f));
    p = fused(p, t, all(-5.112263444e-01f));
    p = fused(p, t, all(5.463949293e-01f));
    p = fused(p, t, all(-9.363116985e-02f));
    p = fused(p, t, all(2.144362458e-01f));
    p = fused(p, t, all(1.484824376e-01f));
    p = fused(p, t, all(1.706919341e-01f));
    p = fused(p, t, all(1.691896148e-01f));
    /* The tail of the normal distribution, times |x|: what is missing from x on the right, what is left on the left. */
    const vf tail = 0.5f * p * t * exponential(-z * z);
    typedef int32_t lanes __attribute__((vector_size(LANES * 4)));
    const lanes positive = (lanes)(x > 0.0f);
    const vf right = fused(-x, tail, x), left = x * tail;
    return (vf)(((lanes)right & positive) | ((lanes)left & ~positive));
}

/* The same to 2e-4 between −12 and 12, for what becomes eight bits: Φ(x) − ½ is x times a polynomial in x², and 4.2
 * stands for all beyond. */
ALWAYS vf quick_gelu(vf x) {
    const vf near = least_of(all(4.2f), most_of(all(-4.2f), x)), square = near * near;
    vf p = all(4.923721409e-11f);
    p = fused(p, square, all(-4.795590845e-09f));
    p = fused(p, square, all(2.072454887e-07f));
    p = fused(p, square, all(-5.289530068e-06f));
    p = fused(p, square, all(8.983562547e-05f));
    p = fused(p, square, all(-1.086457323e-03f));
    p = fused(p, square, all(9.740935272e-03f));
    p = fused(p, square, all(-6.622206997e-02f));
    p = fused(p, square, all(3.988345752e-01f));
    return x * fused(near, p, all(0.5f));
}

/* x·(1 + tanh u)/2 = x / (1 + exp(−2u)), u = √(2/π)·(x + 0.044715·x³) */
ALWAYS vf gelu_tanh(vf x) {
    const vf u = x * fused(x * x, all(0.044715f * 0.79788456080f), all(0.79788456080f));
    return x / (1 + exponential(-2 * u));
}

ALWAYS vf activated(vf x, tk_activation activation) {
    switch (activation) {
    case TK_IDENTITY: return x;
    case TK_GELU: return gelu(x);
    case TK_GELU_TANH: return gelu_tanh(x);
    case TK_RELU: return most_of((vf){0}, x); /* of a NaN and a number the second is the maximum */
    }
}
