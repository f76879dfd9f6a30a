"""The operator's hand: promote, hold, resume; and a version's dossier, by whichever way it is asked for."""
import json, re, threading, urllib.parse

import jsonschema, pytest

from dropping import BINARY, TINY, Site, nudged, run, until, wait_receipt
from test_clients import as_described

CAREFUL = {"TIANKONG_ROLLOUT_POLICY": "careful"}  # waits at its first stage for clients that never come


@pytest.fixture
def site(tmp_path):
    site = Site(tmp_path / "site")
    yield site
    site.stop()


@pytest.fixture
def careful(tmp_path):
    site = Site(tmp_path / "careful", env=CAREFUL)
    yield site
    site.stop()


def order(site, path, **body):
    answer = site.service.unix.post(path, body)
    assert answer.status == 200, answer.body
    return answer.json


def rollout(site):
    return site.service.unix.get("/v1/rollout").json


def tried(site, patch=None):
    """Drops a patch and waits until it takes traffic; -> the patch."""
    patch = patch or site.patch()
    site.put(patch.path)
    until(lambda: rollout(site).get("share", 0) > 0, 60, lambda: rollout(site))
    return patch


# Promote


def test_promote_commits_what_is_tried_at_once(careful):
    before, patch = careful.live(), tried(careful)
    shown = rollout(careful)
    assert shown["state"] == "canary" and shown["stage"] == 1 and shown["share"] == 5
    assert shown["candidate"] == {"version": patch.target, "release": patch.release, "epoch": patch.epoch, "share": 5}
    assert shown["evidence"]["complete"] and shown["verdict"]["verdict"] in ("promote", "not-enough-evidence")
    assert careful.status()["candidate"]["share"] == 5
    document = careful.service.unix.get("/openapi.json").json
    for path in ("/v1/rollout", "/v1/status"):
        as_described(document, "GET", path, careful.service.unix.get(path))
    told = careful.run("promote", "--reason", "已人工核对", "--json").stdout
    assert json.loads(told)["candidate"]["version"] == patch.target
    wait_receipt(careful.drop / patch.name, "committed", patient=True)
    assert careful.live() == patch.target
    line = careful.told("promoted", subject=patch.name, reason="已人工核对")
    assert line["body"]["by"]
    assert careful.status()["snapshot"]["version"] == before
    assert rollout(careful)["watched"] == patch.name


def test_where_nothing_is_tried_there_is_nothing_to_promote(site):
    answer = site.service.unix.post("/v1/promote", {})
    assert (answer.status, answer.code) == (409, "nothing_to_promote")
    document = site.service.unix.get("/openapi.json").json
    as_described(document, "POST", "/v1/promote", answer)
    for path in ("/v1/hold", "/v1/resume"):
        as_described(document, "POST", path, site.service.unix.post(path, {"reason": "看看"}))
    assert site.run("promote", check=False).returncode == 75
    site.stop()
    result = site.run("promote", check=False)
    assert result.returncode == 69 and b"no service" in result.stderr


# Hold and resume


def test_a_patch_waits_while_things_are_held_and_goes_on_after(site):
    before, patch = site.live(), site.patch()
    shown = order(site, "/v1/hold", reason="节假日")
    assert shown["pinned"]["reason"] == "节假日" and shown["state"] == "idle"
    assert site.status()["pinned"] is True and site.status()["state"] == "serving"
    assert site.metric("tiankong_pinned") == 1
    site.put(patch.path)
    site.barrier()
    assert site.live() == before and rollout(site)["state"] == "idle"
    result = site.service.unix.post("/v1/import", {"folder": str(TINY)})
    assert (result.status, result.code) == (503, "busy") and "pin by" in result.json["error"]["message"]
    assert site.run("resume").returncode == 0
    wait_receipt(site.drop / patch.name, "committed")
    assert "pinned" not in site.status() and site.metric("tiankong_pinned") == 0
    assert site.told("pinned", reason="节假日")["number"] < site.told("unpinned")["number"]
    # Once more, and nothing happens.
    head = site.head()
    assert "pinned" not in order(site, "/v1/resume")
    assert site.head() == head


