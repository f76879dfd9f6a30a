"""Back to a version that was good: at once, whoever asks, whatever else happens, and by itself where nobody is there."""
import json, os, pwd, threading, time

import pytest

import models
from dropping import BINARY, DEFAULT, FIXTURES, TINY, Load, Signer, Site, fill_disk, fingerprint, receipt, run, serving, small_disk, until, wait_receipt

TOKEN = "a-token-of-the-tests-0123456789"


@pytest.fixture(scope="module")
def shared_site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rollback")
    (folder / "token").write_text(TOKEN + "\n")
    os.chmod(folder / "token", 0o600)
    site = Site(folder, env={"TIANKONG_ACCESS_ADMIN_TOKEN_FILE": str(folder / "token"), "TIANKONG_ACCESS_ADMIN_GROUP": "games"})
    yield site
    site.stop()


@pytest.fixture
def site(shared_site):
    return shared_site.ensure()


@pytest.fixture
def own_site(tmp_path):
    """A site of the test's own, whose service may be ended and whose files may be spoilt."""
    site = Site(tmp_path)
    yield site
    site.stop()


def committed(site):
    """Commits a patch; → (the version before, the patch)."""
    before, patch = site.live(), site.patch()
    site.commit(patch)
    return before, patch


def ways(told):
    """From and to of a rollback's answer."""
    return told["from"]["version"], told["to"]["version"]


def order(site, to, epoch=None, signer=None, name=None):
    """A rollback order in a file; `signer`: False for none."""
    number = next(site.line.numbers)
    path = site.line.folder / (name or f"order-{number}.tkp.zst")
    run(BINARY, "patch", "order", "--to", to, "--line", site.base, "--epoch", epoch or number, "--reason", "worse on names", "-o", path)
    if signer is not False:
        run(BINARY, "patch", "sign", path, "--key", (signer or site.signer).key)
    return path


def files_of(site, version):
    """The tensor files of a kept version, largest first."""
    manifest = json.loads((site.state / "store/versions" / version).read_text())
    files = [site.state / "store/tensors" / tensor["sha256"] for tensor in manifest["tensors"]]
    return sorted((file for file in files if file.exists()), key=lambda file: -file.stat().st_size)


def own_file(site, version, *others):
    """A tensor file that only this version has."""
    shared = {file for other in others for file in files_of(site, other)}
    return next(file for file in files_of(site, version) if file not in shared)


def spoil(file):
    """Other bytes of the same length, in a new file of the same name."""
    content = bytearray(file.read_bytes())
    for at in range(3, len(content), 4):
        content[at] ^= 0x01
    other = file.with_name(file.name + ".spoilt")
    other.write_bytes(content)
    other.rename(file)


def whole(site, tmp_path):
    """What answers is what its fingerprint says."""
    live, out = site.live(), tmp_path / f"out-{time.monotonic_ns()}"
    site.run("export", live, out)
    return fingerprint(out) == live


# By command and by request


def test_the_command_goes_back_to_the_version_before_while_clients_ask(site):
    before, patch = committed(site)
    head = site.head()
    with Load(site.service.socket, clients=3) as load:
        result = site.run("rollback", "--reason", "worse on names", "--json")
        told = json.loads(result.stdout)
        assert ways(told) == (patch.target, before) and 0 <= told["took_ms"] < 5000
        until(lambda: load.versions[-1] == before)
    assert not load.failures, load.failures[:3]
    assert load.versions == [patch.target, before] and site.live() == before
    line = site.told("rolled-back", head, **{"from": patch.target, "to": before, "reason": "worse on names"})
    assert line["hash"]
    assert site.status()["version"] == before
    roles = {v["version"]: v["role"] for v in site.service.unix.get("/v1/versions").json["versions"]}
    assert roles[before] == "live" and roles[patch.target] != "live"
    # What was rolled back stays so, for the file that still lies there, touched, and after a restart.
    assert receipt(site.drop / patch.name)["status"] in ("committed", "rolled-back")
    os.utime(site.drop / patch.name)
    site.barrier()
    assert site.live() == before
    site.restart()
    site.barrier()
    assert site.live() == before
    told = wait_receipt(site.put(patch.path, "again.tkp.zst"), "duplicate")
    assert told["identity"] == patch.identity and site.live() == before


