"""The command that measures, and the two precisions side by side."""
import json, os, pathlib, subprocess

import pytest

from conftest import BINARY, CLEAN, Service

KEYS = {"tokens", "batch", "threads", "precision", "isa", "min_ms", "p50_ms", "p99_ms", "tokens_per_s"}
SENTENCES = [
    "画龙点[MASK]", "春风又绿江南[MASK]。", "温故而知[MASK]", "学而不思则[MASK]。", "今天天气很[MASK]。", "请把门[MASK]上。",
    "会议推迟到[MASK]天下午。", "他把报告[MASK]给了老师。", "病人需要多[MASK]水。", "这个问题很[MASK]决。", "商品已经发[MASK]。",
    "系统正在[MASK]级。",
]


def test_bench_prints_an_object_for_each_shape(tiankong):
    result = tiankong("bench", "--tokens", "8,16", "--json")
    assert result.returncode == 0, result.stderr
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(row["precision"], row["tokens"]) for row in rows] == [("fast", 8), ("fast", 16), ("exact", 8), ("exact", 16)]
    for row in rows:
        assert KEYS <= set(row) and 0 < row["min_ms"] <= row["p50_ms"] <= row["p99_ms"]


@pytest.mark.parametrize("wrong", [["--tokens", "2"], ["--tokens", "many"], ["--batch", "0"], ["--precision", "turbo"], ["--shape", "gpt"], ["--threads", "0"]])
def test_bench_names_what_it_does_not_know(tiankong, wrong):
    result = tiankong("bench", *wrong)
    assert result.returncode == 64 and wrong[0].strip("-") in result.stderr, result.stderr


def test_bench_measures_what_lines_ask_for(tiankong):
    ids = [[2, 4, 300, 3]]
    lines = [{"batch": 2, "tokens": 9, "runs": 5, "seconds": 1, "warm_seconds": 0.01}, {"ids": ids}]
    result = tiankong("bench", "--lines", "--precision", "fast", input="\n".join(map(json.dumps, lines)) + "\n")
    assert result.returncode == 0, result.stderr
    ready, times, logits = map(json.loads, result.stdout.splitlines())
    assert ready["ready"] and len(times["ms"]) == 5 and len(logits["logits"]) == 1
    bad = tiankong("bench", "--lines", "--precision", "fast", input="no line\n")
    assert bad.returncode == 65 and bad.stderr


def test_both_precisions_answer_and_agree(service):
    for text in SENTENCES:
        fast, exact = (service.unix.post("/v1/fill", {"text": text, "precision": p, "top_k": 20}).json for p in ("fast", "exact"))
        scores = {c["text"]: c["score"] for c in exact["blanks"][0]["candidates"]}
        assert fast["blanks"][0]["candidates"][0]["text"] in list(scores)[:2]
        for candidate in fast["blanks"][0]["candidates"][:5]:
            assert abs(candidate["score"] - scores[candidate["text"]]) < 0.02


def test_the_precision_of_the_configuration_is_told_and_used(serve):
    service = serve(env={"TIANKONG_PRECISION": "exact"})
    assert service.unix.get("/v1/status").json["precision"] == "exact"
    plain, exact = (service.unix.post("/v1/fill", {"text": SENTENCES[0], **more}).json["blanks"] for more in ({}, {"precision": "exact"}))
    assert plain == exact


def test_the_same_question_again_has_the_same_answer(service):
    first, again = (service.unix.post("/v1/fill", {"text": SENTENCES[1]}).json for _ in range(2))
    assert first["blanks"] == again["blanks"] and first["request_id"] != again["request_id"]


def test_scores_do_not_depend_on_the_number_of_threads(tmp_path):
    answers = []
    for threads in (1, 2, 3):
        folder = tmp_path / str(threads)
        folder.mkdir()
        service = Service(folder, ["--threads", str(threads)])
        answers.append([service.unix.post("/v1/fill", {"text": text}).json["blanks"] for text in SENTENCES])
        service.stop()
    assert answers[0] == answers[1] == answers[2]


def packed(folder):
    return sorted((pathlib.Path(folder) / "state/store/packed").iterdir())


def test_packed_files_that_are_missing_or_cut_off_are_made_anew(tmp_path):
    service = Service(tmp_path)
    before = service.unix.post("/v1/fill", {"text": SENTENCES[0]}).json["blanks"]
    service.stop()
    files = packed(tmp_path)
    contents = {file: file.read_bytes() for file in files}
    assert len(files) > 20
    files[0].unlink()
    files[1].write_bytes(contents[files[1]][:-64])
    (files[2].parent / "left.partial").write_bytes(b"x")
    service = Service(tmp_path)
    assert service.unix.post("/v1/fill", {"text": SENTENCES[0]}).json["blanks"] == before
    service.stop()
    assert {file: file.read_bytes() for file in packed(tmp_path)} == contents


def test_a_packed_file_with_a_wrong_byte_is_found_and_made_anew(tmp_path):
    Service(tmp_path).stop()
    file = packed(tmp_path)[3]
    right = file.read_bytes()
    file.write_bytes(right[:1000] + bytes([right[1000] ^ 64]) + right[1001:])
    service = Service(tmp_path)
    for _ in range(200):
        if file.exists() and file.read_bytes() == right:
            break
        service.process.poll()
        __import__("time").sleep(0.1)
    assert file.read_bytes() == right and any("packed anew" in line for line in service.log)
    assert service.unix.post("/v1/fill", {"text": SENTENCES[0]}).status == 200
    service.stop()


def test_where_packed_files_cannot_be_written_they_are_in_memory(tmp_path):
    folder = tmp_path / "state/store"
    folder.mkdir(parents=True)
    (folder / "packed").write_bytes(b"not a folder")
    service = Service(tmp_path)
    assert service.unix.post("/v1/fill", {"text": SENTENCES[0]}).json["blanks"][0]["candidates"][0]["text"] == "睛"
    service.stop()
