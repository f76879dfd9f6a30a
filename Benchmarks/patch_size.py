"""What a patch costs beside the common tools: patch_size.py BASE_DIR [WORK_DIR] [--bsdiff-minutes N] [--logits]

BASE_DIR is a Hugging Face folder with one model.safetensors of F32 (make_random_model.py writes one of bert-base-chinese's
shape). The target is made from it as light fine-tuning would: the last quarter of the layers and the head moved by noise
of 1e-3 x each tensor's spread. Needs numpy and zstandard; zstd, xdelta3 and bsdiff are used where they are installed;
--logits needs torch and transformers. Prints a Markdown table: bytes, seconds to make, seconds to apply. Ours is applied
as the appliance does it, in memory and checked (`patch verify --base`, which also digests the whole base); the others
write the file."""
import argparse, datetime, json, os, pathlib, platform, shutil, struct, subprocess, sys, tempfile, time
import numpy as np

ROOT = pathlib.Path(__file__).parents[1]
BINARY = os.environ.get("TIANKONG_BINARY", str(ROOT / ".build/release/tiankong"))
sys.path.insert(0, str(ROOT / "Tests/Acceptance"))

arguments = argparse.ArgumentParser()
arguments.add_argument("base", type=pathlib.Path)
arguments.add_argument("work", type=pathlib.Path, nargs="?")
arguments.add_argument("--bsdiff-minutes", type=float, default=10, help="it needs 17 times the file in memory, and longer than one wants")
arguments.add_argument("--logits", action="store_true", help="also what compact does to the logits")
options = arguments.parse_args()
work = options.work or pathlib.Path(tempfile.mkdtemp(prefix="patch_size."))
work.mkdir(parents=True, exist_ok=True)
WEIGHTS = "model.safetensors"
base, target = options.base / WEIGHTS, work / "target" / WEIGHTS


def tensors(path, mode="r"):
    """name -> (floats that lie in the file, shape)"""
    with open(path, "rb") as file:
        size = struct.unpack("<Q", file.read(8))[0]
        header = json.loads(file.read(size))
    data = np.memmap(path, np.uint8, mode)[8 + size:]
    header.pop("__metadata__", None)
    assert all(entry["dtype"] == "F32" for entry in header.values()), "expected F32 alone"
    return {name: (data[slice(*entry["data_offsets"])].view("<f4"), entry["shape"]) for name, entry in header.items()}