def test_a_pin_survives_what_happens_to_a_process(site):
    before, patch = site.live(), site.patch()
    site.run("hold", "--reason", "不变更")
    site.put(patch.path)
    for end in (site.kill, site.stop):
        end()
        site.start()
        site.barrier()
        assert site.live() == before
        assert rollout(site)["pinned"]["reason"] == "不变更"
    site.run("resume")
    wait_receipt(site.drop / patch.name, "committed")


def test_without_a_service_the_next_start_finds_the_pin(site):
    patch = site.patch()
    site.stop()
    told = json.loads(site.run("hold", "--reason", "不变更", "--json").stdout)
    assert told == {"state": "stopped", "pinned": {"by": "command, no service", "reason": "不变更"}}
    site.start()
    site.put(patch.path)
    site.barrier()
    assert rollout(site)["pinned"]["by"] == "command, no service" and site.live() == patch.base
    assert site.told("pinned", by="command, no service", reason="不变更")
    site.stop()
    assert json.loads(site.run("resume", "--json").stdout) == {"state": "stopped"}
    site.start()
    wait_receipt(site.drop / patch.name, "committed")
    assert site.told("unpinned", by="command, no service")
    # A service with another socket has the store: nobody writes beside it.
    result = run(BINARY, "hold", "--state", site.state, "--socket", site.folder / "other.sock", check=False)
    assert result.returncode == 75, result.stderr


def test_a_candidate_stays_where_it_is_held_and_can_be_taken_back(careful):
    before, patch = careful.live(), tried(careful)
    shown = order(careful, "/v1/hold", reason="先看看")
    assert shown["held"]["reason"] == "先看看" and shown["share"] == 5
    phases = {l.split('"')[1]: l.split()[-1] for l in careful.service.unix.get("/metrics").body.decode().splitlines() if l.startswith("tiankong_rollout_phase{")}
    assert phases == {**dict.fromkeys(["idle", "verifying", "merging", "prewarming", "shadow", "canary"], "0"), "held": "1"}
    assert careful.service.unix.post("/v1/rollback", {"reason": "不行"}).json["from"]["version"] == patch.target
    told = wait_receipt(careful.drop / patch.name, "rolled-back", patient=True)
    assert "不行" in told["reason"]
    assert careful.live() == before and rollout(careful)["pinned"]["reason"] == "先看看"


def test_an_import_says_what_became_of_it(careful, tmp_path):
    answers = []
    folder = nudged(TINY, tmp_path / "other", 99)
    asked = threading.Thread(target=lambda: answers.append(careful.service.unix.post("/v1/import", {"folder": str(folder), "release": "其他"})))
    asked.start()
    until(lambda: rollout(careful).get("share", 0) > 0, 25, lambda: (rollout(careful), [a.body for a in answers]))
    assert careful.status()["candidate"]["release"] == "其他"
    assert careful.service.unix.post("/v1/rollback", {}).status == 200
    asked.join(20)
    assert (answers[0].status, answers[0].code) == (409, "superseded")
    told = careful.run("import", folder, "--policy", "immediate", "--json", check=False)
    assert told.returncode == 0 and json.loads(told.stdout)["role"] == "live", told.stderr
    assert careful.run("import", folder, "--policy", "brave", check=False).returncode == 64
    answer = careful.service.unix.post("/v1/import", {"folder": str(folder), "policy": "brave"})
    assert (answer.status, answer.code) == (400, "out_of_range") and "careful, normal, immediate" in answer.json["error"]["message"]


@pytest.mark.parametrize("path", ["/v1/promote", "/v1/hold", "/v1/resume"])
def test_orders_are_for_admins_and_say_what_is_wrong(site, path):
    answer = site.service.tcp.post(path, {})
    assert (answer.status, answer.code) == (403, "forbidden_admin")
    answer = site.service.unix.post(path, {"to": "a"})
    assert (answer.status, answer.code) == (400, "unknown_field")
    answer = site.service.unix.post(path, {"reason": "长" * 400})
    assert (answer.status, answer.code) == (400, "out_of_range")
    assert site.service.unix.get(path).status == 405
    assert "pinned" not in rollout(site)


