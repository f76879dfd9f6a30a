"""What stands around a drop folder: a signer, a line of models with the patches between them, senders, askers."""
import base64, contextlib, dataclasses, hashlib, http.client, itertools, json, os, pathlib, pwd, shutil, signal, socket, struct, subprocess, sys, threading, time

import pytest

import models
from conftest import BINARY, CLEAN, Service
from wire import Wire

FIXTURES = pathlib.Path(__file__).parents[1] / "Fixtures"
TINY = FIXTURES / "tiny-tied"
DEFAULT = FIXTURES.parents[1] / "packaging/default-model"
NAMESPACE = "tiankong-patch"
BLOCK = 128 << 10
STATUSES = {"incomplete", "waiting-for-base", "verifying", "merging", "prewarming", "shadow", "canary", "held", "committed", "rolled-back", "refused", "superseded", "duplicate"}
ENDED = {"committed", "rolled-back", "refused", "superseded", "duplicate"}
FIELDS = {"file", "identity", "status", "since", "release", "from", "to", "epoch", "signer", "history_head", "steps"}
QUESTION = "画龙点[MASK]"


def until(condition, seconds=20, what="condition"):
    """What `condition` returns as soon as that is true."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, f"{what() if callable(what) else what}: not within {seconds} s"
        time.sleep(0.02)


def run(*command, check=True, **keywords):
    result = subprocess.run([str(word) for word in command], capture_output=True, env=CLEAN, timeout=120, **keywords)
    assert not check or result.returncode == 0, (command, result.returncode, result.stderr)
    return result


# Keys and patches


class Signer:
    """An ssh-ed25519 key and an allowed_signers file that knows it by `name`."""

    def __init__(self, folder, name="office"):
        pathlib.Path(folder).mkdir(parents=True, exist_ok=True)
        self.name = name
        self.key, self.line = models.keypair(folder, name)
        self.allowed = pathlib.Path(folder) / "allowed_signers"
        if not self.allowed.exists():
            self.trust(self)

    def trust(self, *signers, options=""):
        """Writes the list anew, by rename."""
        lines = [s.line.replace(" ", f" {options} " if options else " ", 1) for s in signers]
        temporary = self.allowed.with_suffix(".new")
        temporary.write_text("# test\n" + "".join(lines))
        temporary.rename(self.allowed)

    def sign(self, manifest, namespace=NAMESPACE):
        """The signature's raw blob."""
        armoured = run("ssh-keygen", "-Y", "sign", "-q", "-n", namespace, "-f", self.key, input=manifest).stdout.decode()
        return base64.b64decode("".join(line for line in armoured.splitlines() if not line.startswith("-----")))


def serialized(manifest):
    return json.dumps(manifest, ensure_ascii=False, separators=(",", ":")).encode()


def stored_frame(data, said=None):
    """A zstd frame (RFC 8878) of raw blocks. `said`: the content's size as the frame has it, if not the true one."""
    blocks = [data[i : i + BLOCK] for i in range(0, len(data), BLOCK)] or [b""]
    return _head(len(data) if said is None else said) + b"".join(_block(0, len(b), b is blocks[-1]) + b for b in blocks)


def repeated_frame(size, said=None, window=None):
    """A zstd frame of `size` zeros, 4 bytes for 128 KiB. `window`: a window descriptor in place of the content's size."""
    head = _head(size if said is None else said) if window is None else struct.pack("<IBB", 0xFD2FB528, 0, window)
    return head + b"".join(_block(1, min(BLOCK, size - i), i + BLOCK >= size) + b"\0" for i in range(0, size, BLOCK))


def _head(size):
    return struct.pack("<IBI", 0xFD2FB528, 0xA0, size)


def _block(kind, size, last):
    return (size << 3 | kind << 1 | last).to_bytes(3, "little")


def described(name, shape, contents, result=None, frame=None, dtype="F32", **other):
    """(what a manifest says of a frame that replaces a tensor, the frame)."""
    frame = stored_frame(contents) if frame is None else frame
    says = {"tensor": name, "shape": shape, "dtype": dtype, "op": "replace", "encoding": "raw", "compressed": len(frame), "exact": len(contents),
            "sha256": hashlib.sha256(frame).hexdigest(), "result": hashlib.sha256(contents if result is None else result).hexdigest()}
    return {**says, **other}, frame


def fingerprint(folder):
    return run(sys.executable, FIXTURES / "fingerprint.py", folder).stdout.decode().strip()


# A line of models


def nudged(folder, out, seed):
    """A copy of the model whose weights are all a little different."""
    return models.copy_with(folder, out, {name: models.noise(1e-4, seed) for name in models.names(folder)})