def test_the_receipt_of_what_was_gone_back_from_says_so_and_keeps_what_it_said(site):
    before, patch = committed(site)
    target = site.drop / patch.name
    told = until(lambda: any(step["step"] == "swap" for step in receipt(target)["steps"]) and receipt(target))
    site.restart()
    site.barrier()
    site.run("rollback", "--reason", "worse on names")
    again = wait_receipt(target, "rolled-back", patient=True)
    assert "worse on names" in again["reason"]
    for key in ("file", "identity", "release", "from", "to", "epoch", "signer", "steps"):
        assert again[key] == told[key], (key, again, told)


def test_a_request_over_the_socket_goes_back(site):
    before, patch = committed(site)
    count = site.metric("tiankong_rollback_seconds_count") or 0
    answer = site.service.unix.post("/v1/rollback", {})
    assert answer.status == 200, answer.body
    assert ways(answer.json) == (patch.target, before) and answer.json["took_ms"] < 5000
    assert (answer.json["from"]["release"], answer.json["from"]["epoch"]) == (patch.release, patch.epoch)
    assert site.live() == before
    assert site.metric("tiankong_rollback_seconds_count") == count + 1


def test_over_the_network_only_the_token_may_go_back(site):
    before, patch = committed(site)
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Bearer {TOKEN}x"}, {"Authorization": f"Basic {TOKEN}"}, {"Authorization": "Bearer "}):
        answer = site.service.tcp.post("/v1/rollback", {}, headers)
        assert (answer.status, answer.code) == (403, "forbidden_admin"), (headers, answer.body)
    assert site.live() == patch.target
    answer = site.service.tcp.post("/v1/rollback", {}, {"Authorization": f"Bearer {TOKEN}"})
    assert answer.status == 200, answer.body
    assert site.live() == before


ADMIN = {"/v1/rollback": {}, "/v1/import": {"folder": str(TINY)}}


@pytest.mark.parametrize("path", ADMIN)
def test_no_other_site_and_no_stranger_may_go_back_or_import(site, path):
    with serving(site):
        for headers, code in (({}, "forbidden_admin"), ({"Origin": "http://evil.example"}, "forbidden_origin"), ({"Host": "evil.example"}, "forbidden_origin"),
                              ({"Content-Type": "text/plain"}, None), ({"X-Forwarded-For": "127.0.0.1"}, "forbidden_admin")):
            answer = site.service.tcp.post(path, ADMIN[path], headers)
            assert 400 <= answer.status < 500 and code in (None, answer.code), (headers, answer.body)


@pytest.mark.skipif(os.getuid() != 0, reason="needs to become another user")
@pytest.mark.parametrize("path", ADMIN)
def test_over_the_socket_others_may_ask_and_not_go_back_or_import(site, path):
    before, patch = committed(site)
    answers = as_user(site, 65534, 65534, [("/v1/fill", {"text": "画龙点[MASK]"}), (path, ADMIN[path])])
    assert [status for status, _ in answers] == [200, 403] and answers[1][1]["error"]["code"] == "forbidden_admin", answers
    assert site.live() == patch.target


@pytest.mark.skipif(os.getuid() != 0, reason="needs to become another user")
def test_over_the_socket_the_admin_group_may_go_back(site):
    before, patch = committed(site)
    user = pwd.getpwnam("games")
    answers = as_user(site, user.pw_uid, user.pw_gid, [("/v1/rollback", {})])
    assert answers[0][0] == 200, answers
    assert site.live() == before


