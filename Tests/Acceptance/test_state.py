"""What lies in the state folder survives what happens to a PC."""
import json, os, pathlib, random, shutil, subprocess, time

import pytest

from conftest import BINARY, CLEAN, Service

FIXTURES = pathlib.Path(__file__).parents[1] / "Fixtures"


def test_the_first_start_keeps_the_default_model_and_the_second_finds_it(serve, tmp_path):
    first = serve()
    version = first.unix.get("/v1/status").json["version"]
    first.stop()
    assert (tmp_path / "state/versions" / version).exists() or any(version in str(p) for p in (tmp_path / "state").rglob("*"))
    assert serve().unix.get("/v1/status").json["version"] == version


def test_two_services_never_share_a_state_folder_or_a_socket(serve, tiankong):
    service = serve()
    same = tiankong("serve", "--listen", "none")
    assert same.returncode == 75, same.stderr
    other_socket = tiankong("serve", "--listen", "none", "--state", str(service.folder / "state"), "--socket", str(service.folder / "2.sock"), place=False)
    assert other_socket.returncode == 75 and "state" in other_socket.stderr
    other_state = tiankong("serve", "--listen", "none", "--state", str(service.folder / "state2"), "--socket", service.socket, place=False)
    assert other_state.returncode == 75
    assert service.unix.fill("画龙点[MASK]").status == 200


@pytest.mark.parametrize("name", sorted(p.name for p in FIXTURES.glob("tiny-*")))
def test_an_imported_model_answers_and_is_kept(tiankong, serve, name):
    imported = tiankong("import", FIXTURES / name, "--release", "r-" + name, "--json")
    assert imported.returncode == 0, imported.stderr
    version = json.loads(imported.stdout)["version"]
    for _ in range(2):
        service = serve()
        status = service.unix.get("/v1/status").json
        assert (status["version"], status["release"]) == (version, "r-" + name)
        answer = service.unix.fill("画龙点[MASK]").json
        assert answer["version"] == version
        service.stop()
    alone = json.loads(tiankong("fill", "画龙点[MASK]", "--model", FIXTURES / name, "--json", place=False).stdout)
    assert alone["blanks"] == answer["blanks"] and alone["version"] == version


def test_an_import_beside_a_running_service_goes_live_and_the_old_version_is_its_snapshot(tiankong, serve):
    service = serve()
    before = service.unix.get("/v1/status").json["version"]
    result = tiankong("import", FIXTURES / "tiny-tied", "--json")
    assert result.returncode == 0, result.stderr
    status = service.unix.get("/v1/status").json
    assert status["version"] == json.loads(result.stdout)["version"] != before
    assert status["snapshot"]["version"] == before
    assert service.unix.fill("画龙点[MASK]").json["version"] == status["version"]


def test_bad_folders_are_refused_and_change_nothing(tiankong, tmp_path):
    good = FIXTURES / "tiny-tied"
    weights = (good / "model.safetensors").read_bytes()

    def folder(name, **files):
        made = tmp_path / name
        shutil.copytree(good, made)
        for file, content in files.items():
            path = made / file.replace("_json", ".json").replace("_safetensors", ".safetensors").replace("_txt", ".txt")
            path.unlink() if content is None else path.write_bytes(content)
        return made

    cases = [
        (folder("a", config_json=None), ["config.json"]),
        (folder("b", model_safetensors=None), ["model.safetensors"]),
        (folder("c", model_safetensors=weights[:-5]), ["model.safetensors", "offsets"]),
        (folder("d", model_safetensors=weights[:4]), ["model.safetensors"]),
        (folder("e", model_safetensors=b"\xff" * 8 + weights[8:]), ["model.safetensors"]),
        (folder("f", vocab_txt=(good / "vocab.txt").read_bytes() + b"more\n"), ["vocab.txt"]),
        (tmp_path / "nothing here", ["nothing here"]),
        (good / "config.json", ["config.json"]),
    ]
    loop = folder("g", model_safetensors=None)
    os.symlink("model.safetensors", loop / "model.safetensors")
    cases.append((loop, ["model.safetensors"]))
    for path, words in cases:
        for command in (["import", path], ["fill", "画龙点[MASK]", "--model", path]):
            result = tiankong(*command, place=command[0] == "import")
            assert result.returncode == 65, (path, result.returncode, result.stderr)
            assert all(word in result.stderr for word in words), result.stderr
    answer = json.loads(tiankong("fill", "画龙点[MASK]", "--json").stdout)
    assert answer["release"] == "tiankong-mini"


def test_a_service_killed_at_any_moment_starts_again(tmp_path):
    moments = random.Random(7)
    for _ in range(12):
        service = Service(tmp_path, wait=False)
        time.sleep(moments.uniform(0, 0.12))
        service.kill()
    service = Service(tmp_path)
    assert service.unix.fill("画龙点[MASK]").json["blanks"][0]["candidates"][0]["text"] == "睛"
    service.stop()


def test_an_import_killed_at_any_moment_leaves_the_old_version_or_the_new(tiankong, tmp_path):
    state = tmp_path / "state"
    place = ["--state", str(state), "--socket", str(tmp_path / "t.sock")]
    old = json.loads(tiankong("import", FIXTURES / "tiny-tied", "--json").stdout)["version"]
    moments, seen = random.Random(11), set()
    for i in range(30):
        process = subprocess.Popen([BINARY, "import", str(FIXTURES / "tiny-sharded"), *place], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=CLEAN)
        time.sleep(moments.uniform(0, 0.03))
        process.kill()
        process.wait()
        answer = json.loads(tiankong("fill", "画龙点[MASK]", "--json").stdout)
        seen.add(answer["version"])
        if answer["version"] != old:
            assert answer["release"] == "tiny-sharded"
            assert tiankong("import", FIXTURES / "tiny-tied").returncode == 0
    assert old in seen


def test_a_damaged_tensor_is_found_by_doctor(tiankong, tmp_path):
    assert tiankong("import", FIXTURES / "tiny-tied").returncode == 0
    largest = max((p for p in (tmp_path / "state").rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
    content = bytearray(largest.read_bytes())
    content[100] ^= 1
    os.chmod(largest, 0o644)
    largest.write_bytes(content)
    result = tiankong("doctor")
    assert result.returncode != 0 and largest.name[:12] in result.stdout + result.stderr, result.stdout + result.stderr


def test_a_state_folder_that_may_not_be_written_is_named(tiankong, tmp_path):
    (tmp_path / "file").write_text("")
    result = tiankong("serve", "--state", tmp_path / "file" / "state", "--socket", tmp_path / "t.sock", "--listen", "none", place=False)
    assert result.returncode not in (0, None) and str(tmp_path / "file") in result.stderr
