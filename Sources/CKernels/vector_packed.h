/* Dense layers over packed matrices, by vectors of LANES floats (CKernels.h has the layout).
 *
 * A tile's weights over a stretch of inputs fill three quarters of an L1 of 48 KiB: all rows pass over them, TILE_ROWS at
 * a time, before the next stretch, which they fetch into L2 on the way. Blocks lie in the order in which they are needed,
 * so what comes next is always what lies behind.
 *
 * What multiplies those rows with a stretch is the instruction set's own (`multiplier`); sums are kept in y between
 * stretches, where the whole tile is asked for, else on the stack. */

/* Groups of a stretch: 768 inputs. */
enum { TK_STRETCH = 12 };

/* From so many rows on spreading codes out pays. */
enum { TK_SPREAD_ROWS = 6 };

/* Up to TILE_ROWS rows and one stretch of a tile. */
typedef struct {
    const char *codes;
    int64_t ldcodes; /* bytes */
    const float *scales;
    int64_t ldscales;
    int shift;
    const char *w;
    const char *spread; /* the same codes as 16 bits, or NULL */
    int64_t groups;
    const float *from; /* where the sums begin: [rows][48], or NULL for 0 */
    int64_t ldfrom;
    const float *bias; /* [48], or NULL */
    float *sums;       /* [rows][48] */
    int64_t ldsums;
    const char *ahead; /* what is fetched with the first step of the first group */
} stretch;

typedef void (*multiplier)(const stretch *);

/* How an instruction set multiplies. Where rows are many and `spread` is there, a stretch's codes are spread out to 16 bits
 * first, TK_SPREAD groups of them, which fill L1 as packed ones do. */
typedef struct {
    const multiplier (*packed)[4];
    const multiplier (*spread)[4];                                /* or NULL */
    void (*spread_out)(char *to, const char *w, int64_t groups);
    int64_t width; /* bytes of an activation's code */
} means;

/* Spread over the steps of a group: many at once would make what is needed now wait behind them. */
ALWAYS void fetch(const char *ahead, int step, const int lines) {
    for (int i = 0; i < lines; i++) __builtin_prefetch(ahead + 64 * (lines * step + i), 0, 2);
}

/* What multiplies a number of rows and fetches 0, 1, 2 or 4 lines a step: NAME_by[rows − 1][log 2 of lines + 1]. */
#define MULTIPLIERS(NAME, BODY, TARGET) \
    MULTIPLIERS_4(NAME, BODY, TARGET) \
    static const multiplier NAME##_by[][4] = {MULTIPLIERS_TO_4(NAME)};
#define MULTIPLIERS_TO_8_ROWS(NAME, BODY, TARGET) \
    MULTIPLIERS_4(NAME, BODY, TARGET) \
    MULTIPLIERS_OF(NAME, BODY, TARGET, 5) \
    MULTIPLIERS_OF(NAME, BODY, TARGET, 6) \
    MULTIPLIERS_OF(NAME, BODY, TARGET, 7) \
    MULTIPLIERS_OF(NAME, BODY, TARGET, 8) \
    static const multiplier NAME##_by[][4] = { \
        MULTIPLIERS_TO_4(NAME), MULTIPLIER(NAME, 5), MULTIPLIER(NAME, 6), MULTIPLIER(NAME, 7), MULTIPLIER(NAME, 8)};
#define MULTIPLIERS_4(NAME, BODY, TARGET) \
    MULTIPLIERS_OF(NAME, BODY, TARGET, 1) \
    MULTIPLIERS_OF(NAME, BODY, TARGET, 2) \
    MULTIPLIERS_OF(NAME, BODY, TARGET, 3) \
    MULTIPLIERS_OF(NAME, BODY, TARGET, 4)
#define MULTIPLIERS_OF(NAME, BODY, TARGET, R) \
    static TARGET void NAME##_##R##_0(const stretch *s) { BODY(s, R, 0); } \
    static TARGET void NAME##_##R##_1(const stretch *s) { BODY(s, R, 1); } \
    static TARGET void NAME##_##R##_2(const stretch *s) { BODY(s, R, 2); } \
    static TARGET void NAME##_##R##_4(const stretch *s) { BODY(s, R, 4); }
#define MULTIPLIER(NAME, R) {NAME##_##R##_0, NAME##_##R##_1, NAME##_##R##_2, NAME##_##R##_4}
#define MULTIPLIERS_TO_4(NAME) MULTIPLIER(NAME, 1), MULTIPLIER(NAME, 2), MULTIPLIER(NAME, 3), MULTIPLIER(NAME, 4)

/* Of the next stretch, every group of which lies a stretch behind, each block of rows fetches its share. Where there is
 * but one block, what comes soon is fetched, 8 KiB ahead; one or two rows are read as fast as the core reads ahead itself. */
typedef struct {
    int64_t distance; /* bytes */
    int variant;
} fetching;

