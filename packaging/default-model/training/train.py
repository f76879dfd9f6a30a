"""Trains the default model from what prepare.py made; resumes from OUT/checkpoint.pt.

    RANK=0 WORLD_SIZE=2 MASTER_ADDR=127.0.0.1 MASTER_PORT=29500 OMP_NUM_THREADS=1 train.py RECIPE DATA MODEL OUT
    RANK=1 … (the same)

MODEL is the Hugging Face folder that it is grown from (`grown_from` in the recipe) and whose vocabulary it has.

Two processes of one thread with averaged gradients do more than one process of two threads. Every batch is drawn from
(seed, step, rank) alone, so a run that was stopped and resumed is the run that was not. bf16 products, fp32 weights.
OUT/stable.pt is the state before the rate began to fall: what a longer run starts from.
"""
import json, os, re, sys, time
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F
from safetensors.torch import load_file

from masking import batch
from model import Bert
from optimizer import optimizers


class Source:
    def __init__(self, folder, source):
        self.name = source.get("name") or Path(source["file"]).name.split(".")[0]
        self.mode, self.weight = source["mask"], source["weight"]
        # What is to be known by heart comes more often while the rate falls.
        self.late = source.get("late", self.weight)
        stored = np.load(folder / f"{self.name}.npz")
        pieces, starts, ends = stored["pieces"].astype(np.int64), stored["starts"], stored["ends"]
        firsts = np.concatenate([[0], ends[:-1]])
        order = np.argsort(ends - firsts, kind="stable")
        self.rows = [(pieces[firsts[i]:ends[i]], starts[firsts[i]:ends[i]]) for i in order]

    def draw(self, rng, tokens):
        """Rows of like lengths, so that little is padding."""
        middle = int(rng.integers(len(self.rows)))
        count = max(1, tokens // (len(self.rows[middle][0]) + 2))
        width = min(len(self.rows), count * 8)
        low = max(0, min(middle - width // 2, len(self.rows) - width))
        return [self.rows[low + int(i)] for i in rng.choice(width, size=min(count, width), replace=False)]


def rate_at(step, recipe):
    rising = min(1.0, (step + 1) / recipe["warmup"])
    left = (recipe["steps"] - step) / max(1, recipe["steps"] - recipe["decay_from"])
    return recipe["rate"] * rising * (1.0 if step < recipe["decay_from"] else max(recipe["last_rate"], left))


class Run:
    def __init__(self, recipe, data, folder, out):
        vocabulary = (folder / "vocab.txt").read_text(encoding="utf-8").split("\n")[:-1]
        self.recipe, self.out = recipe, out
        self.rank, self.ranks = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
        self.letters = np.array([bool(re.search(r"\w", piece)) for piece in vocabulary])
        self.sources = [Source(data, source) for source in recipe["sources"]]
        self.shares = [np.array(weights) / sum(weights) for weights in (
            [source.weight for source in self.sources], [source.late for source in self.sources])]
        torch.manual_seed(recipe["seed"])
        self.model = Bert(len(vocabulary), **recipe["shape"])
        if "grown_from" in recipe:
            self.model.grow(load_file(folder / "model.safetensors"), recipe["grown_from"])
        self.optimizers = optimizers(self.model, recipe["rate"], self.rank, self.ranks)
        self.step, self.seconds, self.kept = 0, 0.0, {}
        saved = out / "checkpoint.pt"
        if saved.exists():
            state = torch.load(saved)
            self.model.load_state_dict(state["model"])
            for optimizer, kept in zip(self.optimizers, state["optimizers"]):
                optimizer.load_state_dict(kept)
            self.step, self.seconds, self.kept = state["step"], state["seconds"], state["figures"]

    def save(self, name):
        if self.rank == 0:
            torch.save({"model": self.model.state_dict(), "optimizers": [o.state_dict() for o in self.optimizers],
                        "step": self.step, "seconds": self.seconds, "figures": self.kept}, self.out / "new.pt")
            os.replace(self.out / "new.pt", self.out / name)

    def one(self):
        recipe, V = self.recipe, len(self.letters)
        rng = np.random.default_rng([recipe["seed"], self.step, self.rank])
        share = self.shares[self.step >= recipe["decay_from"]]
        source = self.sources[rng.choice(len(self.sources), p=share)]
        rows = source.draw(rng, recipe["tokens_a_step"] // self.ranks)
        ids, attended, where, what = batch(rng, source.mode, rows, self.letters, recipe["mask"]["least"], recipe["mask"]["most"], V)
        what = torch.from_numpy(what)
        attended = None if attended.all() else torch.from_numpy(np.where(attended, 0, -np.inf).astype(np.float32))[:, None, None, :]
        with torch.autocast("cpu", dtype=torch.bfloat16):
            scores = self.model(torch.from_numpy(ids), attended, torch.from_numpy(where))
        loss = F.cross_entropy(scores.float(), what)
        loss.backward()
        self.average()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate_at(self.step, recipe)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        right = (scores.argmax(-1) == what)[what >= 0].float().mean().item()
        old = self.kept.get(source.name, (loss.item(), right))
        self.kept[source.name] = (old[0] + 0.05 * (loss.item() - old[0]), old[1] + 0.05 * (right - old[1]))
        self.step += 1

    def average(self):
        if self.ranks == 1:
            return
        gradients = [p.grad for p in self.model.parameters()]
        flat = torch.cat([g.reshape(-1) for g in gradients])
        dist.all_reduce(flat)
        flat /= self.ranks
        at = 0
        for g in gradients:
            g.copy_(flat[at:at + g.numel()].view_as(g))
            at += g.numel()

    def go(self):
        told = saved = time.monotonic()
        while self.step < self.recipe["steps"]:
            if self.step == self.recipe["decay_from"]:
                self.save("stable.pt")
            before = time.monotonic()
            self.one()
            now = time.monotonic()
            self.seconds += now - before
            if self.rank == 0 and now - told > 60:
                told = now
                print(f"{self.seconds:.0f} s, step {self.step}, rate {rate_at(self.step, self.recipe):.2e}: "
                      + " ".join(f"{name}:{loss:.2f}/{right:.2f}" for name, (loss, right) in self.kept.items()), flush=True)
            if self.step % 200 == 0:
                self.save("checkpoint.pt")
        self.save("checkpoint.pt")


def main():
    recipe, data, folder, out = json.loads(Path(sys.argv[1]).read_text()), *map(Path, sys.argv[2:5])
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    if int(os.environ.setdefault("WORLD_SIZE", "1")) > 1:
        dist.init_process_group("gloo")
    os.environ.setdefault("RANK", "0")
    out.mkdir(parents=True, exist_ok=True)
    Run(recipe, data, folder, out).go()


if __name__ == "__main__":
    main()
