"""Formats of the field, as their own documentation shows them."""

import gzip
import json
from collections import Counter

import pytest

from t5rank.data.any_lists import formats_of, index_lists, read_lists
from t5rank.data.errors import DataError
from t5rank.data.jsonl import json_line
from t5rank.data.pairs import text_id
from t5rank.data.ranked_list import RankedList

TEXTS = {"5238393": "a relevant passage", "12": "another", "13": "a third"}
# Each: the lines of a file, and of its last list the query's id, the query, documents as
# (id or None, text, label), and the teacher's scores.
CASES = {
    # https://github.com/FlagOpen/FlagEmbedding/tree/master/examples/finetune/reranker
    "bge": (
        ['{"query": "q", "pos": ["yes"], "neg": ["no", "nor"], "prompt": "is it relevant?"}'],
        ("1", "q", [(None, "yes", 1.0), (None, "no", 0.0), (None, "nor", 0.0)], None),
    ),
    "bge with scores": (
        [
            '{"query": "q", "pos": ["a", "b"], "neg": ["c"], '
            '"pos_scores": [2, 1.5], "neg_scores": [-3]}'
        ],
        ("1", "q", [(None, "a", 1.0), (None, "b", 1.0), (None, "c", 0.0)], (2.0, 1.5, -3.0)),
    ),
    # https://huggingface.co/datasets/Tevatron/msmarco-passage; a title stands before the text
    "tevatron": (
        [
            '{"query_id": "7", "query": "q", "positive_passages": [{"docid": "5", "title": "T", '
            '"text": "x"}], "negative_passages": [{"docid": "6", "title": "", "text": "y"}]}'
        ],
        ("7", "q", [("5", "T x", 1.0), ("6", "y", 0.0)], None),
    ),
    # https://github.com/sunnweiwei/RankGPT, marco-train-10k.jsonl
    "rankgpt": (
        [
            '{"query": "q", "positive_passages": [{"docid": "5", "text": "x"}], '
            '"retrieved_passages": [{"docid": "6", "text": "y"}, {"docid": "5", "text": "x"}]}'
        ],
        ("1", "q", [("5", "x", 1.0), ("6", "y", 0.0)], None),
    ),
    # https://github.com/castorini/rank_llm
    "rank_llm": (
        [
            '{"query": {"text": "q", "qid": 3}, "candidates": [{"docid": "5", "score": 2.5, '
            '"doc": {"contents": "x"}}, {"docid": "6", "score": 1, "doc": '
            '{"title": "T", "segment": "y"}}]}'
        ],
        ("3", "q", [("5", "x", 0.0), ("6", "T y", 0.0)], (2.5, 1.0)),
    ),
    # https://huggingface.co/datasets/sentence-transformers/embedding-training-data
    "pairs of sentence-transformers": (
        ['["first", "text"]', '["a", "b"]'],
        ("2", "a", [(None, "b", 1.0)], None),
    ),
    "triplets of sentence-transformers": (
        ['["anchor", "positive", "negative"]'],
        ("1", "anchor", [(None, "positive", 1.0), (None, "negative", 0.0)], None),
    ),
    "texts": (['{"texts": ["a", "b"]}'], ("1", "a", [(None, "b", 1.0)], None)),
    "set": (
        ['{"set": ["a", "b", "c"]}'],
        ("1", "a", [(None, "b", 1.0), (None, "c", 1.0)], None),
    ),
    "query and pos": (['{"query": "q", "pos": ["a"]}'], ("1", "q", [(None, "a", 1.0)], None)),
    "pairs": (
        [
            '{"query": "q", "positive": "a"}',
            "",
            '{"query": "r", "positive": ["a"], "negatives": ["b"]}',
        ],
        ("3", "r", [(None, "a", 1.0), (None, "b", 0.0)], None),
    ),
    "anchor": (
        ['{"anchor": "q", "positive": "a", "negative": "b"}'],
        ("1", "q", [(None, "a", 1.0), (None, "b", 0.0)], None),
    ),
    # https://huggingface.co/datasets/sentence-transformers/msmarco-hard-negatives
    "hard negatives": (
        ['{"qid": 867436, "pos": [5238393], "neg": {"bm25": [12, 13], "tas-b": [13, 5238393]}}'],
        (
            *("867436", "a query"),
            [("5238393", TEXTS["5238393"], 1.0), ("12", "another", 0.0), ("13", "a third", 0.0)],
            None,
        ),
    ),
    "hard negatives with scores": (
        [
            '{"qid": 867436, "pos": [{"pid": 5238393, "ce-score": 9.5}], '
            '"neg": {"bm25": [{"pid": 12, "ce-score": -2.0}]}}'
        ],
        (
            *("867436", "a query"),
            [("5238393", TEXTS["5238393"], 1.0), ("12", "another", 0.0)],
            (9.5, -2.0),
        ),
    ),
    # https://microsoft.github.io/msmarco/Datasets
    "triples": (
        ["q\ta\tb", "[an] answer\tyes\tno"],
        ("2", "[an] answer", [(None, "yes", 1.0), (None, "no", 0.0)], None),
    ),
    "a query in brackets first": (
        ["[deleted] why\tyes\tno"],
        ("1", "[deleted] why", [(None, "yes", 1.0), (None, "no", 0.0)], None),
    ),
    "triples of ids": (
        ["867436\t5238393\t12"],
        ("867436", "a query", [("5238393", TEXTS["5238393"], 1.0), ("12", "another", 0.0)], None),
    ),
    # https://github.com/stanford-futuredata/ColBERT
    "triples of ids in JSON": (
        ["[867436, 5238393, 13]"],
        ("867436", "a query", [("5238393", TEXTS["5238393"], 1.0), ("13", "a third", 0.0)], None),
    ),
}