def as_user(site, user, group, requests):
    """[(status, JSON)] of posts over the socket by somebody else."""
    os.chmod(site.folder, 0o711)
    script = """
import http.client, json, os, socket, sys
user, group, requests = json.load(sys.stdin)
os.setgroups([]), os.setresgid(group, group, group), os.setresuid(user, user, user)
out = []
for path, body in requests:
    connection = http.client.HTTPConnection("localhost")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect("t.sock")
    connection.request("POST", path, json.dumps(body).encode(), {"Content-Type": "application/json"})
    response = connection.getresponse()
    out.append((response.status, json.loads(response.read())))
print(json.dumps(out))
"""
    result = run("/usr/bin/python3", "-I", "-c", script, input=json.dumps([user, group, requests]).encode(), cwd=site.folder)
    return json.loads(result.stdout)


def test_a_second_rollback_is_refused_and_says_how_to_go_further(site):
    before, patch = committed(site)
    site.run("rollback")
    with serving(site):
        answer = site.service.unix.post("/v1/rollback", {})
        assert (answer.status, answer.code) == (409, "no_snapshot")
        assert "--to" in answer.json["error"]["hint"]
        result = site.run("rollback", check=False)
        assert result.returncode == 65 and b"--to" in result.stderr, (result.returncode, result.stderr)
    assert site.live() == before


def test_back_to_any_kept_version_by_its_release_or_the_beginning_of_its_fingerprint(site):
    base, first = committed(site)
    _, second = committed(site)
    _, third = committed(site)
    for name, version in ((first.release, first.target), (third.target[:12], third.target), (base, base), (second.target, second.target)):
        result = site.run("rollback", "--to", name)
        assert site.live() == version, result.stdout
    # Forward again is a rollback's business too: the operator says what is good.
    answer = site.service.unix.post("/v1/rollback", {"to": third.release, "reason": "it was not the model"})
    assert answer.status == 200 and answer.json["to"]["version"] == third.target == site.live()


def test_an_unknown_version_is_refused(site):
    with serving(site):
        answer = site.service.unix.post("/v1/rollback", {"to": "0123456789abcdef"})
        assert (answer.status, answer.code) == (404, "unknown_version")
        assert "0123456789abcdef" in answer.json["error"]["message"]
        assert site.run("rollback", "--to", "no-such-release", check=False).returncode == 65


@pytest.mark.parametrize("body", [{"to": 1}, {"to": ""}, {"reason": ["a"]}, {"too": "x"}, [], {"reason": "x" * 100_000}], ids=lambda b: json.dumps(b)[:30])
def test_a_request_with_other_fields_is_refused_and_changes_nothing(site, body):
    with serving(site):
        answer = site.service.unix.post("/v1/rollback", body)
        assert 400 <= answer.status < 500 and answer.code, answer.body


def test_a_reason_is_kept_as_text(site):
    committed(site)
    head, reason = site.head(), '<script>"\n\x1b[31m\u2028'
    answer = site.service.unix.post("/v1/rollback", {"reason": reason})
    assert answer.status == 200, answer.body
    line = site.told("rolled-back", head)
    assert line["body"]["reason"] == reason
    assert "\x1b" not in site.log and site.run("history", "--verify").returncode == 0


def test_back_and_forth_twenty_times_while_clients_ask(site):
    before, patch = committed(site)
    with Load(site.service.socket, clients=4) as load:
        for i in range(20):
            answer = site.service.unix.post("/v1/rollback", {"to": [before, patch.target][i % 2]})
            assert answer.status == 200, answer.body
            assert site.live() == [before, patch.target][i % 2]
    assert not load.failures, load.failures[:3]
    assert set(load.versions) == {before, patch.target} and load.count > 100


def test_operators_at_once_leave_one_version_in_memory_and_on_disk_and_a_whole_history(site):
    for _ in range(10):
        before, patch = committed(site)
        answers = []
        orders = [{}, {"to": patch.target}, {"to": before}, {}, {"to": patch.target}, {}]
        threads = [threading.Thread(target=lambda o=o: answers.append(site.service.unix.post("/v1/rollback", o))) for o in orders]
        with Load(site.service.socket, clients=1) as load:
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert not load.failures and {a.status for a in answers} <= {200, 409}, [a.body for a in answers]
        assert site.status()["version"] == site.live() == (site.state / "store/current").read_text().strip()
    assert site.run("history", "--verify").returncode == 0


# By a signed order


