"""What each dialect asks and answers; real clients are in test_clients.py."""

import json

import msgspec
import numpy as np
import pytest

from t5rank.serve.dialects import DIALECTS, EMBEDDING, Answer, Embedded, parse
from t5rank.serve.errors import Refusal


def asked(path: str = "/rerank", **body):
    return parse(path, json.dumps(body).encode())


def answered(dialect, scores=(0.1, 0.3, 0.2), path: str = "/rerank"):
    values = np.asarray(scores, np.float32)
    answer = Answer(
        model="m", scores=values - 1, probabilities=values.astype(float), tokens=7, path=path
    )
    return msgspec.json.decode(msgspec.json.encode(dialect.request.answer(answer)))


def embedded(dialect, path: str):
    answer = Embedded("m", np.ones((2, 3), np.float32), 7, path)
    return msgspec.json.decode(msgspec.json.encode(dialect.request.answer(answer)))


BODIES = {
    "tei": {"query": "q", "texts": ["a", "b", "c"], "truncate": None},
    "nim": {"query": {"text": "q"}, "passages": [{"text": t} for t in "abc"]},
    "voyage": {"query": "q", "documents": ["a", "b", "c"], "truncation": True, "top_k": None},
    "cohere": {"query": "q", "documents": ["a", {"text": "b"}, "c"], "model": "x", "top_n": None},
    "vllm": {"text_1": "q", "text_2": ["a", "b", "c"]},
    "mixedbread": {"query": "q", "input": ["a", {"text": "b"}, "c"], "top_k": None},
    "pinecone": {"query": "q", "documents": [{"text": t} for t in "abc"], "rank_fields": ["text"]},
    "weaviate": {"query": "q", "documents": ["a", "b", "c"], "property": ""},
}
IN_ORDER = ("vllm", "weaviate")


@pytest.mark.parametrize("name", BODIES)
def test_the_keys_tell_the_dialect(name):
    dialect = asked(**BODIES[name])
    assert dialect.name == name
    assert dialect.request.work().lists == [("q", ["a", "b", "c"])]


def test_every_dialect_is_tried_here():
    assert {dialect.name for dialect in DIALECTS if dialect not in EMBEDDING} == set(BODIES)


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.request.__name__)
def test_the_example_of_a_dialect_is_one(dialect):
    parsed = asked(dialect.paths[0], **dialect.example)
    assert type(parsed.request) is dialect.request
    if dialect in EMBEDDING:
        answer = embedded(parsed, path=dialect.paths[0])
    else:
        answer = answered(parsed, scores=(0.1, 0.2), path=dialect.paths[0])
    msgspec.convert(answer, dialect.answer)


@pytest.mark.parametrize("name", BODIES)
def test_null_and_unknown_keys_change_nothing(name):
    nulls = dict.fromkeys(["texts", "passages", "top_k", "text_1", "text_2", "queries", "priority"])
    assert asked(**nulls | {"unknown": [1]} | BODIES[name]).name == name


@pytest.mark.parametrize("name", BODIES)
def test_results_are_the_best_first_but_for_those_of_scores(name):
    answer = answered(asked(**BODIES[name]))
    items = {
        "tei": lambda: [(x["index"], x["score"]) for x in answer],
        "nim": lambda: [(x["index"], x["logit"] + 1) for x in answer["rankings"]],
        "voyage": lambda: [(x["index"], x["relevance_score"]) for x in answer["data"]],
        "cohere": lambda: [(x["index"], x["relevance_score"]) for x in answer["results"]],
        "vllm": lambda: [(x["index"], x["score"]) for x in answer["data"]],
        "mixedbread": lambda: [(x["index"], x["score"]) for x in answer["data"]],
        "pinecone": lambda: [(x["index"], x["score"]) for x in answer["data"]],
        "weaviate": lambda: [("abc".index(x["document"]), x["score"]) for x in answer["scores"]],
    }[name]()
    order = [0, 1, 2] if name in IN_ORDER else [1, 2, 0]
    assert [index for index, _ in items] == order
    np.testing.assert_allclose([s for _, s in items], np.asarray([0.1, 0.3, 0.2])[order], 1e-6)


@pytest.mark.parametrize(
    ("name", "top", "items"),
    [
        ("tei", "top_n", None),
        ("voyage", "top_k", "data"),
        ("cohere", "top_n", "results"),
        ("mixedbread", "top_k", "data"),
        ("pinecone", "top_n", "data"),
    ],
)
@pytest.mark.parametrize(("best", "count"), [(2, 2), ("2", 2), (2.0, 2), (0, 3), ("0", 3), (9, 3)])
def test_the_best_can_be_asked_for(name, top, items, best, count):
    answer = answered(asked(**BODIES[name] | {top: best}))
    assert len(answer if items is None else answer[items]) == count


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
        ("cohere", "return_documents", lambda answer: answer["results"][0]["document"]["text"]),
        ("pinecone", "return_documents", lambda answer: answer["data"][0]["document"]["text"]),
        ("mixedbread", "return_input", lambda answer: answer["data"][0]["input"]["text"]),
    ],
)
@pytest.mark.parametrize("yes", [True, "true", "True", 1, 1.0, "1"])
def test_texts_come_back_where_asked_for(name, option, text, yes):
    assert text(answered(asked(**BODIES[name], **{option: yes}))) == "b"


