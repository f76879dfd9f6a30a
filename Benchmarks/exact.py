"""The exact path beside PyTorch fp32, asked in turns: exact.py MODEL_DIR [THREADS]

MODEL_DIR is a Hugging Face folder (make_random_model.py writes one of bert-base-chinese's shape). Needs torch and
transformers. Tiankong is asked over its socket, HTTP and all; PyTorch is called in-process. Prints medians of one
blank at each length, import and start times, and the machine."""
import http.client, json, os, pathlib, platform, socket, statistics, subprocess, sys, tempfile, time
import torch
from transformers import BertForMaskedLM

model_dir, threads = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 2
binary = os.environ.get("TIANKONG_BINARY", str(pathlib.Path(__file__).parents[1] / ".build/release/tiankong"))
folder = tempfile.mkdtemp()
place = ["--state", folder + "/state", "--socket", folder + "/t.sock"]
rounds = 41


class Connection(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(folder + "/t.sock")


def ready():
    """Seconds from the start of the process to the first 200 of /readyz."""
    started = time.perf_counter()
    process = subprocess.Popen([binary, "serve", *place, "--listen", "none", "--threads", str(threads)], stderr=subprocess.DEVNULL)
    while True:
        try:
            connection = Connection("localhost")
            connection.request("GET", "/readyz")
            if connection.getresponse().status == 200:
                return process, time.perf_counter() - started
        except OSError:
            pass
        time.sleep(0.001)


started = time.perf_counter()
subprocess.run([binary, "import", model_dir, *place], check=True, stdout=subprocess.DEVNULL)
imported = time.perf_counter() - started
starts = []
for _ in range(7):
    process, seconds = ready()
    starts.append(seconds)
    process.terminate()
    process.wait()
process, _ = ready()
connection = Connection("localhost")

torch.set_num_threads(threads)
torch.set_grad_enabled(False)
model = BertForMaskedLM.from_pretrained(model_dir, dtype=torch.float32).eval()


def ours(text):
    started = time.perf_counter()
    connection.request("POST", "/v1/fill", json.dumps({"text": text}).encode(), {"Content-Type": "application/json"})
    answer = connection.getresponse()
    answer.read()
    assert answer.status == 200
    return time.perf_counter() - started


def theirs(ids):
    """The encoder, and the head at the blank alone, as a careful user of PyTorch would."""
    started = time.perf_counter()
    hidden = model.bert(input_ids=ids).last_hidden_state
    model.cls(hidden[:, 1]).softmax(-1).topk(5)
    return time.perf_counter() - started


cpu = next((l.split(":")[1].strip() for l in open("/proc/cpuinfo") if l.startswith("model name")), platform.processor())
print(f"{cpu}, {os.cpu_count()} cores, {threads} threads, {time.strftime('%Y-%m-%d')}, torch {torch.__version__}, load {os.getloadavg()[0]:.1f}")
print(f"import {imported:.2f} s, start to ready {statistics.median(starts) * 1e3:.0f} ms (median of {len(starts)})")
print("| tokens | tiankong exact, ms | PyTorch fp32, ms | ratio |\n|---|---|---|---|")
for tokens in (8, 16, 32, 64, 128, 512):
    text, ids = "[MASK]" + "字" * (tokens - 3), torch.tensor([[101, 103] + [2099] * (tokens - 3) + [102]])
    a, b = [], []
    for i in range(rounds if tokens < 512 else 9):
        a.append(ours(text))
        b.append(theirs(ids))
    a, b = statistics.median(a[2:]) * 1e3, statistics.median(b[2:]) * 1e3
    print(f"| {tokens} | {a:.1f} | {b:.1f} | {a / b:.2f} |", flush=True)
process.terminate()