def test_a_signed_order_goes_back_and_raises_the_floor(site):
    before, patch = committed(site)
    path = order(site, before)
    epoch = json.loads(models.take_apart(path)[0])["epoch"]
    head = site.head()
    target = site.put(path)
    told = wait_receipt(target, {"committed", "rolled-back"})
    assert site.live() == before
    assert (told["to"], told["epoch"], told["signer"]) == (before, epoch, site.signer.name)
    line = site.told("rolled-back", head, to=before)
    assert "worse on names" in line["body"]["reason"] and site.signer.name in line["body"]["by"]
    late = site.patch(epoch=epoch)
    assert "epoch" in wait_receipt(site.put(late.path), "refused")["reason"]
    site.commit(site.patch())
    # The order is obeyed once.
    live = site.live()
    wait_receipt(site.put(path, "order-again.tkp.zst"), "duplicate")
    os.utime(target)
    site.barrier()
    assert site.live() == live
    site.restart()
    site.barrier()
    assert site.live() == live


def test_an_order_that_may_not_be_obeyed_is_refused(site):
    before, patch = committed(site)
    signer = Signer(site.folder / "stranger", "stranger")
    cases = [
        (order(site, before, signer=False, name="order-unsigned.tkp.zst"), "signature"),
        (order(site, before, signer=signer, name="order-stranger.tkp.zst"), "allowed_signers"),
        (order(site, "0" * 64, name="order-unknown.tkp.zst"), "0000"),
        (order(site, before, epoch=1, name="order-old.tkp.zst"), "epoch"),
    ]
    for path, word in cases:
        with serving(site):
            assert word in wait_receipt(site.put(path), "refused")["reason"]
            site.told("refused", file=path.name)
    assert site.live() == patch.target


# Beside an intake


@pytest.mark.parametrize("signed", [False, True], ids=["by request", "signed"])
def test_an_order_beats_an_intake_in_progress(tmp_path, signed):
    site = Site(tmp_path, DEFAULT)
    try:
        before, first = committed(site)
        for moment in ("staged", "verifying", "merging", "prewarming"):
            second = site.line.patch(base=first.folder)
            path = order(site, before)
            target = site.put(second.path)
            if moment == "staged":
                until(lambda: receipt(target) or any((site.state / "staging").glob("*")))
            else:
                until(lambda: (receipt(target) or {}).get("status") in (moment, "prewarming", "committed", "superseded"), 20, lambda: receipt(target))
            if signed:
                wait_receipt(site.put(path), "committed")
            else:
                answer = site.service.unix.post("/v1/rollback", {"to": before})
                assert answer.status == 200, answer.body
            told = wait_receipt(target, {"committed", "superseded", "refused", "rolled-back", "duplicate"})
            site.barrier()
            assert site.live() == before, (moment, told)
            site.idle()
            site.service.unix.post("/v1/rollback", {"to": first.target})
            assert site.live() == first.target
    finally:
        site.stop()


# Without a service, without space


def test_without_a_service_the_command_goes_back_in_the_store(own_site):
    site = own_site
    before, patch = committed(site)
    site.stop()
    site.run("rollback", "--reason", "by hand")
    assert (site.state / "store/current").read_text().strip() == before
    again = site.run("rollback", check=False)
    assert again.returncode == 65 and b"--to" in again.stderr
    site.start()
    assert site.live() == before
    site.barrier()
    assert site.live() == before
    site.told("rolled-back", **{"from": patch.target, "to": before, "reason": "by hand"})
    assert site.run("history", "--verify").returncode == 0


@pytest.mark.parametrize("running", [True, False], ids=["service", "no service"])
def test_a_full_disk_does_not_stop_a_rollback(tmp_path, running):
    with small_disk(tmp_path / "state", "16m") as state:
        site = Site(tmp_path, drop=tmp_path / "drop")
        try:
            before, patch = committed(site)
            if not running:
                site.stop()
            ballast = fill_disk(state)
            if running:
                with Load(site.service.socket) as load:
                    site.run("rollback")
                    until(lambda: load.versions[-1] == before)
                assert not load.failures and site.live() == before
                site.restart()
            else:
                site.run("rollback")
                site.start()
            assert site.live() == before
            ballast.unlink()
            site.restart()
            assert site.live() == before and site.run("history", "--verify").returncode == 0
            site.commit(site.patch(), seconds=40)
        finally:
            site.stop()


