"""The fast path beside the exact one on cloze sets: accuracy.py MODEL_DIR|--default --cloze DIR [--patched MODEL_DIR]
[--rows N] [--no-verdict]

MODEL_DIR is a Hugging Face folder; --default takes the model inside the binary. DIR holds a set a TSV file, whose first
line names its columns; `sentence` has a [MASK] for each character of `answer` (or one for all of them). All questions
go through `tiankong fill -`.

Prints by set: how often the first candidates are the same; how many of the first five are (mean); how often the right
character is the first, or among the first three; and, where the first candidates differ, how much less likely the exact
path holds the fast one's than its own (nats, the largest). Ends with 1 where all sets together break a promise.

--patched names a model that was tuned from the first: does the fast path show what the exact one learnt? Of the blanks
whose exact first candidate (whose exact first three, as a set) the tuning changed: how often the fast path then has the
new one (the new set); and of all blanks, how the right character's change of log-probability in the one follows that in
the other."""

import argparse
import csv
import json
import math
import os
import pathlib
import statistics
import subprocess
import sys
from dataclasses import dataclass, field

from common import BINARY, heading, scratch, table

SAME_FIRST, OVERLAP, GAP_NATS, HIT_POINTS = 0.99, 0.96, 0.2, 0.3  # at least, at least, less than, at most
TOP, EXACT_TOP = 5, 20
MASK = "[MASK]"


# --- questions and answers


@dataclass
class Blank:
    suite: str
    text: str
    index: int  # among the text's blanks
    answer: str  # the right character
    seen: dict = field(default_factory=dict)  # by model and precision: View


@dataclass
class View:
    """What one precision of one model answers at one blank."""

    candidates: list  # texts, best first
    logs: dict  # log-probabilities by text: of the candidates, and of whatever else was asked for

    def first(self, count=TOP):
        return self.candidates[:count]


class Model:
    """A folder, or the model inside the binary where it is None."""

    def __init__(self, folder, scratch_folder):
        # Nobody listens there and nothing is kept there, so the model inside the binary answers, in its own process.
        nowhere = ["--state", f"{scratch_folder}/none", "--socket", f"{scratch_folder}/none.sock"]
        self.words = ["--model", folder] if folder else nowhere

    def answers(self, questions):
        """By question, blank by blank [(text, probability)]; None where it is none for this model."""
        lines = "".join(json.dumps(question, ensure_ascii=False) + "\n" for question in questions)
        done = subprocess.run([BINARY, "fill", "-", *self.words], input=lines, capture_output=True, text=True)
        if done.returncode or done.stdout.count("\n") != len(questions):
            raise SystemExit(f"fill: {done.returncode}: {done.stderr.strip()}")
        return [self.read(json.loads(line)) for line in done.stdout.splitlines()]

    @staticmethod
    def read(answer):
        if "error" in answer:
            return None
        return [[(one["text"], one["score"]) for one in blank["candidates"]] for blank in answer["blanks"]]


def read_blanks(folder, most):
    blanks = []
    for path in sorted(pathlib.Path(folder).glob("*.tsv")):
        with open(path, encoding="utf-8", newline="") as file:
            rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
            for _, row in zip(range(most), rows):
                answer, text = row["answer"], row["sentence"]
                if text.count(MASK) == 1:
                    text = text.replace(MASK, MASK * len(answer))
                assert text.count(MASK) == len(answer), f"{path}: {text}: expected a blank for each of {answer}"
                blanks += [Blank(path.stem, text, index, character) for index, character in enumerate(answer)]
    if not blanks:
        raise SystemExit(f"{folder}: expected .tsv files with rows, found none")
    return blanks


def look(blanks, model, name):
    """Both precisions' views of each blank; a text that one of them cannot answer is left out."""
    texts = list(dict.fromkeys(blank.text for blank in blanks))
    for precision, top in (("fast", TOP), ("exact", EXACT_TOP)):
        questions = [{"text": text, "top_k": top, "precision": precision} for text in texts]
        answers = dict(zip(texts, model.answers(questions)))
        for blank in blanks:
            if answer := answers[blank.text]:
                found = answer[blank.index]
                view = View([text for text, _ in found], {text: log(score) for text, score in found})
                blank.seen[name, precision] = view
    kept = [blank for blank in blanks if (name, "fast") in blank.seen and (name, "exact") in blank.seen]
    score_more(kept, model, name)
    return kept


def score_more(blanks, model, name):
    """What a table needs beside candidates: the right character's in both, the fast path's first in the exact one. Each
    is asked for alone, as a model that has no piece for one refuses all of them."""
    for precision in ("fast", "exact"):
        wanted = []
        for blank in blanks:
            more = blank.seen[name, "fast"].first(1) if precision == "exact" else []
            missing = {blank.answer, *more} - blank.seen[name, precision].logs.keys()
            wanted += [(blank, text) for text in sorted(missing)]
        pairs = list(dict.fromkeys((blank.text, text) for blank, text in wanted))
        questions = [{"text": text, "targets": [target], "precision": precision} for text, target in pairs]
        answers = dict(zip(pairs, model.answers(questions)))
        for blank, target in wanted:
            if answer := answers[blank.text, target]:
                blank.seen[name, precision].logs[target] = log(answer[blank.index][0][1])


def log(score):
    return math.log(max(score, 1e-45))


# --- fast beside exact


