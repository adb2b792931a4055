import logging
import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from t5rank.data.ranked_list import RankedList, checked_list, filter_lists, summary

PLACE = "file 'x', line 12"


def check(items, *, query="a query", query_id="q1", strict=True, counts=None, unique="doc_id"):
    counts = Counter() if counts is None else counts
    return checked_list(
        query_id, query, items, place=PLACE, strict=strict, counts=counts, unique=unique
    )


def ranked(*labels):
    names = tuple(f"d{n}" for n in range(len(labels)))
    return RankedList("q1", "a query", names, names, labels)


def test_valid_list_is_given_as_it_is():
    assert check([("d1", "one", 0), ("d2", "two", True)]) == RankedList(
        "q1", "a query", ("d1", "d2"), ("one", "two"), (0.0, 1.0)
    )


@pytest.mark.parametrize(("labels", "expected"), [((0.0, 0.5), True), ((0.0, 0.0), False)])
def test_has_relevant_is_any_label_above_0(labels, expected):
    assert ranked(*labels).has_relevant is expected


def test_fields_of_different_length_are_an_error():
    with pytest.raises(ValueError, match=r"List 'q1' has \(2, 1, 1\)"):
        RankedList("q1", "a query", ("d1", "d2"), ("one",), (0.0,))


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("query", ["", " \t\u00a0"])
def test_blank_query_is_always_an_error(query, strict):
    with pytest.raises(ValueError, match=r"Query 'q1' in file 'x', line 12 has no text"):
        check([("d1", "one", 1)], query=query, strict=strict)


@pytest.mark.parametrize("strict", [True, False])
def test_list_without_documents_is_always_an_error(strict):
    with pytest.raises(ValueError, match=r"file 'x', line 12 has no document"):
        check([], strict=strict)


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize(
    "label", [math.nan, math.inf, -1, -0.5, "1", None, 10**400, 1j, np.float32("nan")]
)
def test_label_that_is_no_finite_number_from_0_is_always_an_error(label, strict):
    with pytest.raises(ValueError, match=r"'d1' in file 'x', line 12 .*; expected a finite number"):
        check([("d1", "one", label)], strict=strict)


@pytest.mark.parametrize("label", [True, 1, 1.0, np.float32(1), np.int64(1)])
def test_numbers_and_bools_are_labels(label):
    (value,) = check([("d1", "one", label)]).labels
    assert type(value) is float and value == 1.0


@pytest.mark.parametrize(
    ("query_id", "query", "item"),
    [(1, "q", ("d", "t", 1)), ("q", None, ("d", "t", 1)), ("q", "q", (1, "t", 1)),
     ("q", "q", ("d", None, 1))],
)  # fmt: skip
def test_text_that_is_no_string_is_an_error(query_id, query, item):
    with pytest.raises(ValueError, match=r"in file 'x', line 12 has the value .*expected a string"):
        check([item], query_id=query_id, query=query, strict=False)


def test_blank_doc_id_is_an_error():
    with pytest.raises(ValueError, match="blank doc_id"):
        check([(" ", "one", 1)], strict=False)


def test_duplicate_doc_id_is_an_error_when_strict():
    with pytest.raises(ValueError, match=r"line 12 has the doc_id 'd1' twice"):
        check([("d1", "one", 1), ("d2", "two", 0), ("d1", "three", 0)])


def test_of_duplicates_the_first_is_kept_with_the_largest_label():
    counts = Counter()
    items = [("d1", "one", 0), ("d2", "two", 0), ("d1", "three", 2), ("d1", "four", 1)]
    assert check(items, strict=False, counts=counts) == RankedList(
        "q1", "a query", ("d1", "d2"), ("one", "two"), (2.0, 0.0)
    )
    assert counts["duplicate_documents_merged"] == 2


def test_same_text_under_two_ids_is_no_duplicate():
    assert len(check([("d1", "one", 1), ("d2", "one", 0)])) == 2


def test_same_text_is_the_duplicate_in_formats_without_ids():
    items = [("q1-0", "one", 0), ("q1-1", "two", 0), ("q1-2", "one", 1)]
    merged = check(items, strict=False, unique="text")
    assert (merged.doc_ids, merged.labels) == (("q1-0", "q1-1"), (1.0, 0.0))
    with pytest.raises(ValueError, match="has the text 'one' twice"):
        check(items, unique="text")


@pytest.mark.parametrize("strict", [True, False])
def test_blank_documents_are_kept_and_counted(strict):
    counts = Counter()
    items = [("d1", "one", 1), ("d2", "  ", 0), ("d3", "", 2)]
    assert check(items, strict=strict, counts=counts).documents == ("one", "  ", "")
    assert counts == Counter(empty_documents=2)


@pytest.mark.parametrize("broken", ["a\ud800", b"a\xff".decode("utf-8", "surrogateescape")])
def test_broken_text_is_an_error_when_strict(broken):
    with pytest.raises(ValueError, match=r"File 'x', line 12 has broken UTF-8"):
        check([("d1", broken, 1)])


def test_broken_text_is_replaced_everywhere_and_counted_once_a_list():
    counts = Counter()
    repaired = check(
        [("d\udcff", "t\ud800", 1)],
        query="q\udfff",
        strict=False,
        counts=counts,
        query_id="i\ud8ff",
    )
    assert repaired == RankedList("i\ufffd", "q\ufffd", ("d\ufffd",), ("t\ufffd",), (1.0,))
    assert counts["broken_utf8_lines_replaced"] == 1


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.text(max_size=3), st.floats(0, 4)), max_size=8)
)
def test_repair_keeps_what_is_right(items):
    """What a repaired list holds passes the strict check unchanged, and no label is lost."""
    if not items:
        return
    counts = Counter()
    repaired = check(items, strict=False, counts=counts)
    again = zip(repaired.doc_ids, repaired.documents, repaired.labels, strict=True)
    assert check(again) == repaired
    assert set(repaired.doc_ids) == {doc_id for doc_id, _, _ in items}
    assert max(repaired.labels) == max(label for _, _, label in items)
    assert len(repaired) + counts["duplicate_documents_merged"] == len(items)


LISTS = [ranked(0.0, 1.0), ranked(0.0, 0.0, 0.0)]


def test_lists_without_relevant_are_kept_and_counted():
    counts = Counter()
    assert list(filter_lists(LISTS, source="x", counts=counts)) == LISTS
    assert counts == Counter(lists=2, documents=2 + 3, lists_without_relevant=1)


def test_lists_without_relevant_are_dropped_and_counted():
    counts = Counter()
    kept = filter_lists(LISTS, source="x", keep_without_relevant=False, counts=counts)
    assert list(kept) == LISTS[:1]
    assert counts == Counter(lists=1, documents=2, lists_without_relevant_dropped=1)


def test_counts_are_logged_at_the_end(caplog):
    with caplog.at_level(logging.INFO, logger="t5rank"):
        list(filter_lists(LISTS, source="dev.jsonl"))
    assert caplog.messages == ["dev.jsonl: 2 lists, 5 documents, 1 lists without relevant"]


def test_summary_of_nothing_says_so():
    assert summary(Counter()) == "0 lists, 0 documents"