ALWAYS fetching fetching_of(int64_t block, int64_t blocks, int64_t rows, int64_t groups) {
    if (rows <= 2 && blocks == 1) return (fetching){0, 0};
    if (blocks == 1) return (fetching){8192, 3};
    const int64_t lines = blocks < 4 ? 2 : 1, share = lines * TK_GROUP / 4 * 64;
    return (fetching){groups * TK_BLOCK_BYTES + block * share, block * share >= TK_BLOCK_BYTES ? 0 : blocks < 4 ? 2 : 1};
}

/* ---- activations to codes ---- */

/* Bits of floats order like integers: as signed ones they find the largest positive value, as unsigned ones the most
 * negative. A NaN is beyond infinity either way, and so is not lost as it would be among floats. */
ALWAYS float group_scale(const vf *x, int shift) {
    vi high = (vi)(vf){0}, low = high;
    for (int i = 0; i < TK_GROUP / LANES; i++) {
        high = most_signed(high, (vi)x[i]);
        low = most_unsigned(low, (vi)x[i]);
    }
    const float zero = (float)(1 << shift);
    typedef uint32_t lanes __attribute__((vector_size(LANES * 4)));
    /* By bits again, for a NaN keeps its sign in a product: down < 0 where nothing is below 0. */
    const vf up = (vf)high * (1 / (255 - zero)), down = (vf)((lanes)low ^ 0x80000000) * (1 / zero);
    const int32_t most = total_most_signed(most_signed((vi)up, (vi)down));
    float scale;
    memcpy(&scale, &most, 4);
    return scale;
}

/* One group's codes; where it goes on, `values` keeps what they leave over. */
ALWAYS float quantise_group(char *codes, vf *values, int shift, const int wide, int goes_on) {
    const float scale = group_scale(values, shift), inverse = inverse_of(scale);
    for (int i = 0; i < TK_GROUP / 16; i++)
        store_codes(codes + i * 16 * (wide ? 2 : 1), values + i * 16 / LANES, inverse, shift, wide);
    if (goes_on)
        for (int i = 0; i < TK_GROUP / LANES; i++) values[i] = fused(rounded(values[i] * inverse), all(-scale), values[i]);
    return scale;
}

ALWAYS void quantise(const tk_codes *to, int64_t row, int64_t rows, int64_t g0, const float *x, int64_t ldx,
                     int64_t columns, const int wide) {
    const int64_t groups = (columns + TK_GROUP - 1) / TK_GROUP, width = wide ? 2 : 1;
    for (int64_t r = 0; r < rows; r++)
        for (int64_t g = 0; g < groups; g++) {
            vf values[TK_GROUP / LANES];
            const float *from = x + r * ldx + g * TK_GROUP;
            for (int i = 0; i < TK_GROUP / LANES; i++) {
                const int64_t left = columns - g * TK_GROUP - i * LANES;
                values[i] = left >= LANES ? load(from + i * LANES) : left > 0 ? load_part(from + i * LANES, left) : (vf){0};
            }
            for (int64_t d = 0; d < to->depth; d++) {
                const int64_t group = ((row + r) * to->depth + d) * to->groups + g0 + g;
                char *codes = (char *)to->codes + group * TK_GROUP * width;
                to->scales[group] = quantise_group(codes, values, to->shift, wide, d + 1 < to->depth);
            }
        }
}

/* ---- tiles ---- */

static void activate_rows(float *y, int64_t ldy, int64_t rows, const tk_packed *job) {
    const tk_activation activation = job->activation;
    if (activation == TK_IDENTITY) return;
    if (activation == TK_GELU && job->quantised) {
        for (int64_t r = 0; r < rows; r++)
            for (int i = 0; i < TK_TILE; i += LANES) store(y + r * ldy + i, quick_gelu(load(y + r * ldy + i)));
        return;
    }
    for (int64_t r = 0; r < rows; r++)
        for (int i = 0; i < TK_TILE; i += LANES) store(y + r * ldy + i, activated(load(y + r * ldy + i), activation));
}

ALWAYS stretch at_row(const tk_packed *job, int64_t row, int64_t width) {
    const int64_t groups = job->x.groups * job->x.depth;
    return (stretch){
        .codes = (const char *)job->x.codes + row * groups * TK_GROUP * width,
        .ldcodes = groups * TK_GROUP * width,
        .scales = job->x.scales + row * groups,
        .ldscales = groups,
        .shift = job->x.shift,
    };
}

/* Which parts of weights and activations are multiplied: all but the second of both. */
typedef struct {
    int64_t plane, depth;
} pairing;

ALWAYS int64_t pairings(const tk_packed *job, pairing *all) {
    int64_t count = 0;
    for (int64_t plane = 0; plane < job->planes; plane++)
        for (int64_t depth = 0; depth < job->x.depth; depth++)
            if (plane == 0 || depth == 0) all[count++] = (pairing){plane, depth};
    return count;
}

