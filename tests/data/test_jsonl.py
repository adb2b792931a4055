import json
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from t5rank.data.jsonl import read_jsonl, write_jsonl
from t5rank.data.ranked_list import RankedList

DOCUMENT = {"doc_id": "d1", "text": "one", "label": 1.0}
LINE = {"query_id": "q1", "query": "cost", "documents": [DOCUMENT]}
LIST = RankedList("q1", "cost", ("d1",), ("one",), (1.0,))


def written(folder, *lines):
    path = folder / "lists.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


TEXTS = st.text().filter(str.strip)


@st.composite
def ranked_lists(draw):
    doc_ids = draw(st.lists(TEXTS, min_size=1, max_size=4, unique=True))
    size = {"min_size": len(doc_ids), "max_size": len(doc_ids)}
    documents = draw(st.lists(TEXTS, **size))
    labels = draw(st.lists(st.floats(0, 1e300), **size))
    return RankedList(draw(TEXTS), draw(TEXTS), tuple(doc_ids), tuple(documents), tuple(labels))


@given(st.lists(ranked_lists(), max_size=3), st.sampled_from(["lists.jsonl", "lists.jsonl.gz"]))
def test_written_lists_read_back(tmp_path_factory, lists, name):
    path = tmp_path_factory.mktemp("lists") / name
    assert write_jsonl(path, lists) == len(lists)
    assert list(read_jsonl(path)) == lists


def test_line_is_written_as_documented(tmp_path):
    write_jsonl(tmp_path / "lists.jsonl", [LIST])
    assert json.loads((tmp_path / "lists.jsonl").read_text()) == LINE


def test_optional_keys_are_written_where_they_say_something(tmp_path):
    columns = (("d1", "d2"), ("a", "b"), (1.0, 0.0), (True, False), (-2.5, 1.0))
    ranked = RankedList("q1", "cost", *columns)
    write_jsonl(tmp_path / "lists.jsonl", [ranked])
    assert json.loads((tmp_path / "lists.jsonl").read_text())["documents"] == [
        {"doc_id": "d1", "text": "a", "label": 1.0, "teacher_score": -2.5},
        {"doc_id": "d2", "text": "b", "label": 0.0, "judged": False, "teacher_score": 1.0},
    ]
    assert list(read_jsonl(tmp_path / "lists.jsonl")) == [ranked]


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("judged", "no", "has 'no' under 'judged'; expected true or false"),
        ("teacher_score", "1", "has '1' under 'teacher_score'; expected a number"),
        ("teacher_score", float("nan"), "teacher_score that is not a finite number"),
        ("teacher_score", 1.0, "'d1' .* has no teacher_score, others of its list have"),
    ],
)
def test_optional_keys_are_checked(tmp_path, key, value, message):
    documents = [{"doc_id": "d2", "text": "b", "label": 0, key: value}]
    documents += [DOCUMENT] if value == 1.0 else []
    with pytest.raises(ValueError, match=message):
        list(read_jsonl(written(tmp_path, LINE | {"documents": documents})))


@pytest.mark.parametrize("label", [1, True, 1.0])
def test_label_may_be_an_integer_or_a_bool(tmp_path, label):
    line = LINE | {"documents": [DOCUMENT | {"label": label}]}
    assert list(read_jsonl(written(tmp_path, line))) == [LIST]


def without(key, table):
    return {name: value for name, value in table.items() if name != key}


@pytest.mark.parametrize("key", LINE)
def test_missing_key_of_a_list_is_an_error(tmp_path, key):
    with pytest.raises(ValueError, match=rf"list in file '.*', line 2 has no key '{key}'"):
        list(read_jsonl(written(tmp_path, LINE, without(key, LINE))))


@pytest.mark.parametrize("key", DOCUMENT)
def test_missing_key_of_a_document_is_an_error(tmp_path, key):
    line = LINE | {"documents": [DOCUMENT, without(key, DOCUMENT)]}
    with pytest.raises(ValueError, match=rf"Document 2 of .*, line 1 has no key '{key}'"):
        list(read_jsonl(written(tmp_path, line)))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (LINE | {"score": 1}, r"line 1 has the key 'score'; expected only query_id"),
        (LINE | {"documents": [DOCUMENT | {"id": 1}]}, r"Document 1 of .* has the key 'id'"),
        (LINE | {"query_id": 7}, r"line 1 has 7 under 'query_id'; expected a string"),
        (LINE | {"query": None}, r"has None under 'query'; expected a string"),
        (LINE | {"documents": {}}, r"has \{\} under 'documents'; expected a list"),
        (LINE | {"documents": ["one"]}, r"Document 1 of .* has type str; expected an object"),
        (LINE | {"documents": [DOCUMENT | {"label": "1"}]}, r"'1' under 'label'; expected a num"),
        (LINE | {"documents": [DOCUMENT | {"label": float("nan")}]}, r"expected a finite number"),
        (LINE | {"documents": []}, r"line 1 has no document"),
        ([LINE], r"line 1 has type list; expected an object"),
    ],
)
def test_malformed_line_is_an_error(tmp_path, line, message):
    with pytest.raises(ValueError, match=message):
        list(read_jsonl(written(tmp_path, line)))


def test_malformed_json_is_an_error_that_names_the_line(tmp_path):
    path = written(tmp_path, LINE)
    path.write_text(path.read_text() + '{"query_id"')
    with pytest.raises(ValueError, match=r"JSON in file '.*lists\.jsonl', line 2 is malformed"):
        list(read_jsonl(path))


def test_missing_label_is_0_on_request(tmp_path):
    line = LINE | {"documents": [without("label", DOCUMENT)]}
    (ranked,) = read_jsonl(written(tmp_path, line), labelled=False)
    assert ranked.labels == (0.0,)


def test_given_label_is_read_when_labels_may_be_missing(tmp_path):
    assert list(read_jsonl(written(tmp_path, LINE), labelled=False)) == [LIST]


def test_broken_utf8_is_an_error_that_names_the_line_when_strict(tmp_path):
    path = written(tmp_path, LINE)
    path.write_bytes(path.read_bytes().replace(b"cost", b"c\xffst"))
    with pytest.raises(ValueError, match=r"lists\.jsonl', line 1 has broken UTF-8"):
        list(read_jsonl(path))


def test_broken_utf8_is_replaced_and_counted_when_not_strict(tmp_path):
    path = written(tmp_path, LINE, LINE)
    path.write_bytes(path.read_bytes().replace(b"cost", b"c\xffst", 1))
    counts = Counter()
    lists = list(read_jsonl(path, strict=False, counts=counts))
    assert [ranked.query for ranked in lists] == ["c\ufffdst", "cost"]
    assert counts["broken_utf8_lines_replaced"] == 1


def test_lists_without_relevant_are_dropped_on_request(tmp_path):
    path = written(tmp_path, LINE, LINE | {"documents": [DOCUMENT | {"label": 0}]})
    assert list(read_jsonl(path, keep_without_relevant=False)) == [LIST]


def test_label_that_json_cannot_hold_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="JSON compliant"):
        write_jsonl(tmp_path / "x", [RankedList("q", "q", ("d",), ("t",), (float("nan"),))])
