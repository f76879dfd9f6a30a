"""More than it can carry: what comes beyond a limit is told so at once, and everybody else is still answered."""
import concurrent.futures, itertools, json, resource, signal, socket, statistics, threading, time

import pytest

numbers = itertools.count()


def long():
    """Every one another: the same question again is answered from a cache."""
    return chr(0x4E00 + next(numbers) % 20_000) + "字" * 119 + "[MASK]"


def idle(service, count):
    """Connections that say nothing."""
    open_ones = []
    for _ in range(count):
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(5)
        s.connect(service.socket)
        open_ones.append(s)
    return open_ones


def may_open(count):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < count:
        pytest.skip(f"needs {count} open files, this account may have {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count), hard))


def silent_clients(serve, count):
    may_open(count + 200)
    service = serve(env={"TIANKONG_LIMITS_CONNECTIONS": "200"})
    open_ones = []
    for _ in range(0, count, 100):
        open_ones += idle(service, 100)
        assert service.unix.fill("画龙点[MASK]").status == 200
    metrics = service.unix.get("/metrics").body.decode()
    assert float(metrics.split("\ntiankong_connections ")[1].split()[0]) <= 201
    for s in open_ones:
        s.close()
    assert service.tcp.fill("画龙点[MASK]").status == 200


def test_two_thousand_silent_clients_lock_nobody_out(serve):
    silent_clients(serve, 2_000)


@pytest.mark.long
def test_ten_thousand_silent_clients_lock_nobody_out(serve):
    silent_clients(serve, 10_000)


def test_a_connection_that_waits_for_its_answer_is_not_the_one_that_is_closed(serve):
    service = serve("--threads", "1", env={"TIANKONG_LIMITS_CONNECTIONS": "20", "TIANKONG_LIMITS_DEADLINE": "60s"})
    with concurrent.futures.ThreadPoolExecutor(10) as pool:
        busy = [pool.submit(lambda: service.unix.fill(long()).status) for _ in range(10)]
        time.sleep(0.05)
        open_ones = idle(service, 60)
        assert [f.result() for f in busy] == [200] * 10
    for s in open_ones:
        s.close()


def test_what_the_queue_cannot_take_is_told_to_come_back(serve):
    service = serve("--threads", "1", env={"TIANKONG_LIMITS_QUEUE": "4", "TIANKONG_LIMITS_DEADLINE": "60s"})
    with concurrent.futures.ThreadPoolExecutor(64) as pool:
        answers = list(pool.map(lambda _: service.unix.fill(long()), range(256)))
    refused = [a for a in answers if a.status == 503]
    assert refused and {a.status for a in answers} == {200, 503}
    assert {a.code for a in refused} == {"overloaded"} and all(int(a.headers["Retry-After"]) >= 1 for a in refused)
    assert service.unix.fill("画龙点[MASK]").status == 200


def test_a_question_that_waits_too_long_is_told_so(serve):
    service = serve("--threads", "1", env={"TIANKONG_LIMITS_DEADLINE": "20ms"})
    with concurrent.futures.ThreadPoolExecutor(64) as pool:
        answers = list(pool.map(lambda _: service.unix.fill(long()), range(128)))
    late = [a for a in answers if a.status == 504]
    assert late and {a.status for a in answers} <= {200, 503, 504}
    assert {a.code for a in late} == {"deadline_exceeded"}
    assert service.unix.fill("画龙点[MASK]").status == 200


def test_a_client_that_leaves_is_not_computed_for(serve):
    service = serve("--threads", "1", env={"TIANKONG_LIMITS_DEADLINE": "60s"})
    body = json.dumps({"text": long()}).encode()
    head = b"POST /v1/fill HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
    for s in idle(service, 200):
        s.sendall(head + body)
        s.close()
    assert service.unix.fill("画龙点[MASK]").status == 200


def test_one_address_on_the_network_may_not_ask_without_end(serve, tmp_path):
    proxy = tmp_path / "tiankong.yaml"
    proxy.write_text("access: {trusted_proxies: [127.0.0.1], networks: [0.0.0.0/0]}\nlimits: {requests_per_second: 5}\n")
    service = serve("--config", str(proxy))
    answers = [service.tcp.post("/v1/fill", {"text": "画龙点[MASK]"}, {"X-Forwarded-For": "192.0.2.7"}) for _ in range(40)]
    refused = [a for a in answers if a.status == 429]
    assert refused and {a.code for a in refused} == {"too_many_requests"} and "Retry-After" in refused[0].headers
    assert service.tcp.post("/v1/fill", {"text": "画龙点[MASK]"}, {"X-Forwarded-For": "192.0.2.8"}).status == 200
    assert all(service.unix.fill("画龙点[MASK]").status == 200 for _ in range(40))


def test_a_network_that_is_not_listed_is_refused(serve, tmp_path):
    configuration = tmp_path / "tiankong.yaml"
    configuration.write_text("access: {trusted_proxies: [127.0.0.1]}\n")
    service = serve("--config", str(configuration))
    answer = service.tcp.post("/v1/fill", {"text": "画龙点[MASK]"}, {"X-Forwarded-For": "192.0.2.7"})
    assert (answer.status, answer.code) == (403, "forbidden_network")
    assert service.tcp.fill("画龙点[MASK]").status == 200


def test_sigterm_lets_running_requests_finish(serve):
    service = serve("--threads", "1", env={"TIANKONG_LIMITS_DEADLINE": "60s"})
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(lambda: service.unix.fill(long()).status) for _ in range(8)]
        time.sleep(0.03)
        service.process.send_signal(signal.SIGTERM)
        assert [f.result() for f in asked] == [200] * 8
    assert service.process.wait(timeout=25) == 0


def soak(service, seconds, clients=8):
    """Questions of mixed lengths from `clients` connections; returns the seconds that each took."""
    end = time.monotonic() + seconds
    texts = ["画龙点[MASK]", "春风又绿江南[MASK]，明月何时照我还", "患者需要[MASK]院观察两天，" * 4, "字" * 120 + "[MASK]"]

    def ask(k):
        took, connection, i = [], service.unix.connection(), k
        while time.monotonic() < end:
            body = json.dumps({"text": texts[i % 4]}).encode()
            started = time.perf_counter()
            connection.request("POST", "/v1/fill", body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            response.read()
            took.append(time.perf_counter() - started)
            assert response.status == 200
            i += 1
        connection.close()
        return took

    with concurrent.futures.ThreadPoolExecutor(clients) as pool:
        took = sorted(t for part in pool.map(ask, range(clients)) for t in part)
    print(f"\n{len(took)} answers in {seconds} s, {len(took) / seconds:.0f}/s, p50 {statistics.median(took) * 1e3:.2f} ms, "
        f"p99 {took[len(took) * 99 // 100] * 1e3:.2f} ms, longest {took[-1] * 1e3:.1f} ms, no error")
    return took


def test_five_seconds_of_questions_without_an_error(service):
    assert len(soak(service, 5)) > 100


@pytest.mark.long
def test_a_minute_of_questions_without_an_error_and_without_growth(service):
    soak(service, 5)
    before = service.resident()
    soak(service, 60)
    assert service.resident() - before < 2 << 20
