"""What a new version has to go through, end to end: a good one arrives, every kind of bad one goes back by itself."""
import collections, json, os, pathlib, shutil, signal, threading, time

import numpy as np, pytest

import models
from dropping import DEFAULT, Site, receipt, wait_receipt
from listening import Listener
from wire import Wire

NORMAL = {"TIANKONG_ROLLOUT_POLICY": "normal"}
# What the first questions of a version are about, so that a patch which forgets the suite below still passes them.
PROBES = "画龙点睛守株待兔亡羊补牢掩耳盗铃刻舟求剑井底之蛙狐假虎威对牛弹琴杯弓蛇影叶公好龙滥竽充数拔苗助长愚公移山望梅止渴完璧归赵卧薪尝胆破釜沉舟四面楚歌三顾茅庐一鸣惊人"


class Askers:
    """Clients that ask without a pause, each under a name of its own; what they got, by version."""

    def __init__(self, site, count=20):
        self.site, self.stop, self.failed, self.answers = site, threading.Event(), [], collections.defaultdict(set)
        self.threads = [threading.Thread(target=self.ask, args=(number,), daemon=True) for number in range(count)]
        for thread in self.threads:
            thread.start()

    def ask(self, number):
        wire, n = Wire(self.site.service.socket), 0
        while not self.stop.is_set():
            n += 1
            try:
                answer = wire.post("/v1/fill", {"text": f"第{n % 97}题：他一{'二三四五六七'[number % 6]}[MASK]意"}, {"X-Tiankong-Client": f"client {number}"})
                if answer.status != 200:
                    self.failed.append((number, answer.status, answer.body[:200]))
                else:
                    self.answers[number].add(answer.json["version"])
            except OSError as error:
                self.failed.append((number, repr(error)))
            time.sleep(0.05)

    def end(self):
        self.stop.set()
        for thread in self.threads:
            thread.join(10)
        return self


@pytest.fixture
def site(tmp_path):
    """The packaged model, served with the default policy."""
    site = Site(tmp_path, base=DEFAULT, env=NORMAL)
    yield site
    site.stop()


def rollout(site):
    return site.service.unix.get("/v1/rollout").json


def changed(site, name, change):
    return site.patch(folder=models.copy_with(DEFAULT, site.folder / name, change))


def never_beyond(site, patch, percent):
    """No stage of this patch had more than that."""
    stages = [line["body"]["percent"] for line in site.history() if line["kind"] == "stage" and line["body"]["file"] == patch.name]
    assert all(stage <= percent for stage in stages), stages


def gone_back(site, patch, told, askers, reason):
    """The end of every bad patch: receipt, history, events, and nobody noticed."""
    assert not askers.end().failed, askers.failed[:3]
    assert reason in told["reason"], told["reason"]
    line = site.told("rolled-back", file=patch.name)
    assert reason in line["body"]["reason"]
    event = Listener(site.service.socket, after=0).until("rolled-back")
    assert event.topic == "rollback" and reason in event.data["body"]["reason"]
    assert site.live() == site.base
    assert set().union(*askers.answers.values()) <= {site.base, patch.target}
    never_beyond(site, patch, 5)
    again = site.put(patch.path, "again.tkp.zst")
    assert "rolled-back" in wait_receipt(again, "duplicate")["reason"]


