/* One head of one sequence, four queries at a time. What a query reads does not depend on its companions. */

/* p[nk] = exp(p·scale − most); returns the sum */
ALWAYS float exponentials(float *p, int64_t nk, float scale) {
    vf most = all(-INFINITY);
    int64_t j = 0;
    for (; j + LANES <= nk; j += LANES) most = most_of(most, load(p + j));
    float top = -INFINITY;
    for (int lane = 0; lane < LANES; lane++) top = most[lane] > top ? most[lane] : top;
    for (; j < nk; j++) top = p[j] > top ? p[j] : top;
    vf sum = {0};
    for (j = 0; j + LANES <= nk; j += LANES) {
        const vf e = exponential((load(p + j) - top) * scale);
        store(p + j, e);
        sum += e;
    }
    if (j < nk) {
        float rest[LANES];
        for (int64_t i = 0; i < LANES; i++) rest[i] = j + i < nk ? (p[j + i] - top) * scale : -INFINITY;
        const vf e = exponential(load(rest)); /* 0 beyond the row */
        store_part(p + j, e, nk - j);
        sum += e;
    }
    return total(sum);
}

/* out[rows][d0..<d0 + count] = Σ p[j]·v[j] / sum; rows and vectors are constants after inlining, count is the part of
 * the last vector that is there */
ALWAYS void mix(const float *p, int64_t ldp, const float *v, int64_t ldv, int64_t nk, const float *sum, float *out,
                int64_t ldo, const int rows, const int vectors, int64_t count) {
    vf mixed[TK_QUERIES][2];
    for (int r = 0; r < rows; r++)
        for (int d = 0; d < vectors; d++) mixed[r][d] = (vf){0};
    for (int64_t j = 0; j < nk; j++) {
        vf value[2];
        for (int d = 0; d < vectors; d++)
            value[d] = d + 1 < vectors || count == LANES ? load(v + j * ldv + d * LANES)
                                                         : load_part(v + j * ldv + d * LANES, count);
        for (int r = 0; r < rows; r++)
            for (int d = 0; d < vectors; d++) mixed[r][d] = fused(all(p[r * ldp + j]), value[d], mixed[r][d]);
    }
    for (int r = 0; r < rows; r++)
        for (int d = 0; d < vectors; d++)
            store_part(out + r * ldo + d * LANES, mixed[r][d] / sum[r], d + 1 < vectors ? LANES : count);
}

ALWAYS void mix_all(const float *p, int64_t ldp, const float *v, int64_t ldv, int64_t nk, const float *sum, float *out,
                    int64_t ldo, const int rows, int64_t head) {
    int64_t d = 0;
    for (; d + 2 * LANES <= head; d += 2 * LANES) mix(p, ldp, v + d, ldv, nk, sum, out + d, ldo, rows, 2, LANES);
    for (; d < head; d += LANES)
        mix(p, ldp, v + d, ldv, nk, sum, out + d, ldo, rows, 1, head - d < LANES ? head - d : LANES);
}

static void attend(const float *q, int64_t ldq, const float *k, int64_t ldk, const float *v, int64_t ldv, float *out,
                   int64_t ldo, int64_t nq, int64_t nk, int64_t head, float scale, float *scratch) {
    const int64_t ldp = (nk + 15) / 16 * 16;
    for (int64_t first = 0; first < nq; first += TK_QUERIES) {
        const int64_t rows = nq - first < TK_QUERIES ? nq - first : TK_QUERIES;
        const float *queries = q + first * ldq;
        int64_t j = 0;
        for (; j + COLUMNS <= nk; j += COLUMNS)
            full_panel(queries, ldq, rows, k + j * ldk, ldk, head, scratch + j, ldp, 0);
        for (; j < nk; j++) thin_panel(queries, ldq, rows, k + j * ldk, ldk, head, scratch + j, ldp, 0);
        float sum[TK_QUERIES];
        for (int64_t r = 0; r < rows; r++) sum[r] = exponentials(scratch + r * ldp, nk, scale);
        float *to = out + first * ldo;
        if (rows == TK_QUERIES) {
            mix_all(scratch, ldp, v, ldv, nk, sum, to, ldo, TK_QUERIES, head);
        } else {
            for (int64_t r = 0; r < rows; r++)
                mix_all(scratch + r * ldp, ldp, v, ldv, nk, sum + r, to + r * ldo, ldo, 1, head);
        }
    }
}
