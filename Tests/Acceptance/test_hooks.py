"""Programs that are told what happens: each gets its event, none of them can do harm by what it does or does not."""
import json, os, pathlib, time

import pytest

from dropping import TINY, Site, until

QUIET = 1.5


class Hooks:
    """A hooks folder, and what its programs wrote down."""

    def __init__(self, folder):
        self.folder, self.out = folder / "hooks.d", folder / "out"
        for made in (self.folder, self.out):
            made.mkdir(mode=0o755)
            os.chmod(made, 0o755)

    def write(self, name, script, mode=0o755):
        path = self.folder / name
        hidden = self.folder / f".{name}"
        hidden.write_text(f"#!/bin/sh\nOUT={self.out}\n{script}\n")
        os.chmod(hidden, mode)
        hidden.rename(path)
        return path

    def told(self, name):
        """What a hook appended to its file, line by line."""
        path = self.out / name
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def hooks(tmp_path):
    return Hooks(tmp_path)


@pytest.fixture
def start(serve, hooks):
    def started(**env):
        service = serve(env={"TIANKONG_HOOKS": str(hooks.folder), **env})
        until(lambda: service.unix.get("/v1/history").json["lines"])
        return service

    return started


def hold(service, reason="trial"):
    assert service.unix.post("/v1/hold", {"reason": reason}).status == 200
    assert service.unix.post("/v1/resume", {}).status == 200


def count(service, outcome):
    name = f'tiankong_hooks_total{{outcome="{outcome}"}} '
    return next(int(line.split()[-1]) for line in service.unix.get("/metrics").body.decode().splitlines() if line.startswith(name))


