"""Whole passes on every instruction set that this machine has, beside what it can do at best: kernels.py
[--tokens 8,32,128] [--threads 1,2] [--precision fast|exact|both] [--isa avx2,avxvnni] [--small]

Rows of `tiankong bench --shape bert-base-chinese` (random weights, one text a pass), a run for each instruction set
(TIANKONG_ISA) and thread count. The limit is what the machine, measured right before, needs at best: eight-bit or fp32
arithmetic at its peak, or weights read at full bandwidth, whichever is slower. The scalar path is the kernels'
reference and takes minutes for that shape; --small adds it, beside the others, with the model inside the binary."""

import argparse
import json
import os
import subprocess

from common import BINARY, heading, load, processor, table

SCALAR, VECTORS = "scalar", {"avx2": "avx2", "avxvnni": "avx_vnni", "avx512vnni": "avx512_vnni"}  # ours: Linux's
SHAPE, MOST_SMALL_TOKENS = ["--shape", "bert-base-chinese"], 32


def rows(shape, isa, threads, tokens, precision):
    command = [BINARY, "bench", *shape, "--json", "--threads", str(threads), "--precision", precision]
    command += ["--tokens", ",".join(map(str, tokens))]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"TIANKONG_ISA": isa})
    if done.returncode:
        raise SystemExit(f"bench on {isa}: {done.returncode}: {done.stderr.strip()}")
    return [json.loads(line) for line in done.stdout.splitlines()]


def compare(name, shape, isas, tokens, options):
    found = []
    for isa in isas:
        for threads in options.threads:
            found += rows(shape, isa, threads, tokens, options.precision)
    found.sort(key=lambda row: (row["precision"], row["threads"], row["tokens"]))
    header = [name, "threads", "tokens", "instructions", "least ms", "p50 ms", "tokens/s", "limit ms", "× limit"]
    table(header, map(cells, found))


def cells(row):
    return [row["precision"], row["threads"], row["tokens"], row["isa"], f"{row['min_ms']:.3f}", f"{row['p50_ms']:.3f}",
            f"{row['tokens_per_s']:.0f}", f"{row['limit_ms']:.3f}", f"{row['ratio_to_limit']:.2f}"]  # fmt: skip


def here():
    flags = processor()[1]
    return [isa for isa, flag in VECTORS.items() if flag in flags]


def numbers(words):
    return [int(word) for word in words.split(",")]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=numbers, default=[8, 32, 128])
    parser.add_argument("--threads", type=numbers, default=[1, 2])
    parser.add_argument("--precision", choices=["fast", "exact", "both"], default="fast")
    parser.add_argument("--isa", type=lambda words: words.split(","), default=here())
    parser.add_argument("--small", action="store_true")
    options = parser.parse_args()
    heading("one text a pass")
    compare("bert-base-chinese", SHAPE, [isa for isa in options.isa if isa != SCALAR], options.tokens, options)
    if options.small:
        tokens = [count for count in options.tokens if count <= MOST_SMALL_TOKENS]
        compare("the model inside the binary", [], [SCALAR, *options.isa], tokens, options)
    print(f"At the end {load()}.")


if __name__ == "__main__":
    main()
