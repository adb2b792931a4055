"""What each dialect asks and answers; real clients are in test_clients.py."""

import json

import msgspec
import numpy as np
import pytest

from t5rank.serve.dialects import Answer, parse
from t5rank.serve.errors import Refusal


def asked(path: str = "/rerank", **body):
    return parse(path, json.dumps(body).encode())


def answered(dialect, scores=(0.1, 0.3, 0.2), path: str = "/rerank"):
    values = np.asarray(scores, np.float32)
    answer = Answer(
        model="m", scores=values - 1, probabilities=values.astype(float), tokens=7, path=path
    )
    return msgspec.json.decode(msgspec.json.encode(dialect.request.answer(answer)))


BODIES = {
    "tei": {"query": "q", "texts": ["a", "b", "c"], "truncate": None},
    "nim": {"query": {"text": "q"}, "passages": [{"text": t} for t in "abc"]},
    "voyage": {"query": "q", "documents": ["a", "b", "c"], "truncation": True, "top_k": None},
    "cohere": {"query": "q", "documents": ["a", {"text": "b"}, "c"], "model": "x", "top_n": None},
    "vllm": {"text_1": "q", "text_2": ["a", "b", "c"]},
}


@pytest.mark.parametrize("name", BODIES)
def test_the_keys_tell_the_dialect(name):
    dialect = asked(**BODIES[name])
    assert dialect.name == name
    assert dialect.request.work().lists == [("q", ["a", "b", "c"])]


@pytest.mark.parametrize("name", BODIES)
def test_null_and_unknown_keys_change_nothing(name):
    nulls = dict.fromkeys(["texts", "passages", "top_k", "text_1", "text_2", "queries", "priority"])
    assert asked(**nulls | {"unknown": [1]} | BODIES[name]).name == name


@pytest.mark.parametrize("name", BODIES)
def test_results_are_the_best_first_but_for_vllms(name):
    answer = answered(asked(**BODIES[name]))
    items = {
        "tei": lambda: [(x["index"], x["score"]) for x in answer],
        "nim": lambda: [(x["index"], x["logit"] + 1) for x in answer["rankings"]],
        "voyage": lambda: [(x["index"], x["relevance_score"]) for x in answer["data"]],
        "cohere": lambda: [(x["index"], x["relevance_score"]) for x in answer["results"]],
        "vllm": lambda: [(x["index"], x["score"]) for x in answer["data"]],
    }[name]()
    order = [0, 1, 2] if name == "vllm" else [1, 2, 0]
    assert [index for index, _ in items] == order
    np.testing.assert_allclose([s for _, s in items], np.asarray([0.1, 0.3, 0.2])[order], 1e-6)


@pytest.mark.parametrize(
    ("name", "top", "items"),
    [("tei", "top_n", None), ("voyage", "top_k", "data"), ("cohere", "top_n", "results")],
)
def test_the_best_can_be_asked_for(name, top, items):
    answer = answered(asked(**BODIES[name] | {top: 2}))
    assert len(answer if items is None else answer[items]) == 2


def test_elasticsearch_finds_no_key_that_it_does_not_know():
    (result, *_) = answered(asked(**BODIES["cohere"]))["results"]
    assert set(result) == {"index", "relevance_score"}
    (result, *_) = answered(asked(**BODIES["cohere"], return_documents=True))["results"]
    assert result == {"index": 1, "relevance_score": result["relevance_score"]} | {
        "document": {"text": "b"}
    }


@pytest.mark.parametrize(
    ("name", "option", "text"),
    [
        ("tei", "return_text", lambda answer: answer[0]["text"]),
        ("voyage", "return_documents", lambda answer: answer["data"][0]["document"]),
    ],
)
def test_texts_come_back_where_asked_for(name, option, text):
    assert text(answered(asked(**BODIES[name], **{option: True}))) == "b"


