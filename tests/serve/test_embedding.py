"""Vectors over HTTP: each API gives those of `Embedder`, to real clients as well."""

import base64
import shutil
import threading

import httpx
import numpy as np
import pytest
import uvicorn
from servers import wait_for
from small_models import save_dual_encoder, save_model
from starlette.testclient import TestClient

from t5rank.inference.embedder import Embedder
from t5rank.serve.app import make_app
from t5rank.serve.dialects.openai import OpenAIRequest
from t5rank.serve.settings import ServerSettings
from t5rank.text.templates import TextPrompts

TEXTS = ["A list has items.", "", "A break statement ends the loop. " * 30]
CUT = "1; indexes=2"
SIDES = ("", "/query", "/document")


@pytest.fixture(scope="session")
def dual_dir(tmp_path_factory, vocabulary_file):
    """Reads queries and documents differently."""
    prompts = TextPrompts("query: ", "passage: ", 16)
    folder = tmp_path_factory.mktemp("dual") / "dual"
    return save_dual_encoder(folder, vocabulary_file, prompts)


@pytest.fixture(scope="session")
def plain_dir(tmp_path_factory, vocabulary_file):
    """Reads them alike, and its vectors have any length."""
    folder = tmp_path_factory.mktemp("plain") / "plain"
    return save_dual_encoder(folder, vocabulary_file, TextPrompts(), "dot")


@pytest.fixture(scope="session")
def embedder(dual_dir):
    return Embedder.from_pretrained(dual_dir)


@pytest.fixture(scope="session")
def url(dual_dir, plain_dir, model_dir):
    """A server of both, and of a reranker, in a thread."""
    folders = {"dual": dual_dir, "plain": plain_dir, "tiny": model_dir}
    settings = ServerSettings({name: str(folder) for name, folder in folders.items()})
    config = uvicorn.Config(make_app(settings), port=0, log_level="warning")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    wait_for(lambda: server.started)
    address = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    wait_for(lambda: httpx.get(f"{address}/ready", timeout=60).status_code == 200)
    yield address
    server.should_exit = True
    thread.join()


@pytest.fixture
def post(url):
    return lambda path, **body: httpx.post(url + path, json=body, timeout=60)


@pytest.fixture(scope="session", params=["query", "document"])
def side(request):
    return request.param


@pytest.fixture
def vectors(side, embedder):
    encode = embedder.encode_queries if side == "query" else embedder.encode_documents
    return encode(TEXTS)


def tei(post, side):
    return post("/embed", inputs=TEXTS, prompt_name=side, model="dual"), lambda body: body


def tei_at_the_root(post, side):
    return post("/", inputs=TEXTS, prompt_name=side, model="dual"), lambda body: body


def openai(post, side):
    answer = post("/v1/embeddings", input=TEXTS, model=f"dual/{side}")
    return answer, lambda body: [each["embedding"] for each in body["data"]]


def openai_base64(post, side):
    body = {"input": TEXTS, "model": f"dual/{side}", "encoding_format": "base64"}
    return post("/v1/embeddings", **body), lambda body: [
        np.frombuffer(base64.b64decode(each["embedding"]), "<f4") for each in body["data"]
    ]


def cohere_v2(post, side):
    answer = post("/v2/embed", texts=TEXTS, input_type=f"search_{side}", model="dual")
    return answer, lambda body: body["embeddings"]["float"]


def cohere_v1(post, side):
    answer = post("/v1/embed", texts=TEXTS, input_type=f"search_{side}", model="dual")
    return answer, lambda body: body["embeddings"]


@pytest.mark.parametrize("ask", [tei, tei_at_the_root, openai, openai_base64, cohere_v2, cohere_v1])
def test_vectors_are_the_embedders(ask, side, post, vectors):
    answer, read = ask(post, side)
    assert answer.status_code == 200, answer.text
    np.testing.assert_allclose(read(answer.json()), vectors, atol=1e-6)
    assert answer.headers["x-t5rank-truncated"] == CUT


def test_the_tokens_are_counted(post, embedder):
    answer = post("/v1/embeddings", input=TEXTS, model="dual/query").json()
    tokens = sum(len(each.tokens) for each in embedder.encoder.encode_queries(TEXTS))
    assert answer["usage"] == {"prompt_tokens": tokens, "total_tokens": tokens}
    assert answer["model"] == "dual"