def make_target():
    """-> tensors and elements that moved"""
    shutil.rmtree(target.parent, ignore_errors=True)
    shutil.copytree(options.base, target.parent)
    target.chmod(0o644)
    layers = json.loads((options.base / "config.json").read_text())["num_hidden_layers"]
    moving = tuple(f".layer.{layer}." for layer in range(layers - layers // 4, layers)) + ("cls.predictions.",)
    random, moved = np.random.default_rng(7), []
    for name, (floats, _) in tensors(target, "r+").items():
        if any(part in name for part in moving) and "decoder" not in name:
            # All of a new LayerNorm's gains are 1: such a tensor's spread is its size.
            spread = floats.std() or np.sqrt(np.mean(floats**2))
            floats += random.standard_normal(floats.size, np.float32) * np.float32(1e-3 * spread)
            moved.append(floats.size)
    return len(moved), sum(moved)


def run(*words, limit=None):
    """Seconds; None where it did not end in time, or at all."""
    started = time.perf_counter()
    try:
        done = subprocess.run([str(word) for word in words], capture_output=True, timeout=limit)
    except subprocess.TimeoutExpired:
        return None
    if done.returncode:
        print(f"{words[0]}: {done.stderr.decode()[-300:]}", file=sys.stderr)
        return None
    return time.perf_counter() - started


def show(name, file, make, apply, note=""):
    if make is None:
        return print(f"| {name} | failed | | |", flush=True)
    made, applied = f"{make:.1f}", "failed" if apply is None else f"{apply:.1f}"
    print(f"| {name}{note} | {file.stat().st_size:,} | {made} | {applied} |", flush=True)


def ours(encoding):
    file = work / f"{encoding}.tkp.zst"
    state = ["--state", work / "state"]
    make = run(BINARY, "patch", "make", "--base", options.base, "--target", target.parent, "-o", file, "--encoding", encoding, *state)
    run(BINARY, "patch", "sign", file, "--key", work / "key")
    verify = [BINARY, "patch", "verify", file, "--allowed-signers", work / "signers", "--base", options.base, *state]
    show(f"tiankong, {encoding}", file, make, run(*verify))
    return file


def theirs(name, file, make, apply, limit=None):
    if not shutil.which(make[0]) or not shutil.which(apply[0]):
        return print(f"| {name} | not installed | | |")
    made = run(*make, limit=limit)
    if made is None:
        return print(f"| {name} | not ended after {limit:.0f} s | | |" if limit else f"| {name} | failed | | |", flush=True)
    applied = run(*apply)
    same = run("cmp", target, work / "out") is not None
    show(name, file, made, applied, "" if same else " (not the target!)")
    (work / "out").unlink(missing_ok=True)
    file.unlink()


def applied_folder(patch):
    """A Hugging Face folder of what a patch leads to, by the second reader of the tests."""
    import patch_reader
    out = work / "applied"
    shutil.rmtree(out, ignore_errors=True)
    shutil.copytree(options.base, out)
    (out / WEIGHTS).chmod(0o644)
    manifest, frames = patch_reader.opened(patch.read_bytes(), work / "signers")
    here = tensors(out / WEIGHTS, "r+")
    source = {name: ("F32", shape, floats.tobytes()) for name, (floats, shape) in here.items() if name in {f["tensor"] for f, _ in frames}}
    for frame, packed in frames:
        here[frame["tensor"]][0][:] = np.frombuffer(patch_reader.merged(frame, patch_reader.unpacked(frame, packed), source)[2], "<f4")
    return out


def logits(folder, ids):
    import torch
    from transformers import BertForMaskedLM
    torch.set_grad_enabled(False)
    return BertForMaskedLM.from_pretrained(folder, dtype=torch.float32).eval()(input_ids=ids).logits


def compare(patch):
    import torch
    ids = torch.randint(106, 7000, (8, 64), generator=torch.Generator().manual_seed(1))
    ids[:, 0], ids[:, -1], ids[:, 20] = 101, 102, 103
    before, wanted, found = (logits(folder, ids) for folder in (options.base, target.parent, applied_folder(patch)))
    moved, off = (wanted - before).abs().max().item(), (wanted - found).abs().max().item()
    print(f"\nlogits of 8 x 64 tokens: the target's differ from the base's by {moved:.2g} at most, compact's from the target's by {off:.2g}")


count, elements = make_target()
for old in ("key", "key.pub"):
    (work / old).unlink(missing_ok=True)
subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", work / "key"], check=True, stdout=subprocess.DEVNULL)
(work / "signers").write_text("bench " + (work / "key.pub").read_text())
cpu = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), platform.processor())
print(f"{cpu}, {os.cpu_count()} cores, {datetime.date.today()}, load {os.getloadavg()[0]:.1f}")
print(f"{count} tensors of {len(tensors(base))} moved, {elements / 1e6:.1f} M elements, {elements * 4 / 1e6:.1f} MB of {base.stat().st_size / 1e6:.0f} MB\n")
print("| | bytes | make, s | apply, s |\n|---|---|---|---|", flush=True)
exact, compact = ours("exact"), ours("compact")
file, out = work / "theirs", work / "out"
theirs("zstd -3 --long=31 --patch-from", file, ["zstd", "-qf", "-3", "--long=31", f"--patch-from={base}", target, "-o", file],
       ["zstd", "-qdf", "--long=31", f"--patch-from={base}", file, "-o", out])
theirs("xdelta3", file, ["xdelta3", "-efs", base, target, file], ["xdelta3", "-dfs", base, file, out])
theirs("bsdiff", file, ["bsdiff", base, target, file], ["bspatch", base, out, file], limit=options.bsdiff_minutes * 60)
if options.logits:
    compare(compact)
