"""Fits the three polynomials of Sources/CKernels/vector_math.h and says how far off they are: fit.py   (numpy, mpmath)

Minimax by Lawson's iteration: least squares whose weights grow where the error is largest, until it is level."""
import mpmath, numpy as np

mpmath.mp.dps = 40


def lawson(x, y, weight, degree, rounds=400):
    """Coefficients, highest first, of p with the least maximum of |weight·(p(x) − y)|."""
    basis, emphasis, best = np.vander(x, degree + 1), np.ones_like(x), None
    for _ in range(rounds):
        scale = np.sqrt(emphasis) * weight
        p, *_ = np.linalg.lstsq(basis * scale[:, None], y * scale, rcond=None)
        error = np.abs(weight * (basis @ p - y))
        if best is None or error.max() < best[0]:
            best = error.max(), p
        emphasis *= error / error.max() + 1e-3
        emphasis /= emphasis.mean()
    return best


def report(name, best, kind="relative"):
    print(f"{name}: {kind} error {best[0]:.1e}\n  " + ", ".join(f"{c:.9e}f" for c in best[1]))


# exp(r) = 1 + r + r²·q(r), |r| ≤ ln 2/2; the error counts relative to exp(r).
r = np.linspace(-0.3466, 0.3466, 2001)
r = r[np.abs(r) > 1e-6]
q = np.array([float((mpmath.exp(v) - 1 - v) / v**2) for v in map(mpmath.mpf, r)])
report("exp, q(r)", lawson(r, q, r**2 / np.exp(r), 4))

# erfc(z) = exp(−z²)·t·p(t), t = 1/(1 + 0.3·z), 0 ≤ z ≤ 10; the error counts relative to erfc(z).
z = 10 * (1 - np.cos(np.linspace(0, np.pi / 2, 2001))) ** 1.0
t = 1 / (1 + 0.3 * z)
erfcx = np.array([float(mpmath.exp(v * v) * mpmath.erfc(v)) for v in map(mpmath.mpf, z)])
report("erfc, p(t)", lawson(t, erfcx / t, t / erfcx, 8))

# Φ(x) − ½ = x·p(x²), |x| ≤ 4.2, for what becomes eight bits; the error counts as GELU's own, x·(x·error of p).
x = 4.2 * (1 - np.cos(np.linspace(0.001, np.pi / 2, 2001)))
p = np.array([float((mpmath.ncdf(v) - 0.5) / v) for v in map(mpmath.mpf, x)])
report("quick GELU, p(x²)", lawson(x * x, p, np.maximum(x * x, 1e-3), 8), "absolute")