/* A tile of which every column is asked for; y begins at its first. `room` is for what is spread out. */
ALWAYS void whole_tile(const tk_packed *job, int64_t tile, float *y, int64_t ldy, const means means, char *room) {
    const int64_t groups = job->x.groups, n = tile * TK_TILE, blocks = (job->m + TILE_ROWS - 1) / TILE_ROWS;
    const int64_t plane_bytes = tk_packed_bytes(job->n, groups * TK_GROUP);
    const int spreads = means.spread && job->m >= TK_SPREAD_ROWS;
    const int64_t most = spreads ? TK_SPREAD : TK_STRETCH;
    pairing parts[4];
    const int64_t count = pairings(job, parts);
    for (int64_t i = 0; i < count; i++) {
        const char *w = (const char *)job->w + parts[i].plane * plane_bytes + tile * groups * TK_BLOCK_BYTES;
        for (int64_t g = 0; g < groups; g += most) {
            const int first = i == 0 && g == 0, last = i + 1 == count && g + most >= groups;
            const int64_t length = groups - g < most ? groups - g : most;
            if (spreads) means.spread_out(room, w + g * TK_BLOCK_BYTES, length);
            for (int64_t block = 0; block < blocks; block++) {
                const int64_t row = block * TILE_ROWS, rows = job->m - row < TILE_ROWS ? job->m - row : TILE_ROWS;
                float *sums = y + row * ldy;
                stretch s = at_row(job, row, means.width);
                s.codes += (parts[i].depth * groups + g) * TK_GROUP * means.width;
                s.scales += parts[i].depth * groups + g;
                s.w = w + g * TK_BLOCK_BYTES;
                s.spread = room;
                s.groups = length;
                s.from = !first ? sums : job->residual ? job->residual + row * job->ldr + n : 0;
                s.ldfrom = !first ? ldy : job->ldr;
                s.bias = first && job->bias ? job->bias + n : 0;
                s.sums = sums;
                s.ldsums = ldy;
                const fetching fetching = fetching_of(block, blocks, rows, length);
                s.ahead = s.w + fetching.distance;
                (spreads ? means.spread : means.packed)[rows - 1][fetching.variant](&s);
                if (last) activate_rows(sums, ldy, rows, job);
            }
        }
    }
}

/* Columns n0..<n1 of a tile, the others not touched; y begins at n0. */
static void part_of_tile(const tk_packed *job, int64_t tile, int64_t n0, int64_t n1, float *y, int64_t ldy,
                         const means means) {
    const int64_t groups = job->x.groups, n = tile * TK_TILE, plane_bytes = tk_packed_bytes(job->n, groups * TK_GROUP);
    for (int64_t row = 0; row < job->m; row += TILE_ROWS) {
        const int64_t rows = job->m - row < TILE_ROWS ? job->m - row : TILE_ROWS;
        float sums[TILE_ROWS * TK_TILE] = {0};
        for (int64_t r = 0; r < rows; r++)
            for (int64_t c = n0; c < n1; c++)
                sums[r * TK_TILE + c - n] = (job->residual ? job->residual[(row + r) * job->ldr + c] : 0) +
                                            (job->bias ? job->bias[c] : 0);
        pairing parts[4];
        const int64_t count = pairings(job, parts);
        for (int64_t i = 0; i < count; i++) {
            stretch s = at_row(job, row, means.width);
            s.codes += parts[i].depth * groups * TK_GROUP * means.width;
            s.scales += parts[i].depth * groups;
            s.w = (const char *)job->w + parts[i].plane * plane_bytes + tile * groups * TK_BLOCK_BYTES;
            s.groups = groups;
            s.from = s.sums = sums;
            s.ldfrom = s.ldsums = TK_TILE;
            means.packed[rows - 1][0](&s);
        }
        activate_rows(sums, TK_TILE, rows, job);
        for (int64_t r = 0; r < rows; r++)
            memcpy(y + (row + r) * ldy, sums + r * TK_TILE + n0 - n, (size_t)(n1 - n0) * 4);
    }
}

/* Columns n0..<n1; y begins at n0. */
ALWAYS void tiles(const tk_packed *job, int64_t n0, int64_t n1, float *y, int64_t ldy, const means means, char *room) {
    for (int64_t n = n0; n < n1;) {
        const int64_t tile = n / TK_TILE, end = (tile + 1) * TK_TILE < n1 ? (tile + 1) * TK_TILE : n1;
        if (end - n == TK_TILE)
            whole_tile(job, tile, y + n - n0, ldy, means, room);
        else
            part_of_tile(job, tile, n, end, y + n - n0, ldy, means);
        n = end;
    }
}

ALWAYS void packed_layer(const tk_packed *job, int64_t n0, int64_t n1, float *scratch, const means means) {
    char *room = (char *)(scratch + job->m * TK_FUSED_COLUMNS);
    if (!job->quantised) return tiles(job, n0, n1, job->y + n0, job->ldy, means, room);
    for (int64_t n = n0; n < n1; n += TK_FUSED_COLUMNS) {
        const int64_t end = n + TK_FUSED_COLUMNS < n1 ? n + TK_FUSED_COLUMNS : n1;
        tiles(job, n, end, scratch, TK_FUSED_COLUMNS, means, room);
        quantise(job->quantised, 0, job->m, n / TK_GROUP, scratch, TK_FUSED_COLUMNS, end - n, means.width == 2);
    }
}