@dataclasses.dataclass
class Patch:
    path: pathlib.Path
    folder: pathlib.Path
    base: str
    target: str
    line: str
    epoch: int
    release: str

    @property
    def name(self):
        return self.path.name

    @property
    def manifest(self):
        return models.take_apart(self.path)[0]

    @property
    def identity(self):
        return hashlib.sha256(self.manifest).hexdigest()

    @property
    def frames(self):
        rest, frames = models.take_apart(self.path)[2], []
        for frame in json.loads(self.manifest)["frames"]:
            frames.append(rest[: frame["compressed"]])
            rest = rest[frame["compressed"] :]
        return frames


class Line:
    """A base and what was made of it. Every patch gets a higher epoch than all before it."""

    def __init__(self, folder, base, signer):
        self.folder, self.base, self.signer = pathlib.Path(folder), pathlib.Path(base), signer
        self.folder.mkdir(parents=True, exist_ok=True)
        self.models = {}  # version → its folder
        self.numbers = itertools.count(1)

    def patch(self, base=None, epoch=None, signer=None, name=None, folder=None):
        """A signed patch from `base` (a folder; the line's base unless told) to a new version."""
        number = next(self.numbers)
        base = pathlib.Path(base or self.base)
        folder = folder or nudged(base, self.folder / f"v{number}", number)
        epoch = epoch or number
        path = self.folder / (name or f"r{number}.tkp.zst")
        made = json.loads(run(BINARY, "patch", "make", "--base", base, "--target", folder, "-o", path, "--epoch", epoch, "--release", f"r{number}", "--json").stdout)
        models.set_json(folder / "tiankong.json", line=made["line"], epoch=epoch, release=f"r{number}")
        if signer is not False:
            run(BINARY, "patch", "sign", path, "--key", (signer or self.signer).key)
        self.models.setdefault(made["base"], base)
        self.models[made["target"]] = folder
        return Patch(path, folder, made["base"], made["target"], made["line"], epoch, made["release"])


    def forge(self, name, manifest, frames, signer=None, namespace=NAMESPACE):
        """A file of the format from its parts; `manifest`: an object, or bytes as they are. `signer`: False for none."""
        manifest = manifest if isinstance(manifest, bytes) else serialized(manifest)
        signature = b"" if signer is False else (signer or self.signer).sign(manifest, namespace)
        return models.put_together(self.folder / name, manifest, signature, b"".join(frames))


def chain(folder, base, count, signer):
    """Patches v1 → v2 → …, each made from the target of the one before."""
    line, patches = Line(folder, base, signer), []
    for _ in range(count):
        patches.append(line.patch(patches[-1].folder if patches else base))
    return patches


# Receipts


def receipt(path):
    """What stands in a dropped file's receipt, or None. It is never seen half written."""
    try:
        return json.loads(pathlib.Path(f"{path}.status.json").read_bytes())
    except FileNotFoundError:
        return None


def wait_receipt(path, status, seconds=20, patient=False, identity=None):
    """The receipt as soon as it has the status (or one of several).

    `patient`: another end is not the end yet; `identity`: of a file that took the place of another."""
    wanted = {status} if isinstance(status, str) else set(status)
    last = None

    def reached():
        nonlocal last
        last = receipt(path)
        if last is None or (identity and last["identity"] not in (identity, None)):
            return None
        assert last["status"] in STATUSES, last
        assert patient or last["status"] in wanted or last["status"] not in ENDED, last
        return last["status"] in wanted and last

    return until(reached, seconds, lambda: f"{pathlib.Path(path).name}: expected {sorted(wanted)}, found {last}")


# A service with all of that


