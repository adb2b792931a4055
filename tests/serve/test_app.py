"""The application in this process, with a tiny model."""

import asyncio
import json
import logging
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from servers import wait_for
from small_models import HEADS, save_model
from starlette.testclient import TestClient

from t5rank import Reranker
from t5rank.serve import openapi
from t5rank.serve.app import make_app
from t5rank.serve.settings import ServerSettings

DOCUMENTS = ["a list of numbers", "the string is returned", "", "a dict or a list " * 40, "int"]
BODY = {"query": "list of int", "documents": DOCUMENTS}


def ready(client: TestClient) -> TestClient:
    wait_for(lambda: client.get("/ready").status_code == 200)
    return client


@pytest.fixture(scope="module")
def client(model_dir):
    with TestClient(make_app(ServerSettings({"tiny": str(model_dir)}))) as client:
        yield ready(client)


@pytest.fixture
def model(client):
    return client.app.state.t5rank.models.choose(None)


def app_with(**settings):
    """An application whose models are never loaded: for what needs no scores."""
    return TestClient(make_app(ServerSettings({"tiny": "nowhere"}, **settings)))


def scores_of(response) -> list[float]:
    assert response.status_code == 200, response.text
    results = response.json()["results"]
    return [item["relevance_score"] for item in sorted(results, key=lambda item: item["index"])]


def test_scores_are_those_of_the_reranker(client, model_dir):
    reranker = Reranker.from_pretrained(model_dir)
    scores = reranker.score(BODY["query"], DOCUMENTS)
    found = scores_of(client.post("/rerank", json=BODY))
    np.testing.assert_allclose(found, 1 / (1 + np.exp(-scores.astype(float))), atol=1e-6)
    raw = scores_of(client.post("/rerank", json=BODY | {"raw_scores": True}))
    np.testing.assert_allclose(raw, scores, atol=1e-5)
    assert np.std(raw) > 1e-3


@pytest.mark.parametrize("head", HEADS)
def test_scores_of_every_head_are_from_0_to_1(head, tmp_path, vocabulary_file):
    reranker = Reranker.from_pretrained(save_model(tmp_path / head, vocabulary_file, head))
    scores = reranker.score("list", DOCUMENTS)
    unit = reranker.probability(scores)
    assert ((unit > 0) & (unit < 1)).all()
    assert np.argsort(unit).tolist() == np.argsort(scores).tolist()
    expected = np.exp(scores) if head == "monot5" else 1 / (1 + np.exp(-scores))
    np.testing.assert_allclose(unit, expected, rtol=1e-5)


def test_scores_do_not_depend_on_what_else_is_in_the_batch(client):
    bodies = [
        {
            "query": f"list {'of int ' * (i % 5)}",
            "documents": DOCUMENTS[i % 5 :],
            "raw_scores": True,
        }
        for i in range(40)
    ]
    alone = [scores_of(client.post("/rerank", json=body)) for body in bodies]
    with ThreadPoolExecutor(16) as pool:
        together = pool.map(lambda body: scores_of(client.post("/rerank", json=body)), bodies)
        for found, expected in zip(together, alone, strict=True):
            np.testing.assert_allclose(found, expected, atol=1e-5)


def test_nothing_is_compiled_while_serving(client, model):
    for length in range(1, 70, 3):
        client.post(
            "/rerank", json={"query": "q", "documents": ["word " * length] * (length % 9 + 1)}
        )
    assert model.compiles == 0
    assert b't5rank_compiles_after_ready_total{model="tiny"} 0.0' in client.get("/metrics").content


def test_cut_documents_are_reported(client):
    response = client.post("/rerank", json=BODY)
    assert response.headers["x-t5rank-truncated"] == "1; indexes=3"
    whole = client.post("/rerank", json={"query": "q", "documents": ["short"]})
    assert "x-t5rank-truncated" not in whole.headers