@pytest.mark.parametrize("no", [False, "false", 0, "0", None])
def test_texts_stay_away_where_they_are_not(no):
    answer = answered(asked(**BODIES["cohere"], return_documents=no))
    assert all("document" not in each for each in answer["results"] + answer["data"])


def test_texts_are_no_numbers_though_numbers_may_be_texts():
    assert asked(query="5", documents=["1", "true"], model="7").request.work().lists == [
        ("5", ["1", "true"])
    ]


def test_voyages_documents_are_texts_though_top_k_is_null():
    body = {"query": "q", "documents": ["a", "b", "c"], "top_k": None, "return_documents": True}
    answer = answered(asked(**body))
    assert [each["document"] for each in answer["data"]] == ["b", "c", "a"]
    assert [each["document"]["text"] for each in answer["results"]] == ["b", "c", "a"]


def test_pinecones_answer_is_also_coheres():
    body = BODIES["pinecone"] | {"top_n": 2, "return_documents": True}
    answer = answered(asked(**body))
    assert answer["usage"]["rerank_units"] == 1
    assert [each["document"] for each in answer["data"]] == [{"text": "b"}, {"text": "c"}]
    assert [each["relevance_score"] for each in answer["results"]] == [
        each["score"] for each in answer["data"]
    ]


def test_mixedbreads_answer_says_what_was_asked():
    answer = answered(asked(**BODIES["mixedbread"] | {"top_k": 2, "return_input": "true"}))
    assert (answer["top_k"], answer["return_input"]) == (2, True)


@pytest.mark.parametrize(("path", "is_there"), [("/rerank", True), ("/v2/rerank", False)])
def test_a_query_with_texts_alone_may_be_weaviates(path, is_there):
    answer = answered(asked(path, query="q", documents=["a", "b", "c"]), path=path)
    assert ("scores" in answer) == is_there
    assert not is_there or [each["document"] for each in answer["scores"]] == ["a", "b", "c"]
    assert "scores" not in answered(asked(query="q", documents=["a", "b", "c"], model="m"))


@pytest.mark.parametrize(
    "names",
    [("text_1", "text_2"), ("data_1", "data_2"), ("queries", "items"), ("queries", "documents")],
)
@pytest.mark.parametrize("path", ["/score", "/v1/score", "/rerank"])
def test_vllms_score_has_four_pairs_of_names(names, path):
    first, second = names
    lists = asked(path, **{first: "q", second: ["a", "b"]}).request.work().lists
    assert lists == [("q", ["a", "b"])]
    lists = asked(path, **{first: ["q", "r"], second: ["a", "b"]}).request.work().lists
    assert lists == [("q", ["a"]), ("r", ["b"])]


def test_one_text_is_a_list_of_one():
    assert asked(query="q", documents="abc").request.work().lists == [("q", ["abc"])]


@pytest.mark.parametrize("name", ["use_activation", "activation", "softmax"])
@pytest.mark.parametrize("body", ["cohere", "vllm", "pinecone"])
def test_vllms_way_to_ask_for_raw_scores(name, body):
    def best(value) -> float:
        answer = answered(asked(**BODIES[body], **{name: value}))
        if body == "vllm":
            return answer["data"][1]["score"]
        return answer["results"][0]["relevance_score"]

    assert [best(value) for value in (False, True, None)] == pytest.approx([-0.7, 0.3, 0.3])


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


@pytest.mark.parametrize("nothing", [0, None, "0"])
def test_limits_of_0_are_none(nothing):
    given = dict.fromkeys(["max_chunks_per_doc", "max_tokens_per_doc", "top_n"], nothing)
    work = asked(query="q", documents=["a"], rank_fields=[], **given).request.work()
    assert (work.max_chunks, work.max_document_tokens) == (1, None)


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
    "top_n of -1": ({"query": "q", "documents": ["a"], "top_n": -1}, r"`int` >= 0 - at `\$.top_n`"),
    "top_n of a word": ({"query": "q", "documents": ["a"], "top_n": "all"}, r"\$.top_n"),
    "return_documents of 2": ({"query": "q", "documents": ["a"], "return_documents": 2}, "bool"),
    "a number for a text": ({"query": "q", "documents": [1]}, r"\$.documents"),
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