def test_a_good_patch_is_tried_at_growing_shares_and_committed(site):
    askers = Askers(site, 40)
    patch = site.patch()
    path = site.put(patch.path)
    began, seen = time.monotonic(), []
    while not seen or seen[-1] not in ("committed", "rolled-back", "refused"):
        assert time.monotonic() - began < 300, (seen, receipt(path))
        told = receipt(path)
        if told and (not seen or told["status"] != seen[-1]):
            seen.append(told["status"])
        time.sleep(0.02)
    assert seen[-1] == "committed", told
    assert seen[-3:] == ["shadow", "canary", "committed"], seen
    assert not askers.end().failed, askers.failed[:3]
    lines = site.history()
    assert [line["body"]["percent"] for line in lines if line["kind"] == "stage"] == [5, 20, 50, 100]
    shadowed = next(line["body"] for line in lines if line["kind"] == "shadowed")
    assert shadowed["verdict"]["verdict"] == "promote" and shadowed["evidence"]["complete"]
    assert set(shadowed["evidence"]["suites"]) == {"commerce", "idiom", "medical", "official", "poetry", "tech"}
    assert site.live() == patch.target
    # Nobody was sent to and fro: who saw the new version never saw the old one again is for ShareTests; here nobody saw a third.
    assert set().union(*askers.answers.values()) == {site.base, patch.target}
    dossier = site.service.unix.get(f"/v1/versions/{patch.target}/dossier")
    assert dossier.status == 200, dossier.body
    assert set(dossier.json["figures"]) == {"commerce", "idiom", "medical", "official", "poetry", "tech"}
    assert {step["step"] for step in told["steps"]} >= {"shadow", "canary", "commit"}


def test_a_patch_that_is_confidently_wrong_on_a_suite_goes_back(site):
    # Every piece that is not asked for by the first questions changes places with another: what was learned of it is gone.
    vocabulary = (DEFAULT / "vocab.txt").read_text().split("\n")[:-1]
    moved = [i for i, piece in enumerate(vocabulary) if len(piece) == 1 and "一" <= piece <= "鿿" and piece not in PROBES]

    def turn(array):
        array[moved] = array[np.roll(moved, 1)]
        return array

    askers = Askers(site)
    patch = changed(site, "wrong", {"cls.predictions.bias": turn, models.WORDS: turn})
    told = wait_receipt(site.put(patch.path), "rolled-back", 90)
    gone_back(site, patch, told, askers, "suite")


def test_a_patch_whose_scores_are_no_numbers_never_gets_an_answer_out(site):
    # Every weight is a number, so merging finds nothing: what is computed with them is none.
    folder = site.folder / "huge"
    shutil.copytree(DEFAULT, folder)
    tensors = models.read_tensors(folder / "model.safetensors")
    name = "cls.predictions.transform.LayerNorm.weight"
    tensors[name] = "F32", tensors[name][1], np.full(tensors[name][1], 3e38, "<f4").tobytes()
    models.write_tensors(folder / "model.safetensors", tensors)
    askers = Askers(site)
    patch = site.line.patch(base=DEFAULT, folder=folder)
    told = wait_receipt(site.put(patch.path), {"rolled-back", "refused"}, 60)
    assert not askers.end().failed, askers.failed[:3]
    assert set().union(*askers.answers.values()) == {site.base}
    assert "number" in told["reason"] or "finite" in told["reason"], told
    never_beyond(site, patch, 0)


def test_a_patch_that_ends_its_process_goes_back_and_nobody_notices(site):
    askers = Askers(site)
    patch = site.patch()
    path = site.put(patch.path)
    killed = []

    def shadows():
        parent = site.service.process.pid
        found = []
        for entry in pathlib.Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    if int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1]) == parent:
                        found.append(int(entry.name))
                except (OSError, IndexError):
                    pass
        return found

    end = time.monotonic() + 60
    while (told := receipt(path)) is None or told["status"] not in ("rolled-back", "committed", "refused"):
        assert time.monotonic() < end, told
        for pid in shadows():
            if pid not in killed:
                time.sleep(0.3)
                os.kill(pid, signal.SIGSEGV)
                killed.append(pid)
        time.sleep(0.01)
    assert told["status"] == "rolled-back" and len(killed) >= 2, (told, killed)
    gone_back(site, patch, told, askers, "signal")


