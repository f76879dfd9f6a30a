"""A listener of `/v1/events`: what is sent on an open connection, event by event."""
import dataclasses, json, time
from urllib.parse import urlencode

from wire import Wire


@dataclasses.dataclass
class Event:
    id: int
    topic: str
    data: dict

    @property
    def kind(self):
        return self.data["kind"]


class Listener:
    """Open from the moment it is made; `status` and `headers` are known then."""

    def __init__(self, address, headers=None, timeout=20, **query):
        self.connection = Wire(address).connection(timeout)
        self.connection.request("GET", "/v1/events" + ("?" + urlencode(query) if query else ""), headers=headers or {})
        self.response = self.connection.getresponse()
        self.status, self.headers = self.response.status, self.response.headers
        self.comments = 0
        if self.status == 200:
            assert self.line() == ": listening" and self.line() == ""

    def line(self):
        """The next line without its end; None at the end of the stream."""
        line = self.response.readline()
        assert not line or line.endswith(b"\n"), line
        return line.decode()[:-1] if line else None

    def next(self):
        """The next event; None at the end. Comments are counted."""
        fields = {}
        while (line := self.line()) is not None:
            if line.startswith(":"):
                self.comments += 1
            elif line:
                name, _, value = line.partition(": ")
                assert name in ("id", "event", "data") and name not in fields, line
                fields[name] = value
            elif fields:
                event = Event(int(fields["id"]), fields["event"], json.loads(fields["data"]))
                assert (event.data["number"], event.data["topic"]) == (event.id, event.topic) and event.data["at"].endswith("Z")
                return event
        return None

    def until(self, kind, seconds=20):
        """The first event of that kind."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            event = self.next()
            assert event, f"the stream ended before {kind}"
            if event.kind == kind:
                return event
        raise AssertionError(f"no {kind} within {seconds} s")

    def close(self):
        """As a client that goes away."""
        self.response.close()
        self.connection.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