@pytest.fixture
def texts(tmp_path):
    (tmp_path / "collection.tsv").write_text("".join(f"{i}\t{t}\n" for i, t in TEXTS.items()))
    (tmp_path / "queries.tsv").write_text("867436\ta query\n")
    return {"collection": tmp_path / "collection.tsv", "queries": tmp_path / "queries.tsv"}


def written(folder, *lines, name="lists"):
    (folder / name).write_text("\n".join(lines))
    return folder / name


@pytest.mark.parametrize(("lines", "expected"), CASES.values(), ids=CASES)
def test_a_format(lines, expected, texts, tmp_path):
    query_id, query, documents, scores = expected
    *_, found = read_lists(written(tmp_path, *lines), **texts)
    assert (found.query_id, found.query, found.teacher_scores) == (query_id, query, scores)
    ids = [text_id(text) if doc_id is None else doc_id for doc_id, text, _ in documents]
    assert found.doc_ids == tuple(ids)
    assert [*zip(found.documents, found.labels, strict=True)] == [one[1:] for one in documents]


@pytest.mark.parametrize("lines", [lines for lines, _ in CASES.values()], ids=CASES)
def test_by_number_is_as_in_order(lines, texts, tmp_path):
    file = written(tmp_path, *lines)
    whole = [*read_lists(file, **texts)]
    indexed = index_lists(file, **texts)
    assert [*indexed.lists(reversed(range(len(indexed))))] == whole[::-1]


TABLES = {
    "csv": 'id,query,positive,negative\n1,"what, now","two\nlines",no\n\n2,r,s,t\n',
    "tsv": 'query\tpositive\tnegative\nwhat, now\t"two\nlines"\tno\n\nr\ts\tt\n',
}


@pytest.mark.parametrize("text", TABLES.values(), ids=TABLES)
def test_a_table_with_names(text, tmp_path):
    (tmp_path / "x").write_text(text)
    found = [(one.query_id, one.query, one.documents) for one in read_lists(tmp_path / "x")]
    assert found == [("2", "what, now", ("two\nlines", "no")), ("5", "r", ("s", "t"))]
    assert index_lists(tmp_path / "x") is None