def test_the_best_chunk_is_the_score(client):
    texts = [
        f"{word} " * 40 + "the list of int is a list " * 10 for word in ("tuple", "int", "set")
    ]
    body = {"query": "list of int", "documents": texts, "raw_scores": True}
    cut = scores_of(client.post("/rerank", json=body))
    response = client.post("/rerank", json=body | {"max_chunks_per_doc": 50})
    assert "x-t5rank-truncated" not in response.headers
    chunked = scores_of(response)
    assert all(c >= s - 1e-5 for c, s in zip(chunked, cut, strict=True))
    assert max(c - s for c, s in zip(chunked, cut, strict=True)) > 1e-3


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"query": "long " * 99, "documents": ["a"]}, "Only documents are cut"),
        (BODY | {"truncation": False}, "Document 3 has"),
    ],
)
def test_what_the_model_cannot_take_is_refused(body, message, client, model):
    response = client.post("/rerank", json=body)
    assert response.status_code == 400 and message in response.json()["message"]
    assert model.engine.queue.tokens == 0


def test_too_much_work_is_told_to_come_again(client, model):
    model.engine.queue.reserve(10**9)
    try:
        response = client.post("/rerank", json=BODY)  # at once: what is reserved never ends
        assert response.status_code == 429
        assert int(response.headers["retry-after"]) >= 1
        assert client.get("/health").status_code == 200
    finally:
        model.engine.queue.release(10**9)
    assert client.post("/rerank", json=BODY).status_code == 200


def leave(client: TestClient, documents: list[str]) -> list[dict]:
    """What is sent to a client that leaves once its request is whole."""
    body = json.dumps({"query": "q", "documents": documents}).encode()
    messages = [{"type": "http.request", "body": body}, {"type": "http.disconnect"}]
    sent = []

    async def receive():
        return messages.pop(0)

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/rerank", "headers": []}
    scope |= {"http_version": "1.1", "query_string": b"", "raw_path": b"/rerank"}
    asyncio.run(client.app(scope, receive, send))
    return sent


def abandoned(client: TestClient, model: str) -> float:
    values = client.app.state.t5rank.metrics.registry.get_sample_value
    return values("t5rank_abandoned_requests_total", {"model": model}) or 0.0


def test_a_client_that_leaves_frees_its_work(client, model, monkeypatch):
    before, gate = abandoned(client, "tiny"), threading.Event()
    score = model.engine.model.score_tokens

    def held(tokens):
        gate.wait(60)
        return score(tokens)

    monkeypatch.setattr(model.engine.model, "score_tokens", held)
    assert not leave(client, ["a"] * 999)
    gate.set()
    wait_for(lambda: model.engine.queue.tokens == 0)
    assert abandoned(client, "tiny") == before + 1


def test_a_client_that_leaves_while_its_body_is_parsed_is_counted(client, monkeypatch):
    before, gate = abandoned(client, ""), threading.Event()
    monkeypatch.setattr("t5rank.serve.app._read", lambda *_: gate.wait(60))
    assert not leave(client, ["a" * 20_000])
    gate.set()
    assert abandoned(client, "") == before + 1


@pytest.mark.parametrize(
    ("given", "status"),
    [
        ("Bearer one", 200),
        ("bearer two", 200),
        ("two", 200),
        ("ApiKey one", 200),
        ("Bearer three", 401),
        ("Basic one", 401),
        ("", 401),
    ],
)
def test_one_of_the_keys_is_needed(given, status):
    client = app_with(api_keys=("one", "two"))
    headers = {"Authorization": given} if given else {}
    assert client.get("/v1/models", headers=headers).status_code == status
    scored = client.post("/rerank", json=BODY, headers=headers)
    assert scored.status_code == (503 if status == 200 else 401)  # there is no model here
    assert [client.get(path).status_code for path in ("/health", "/docs")] == [200, 200]


