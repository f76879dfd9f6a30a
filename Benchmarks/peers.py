"""Tiankong beside other engines on the same model, in turns: peers.py MODEL_DIR [--work DIR] [--engines a,b]
[--threads 1,2] [--tokens 8,16,32] [--what latency,throughput,accuracy,start,memory] [--rounds N] [--isa avx2] [-o JSON]

MODEL_DIR is a Hugging Face folder (make_random_model.py writes one of bert-base-chinese's shape); what the engines need
of it, prepare_peers.py makes under --work. Tiankong is TIANKONG_BINARY or the release build.

One worker process an engine and thread count. Each round one works while the others sleep, so that the ratios hold when
the machine's speed drifts. All do the same: ids in, logits at the one blank of each text out, in-process and without
tokenizing (CTranslate2 is encoder only, so it is never the best peer). Latency is one text's, at each thread count;
throughput, accuracy, start and memory are taken with the most threads. Start is from process start to the first answer
with a warm page cache: of a peer's worker, of Tiankong's service over its socket. Tables go to stdout as Markdown."""

import argparse
import contextlib
import datetime
import http.client
import importlib.metadata
import json
import os
import pathlib
import socket
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np
from prepare_peers import BLANK, PEERS, load, prepare, questions

BINARY = os.environ.get("TIANKONG_BINARY", str(pathlib.Path(__file__).parents[1] / ".build/release/tiankong"))
OURS = {"tiankong_fast": ("int8", "fast"), "tiankong_exact": ("fp32", "exact")}  # the peers' kind, the precision
KINDS = {engine: kind for engine, (kind, *_) in (OURS | PEERS).items()}
DEFAULT = ["ov_int8", "ov_int8w_g128", "ov_fp32", "ort_int8", "ort_fp32", "torch_fp32", "torch_int8dyn", "ct2_int8"]
WHAT = ["latency", "throughput", "accuracy", "start", "memory"]
TURN = {"runs": 40, "seconds": 1, "warm_seconds": 0.15}  # of one shape: as many runs as fit, one at least
BATCHES = [(8, 32), (32, 32), (8, 128)]  # throughput: texts × tokens
FIRST = {"batch": 1, "tokens": 5, "runs": 1, "seconds": 1, "warm_seconds": 0}  # after a start: one answer, 5 tokens
FIRST_TEXT = "[MASK]字字"  # the same for the service: with [CLS] and [SEP] 5 tokens
TEXTS, TEXT_TOKENS, REFERENCE = 200, 24, "torch_fp32"  # accuracy
PACKAGES = ["torch", "transformers", "onnx", "onnxruntime", "openvino", "nncf", "ctranslate2", "numpy"]
ISAS = {"avx2": "AVX2", "avxvnni": "AVX2_VNNI"}  # ours: oneDNN's
UNLIMITED = {"ort"}  # by the first part of their names: no variable limits ONNX Runtime


def tell(text):
    print(text, file=sys.stderr, flush=True)


# --- a worker: `tiankong bench --lines`, or this script doing the same with a peer


def work_as(peer, model_dir, work, threads):
    """Answers requests, JSON objects one a line: times of a shape, or logits of given ids."""
    ask = load(peer, model_dir, work, threads)
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        if "ids" in request:
            ids = np.array(request["ids"], dtype=np.int64)
            places = (ids == BLANK).argmax(1).astype(np.int64)
            answer = {"logits": ask(ids, np.ones_like(ids), np.zeros_like(ids), places).tolist()}
        else:
            answer = {"ms": times(ask, **request)}
        print(json.dumps(answer), flush=True)
    os._exit(0)  # some of the libraries hang or crash when they take themselves down


def times(ask, batch, tokens, runs, seconds, warm_seconds):
    arrays, found = questions(batch, tokens), []
    started = time.perf_counter()
    while time.perf_counter() - started < warm_seconds:
        ask(*arrays)
    started = time.perf_counter()
    while not found or (len(found) < runs and time.perf_counter() - started < seconds):
        before = time.perf_counter()
        ask(*arrays)
        found.append((time.perf_counter() - before) * 1e3)
    return found


