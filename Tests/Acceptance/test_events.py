"""What happens, as it happens: server-sent events for whoever listens, and nothing held up by those who do."""
import signal, socket, time

import pytest

from dropping import FIXTURES, until
from listening import Listener

ROOM = 64  # listeners, the service's own hooks among them


@pytest.fixture
def service(serve):
    service = serve()
    until(lambda: service.unix.get("/v1/history").json["lines"], what="the start is told")
    return service


def happen(service, reason="trial"):
    """Two events: somebody holds, and resumes."""
    for path in ("/v1/hold", "/v1/resume"):
        answer = service.unix.post(path, {"reason": reason})
        assert answer.status == 200, answer.body


def listeners(service):
    for line in service.unix.get("/metrics").body.decode().splitlines():
        if line.startswith("tiankong_event_listeners "):
            return int(line.split()[1])


@pytest.mark.parametrize("way", ["socket", "tcp"])
def test_events_come_as_they_happen(service, way):
    address = service.socket if way == "socket" else ("127.0.0.1", service.port)
    with Listener(address) as listener:
        assert listener.headers["Content-Type"].startswith("text/event-stream")
        assert (listener.headers["Cache-Control"], listener.headers["X-Accel-Buffering"]) == ("no-store", "no")
        assert listener.headers["X-Request-Id"]
        before = time.monotonic()
        happen(service, "节假日\n不变更")
        first, second = listener.next(), listener.next()
        assert time.monotonic() - before < 2
        assert (first.kind, second.kind, first.topic) == ("pinned", "unpinned", "rollout")
        assert second.id == first.id + 1
        assert first.data["body"]["reason"] == "节假日\n不变更"
        line = next(l for l in service.unix.get("/v1/history").json["lines"] if l["kind"] == "pinned")
        assert line["body"] == first.data["body"]


def test_who_comes_back_gets_what_was_missed(service):
    happen(service)
    with Listener(service.socket, after=0) as listener:
        assert listener.next().kind == "started"
        pinned, unpinned = listener.until("pinned"), listener.next()
    happen(service)
    with Listener(service.socket, after=unpinned.id) as listener:
        assert listener.next().id == unpinned.id + 1
    with Listener(service.socket, headers={"Last-Event-ID": str(unpinned.id)}, after=0) as listener:
        assert listener.next().id == unpinned.id + 1
    # Of a process before this one, whose numbers were higher: everything is news.
    with Listener(service.socket, headers={"Last-Event-ID": "999999"}) as listener:
        assert listener.next().id == 1
    # Without a number only what comes from now on.
    with Listener(service.socket) as listener:
        happen(service)
        assert listener.next().id > unpinned.id + 2
    assert pinned.id < unpinned.id


def test_topics_are_what_was_asked_for(tiankong, serve):
    assert tiankong("import", FIXTURES / "tiny-tied").returncode == 0
    service = serve()
    with Listener(service.socket, topics="rollback,verdict") as listener:
        happen(service)
        assert service.unix.post("/v1/rollback", {"to": "packaged", "reason": "trial"}).status == 200
        event = listener.next()
        assert (event.topic, event.kind, event.data["body"]["reason"]) == ("rollback", "rolled-back", "trial")


@pytest.mark.parametrize("query,headers,field", [
    ("?topics=rollbacks", {}, "topics"), ("?topics=rollback,", {}, "topics"), ("?topics=", {}, "topics"), ("?topics=rollback&after=x", {}, "after"),
    ("?after=-1", {}, "after"), ("", {"Last-Event-ID": "a"}, "Last-Event-ID"),
])
def test_what_is_no_filter_is_refused_with_what_is(service, query, headers, field):
    answer = service.unix.get("/v1/events" + query, headers)
    assert (answer.status, answer.code, answer.json["error"]["detail"]["field"]) == (400, "out_of_range", field)
    if field == "topics":
        assert "intake, rollout, verdict, rollback, health" in answer.json["error"]["message"]


def test_a_head_is_answered_and_takes_nobodys_place(service):
    before = listeners(service)
    for _ in range(2 * ROOM):
        connection = service.unix.connection(5)
        connection.request("HEAD", "/v1/events")
        response = connection.getresponse()
        assert response.status == 200 and response.headers["Content-Type"].startswith("text/event-stream")
        connection.close()
    assert listeners(service) == before


def test_beyond_the_limit_nobody_listens_and_who_leaves_makes_room(service):
    open_ones = []
    while (listener := Listener(service.socket)).status == 200:
        open_ones.append(listener)
        assert len(open_ones) <= ROOM
    assert listener.status == 503 and int(listener.headers["Retry-After"]) >= 1
    assert len(open_ones) >= ROOM - 1 and listeners(service) == ROOM
    # Questions are answered all the same.
    assert service.tcp.fill("画龙点[MASK]").status == 200
    happen(service)
    assert all(listener.next().kind == "pinned" for listener in open_ones)
    for listener in open_ones:
        listener.close()
    until(lambda: listeners(service) <= 1, 5, lambda: f"listeners: expected 1, found {listeners(service)}")
    with Listener(("127.0.0.1", service.port)) as listener:
        assert listener.status == 200
        until(lambda: listeners(service) >= 1)
    until(lambda: listeners(service) <= 1, 5)


def test_a_term_ends_the_streams_and_the_service(service):
    quiet, busy = Listener(service.socket), Listener(("127.0.0.1", service.port))
    # And one who reads nothing of what it asked for.
    deaf = socket.socket(socket.AF_UNIX)
    deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    deaf.connect(service.socket)
    deaf.sendall(b"GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
    for _ in range(200):
        happen(service, "长" * 300)
    while busy.next().id < 300:
        pass
    before = time.monotonic()
    service.process.send_signal(signal.SIGTERM)
    assert service.process.wait(timeout=10) == 0
    assert time.monotonic() - before < 5
    while quiet.next():
        pass
    deaf.close()


def test_silence_is_filled_so_that_the_dead_are_noticed(service):
    with Listener(service.socket) as listener:
        before = time.monotonic()
        assert listener.line() == ":"
        assert 10 < time.monotonic() - before < 20


@pytest.mark.long
def test_who_does_not_read_is_let_go(service):
    deaf = socket.socket(socket.AF_UNIX)
    deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    deaf.connect(service.socket)
    deaf.sendall(b"GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
    until(lambda: listeners(service) == 2)
    for _ in range(300):
        happen(service, "长" * 330)
    until(lambda: listeners(service) == 1, 50)
    deaf.close()


def test_a_connection_is_listened_on_once(service):
    """Requests behind a stream on the same connection wait; the stream goes on."""
    with Listener(service.socket) as listener:
        listener.connection.sock.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        happen(service)
        assert [listener.next().kind, listener.next().kind] == ["pinned", "unpinned"]
