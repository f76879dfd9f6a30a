"""Cuts the corpora into pieces, with word boundaries, for train.py.

    prepare.py RECIPE DATA VOCABULARY SUITES OUT

DATA holds corpus/*.txt.zst (a sentence a line) and terms/*.txt (word, TAB, count). For each source of the recipe
OUT/NAME.npz is written: `pieces` uint16, all rows end to end; `starts` bool, true where a word begins; `ends` int64.
A tenth of every file is held out by the digest of the row (OUT/NAME.held-out.txt), except of what is known by heart
(lists, and the poems that stand first in their file); so is every row that is a row of a packaged suite.
"""
import hashlib, json, re, subprocess, sys
from multiprocessing import Pool
from pathlib import Path

import jieba
import numpy as np

LATIN = re.compile(r"[a-z0-9]+")
HEAD = re.compile(r"([一-鿿]{4})：")
SENTENCES = re.compile(r"[^。！？；!?;]*[。！？；!?;]?")


def rows_of(path):
    data = subprocess.run(["zstd", "-dc", path], capture_output=True, check=True).stdout \
        if path.suffix == ".zst" else path.read_bytes()
    return [row.strip().lower() for row in data.decode("utf-8", "ignore").split("\n") if row.strip()]


def bare(row):
    """What two rows have in common when only punctuation differs."""
    return "".join(c for c in row if c.isalnum())


def held_out(row, every):
    return int.from_bytes(hashlib.sha256(row.encode()).digest()[:4], "big") % every == 0


class Cutter:
    """WordPiece over single Han characters and runs of Latin letters and digits; as BertTokenizer, lower case."""

    def __init__(self, vocabulary):
        self.index = {piece: i for i, piece in enumerate(vocabulary)}
        self.unknown = self.index["[UNK]"]

    def latin(self, run):
        pieces, at = [], 0
        while at < len(run):
            for end in range(len(run), at, -1):
                piece = run[at:end] if at == 0 else "##" + run[at:end]
                if piece in self.index:
                    pieces.append(self.index[piece])
                    at = end
                    break
            else:
                return [self.unknown]
        return pieces

    def cut(self, row):
        """Pieces of a row, and which of them begin a word."""
        begins, at = set(), 0
        for word in jieba.cut(row, HMM=False):
            begins.add(at)
            at += len(word)
        pieces, starts, at = [], [], 0
        while at < len(row):
            run = LATIN.match(row, at)
            if run:
                got = self.latin(run.group())
                pieces += got
                starts += [True] + [False] * (len(got) - 1)
                at = run.end()
            else:
                if not row[at].isspace():
                    pieces.append(self.index.get(row[at], self.unknown))
                    starts.append(at in begins)
                at += 1
        return pieces, starts

    def rows(self, row, longest):
        """A row too long is cut behind its sentences."""
        pieces, starts = self.cut(row)
        if len(pieces) <= longest:
            return [(pieces, starts)] if len(pieces) >= 2 else []
        cuts, now = [], ([], [])
        for part in SENTENCES.findall(row):
            more = self.cut(part)
            if len(now[0]) + len(more[0]) > longest and len(now[0]) >= 4:
                cuts.append(now)
                now = ([], [])
            now = (now[0] + more[0], now[1] + more[1])
            while len(now[0]) > longest:
                cuts.append((now[0][:longest], now[1][:longest]))
                now = (now[0][longest:], now[1][longest:])
        return cuts + ([now] if len(now[0]) >= 4 else [])


def prepare(task):
    source, recipe, data, vocabulary, suites, out = task
    name = source.get("name") or Path(source["file"]).name.split(".")[0]
    rows = rows_of(data / source["file"])
    if source.get("list"):
        rows = [row.split("\t")[0].strip() for row in rows]
    if source.get("heads"):
        rows = sorted({head.group(1) for head in map(HEAD.match, rows) if head})
    first, end = source.get("rows", [0, None])
    rows = rows[first:end]
    rng = np.random.default_rng([recipe["seed"], len(rows)])
    kept, apart = [], []
    for row in rows:
        if not source.get("known_by_heart") and (held_out(row, recipe["held_out"]) or bare(row) in suites):
            apart.append(row)
        else:
            kept.append(row)
    if source.get("sample", len(kept)) < len(kept):
        kept = [kept[i] for i in np.sort(rng.permutation(len(kept))[:source["sample"]])]
    cutter = Cutter(vocabulary)
    cut = [part for row in kept for part in cutter.rows(row, recipe["longest"])]
    np.savez(out / f"{name}.npz",
             pieces=np.array([p for pieces, _ in cut for p in pieces], np.uint16),
             starts=np.array([s for _, starts in cut for s in starts], bool),
             ends=np.cumsum([len(pieces) for pieces, _ in cut]))
    (out / f"{name}.held-out.txt").write_text("".join(row + "\n" for row in apart), encoding="utf-8")
    return f"{name}: {len(kept)} rows, {len(cut)} sequences, {sum(len(p) for p, _ in cut)} pieces, {len(apart)} held out"


def main():
    recipe, data, vocabulary, suites, out = json.loads(Path(sys.argv[1]).read_text()), *map(Path, sys.argv[2:6])
    out.mkdir(parents=True, exist_ok=True)
    pieces = vocabulary.read_text(encoding="utf-8").split("\n")[:-1]
    forbidden = set()
    for suite in suites.glob("*.tsv"):
        for line in suite.read_text(encoding="utf-8").splitlines()[1:]:
            sentence, answer = line.split("\t")[:2]
            filled = re.sub(r"(\[MASK\])+", lambda _: answer, sentence, count=1)
            forbidden.add(bare(filled.lower()))
    for word in rows_of(data / "terms/THUOCL_chengyu.txt"):
        jieba.add_word(word.split("\t")[0].strip(), freq=2000)
    for row in rows_of(data / "corpus/idiom_dict.txt.zst"):
        head = HEAD.match(row)
        if head:
            jieba.add_word(head.group(1), freq=2000)
    jieba.initialize()
    tasks = [(source, recipe, data, pieces, forbidden, out) for source in recipe["sources"]]
    with Pool(2) as pool:
        for line in pool.imap_unordered(prepare, tasks, chunksize=1):
            print(line, flush=True)


if __name__ == "__main__":
    main()
