"""Every bad request gets its 4xx with a body that says what is wrong and where, and the next one is answered."""
import json, time

import pytest

CHARACTERS = "字" * 340_000
BAD = {  # name: (fields of /v1/fill or bytes, status, code, field)
    "no blank": ({"text": "没有空"}, 400, "no_blank", "text"),
    "60 blanks": ({"text": "[MASK]" * 60}, 400, "too_many_blanks", "text"),
    "513 tokens": ({"text": "[MASK]" + "字" * 510}, 400, "text_too_long", "text"),
    "1 MB of characters": ({"text": "[MASK]" + CHARACTERS}, 400, "text_too_long", "text"),
    "1 MB without a blank": ({"text": CHARACTERS}, 400, "text_too_long", "text"),
    "a NUL, escaped": ({"text": "a\0[MASK]"}, 400, "out_of_range", "text"),
    "a NUL, raw": (b'{"text":"a\0[MASK]"}', 400, "invalid_json", None),
    "invalid UTF-8": (b'{"text":"\xff[MASK]"}', 400, "invalid_json", None),
    "half a surrogate": (rb'{"text":"\ud800[MASK]"}', 400, "invalid_json", None),
    "two low surrogates": (rb'{"text":"\udc00\udc00[MASK]"}', 400, "invalid_json", None),
    "deep JSON": (b"[" * 100_000, 400, "invalid_json", None),
    "deep member": (b'{"text":' + b'{"a":' * 5000 + b"1" + b"}" * 5001, 400, "invalid_json", None),
    "a key twice": (b'{"text":"[MASK]","text":"[MASK]"}', 400, "invalid_json", None),
    "not JSON": (b"text=[MASK]", 400, "invalid_json", None),
    "nothing": (b"", 400, "invalid_json", None),
    "cut off": (b'{"text":"[MASK]"', 400, "invalid_json", None),
    "an array": ([], 400, "wrong_type", "the body"),
    "no text": ({}, 400, "missing_field", "text"),
    "text null": ({"text": None}, 400, "missing_field", "text"),
    "text a number": ({"text": 3}, 400, "wrong_type", "text"),
    "unknown field": ({"text": "[MASK]", "topk": 3}, 400, "unknown_field", "topk"),
    "top_k 0": ({"text": "[MASK]", "top_k": 0}, 400, "out_of_range", "top_k"),
    "top_k -1": ({"text": "[MASK]", "top_k": -1}, 400, "out_of_range", "top_k"),
    "top_k 10^9": ({"text": "[MASK]", "top_k": 10**9}, 400, "out_of_range", "top_k"),
    "top_k beyond 64 bits": (b'{"text":"[MASK]","top_k":99999999999999999999}', 400, "out_of_range", "top_k"),
    "top_k 1.5": ({"text": "[MASK]", "top_k": 1.5}, 400, "out_of_range", "top_k"),
    "top_k a string": ({"text": "[MASK]", "top_k": "5"}, 400, "wrong_type", "top_k"),
    "10 000 targets": ({"text": "[MASK]", "targets": ["一"] * 10_000}, 400, "out_of_range", "targets"),
    "no targets": ({"text": "[MASK]", "targets": []}, 400, "out_of_range", "targets"),
    "a target of two pieces": ({"text": "[MASK]", "targets": ["好", "生效"]}, 400, "unknown_target", "targets[1]"),
    "a target of another length": ({"text": "[MASK]", "span": 2, "targets": ["生效", "好"]}, 400, "out_of_range", "targets[1]"),
    "a target of nine pieces": ({"text": "[MASK]", "span": "auto", "targets": ["一二三四五六七八九"]}, 400, "out_of_range", "targets[0]"),
    "a target of unknown pieces": ({"text": "[MASK]", "span": "auto", "targets": ["好", "𠮷了"]}, 400, "unknown_target", "targets[1]"),
    "a word that makes the text too long": ({"text": "字" * 250 + "[MASK]", "span": 8}, 400, "text_too_long", "text"),
    "an empty target": ({"text": "[MASK]", "targets": [""]}, 400, "unknown_target", "targets[0]"),
    "a target a number": ({"text": "[MASK]", "targets": [1]}, 400, "wrong_type", "targets[0]"),
    "temperature 0": ({"text": "[MASK]", "temperature": 0}, 400, "out_of_range", "temperature"),
    "temperature -1": ({"text": "[MASK]", "temperature": -1}, 400, "out_of_range", "temperature"),
    "temperature 1e400": (b'{"text":"[MASK]","temperature":1e400}', 400, "invalid_json", None),
    "temperature NaN": (b'{"text":"[MASK]","temperature":NaN}', 400, "invalid_json", None),
    "span 0": ({"text": "[MASK]", "span": 0}, 400, "out_of_range", "span"),
    "span 9": ({"text": "[MASK]", "span": 9}, 400, "out_of_range", "span"),
    "span 1.5": ({"text": "[MASK]", "span": 1.5}, 400, "out_of_range", "span"),
    "span a word": ({"text": "[MASK]", "span": "two"}, 400, "out_of_range", "span"),
    "span a list": ({"text": "[MASK]", "span": [1]}, 400, "wrong_type", "span"),
    "precision turbo": ({"text": "[MASK]", "precision": "turbo"}, 400, "out_of_range", "precision"),
    "fold_case": ({"text": "[MASK]", "fold_case": True}, 400, "wrong_type", "fold_case"),
    "more than 1 MiB": (b'{"text":"' + b"x" * 1_048_576 + b'"}', 413, "body_too_large", "the body"),
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("way", ["unix", "tcp"])
def test_is_refused_and_the_next_is_answered(service, name, way):
    wire = getattr(service, way)
    body, status, code, field = BAD[name]
    answer = wire.post("/v1/fill", body)
    assert (answer.status, answer.code) == (status, code), answer.body
    error = answer.json["error"]
    assert error["message"] and answer.json["request_id"] == answer.headers["X-Request-Id"]
    if field:
        assert error["detail"]["field"] == field and error["detail"]["expected"] and error["detail"]["got"]
    assert wire.fill("画龙点[MASK]").json["blanks"][0]["candidates"][0]["text"] == "睛"


@pytest.mark.parametrize("path", ["/", "/models/bert-base-chinese", "/models/a/b"])
def test_the_hugging_face_shape_refuses_in_the_same_way(service, path):
    for body, code, field in [({"inputs": 3}, "wrong_type", "inputs"), ({}, "missing_field", "inputs"), ({"inputs": []}, "out_of_range", "inputs"),
            ({"inputs": ["[MASK]"] * 33}, "out_of_range", "inputs"), ({"inputs": "没有空"}, "no_blank", "text"), ({"inputs": "[MASK]", "x": 1}, "unknown_field", "x"),
            ({"inputs": "[MASK]", "parameters": {"topk": 1}}, "unknown_field", "parameters.topk"), ({"inputs": "[MASK]", "parameters": []}, "wrong_type", "parameters"),
            ({"inputs": "[MASK]", "parameters": {"top_k": 0}}, "out_of_range", "parameters.top_k"),
            ({"inputs": "[MASK]", "parameters": {"targets": ["生效"]}}, "unknown_target", "targets[0]")]:
        answer = service.tcp.post(path, body)
        assert (answer.status, answer.code, answer.json["error"]["detail"]["field"]) == (400, code, field), answer.body


def test_a_chunked_body_beyond_the_limit_is_refused_and_the_connection_ends(service):
    head = b"POST /v1/fill HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunk = b"%x\r\n" % 65536 + b"x" * 65536 + b"\r\n"
    assert b" 413 " in service.unix.raw(head + chunk * 20)
    assert service.unix.fill("画龙点[MASK]").status == 200


def test_a_declared_length_beyond_the_limit_is_refused_before_the_body_comes(service):
    head = b"POST /v1/fill HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 99999999999\r\n\r\n"
    started = time.monotonic()
    assert b" 413 " in service.unix.raw(head)
    assert time.monotonic() - started < 5


def test_a_body_that_drips_is_given_up(service):
    connection = service.unix.connection(timeout=30)
    connection.putrequest("POST", "/v1/fill")
    connection.putheader("Content-Type", "application/json")
    connection.putheader("Content-Length", "1000")
    connection.endheaders()
    started = time.monotonic()
    connection.sock.settimeout(0.5)
    answer = b""
    while time.monotonic() - started < 20 and b" 408 " not in answer:
        try:
            connection.sock.sendall(b" ")
            answer += connection.sock.recv(1000)
        except TimeoutError:
            pass
    assert b" 408 " in answer and b"request_timeout" in answer
    assert service.unix.fill("画龙点[MASK]").status == 200


def test_wrong_types_methods_and_paths(service):
    wire = service.tcp
    body = json.dumps({"text": "[MASK]"}).encode()
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/jsonp", ""):
        answer = wire.request("POST", "/v1/fill", body, {"Content-Type": kind})
        assert (answer.status, answer.code) == (415, "unsupported_media_type")
    assert wire.request("POST", "/v1/fill", body, {"Content-Type": "application/json; charset=utf-8"}).status == 200
    answer = wire.get("/v1/fill")
    assert (answer.status, answer.code, answer.headers["Allow"]) == (405, "method_not_allowed", "POST")
    assert wire.request("DELETE", "/").headers["Allow"] == "GET, POST"
    answer = wire.get("/v1/nothing")
    assert (answer.status, answer.code) == (404, "not_found")
    assert wire.request("HEAD", "/healthz").status == 200


def test_other_sites_cannot_ask(service):
    wire = service.tcp
    body = {"text": "[MASK]"}
    assert wire.post("/v1/fill", body, {"Origin": "http://evil.example"}).code == "forbidden_origin"
    assert wire.post("/v1/fill", body, {"Origin": "null"}).code == "forbidden_origin"
    assert wire.post("/v1/fill", body, {"Origin": f"http://127.0.0.1:{service.port}"}).status == 200
    assert wire.post("/v1/fill", body, {"Origin": f"http://localhost:{service.port}"}).status == 200
    assert wire.get("/v1/status", {"Host": "rebound.example"}).code == "forbidden_origin"
    assert wire.get("/v1/status", {"Host": "127.0.0.1"}).status == 200


def test_what_is_no_http_is_refused_and_the_next_is_answered(service):
    for garbage in (b"\0\1\2\3\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"GET\r\n\r\n", b"POST /v1/fill HTTP/1.1\r\nContent-Length: -1\r\n\r\n", b"\x16\x03\x01\x02\x00\x01" * 50):
        answer = service.tcp.raw(garbage, timeout=3)
        assert answer == b"" or answer.startswith(b"HTTP/1.1 4"), answer
    assert b" 400 " in service.tcp.raw(b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 200_000 + b"\r\n\r\n", timeout=3)
    assert service.tcp.fill("画龙点[MASK]").status == 200


def test_memory_stays_flat_over_20_000_bad_requests(service):
    """From four connections at once, all kinds but the largest; the first 2 000 warm the allocator up."""
    import concurrent.futures
    bodies = [(v[0] if isinstance(v[0], bytes) else json.dumps(v[0], ensure_ascii=False).encode(), v[1]) for k, v in BAD.items() if "MB" not in k and "MiB" not in k and "10 000" not in k and "deep" not in k]

    def ask(count):
        connection = service.unix.connection()
        for i in range(count):
            body, status = bodies[i % len(bodies)]
            connection.request("POST", "/v1/fill", body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            response.read()
            assert response.status == status
        connection.close()

    def all_of(count):
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            list(pool.map(ask, [count // 4] * 4))

    all_of(2_000)
    before = service.resident()
    all_of(20_000)
    grown = service.resident() - before
    print(f"resident memory: {before >> 10} KiB, grown by {grown >> 10} KiB over 20 000 bad requests")
    assert grown < 8 << 20
    assert service.unix.fill("画龙点[MASK]").status == 200