@pytest.mark.parametrize("name", ["tei", "cohere", "vllm"])
def test_raw_scores_where_asked_for(name):
    answer = answered(asked(**BODIES[name], raw_scores=True))
    best = {
        "tei": lambda: answer[0]["score"],
        "cohere": lambda: answer["results"][0]["relevance_score"],
        "vllm": lambda: answer["data"][1]["score"],
    }[name]()
    assert best == pytest.approx(-0.7)


@pytest.mark.parametrize(("path", "version"), [("/v1/rerank", "1"), ("/v2/rerank", "2")])
def test_coheres_meta_names_the_api(path, version):
    answer = answered(asked(path, **BODIES["cohere"]), path=path)
    assert answer["meta"]["api_version"] == {"version": version}
    assert answer["usage"]["total_tokens"] == answer["tokens"]["input_tokens"] == 7
    assert answer["model"] == "m"


def test_a_body_that_may_be_voyages_is_answered_in_both_names():
    answer = answered(asked(**BODIES["cohere"]))
    assert answer["data"] == answer["results"]
    assert "data" not in answered(asked(**BODIES["cohere"] | {"top_n": 2}))


@pytest.mark.parametrize(
    ("direction", "keep_end"), [("Left", True), ("left", True), ("Right", False), (None, False)]
)
def test_cutting_on_the_left_keeps_the_end(direction, keep_end):
    work = asked(**BODIES["tei"], truncation_direction=direction).request.work()
    assert work.keep_end == keep_end


def test_fields_of_documents_are_joined():
    documents = [{"title": "T", "body": "B", "id": 3}, "text"]
    dialect = asked(query="q", documents=documents, rank_fields=["title", "body"])
    assert dialect.request.work().lists == [("q", ["T B", "text"])]


def test_chunks_and_cuts_arrive():
    work = asked(
        query="q", documents=["a"], max_chunks_per_doc=3, max_tokens_per_doc=9
    ).request.work()
    assert (work.max_chunks, work.max_document_tokens) == (3, 9)


@pytest.mark.parametrize(
    ("body", "may_cut"),
    [
        (BODIES["voyage"] | {"truncation": False}, False),
        (BODIES["nim"] | {"truncate": "NONE"}, False),
        (BODIES["nim"] | {"truncate": "END"}, True),
        (BODIES["tei"] | {"truncate": False}, True),
    ],
)
def test_who_forbids_to_cut(body, may_cut):
    assert asked(**body).request.work().may_cut == may_cut


@pytest.mark.parametrize(
    "body",
    [{"text_1": ["q", "r"], "text_2": ["a", "b"]}, {"queries": ["q", "r"], "documents": "ab"}],
)
def test_as_many_queries_as_documents(body):
    if isinstance(body.get("documents"), str):
        with pytest.raises(Refusal, match="2 queries and 1 documents"):
            asked("/score", **body).request.work()
    else:
        assert asked("/score", **body).request.work().lists == [("q", ["a"]), ("r", ["b"])]


WRONG = {
    "top_n of true": ({"query": "q", "documents": ["a"], "top_n": True}, r"`bool` - at `\$.top_n`"),
    "no documents": ({"query": "q", "documents": []}, "length >= 1"),
    "a null document": ({"query": "q", "documents": ["a", None]}, r"\$.documents\[1\]"),
    "no text": ({"query": "q", "documents": [{"title": "x"}]}, r"keys \['title'\]"),
    "no query": ({"documents": ["a"]}, "query"),
    "nothing": ({}, "query"),
    "no documents for a query": ({"text_1": "a", "documents": "c"}, "text_2"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_body_is_refused_by_name(name):
    body, message = WRONG[name]
    with pytest.raises(Refusal, match=message) as refused:
        asked(**body).request.work()
    assert refused.value.status == 400


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[1]", b"1", b'{"query": "\xff"}', b'{"query": "\\ud800"}', b"[" * 100_000],
    ids=["empty", "open", "list", "number", "no UTF-8", "lone surrogate", "deep"],
)
def test_what_is_no_json_object_is_refused(body):
    with pytest.raises(Refusal) as refused:
        parse("/rerank", body)
    assert refused.value.status == 400
    assert set(refused.value.body()) == {"error", "error_type", "message", "detail"}
