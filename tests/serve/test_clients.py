"""Existing clients against a real server: each gets, in its own words, what `Reranker` says."""

import importlib.util
import itertools
import socket

import numpy as np
import pytest
from servers import running

from t5rank.inference.reranker import Reranker
from t5rank.serve.settings import KEYS_VARIABLE

PACKAGES = (
    *("cohere", "voyageai", "infinity_client", "openai", "litellm", "rerankers"),
    *("langchain_cohere", "langchain_community", "langchain_nvidia_ai_endpoints"),
    *("llama_index", "haystack", "tei_client", "xinference_client", "mixedbread", "pinecone"),
)
if not any(map(importlib.util.find_spec, PACKAGES)):
    pytest.skip("no client is installed", allow_module_level=True)

KEY = "sesame"
QUERY = "how does a for statement end"
DOCUMENTS = [
    "A break statement ends the loop without its else clause.",
    "Integers have unlimited precision.",
    "The for statement iterates over the elements of a sequence.",
    "",
    "A class definition is an executable statement. " * 30,
]
QUIET = {
    "ANONYMIZED_TELEMETRY": "False",
    "DO_NOT_TRACK": "1",
    "HAYSTACK_TELEMETRY_ENABLED": "False",
    "HF_HUB_OFFLINE": "1",
    "LANGSMITH_TRACING": "false",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "NVIDIA_USAGE_TELEMETRY_ENABLED": "false",
}


@pytest.fixture(scope="module")
def keyed(model_dir):
    """A server that wants a key."""
    with running(f"--model={model_dir}", environment={KEYS_VARIABLE: KEY}) as process:
        yield process


@pytest.fixture(scope="module")
def logits(model_dir):
    """Indexes, best first, and the model's own scores, computed in this process."""
    scores = Reranker.from_pretrained(model_dir).score(QUERY, DOCUMENTS).tolist()
    best = sorted(enumerate(scores), key=lambda item: -item[1])
    assert min(a - b for (_, a), (_, b) in itertools.pairwise(best)) > 1e-3  # one right order
    return best


@pytest.fixture(scope="module")
def ranking(model_dir, logits):
    """The same with scores from 0 to 1."""
    indexes, scores = zip(*logits, strict=True)
    probabilities = Reranker.from_pretrained(model_dir).probability(np.asarray(scores))
    return list(zip(indexes, probabilities, strict=True))


@pytest.fixture(scope="module", autouse=True)
def this_machine_only():
    """Clients are told not to report their use, and no other host has an address."""
    find = socket.getaddrinfo

    def find_here(host, *args, **kwargs):
        if host not in ("127.0.0.1", "localhost"):
            raise socket.gaierror(f"Host '{host}' is not for tests.")
        return find(host, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", find_here)
        for name, value in QUIET.items():
            patch.setenv(name, value)
        yield


def client(module: str):
    """A client's module, if it is installed."""
    return pytest.importorskip(module, reason=f"client '{module}' is not installed")


def cohere_v1(url: str, topn: int):
    body = {"model": "rerank-v3.5", "query": QUERY, "documents": DOCUMENTS, "top_n": topn}
    answer = client("cohere").Client(KEY, base_url=url).rerank(**body, return_documents=True)
    return [(r.index, r.relevance_score, r.document.text) for r in answer.results]


def cohere_v2(url: str, topn: int):
    body = {"model": "rerank-v3.5", "query": QUERY, "documents": DOCUMENTS, "top_n": topn}
    answer = client("cohere").ClientV2(KEY, base_url=url).rerank(**body, max_tokens_per_doc=4096)
    return [(r.index, r.relevance_score) for r in answer.results]


def voyageai(url: str, topn: int):
    module = client("voyageai").Client(KEY, base_url=f"{url}/v1")
    answer = module.rerank(QUERY, DOCUMENTS, model="rerank-2.5", top_k=topn)
    return [(r.index, r.relevance_score, r.document) for r in answer.results]


def infinity(url: str, topn: int):
    module, rerank = client("infinity_client"), client("infinity_client.api.default.rerank")
    answer = rerank.sync(
        client=module.AuthenticatedClient(base_url=url, token=KEY),
        body=client("infinity_client.models").RerankInput(QUERY, DOCUMENTS, top_n=topn),
    )
    return [(r.index, r.relevance_score) for r in answer.results]


def langchain_cohere(url: str, topn: int):
    kwargs = {"cohere_api_key": KEY, "base_url": url, "model": "rerank-v3.5"}
    return langchain(client("langchain_cohere").CohereRerank(**kwargs), topn)


def langchain_jina(url: str, topn: int):
    module = client("langchain_community.document_compressors.jina_rerank")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "JINA_API_URL", f"{url}/v1/rerank")
        return langchain(module.JinaRerank(jina_api_key=KEY), topn)


