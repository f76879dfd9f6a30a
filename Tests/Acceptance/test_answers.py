"""What a person or a program asks first."""
import json, subprocess


def texts(blank):
    return [c["text"] for c in blank["candidates"]]


def test_the_idiom_is_answered_in_process_over_the_socket_by_curl_and_over_tcp(tiankong, serve):
    alone = tiankong("fill", "画龙点[MASK]", "--json")
    assert alone.returncode == 0 and texts(json.loads(alone.stdout)["blanks"][0])[0] == "睛"
    service = serve()
    asked = json.loads(tiankong("fill", "画龙点[MASK]", "--json").stdout)
    assert asked["blanks"] == json.loads(alone.stdout)["blanks"]
    curl = subprocess.run(["curl", "-sS", "--unix-socket", service.socket, "http://localhost/v1/fill", "-H", "Content-Type: application/json",
        "-d", '{"text":"画龙点[MASK]"}'], capture_output=True, text=True)
    assert json.loads(curl.stdout)["blanks"] == asked["blanks"]
    assert service.tcp.fill("画龙点[MASK]").json["blanks"] == asked["blanks"]


def test_people_see_percentages_and_words(tiankong):
    asked = "fill", "画龙点[MASK]", "--top-k", "2"
    best = json.loads(tiankong(*asked, "--json").stdout)["blanks"][0]["candidates"]
    assert [c["text"] for c in best] == ["睛", "凤"] and best[0]["score"] > 0.1
    assert tiankong(*asked).stdout.splitlines() == [f"{100 * c['score']:5.1f}%  {c['text']}" for c in best]


def test_an_answer_says_who_answered(service):
    answer = service.unix.fill("画龙点[MASK]", top_k=3)
    body = answer.json
    assert answer.headers["X-Tiankong-Version"] == body["version"] and len(body["version"]) == 64
    assert answer.headers["X-Request-Id"] == body["request_id"]
    assert (body["release"], body["epoch"]) == ("tiankong-mini", 0)
    blank = body["blanks"][0]
    assert (blank["index"], blank["start"], blank["end"], len(blank["candidates"])) == (0, 3, 9, 3)
    assert all(set(c) == {"text", "score", "tokens"} for c in blank["candidates"])


def test_offsets_count_unicode_scalars(service):
    text = "👩‍💻𠮷：画龙点[MASK]，学而不思则[MASK]"
    for blank in service.unix.fill(text).json["blanks"]:
        assert text[blank["start"]:blank["end"]] == "[MASK]"


def test_targets_are_the_only_candidates(service):
    blank = service.unix.fill("画龙点[MASK]", targets=["石", "睛", "凤"]).json["blanks"][0]
    assert texts(blank) == ["睛", "凤", "石"]
    assert texts(service.unix.fill("画龙点[MASK]", targets=["石", "睛"], top_k=1).json["blanks"][0]) == ["睛"]


def test_temperature_flattens_but_keeps_the_order(service):
    one, two = (service.unix.fill("画龙点[MASK]", temperature=t).json["blanks"][0] for t in (1, 3))
    assert texts(one) == texts(two) and one["candidates"][0]["score"] > two["candidates"][0]["score"]


def test_a_stream_is_answered_in_order_and_a_bad_line_in_its_place(tiankong, serve):
    lines = [f"第{i}天，画龙点[MASK]" if i % 2 else json.dumps({"text": f"第{i}天，画龙点[MASK]", "top_k": 2}) for i in range(300)]
    lines[150], lines[151], lines[152] = "没有空的一行", '{"text":', '{"text":"[MASK]","nonsense":1}'
    for start in (None, serve):
        if start:
            start()
        result = tiankong("fill", "-", input="\n".join(lines) + "\n")
        answers = [json.loads(line) for line in result.stdout.splitlines()]
        assert result.returncode == 0 and len(answers) == 300
        assert [a["error"]["code"] for a in answers if "error" in a] == ["no_blank", "invalid_json", "unknown_field"]
        assert [i for i, a in enumerate(answers) if "error" in a] == [150, 151, 152]
        for i, answer in enumerate(answers):
            if "error" not in answer:
                assert answer["blanks"][0]["start"] == len(f"第{i}天，画龙点")
                assert len(answer["blanks"][0]["candidates"]) == (5 if i % 2 else 2)


def test_a_line_that_is_no_utf8_and_one_without_an_end_are_answered_too(tiankong):
    result = tiankong("fill", "-", input=b"\xff[MASK]\n\xe7\x94\xbb\xe9\xbe\x99\xe7\x82\xb9[MASK]")
    first, second = (json.loads(line) for line in result.stdout.splitlines())
    assert first["error"]["code"] == "invalid_json" and texts(second["blanks"][0])[0] == "睛"


def test_status_and_doctor_speak_of_the_service(tiankong, serve):
    stopped = tiankong("status")
    assert stopped.returncode == 69 and "no service" in stopped.stderr
    serve("--threads", "1")
    status = json.loads(tiankong("status", "--json").stdout)
    assert (status["release"], status["state"], status["threads"], status["precision"]) == ("tiankong-mini", "serving", 1, "fast")
    doctor = tiankong("doctor", "--json")
    assert doctor.returncode == 0, doctor.stdout
    checks = {c["check"]: c for c in json.loads(doctor.stdout)}
    assert checks["known answer"]["verdict"] == "good" and checks["service"]["verdict"] == "good"


def test_every_command_has_help_with_an_example(tiankong):
    for command in ([], ["serve"], ["fill"], ["import"], ["status"], ["doctor"]):
        for lang, word in (("C", "Example"), ("zh_CN.UTF-8", "例")):
            result = tiankong(*command, "--help", place=False, env={"LANG": lang})
            assert result.returncode == 0 and word in result.stdout and "tiankong" in result.stdout


def test_messages_are_chinese_where_the_locale_is(tiankong, service):
    chinese = tiankong("fill", "没有空", env={"LANG": "zh_CN.UTF-8"})
    assert chinese.returncode == 65 and "至少要有一个 [MASK]" in chinese.stderr and "提示" in chinese.stderr
    english = tiankong("fill", "没有空")
    assert "expected at least one [MASK]" in english.stderr and "hint" in english.stderr
    answer = service.unix.post("/v1/fill", {"text": "没有空"}, {"Accept-Language": "zh-CN,zh;q=0.9"})
    assert "至少要有一个" in answer.json["error"]["message"]


def test_exit_codes_are_those_of_sysexits(tiankong, tmp_path):
    assert tiankong("nonsense", place=False).returncode == 64
    assert tiankong("fill", "[MASK]", "--top-k", "0").returncode == 64
    assert tiankong("fill", "[MASK]", env={"TIANKONG_ISA": "neon"}).returncode == 64
    assert tiankong("fill", "没有空").returncode == 65
    assert tiankong("fill", "订单[MASK]", "--span", "9").returncode == 65
    assert tiankong("import", tmp_path).returncode == 65
    import socket
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(tmp_path / "t.sock"))
    dead.close()
    refused = tiankong("fill", "[MASK]")
    assert refused.returncode == 69 and "nobody answers" in refused.stderr