def test_a_full_disk_does_not_stop_a_signed_order(tmp_path):
    with small_disk(tmp_path / "state", "16m") as state:
        site = Site(tmp_path, drop=tmp_path / "drop")
        try:
            before, patch = committed(site)
            path = order(site, before)
            ballast = fill_disk(state)
            target = site.put(path)
            until(lambda: site.live() == before)
            told = wait_receipt(target, {"held", "committed"})
            ballast.unlink()
            site.put(path)
            wait_receipt(target, "committed")
            assert told["to"] == before == site.live()
        finally:
            site.stop()


# By itself


def test_a_version_that_brings_the_process_down_three_times_is_gone_back_from(own_site):
    site = own_site
    before, patch = committed(site)
    head, seen = site.head(), []
    site.kill()
    for _ in range(4):
        site.start()
        seen.append(site.live())
        if seen[-1] == before:
            break
        site.kill()
    assert seen[0] == patch.target and seen[-1] == before, (seen, before)
    assert len(seen) >= 3
    line = site.told("rolled-back", head, **{"from": patch.target, "to": before})
    assert "3 times" in line["body"]["reason"]
    assert len([line for line in site.history(head) if line["kind"] == "rolled-back"]) == 1
    site.restart()
    site.barrier()
    assert site.live() == before
    # The way on is open: what comes next is taken.
    site.commit(site.patch())


def test_a_version_that_was_stopped_on_purpose_is_not_gone_back_from(own_site):
    site = own_site
    _, patch = committed(site)
    for _ in range(5):
        site.restart()
        assert site.live() == patch.target


@pytest.mark.long
def test_a_version_that_has_proved_itself_survives_power_cuts(own_site):
    """Attempts count until the version has answered for a while; power cuts far apart are not its fault."""
    site = own_site
    _, patch = committed(site)
    site.kill()
    site.start()
    attempts = site.state / "store/attempts"
    until(lambda: not attempts.exists() or not attempts.read_text().strip(), 90, lambda: attempts.read_text())
    for _ in range(2):
        site.kill()
        site.start()
        assert site.live() == patch.target


@pytest.mark.parametrize("how", ["truncated", "missing", "other bytes"])
def test_a_damaged_version_is_gone_back_from_at_the_start_and_told(own_site, tmp_path, how):
    site = own_site
    before, patch = committed(site)
    file = own_file(site, patch.target, before)
    head = site.head()
    site.stop()
    if how == "truncated":
        os.chmod(file, 0o644)
        os.truncate(file, 100)
    elif how == "missing":
        file.unlink()
    else:
        spoil(file)
    site.start()
    until(lambda: site.live() == before, 40, lambda: (site.status(), site.log[-2000:]))
    line = site.told("damaged", head)
    assert line["body"]["version"] == patch.target and (file.name in line["body"]["reason"] or "found 100 bytes" in line["body"]["reason"])
    assert "damaged" in site.log
    assert whole(site, tmp_path)
    site.commit(site.patch())


@pytest.mark.parametrize("wait", [True, False], ids=["found before", "found after"])
def test_a_damaged_snapshot_does_not_answer_for_long(own_site, tmp_path, wait):
    site = own_site
    before, patch = committed(site)
    site.stop()
    spoil(own_file(site, before, patch.target))
    site.start()
    if wait:
        site.told("damaged", seconds=40, version=before)
    with Load(site.service.socket) as load:
        answer = site.service.unix.post("/v1/rollback", {})
        until(lambda: site.live() != before, 40)
    assert not load.failures, load.failures[:3]
    # What was found damaged never answers again.
    assert not wait or before not in load.versions, answer.body
    site.told("damaged", version=before)
    assert "damaged" in site.log and whole(site, tmp_path)