@dataclass
class Summary:
    blanks: int
    same_first: float
    overlap: float
    exact_hits: list  # top 1, top 3
    fast_hits: list
    gap: float

    def __init__(self, blanks, name):
        pairs = [(blank.seen[name, "exact"], blank.seen[name, "fast"]) for blank in blanks]
        differing = [pair for pair in pairs if pair[0].first(1) != pair[1].first(1)]
        self.blanks, self.same_first = len(blanks), 1 - len(differing) / len(blanks)
        self.overlap = statistics.mean(len({*exact.first()} & {*fast.first()}) / TOP for exact, fast in pairs)
        self.exact_hits = [hits(blanks, name, "exact", count) for count in (1, 3)]
        self.fast_hits = [hits(blanks, name, "fast", count) for count in (1, 3)]
        self.gap = max((gap(exact, fast) for exact, fast in differing), default=0)

    def row(self, name):
        pairs = list(zip(self.exact_hits, self.fast_hits))
        both = [f"{exact:.1%} / {fast:.1%} ({100 * (fast - exact):+.2f})" for exact, fast in pairs]
        return [name, self.blanks, f"{self.same_first:.2%}", f"{self.overlap:.3f}", *both, f"{self.gap:.3f}"]


def hits(blanks, name, precision, count):
    return statistics.mean(blank.answer in blank.seen[name, precision].first(count) for blank in blanks)


def gap(exact, fast):
    """Nats; where the exact path cannot score the fast one's first, at least what its last candidate lacks."""
    own, other = exact.candidates[0], fast.candidates[0]
    return exact.logs[own] - exact.logs.get(other, min(exact.logs.values()))


def summarize(blanks, name):
    suites = {}
    for blank in blanks:
        suites.setdefault(blank.suite, []).append(blank)
    whole = Summary(blanks, name)
    rows = [Summary(members, name).row(suite) for suite, members in suites.items()]
    header = [name, "blanks", "same first", "overlap of five", "top 1, exact / fast (points)",
              "top 3, exact / fast (points)", "largest gap, nats"]  # fmt: skip
    table(header, [*rows, whole.row("all")])
    return judge(whole)


def judge(whole):
    points = max(100 * abs(fast - exact) for exact, fast in zip(whole.exact_hits, whole.fast_hits))
    verdicts = [
        (whole.same_first >= SAME_FIRST, f"same first {whole.same_first:.2%}, at least {SAME_FIRST:.0%}"),
        (whole.overlap >= OVERLAP, f"overlap of five {whole.overlap:.3f}, at least {OVERLAP}"),
        (whole.gap < GAP_NATS, f"largest gap {whole.gap:.3f} nats, less than {GAP_NATS}"),
        (points <= HIT_POINTS, f"hits differ by {points:.2f} points, at most {HIT_POINTS}"),
    ]
    for kept, text in verdicts:
        print(f"{'met' if kept else 'NOT MET'}: {text}")
    return all(kept for kept, _ in verdicts)


# --- what was tuned in


def compare(blanks):
    rows = []
    for words, count in (("first candidate", 1), ("first three", 3)):
        sets = [{key: {*view.first(count)} for key, view in blank.seen.items()} for blank in blanks]
        changed = [views for views in sets if views["base", "exact"] != views["patched", "exact"]]
        shown = sum(views["patched", "fast"] == views["patched", "exact"] for views in changed)
        share = f"{shown / len(changed):.1%}" if changed else "–"
        rows.append([words, len(changed), shown, share])
    table([f"of {len(blanks)} blanks: exact's", "changed by the patch", "fast shows the patched one's", "share"], rows)
    changes = [change for blank in blanks if (change := changes_of(blank))]
    if len(changes) < 2 or len({exact for exact, _ in changes}) < 2:
        return print("The right characters' probabilities did not change.")
    exact, fast = zip(*changes)
    slope, correlation = statistics.linear_regression(exact, fast).slope, statistics.correlation(exact, fast)
    print(f"Change of the right character's log-probability, fast against exact: correlation {correlation:.4f}, "
          f"slope {slope:.3f} ({len(changes)} blanks, exact's mean {statistics.mean(exact):+.3f} nats).")  # fmt: skip


def changes_of(blank):
    """The right character's, in nats: exact, fast; None where a model has no such piece."""
    logs = {key: view.logs.get(blank.answer) for key, view in blank.seen.items()}
    if None in logs.values():
        return None
    return tuple(logs["patched", precision] - logs["base", precision] for precision in ("exact", "fast"))


# --- all of it


def measure(options):
    """Whether all promises were kept, by both models."""
    everything, kept = read_blanks(options.cloze, options.rows), []
    heading(f"{len(everything)} blanks")
    with scratch() as folder:
        blanks = look(everything, Model(options.model, folder), "base")
        kept.append(summarize(blanks, "base"))
        if options.patched:
            blanks = look(blanks, Model(options.patched, folder), "patched")
            kept.append(summarize(blanks, "patched"))
            compare(blanks)
    if len(blanks) < len(everything):
        print(f"{len(everything) - len(blanks)} blanks were left out: their texts have no answer.")
    return all(kept)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    model = parser.add_mutually_exclusive_group(required=True)
    model.add_argument("model", nargs="?")
    model.add_argument("--default", action="store_true")
    parser.add_argument("--cloze", required=True)
    parser.add_argument("--patched")
    parser.add_argument("--rows", type=int, default=10**9, help="of each set, the first")
    parser.add_argument("--no-verdict", action="store_true")
    options = parser.parse_args()
    return 0 if measure(options) or options.no_verdict else 1


if __name__ == "__main__":
    sys.exit(main())
