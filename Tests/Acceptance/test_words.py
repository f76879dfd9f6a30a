"""Words of several characters, words of any length on one scale, and several blanks filled at once."""
import itertools, json, re

import pytest

from conftest import ROOT

TEXT = "他在[MASK]工作。"
SPANS = [1, 2, 4, 8, "auto"]
MIXED = ["检查", "PD-L1检测", "COVID-19", "药", "核磁共振"]  # from one piece to seven


def candidates(answer, blank=0):
    assert answer.status == 200, answer.body
    return answer.json["blanks"][blank]["candidates"]


def scores(answer):
    return {c["text"]: c["score"] for c in candidates(answer)}


def refusal(answer):
    """Code, field, message."""
    assert answer.status == 400, answer.body
    error = answer.json["error"]
    assert error["detail"]["expected"] and error["detail"]["got"]
    return error["code"], error["detail"]["field"], error["message"]


# ---------------------------------------------------------------- words


@pytest.mark.parametrize("span", SPANS)
@pytest.mark.parametrize("text", [TEXT, "订单一直没[MASK]", "[MASK]", "合同自签字之日起[MASK]。"])
def test_the_best_come_first_and_all_together_are_at_most_one(service, text, span):
    found = candidates(service.unix.fill(text, span=span, top_k=100))
    falling = [c["score"] for c in found]
    assert found and falling == sorted(falling, reverse=True)
    assert falling[-1] >= 0 and sum(falling) <= 1 + 1e-5
    assert len({c["text"] for c in found}) == len(found)


@pytest.mark.parametrize("span", SPANS)
def test_a_word_has_as_many_pieces_as_the_span_says(service, span):
    lengths = {len(c["tokens"]) for c in candidates(service.unix.fill(TEXT, span=span, top_k=100))}
    if span == "auto":
        assert lengths <= {1, 2, 3, 4} and len(lengths) > 1
    else:
        assert lengths == {span}


def test_a_word_is_no_pieces_side_by_side(service):
    assert [c["text"] for c in candidates(service.unix.fill(TEXT, span=2))][0] == "这里"
    apart = service.unix.fill("他在[MASK][MASK]工作。").json
    assert all(len(c["tokens"]) == 1 for blank in apart["blanks"] for c in blank["candidates"])


def test_span_1_is_what_an_absent_span_means(service):
    assert service.unix.fill(TEXT, span=1).json["blanks"] == service.unix.fill(TEXT).json["blanks"] == service.unix.fill(TEXT, span=None).json["blanks"]


def test_both_precisions_name_the_same_words(service):
    fast, exact = ([c["text"] for c in candidates(service.unix.fill(TEXT, span=2, top_k=3, precision=p))] for p in ("fast", "exact"))
    assert fast == exact


def test_the_temperature_is_the_versions_own_unless_the_request_has_one(service):
    own = ROOT / "packaging/default-model/tiankong.json"
    calibration = json.loads(own.read_text())["calibration"] if own.exists() else {}
    for span in (1, "auto"):
        absent, same, flat = (service.unix.fill(TEXT, span=span, **t) for t in ({}, {"temperature": calibration.get("temperature", 1)}, {"temperature": 9}))
        assert scores(absent) == scores(same) != scores(flat)


# ---------------------------------------------------------------- targets


def test_targets_of_any_length_are_scored_whole_and_in_any_order_the_same(service):
    text = "建议患者先做[MASK]。"
    whole = candidates(service.unix.fill(text, span="auto", targets=MIXED))
    assert {c["text"].casefold() for c in whole} == {t.casefold() for t in MIXED}
    assert {len(c["tokens"]) for c in whole} >= {1, 2, 4, 6, 7}
    falling = [c["score"] for c in whole]
    assert falling == sorted(falling, reverse=True) and falling[-1] > 0 and sum(falling) <= 1
    for order in itertools.islice(itertools.permutations(MIXED), 1, 120, 17):
        assert candidates(service.unix.fill(text, span="auto", targets=order)) == whole


def test_a_target_has_the_score_that_it_has_among_all_words(service):
    for span in (2, "auto"):
        found = scores(service.unix.fill(TEXT, span=span, top_k=10))
        asked = scores(service.unix.fill(TEXT, span=span, targets=list(found)[::-1]))
        assert list(asked) == list(found)
        assert asked == pytest.approx(found, rel=1e-3)


def test_a_target_of_unknown_pieces_is_named(service):
    code, field, message = refusal(service.unix.fill(TEXT, span="auto", targets=["家", "𠮷了"]))
    assert (code, field) == ("unknown_target", "targets[1]") and "𠮷了" in message and "[UNK]" in message


@pytest.mark.parametrize("span,targets,field", [(2, ["这里", "家"], "targets[1]"), (3, ["这里"], "targets[0]"), ("auto", ["家", "一二三四五六七八九"], "targets[1]")])
def test_a_target_of_another_length_is_named(service, span, targets, field):
    code, where, message = refusal(service.unix.fill(TEXT, span=span, targets=targets))
    assert (code, where) == ("out_of_range", field) and targets[int(field[8])] in message


def test_with_span_1_a_target_of_two_pieces_is_told_of_auto(service):
    answer = service.unix.fill(TEXT, targets=["这里"])
    assert refusal(answer)[:2] == ("unknown_target", "targets[0]") and '"auto"' in answer.json["error"]["hint"]


def test_a_text_that_its_word_makes_too_long_says_so(service):
    full = "字" * 253 + "[MASK]"  # of 256 positions; two are the model's own
    assert service.unix.fill(full).status == service.unix.fill(full, span="auto").status == 200
    for fields in ({"span": 2}, {"span": 8}, {"span": "auto", "targets": ["家", "COVID-19"]}):
        code, field, message = refusal(service.unix.fill(full, **fields))
        assert (code, field) == ("text_too_long", "text") and "256" in message


