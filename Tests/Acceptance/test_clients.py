"""Clients that others wrote, unchanged, and the description they go by."""
import json, pathlib, re

import jsonschema, pytest
from huggingface_hub import InferenceClient
from huggingface_hub.errors import HfHubHTTPError
from openapi_spec_validator import validate

from conftest import Service

FIXTURES = pathlib.Path(__file__).parents[1] / "Fixtures"
ROOT = FIXTURES.parents[1]
PIPELINE = [json.loads(line) for line in open(FIXTURES / "pipeline.jsonl", encoding="utf8")]


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    """In fp32: the pipeline's scores are compared to the fourth digit."""
    service = Service(tmp_path_factory.mktemp("service"), env={"TIANKONG_PRECISION": "exact"})
    yield service
    service.stop()


def near(ours, theirs):
    """Equal but for the last digits of a score."""
    if isinstance(theirs, list):
        assert len(ours) == len(theirs)
        for a, b in zip(ours, theirs):
            near(a, b)
    else:
        assert {k: v for k, v in ours.items() if k != "score"} == {k: v for k, v in theirs.items() if k != "score"}
        assert abs(ours["score"] - theirs["score"]) < 1e-4


@pytest.mark.parametrize("row", PIPELINE, ids=lambda r: json.dumps([r["inputs"], r["parameters"]], ensure_ascii=False))
def test_the_hugging_face_shape_answers_as_the_pipeline_does(service, row):
    for path in ("/", "/models/bert-base-chinese"):
        answer = service.tcp.post(path, {"inputs": row["inputs"], "parameters": row["parameters"]})
        assert answer.status == 200, answer.body
        near(answer.json, row["answer"])


def test_inference_client_of_huggingface_hub_works_unchanged(service):
    client = InferenceClient(model=service.url)
    compared = 0
    for row in PIPELINE:
        if isinstance(row["inputs"], str) and set(row["parameters"]) <= {"top_k", "targets"}:
            if row["answer"] and isinstance(row["answer"][0], dict):
                answers = client.fill_mask(row["inputs"], **row["parameters"])
                near([{k: v for k, v in vars(c).items() if k in row["answer"][0]} for c in answers], row["answer"])
                compared += 1
    assert compared >= 3
    with pytest.raises(HfHubHTTPError) as refused:
        client.fill_mask("没有空")
    assert refused.value.response.status_code == 400


def test_inference_client_passes_several_blanks_on(service):
    blanks = InferenceClient(model=service.url).fill_mask("学而不思则[MASK]，思而不学则[MASK]。", top_k=2)
    row = next(r for r in PIPELINE if isinstance(r["inputs"], str) and r["inputs"].count("[MASK]") > 1)
    assert len(blanks) == 2 and isinstance(row["answer"][0], list)
    for blank in blanks:
        assert len(blank) == 2 and {"score", "token", "token_str", "sequence"} <= set(blank[0])


def description(service):
    return service.tcp.get("/openapi.json").json


def test_the_description_is_valid_and_names_every_route_and_no_other(service):
    document = description(service)
    validate(document)
    table = (ROOT / "Sources/Appliance/Routes/Routes.swift").read_text().split("static let table")[1].split("\n    ]")[0]
    routes = {path: {m.lower() for m in re.findall(r'"(\w+)"', methods)} for path, methods in re.findall(r'\("(/[^"]*)", \[([^\]]*)\]\)', table)}
    described = {path: set(item) & {"get", "post", "put", "delete", "patch"} for path, item in document["paths"].items()}
    assert routes == described
    for path, methods in described.items():
        for method in {"get", "post", "put", "delete"} - methods:
            answer = service.tcp.request(method.upper(), path.replace("{name}", "a"))
            assert answer.status == 405 and set(answer.headers["Allow"].lower().split(", ")) == methods


@pytest.mark.parametrize("method,path,body", [
    ("GET", "/v1/status", None), ("GET", "/healthz", None), ("GET", "/readyz", None),
    ("GET", "/v1/versions", None), ("GET", "/v1/history", None), ("GET", "/v1/history?after=1&limit=1", None), ("GET", "/v1/history?limit=0", None), ("GET", "/v1/rollout", None),
    ("POST", "/v1/fill", {"text": "画龙点[MASK]"}), ("POST", "/v1/fill", {"text": "画龙点[MASK]", "targets": ["睛", "石"]}),
    ("POST", "/v1/fill", {"text": "没有空"}), ("POST", "/v1/fill", {"text": "[MASK]", "span": 9}), ("POST", "/v1/fill", {"x": 1}),
    ("POST", "/v1/fill", {"text": "他在[MASK]工作", "span": "auto"}), ("POST", "/v1/fill", {"text": "他在[MASK]工作", "span": "auto", "targets": ["家", "办公室"]}),
    ("POST", "/v1/fill", {"text": "学而不思则[MASK]，思而不学则[MASK]", "span": 2}),
    ("POST", "/", {"inputs": "画龙点[MASK]"}), ("POST", "/", {"inputs": ["画龙点[MASK]", "学而不思则[MASK]，思而不学则[MASK]"]}), ("POST", "/", {"inputs": 1}),
])
def test_live_answers_are_as_described(service, method, path, body):
    document = description(service)
    answer = service.tcp.request(method, path, body and json.dumps(body).encode(), {"Content-Type": "application/json"} if body else {})
    as_described(document, method, path, answer)
    assert answer.headers["X-Request-Id"]