class Site:
    """A service that serves `base`, its drop folder, a signer it trusts and the line."""

    def __init__(self, folder, base=TINY, drop=None, state=None, env=None, start=True, arguments=()):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.signer = Signer(self.folder / "keys")
        self.line = Line(self.folder / "line", base, self.signer)
        self.state = self.folder / "state"
        self.drop = pathlib.Path(drop) if drop else self.state / "drop"
        self.env = {"TIANKONG_DROP_SETTLE": "300ms", "TIANKONG_TRUST_ALLOWED_SIGNERS": str(self.signer.allowed), **(env or {})}
        self.arguments = [*(["--drop", str(drop)] if drop else []), *arguments]
        self.service = None
        if base is not DEFAULT:
            self.run("import", base)
        if start:
            self.start()
            self.base = self.live()
            self.line.models[self.base] = pathlib.Path(base)

    def start(self, wait=True):
        self.service = Service(self.folder, self.arguments, env=self.env, wait=wait)
        return self.service

    def stop(self):
        if self.service:
            self.service.stop()

    def kill(self):
        self.service.kill()
        self.service.reader.join(timeout=5)

    def restart(self):
        self.stop()
        return self.start()

    def ensure(self):
        """Starts the service again if a test before this one brought it down."""
        if self.service is None or self.service.process.poll() is not None:
            self.start()
        return self

    def run(self, *arguments, **keywords):
        return run(BINARY, *arguments, "--state", self.state, "--socket", self.folder / "t.sock", **keywords)

    # What it says

    @property
    def log(self):
        return "".join(self.service.log)

    def status(self):
        answer = self.service.unix.get("/v1/status")
        assert answer.status == 200, answer.body
        return answer.json

    def live(self):
        """The version that answers, known from an answer."""
        answer = self.service.unix.fill(QUESTION)
        assert answer.status == 200, answer.body
        assert answer.headers["X-Tiankong-Version"] == answer.json["version"]
        return answer.json["version"]

    def history(self, after=0):
        """Lines with their bodies read."""
        lines = []
        while True:
            answer = self.service.unix.get(f"/v1/history?after={after}&limit=500")
            assert answer.status == 200, answer.body
            if not answer.json["lines"]:
                return lines
            for line in answer.json["lines"]:
                body = line["body"]
                lines.append({**line, "body": json.loads(body) if isinstance(body, str) else body})
            after = lines[-1]["number"]

    def head(self):
        """The number of the last line of the history."""
        lines = self.history()
        return lines[-1]["number"] if lines else 0

    def told(self, kind, after=0, seconds=20, **body):
        """The first line of that kind after a number whose body has these values."""

        def find():
            lines = self.history(after)
            return next((line for line in lines if line["kind"] == kind and all(line["body"].get(k) == v for k, v in body.items())), None)

        return until(find, seconds, lambda: f"history: expected {kind} {body}, found {[(l['kind'], l['body']) for l in self.history(after)]}")

    def metric(self, name):
        for line in self.service.unix.get("/metrics").body.decode().splitlines():
            if line.startswith(name + " "):
                return float(line.split()[-1])

    # What is done to it

    def patch(self, **keywords):
        """A signed patch on what is live."""
        return self.line.patch(base=keywords.pop("base", None) or self.line.models[self.live()], **keywords)

    def put(self, source, name=None):
        """Copies a file (or writes bytes) into the drop folder under a hidden name, and renames."""
        target = self.drop / (name or pathlib.Path(source).name)
        hidden = target.with_name("." + target.name + ".x")
        hidden.write_bytes(source) if isinstance(source, bytes) else shutil.copyfile(source, hidden)
        hidden.rename(target)
        return target

    def commit(self, patch, seconds=20):
        """Drops a patch and waits until it answers."""
        told = wait_receipt(self.put(patch.path), "committed", seconds)
        until(lambda: self.live() == patch.target, seconds, "the new version answers")
        return told

    def barrier(self):
        """Returns after all that lay in the folder was looked at: what came last got its answer."""
        path = self.put(os.urandom(64), f"barrier-{time.monotonic_ns()}.tkp.zst")
        wait_receipt(path, "refused")
        path.unlink()
        pathlib.Path(f"{path}.status.json").unlink()

    def idle(self, seconds=10):
        """Nothing is staged; quarantine is bounded."""
        staging, quarantine = self.state / "staging", self.state / "quarantine"
        until(lambda: not staging.exists() or not any(staging.iterdir()), seconds, lambda: f"staging: expected nothing, found {list(staging.iterdir())}")
        kept = [p.stat().st_size for p in quarantine.iterdir()] if quarantine.exists() else []
        assert len(kept) <= 20 and sum(kept) <= 1 << 30


@contextlib.contextmanager
def serving(site):
    """What happens inside changes nothing for those who ask: the same version, before, during and after."""
    before = site.live()
    with Load(site.service.socket, clients=1) as load:
        yield before
    assert not load.failures, load.failures[:3]
    assert load.versions == [before] and site.live() == before, (before, load.versions)
    site.idle()


def picture(path):
    """What must not change about a dropped file."""
    found = os.lstat(path)
    content = None
    if os.path.isfile(path) and not os.path.islink(path):
        content = hashlib.sha256(pathlib.Path(os.fsdecode(path)).read_bytes()).hexdigest()
    return found.st_ino, found.st_mode, found.st_size, found.st_mtime_ns, found.st_nlink, content


