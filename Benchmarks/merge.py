"""Merging, importing, packing and starting: merge.py MODEL_DIR [--threads 2] [--rounds 5]

MODEL_DIR is a Hugging Face folder with one model.safetensors of F32 (make_random_model.py writes one). A target is made
from it as light fine-tuning would: the last quarter of the layers and the head moved by noise of 1e-3 of each tensor's
spread. Timed are `patch make`, `patch verify --base` (a merge in memory that ends in the target's fingerprint, and
digests the base before), `import` into an empty state, and from the start of the service to ready: with the packed
files there (what the fast path reads), and with their folder removed, so that they are made anew and written. Also the
bytes that an import keeps. Medians; warm page cache. Needs numpy and ssh-keygen."""

import argparse
import json
import pathlib
import shutil
import statistics
import subprocess
import time

import numpy as np
from common import Service, heading, load, place, scratch, table, tiankong

WEIGHTS = "model.safetensors"


# --- a patch


def make_target(base, target):
    """Bytes of the tensors that moved."""
    shutil.copytree(base, target)
    (target / WEIGHTS).chmod(0o644)
    layers = json.loads((base / "config.json").read_text())["num_hidden_layers"]
    moving = tuple(f".layer.{layer}." for layer in range(layers - max(1, layers // 4), layers)) + ("cls.predictions.",)
    noise, moved = np.random.default_rng(7), 0
    for name, values in tensors(target / WEIGHTS):
        if any(part in name for part in moving) and "decoder" not in name:
            spread = values.std() or np.sqrt(np.mean(values**2))  # all of a new LayerNorm's gains are 1
            values += noise.standard_normal(values.size, np.float32) * np.float32(1e-3 * spread)
            moved += values.nbytes
    return moved


def tensors(path):
    """Names and floats, which lie in the file."""
    data = np.memmap(path, np.uint8, "r+")
    length = int(data[:8].view("<u8")[0])
    for name, entry in json.loads(bytes(data[8 : 8 + length])).items():
        if name != "__metadata__":
            assert entry["dtype"] == "F32", f"{name}: expected F32, found {entry['dtype']}"
            begin, end = entry["data_offsets"]
            yield name, data[8 + length + begin : 8 + length + end].view("<f4")


def make_patch(base, folder):
    """A signed patch and who may sign; what it is in words."""
    moved = make_target(base, folder / "target")
    patch, key, signers = folder / "patch.tkp.zst", folder / "key", folder / "signers"
    started = time.perf_counter()
    tiankong("patch", "make", "--base", base, "--target", folder / "target", "-o", patch, "--epoch", 1, *place(folder))
    seconds = time.perf_counter() - started
    shutil.rmtree(folder / "target")
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    signers.write_text(f"bench {' '.join(key.with_suffix('.pub').read_text().split()[:2])}\n")
    tiankong("patch", "sign", patch, "--key", key)
    megabytes = f"{patch.stat().st_size / 1e6:.1f} MB for {moved / 1e6:.1f} MB of changed tensors"
    return patch, signers, f"The patch: {megabytes}, made in {seconds:.1f} s."


# --- measuring


def repeat(rounds, measure):
    return [measure() for _ in range(rounds)]


def seconds_of(*words):
    started = time.perf_counter()
    tiankong(*words)
    return time.perf_counter() - started


def import_anew(base, folder):
    shutil.rmtree(folder / "state", ignore_errors=True)
    return seconds_of("import", base, *place(folder))


def start(folder, threads, packed):
    if not packed:
        shutil.rmtree(folder / "state/store/packed")
    with Service(folder, threads, TIANKONG_PRECISION="fast") as service:
        return service.seconds_to_ready


def megabytes(folder):
    files = [path for path in folder.rglob("*") if path.is_file()]
    return f"{sum(path.stat().st_size for path in files) / 1e6:.1f} MB in {len(files)} files"


def measure(base, folder, options):
    patch, signers, words = make_patch(base, folder)
    verify = ["patch", "verify", patch, "--allowed-signers", signers, "--base", base, *place(folder)]
    found = {
        "patch verify --base": repeat(options.rounds, lambda: seconds_of(*verify)),
        "import": repeat(options.rounds, lambda: import_anew(base, folder)),
    }
    store = folder / "state/store"
    sizes = {name: megabytes(store / name) for name in ("tensors", "packed")}
    start(folder, options.threads, True)  # the first after an import does more
    for name, packed in (("start to ready, packed files there", True), ("start to ready, made anew", False)):
        found[name] = repeat(options.rounds, lambda: start(folder, options.threads, packed))
    again = megabytes(store / "packed")
    assert again == sizes["packed"], f"packed anew: expected {sizes['packed']}, found {again}"
    print(f"{words} After an import store/tensors holds {sizes['tensors']}, store/packed {sizes['packed']}.")
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    heading(f"{options.threads} threads")
    with scratch() as folder:
        found = measure(options.model, pathlib.Path(folder), options)
    rows = [[name, len(times), *(f"{ms * 1e3:.0f}" for ms in (statistics.median(times), min(times), max(times)))]
            for name, times in found.items()]  # fmt: skip
    table(["", "n", "median ms", "least ms", "most ms"], rows)
    print(f"At the end {load()}.")


if __name__ == "__main__":
    main()
