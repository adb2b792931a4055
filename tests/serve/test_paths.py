"""Paths: behind a prefix, with slashes too many, and those that clients ask first."""

import httpx
import pytest
from starlette.testclient import TestClient

from t5rank.serve.app import make_app
from t5rank.serve.settings import ServerSettings


def app(**settings):
    return TestClient(make_app(ServerSettings({"org/tiny": "nowhere", "b": "nowhere"}, **settings)))


@pytest.mark.parametrize("path", ["/v1/models", "/rank/v1/models", "/rank//v1/models/", "//models"])
def test_a_prefix_may_be_cut_off_by_the_proxy_or_not(path):
    assert app(root_path="/rank").get(path).status_code == 200


def test_what_only_begins_like_the_prefix_is_another_path():
    assert app(root_path="/rank").get("/ranked/v1/models").status_code == 404


def test_the_page_behind_a_prefix_finds_its_neighbours():
    client = app(root_path="/rank")
    assert client.get("/rank", follow_redirects=False).headers["location"] == "/rank/"
    assert client.get("/rank/docs").status_code == 200
    assert client.get("/rank/openapi.json").json()["servers"] == [{"url": "/rank"}]


@pytest.mark.parametrize("root", ["rank", "/rank/", "/", "/a b"])
def test_a_prefix_is_a_path(root):
    with pytest.raises(ValueError, match="'root_path' has"):
        app(root_path=root)


@pytest.mark.parametrize("name", ["org/tiny", "org%2Ftiny"])
def test_a_model_is_described_by_its_name(name):
    model = app().get(f"/v1/models/{name}").json()
    assert (model["id"], model["object"], model["model_type"]) == ("org/tiny", "model", "rerank")


def test_a_model_that_is_not_served_is_not_found():
    response = app().get("/v1/models/other")
    assert response.status_code == 404
    assert "expected one of ['org/tiny', 'b']" in response.json()["message"]


@pytest.mark.parametrize("path", ["/info", "/v1/models", "/v1/models/b"])
def test_models_are_described_to_those_with_a_key(path):
    assert app(api_keys=("one",)).get(path).status_code == 401


@pytest.mark.parametrize("path", ["/ready", "/ping", "/.well-known/ready", "/info"])
def test_who_waits_for_the_model_is_told_to_wait(path):
    assert app().get(path).status_code == 503


@pytest.mark.parametrize("keys", [(), ("one",)])
def test_xinferences_client_is_told_whether_to_send_its_key(keys):
    assert app(api_keys=keys).get("/v1/cluster/auth").json() == {"auth": bool(keys)}


def test_a_ready_server_describes_itself_as_tei_and_weaviate_expect(server):
    with httpx.Client(base_url=server.url) as client:
        info = client.get("/info").json()
        assert [*info["model_type"]] == ["reranker"]
        assert (info["model_id"], info["model_dtype"]) == ("tiny", "float32")
        assert (info["max_input_length"], info["max_client_batch_size"]) == (64, 1000)
        assert client.get("/ping").status_code == 200
        assert client.get("/.well-known/ready").status_code == 204
        assert client.get("/.well-known/live").status_code == 204
        assert client.get("/meta").json()["models"] == ["tiny"]


@pytest.mark.parametrize("path", ["/", "/invocations", "/rerank/", "/reranks"])
def test_bodies_are_taken_where_tei_sagemaker_and_others_send_them(path, server):
    answer = httpx.post(f"{server.url}{path}", json={"query": "q", "texts": ["a", "b"]})
    assert sorted(each["index"] for each in answer.json()) == [0, 1]


def test_the_parts_of_the_time_are_no_more_than_the_whole(server):
    headers = httpx.post(f"{server.url}/rerank", json={"query": "q", "texts": ["a"]}).headers
    total, *parts = (
        int(headers[f"x-{name}-time"]) for name in ("total", "tokenization", "queue", "inference")
    )
    assert sum(parts) <= total + len(parts)  # each is rounded
