"""What people feel while a candidate is tried: shadow.py MODEL_DIR [--rounds 3] [--tokens 16] [--pause 0]
[--window S]

MODEL_DIR is a Hugging Face folder (make_random_model.py writes one of bert-base-chinese's shape). One client asks, all
the time or with a pause between its questions, while nothing happens and while a patch (the head moved by noise of 1e-3
of its spread) is in its shadow (its first S seconds, for where a shadow takes long: then one round, and no commit). Prints p50 and p99 of both, their ratios, how long the shadow took and how long it was
from the drop to the commit; medians of the rounds. Needs numpy."""
import argparse, http.client, json, os, pathlib, random, shutil, socket, statistics, subprocess, tempfile, threading, time
import numpy as np

parser = argparse.ArgumentParser()
parser.add_argument("model")
parser.add_argument("--rounds", type=int, default=3)
parser.add_argument("--tokens", type=int, default=16)
parser.add_argument("--pause", type=float, default=0, help="seconds between two questions")
parser.add_argument("--window", type=float, default=0)
options = parser.parse_args()
binary = os.environ.get("TIANKONG_BINARY", str(pathlib.Path(__file__).parents[1] / ".build/release/tiankong"))
work = pathlib.Path(tempfile.mkdtemp(dir=os.environ.get("TMPDIR", "/var/tmp")))
state, sock = work / "state", str(work / "t.sock")
drop = state / "drop"


class Connection(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(sock)


def tiankong(*arguments):
    return subprocess.run([binary, *map(str, arguments)], check=True, capture_output=True, text=True).stdout


def make_patch(number):
    out, base = work / "target", pathlib.Path(options.model)
    shutil.copytree(base, out)
    raw = bytearray((out / "model.safetensors").read_bytes())
    length = int.from_bytes(raw[:8], "little")
    header = json.loads(bytes(raw[8 : 8 + length]))
    entry = header["cls.predictions.transform.dense.weight"]
    begin, end = (8 + length + at for at in entry["data_offsets"])
    kind = {"F32": np.float32, "F16": np.float16}[entry["dtype"]]
    values = np.frombuffer(bytes(raw[begin:end]), kind).astype(np.float32)
    values += np.random.default_rng(number).standard_normal(values.shape).astype(np.float32) * np.float32(1e-3 * values.std())
    raw[begin:end] = values.astype(kind).tobytes()
    (out / "model.safetensors").write_bytes(raw)
    patch = work / f"p{number}.tkp.zst"
    tiankong("patch", "make", "--base", base, "--target", out, "-o", patch, "--epoch", number, "--release", f"shadow+{number}")
    tiankong("patch", "sign", patch, "--key", work / "key")
    shutil.rmtree(out)
    return patch


class Client:
    """Asks; every answer's time, and what failed."""

    def __init__(self):
        self.answers, self.failures, self.ended = [], [], threading.Event()
        self.thread = threading.Thread(target=self.ask, daemon=True)
        self.thread.start()

    def ask(self):
        connection = Connection("localhost")
        while not self.ended.is_set():
            text = "[MASK]" + "".join(random.choices("的一是在不了有和人这中大为上个国我以要他时来用们", k=options.tokens - 3))
            started = time.perf_counter()
            connection.request("POST", "/v1/fill", json.dumps({"text": text}).encode(), {"Content-Type": "application/json"})
            answer = connection.getresponse()
            content = answer.read()
            if answer.status != 200:
                self.failures.append((answer.status, content[:200]))
            self.answers.append((started, (time.perf_counter() - started) * 1e3))
            if options.pause:
                self.ended.wait(options.pause)

    def between(self, begin, end):
        return sorted(took for at, took in self.answers if begin <= at <= end)


def percentile(values, share):
    return values[min(len(values) - 1, int(len(values) * share))] if values else float("nan")


def receipt(patch):
    try:
        return json.loads((drop / (patch.name + ".status.json")).read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return {"status": "", "steps": []}


subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", work / "key"], check=True)
kind, key = (work / "key.pub").read_text().split()[:2]
(work / "signers").write_text(f"bench {kind} {key}\n")
patches = [make_patch(number) for number in range(1, options.rounds + 1)]  # each on the base
tiankong("import", options.model, "--state", state, "--socket", sock)
service = subprocess.Popen(
    [binary, "serve", "--state", str(state), "--socket", sock, "--listen", "none"], stderr=open(work / "log", "w"),
    env={**os.environ, "TIANKONG_TRUST_ALLOWED_SIGNERS": str(work / "signers"), "TIANKONG_ROLLOUT_POLICY": "normal", "TIANKONG_ROLLOUT_SUITES_EVERY": "30d"})
try:
    while True:
        try:
            connection = Connection("localhost")
            connection.request("GET", "/readyz")
            if connection.getresponse().status == 200:
                break
        except OSError:
            time.sleep(0.05)
    time.sleep(5)
    client, rows, whole, shadows = Client(), [], [], []
    for patch in patches:
        time.sleep(1)
        begin = time.perf_counter()
        time.sleep(15)
        idle = client.between(begin, time.perf_counter())
        shutil.copy(patch, drop / ".coming")
        dropped = time.perf_counter()
        os.rename(drop / ".coming", drop / patch.name)
        while receipt(patch)["status"] != "shadow":
            assert receipt(patch)["status"] not in ("refused", "held", "rolled-back", "committed"), receipt(patch)
            time.sleep(0.02)
        begin = time.perf_counter()
        while receipt(patch)["status"] == "shadow" and not 0 < options.window < time.perf_counter() - begin:
            time.sleep(0.05)
        end = time.perf_counter()
        shadow = client.between(begin, end)
        if options.window:
            rows.append((percentile(idle, 0.5), percentile(idle, 0.99), percentile(shadow, 0.5), percentile(shadow, 0.99), len(idle), len(shadow)))
            whole, shadows = [float("nan")], [end - begin]
            break
        while receipt(patch)["status"] == "canary":
            time.sleep(0.1)
        assert receipt(patch)["status"] == "committed", receipt(patch)
        whole.append(time.perf_counter() - dropped)
        shadows.append(end - begin)
        rows.append((percentile(idle, 0.5), percentile(idle, 0.99), percentile(shadow, 0.5), percentile(shadow, 0.99), len(idle), len(shadow)))
        # Back, so that the next patch has its base.
        tiankong("rollback", "--state", state, "--socket", sock)
        time.sleep(1)
    client.ended.set()
    client.thread.join()
    middle = lambda index: statistics.median(row[index] for row in rows)
    print(json.dumps({
        "rounds": len(rows), "tokens": options.tokens, "pause": options.pause, "idle_p50_ms": round(middle(0), 2), "idle_p99_ms": round(middle(1), 2),
        "shadow_p50_ms": round(middle(2), 2), "shadow_p99_ms": round(middle(3), 2),
        "p50_ratio": round(statistics.median(r[2] / r[0] for r in rows), 2), "p99_ratio": round(statistics.median(r[3] / r[1] for r in rows), 2),
        "shadow_s": round(statistics.median(shadows), 1), "drop_to_commit_s": None if options.window else round(statistics.median(whole), 1), "failed": len(client.failures),
        "answers": [(row[4], row[5]) for row in rows], "date": time.strftime("%Y-%m-%d"),
    }))
finally:
    service.terminate()
    service.wait(20)
    shutil.rmtree(work, ignore_errors=True)