# Dossiers


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """A site where a patch was tried, promoted and gone back from."""
    site = Site(tmp_path_factory.mktemp("dossier"), env=CAREFUL)
    try:
        patch = tried(site)
        order(site, "/v1/promote")
        wait_receipt(site.drop / patch.name, "committed", patient=True)
        order(site, "/v1/rollback", reason="差 | 了 *一点* <b>")
        yield site, patch
    finally:
        site.stop()


def test_a_dossier_is_the_same_by_route_and_command(told):
    site, patch = told
    document = site.service.unix.get("/openapi.json").json
    schema = document["paths"]["/v1/versions/{version}/dossier"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    seen = []
    for name in (patch.release, patch.target, patch.target[:12], urllib.parse.quote(patch.release, safe="").replace("r", "%72")):
        answer = site.service.unix.get(f"/v1/versions/{name}/dossier")
        assert answer.status == 200, answer.body
        jsonschema.Draft202012Validator({**schema, "components": document["components"]}).validate(answer.json)
        seen.append(answer.json)
    seen.append(json.loads(site.run("dossier", patch.release, "--json").stdout))
    assert all(one == seen[0] for one in seen)
    dossier = seen[0]
    assert (dossier["version"], dossier["base"], dossier["origin"]) == (patch.target, patch.base, "patched")
    assert dossier["measured"] and {"poetry", "idiom"} <= set(dossier["figures"])
    assert all(0 < f["smallest_drop"] < 0.2 and f["against"]["release"] for f in dossier["figures"].values())
    assert [v["phase"] for v in dossier["verdicts"]][0] == "shadow"
    assert dossier["rolled_back"][-1]["reason"] == "差 | 了 *一点* <b>"
    assert len(dossier["live"]) == 1 and dossier["live"][0]["from"] <= dossier["live"][0]["to"]
    base = site.service.unix.get(f"/v1/versions/{patch.base}/dossier").json
    assert base["live"][-1]["to"] is None and len(base["live"]) == 2


def test_a_release_may_have_a_plus(site):
    site.stop()
    site.run("import", nudged(TINY, site.folder / "plus", 5), "--release", "填空 a+1/2")
    site.start()
    for name in ("%E5%A1%AB%E7%A9%BA%20a+1%2F2", "%e5%a1%ab%e7%a9%ba%20a%2B1%2f2"):
        answer = site.service.unix.get(f"/v1/versions/{name}/dossier")
        assert answer.status == 200 and answer.json["release"] == "填空 a+1/2", answer.body
    for name, status, code in (("a%201", 404, "unknown_version"), ("nobody", 404, "unknown_version"), ("%zz", 400, "out_of_range"), ("%ff", 400, "out_of_range"), ("a%2", 400, "out_of_range")):
        answer = site.service.unix.get(f"/v1/versions/{name}/dossier")
        assert (answer.status, answer.code) == (status, code), (name, answer.body)
    assert site.service.unix.get("/v1/versions/a/b/dossier").status == 404
    assert site.service.unix.post("/v1/versions/a/dossier", {}).status == 405


def test_a_dossier_is_shown_to_people(told):
    site, patch = told
    text = site.run("dossier", patch.release).stdout.decode()
    for word in (patch.target[:12], "signed by", "office", "measured here, 20", "smallest drop shown", "poetry", "half within", "verdicts", "live", "rolled back", "差 | 了 *一点* <b>"):
        assert word in text, (word, text)


def test_a_dossier_is_a_markdown_document(told):
    site, patch = told
    text = site.run("dossier", patch.release, "--markdown").stdout.decode()
    assert text.startswith(f"# {patch.release}\n")
    assert r"差 \| 了 \*一点\* \<b\>" in text and not re.search(r"(?<!\\)<b>", text)
    headings = re.findall(r"^## (.*)$", text, re.M)
    assert [h.split(",")[0] for h in headings] == ["measured here", "latency", "verdicts", "live", "rolled back"]
    tables = [block.splitlines() for block in text.split("\n\n") if block.startswith("|")]
    assert len(tables) == 2
    for table in tables:
        columns = {len(re.findall(r"(?<!\\)\|", row)) for row in table}
        assert len(columns) == 1 and re.fullmatch(r"(\| -+:? )+\|", table[1]), table
    assert site.run("dossier", patch.release, "--markdown", "--json", check=False).returncode == 64