@pytest.mark.parametrize(
    ("path", "body", "want"),
    [
        ("/embed", {"inputs": "a", "model": "dual"}, "'prompt_name' is 'query' or 'document'"),
        ("/embed", {"inputs": "a", "prompt_name": "q"}, "expected 'query' or 'document'"),
        ("/v1/embeddings", {"input": "a", "model": "dual"}, "'dual/query' or 'dual/document'"),
        ("/v1/embeddings", {"input": [1, 2], "model": "plain"}, "has tokens at place 0"),
        ("/v1/embeddings", {"input": "a", "model": "tiny"}, "is a reranker"),
        ("/v2/embed", {"texts": ["a"], "model": "dual"}, "input_type"),
        ("/v2/embed", {"texts": ["a"], "input_type": "clustering"}, "'search_query' or"),
        (
            "/v2/embed",
            {"texts": ["a"], "input_type": "search_query", "embedding_types": ["int8"]},
            "Field 'embedding_types' has 'int8'",
        ),
        (
            "/v2/embed",
            {"texts": ["a"], "input_type": "search_query", "output_dimension": 4, "model": "dual"},
            "Field 'output_dimension' has 4; expected 8",
        ),
        ("/v1/embeddings", {"input": "a", "model": "plain", "dimensions": 4}, "expected 8"),
        (
            "/embed",
            {"inputs": TEXTS, "prompt_name": "query", "truncate": False},
            "Text 2 has more than the 16 tokens",
        ),
        ("/embed_all", {"inputs": "a"}, "late interaction"),
        ("/rerank", {"query": "a " * 40, "documents": ["b"], "model": "dual"}, "shorten the query"),
    ],
)
def test_what_cannot_be_done_is_said(path, body, want, post):
    answer = post(path, **body)
    assert answer.status_code == 400
    error = answer.json()
    message = error["error"]["message"] if "embeddings" in path else error["message"]
    assert want in message


def test_openai_has_its_own_form_of_errors(post):
    error = post("/v1/embeddings", input="a", model="other").json()["error"]
    assert (error["code"], error["type"]) == ("model_not_found", "invalid_request_error")


def test_a_model_that_reads_both_alike_needs_no_side(post, plain_dir):
    answer = post("/v1/embeddings", input=TEXTS, model="plain").json()
    vectors = Embedder.from_pretrained(plain_dir).encode_documents(TEXTS)
    np.testing.assert_allclose([x["embedding"] for x in answer["data"]], vectors, atol=1e-6)


@pytest.mark.parametrize("normalize", [None, True, False])
def test_tei_normalizes_unless_told_not_to(normalize, post, plain_dir):
    answer = post("/embed", inputs=TEXTS, model="plain", normalize=normalize).json()
    vectors = Embedder.from_pretrained(plain_dir).encode_documents(TEXTS)
    if normalize is not False:
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    np.testing.assert_allclose(answer, vectors, atol=1e-6)


def test_a_text_may_keep_its_end(post):
    texts = [f"{'word ' * n}A list has items. {'more ' * 70}The end." for n in (90, 99)]
    asked = {"inputs": texts, "prompt_name": "document", "model": "dual"}
    left = post("/embed", **asked, truncation_direction="Left").json()
    np.testing.assert_allclose(*left, atol=1e-6)
    assert not np.allclose(left, post("/embed", **asked).json(), atol=1e-3)


def test_a_rerank_request_is_scored_by_similarity(post, embedder):
    body = {"query": "a list", "documents": TEXTS, "model": "dual"}
    results = post("/v2/rerank", **body).json()["results"]
    (query,) = embedder.encode_queries(["a list"])
    cosines = embedder.encode_documents(TEXTS) @ query
    assert [each["index"] for each in results] == np.argsort(-cosines).tolist()
    scores = [each["relevance_score"] for each in results]
    np.testing.assert_allclose(scores, np.sort((1 + cosines) / 2)[::-1], atol=1e-6)


def test_every_name_that_is_listed_can_be_asked_for(url):
    listed = httpx.get(f"{url}/v1/models").json()["data"]
    kinds = {each["id"]: each["model_type"] for each in listed}
    assert kinds == {
        **{f"{name}{end}": "embedding" for name in ("dual", "plain") for end in SIDES},
        "tiny": "rerank",
    }
    for name in kinds:
        assert httpx.get(f"{url}/v1/models/{name}").json()["id"] == name


