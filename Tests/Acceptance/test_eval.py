"""Suites, calibration, terms and dossiers, by the commands and beside a service."""
import json, re, shutil, time

import pytest

from conftest import ROOT
from models import set_json

DEFAULT = ROOT / "packaging/default-model"

SUITES = ROOT / "suites"
ROWS = ["sentence\tanswer\talso", "画龙点[MASK]，这一笔让整幅画活了。\t睛\t", "他在[MASK][MASK]工作。\t北京\t上海|医院", "春眠不觉[MASK]，处处闻啼鸟。\t晓\t"]


@pytest.fixture
def suite(tmp_path):
    folder = tmp_path / "suites"
    folder.mkdir()
    (folder / "three.tsv").write_text("\n".join(ROWS) + "\n", encoding="utf-8")
    return folder


def until(condition, seconds=10):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := condition():
            return value
        time.sleep(0.05)
    raise AssertionError(f"not within {seconds} s")


# ---------------------------------------------------------------- eval


def test_figures_are_those_of_the_answers(tiankong, suite):
    report = json.loads(tiankong("eval", "--suites", suite, "--json").stdout)
    assert [part["name"] for part in report["suites"]] == ["three", None]
    figures = report["suites"][0]["figures"]
    right = []
    for row in ROWS[1:]:
        sentence, answer, also = row.split("\t")
        text = sentence.replace("[MASK]" * len(answer), "[MASK]")
        words = [c["text"] for c in json.loads(tiankong("fill", text, "--span", len(answer), "--json").stdout)["blanks"][0]["candidates"]]
        right.append(next((rank for rank, word in enumerate(words, 1) if word in {answer, *also.split("|")}), None))
    assert figures["rows"] == 3
    for first in (1, 3, 5):
        assert figures[f"top{first}"] == pytest.approx(sum(r is not None and r <= first for r in right) / 3)
    assert figures["mrr"] == pytest.approx(sum(1 / r for r in right if r) / 3)
    assert 0 < figures["p50_ms"] <= figures["p99_ms"]


def test_a_version_against_itself_has_not_drifted(tiankong, suite):
    done = tiankong("eval", "--suites", suite, "--against", "packaged", "--version", "packaged", "--json")
    for part in json.loads(done.stdout)["suites"]:
        assert not part["comparison"]["drifted"] and part["comparison"]["top1"]["difference"] == 0


def test_the_packaged_suites_are_those_of_the_tree_and_large_enough(tiankong):
    names = sorted(path.stem for path in SUITES.glob("*.tsv"))
    assert names == ["commerce", "idiom", "medical", "official", "poetry", "tech"]
    counts = {path.stem: len(path.read_text(encoding="utf-8").splitlines()) - 1 for path in SUITES.glob("*.tsv")}
    assert min(counts.values()) >= 200
    report = json.loads(tiankong("eval", "--json").stdout)
    assert {part["name"]: part["figures"]["rows"] for part in report["suites"]} == {**counts, None: sum(counts.values())}


def test_a_page_and_a_dossier_are_written_and_travel_with_a_patch(tiankong, suite, tmp_path):
    page, dossier = tmp_path / "r.html", tmp_path / "d.json"
    done = tiankong("eval", "--suites", suite, "--against", "packaged", "--html", page, "--dossier", dossier)
    assert done.returncode == 0 and "three" in done.stdout
    text = page.read_text(encoding="utf-8")
    assert text.startswith("<!doctype html>") or text.lower().startswith("<!doctype html>")
    assert "<svg" in text and "three" in text and not re.search(r"<script|https?://(?!www\.w3\.org)", text)
    figures = json.loads(dossier.read_text())["figures"]["three"]
    assert figures["rows"] == 3 and figures["against"]["top1"] == 0 and 0 <= figures["ece"] <= 1


def test_a_version_without_figures_says_so(tiankong):
    assert tiankong("import", DEFAULT).returncode == 0
    shown = tiankong("dossier")
    assert shown.returncode == 0 and "no figures" in shown.stdout
    assert json.loads(tiankong("dossier", "--json").stdout)["origin"] == "imported"
    assert tiankong("dossier", "nothing-of-that-name").returncode == 65


