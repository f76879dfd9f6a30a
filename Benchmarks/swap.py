"""Patches taken in, swapped in and gone back from under load: swap.py MODEL_DIR [--rounds 10] [--clients 1] [--tokens 16]
[--requests N]

MODEL_DIR is a Hugging Face folder (make_random_model.py writes one of bert-base-chinese's shape). Each round makes a
target as light fine-tuning does (the last quarter of the layers and the head moved by noise of 1e-3 of each tensor's
spread), a patch to it, signs it, renames it into the drop folder while clients ask without pause, waits until the new
version has answered, and goes back. Prints the receipts' steps (medians), the latencies during intakes beside those of
the same load without any, failed requests, memory and disk. Needs numpy."""
import argparse, http.client, json, os, pathlib, random, shutil, socket, statistics, subprocess, sys, tempfile, threading, time
import numpy as np

parser = argparse.ArgumentParser()
parser.add_argument("model")
parser.add_argument("--rounds", type=int, default=10)
parser.add_argument("--clients", type=int, default=1)
parser.add_argument("--tokens", type=int, default=16)
parser.add_argument("--quiet", type=float, default=20, help="seconds of load without intakes, before and after")
parser.add_argument("--requests", type=int, default=0, help="go on until so many were answered")
options = parser.parse_args()
binary = os.environ.get("TIANKONG_BINARY", str(pathlib.Path(__file__).parents[1] / ".build/release/tiankong"))
work = pathlib.Path(tempfile.mkdtemp(dir=os.environ.get("TMPDIR", "/var/tmp")))
state, sock = work / "state", str(work / "t.sock")
drop = state / "drop"


