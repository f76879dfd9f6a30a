"""What a query costs beside its arithmetic: query.py MODEL_DIR [--threads 2] [--what latency,load,fill,allocations]
[--rounds 10] [--requests 100] [--clients 16] [--seconds 20] [--lines 2000] [--no-verdict]

MODEL_DIR is a Hugging Face folder with a vocab.txt (make_random_model.py writes one). Its import is served on the fast
path over a Unix socket and TCP. No question comes twice, for what was asked before is answered from memory.

latency:     16 tokens, one client: whole requests (HTTP, JSON, tokens, candidates) over the socket and over TCP, less
             the engine's own time for that shape (`tiankong bench --lines`), taken in turns. Beside them, the same
             question again and again: all that a request is but tokens and the engine.
load:        32 tokens, many clients who ask without pause, over the socket.
fill:        `tiankong fill -` over files of questions of 32 tokens, through the service and in its own process: what
             comes after the start, from the difference of two files, and the most memory resident, which must not grow.
allocations: calls of malloc and its kin in the service for one query of 16 tokens (count_malloc.c; needs cc).

Ends with 1 where the socket adds more than 0.3 ms at p50, or a query allocates more often than ALLOCATIONS."""

import argparse
import itertools
import json
import math
import mmap
import os
import pathlib
import random
import selectors
import statistics
import subprocess
import sys
import time

from common import BINARY, Service, heading, load, place, quantile, receive, request, scratch, table, tiankong

ADDED_MS = 0.3  # by the socket, at p50: promised
ALLOCATIONS = 240  # a query: a fifth above what it was when this was written, 199
BUSY = 1.25  # the engine's p50 is that far above its least only where others take the cores
WARM_REQUESTS, COUNTED_REQUESTS = 500, 2000
SHORT, LONG = 16, 32  # tokens
AGAIN = "socket, asked before: no engine"
WHAT = ["latency", "load", "fill", "allocations"]
FAST = {"TIANKONG_PRECISION": "fast"}


class Questions:
    """Random characters of the model's vocabulary and one blank, another text each time."""

    def __init__(self, model):
        pieces = (pathlib.Path(model) / "vocab.txt").read_text(encoding="utf-8").splitlines()
        self.characters = [piece for piece in pieces if len(piece) == 1 and "\u4e00" <= piece <= "\u9fff"]
        self.random = random.Random(16)

    def text(self, tokens):
        """[CLS], [SEP] and the blank are three of the tokens."""
        around = self.random.choices(self.characters, k=tokens - 3)
        around.insert(self.random.randrange(len(around) + 1), "[MASK]")
        return "".join(around)

    def requests(self, tokens, count):
        return [request(text=self.text(tokens)) for _ in range(count)]


# --- latency