def test_where_both_are_damaged_the_packaged_model_answers_and_says_so(own_site):
    site = own_site
    before, patch = committed(site)
    site.stop()
    for version in (before, patch.target):
        file = files_of(site, version)[0]
        os.chmod(file, 0o644)
        os.truncate(file, 10)
    site.start()
    packaged = (FIXTURES / "default-model.fingerprint").read_text().strip()
    until(lambda: site.live() == packaged, 40)
    assert site.service.unix.fill("画龙点[MASK]").json["blanks"][0]["candidates"][0]["text"] == "睛"
    site.told("damaged")
    assert "damaged" in site.log or "expected" in site.log


@pytest.mark.parametrize("name", ["current", "previous"])
def test_a_damaged_pointer_does_not_keep_the_service_from_starting(own_site, name):
    site = own_site
    before, patch = committed(site)
    site.stop()
    (site.state / "store" / name).write_bytes(b"\0" * 65)
    site.start()
    assert site.live() == (patch.target if name == "previous" else before)


# The other door


def test_an_import_takes_names_on_one_line_alone(own_site):
    site = own_site
    with serving(site):
        for release in ("a\nb", "\x1b[31m", "\x7f", "", "x" * 101):
            answer = site.service.unix.post("/v1/import", {"folder": str(FIXTURES / "tiny-sharded"), "release": release})
            assert answer.status == 400 and answer.json["error"]["detail"]["field"] == "release", (release, answer.body)


def test_an_import_through_the_running_service_goes_live_without_a_failed_request(own_site):
    site = own_site
    before, patch = committed(site)
    head = site.head()
    with Load(site.service.socket, clients=3) as load:
        # A path is the asker's, not the service's.
        result = site.run("import", "tiny-sharded", "--release", "other", "--json", cwd=FIXTURES)
        version = json.loads(result.stdout)["version"]
        until(lambda: load.versions[-1] == version)
    assert not load.failures, load.failures[:3]
    assert load.versions == [patch.target, version]
    status = site.status()
    assert (status["version"], status["release"], status["snapshot"]["version"]) == (version, "other", patch.target)
    site.told("imported", head, to=version)
    site.idle()
    # The new line takes patches, and the old one is a rollback away.
    site.line.models[version] = FIXTURES / "tiny-sharded"
    site.restart()
    assert site.live() == version
    site.commit(site.patch())
    site.run("rollback", "--to", patch.target)
    assert site.live() == patch.target


def test_an_import_that_meets_an_order_or_another_import_leaves_one_version(own_site):
    site = own_site
    before, patch = committed(site)
    results = []
    names = ["tiny-sharded", "tiny-capitals", "tiny-untied-f16"]
    threads = [threading.Thread(target=lambda n=n: results.append(site.run("import", FIXTURES / n, check=False))) for n in names]
    with Load(site.service.socket) as load:
        for thread in threads:
            thread.start()
        answer = site.service.unix.post("/v1/rollback", {"to": before})
        for thread in threads:
            thread.join()
    assert not load.failures, load.failures[:3]
    assert answer.status == 200 and {r.returncode for r in results} <= {0, 75, 65}, [r.stderr for r in results]
    assert site.status()["version"] == site.live() == (site.state / "store/current").read_text().strip()
    site.idle()
    live = site.live()
    site.restart()
    assert site.live() == live and site.run("history", "--verify").returncode == 0


def test_an_import_of_what_is_live_is_a_no_op(own_site):
    site = own_site
    since = site.status()["since"]
    with serving(site):
        told = json.loads(site.run("import", TINY, "--json").stdout)
        assert told["version"] == site.base
    assert site.status()["since"] == since


def test_a_bad_import_through_the_running_service_is_refused_and_changes_nothing(site, tmp_path):
    folder = models.copy_with(TINY, tmp_path / "nan", {models.WORDS: lambda array: array * float("nan")})
    empty = tmp_path / "empty"
    empty.mkdir()
    with serving(site):
        for bad in (folder, empty, tmp_path / "nothing"):
            result = site.run("import", bad, check=False)
            assert result.returncode == 65 and bad.name.encode() in result.stderr or b"finite" in result.stderr, (result.returncode, result.stderr)
