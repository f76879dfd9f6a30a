"""The alert rules that ship ask for nothing that the running binary does not have."""
import re

import pytest, yaml

from conftest import ROOT, Service

FILE = ROOT / "packaging/prometheus/tiankong.rules.yml"
RULES = [rule for group in yaml.safe_load(FILE.read_text(encoding="utf-8"))["groups"] for rule in group["rules"]]
WORDS = {"sum", "by", "on", "and", "or", "increase", "rate", "histogram_quantile", "instance", "le", "group_left"}


@pytest.fixture(scope="module")
def series(tmp_path_factory):
    """{name: [{label: value}]} of a service that was asked something."""
    service = Service(tmp_path_factory.mktemp("rules"))
    try:
        assert service.unix.fill("画龙点[MASK]").status == 200
        text = service.unix.get("/metrics").body.decode()
    finally:
        service.stop()
    found = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            name, labels = re.fullmatch(r"([a-z_]+)(?:\{(.*)\})? \S+", line).groups()
            found.setdefault(name, []).append(dict(re.findall(r'([a-z_]+)="((?:[^"\\]|\\.)*)"', labels or "")))
    return found


def selectors(expression):
    """(name, [(label, operator, value)]) of every series that is asked for."""
    for name, labels in re.findall(r"(tiankong_[a-z_]+)(?:\{([^}]*)\})?", expression):
        yield name, re.findall(r'([a-z_]+)\s*(=~|!=|=)\s*"([^"]*)"', labels)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_what_a_rule_asks_for_exists(series, rule):
    asked = list(selectors(rule["expr"]))
    assert asked
    for name, labels in asked:
        assert name in series, name
        for label, operator, value in labels:
            assert any(label in one for one in series[name]), (name, label)
            for word in value.split("|") if operator == "=~" else [value]:
                assert any(one.get(label) == word for one in series[name]), (name, label, word)
    # Nothing but what is known to the language is left: a name misspelt without its prefix would be.
    bare = re.sub(r"\{[^}]*\}|\[\d+[smhd]\]|tiankong_[a-z_]+", " ", rule["expr"])
    assert set(re.findall(r"[a-z_]{2,}", bare)) <= WORDS, bare
    assert bare.count("(") == bare.count(")")


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_a_rule_speaks_both_languages(rule):
    notes = rule["annotations"]
    assert set(notes) == {"summary", "summary_zh", "description", "description_zh"}
    for key, text in notes.items():
        assert bool(re.search(r"[一-鿿]", text)) == key.endswith("_zh"), (key, text)
        assert key.startswith("description") or "{{ $labels.instance }}" in text
    assert rule["labels"]["severity"] in ("critical", "warning", "info")


def test_every_case_has_its_rule():
    assert len({rule["alert"] for rule in RULES}) == len(RULES) == 10


def test_what_a_version_did_is_told_by_its_role(series):
    for name in ("tiankong_version_answers_total", "tiankong_version_failures_total", "tiankong_version_seconds_count", "tiankong_version_confidence_count", "tiankong_version_bytes"):
        assert {one["role"] for one in series[name]} == {"live"} and {one["release"] for one in series[name]} == {"tiankong-mini"}, name
    assert {one["phase"] for one in series["tiankong_rollout_phase"]} == {"idle", "verifying", "merging", "prewarming", "shadow", "canary", "held"}
    assert {one["verdict"] for one in series["tiankong_verdicts_total"]} == {"promote", "roll-back", "not-enough-evidence"}
    assert {one["outcome"] for one in series["tiankong_hooks_total"]} == {"ok", "failed", "timeout", "dropped"}