def alive(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_hook_gets_the_event_on_its_stdin_and_little_else(hooks, start):
    hooks.write("10-tell", 'cat >> $OUT/events; env | cut -d= -f1 | sort | tr "\\n" " " >> $OUT/env; echo "$TIANKONG_TOPIC/$TIANKONG_EVENT $PWD" >> $OUT/words')
    service = start(SECRET="x")
    hold(service, "节假日 $(id) `id` \"")
    until(lambda: "rollout/unpinned /" in hooks.told("words"))
    events = [json.loads(line) for line in hooks.told("events")]
    assert [event["kind"] for event in events] == ["started", "pinned", "unpinned"]
    assert events[1]["body"]["reason"] == "节假日 $(id) `id` \"" and events[1]["topic"] == "rollout"
    assert hooks.told("words") == ["health/started /", "rollout/pinned /", "rollout/unpinned /"]
    assert set(hooks.told("env")[0].split()) - {"PWD", "_", "SHLVL", "OLDPWD"} == {"PATH", "TIANKONG_EVENT", "TIANKONG_TOPIC"}
    assert count(service, "ok") == 3


def test_hooks_run_in_the_order_of_their_names_and_what_is_none_is_passed_over(hooks, start):
    for name in ("20-b", "10-a", "B", "a"):
        hooks.write(name, f'echo {name} >> $OUT/order')
    for name in ("30-c~", "30-c.dpkg-old", "30-c.bak"):
        hooks.write(name, f'echo {name} >> $OUT/order')
    hooks.write("README", "echo README >> $OUT/order", mode=0o644)
    (hooks.folder / "folder").mkdir(mode=0o755)
    os.symlink(hooks.folder / "a", hooks.folder / "link")
    service = start()
    hold(service)
    until(lambda: len(hooks.told("order")) == 12)
    assert hooks.told("order") == ["10-a", "20-b", "B", "a"] * 3


def test_one_that_fails_is_counted_and_the_next_is_run(hooks, start):
    hooks.write("10-fails", "exit 3")
    hooks.write("20-dies", "kill -9 $$")
    (hooks.folder / "30-nothing").write_text("no program\n")
    os.chmod(hooks.folder / "30-nothing", 0o755)
    hooks.write("40-deaf", "exec <&-; exit 0")
    hooks.write("50-loud", "head -c 1000000 /dev/zero | tr '\\0' 'x'; echo >&2 done; echo here >> $OUT/last")
    hooks.write("60-leaves", "sleep 3 & exit 0")
    service = start(TIANKONG_LOG_LEVEL="debug")
    until(lambda: count(service, "failed") == 3 and count(service, "ok") == 3, 10, lambda: "".join(service.log))
    assert hooks.told("last") == ["here"]
    log = "".join(line for line in service.log if "hook" in line)
    assert "10-fails" in log and "20-dies" in log and "30-nothing" in log
    assert "xxxx" in log and log.count("x") < 9000


def test_one_that_takes_too_long_is_ended_with_all_that_it_started(hooks, start):
    hooks.write("10-sleeps", 'echo $$ >> $OUT/pids; sh -c \'trap "" TERM; echo $$ >> \'$OUT\'/pids; while :; do sleep 1; done\' & sleep 100')
    hooks.write("20-next", "echo next >> $OUT/next")
    service = start()
    pids = until(lambda: len(hooks.told("pids")) == 2 and hooks.told("pids"))
    assert all(alive(pid) for pid in pids)
    before = time.monotonic()
    until(lambda: hooks.told("next"), 15)
    assert 8 < time.monotonic() - before < 14
    assert not any(alive(pid) for pid in pids)
    assert (count(service, "timeout"), count(service, "failed")) == (1, 0)


@pytest.mark.parametrize("what", ["file", "group", "folder"])
def test_what_others_could_change_is_not_run_and_said_once(hooks, start, what):
    hooks.write("10-good", "echo good >> $OUT/good")
    path = hooks.write("20-open", "echo open >> $OUT/open", mode={"file": 0o777, "group": 0o775}.get(what, 0o755))
    if what == "folder":
        os.chmod(hooks.folder, 0o777)
        path = hooks.folder
    service = start()
    hold(service)
    until(lambda: any("a hook is not run" in line for line in service.log))
    if what != "folder":
        until(lambda: len(hooks.told("good")) == 3)
    time.sleep(QUIET)
    assert not hooks.told("open") and (what != "folder" or not hooks.told("good"))
    assert sum("a hook is not run" in line and str(path) in line for line in service.log) == 1
    # Mended, it is run.
    os.chmod(path, 0o755)
    hold(service)
    until(lambda: hooks.told("open"))


@pytest.mark.skipif(os.getuid() != 0, reason="needs to give a file away")
def test_what_belongs_to_somebody_else_is_not_run(hooks, start, tiankong):
    path = hooks.write("10-theirs", "echo theirs >> $OUT/theirs")
    os.chown(path, 65534, 65534)
    service = start()
    until(lambda: any("a hook is not run" in line and "65534" in line for line in service.log))
    assert not hooks.told("theirs")
    said = tiankong("doctor", env={"TIANKONG_HOOKS": str(hooks.folder)})
    assert "hooks: none to run; refused:" in said.stdout and "10-theirs" in said.stdout


def test_doctor_counts_hooks(hooks, tiankong, tmp_path):
    hooks.write("10-a", "")
    hooks.write("README", "", mode=0o644)
    said = tiankong("doctor", env={"TIANKONG_HOOKS": str(hooks.folder)})
    assert "✓ hooks: 1 to run, 1 not executable" in said.stdout
    said = tiankong("doctor", env={"TIANKONG_HOOKS": str(tmp_path / "none"), "LANG": "zh_CN.UTF-8"})
    assert "✓ 钩子: 无可运行的程序" in said.stdout


def test_a_hook_holds_up_neither_a_rollback_nor_an_answer_nor_the_end(hooks, tmp_path):
    site = Site(tmp_path / "site", env={"TIANKONG_HOOKS": str(hooks.folder)})
    try:
        before, patch = site.live(), site.patch()
        site.commit(patch)
        hooks.write("10-sleeps", "echo $$ >> $OUT/pids; sleep 100")
        hold(site.service)
        pid = until(lambda: hooks.told("pids"))[0]
        started = time.monotonic()
        told = json.loads(site.run("rollback", "--json").stdout)
        assert told["to"]["version"] == before and told["took_ms"] < 100 and time.monotonic() - started < 3
        assert site.live() == before
        # More than there is room for: dropped, and counted.
        for number in range(60):
            hold(site.service)
        until(lambda: count(site.service, "dropped") > 40)
        started = time.monotonic()
        site.stop()
        assert time.monotonic() - started < 8
        until(lambda: not alive(pid))
    finally:
        site.stop()


def test_a_patch_is_told_of_once_it_has_ended(hooks, tmp_path):
    hooks.write("10-tell", 'cat >> $OUT/events')
    site = Site(tmp_path / "site", base=TINY, env={"TIANKONG_HOOKS": str(hooks.folder)})
    try:
        patch = site.patch()
        site.commit(patch)
        site.put(os.urandom(64), "bad.tkp.zst")
        kinds = lambda: [json.loads(line)["kind"] for line in hooks.told("events")]
        until(lambda: "refused" in kinds(), what=kinds)
        assert kinds() == ["started", "committed", "refused"]
        event = json.loads(hooks.told("events")[1])
        assert event["body"]["to"] == patch.target and event["body"]["file"] == patch.name
    finally:
        site.stop()
