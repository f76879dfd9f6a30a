"""Which pieces of a row are hidden: whole words mostly, since people's blanks are words."""
import numpy as np

PAD, UNKNOWN, FIRST, LAST, MASK = range(5)


def spans(starts):
    """Words of a row as (first, end)."""
    at = np.flatnonzero(starts)
    if len(at) == 0 or at[0] != 0:
        at = np.insert(at, 0, 0)
    return list(zip(at.tolist(), at[1:].tolist() + [len(starts)]))


def choose(rng, mode, pieces, starts, letters, share):
    """Places to hide: about `share` of the row, at least one. `letters[piece]` is false for punctuation."""
    n, wanted = len(pieces), max(1, int(round(len(pieces) * share + rng.random() - 0.5)))
    words, hidden = spans(starts), set()
    if mode == "idioms":
        idioms = [w for w in words if w[1] - w[0] == 4]
        if idioms:
            first, end = idioms[rng.integers(len(idioms))]
            k = (1, 1, 2, 2, 4)[rng.integers(5)]
            at = first + int(rng.integers(4 - k + 1))
            hidden.update(range(at, at + k))
            wanted = max(len(hidden), int(wanted * 0.6))
    for _ in range(4 * wanted):
        if len(hidden) >= wanted:
            break
        kind = rng.random()
        if mode == "characters" or kind < 0.2:
            at, k = int(rng.integers(n)), 1 if rng.random() < 0.7 else 2
            first, end = at, min(n, at + k)
        else:
            w = int(rng.integers(len(words)))
            first, end = words[w]
            if kind > 0.85 and w + 1 < len(words) and words[w + 1][1] - first <= 4:
                end = words[w + 1][1]
        if end - first > 5 or not letters[pieces[first]] and rng.random() < 0.85:
            continue
        hidden.update(j for j in range(first, end) if pieces[j] != UNKNOWN)
    return [j for j in hidden if pieces[j] != UNKNOWN]


def batch(rng, mode, rows, letters, least, most, vocabulary):
    """Arrays [B, T]: pieces with some hidden, attended; and for the M hidden places their flat index and piece.

    M is rounded up by places that do not count (piece -100): a kernel is kept for every shape there ever was."""
    T = max(len(pieces) for pieces, _ in rows) + 2
    ids = np.full((len(rows), T), PAD, np.int64)
    where, what = [], []
    for b, (pieces, starts) in enumerate(rows):
        n = len(pieces)
        ids[b, 0], ids[b, 1:n + 1], ids[b, n + 1] = FIRST, pieces, LAST
        for j in sorted(choose(rng, mode, pieces, starts, letters, rng.uniform(least, most))):
            where.append(b * T + j + 1)
            what.append(int(pieces[j]))
            luck = rng.random()
            if luck < 0.94:
                ids[b, j + 1] = MASK
            elif luck < 0.97:
                ids[b, j + 1] = int(rng.integers(5, vocabulary))
    spare = -len(what) % 64
    where, what = where + [0] * spare, what + [-100] * spare
    return ids, ids != PAD, np.array(where, np.int64), np.array(what, np.int64)