def test_info_has_the_kind_in_teis_words(url):
    assert httpx.get(f"{url}/info").json()["model_type"] == {"embedding": {"pooling": "mean"}}


def test_too_many_texts_are_refused(post):
    answer = post("/v1/embeddings", input=["a"] * 1001, model="plain")
    assert answer.status_code == 413
    assert "1,001" in answer.json()["error"]["message"]


def test_many_numbers_are_written_off_the_event_loop(post, monkeypatch):
    threads, answer = [], OpenAIRequest.answer

    def noting(self, given):
        threads.append(threading.current_thread().name)
        return answer(self, given)

    monkeypatch.setattr(OpenAIRequest, "answer", noting)
    for count in (1, 200):
        post("/v1/embeddings", input=["a"] * count, model="plain").raise_for_status()
    assert [name == "preparing" for name in threads] == [False, True]


def test_a_reranker_becomes_a_dual_encoder_where_its_folder_does(tmp_path, vocabulary_file):
    folder = save_model(tmp_path / "model", vocabulary_file)
    app = make_app(ServerSettings({"m": str(folder)}))
    models = app.state.t5rank.models
    with TestClient(app) as client:
        wait_for(lambda: client.get("/ready").status_code == 200)
        assert client.post("/embed", json={"inputs": "a"}).status_code == 400
        shutil.rmtree(folder)
        save_dual_encoder(folder, vocabulary_file, TextPrompts())
        models.reload()
        wait_for(lambda: models.by_name["m"].reloads["succeeded"])
        assert np.shape(client.post("/embed", json={"inputs": "a"}).json()) == (1, 8)


def openai_client(url, side, texts):
    module = pytest.importorskip("openai", reason="client 'openai' is not installed")
    client = module.OpenAI(api_key="any", base_url=f"{url}/v1")
    answer = client.embeddings.create(input=texts, model=f"dual/{side}")
    return [each.embedding for each in answer.data]


def huggingface_client(url, side, texts):
    reason = "client 'huggingface_hub' is not installed"
    module = pytest.importorskip("huggingface_hub", reason=reason)
    return module.InferenceClient(url).feature_extraction(texts, prompt_name=side)


def cohere_client(url, side, texts):
    module = pytest.importorskip("cohere", reason="client 'cohere' is not installed")
    client = module.ClientV2("any", base_url=url)
    body = {"input_type": f"search_{side}", "embedding_types": ["float"], "model": "dual"}
    return client.embed(texts=texts, **body).embeddings.float_


def cohere_client_v1(url, side, texts):
    module = pytest.importorskip("cohere", reason="client 'cohere' is not installed")
    client = module.Client("any", base_url=url)
    return client.embed(texts=texts, input_type=f"search_{side}", model="dual").embeddings


def langchain_openai(url, side, texts):
    reason = "client 'langchain_openai' is not installed"
    module = pytest.importorskip("langchain_openai", reason=reason)
    options = {"api_key": "any", "base_url": f"{url}/v1", "check_embedding_ctx_length": False}
    return module.OpenAIEmbeddings(model=f"dual/{side}", **options).embed_documents(texts)


def llama_index_openai_like(url, side, texts):
    name = "llama_index.embeddings.openai_like"
    module = pytest.importorskip(name, reason="its llama-index package is not installed")
    options = {"api_key": "any", "api_base": f"{url}/v1"}
    client = module.OpenAILikeEmbedding(model_name=f"dual/{side}", **options)
    return client.get_text_embedding_batch(texts)


CLIENTS = (
    *(openai_client, huggingface_client, cohere_client, cohere_client_v1),
    *(langchain_openai, llama_index_openai_like),
)


@pytest.mark.parametrize("client", CLIENTS)
def test_a_client_gets_the_embedders_vectors(client, side, url, vectors):
    texts = [text or " " for text in TEXTS]  # some clients send no empty text
    np.testing.assert_allclose(client(url, side, texts), vectors, atol=1e-6)


def test_openai_raises_its_own_error(url):
    module = pytest.importorskip("openai", reason="client 'openai' is not installed")
    client = module.OpenAI(api_key="any", base_url=f"{url}/v1")
    with pytest.raises(module.BadRequestError, match="'dual/query' or 'dual/document'") as raised:
        client.embeddings.create(input="a", model="dual")
    assert raised.value.code == "validation"