@pytest.mark.parametrize("line, said", [
    ("没有空的句子\t答\t", "[MASK]"), ("天[MASK]地\t两字\t", "1"), ("天[MASK]地[MASK]\t人\t", "[MASK]"), ("天[MASK]地\t\t", "answer"),
])  # fmt: skip
def test_a_bad_row_is_refused_with_file_and_line(tiankong, suite, line, said):
    (suite / "three.tsv").write_text("\n".join([*ROWS, line]) + "\n", encoding="utf-8")
    done = tiankong("eval", "--suites", suite)
    assert done.returncode == 65 and "three.tsv:5" in done.stderr and said in done.stderr
    assert not done.stdout


# ---------------------------------------------------------------- calibration


def test_calibrating_writes_what_an_import_takes_along(tiankong, tmp_path):
    folder = shutil.copytree(DEFAULT, tmp_path / "model")
    set_json(folder / "tiankong.json", release="mine", calibration={"temperature": 9})
    suites = tmp_path / "suites"
    suites.mkdir()
    for name in ("poetry", "idiom"):
        lines = (SUITES / f"{name}.tsv").read_text(encoding="utf-8").splitlines()
        (suites / f"{name}.tsv").write_text("\n".join(lines[:61]) + "\n", encoding="utf-8")
    done = tiankong("calibrate", folder, "--suites", suites, "--write", "--json", timeout=300)
    assert done.returncode == 0, done.stderr
    told, own = json.loads(done.stdout), json.loads((folder / "tiankong.json").read_text())
    assert own["calibration"] == told["calibration"] and own["release"] == "mine"
    assert 0.5 <= own["calibration"]["temperature"] <= 4 and len(own["calibration"]["length"]["b"]) == 8
    assert own["calibration"]["length"]["a"] >= 0
    assert told["held_out"]["before"]["rows"] == 60
    assert tiankong("import", folder).returncode == 0
    text = "画龙点[MASK]"
    assert tiankong("fill", text, "--json").returncode == 0


@pytest.mark.parametrize("calibration", [{"temperature": 0}, {"temperature": "warm"}, {"length": {"b": [1, 2]}}, {"length": 3}])
def test_a_calibration_that_is_none_is_refused_at_the_import(tiankong, tmp_path, calibration):
    folder = shutil.copytree(DEFAULT, tmp_path / "model")
    set_json(folder / "tiankong.json", calibration=calibration)
    done = tiankong("import", folder)
    assert done.returncode == 65 and "calibration" in done.stderr


# ---------------------------------------------------------------- terms


def terms_of(service):
    return service.unix.get("/v1/status").json["terms"]


def test_terms_are_read_counted_and_read_again_when_files_change(serve, tmp_path):
    folder = tmp_path / "terms.d"
    folder.mkdir()
    (folder / "a.txt").write_text("# ours\n核磁共振\t1000\n春风化雨\t50\t学校\n坏行\t0\n疑難\n", encoding="utf-8")
    service = serve(env={"TIANKONG_TERMS": str(folder)})
    assert terms_of(service)["count"] >= 2 and terms_of(service)["faults"] == 1
    text = "患者明天做[MASK]。"
    with_terms = {c["text"]: c["score"] for c in service.unix.fill(text, span="auto", top_k=100).json["blanks"][0]["candidates"]}
    (folder / "a.txt").unlink()
    (folder / "b.txt").write_text("核磁共振\n", encoding="utf-8")
    until(lambda: terms_of(service) == {"count": 1, "skipped": 0, "faults": 0})
    (folder / "b.txt").unlink()
    until(lambda: terms_of(service)["count"] == 0)
    plain = {c["text"]: c["score"] for c in service.unix.fill(text, span="auto", targets=["核磁共振"]).json["blanks"][0]["candidates"]}
    assert "核磁共振" not in with_terms or with_terms["核磁共振"] > 2 * plain["核磁共振"]


def test_a_bad_line_of_terms_is_named_in_the_log_and_the_others_count(serve, tmp_path):
    folder = tmp_path / "terms.d"
    folder.mkdir()
    (folder / "a.txt").write_bytes("好词\n".encode() + b"\xff\xfe\n" + "又一个\t很多\n".encode())
    service = serve(env={"TIANKONG_TERMS": str(folder)})
    assert terms_of(service) == {"count": 1, "skipped": 0, "faults": 2}


def test_a_folder_that_comes_later_is_found(serve, tmp_path):
    folder = tmp_path / "later"
    service = serve(env={"TIANKONG_TERMS": str(folder)})
    assert terms_of(service)["count"] == 0
    folder.mkdir()
    (folder / "a.txt").write_text("核磁共振\n", encoding="utf-8")
    until(lambda: terms_of(service)["count"] == 1)