def langchain(compressor, topn: int):
    compressor.top_n = topn
    documents = client("langchain_core.documents")
    ranked = compressor.compress_documents(
        [documents.Document(text, metadata={"i": i}) for i, text in enumerate(DOCUMENTS)], QUERY
    )
    return [(d.metadata["i"], d.metadata["relevance_score"]) for d in ranked]


def llama_index_tei(url: str, topn: int):
    module = client("llama_index.postprocessor.tei_rerank")
    return llama_index(module.TextEmbeddingInference(base_url=url, auth_token=KEY, top_n=topn))


def llama_index_jina(url: str, topn: int):
    module = client("llama_index.postprocessor.jinaai_rerank")
    return llama_index(module.JinaRerank(base_url=f"{url}/v1", api_key=KEY, top_n=topn))


def llama_index_cohere(url: str, topn: int):
    module = client("llama_index.postprocessor.cohere_rerank")
    return llama_index(module.CohereRerank(base_url=url, api_key=KEY, top_n=topn))


def llama_index(postprocessor):
    schema = client("llama_index.core.schema")
    nodes = [
        schema.NodeWithScore(node=schema.TextNode(text=text, id_=str(i)))
        for i, text in enumerate(DOCUMENTS)
    ]
    ranked = postprocessor.postprocess_nodes(nodes, query_str=QUERY)
    return [(int(n.node_id), n.score) for n in ranked]


def haystack_tei(url: str, topn: int):
    module = client("haystack_integrations.components.rankers.huggingface_api")
    return haystack(module.HuggingFaceTEIRanker(url=url, token=haystack_key()), topn)


def haystack_jina(url: str, topn: int):
    module = client("haystack_integrations.components.rankers.jina")
    return haystack(module.JinaRanker(base_url=f"{url}/v1/rerank", api_key=haystack_key()), topn)


def haystack_cohere(url: str, topn: int):
    module = client("haystack_integrations.components.rankers.cohere")
    return haystack(module.CohereRanker(api_base_url=url, api_key=haystack_key()), topn)


def haystack_key():
    return client("haystack.utils").Secret.from_token(KEY)


def haystack(ranker, topn: int):
    documents = [
        client("haystack").Document(content=text, id=str(i)) for i, text in enumerate(DOCUMENTS)
    ]
    ranked = ranker.run(query=QUERY, documents=documents, top_k=topn)["documents"]
    return [(int(d.id), d.score) for d in ranked]


def tei_client(url: str, topn: int):
    headers = {"Authorization": f"Bearer {KEY}"}
    tei = client("tei_client").HttpClient(url, headers=headers)
    answer = tei.rerank(QUERY, DOCUMENTS, return_text=True)
    return [(r.index, r.score, r.text) for r in answer.ranks[:topn]]


def xinference_client(url: str, topn: int):
    model = client("xinference_client").RESTfulClient(url, api_key=KEY).get_model("tiny")
    answer = model.rerank(DOCUMENTS, QUERY, top_n=topn, return_documents=True, return_len=True)
    return [(r["index"], r["relevance_score"], r["document"]["text"]) for r in answer["results"]]


def mixedbread(url: str, topn: int):
    module = client("mixedbread").Mixedbread(api_key=KEY, base_url=url)
    answer = module.rerank(query=QUERY, input=DOCUMENTS, top_k=topn, return_input=True)
    assert (answer.top_k, answer.return_input) == (topn, True)
    return [(r.index, r.score, r.input) for r in answer.data]


def pinecone(url: str, topn: int):
    inference = client("pinecone").Pinecone(api_key=KEY, host=url).inference
    answer = inference.rerank("bge-reranker-v2-m3", QUERY, DOCUMENTS, top_n=topn)
    assert answer.usage.rerank_units == 1
    return [(r.index, r.score, r.document["text"]) for r in answer.data]


def rerankers(provider: str, path: str):
    def rank(url: str, topn: int):
        module = client("rerankers.models.api_rankers")
        ranker = module.APIRanker("any", KEY, provider, url=url + path)
        ranked = ranker.rank(QUERY, DOCUMENTS, doc_ids=list(range(len(DOCUMENTS))))
        return [(r.doc_id, r.score, r.text) for r in ranked.top_k(topn)]

    return rank


def litellm(model: str):
    def rank(url: str, topn: int | None):
        module = client("litellm")
        module.disable_hf_tokenizer_download = True
        answer = module.rerank(model, QUERY, DOCUMENTS, top_n=topn, api_base=url, api_key=KEY)
        return [(r["index"], r["relevance_score"], r["document"]["text"]) for r in answer.results]

    return rank


def langchain_nvidia(url: str, topn: int):
    module = client("langchain_nvidia_ai_endpoints")
    return langchain(module.NVIDIARerank(base_url=f"{url}/v1", api_key=KEY), topn)


def llama_index_nvidia(url: str, topn: int):
    module = client("llama_index.postprocessor.nvidia_rerank")
    return llama_index(module.NVIDIARerank(base_url=f"{url}/v1", api_key=KEY, top_n=topn))


