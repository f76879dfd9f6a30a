"""Whole words: words.py CLOZE_DIR [--model DIR] [--terms DIR]

CLOZE_DIR holds tab-separated suites (sentence with a [MASK] a missing character, answer, also). Over rows of 2 to 4 missing
characters, `tiankong fill -` in its own process: the right word by independent marginals (each [MASK] a blank, words by
the product of their pieces), by `span` n, and by `span` "auto" with the share of rows whose first candidate has the right
length. Prints a Markdown table."""

import argparse
import itertools
import json
import pathlib
import subprocess

from common import BINARY, heading, table

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("suites", metavar="CLOZE_DIR")
parser.add_argument("--model", help="a Hugging Face folder; else the model inside the binary")
parser.add_argument("--terms", help="a folder of terms; else none")
options = parser.parse_args()


def rows():
    for file in sorted(pathlib.Path(options.suites).glob("*.tsv")):
        lines = file.read_text(encoding="utf-8").splitlines()
        columns = lines[0].split("\t")
        for line in lines[1:]:
            row = dict(zip(columns, line.split("\t")))
            row["right"] = {row["answer"], *filter(None, row.get("also", "").split("|"))}
            row["suite"] = file.stem
            yield row


def fill(requests):
    """Answers of /v1/fill, by a process of its own: no socket."""
    model = ["--model", options.model] if options.model else ["--state", "/nonexistent"]
    done = subprocess.run(
        [BINARY, "fill", "-", *model], input="".join(json.dumps(r, ensure_ascii=False) + "\n" for r in requests),
        text=True, capture_output=True, check=True,
        env={"PATH": "/usr/bin:/bin", "TIANKONG_TERMS": options.terms or "/nonexistent"})  # fmt: skip
    return [json.loads(line) for line in done.stdout.splitlines()]


def marginal_words(answer):
    """The three words whose pieces' own probabilities have the highest product."""
    words = {}
    for pieces in itertools.product(*(blank["candidates"] for blank in answer["blanks"])):
        score = 1.0
        for piece in pieces:
            score *= piece["score"]
        words["".join(piece["text"] for piece in pieces)] = score
    return sorted(words, key=words.get, reverse=True)[:3]


def share(hits):
    return sum(hits) / max(len(hits), 1)


def main():
    asked = [row for row in rows() if 2 <= len(row["answer"]) <= 4]
    one = [row["sentence"].replace("[MASK]" * len(row["answer"]), "[MASK]") for row in asked]
    apart = fill([{"text": row["sentence"], "top_k": 6} for row in asked])
    known = fill([{"text": text, "span": len(row["answer"]), "top_k": 5} for text, row in zip(one, asked)])
    auto = fill([{"text": text, "span": "auto", "top_k": 5} for text in one])
    for row, a, k, u in zip(asked, apart, known, auto):
        row["apart"] = marginal_words(a)
        row["known"] = [c["text"] for c in k["blanks"][0]["candidates"]]
        row["auto"] = [c["text"] for c in u["blanks"][0]["candidates"]]
    out = []
    for suite in [*sorted({row["suite"] for row in asked}), "all"]:
        mine = [row for row in asked if suite in (row["suite"], "all")]
        cells = [suite, len(mine)]
        for way, first in itertools.product(("apart", "known", "auto"), (1, 3)):
            cells.append(f"{share([bool(row['right'] & set(row[way][:first])) for row in mine]):.1%}")
        cells.append(f"{share([bool(row['auto']) and len(row['auto'][0]) == len(row['answer']) for row in mine]):.1%}")
        cells.append(f"{share([len(row['answer']) == 2 for row in mine]):.1%}")
        out.append(cells)
    heading()
    table(["suite", "rows", "marginals first", "among 3", "span n first", "among 3", "auto first", "among 3",
           "auto: right length", "always two"], out)  # fmt: skip


main()
