"""What is configured is what happens, and what cannot be is refused before anything starts."""
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parents[2]
SETTINGS = {  # name: (file, what stderr says)
    "an unknown key": ("modle: {threads: 2}\n", ["line 1", "modle", "did you mean model?"]),
    "an unknown key within": ("model:\n  threats: 2\n", ["line 2", "model.threats", "did you mean model.threads?"]),
    "a key twice": ("state: /a\nstate: /b\n", ["line 2", "state", "twice"]),
    "a bad number": ("limits: {queue: many}\n", ["limits.queue", "whole number", "many"]),
    "a number out of range": ("limits: {queue: 0}\n", ["limits.queue", "0"]),
    "a bad duration": ("limits: {deadline: 2}\n", ["limits.deadline", "500ms"]),
    "a bad network": ("access: {networks: [192.168.0.0/33]}\n", ["access.networks", "192.168.0.0/33"]),
    "what is not built": ("access: {tls: {cert: a}}\n", ["access.tls"]),
    "no YAML": ("a: [1\n", ["YAML"]),
    "a tab": ("model:\n\tthreads: 2\n", ["line 2"]),
    "a bad stage": ("rollout: {stages: [5, 3, 100]}\n", ["rollout.stages"]),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_a_bad_file_keeps_the_service_from_starting(tiankong, tmp_path, name):
    text, words = SETTINGS[name]
    path = tmp_path / "tiankong.yaml"
    path.write_text(text)
    result = tiankong("serve", "--config", path)
    assert result.returncode == 78, result.stderr
    assert str(path) in result.stderr
    for word in words:
        assert word in result.stderr, result.stderr


def test_a_file_that_is_not_there_is_named(tiankong, tmp_path):
    result = tiankong("serve", "--config", tmp_path / "none.yaml")
    assert result.returncode == 78 and "none.yaml" in result.stderr


def test_flags_go_over_the_environment_and_that_over_the_file(serve, tmp_path):
    path = tmp_path / "tiankong.yaml"
    path.write_text("model: {threads: 1}\nlog: {level: info}\n")
    threads = lambda s: s.unix.get("/v1/status").json["threads"]
    assert threads(serve("--config", str(path), folder=tmp_path / "a")) == 1
    assert threads(serve("--config", str(path), folder=tmp_path / "b", env={"TIANKONG_MODEL_THREADS": "2"})) == 2
    assert threads(serve("--config", str(path), "--threads", "3", folder=tmp_path / "c", env={"TIANKONG_MODEL_THREADS": "2"})) == 3


def test_a_bad_variable_is_refused_and_an_unknown_one_is_told(tiankong, serve):
    result = tiankong("serve", env={"TIANKONG_LIMITS_QUEUE": "-1"})
    assert result.returncode == 78 and "TIANKONG_LIMITS_QUEUE" in result.stderr
    service = serve(env={"TIANKONG_LIMIT_QUEUE": "1"})
    service.stop()
    assert any("TIANKONG_LIMIT_QUEUE" in line for line in service.log)


def test_the_shipped_file_is_the_defaults(tiankong, serve, tmp_path):
    shipped = ROOT / "etc/tiankong/tiankong.yaml"
    service = serve("--config", str(shipped))
    assert service.unix.fill("画龙点[MASK]").status == 200


@pytest.mark.parametrize("isa", ["scalar", "avx2", "avx512vnni"])
def test_every_isa_of_the_machine_gives_the_same_answer(tiankong, isa):
    import json
    best = json.loads(tiankong("fill", "患者需要[MASK]院观察两天", "--json").stdout)["blanks"][0]["candidates"]
    result = tiankong("fill", "患者需要[MASK]院观察两天", "--json", env={"TIANKONG_ISA": isa})
    if result.returncode == 64 and "this machine" in result.stderr:
        pytest.skip(f"this machine has no {isa}")
    forced = json.loads(result.stdout)["blanks"][0]["candidates"]
    assert [c["text"] for c in forced] == [c["text"] for c in best]
    assert all(abs(a["score"] - b["score"]) < 1e-4 for a, b in zip(forced, best))


def test_an_isa_that_does_not_exist_is_refused_with_those_that_do(tiankong):
    for command in (["serve"], ["fill", "[MASK]"]):
        result = tiankong(*command, env={"TIANKONG_ISA": "avx1024"})
        assert result.returncode == 64 and "avx1024" in result.stderr and "scalar" in result.stderr


def test_a_port_that_is_taken_is_named(tiankong, serve):
    service = serve()
    import subprocess
    result = tiankong("serve", "--listen", f"127.0.0.1:{service.port}", "--socket", str(service.folder / "other.sock"),
        "--state", str(service.folder / "other"), place=False)
    assert result.returncode not in (0, None) and f"127.0.0.1:{service.port}" in result.stderr


def test_no_question_is_ever_logged(serve):
    secret = "王小明住院号二七四九"
    service = serve(env={"TIANKONG_LOG_LEVEL": "debug"})
    for body in ({"text": secret + "[MASK]"}, {"text": secret}, {"text": "[MASK]", "targets": [secret]}, {secret: 1}, {"text": "[MASK]", "span": secret}):
        service.unix.post("/v1/fill", body)
        service.tcp.post("/", body)
        service.tcp.post("/v1/fill?" + "text=%E7%8E%8B", body)
    service.unix.get("/" + "%E7%8E%8B%E5%B0%8F%E6%98%8E")
    metrics = service.unix.get("/metrics").body.decode()
    service.stop()
    log = "".join(service.log)
    assert "ready" in log and len(log) > 100
    for text in (log, metrics):
        assert secret not in text and "王小明" not in text and "%E7%8E%8B" not in text