class Connection(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(sock)


def get(path):
    connection = Connection("localhost")
    connection.request("GET", path)
    return connection.getresponse().read()


def tiankong(*arguments):
    return subprocess.run([binary, *map(str, arguments), "--state", str(state), "--socket", sock], check=True, capture_output=True, text=True).stdout


# --- patches

def tensors(folder):
    raw = np.memmap(folder / "model.safetensors", dtype=np.uint8, mode="r")
    length = int(raw[:8].view(np.uint64)[0])
    return raw, length, json.loads(bytes(raw[8 : 8 + length]))


def target(seed, out):
    """Last quarter of the layers and the head moved; the rest is the base's."""
    base = pathlib.Path(options.model)
    shutil.copytree(base, out)
    raw, length, header = tensors(base)
    layers = json.load(open(base / "config.json"))["num_hidden_layers"]
    moved = tuple(f"layer.{i}." for i in range(layers - max(1, layers // 4), layers)) + ("cls.predictions.transform", "cls.predictions.bias")
    noise, changed = np.random.default_rng(seed), 0
    with open(out / "model.safetensors", "r+b") as file:
        for name, entry in header.items():
            if name == "__metadata__" or not any(part in name for part in moved) or "decoder" in name:
                continue
            begin, end = entry["data_offsets"]
            kind = {"F32": np.float32, "F16": np.float16}[entry["dtype"]]
            values = np.frombuffer(bytes(raw[8 + length + begin : 8 + length + end]), kind).astype(np.float32)
            values = values + noise.standard_normal(values.shape, np.float32) * np.float32(1e-3 * (values.std() or 1e-2))
            file.seek(8 + length + begin)
            file.write(values.astype(kind).tobytes())
            changed += end - begin
    return changed


def make_patches(count):
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", work / "key"], check=True)
    kind, key = (work / "key.pub").read_text().split()[:2]
    (work / "signers").write_text(f"bench {kind} {key}\n")
    patches, changed, seconds = [], 0, []
    for number in range(1, count + 1):
        out, patch = work / "target", work / f"p{number}.tkp.zst"
        changed = target(number, out)
        started = time.perf_counter()
        tiankong("patch", "make", "--base", options.model, "--target", out, "-o", patch, "--epoch", number, "--release", f"bench+{number}")
        seconds.append(time.perf_counter() - started)
        tiankong_sign = [binary, "patch", "sign", str(patch), "--key", str(work / "key")]
        subprocess.run(tiankong_sign, check=True, capture_output=True)
        shutil.rmtree(out)
        patches.append(patch)
    return patches, changed, statistics.median(seconds)


# --- load

class Load:
    """Clients that ask without pause; every answer's time, and what failed."""

    def __init__(self, clients, tokens):
        self.characters = tokens - 3
        self.answers, self.failures, self.versions, self.running = [], [], set(), True
        self.threads = [threading.Thread(target=self.ask, daemon=True) for _ in range(clients)]
        for thread in self.threads:
            thread.start()

    def ask(self):
        connection = Connection("localhost")
        while self.running:
            # Every question another one: the same one is answered from a cache.
            text = "[MASK]" + "".join(random.choices("的一是在不了有和人这中大为上个国我以要他时来用们", k=self.characters))
            body = json.dumps({"text": text}).encode()
            started = time.perf_counter()
            try:
                connection.request("POST", "/v1/fill", body, {"Content-Type": "application/json"})
                answer = connection.getresponse()
                content = answer.read()
                if answer.status != 200:
                    self.failures.append((answer.status, content[:200]))
                self.versions.add(answer.headers["X-Tiankong-Version"])
            except Exception as error:
                self.failures.append(repr(error))
                connection = Connection("localhost")
            self.answers.append((started, time.perf_counter() - started))

    def stop(self):
        self.running = False
        for thread in self.threads:
            thread.join()

    def between(self, begin, end):
        return [took * 1e3 for at, took in self.answers if begin <= at <= end]


def percentile(values, share):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * share))] if values else float("nan")


def receipt(patch):
    try:
        return json.loads((drop / (patch.name + ".status.json")).read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return {"status": "", "steps": []}


def memory(pid):
    values = {}
    for line in open(f"/proc/{pid}/smaps_rollup"):
        if line.startswith("Pss:"):
            values["pss"] = int(line.split()[1]) / 1024
    return values["pss"]


def disk(folder):
    return sum(p.stat().st_blocks * 512 for p in folder.rglob("*") if p.is_file()) / 1e6


patches, changed, making = make_patches(options.rounds)
tiankong("import", options.model)
process = subprocess.Popen(
    [binary, "serve", "--state", str(state), "--socket", sock, "--listen", "none"], stderr=open(work / "log", "w"),
    env={**os.environ, "TIANKONG_TRUST_ALLOWED_SIGNERS": str(work / "signers"), "TIANKONG_LIMITS_DEADLINE": "30s", "TIANKONG_ROLLOUT_POLICY": "immediate"})
while True:
    try:
        if b"ok" in get("/readyz"):
            break
    except OSError:
        time.sleep(0.01)
time.sleep(4)  # what a start leaves for later
load = Load(options.clients, options.tokens)
begin = time.perf_counter()
time.sleep(options.quiet)
quiet = [(begin + 1, time.perf_counter())]
one_version, one_disk = memory(process.pid), disk(state / "store")
steps, rollbacks, commands, windows, swaps = {}, [], [], [], []
for number, patch in enumerate(patches):
    shutil.copy(patch, drop / ".incoming")
    os.sync()  # the copy's own cost is not the intake's
    time.sleep(1)
    dropped = time.perf_counter()
    os.rename(drop / ".incoming", drop / patch.name)
    while receipt(patch)["status"] in ("", "verifying", "merging"):
        time.sleep(0.05)  # who looks takes time from who asks
    merged = time.perf_counter()
    while not any(s["step"] == "swap" for s in receipt(patch)["steps"]):
        assert receipt(patch)["status"] not in ("refused", "held", "incomplete"), receipt(patch)
        time.sleep(0.01)
    windows.append((dropped, merged))
    swaps.append((merged, time.perf_counter()))
    for step in receipt(patch)["steps"]:
        steps.setdefault(step["step"], []).append(step["ms"])
    if number == 0:
        time.sleep(1)
        two_versions, two_disk = memory(process.pid), disk(state / "store")
    time.sleep(0.5)
    started = time.perf_counter()
    back = json.loads(tiankong("rollback", "--json"))
    commands.append((time.perf_counter() - started) * 1e3)
    rollbacks.append(back["took_ms"])
    time.sleep(0.5)
while len(load.answers) < options.requests:
    time.sleep(1)
begin = time.perf_counter()
time.sleep(options.quiet)
quiet.append((begin, time.perf_counter()))
load.stop()
process.terminate()
process.wait()

cpu = next(l.split(":")[1].strip() for l in open("/proc/cpuinfo") if l.startswith("model name"))
print(f"{cpu}, {os.cpu_count()} cores, {time.strftime('%Y-%m-%d')}, {options.clients} client(s), {options.tokens} tokens, {options.rounds} rounds")
print(f"patch: {patches[0].stat().st_size / 1e6:.1f} MB for {changed / 1e6:.1f} MB of changed tensors, made in {making:.1f} s")
print("| step | median ms | worst ms |\n|---|---|---|")
for name, values in steps.items():
    print(f"| {name} | {statistics.median(values):.1f} | {max(values):.1f} |")
print(f"| rollback, inside | {statistics.median(rollbacks):.4f} | {max(rollbacks):.4f} |")
print(f"| rollback, the command | {statistics.median(commands):.1f} | {max(commands):.1f} |")
without = [v for b, e in quiet for v in load.between(b, e)]
during = [v for b, e in windows for v in load.between(b - 0.05, e)]
swapping = [v for b, e in swaps for v in load.between(b - 0.05, e)]
print("| load | requests | p50 ms | p99 ms |\n|---|---|---|---|")
for name, values in (("without an intake", without), ("during intakes", during), ("during swaps", swapping)):
    print(f"| {name} | {len(values)} | {percentile(values, .5):.1f} | {percentile(values, .99):.1f} |")
print(f"p99 during intakes: {percentile(during, .99) / percentile(without, .99):.2f} of that without")
print(f"{len(load.answers)} requests, {len(load.failures)} failed, {len(load.versions)} versions answered")
print(f"PSS: {one_version:.0f} MiB with one version, {two_versions:.0f} with two: {(two_versions - one_version) * 1.048576:.1f} MB more")
print(f"disk: {one_disk:.0f} MB with one version, {two_disk:.0f} with two: {two_disk - one_disk:.1f} MB more")
for failure in load.failures[:5]:
    print(failure)
shutil.rmtree(work)
sys.exit(1 if load.failures else 0)
