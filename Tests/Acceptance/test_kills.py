"""The real process, killed at any moment of taking a patch in and of going back; and the crash matrix as a user runs it."""
import json, random, time

import pytest

from conftest import BINARY
from dropping import DEFAULT, Site, receipt, run, until, wait_receipt


def whole(site):
    """What lies in the state folder is what a store may hold."""
    left = [p for p in site.state.rglob("*") if p.name.endswith(".partial")]
    assert not left, left
    until(lambda: not list((site.state / "staging").glob("*")), 10, "an empty staging folder")
    assert json.loads(site.run("history", "--verify", "--json").stdout)["lines"] > 0
    broken = [f for f in json.loads(run(BINARY, "doctor", "--json", "--state", site.state, "--socket", site.folder / "t.sock", check=False).stdout) if f["verdict"] == "bad"]
    assert not broken, broken


def test_a_service_killed_at_any_moment_of_an_intake_serves_the_old_version_or_the_new_and_takes_the_patch_in_later(tmp_path):
    moments, seen = random.Random(5), set()
    site = Site(tmp_path, base=DEFAULT)
    # How long an intake takes here, so that kills come before its end and after.
    first = site.patch()
    began = time.monotonic()
    site.commit(first)
    took = time.monotonic() - began
    site.restart()
    base = site.live()
    for round in range(8):
        patch = site.patch()
        path = site.put(patch.path)
        for _ in range(2):
            time.sleep(moments.uniform(0, 2 * took))
            site.kill()
            site.start()
            found = site.live()
            assert found in (base, patch.target), (round, found)
            seen.add(found == base)
        # It counts its attempts: two kills are no reason to give up.
        wait_receipt(path, "committed", 30)
        until(lambda: site.live() == patch.target, 20, "the new version answers")
        whole(site)
        base = patch.target
        # Stopped on purpose: else the kills of two rounds together would look like a version that ends its process.
        site.restart()
    assert seen == {True, False}
    site.stop()


def test_a_service_killed_while_it_goes_back_has_gone_back_or_has_not(tmp_path):
    moments = random.Random(9)
    site = Site(tmp_path, base=DEFAULT)
    for _ in range(5):
        before = site.live()
        patch = site.patch()
        path = site.put(patch.path)
        wait_receipt(path, "committed", 30)
        until(lambda: site.status().get("snapshot"), 10, "a snapshot")
        connection = site.service.unix.connection()
        connection.request("POST", "/v1/rollback", json.dumps({"reason": "killed"}), {"Content-Type": "application/json"})
        time.sleep(moments.uniform(0, 0.004))
        site.kill()
        connection.close()
        site.start()
        found = site.live()
        assert found in (before, patch.target)
        if found == patch.target:
            site.run("rollback")
        assert site.live() == before
        until(lambda: receipt(path)["status"] == "rolled-back", 10, lambda: str(receipt(path)))
        whole(site)
    site.stop()


def test_selftest_knows_its_answers_and_runs_the_crash_matrix(tmp_path):
    result = run(BINARY, "selftest", "--crash", "--every", "5", "--json", "--state", tmp_path / "state", "--socket", tmp_path / "s")
    assert json.loads(result.stdout) == {"passed": True, "failures": []}
    assert not list((tmp_path / "state").glob("selftest-*"))


@pytest.mark.long
def test_the_whole_crash_matrix(tmp_path):
    result = run(BINARY, "selftest", "--crash", "--json", "--state", tmp_path / "state", "--socket", tmp_path / "s")
    assert json.loads(result.stdout)["passed"]