class Worker:
    """A process that holds one engine, asked and answering over its pipes."""

    def __init__(self, engine, threads, options):
        self.engine, self.started = engine, time.perf_counter()
        if engine in OURS:
            command = [BINARY, "bench", "--model", options.model, "--precision", OURS[engine][1], "--lines"]
        else:
            command = [sys.executable, __file__, options.model, "--work", options.work, "--worker", engine]
        self.errors = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(
            [*map(str, command), "--threads", str(threads)], text=True, env=environment(threads, options.isa),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors,
        )  # fmt: skip
        self.facts = self.read()

    def read(self):
        """The next answer; libraries may print beside it."""
        for line in self.process.stdout:
            if line.startswith("{"):
                answer = json.loads(line)
                if "error" in answer:
                    raise RuntimeError(f"{self.engine}: {answer['error']}")
                return answer
        self.errors.seek(0)
        raise RuntimeError(f"{self.engine} ended: {self.errors.read()[-400:].strip()}")

    def ask(self, **request):
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return self.read()

    def end(self):
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def environment(threads, isa):
    """Thread counts for whoever asks the environment, no look-ups on the net, and the limits of --isa: oneDNN's (in
    PyTorch, OpenVINO and CTranslate2), OpenVINO's own, ATen's, MKL's and CTranslate2's own."""
    variables = dict.fromkeys(["OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"], str(threads))
    variables |= {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "PYTHONWARNINGS": "ignore"}
    if isa:
        variables |= dict.fromkeys(["ONEDNN_MAX_CPU_ISA", "OV_CPU_MAX_ISA"], ISAS[isa])
        variables |= dict.fromkeys(["MKL_ENABLE_INSTRUCTIONS", "CT2_FORCE_CPU_ISA"], "AVX2")
        variables |= {"ATEN_CPU_CAPABILITY": "avx2", "TIANKONG_ISA": isa}
    return os.environ | variables


# --- measuring


def open_workers(threads, options):
    """Those that come up; the others are told of and left out."""
    workers = []
    for engine in options.engines:
        try:
            workers.append(Worker(engine, threads, options))
        except (RuntimeError, OSError) as error:
            tell(f"left out: {error}")
    return workers


def take_turns(workers, rounds, batch, tokens):
    """By engine, the times of one shape in ms, a list a round; every other round goes the other way."""
    turns = {worker.engine: [] for worker in workers}
    for number in range(rounds):
        for worker in workers[:: -1 if number % 2 else 1]:
            try:
                turns[worker.engine].append(worker.ask(batch=batch, tokens=tokens, **TURN)["ms"])
            except (RuntimeError, OSError) as error:
                tell(f"left out from {batch} × {tokens} on: {error}")
                workers.remove(worker)
                worker.end()
                del turns[worker.engine]
    return turns


def accuracy(workers):
    """By engine, how close the logits at the blank are to the reference's, a row a text."""
    reference = next((worker for worker in workers if worker.engine == REFERENCE), None)
    if reference is None:
        tell(f"no accuracy without {REFERENCE}")
        return {}
    found, expected = {}, logits(reference)
    for worker in (worker for worker in workers if KINDS[worker.engine] != "encoder only"):
        try:
            found[worker.engine] = [likeness(*pair) for pair in zip(expected, logits(worker))]
        except (RuntimeError, OSError) as error:
            tell(f"left out of accuracy: {error}")
    return found


def logits(worker):
    """One text at a time, as an engine that finds its scales as it goes would otherwise share them among texts."""
    texts = (questions(1, TEXT_TOKENS, seed=10**6 + 7919 * text)[0] for text in range(TEXTS))
    return [np.array(worker.ask(ids=ids.tolist())["logits"][0], dtype=np.float64) for ids in texts]


def likeness(expected, found):
    cosine = expected @ found / np.linalg.norm(expected) / np.linalg.norm(found)
    best, guess = np.argsort(-expected)[:5], np.argsort(-found)[:5]
    return {"cosine": float(cosine), "top1": int(best[0] == guess[0]), "top5": len({*best} & {*guess}) / 5}


def starts(threads, options):
    """By engine, seconds to the first answer and memory after it, a row a round; one round before warms the cache."""
    found = {engine: [] for engine in options.engines}
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR", "/var/tmp")) as folder:
        place = ["--state", folder + "/state", "--socket", folder + "/t.sock"]
        if found.keys() & OURS.keys():
            subprocess.run([BINARY, "import", options.model, *place], check=True, stdout=subprocess.DEVNULL)
        for number in range(options.rounds + 1):
            for engine in list(found):
                try:
                    row = (start_ours if engine in OURS else start_peer)(engine, threads, options, place)
                    found[engine] += [row] if number else []
                except (RuntimeError, OSError) as error:
                    tell(f"left out of starts: {error}")
                    del found[engine]
    return found


def start_peer(engine, threads, options, _):
    worker = Worker(engine, threads, options)
    try:
        worker.ask(**FIRST)
        return {"seconds": time.perf_counter() - worker.started, **memory(worker.process.pid)}
    finally:
        worker.end()