def test_a_parquet_file(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    rows = {"anchor": ["q", "r"], "positive": ["a", "b"], "negative": [["c", "d"], None]}
    parquet.write_table(pyarrow.table(rows), tmp_path / "train-00000.parquet")
    found = [(one.query_id, one.query, one.documents) for one in read_lists(tmp_path)]
    assert found == [("0-1", "q", ("a", "c", "d")), ("0-2", "r", ("b",))]


def test_rankings_are_not_judged(tmp_path):
    (found,) = read_lists(written(tmp_path, *CASES["rank_llm"][0]))
    assert found.judged == (False, False)


def test_lists_of_our_own_are_read_too(tmp_path):
    ranked = RankedList("q1", "cost", ("d1", "d2"), ("a", "b"), (2.0, 0.0))
    assert [*read_lists(written(tmp_path, json_line(ranked)))] == [ranked]


def test_files_of_a_folder_may_differ(tmp_path):
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(b'["a", "b"]\n["c", "d"]'))
    written(tmp_path, '{"query": "e", "positive": "f"}', name="b.jsonl")
    found = [*read_lists(tmp_path)]
    assert [(one.query_id, one.query) for one in found] == [
        ("0-1", "a"),
        ("0-2", "c"),
        ("1-1", "e"),
    ]
    assert formats_of(tmp_path) == ["pairs", "texts of sentence-transformers"]


def test_the_format_is_said_with_the_keys_that_are_not_read(tmp_path, caplog):
    with caplog.at_level("INFO", logger="t5rank"):
        [*read_lists(written(tmp_path, CASES["bge"][0][0]))]
    assert "lists of FlagEmbedding (BGE)" in caplog.text
    assert "Keys that are not read: prompt." in caplog.text


ERRORS = {
    "an unknown object": (['{"text": "a"}'], "no list in a known format; expected one of these"),
    "a collection": (["12\tanother"], r"line 1 has b'12.tanother', which is no list"),
    "a run": (["q1 Q0 d1 1 2.0 x"], "no list in a known format"),
    "malformed JSON": (['["a", "b"]', '["a",'], "JSON in file .*, line 2 is malformed"),
    "another format": (
        ['["a", "b"]', '{"query": "q", "pos": ["a"]}'],
        "line 2 has no key 'texts'; expected texts, as in the file's first line",
    ),
    "no text": (['{"query": "q", "pos": 3}'], "Key 'pos' in .* has 3; expected a text or a list"),
    "a query that is a number": (['{"query": 3, "pos": ["a"]}'], "A query in .* has the value 3"),
    "no documents": (['{"query": "q", "pos": []}'], "Query '1' in .* has no document"),
    "scores of a part": (
        ['{"query": "q", "pos": ["a"], "neg": ["b"], "pos_scores": [1]}'],
        "has no score, others of its list have",
    ),
    "too few scores": (
        ['{"query": "q", "pos": ["a", "b"], "pos_scores": [1]}'],
        r"Key 'pos_scores' in .* has \[1\]; expected a list of 2 scores",
    ),
    "a score that is no number": (
        ['{"query": "q", "pos": ["a"], "pos_scores": [NaN]}'],
        "Key 'pos_scores' in .* has nan; expected a finite number",
    ),
    "two columns": (["q\ta\tb", "q\ta"], "line 2 has 2 columns; expected 3"),
    "a short row": (["query,positive", "q"], "line 2 has 1 columns; expected 2: query, positive"),
    "an unknown id": (["867436\t5238393\t99"], "Document '99' in .*, line 1 is not in file"),
    "an unknown query": (["1\t5238393\t12"], "Query '1' in .*, line 1 is not in file"),
}


@pytest.mark.parametrize(("lines", "message"), ERRORS.values(), ids=ERRORS)
def test_what_is_refused(lines, message, texts, tmp_path):
    with pytest.raises(ValueError, match=message):
        [*read_lists(written(tmp_path, *lines), **texts)]


def test_ids_need_the_files_of_texts(tmp_path):
    with pytest.raises(ValueError, match="have no texts; expected the files of texts too"):
        [*read_lists(written(tmp_path, "1\t2\t3"))]


def test_a_text_twice_is_refused_or_merged(tmp_path):
    file = written(tmp_path, json.dumps({"query": "q", "pos": ["a"], "neg": ["a", "b"]}))
    with pytest.raises(DataError, match="has the text 'a' twice"):
        [*read_lists(file)]
    counts = Counter()
    (found,) = read_lists(file, strict=False, counts=counts)
    assert (found.documents, found.labels) == (("a", "b"), (1.0, 0.0))
    assert counts["duplicate_documents_merged"] == 1
