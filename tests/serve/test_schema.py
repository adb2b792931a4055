"""The server keeps what its OpenAPI document promises; schemathesis makes the requests."""

import json

import httpx
import pytest

schemathesis = pytest.importorskip("schemathesis", reason="needs schemathesis")
hypothesis = pytest.importorskip("hypothesis")


@pytest.fixture
def document(server):
    return httpx.get(f"{server.url}/openapi.json").json()


def operations(document):
    return [each.ok() for each in schemathesis.openapi.from_dict(document).get_all_operations()]


def test_answers_are_as_documented(server, document):
    from schemathesis.specs.openapi.checks import positive_data_acceptance

    found = operations(document)
    assert len(found) == 31
    seen = set()
    for operation in found:
        promise = json.dumps(operation.definition.raw | {"operationId": ""})
        examples = 2 if promise in seen else 10  # paths that do the same
        seen.add(promise)

        @hypothesis.settings(
            max_examples=examples,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(hypothesis.HealthCheck),
        )
        @hypothesis.given(case=operation.as_strategy())
        def answers(case):
            is_beyond = "embed" in case.path or beyond_a_schema(case.body)
            unsaid = [positive_data_acceptance] if is_beyond else []
            case.call_and_validate(base_url=server.url, excluded_checks=unsaid)

        answers()


def beyond_a_schema(body) -> bool:
    """Two lists of one length, documents with the fields named, a model that gives vectors, and a
    query that leaves the small model's documents room.

    No schema says so.
    """
    body = body if isinstance(body, dict) else {}
    if "inputs" in body:
        return True
    queries = body.get("text_1", body.get("data_1", body.get("queries")))
    documents = body.get("input", body.get("documents"))
    objects = isinstance(documents, list) and any(isinstance(d, dict) for d in documents)
    is_long = len(json.dumps([body.get("query"), queries])) > 60
    return objects or is_long or (isinstance(queries, list) and len(queries) > 1)


def test_the_test_would_see_a_promise_broken(server, document):
    from schemathesis.core import failures

    document["paths"]["/health"]["get"]["responses"] = {"204": {"description": "Nothing."}}
    (operation,) = [each for each in operations(document) if each.path == "/health"]
    with pytest.raises(failures.FailureGroup, match="Undocumented status code"):
        operation.Case().call_and_validate(base_url=server.url)