class Load:
    """Clients that ask without pause, a connection each."""

    def __init__(self, address, clients=2, text=QUESTION):
        self.address, self.text = address, text
        self.failures, self.versions, self.count, self.longest = [], [], 0, 0.0
        self._seen, self._stop, self._lock = set(), threading.Event(), threading.Lock()
        self._threads = [threading.Thread(target=self._ask, daemon=True) for _ in range(clients)]

    def _ask(self):
        body = json.dumps({"text": self.text}).encode()
        connection = Wire(self.address).connection()
        while not self._stop.is_set():
            started = time.perf_counter()
            try:
                connection.request("POST", "/v1/fill", body, {"Content-Type": "application/json"})
                response = connection.getresponse()
                answer = json.loads(response.read())
                wrong = None
                if response.status != 200:
                    wrong = (response.status, answer)
                elif response.headers["X-Tiankong-Version"] != answer["version"]:
                    wrong = ("two versions", response.headers["X-Tiankong-Version"], answer["version"])
            except (OSError, http.client.HTTPException, ValueError) as error:
                wrong, answer = (repr(error),), {}
                connection.close()
                connection = Wire(self.address).connection()
                time.sleep(0.01)
            took = time.perf_counter() - started
            with self._lock:
                self.count += 1
                self.longest = max(self.longest, took)
                if wrong:
                    self.failures.append(wrong)
                elif answer["version"] not in self._seen:
                    self._seen.add(answer["version"])
                    self.versions.append(answer["version"])
        connection.close()

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        until(lambda: self.count or self.failures, 20, "a first answer")
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=40)


# Senders


class SSHServer:
    """sshd on a loopback port, with keys of its own, for whoever runs the tests."""

    def __init__(self, folder):
        if not (os.path.exists("/usr/sbin/sshd") and shutil.which("rsync") and shutil.which("ssh")):
            pytest.skip("needs rsync, openssh-server and openssh-client")
        self.folder, self.user = pathlib.Path(folder), pwd.getpwuid(os.getuid()).pw_name
        self.folder.mkdir(parents=True, exist_ok=True)
        for key in ("host", "user"):
            run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.folder / key)
        shutil.copyfile(self.folder / "user.pub", self.folder / "authorized_keys")
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        (self.folder / "conf").write_text(
            f"Port {self.port}\nListenAddress 127.0.0.1\nHostKey {self.folder}/host\nPidFile none\nUsePAM no\nStrictModes no\n"
            f"PubkeyAuthentication yes\nPasswordAuthentication no\nPermitRootLogin prohibit-password\n"
            f"AuthorizedKeysFile {self.folder}/authorized_keys\nSubsystem sftp internal-sftp\nMaxStartups 50\n")
        if os.getuid() == 0:
            os.makedirs("/run/sshd", mode=0o755, exist_ok=True)
        self.process = subprocess.Popen(["/usr/sbin/sshd", "-D", "-e", "-f", str(self.folder / "conf")], stderr=open(self.folder / "log", "wb"))
        until(self._answers, 20, lambda: "sshd: " + (self.folder / "log").read_text())

    def _answers(self):
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", self.port)) == 0

    @property
    def options(self):
        return ["-F", "none", "-i", str(self.folder / "user"), "-o", "StrictHostKeyChecking=no", "-o", f"UserKnownHostsFile={self.folder}/known", "-o", "LogLevel=ERROR", "-o", "BatchMode=yes"]

    def sending(self, program, *options, source, target):
        """The running rsync or scp, in a process group of its own."""
        if program == "rsync":
            command = ["rsync", "-e", " ".join(["ssh", "-p", str(self.port), *self.options]), *options, str(source), f"{self.user}@127.0.0.1:{target}"]
        else:
            command = ["scp", "-q", "-P", str(self.port), *self.options, *options, str(source), f"{self.user}@127.0.0.1:{target}"]
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True, env=CLEAN)

    def send(self, program, *options, source, target):
        process = self.sending(program, *options, source=source, target=target)
        _, error = process.communicate(timeout=120)
        assert process.returncode == 0, (error, (self.folder / "log").read_text()[-2000:])

    def interrupt(self, process, arrived, seconds=30):
        """Kills the sender once `arrived()` is true, and waits until the other side has noticed."""
        until(lambda: arrived() or process.poll() is not None, seconds, "half of it has arrived")
        assert process.poll() is None, ("it was through before it could be stopped", process.stderr.read())
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()

    def stop(self):
        self.process.terminate()
        self.process.wait(timeout=10)


@contextlib.contextmanager
def small_disk(folder, size):
    """A tmpfs of `size` bytes at `folder`; skips where that is not permitted."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    result = run("mount", "-t", "tmpfs", "-o", f"size={size}", "none", folder, check=False)
    if result.returncode != 0:
        pytest.skip("may not mount: " + result.stderr.decode().strip())
    try:
        yield folder
    finally:
        run("umount", "-l", folder, check=False)


def fill_disk(folder, leave=0):
    """Takes all space of the file system but `leave` bytes; returns the file that holds it."""
    ballast = pathlib.Path(folder) / "ballast"
    free = os.statvfs(folder)
    with open(ballast, "wb", buffering=0) as file:
        left = free.f_bavail * free.f_frsize - leave
        try:
            while left > 0:
                left -= file.write(b"\1" * min(left, 1 << 20))
        except OSError:
            pass
    return ballast
