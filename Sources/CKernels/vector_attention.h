/* One head of one sequence. Keys are transposed once, so that a score is a lane and not a sum over lanes; values are
 * copied beside them, so that what is read again for every query lies together. Then a few queries at a time: scores,
 * softmax, mix. What a query reads does not depend on its companions.
 *
 * Whoever includes this has QUERIES queries at a time, SCORES vectors of keys and MIXED vectors of values in registers. */

/* to[d][j] = k[j][d], j from nk to ldt filled with 0; a square of LANES by LANES at a time */
static void transpose(float *to, int64_t ldt, const float *k, int64_t ldk, int64_t nk, int64_t head) {
    for (int64_t j = 0; j < ldt; j += LANES)
        for (int64_t d = 0; d < head; d += LANES) {
            const int64_t width = head - d < LANES ? head - d : LANES;
            vf square[LANES];
            for (int i = 0; i < LANES; i++)
                square[i] = j + i >= nk ? (vf){0} : width == LANES ? load(k + (j + i) * ldk + d) : load_part(k + (j + i) * ldk + d, width);
            turn_square(square);
            for (int i = 0; i < width; i++) store(to + (d + i) * ldt + j, square[i]);
        }
}

/* p[rows][0..<vectors · LANES] = q · kᵀ; rows and vectors are constants after inlining */
ALWAYS void score(const float *q, int64_t ldq, const float *k, int64_t ldt, int64_t head, float *p, int64_t ldp,
                  const int rows, const int vectors) {
    vf sum[QUERIES][SCORES];
    for (int r = 0; r < rows; r++)
        for (int c = 0; c < vectors; c++) sum[r][c] = (vf){0};
    for (int64_t d = 0; d < head; d++) {
        vf key[SCORES];
        for (int c = 0; c < vectors; c++) key[c] = load(k + d * ldt + c * LANES);
        for (int r = 0; r < rows; r++) {
            const vf query = all(q[r * ldq + d]);
            for (int c = 0; c < vectors; c++) sum[r][c] = fused(query, key[c], sum[r][c]);
        }
    }
    for (int r = 0; r < rows; r++)
        for (int c = 0; c < vectors; c++) store(p + r * ldp + c * LANES, sum[r][c]);
}

ALWAYS void scores(const float *q, int64_t ldq, const float *k, int64_t ldt, int64_t head, float *p, const int rows) {
    int64_t j = 0;
    for (; j + SCORES * LANES <= ldt; j += SCORES * LANES) score(q, ldq, k + j, ldt, head, p + j, ldt, rows, SCORES);
    for (; j < ldt; j += LANES) score(q, ldq, k + j, ldt, head, p + j, ldt, rows, 1);
}

/* p[nk] = exp((p − most) · scale), with 0 behind them up to a whole vector; returns the sum */
ALWAYS float exponentials(float *p, int64_t nk, float scale) {
    vf most = all(-INFINITY);
    int64_t j = 0;
    for (; j + LANES <= nk; j += LANES) most = most_of(most, load(p + j));
    float top = largest(most);
    for (; j < nk; j++) top = p[j] > top ? p[j] : top;
    vf sum = {0};
    for (j = 0; j < nk; j += LANES) {
        vf e = exponential_below((load(p + j) - top) * scale);
        store(p + j, e);
        if (nk - j < LANES) store(p + j, e = load_part(p + j, nk - j));
        sum += e;
    }
    return total(sum);
}

/* out[rows][0..<count] = Σ p[j]·v[j] / sum; rows and vectors are constants after inlining; the last vector may be part */
ALWAYS void mix(const float *p, int64_t ldp, const float *v, int64_t ldv, int64_t nk, const float *sum, float *out,
                int64_t ldo, int64_t count, const int rows, const int vectors) {
    vf mixed[MIXERS][MIXED];
    for (int r = 0; r < rows; r++)
        for (int d = 0; d < vectors; d++) mixed[r][d] = (vf){0};
    for (int64_t j = 0; j < nk; j++) {
        vf value[MIXED];
        for (int d = 0; d < vectors; d++) value[d] = load(v + j * ldv + d * LANES);
        for (int r = 0; r < rows; r++)
            for (int d = 0; d < vectors; d++) mixed[r][d] = fused(all(p[r * ldp + j]), value[d], mixed[r][d]);
    }
    for (int r = 0; r < rows; r++)
        for (int d = 0; d < vectors; d++)
            store_part(out + r * ldo + d * LANES, mixed[r][d] / sum[r],
                       count - d * LANES < LANES ? count - d * LANES : LANES);
}

ALWAYS void mix_all(const float *p, int64_t ldp, const float *v, int64_t ldv, int64_t nk, const float *sum, float *out,
                    int64_t ldo, int64_t head, const int rows) {
    int64_t d = 0;
    for (; d + MIXED * LANES <= ldv; d += MIXED * LANES)
        mix(p, ldp, v + d, ldv, nk, sum, out + d, ldo, head - d, rows, MIXED);
    for (; d < ldv; d += LANES) mix(p, ldp, v + d, ldv, nk, sum, out + d, ldo, head - d, rows, 1);
}

ALWAYS int64_t padded(int64_t count) { return (count + 15) / 16 * 16; }

ALWAYS void read_together(const float *q, int64_t ldq, const float *k, const float *v, int64_t nk, int64_t head,
                          float scale, float *p, float *out, int64_t ldo, const int rows) {
    float sum[QUERIES];
    const int64_t ldp = padded(nk);
    scores(q, ldq, k, ldp, head, p, rows);
    for (int r = 0; r < rows; r++) sum[r] = exponentials(p + r * ldp, nk, scale);
    int r = 0;
    for (; r + MIXERS <= rows; r += MIXERS)
        mix_all(p + r * ldp, ldp, v, padded(head), nk, sum + r, out + r * ldo, ldo, head, MIXERS);
    for (; r + MIXERS / 2 <= rows; r += MIXERS / 2)
        mix_all(p + r * ldp, ldp, v, padded(head), nk, sum + r, out + r * ldo, ldo, head, MIXERS / 2);
    for (; r < rows; r++) mix_all(p + r * ldp, ldp, v, padded(head), nk, sum + r, out + r * ldo, ldo, head, 1);
}

static void attend(const float *q, int64_t ldq, const float *k, int64_t ldk, const float *v, int64_t ldv, float *out,
                   int64_t ldo, int64_t nq, int64_t nk, int64_t head, float scale, float *scratch) {
    const int64_t keys = padded(nk), width = padded(head);
    float *transposed = scratch, *values = transposed + head * keys, *p = values + nk * width;
    transpose(transposed, keys, k, ldk, nk, head);
    for (int64_t j = 0; j < nk; j++) {
        memcpy(values + j * width, v + j * ldv, (size_t)head * 4);
        memset(values + j * width + head, 0, (size_t)(width - head) * 4);
    }
    int64_t first = 0;
    for (; first + QUERIES <= nq; first += QUERIES)
        read_together(q + first * ldq, ldq, transposed, values, nk, head, scale, p, out + first * ldo, ldo, QUERIES);
    for (; first + QUERIES / 2 <= nq; first += QUERIES / 2)
        read_together(q + first * ldq, ldq, transposed, values, nk, head, scale, p, out + first * ldo, ldo, QUERIES / 2);
    for (; first < nq; first++)
        read_together(q + first * ldq, ldq, transposed, values, nk, head, scale, p, out + first * ldo, ldo, 1);
}