def start_ours(engine, threads, options, place):
    """The service, asked until it answers."""
    variables = environment(threads, options.isa) | {"TIANKONG_PRECISION": OURS[engine][1]}
    command = [BINARY, "serve", *place, "--listen", "none", "--threads", str(threads)]
    started = time.perf_counter()
    process = subprocess.Popen(command, env=variables, stderr=subprocess.DEVNULL)
    try:
        while not answers(place[-1]):
            if process.poll() is not None or time.perf_counter() - started > 120:
                raise RuntimeError(f"{engine}: the service does not answer")
            time.sleep(0.001)
        return {"seconds": time.perf_counter() - started, **memory(process.pid)}
    finally:
        process.terminate()
        process.wait()


def answers(path):
    connection = http.client.HTTPConnection("localhost")
    connection.sock = socket.socket(socket.AF_UNIX)
    try:
        connection.sock.connect(path)
        body = json.dumps({"text": FIRST_TEXT}).encode()
        connection.request("POST", "/v1/fill", body, {"Content-Type": "application/json"})
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def memory(process):
    """MiB resident: all of it, with shared pages divided among their users, and the process's own pages."""
    lines = pathlib.Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()[1:]
    size = {name: int(number) / 1024 for name, number, *_ in map(str.split, lines)}
    return {"rss": size["Rss:"], "pss": size["Pss:"], "own": size["Private_Clean:"] + size["Private_Dirty:"]}


def measure(options):
    """All raw numbers: a record a measurement, its rows by engine."""
    records, most = [], max(options.threads)
    for threads in options.threads:
        shapes = [("latency", 1, tokens) for tokens in options.tokens]
        shapes += [("throughput", *shape) for shape in BATCHES if threads == most]
        shapes = [shape for shape in shapes if shape[0] in options.what]
        compared = "accuracy" in options.what and threads == most
        workers = open_workers(threads, options) if shapes or compared else []
        tell(f"{threads} threads: {', '.join(f'{worker.engine} {worker.facts}' for worker in workers)}")
        for what, batch, tokens in shapes:
            tell(f"{what} {batch} × {tokens}")
            rows = take_turns(workers, options.rounds, batch, tokens)
            records.append({"what": what, "threads": threads, "batch": batch, "tokens": tokens, "rows": rows})
        if compared:
            records.append({"what": "accuracy", "threads": threads, "rows": accuracy(workers)})
        for worker in workers:
            worker.end()
    if {"start", "memory"} & {*options.what}:
        records.append({"what": "start", "threads": most, "rows": starts(most, options)})
    return records


# --- telling


def machine():
    facts = dict(map(str.strip, line.split(":", 1)) for line in open("/proc/cpuinfo") if ":" in line)
    isas = {"avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8"} & {*facts["flags"].split()}
    return {
        "cpu": facts["model name"], "isas": sorted(isas), "cores": len(os.sched_getaffinity(0)),
        "date": datetime.date.today().isoformat(), "load": round(os.getloadavg()[0], 2),
    }  # fmt: skip


def versions():
    found = {}
    for name in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    with contextlib.suppress(OSError):
        found["tiankong"] = subprocess.run([BINARY, "--version"], capture_output=True, text=True).stdout.strip()
    return found


def report(result, options):
    facts, records = result["machine"], result["records"]
    print(f"{facts['cpu']} ({' '.join(facts['isas'])}), {facts['cores']} cores, {facts['date']}, load {facts['load']} "
          f"before and {result['load_after']} after, {options.rounds} rounds; "
          f"{', '.join(f'{name} {version}' for name, version in result['versions'].items())}.")  # fmt: skip
    if options.isa:
        print(f"Instructions limited to {options.isa}; engines that nothing limits are marked, and no best peers.")
    for threads in options.threads:
        title = f"Latency of one text, threads: {threads}; p50 (least), ms"
        latencies = [record for record in records if record["what"] == "latency" and record["threads"] == threads]
        timing_table(title, latencies, options, lambda ms, record: f"{ms:.2f}")
    title = f"Throughput, threads: {max(options.threads)}; tokens/s at p50 (at best), ratios of time"
    batches = [record for record in records if record["what"] == "throughput"]
    timing_table(title, batches, options, lambda ms, record: f"{record['batch'] * record['tokens'] / ms * 1e3:.0f}")
    for record in records:
        if record["what"] == "accuracy":
            accuracy_table(record, options)
        if record["what"] == "start":
            start_table(record, options)