def test_a_model_that_is_not_ready_is_said_to_be():
    client = app_with()
    response = client.post("/rerank", json=BODY)
    assert response.status_code == 503 and response.headers["retry-after"] == "1"
    assert client.get("/health").status_code == 200
    assert client.get("/ready").json() == {"status": "loading", "unready": ["tiny"]}


@pytest.mark.parametrize(
    ("settings", "documents", "message"),
    [
        ({"max_documents": 3}, ["a"] * 4, "4 documents; expected at most 3"),
        ({"max_body_bytes": 100}, ["a" * 90], "more than 100 bytes"),
        ({"max_body_bytes": 100}, ["a" * 9000], "more than 100 bytes"),
    ],
)
def test_large_requests_are_refused(settings, documents, message):
    response = app_with(**settings).post("/rerank", json={"query": "q", "documents": documents})
    assert response.status_code == 413 and message in response.json()["message"]


def test_pages_elsewhere_may_ask_where_that_is_set():
    headers = {"Origin": "http://there", "Access-Control-Request-Method": "POST"}
    allowed = app_with(cors_origins=("http://there",)).options("/rerank", headers=headers)
    assert allowed.headers["access-control-allow-origin"] == "http://there"
    assert (
        "access-control-allow-origin" not in app_with().options("/rerank", headers=headers).headers
    )


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/rerank", 405), ("POST", "/health", 405), ("GET", "/nothing", 404)],
)
def test_wrong_paths_and_methods_are_told_in_json(method, path, status):
    response = app_with().request(method, path)
    assert response.status_code == status
    assert "is not served" in response.json()["message"]


@pytest.mark.parametrize(("given", "kept"), [("abc-1", True), ("a b", False), ("x" * 200, False)])
def test_requests_have_ids(given, kept):
    response = app_with().get("/health", headers={"X-Request-Id": given})
    assert (response.headers["x-request-id"] == given) == kept


def test_the_description_of_all_fields_is_made_once(client, monkeypatch):
    calls = []
    real = openapi.document
    monkeypatch.setattr(openapi, "document", lambda settings: calls.append(1) or real(settings))
    assert client.get("/openapi.json").json() == client.get("/openapi.json").json()
    assert len(calls) <= 1


def test_a_message_repeats_the_beginning_of_what_was_sent(client):
    body = {"query": "q", "texts": ["a"], "truncation_direction": "x" * 1_000_000}
    response = client.post("/rerank", json=body)
    assert response.status_code == 400 and len(response.content) < 10_000


@pytest.mark.parametrize("log_texts", [False, True])
def test_the_log_has_texts_only_where_asked(log_texts, caplog):
    client = app_with(log_texts=log_texts)
    with caplog.at_level(logging.INFO, "t5rank.access"):
        client.post("/v2/rerank", json={"query": "secret", "documents": ["hidden"]})
    (line,) = [json.loads(record.message) for record in caplog.records]
    assert (line["path"], line["status"], line["documents"]) == ("/v2/rerank", 503, 1)
    assert ("secret" in json.dumps(line)) == log_texts == ("hidden" in json.dumps(line))


def test_the_log_has_the_beginning_of_what_clients_made_up(caplog):
    with caplog.at_level(logging.INFO, "t5rank.access"):
        app_with().request("Q" * 900, "/" + "p" * 900)
    (line,) = [json.loads(record.message) for record in caplog.records]
    assert max(len(line["path"]), len(line["method"])) < 210


def test_an_error_of_our_own_is_told_without_its_text(client, model, monkeypatch):
    def broken(tokens):
        raise MemoryError("secret")

    monkeypatch.setattr(model.engine.model, "score_tokens", broken)
    quiet = TestClient(client.app, raise_server_exceptions=False)
    response = quiet.post("/rerank", json=BODY)
    assert response.status_code == 500 and "secret" not in response.text
    assert response.headers["x-request-id"] in response.json()["message"]
    assert 'model="tiny",path="/rerank",status="500"} 1.0' in client.get("/metrics").text
    assert model.engine.queue.tokens == 0


