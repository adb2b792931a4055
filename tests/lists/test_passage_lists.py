from collections import Counter

import pytest

from t5rank.data.collection import Collection
from t5rank.data.ranked_list import REPAIRS, RankedList
from t5rank.lists.passages import read_passage_lists


@pytest.fixture
def files(tmp_path):
    """Two queries; the run of q2 comes first. d4 is relevant to q1 but not in its run."""
    texts = {
        "collection": "d1\tone\nd2\ttwo\nd3\tthree\nd4\tfour\n",
        "queries": "q1\tfirst\nq2\tsecond\nq3\tthird\n",
        "qrels": "q1 0 d2 3\nq1 0 d4 1\nq1 0 d1 0\nq3 0 d1 1\n",
        "run": "q2 Q0 d3 1 5.0 t\nq1 Q0 d1 1 9.0 t\nq1 Q0 d2 2 8.0 t\nq1 Q0 d3 3 7.0 t\n",
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    return {name: tmp_path / name for name in texts}


def read(files, **options):
    return list(read_passage_lists(**files, **options))


SECOND = RankedList("q2", "second", ("d3",), ("three",), (0.0,))


def test_lists_follow_the_run_with_labels_of_the_qrels(files):
    first = RankedList("q1", "first", ("d1", "d2", "d3"), ("one", "two", "three"), (0.0, 3.0, 0.0))
    assert read(files) == [SECOND, first]


def test_missing_relevant_documents_are_appended_on_request(files):
    _, first = read(files, add_missing_relevant=True)
    assert (first.doc_ids, first.labels) == (("d1", "d2", "d3", "d4"), (0.0, 3.0, 0.0, 1.0))


def test_topn_cuts_the_run_before_missing_relevant_ones_are_added(files):
    _, first = read(files, topn=1, add_missing_relevant=True)
    assert first.doc_ids == ("d1", "d2", "d4")


def test_counts(files):
    counts = Counter()
    read(files, add_missing_relevant=True, counts=counts)
    assert counts == Counter(
        lists=2,
        documents=1 + 4,
        lists_without_relevant=1,
        unjudged_documents=1 + 1,  # d3 for each query
        missing_relevant_documents=1,
        missing_relevant_added=1,
        qrels_queries_not_in_run=1,  # q3
    )


def test_without_qrels_all_labels_are_0(files):
    assert [ranked.labels for ranked in read(files | {"qrels": None})] == [(0.0,), (0.0,) * 3]


def test_lists_without_relevant_are_dropped_on_request(files):
    assert [ranked.query_id for ranked in read(files, keep_without_relevant=False)] == ["q1"]


def test_grade_below_0_is_label_0(files):
    files["qrels"].write_text("q1 0 d2 -2\n")
    assert read(files)[1].labels == (0.0, 0.0, 0.0)


def test_open_collection_can_be_used_again(files):
    with Collection(files["collection"]) as collection:
        first, second = (read(files | {"collection": collection}) for _ in range(2))
    assert first == second == read(files)


def test_lists_are_read_one_by_one(files):
    """The second query's unknown document does not keep the first list from being given."""
    files["run"].write_text("q1 Q0 d1 1 9.0 t\nq2 Q0 d9 1 9.0 t\n")
    lists = read_passage_lists(**files)
    assert next(lists).query_id == "q1"
    with pytest.raises(ValueError, match=r"Document 'd9' of file '.*run', query 'q2' is not in"):
        next(lists)


def test_query_without_text_is_an_error(files):
    files["queries"].write_text("q1\tfirst\n")
    with pytest.raises(ValueError, match=r"Query 'q2' of file '.*run' is not in file '.*queries'"):
        read(files)


def test_relevant_document_without_text_is_an_error_when_it_is_to_be_added(files):
    files["qrels"].write_text("q1 0 d9 1\n")
    assert len(read(files)) == 2
    with pytest.raises(ValueError, match="Document 'd9' of file"):
        read(files, add_missing_relevant=True)


def test_blank_document_is_kept_and_counted(files):
    files["collection"].write_text("d1\tone\nd2\ttwo\nd3\tthree\nd4\t \n")
    counts = Counter()
    _, first = read(files, add_missing_relevant=True, counts=counts)
    assert first.documents == ("one", "two", "three", " ")
    assert counts["empty_documents"] == 1


def test_every_file_is_repaired_and_counted_when_not_strict(files):
    files["collection"].write_bytes(b"d1\tone\nd2\ttw\xff\nd3\tthree\nd4\tfour\nd1\tagain\n")
    files["queries"].write_text("q1\tfirst\nq2\tsecond\nq1\tagain\n")
    files["qrels"].write_text("q1 0 d2 1\nq1 0 d2 3\n")
    files["run"].write_text("q1 Q0 d1 1 9.0 t\nq1 Q0 d2 2 8.0 t\nq1 Q0 d2 2 9.5 t\n")
    with pytest.raises(ValueError, match="strict=False"):
        read(files)
    counts = Counter()
    (first,) = read(files, strict=False, counts=counts)
    assert (first.query, first.documents) == ("first", ("tw\ufffd", "one"))
    assert first.labels == (3.0, 0.0)
    assert {name: counts[name] for name in REPAIRS if counts[name]} == {
        "duplicate_documents_merged": 2,
        "duplicate_queries_dropped": 1,
        "conflicting_judgements_merged": 1,
        "broken_utf8_lines_replaced": 1,
    }


def test_topn_below_1_is_an_error(files):
    with pytest.raises(ValueError, match="'topn' has the value 0"):
        read_passage_lists(**files, topn=0)


def test_real_lists_are_counted(shared_data):
    folder = shared_data / "msmarco_passage_dev"
    counts = Counter()
    lists = read_passage_lists(
        folder / "collection.tsv",
        folder / "queries.tsv",
        folder / "qrels.txt",
        folder / "run.bm25.txt",
        counts=counts,
    )
    assert all(len(ranked) == 20 and sum(ranked.labels) == 1.0 for ranked in lists)
    assert counts == Counter(lists=207, documents=207 * 20, unjudged_documents=207 * 19)
