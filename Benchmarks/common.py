"""What the scripts here share: the binary, services of their own, tables, and the machine in words.

TIANKONG_BINARY names the binary, else it is the release build."""

import json
import os
import pathlib
import socket
import subprocess
import tempfile
import time

BINARY = os.environ.get("TIANKONG_BINARY", str(pathlib.Path(__file__).parents[1] / ".build/release/tiankong"))
ISAS = ["avx2", "avx_vnni", "avx512f", "avx512_vnni", "amx_int8"]  # Linux's names


def processor():
    """Its name, and what it can do, as Linux has it."""
    facts = dict(map(str.strip, line.split(":", 1)) for line in open("/proc/cpuinfo") if ":" in line)
    return facts.get("model name", "unknown"), facts.get("flags", "").split()


def machine():
    name, flags = processor()
    return f"{name} ({' '.join(isa for isa in ISAS if isa in flags)})"


def load():
    return f"load {os.getloadavg()[0]:.1f}"


def heading(*more):
    version = subprocess.run([BINARY, "--version"], capture_output=True, text=True).stdout.strip()
    cores = f"{len(os.sched_getaffinity(0))} cores"
    print(", ".join([machine(), cores, time.strftime("%Y-%m-%d"), load(), f"tiankong {version}", *more]), flush=True)


def table(header, rows):
    print("\n| " + " | ".join(header) + " |\n|" + "---|" * len(header))
    for row in rows:
        print("| " + " | ".join(map(str, row)) + " |")
    print(flush=True)


def quantile(values, share):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * share))]


def scratch():
    """A folder that is gone with its `with` block, on a disk rather than in memory."""
    return tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR", "/var/tmp"))


def place(folder):
    """The options of whoever works on the state in `folder`."""
    return ["--state", f"{folder}/state", "--socket", f"{folder}/t.sock"]


def tiankong(*words, **variables):
    """Runs a command to its end, which must be a good one."""
    done = subprocess.run([BINARY, *map(str, words)], capture_output=True, text=True, env=os.environ | variables)
    if done.returncode:
        raise SystemExit(f"tiankong {' '.join(map(str, words))}: {done.returncode}: {done.stderr.strip()}")
    return done.stdout


# --- a service, and questions to it as bytes: what a client costs is not to be measured


class Service:
    """`tiankong serve` on the state in `folder`; ready when it is made, ended with its `with` block."""

    def __init__(self, folder, threads, listen="none", **variables):
        self.path, self.log = f"{folder}/t.sock", tempfile.TemporaryFile("w+")
        command = [BINARY, "serve", *place(folder), "--listen", listen, "--threads", str(threads)]
        started = time.perf_counter()
        self.process = subprocess.Popen(command, stderr=self.log, env=os.environ | variables)
        while not self.is_ready():
            if self.process.poll() is not None or time.perf_counter() - started > 120:
                self.end()
                raise SystemExit(f"the service does not answer: {self.told()[-800:]}")
            time.sleep(0.001)
        self.seconds_to_ready = time.perf_counter() - started

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()

    def end(self):
        self.process.terminate()
        self.process.wait()

    def is_ready(self):
        try:
            with self.connect() as connection:
                connection.sendall(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n")
                return receive(connection)[0] == 200
        except OSError:
            return False

    def told(self):
        self.log.seek(0)
        return self.log.read()

    def connect(self):
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(self.path)
        return connection

    def connect_tcp(self):
        """To the port that the log names, where it was told to listen on one of 127.0.0.1."""
        port = self.told().split("address=127.0.0.1:")[1].split()[0]
        connection = socket.create_connection(("127.0.0.1", int(port)))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def resident(self):
        """MiB of its own, files it has mapped left out."""
        lines = open(f"/proc/{self.process.pid}/status").read().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1024


def request(**question):
    body = json.dumps(question, ensure_ascii=False).encode()
    head = "POST /v1/fill HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: "
    return f"{head}{len(body)}\r\n\r\n".encode() + body


def receive(connection):
    """Status and body of one answer; it must have a Content-Length."""
    data = b""
    while (end := data.find(b"\r\n\r\n")) < 0:
        data += more(connection)
    begin = data.lower().index(b"content-length:", 0, end) + 15
    whole = end + 4 + int(data[begin : data.index(b"\r", begin)])
    while len(data) < whole:
        data += more(connection)
    return int(data[9:12]), data[end + 4 : whole]


def more(connection):
    data = connection.recv(65536)
    if not data:
        raise ConnectionError("closed in the middle of an answer")
    return data