def test_models_are_chosen_by_name_and_loaded_anew(tmp_path, vocabulary_file):
    first = save_model(tmp_path / "first", vocabulary_file)
    second = save_model(tmp_path / "second", vocabulary_file, "monot5", seed=1)
    app = make_app(ServerSettings({"a": str(first), "b": str(second)}))
    models = app.state.t5rank.models
    with TestClient(app) as client:
        ready(client)
        listed = [model["id"] for model in client.get("/v1/models").json()["data"]]
        by_name = {
            name: scores_of(client.post("/rerank", json=BODY | {"model": name})) for name in "ab"
        }
        missing = client.post("/rerank", json=BODY | {"model": "rerank-v3.5"})
        save_model(first, vocabulary_file, seed=7, step=2)
        (second / "config.json").write_text("{")
        models.reload()
        wait_for(lambda: models.by_name["b"].reloads["failed"])
        after = {
            name: scores_of(client.post("/rerank", json=BODY | {"model": name})) for name in "ab"
        }
        assert listed == ["a", "b"]
        assert missing.status_code == 404 and "['a', 'b']" in missing.json()["message"]
        assert scores_of(client.post("/rerank", json=BODY)) == after["a"]
        assert by_name["a"] != by_name["b"]
        assert after["a"] != by_name["a"] and after["b"] == by_name["b"]
        expected = Reranker.from_pretrained(first)
        np.testing.assert_allclose(
            after["a"], expected.probability(expected.score(BODY["query"], DOCUMENTS)), atol=1e-6
        )
        assert models.by_name["a"].reloads == {"succeeded": 1, "failed": 0}
        assert models.by_name["a"].compiles == 0
        # The programs of the model before serve the new one.
        assert models.by_name["a"].engine.model.compiled == 5


def test_a_changed_folder_is_seen(tmp_path, vocabulary_file):
    folder = save_model(tmp_path / "model", vocabulary_file)
    app = make_app(ServerSettings({"m": str(folder)}, watch=0.05))
    with TestClient(app) as client:
        ready(client)
        before = scores_of(client.post("/rerank", json=BODY))
        save_model(folder, vocabulary_file, seed=3, step=2)
        wait_for(lambda: app.state.t5rank.models.by_name["m"].reloads["succeeded"])
        assert scores_of(client.post("/rerank", json=BODY)) != before
        assert app.state.t5rank.models.by_name["m"].reloads == {"succeeded": 1, "failed": 0}


def test_a_model_that_cannot_be_loaded_ends_the_start(tmp_path, model_dir):
    shutil.copytree(model_dir, tmp_path / "broken")
    shutil.rmtree(tmp_path / "broken" / "checkpoint_1")
    errors = []
    with TestClient(make_app(ServerSettings({"m": str(tmp_path / "broken")}), errors.append)):
        wait_for(lambda: errors)
    assert "has checkpoints []" in str(errors[0])


@pytest.mark.parametrize("value", ["{}", "[]", "1", '""', '{"text": "a"}'])
def test_millions_of_values_are_refused_before_they_are_made(value):
    body = f'{{"query": "q", "documents": [{",".join([value] * 200_000)}]}}'
    response = app_with().post("/rerank", content=body)
    assert response.status_code == 413
    assert "JSON values; expected at most 128,000" in response.json()["message"]


def test_rank_fields_take_a_time_that_does_not_grow_with_documents(client):
    fields = ["title", "text", *(f"field{i}" for i in range(50_000)), "title"]
    documents = [{"text": "of int", "title": "a list", "n": 1}] * 1000
    body = {"query": "list", "documents": documents, "raw_scores": True}
    start = time.process_time()
    found = scores_of(client.post("/rerank", json=body | {"rank_fields": fields}))
    assert time.process_time() - start < 20  # 50 million looks would take a minute
    np.testing.assert_allclose(
        found[0],
        scores_of(client.post("/rerank", json=body | {"documents": ["a list of int"]}))[0],
        atol=1e-5,
    )
