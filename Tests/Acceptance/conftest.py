"""The built binary as its users have it: real sockets, real signals, a state folder a test. Nothing is mocked."""
import os, pathlib, signal, socket, subprocess, threading, time

import pytest

from wire import Wire

ROOT = pathlib.Path(__file__).parents[2]
BINARY = os.environ.get("TIANKONG_BINARY", str(ROOT / ".build/release/tiankong"))
CLEAN = {k: v for k, v in os.environ.items() if not k.startswith("TIANKONG_") and k not in ("LANG", "LC_ALL", "LC_MESSAGES", "JOURNAL_STREAM")}


def pytest_addoption(parser):
    parser.addoption("--long", action="store_true", help="the long families too")


def pytest_configure(config):
    config.addinivalue_line("markers", "long: takes minutes; runs with --long")


def pytest_collection_modifyitems(config, items):
    if not config.getoption("--long"):
        for item in items:
            if "long" in item.keywords:
                item.add_marker(pytest.mark.skip(reason="runs with --long"))


# What a new version has to go through before it is live is for test_rollout.py; everywhere else it is in the way.
AT_ONCE = {"TIANKONG_ROLLOUT_POLICY": "immediate"}


class Service:
    """`tiankong serve` on a socket and a free loopback port."""

    def __init__(self, folder, arguments=(), env=None, wait=True, port=None):
        self.folder = pathlib.Path(folder)
        self.socket = str(self.folder / "t.sock")
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = port or s.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = []
        command = [BINARY, "serve", "--state", str(self.folder / "state"), "--socket", self.socket, "--listen", f"127.0.0.1:{self.port}", *arguments]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, env={**CLEAN, **AT_ONCE, **(env or {})}, text=True)
        self.reader = threading.Thread(target=lambda: self.log.extend(self.process.stderr), daemon=True)
        self.reader.start()
        if wait:
            self.wait_ready()

    @property
    def unix(self):
        return Wire(self.socket)

    @property
    def tcp(self):
        return Wire(("127.0.0.1", self.port))

    def wait_ready(self, seconds=20):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            assert self.process.poll() is None, "".join(self.log)
            try:
                if self.unix.get("/readyz").status == 200:
                    return
            except OSError:
                pass
            time.sleep(0.02)
        raise AssertionError("not ready: " + "".join(self.log))

    def resident(self):
        """VmRSS in bytes."""
        for line in open(f"/proc/{self.process.pid}/status"):
            if line.startswith("VmRSS"):
                return int(line.split()[1]) * 1024

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            assert self.process.wait(timeout=25) == 0, "".join(self.log)
        self.reader.join(timeout=5)


@pytest.fixture
def serve(tmp_path):
    """Starts services in the test's own folder, and stops them."""
    services = []

    def start(*arguments, folder=None, **keywords):
        services.append(Service(folder or tmp_path, arguments, **keywords))
        return services[-1]

    yield start
    for service in services:
        service.stop()


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    """One service for all tests of a file that leave it as it was."""
    service = Service(tmp_path_factory.mktemp("service"))
    yield service
    service.stop()


@pytest.fixture
def tiankong(tmp_path):
    """Runs a command with a state folder and a socket of its own; returns what it printed and its exit code."""

    def run(*arguments, input=None, env=None, place=True, timeout=120):
        command = [BINARY, *map(str, arguments)]
        if place:
            command += ["--state", str(tmp_path / "state"), "--socket", str(tmp_path / "t.sock")]
        return subprocess.run(command, input=input, env={**CLEAN, **(env or {})}, capture_output=True, text=not isinstance(input, bytes), timeout=timeout)

    return run