def llama_index_xinference(url: str, topn: int):
    module = client("llama_index.postprocessor.xinference_rerank")
    return llama_index(module.XinferenceRerank(base_url=url, top_n=topn))


CLIENTS = {
    "cohere.Client": cohere_v1,
    "cohere.ClientV2": cohere_v2,
    "voyageai": voyageai,
    "infinity_client": infinity,
    "langchain_cohere": langchain_cohere,
    "langchain JinaRerank": langchain_jina,
    "llama_index TEI": llama_index_tei,
    "llama_index Jina": llama_index_jina,
    "llama_index Cohere": llama_index_cohere,
    "tei_client": tei_client,
    "xinference_client": xinference_client,
    "mixedbread": mixedbread,
    "pinecone": pinecone,
    "haystack TEI": haystack_tei,
    "haystack Jina": haystack_jina,
    "haystack Cohere": haystack_cohere,
    "rerankers cohere": rerankers("cohere", "/v1/rerank"),
    "rerankers jina": rerankers("jina", "/v1/rerank"),
    "rerankers voyage": rerankers("voyage", "/v1/rerank"),
    "rerankers TEI": rerankers("text-embeddings-inference", "/rerank"),
    "litellm cohere/": litellm("cohere/rerank-v3.5"),
    "litellm huggingface/": litellm("huggingface/any"),
    "litellm jina_ai/": litellm("jina_ai/any"),
    "litellm hosted_vllm/": litellm("hosted_vllm/any"),
    "litellm voyage/": litellm("voyage/rerank-2.5"),
}
LOGITS = {"langchain NVIDIA": langchain_nvidia, "llama_index NVIDIA": llama_index_nvidia}


def assert_same(ranked, expected):
    assert [index for index, *_ in ranked] == [index for index, _ in expected]
    scores = [score for _, score, *_ in ranked]
    assert scores == pytest.approx([score for _, score in expected], abs=1e-5)


@pytest.mark.parametrize("name", CLIENTS)
def test_ranks_as_the_reranker_does(name, keyed, ranking):
    ranked = CLIENTS[name](keyed.url, 3)
    assert_same(ranked, ranking[:3])
    assert all(text == [DOCUMENTS[index]] for index, _, *text in ranked if text)


@pytest.mark.filterwarnings("ignore:Default model:UserWarning")
@pytest.mark.parametrize("name", LOGITS)
def test_logits_are_the_models_own_scores(name, keyed, logits):
    assert_same(LOGITS[name](keyed.url, 3), logits[:3])


def test_xinference_sends_no_key(server, ranking):
    assert_same(llama_index_xinference(server.url, 3), ranking[:3])


def test_litellms_voyage_without_top_n_sends_what_cohere_does(keyed, ranking):
    assert_same(litellm("voyage/rerank-2.5")(keyed.url, None), ranking)


def test_openai_lists_the_models(keyed):
    models = client("openai").OpenAI(api_key=KEY, base_url=f"{keyed.url}/v1").models.list()
    assert [model.id for model in models] == ["tiny"]


def test_openai_retrieves_a_model(keyed):
    openai = client("openai")
    models = openai.OpenAI(api_key=KEY, base_url=f"{keyed.url}/v1").models
    assert models.retrieve("tiny").id == "tiny"
    with pytest.raises(openai.NotFoundError) as raised:
        models.retrieve("org/other")
    assert "expected one of ['tiny']" in raised.value.response.text


@pytest.mark.parametrize(
    ("key", "documents", "name"),
    [("guess", DOCUMENTS, "UnauthorizedError"), (KEY, [], "BadRequestError")],
)
@pytest.mark.parametrize("kind", ["Client", "ClientV2"])
def test_cohere_raises_its_own_error(kind, key, documents, name, keyed):
    module = client("cohere")
    with pytest.raises(getattr(module.errors, name)) as raised:
        getattr(module, kind)(key, base_url=keyed.url).rerank(
            model="rerank-v3.5", query=QUERY, documents=documents
        )
    assert "expected" in raised.value.body["message"].lower()


@pytest.mark.parametrize(
    ("key", "documents", "name"),
    [("guess", DOCUMENTS, "AuthenticationError"), (KEY, [], "InvalidRequestError")],
)
def test_voyageai_raises_its_own_error(key, documents, name, keyed):
    module = client("voyageai")
    with pytest.raises(getattr(module.error, name), match=r"(?i)expected"):
        module.Client(key, base_url=f"{keyed.url}/v1").rerank(QUERY, documents, model="rerank-2.5")


def test_haystack_gives_the_servers_message(keyed):
    module = client("haystack_integrations.components.rankers.huggingface_api")
    token = client("haystack.utils").Secret.from_token("guess")
    with pytest.raises(RuntimeError, match="API key"):
        haystack(module.HuggingFaceTEIRanker(url=keyed.url, token=token), 3)