class Engine:
    """`tiankong bench --lines`: passes of a shape, without text and HTTP around them."""

    def __init__(self, options):
        command = [BINARY, "bench", "--model", options.model, "--precision", "fast", "--lines"]
        command += ["--threads", str(options.threads)]
        self.process = subprocess.Popen(command, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert json.loads(self.process.stdout.readline())["ready"]

    def times(self, tokens, runs):
        line = {"batch": 1, "tokens": tokens, "runs": runs, "seconds": 5, "warm_seconds": 0.2}
        self.process.stdin.write(json.dumps(line) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())["ms"]

    def end(self):
        self.process.stdin.close()
        self.process.wait()


def ask(connection, requests):
    """Milliseconds of each, and those that the service says it needed itself."""
    times, inside = [], []
    for bytes_ in requests:
        started = time.perf_counter()
        connection.sendall(bytes_)
        status, body = receive(connection)
        times.append((time.perf_counter() - started) * 1e3)
        assert status == 200, body
        inside.append(json.loads(body)["elapsed_ms"])
    return times, inside


def latency(questions, options, folder):
    """Prints the table. Returns what the socket adds; more than any limit where the machine was too busy to tell."""
    found = {"engine": [], "socket": [], "TCP": [], AGAIN: []}
    inside = []
    with Service(folder, options.threads, "127.0.0.1:0", **FAST) as service:
        socket, engine = service.connect(), Engine(options)
        connections = {"socket": socket, "TCP": service.connect_tcp(), AGAIN: socket}
        for number in range(options.rounds):
            for way in list(found)[:: -1 if number % 2 else 1]:
                if way == "engine":
                    found[way].append(engine.times(SHORT, options.requests))
                    continue
                requests = questions.requests(SHORT, options.requests)
                # As warm as the engine's.
                ask(connections[way], requests[:1] if way == AGAIN else questions.requests(SHORT, 20))
                times, own = ask(connections[way], requests[:1] * len(requests) if way == AGAIN else requests)
                found[way].append(times)
                inside += own if way == "socket" else []
        engine.end()
    return latency_table(found, inside)


def latency_table(found, inside):
    middles = {way: [statistics.median(turn) for turn in turns] for way, turns in found.items()}
    added = {way: [a - b for a, b in zip(turns, middles["engine"])] for way, turns in middles.items()}
    rows = []
    for way, turns in found.items():
        times = [ms for turn in turns for ms in turn]
        more = f"{statistics.median(added[way]):.3f} ({min(added[way]):.3f} to {max(added[way]):.3f})"
        rows.append([way, len(times), f"{min(times):.3f}", f"{statistics.median(times):.3f}",
                     f"{quantile(times, 0.99):.3f}", more if way in ("socket", "TCP") else ""])  # fmt: skip
    header = [f"{SHORT} tokens, one client", "n", "least ms", "p50 ms", "p99 ms", "p50 above the engine's, ms"]
    table(header, rows)
    print(f"Within the service a request over the socket takes {statistics.median(inside):.3f} ms (p50).")
    if statistics.median(middles["engine"]) > BUSY * min(map(min, found["engine"])):
        print("The machine was busy with something else: measure again.")
        return math.inf
    return statistics.median(added["socket"])


# --- load


class Crowd:
    """Clients on one thread: each asks again as soon as it has its answer."""

    def __init__(self, service, clients, requests):
        self.requests, self.selector, self.answered = requests, selectors.DefaultSelector(), []
        for _ in range(clients):
            self.selector.register(service.connect(), selectors.EVENT_READ)

    def run(self, seconds):
        asked, begin = {}, time.perf_counter()
        for key in self.selector.get_map().values():
            self.send(key.fileobj, asked)
        while asked:
            for key, _ in self.selector.select():
                status, body = receive(key.fileobj)
                now = time.perf_counter()
                assert status == 200, body
                self.answered.append((now - asked.pop(key.fileobj)) * 1e3)
                if now - begin < seconds:
                    self.send(key.fileobj, asked)
        return time.perf_counter() - begin

    def send(self, connection, asked):
        bytes_ = next(self.requests)
        asked[connection] = time.perf_counter()
        connection.sendall(bytes_)


def many(questions, options, folder):
    made = questions.requests(LONG, int(400 * options.seconds))
    requests = itertools.chain(made, (questions.requests(LONG, 1)[0] for _ in itertools.count()))
    with Service(folder, options.threads, **FAST) as service:
        crowd = Crowd(service, options.clients, requests)
        crowd.run(1)  # to warm
        before, spent = service.resident(), time.process_time()
        crowd.answered.clear()
        seconds = crowd.run(options.seconds)
        spent = time.process_time() - spent
        after = service.resident()
    times = crowd.answered
    rows = [[len(times), f"{len(times) * LONG / seconds:.0f}", f"{statistics.median(times):.1f}",
             f"{quantile(times, 0.99):.1f}", f"{max(times):.1f}", f"{before:.0f} → {after:.0f}"]]  # fmt: skip
    table([f"{options.clients} clients, {LONG} tokens: n", "tokens/s", "p50 ms", "p99 ms", "max ms", "own MiB"], rows)
    print(f"The clients took {100 * spent / seconds:.0f} % of a core; {load()}.")


# --- fill


def fill(questions, options, folder):
    few, lots = options.lines, 4 * options.lines
    ways = {"in its own process": ["--model", options.model], "through the service": place(folder)}
    rows = []
    with Service(folder, options.threads, **FAST):
        for way, words in ways.items():
            one, one_peak = answer_file(questions, few, words, options, folder)
            four, four_peak = answer_file(questions, lots, words, options, folder)
            rows.append([way, f"{few * LONG / one:.0f}", f"{(lots - few) * LONG / (four - one):.0f}", f"{one_peak:.0f}",
                         f"{four_peak:.0f}", f"{four_peak - one_peak:+.1f}"])  # fmt: skip
    header = [f"fill -, {LONG} tokens", f"tokens/s of {few} lines, start and all", f"of the {lots - few} lines after"]
    table([*header, f"most MiB, {few} lines", f"{lots} lines", "growth"], rows)


def answer_file(questions, count, words, options, folder):
    """Seconds, and the most MiB that were resident. (Linux counts the process it came from: this script's few MiB are
    the least it can say.)"""
    asked, answers = pathlib.Path(folder, "asked"), pathlib.Path(folder, "answers")
    with open(asked, "w", encoding="utf-8") as file:
        file.writelines(questions.text(LONG) + "\n" for _ in range(count))
    variables = os.environ | FAST | {"TIANKONG_MODEL_THREADS": str(options.threads)}
    with open(asked) as lines, open(answers, "w") as out:
        started = time.perf_counter()
        process = subprocess.Popen([BINARY, "fill", "-", *words], stdin=lines, stdout=out, env=variables)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    with open(answers, encoding="utf-8") as lines:
        good = sum(line.startswith('{"version"') for line in lines)
    assert process.returncode == 0 and good == count, f"fill: status {process.returncode}, {good} answers of {count}"
    return seconds, usage.ru_maxrss / 1024


# --- allocations


def allocations(questions, options, folder):
    """A query's; None without a compiler."""
    source, library = pathlib.Path(__file__).with_name("count_malloc.c"), f"{folder}/count_malloc.so"
    try:
        subprocess.run(["cc", "-O2", "-fPIC", "-shared", "-o", library, source], check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"No allocations counted: {error}")
        return None
    path = pathlib.Path(folder, "count")
    path.write_bytes(bytes(8))
    variables = FAST | {"LD_PRELOAD": library, "MALLOC_COUNT_FILE": str(path)}
    with open(path) as file, mmap.mmap(file.fileno(), 8, prot=mmap.PROT_READ) as counter:
        with Service(folder, options.threads, **variables) as service:
            connection = service.connect()
            ask(connection, questions.requests(SHORT, WARM_REQUESTS))
            counted = questions.requests(SHORT, COUNTED_REQUESTS)
            before = int.from_bytes(counter[:8], "little")
            ask(connection, counted)
            each = (int.from_bytes(counter[:8], "little") - before) / COUNTED_REQUESTS
    assert each > 0, "the library was not preloaded"
    print(f"\nA query of {SHORT} tokens allocates {each:.1f} times (mean of {COUNTED_REQUESTS}).")
    return each


# --- all of it


def verdict(name, found, limit):
    print(f"{'met' if found <= limit else 'NOT MET'}: {name} {found:.3f}, at most {limit}")
    return found <= limit


def measure(options):
    """Whether all promises were kept."""
    questions, kept = Questions(options.model), []
    heading(f"{options.threads} threads")
    with scratch() as folder:
        tiankong("import", options.model, *place(folder))
        if "fill" in options.what:  # before this process grows: see answer_file
            fill(questions, options, folder)
        if "latency" in options.what:
            kept.append(verdict("ms that the socket adds", latency(questions, options, folder), ADDED_MS))
        if "load" in options.what:
            many(questions, options, folder)
        if "allocations" in options.what and (each := allocations(questions, options, folder)) is not None:
            kept.append(verdict("allocations a query", each, ALLOCATIONS))
    return all(kept)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--what", type=lambda words: words.split(","), default=WHAT)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--requests", type=int, default=100)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--lines", type=int, default=2000)
    parser.add_argument("--no-verdict", action="store_true")
    options = parser.parse_args()
    return 0 if measure(options) or options.no_verdict else 1


if __name__ == "__main__":
    sys.exit(main())
