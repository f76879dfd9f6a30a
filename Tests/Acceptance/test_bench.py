"""The command that measures, and the two precisions side by side."""
import json, pathlib, time

import pytest

from conftest import Service

FIXTURES = pathlib.Path(__file__).parents[1] / "Fixtures"
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


def test_bench_measures_each_batch_on_as_many_threads_as_it_is_told(tiankong):
    result = tiankong("bench", "--tokens", "8", "--batch", "1,3", "--threads", "1", "--precision", "fast", "--json")
    assert result.returncode == 0, result.stderr
    assert [(row["batch"], row["threads"]) for row in map(json.loads, result.stdout.splitlines())] == [(1, 1), (3, 1)]


@pytest.mark.parametrize("wrong", [["--tokens", "2"], ["--tokens", "many"], ["--batch", "0"], ["--precision", "turbo"], ["--shape", "gpt"], ["--threads", "0"], ["--tokens", ","], ["--tokens", ""], ["--tokens", "400"], ["--lines"]])
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


@pytest.mark.parametrize("line,word", [
    ("no line", "JSON"), ('{"batch":0}', "batch"), ('{"tokens":2}', "tokens"), ('{"nonsense":1}', "nonsense"), ('{"ids":[[2,-1,3]]}', "ids"),
    ('{"ids":[[2,999999,3]]}', "ids"), ('{"ids":7}', "ids"), ('{"ids":[7]}', "ids"), ('{"ids":[[2,300,3]]}', "ids"),
    ('{"ids":[[' + ",".join(["4"] * 600) + "]]}", "ids"),
])
def test_bench_ends_at_a_line_that_it_does_not_understand(tiankong, line, word):
    good = json.dumps({"tokens": 9, "runs": 3, "warm_seconds": 0.01})
    result = tiankong("bench", "--lines", "--precision", "fast", input=f"{good}\n{line}\n{good}\n")
    assert result.returncode == 65 and word in result.stderr and "Fatal" not in result.stderr, result
    assert len(result.stdout.splitlines()) == 2


def test_logits_of_lines_are_those_of_both_precisions_nearly(tiankong):
    ids = [[2, 4, 300, 3], [2, 310, 320, 4, 330, 3]]
    fast, exact = (
        json.loads(tiankong("bench", "--lines", "--precision", p, input=json.dumps({"ids": ids}) + "\n").stdout.splitlines()[1])["logits"]
        for p in ("fast", "exact"))
    assert len(fast) == len(exact) == 2
    for a, b in zip(fast, exact):
        dot, one, other = (sum(x * y for x, y in zip(*pair)) for pair in ((a, b), (a, a), (b, b)))
        assert len(a) == len(b) and a != b and dot / (one * other) ** 0.5 > 0.998


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
    for arguments, env in ((["--threads", "1"], {}), (["--threads", "3"], {}), ([], {"TIANKONG_MODEL_THREADS": "1"}), ([], {"TIANKONG_MODEL_THREADS": "2"})):
        folder = tmp_path / str(len(answers))
        folder.mkdir()
        service = Service(folder, arguments, env=env)
        assert service.unix.get("/v1/status").json["threads"] == int((arguments or list(env.values()))[-1])
        answers.append([service.unix.post("/v1/fill", {"text": text}).json["blanks"] for text in SENTENCES])
        service.stop()
    assert all(answer == answers[0] for answer in answers)


def test_an_import_without_a_service_packs_too(tiankong, tmp_path):
    assert tiankong("import", FIXTURES / "tiny-tied").returncode == 0
    files = {file: (file.stat().st_ino, file.stat().st_mtime_ns) for file in packed(tmp_path)}
    assert len(files) == 13
    Service(tmp_path).stop()
    assert {file: (file.stat().st_ino, file.stat().st_mtime_ns) for file in packed(tmp_path)} == files


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


def test_a_packed_file_with_a_wrong_byte_is_found_and_made_anew_while_the_service_answers(tmp_path):
    service = Service(tmp_path)
    before = service.unix.post("/v1/fill", {"text": SENTENCES[0]}).json["blanks"]
    file = packed(tmp_path)[3]
    right = file.read_bytes()
    # In place, under the running service; the next one finds it.
    with open(file, "r+b") as f:
        f.seek(1000)
        f.write(bytes([right[1000] ^ 64]))
    assert service.unix.post("/v1/fill", {"text": SENTENCES[1]}).status == 200
    service.stop()
    service = Service(tmp_path)
    end = time.monotonic() + 30
    while not (file.exists() and file.read_bytes() == right and any("packed anew" in line for line in service.log)):
        assert time.monotonic() < end, "".join(service.log)
        assert service.unix.post("/v1/fill", {"text": SENTENCES[2]}).status == 200
        time.sleep(0.05)
    while service.unix.post("/v1/fill", {"text": SENTENCES[0]}).json["blanks"] != before:
        assert time.monotonic() < end
        time.sleep(0.05)
    service.stop()


def test_where_packed_files_cannot_be_written_they_are_in_memory(tmp_path):
    folder = tmp_path / "state/store"
    folder.mkdir(parents=True)
    (folder / "packed").write_bytes(b"not a folder")
    service = Service(tmp_path)
    assert service.unix.post("/v1/fill", {"text": SENTENCES[0]}).json["blanks"][0]["candidates"][0]["text"] == "睛"
    service.stop()