def table(title, header, rows):
    lines = [header, ["---"] * len(header), *rows]
    print(f"\n{title}\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines))


def label(engine, options):
    marks = [KINDS[engine]] if KINDS[engine] == "encoder only" else []
    marks += ["not limited"] if is_unlimited(engine, options) else []
    return f"{engine} ({', '.join(marks)})" if marks else engine


def is_unlimited(engine, options):
    return bool(options.isa) and engine.split("_")[0] in UNLIMITED


def timing_table(title, records, options, show):
    """A row an engine and a column a shape; then how much of the best peer's time Tiankong took."""

    def cell(engine, record):
        taken = [ms for turn in record["rows"].get(engine, []) for ms in turn]
        return f"{show(statistics.median(taken), record)} ({show(min(taken), record)})" if taken else ""

    engines = [engine for engine in options.engines if any(engine in record["rows"] for record in records)]
    rows = [[label(engine, options), *(cell(engine, record) for record in records)] for engine in engines]
    for ours in (engine for engine in engines if engine in OURS):
        ratios = (beside_best(ours, record["rows"], options) for record in records)
        rows.append([f"{ours} ÷ best {KINDS[ours]} peer", *ratios])
    heads = [f"{record['batch']} × {record['tokens']}" for record in records]
    if rows:
        table(title, ["texts × tokens", *heads], rows)


def beside_best(ours, turns, options):
    """The ratio to the peer of the same kind with the least median. Taken round by round: of times seconds apart."""
    medians = {engine: [statistics.median(turn) for turn in rounds] for engine, rounds in turns.items()}
    peers = [engine for engine in medians if engine not in OURS and not is_unlimited(engine, options)]
    peers = [engine for engine in peers if KINDS[engine] == KINDS[ours]]
    if ours not in medians or not peers:
        return ""
    best = min(peers, key=lambda peer: statistics.median(medians[peer]))
    ratio = statistics.median(mine / theirs for mine, theirs in zip(medians[ours], medians[best]))
    return f"**{ratio:.2f}** ({best})"


def accuracy_table(record, options):
    rows = []
    for engine, texts in record["rows"].items():
        cosine, top1, top5 = (np.array([text[key] for text in texts]) for key in ("cosine", "top1", "top5"))
        figures = [f"{cosine.mean():.6f}", f"{cosine.min():.6f}", f"{top1.mean():.3f}", f"{top5.mean():.3f}"]
        rows.append([label(engine, options), *figures])
    title = f"Logits at the blank beside {REFERENCE}'s, {TEXTS} random texts of {TEXT_TOKENS} tokens"
    table(title, ["engine", "cosine, mean", "cosine, least", "top-1 the same", "top-5 shared"], rows)


def start_table(record, options):
    rows = []
    for engine, started in record["rows"].items():
        seconds, *sizes = ([start[key] for start in started] for key in ("seconds", "rss", "pss", "own"))
        figures = [f"{statistics.median(seconds):.3f} ({min(seconds):.3f})"]
        figures += [f"{statistics.median(size):.0f}" for size in sizes]
        rows.append([label(engine, options), *figures])
    title = f"Process start to first answer, threads: {record['threads']}; p50 (least), and memory after it, MiB"
    table(title, ["engine", "start, s", "Rss", "Pss", "private"], rows)


def parse():
    def names(allowed):
        def split(text):
            wrong = [name for name in text.split(",") if name not in allowed]
            if wrong:
                raise argparse.ArgumentTypeError(f"{', '.join(wrong)} not among {', '.join(allowed)}")
            return text.split(",")

        return split

    def numbers(text):
        return [int(part) for part in text.split(",")]

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("--work", type=pathlib.Path, default=pathlib.Path("peers-work"))
    parser.add_argument("--engines", type=names(KINDS), default=[*OURS, *DEFAULT], help=f"of {', '.join(KINDS)}")
    parser.add_argument("--threads", type=numbers, default=[1, 2])
    parser.add_argument("--tokens", type=numbers, default=[8, 16, 32, 64, 128, 512])
    parser.add_argument("--what", type=names(WHAT), default=WHAT)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--isa", choices=ISAS, help="the most that engines may use, where they can be told")
    parser.add_argument("-o", dest="out", type=pathlib.Path)
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    return parser.parse_args()


def main():
    options = parse()
    if options.worker:
        work_as(options.worker, options.model, options.work, options.threads[0])
    folders = {PEERS[engine][2] for engine in options.engines if engine in PEERS} - {None}
    prepare(options.model, options.work, sorted(folders))
    result = {"machine": machine(), "versions": versions(), "isa": options.isa, "records": measure(options)}
    result["load_after"] = round(os.getloadavg()[0], 2)
    if options.out:
        options.out.write_text(json.dumps(result))
    report(result, options)


if __name__ == "__main__":
    main()