# ---------------------------------------------------------------- several blanks


@pytest.mark.parametrize("span", [1, 2, "auto"])
@pytest.mark.parametrize("text", ["他在[MASK]工作，因为[MASK]很好。", "👩‍💻𠮷：[MASK]在[MASK]", "[MASK][MASK]，[MASK]", "春[MASK]秋[MASK]夏[MASK]冬[MASK]"])
def test_two_to_four_blanks_are_filled_at_once_too(service, text, span):
    answer = service.unix.fill(text, span=span).json
    joint = answer["joint"]
    assert 1 <= len(joint) <= 4 and len(answer["blanks"]) == text.count("[MASK]")
    for whole in joint:
        parts = text.split("[MASK]")
        assert len(whole["fills"]) == len(parts) - 1 and all(whole["fills"])
        assert whole["text"] == parts[0] + "".join(fill + part for fill, part in zip(whole["fills"], parts[1:]))
    falling = [whole["score"] for whole in joint]
    assert falling == sorted(falling, reverse=True) and falling[-1] > 0 and sum(falling) <= 1
    assert len({tuple(whole["fills"]) for whole in joint}) == len(joint)


@pytest.mark.parametrize("text,fields", [(TEXT, {}), (TEXT, {"span": "auto"}), ("[MASK]，" * 5, {}), ("[MASK]，" * 5, {"span": 2}),
    ("他在[MASK]工作，因为[MASK]很好。", {"targets": ["家", "他"]}), ("他在[MASK]工作，因为[MASK]很好。", {"span": "auto", "targets": ["家", "这里"]})])
def test_one_blank_five_blanks_and_targets_are_not_filled_at_once(service, text, fields):
    answer = service.unix.fill(text, **fields)
    assert answer.status == 200 and "joint" not in answer.json


# ---------------------------------------------------------------- other ways in


def test_the_hugging_face_shape_knows_no_words(service):
    text = "画龙点[MASK]"
    theirs = service.unix.post("/", {"inputs": text}).json
    ours = candidates(service.unix.fill(text, temperature=1, span=1))
    assert [(c["token_str"], c["token"]) for c in theirs] == [(c["text"], c["tokens"][0]) for c in ours]
    assert [c["score"] for c in theirs] == pytest.approx([c["score"] for c in ours], abs=1e-6)
    two = service.unix.post("/", {"inputs": "学而不思则[MASK]，思而不学则[MASK]。"}).json
    assert len(two) == 2 and all(set(c) == {"score", "token", "token_str", "sequence"} for blank in two for c in blank)
    assert refusal(service.unix.post("/", {"inputs": text, "parameters": {"span": 2}}))[:2] == ("unknown_field", "parameters.span")
    assert refusal(service.unix.post("/", {"inputs": text, "parameters": {"targets": ["生效"]}}))[:2] == ("unknown_target", "targets[0]")


def test_the_command_prints_words(tiankong, serve):
    alone = tiankong("fill", TEXT, "--span", "auto", "--top-k", "20")
    lines = alone.stdout.splitlines()
    assert alone.returncode == 0 and len(lines) == 20 and all(re.fullmatch(r" *\d+\.\d%  \S+", line) for line in lines)
    words = [line.split("%  ")[1] for line in lines]
    assert {1, 2} <= {len(word) for word in words}
    service = serve()
    assert tiankong("fill", TEXT, "--span", "auto", "--top-k", "20").stdout == alone.stdout
    assert [c["text"] for c in candidates(service.unix.fill(TEXT, span="auto", top_k=20))] == words
    scored = tiankong("fill", TEXT, "--span", "auto", "--targets", "办公室,家,COVID-19").stdout
    assert {line.split("%  ")[1].casefold() for line in scored.splitlines()} == {"办公室", "家", "covid-19"}


def test_a_stream_of_lines_with_different_spans_is_answered_in_order(tiankong, serve):
    kinds = [{"text": TEXT}, {"text": TEXT, "span": 2}, {"text": TEXT, "span": 9}, {"text": TEXT, "span": "auto", "top_k": 3}, {"text": TEXT, "span": 3, "targets": ["这里"]},
        {"text": "他在[MASK]工作，因为[MASK]很好。", "span": "auto"}, {"text": TEXT, "span": "auto", "targets": ["COVID-19", "家"]}, {"text": TEXT, "span": "auto", "targets": ["𠮷了"]}, TEXT]
    lines = [{**kind, "text": f"第{i}，" + kind["text"]} if isinstance(kind, dict) else f"第{i}，" + kind for i in range(20) for kind in kinds]
    given = "\n".join(line if isinstance(line, str) else json.dumps(line, ensure_ascii=False) for line in lines) + "\n"
    here = tiankong("fill", "-", "--span", "2", input=given)
    service = serve()
    there = tiankong("fill", "-", "--span", "2", input=given)
    for result in (here, there):
        answers = [json.loads(line) for line in result.stdout.splitlines()]
        assert result.returncode == 0 and len(answers) == len(lines)
        for kind, line, answer in zip(itertools.cycle(range(len(kinds))), lines, answers):
            if kind in (2, 4, 7):
                assert answer["error"]["code"] == {2: "out_of_range", 4: "out_of_range", 7: "unknown_target"}[kind]
                continue
            fields = {"span": 2, **(line if isinstance(line, dict) else {"text": line})}
            alone = service.unix.fill(**fields).json
            assert [answer["blanks"], answer.get("joint")] == [alone["blanks"], alone.get("joint")]