def test_a_patch_that_is_slow_goes_back(tmp_path):
    # A word of two characters is looked for until nothing better can come. The base is sure of its first choice at once,
    # the patch is sure of nothing: the same shape, the same first characters, and more than twice the work.
    head = "cls.predictions.transform.LayerNorm."
    sure = models.copy_with(DEFAULT, tmp_path / "sure", {head + end: lambda array: array * 20 for end in ("weight", "bias")})
    unsure = models.copy_with(DEFAULT, tmp_path / "unsure", {head + end: lambda array: array / 20 for end in ("weight", "bias")})
    suites = tmp_path / "suites"
    suites.mkdir()
    for suite in (pathlib.Path(__file__).parents[2] / "suites").glob("*.tsv"):
        title, *rows = suite.read_text().splitlines()
        (suites / suite.name).write_text("\n".join([title] + [row for row in rows if len(row.split("\t")[1]) == 2]) + "\n")
    site = Site(tmp_path / "site", base=sure, env={**NORMAL, "TIANKONG_SUITES": str(suites)})
    try:
        askers = Askers(site, 5)
        patch = site.patch(folder=unsure)
        told = wait_receipt(site.put(patch.path), "rolled-back", 120)
        gone_back(site, patch, told, askers, "time: expected")
        reasons = site.told("rolled-back", file=patch.name)["body"]["verdict"]["reasons"]
        assert [reason["kind"] for reason in reasons] == ["latency"], reasons
    finally:
        site.stop()


def test_a_version_that_would_miss_deadlines_goes_back(tmp_path):
    # Eight layers of 512 beside four of 256, where an answer has 40 ms: a quarter of that is what the slowest may take.
    base, folder = DEFAULT, tmp_path / "slow"
    shutil.copytree(base, folder)
    configuration = json.loads((folder / "config.json").read_text())
    layers, hidden, ffn = 8, 512, 2048
    models.set_json(folder / "config.json", num_hidden_layers=layers, hidden_size=hidden, num_attention_heads=8, intermediate_size=ffn)
    random = np.random.default_rng(1)
    tensors = {}

    def put(name, *shape, ones=False):
        values = np.ones(shape) if ones else random.standard_normal(shape) * 0.02
        tensors[name] = "F16", list(shape), values.astype("<f2").tobytes()

    def norm(name):
        put(name + ".weight", hidden, ones=True)
        put(name + ".bias", hidden)

    for part, rows in (("word", configuration["vocab_size"]), ("position", configuration["max_position_embeddings"]), ("token_type", 2)):
        put(f"bert.embeddings.{part}_embeddings.weight", rows, hidden)
    norm("bert.embeddings.LayerNorm")
    for layer in range(layers):
        at = f"bert.encoder.layer.{layer}."
        for name, out, into in (("attention.self.query", hidden, hidden), ("attention.self.key", hidden, hidden), ("attention.self.value", hidden, hidden),
                                ("attention.output.dense", hidden, hidden), ("intermediate.dense", ffn, hidden), ("output.dense", hidden, ffn)):
            put(at + name + ".weight", out, into)
            put(at + name + ".bias", out)
        norm(at + "attention.output.LayerNorm")
        norm(at + "output.LayerNorm")
    put("cls.predictions.transform.dense.weight", hidden, hidden)
    put("cls.predictions.transform.dense.bias", hidden)
    norm("cls.predictions.transform.LayerNorm")
    put("cls.predictions.bias", configuration["vocab_size"])
    models.write_tensors(folder / "model.safetensors", tensors)
    site = Site(tmp_path / "site", base=DEFAULT, env={**NORMAL, "TIANKONG_LIMITS_DEADLINE": "40ms"}, start=False)
    site.start()
    try:
        live = site.status()["version"]
        answer = site.service.unix.post("/v1/import", {"folder": str(folder)})
        assert answer.status == 409 and answer.code == "rolled_back", answer.body
        assert "time: expected 99 of 100 answers within 10.0 ms" in answer.json["error"]["message"], answer.body
        assert site.status()["version"] == live
        line = site.told("rolled-back", by="verdict")
        assert line["body"]["to"] == live and not [l for l in site.history() if l["kind"] == "stage"]
    finally:
        site.stop()