@pytest.mark.parametrize("path,body,status,code", [
    ("/v1/rollback", {}, 409, "no_snapshot"), ("/v1/rollback", {"to": "nobody"}, 404, "unknown_version"), ("/v1/rollback", {"two": "a"}, 400, "unknown_field"),
    ("/v1/import", {}, 400, "missing_field"), ("/v1/import", {"folder": "/nowhere"}, 400, "bad_model"),
])
def test_what_the_operator_is_refused_is_as_described(service, path, body, status, code):
    document = description(service)
    answer = service.unix.post(path, body)
    assert (answer.status, answer.code) == (status, code)
    as_described(document, "POST", path, answer)
    other = service.tcp.post(path, body)
    assert (other.status, other.code) == (403, "forbidden_admin")
    as_described(document, "POST", path, other)


def test_import_rollback_and_what_is_said_of_them_are_as_described(serve):
    service = serve(env={"TIANKONG_TRUST_UNSIGNED": "allow"})
    document = service.unix.get("/openapi.json").json
    for method, path, body in [
        ("POST", "/v1/import", {"folder": str(FIXTURES / "tiny-tied"), "release": "tiny"}), ("GET", "/v1/status", None), ("GET", "/v1/versions", None),
        ("POST", "/v1/rollback", {"reason": "trial"}), ("GET", "/v1/history", None), ("GET", "/v1/rollout", None),
    ]:
        answer = service.unix.post(path, body) if method == "POST" else service.unix.get(path)
        assert answer.status == 200, answer.body
        as_described(document, method, path, answer)
        if path == "/v1/status":
            assert answer.json["unsigned"] == "allow" and answer.json["snapshot"]


def as_described(document, method, path, answer):
    """Of the schema that its path and status have, and nothing that is not in it."""
    responses = document["paths"][path.split("?")[0]][method.lower()]["responses"]
    response = responses.get(str(answer.status)) or responses[f"{answer.status // 100}XX"]
    while "$ref" in response:
        response = resolve(document, response["$ref"])
    schema = response["content"]["application/json"]["schema"]
    jsonschema.Draft202012Validator({**schema, "components": document["components"]}).validate(answer.json)
    named(document, schema, answer.json)


def named(document, schema, value):
    """Clients are told that answers may gain keys; those that this build gives are described."""
    while "$ref" in schema:
        schema = resolve(document, schema["$ref"])
    if isinstance(value, dict) and "properties" in schema:
        for key, inner in value.items():
            assert key in schema["properties"], key
            named(document, schema["properties"][key], inner)
    for inner in value if isinstance(value, list) else []:
        named(document, schema.get("items", {}), inner)


def resolve(document, pointer):
    for part in pointer.lstrip("#/").split("/"):
        document = document[part.replace("~1", "/")]
    return document


def test_examples_of_the_description_are_answered(service):
    document = description(service)
    tried = 0
    for path, item in document["paths"].items():
        for method, operation in item.items():
            content = operation.get("requestBody", {}).get("content", {}).get("application/json", {}) if isinstance(operation, dict) else {}
            for example in content.get("examples", {}).values():
                answer = service.tcp.request(method.upper(), path.replace("{name}", "bert-base-chinese"), json.dumps(example["value"]).encode(), {"Content-Type": "application/json"})
                assert answer.status == 200, (path, example, answer.body)
                tried += 1
    assert tried >= 2


def test_metrics_are_what_prometheus_reads(service):
    service.unix.fill("画龙点[MASK]")
    service.unix.fill("没有空")
    text = service.unix.get("/metrics").body.decode()
    types, values = {}, {}
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name not in types
            types[name] = kind
        elif not line.startswith("#"):
            name, labels, value = re.fullmatch(r'([a-z_]+)(\{(?:[a-z_]+="(?:[^"\\]|\\.)*",?)*\})? (\S+)', line).groups()
            assert (name, labels) not in values, "a series twice"
            values[name, labels] = float(value)
            base = re.sub(r"_(bucket|sum|count)$", "", name)
            assert name in types or types[base] == "histogram"
    assert values["tiankong_ready", None] == 1
    assert values["tiankong_errors_total", '{code="no_blank"}'] >= 1
    assert values["tiankong_requests_total", '{route="/v1/fill",status="200"}'] >= 1
    assert values["tiankong_request_seconds_bucket", '{route="/v1/fill",le="+Inf"}'] == values["tiankong_request_seconds_count", '{route="/v1/fill"}']
