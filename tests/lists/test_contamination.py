import pytest

from t5rank.data import trec
from t5rank.data.folder import read_manifest
from t5rank.data.jsonl import read_jsonl


@pytest.fixture
def test_set(world):
    """A set with the id of q1, the text of q2 and, under another name, the document of q0."""
    folder = world["folder"]
    queries = {"q1": "something else", "t2": world["queries"]["q2"].upper() + "?", "t3": "new"}
    trec.write_queries(folder / "t.tsv", queries)
    trec.write_queries(folder / "t_collection.tsv", {"x": world["texts"]["d3"] + " !", "d9": "no"})
    trec.write_qrels(folder / "t_qrels.txt", {"t3": {"x": 1, "d9": 0}})
    return "t=t.tsv,t_qrels.txt,t_collection.tsv"


def relevant_in(world, doc_ids):
    return {
        q for q, judged in world["qrels"].items() for d, y in judged.items() if y and d in doc_ids
    }


def test_findings_are_counted_with_examples(build, world, test_set, capsys):
    folder = build("out", f"--negatives 3 --evaluation {test_set}")
    same = relevant_in(world, {"d3", "d7"})  # of the same words
    assert "q0" in same
    findings = read_manifest(folder)["contamination"]["t"]
    assert findings["same_query_id"] == {"lists": 1, "examples": ["q1"]}
    assert findings["same_query_text"] == {"lists": 1, "examples": ["q2"]}
    assert findings["same_relevant_document"] == {"lists": len(same), "examples": sorted(same)}
    assert "In common with 't': same query id in 1 lists (such as q1)." in capsys.readouterr().out


def test_contaminated_lists_are_left_out_on_request(build, world, test_set):
    folder = build("out", f"--negatives 3 --exclude_contaminated --evaluation {test_set}")
    assert {r.query_id for r in read_jsonl(folder)} == {
        *(world["queries"].keys() - {"q1", "q2", "q5"} - relevant_in(world, {"d3", "d7"}))
    }


def test_in_the_same_collection_ids_are_compared(build, world):
    trec.write_queries(world["folder"] / "t.tsv", {"t1": "new"})
    trec.write_qrels(world["folder"] / "t_qrels.txt", {"t1": {"d3": 1, "d9": 0}})
    folder = build("out", "--negatives 3 --evaluation t=t.tsv,t_qrels.txt")
    findings = read_manifest(folder)["contamination"]["t"]
    assert findings.keys() == {"same_relevant_document"}
    assert set(findings["same_relevant_document"]["examples"]) == relevant_in(world, {"d3", "d7"})


def test_a_set_of_another_collection_is_noticed(build, world, capsys):
    trec.write_queries(world["folder"] / "t.tsv", {"t1": "new"})
    trec.write_qrels(world["folder"] / "t_qrels.txt", {"t1": {"x9": 1}})
    build("out", "--negatives 3 --evaluation t=t.tsv,t_qrels.txt", status=1)
    assert "Document 'x9' is not in file 'collection.tsv'" in capsys.readouterr().err


def test_a_set_that_is_none_is_refused(build, capsys):
    build("out", "--evaluation queries.tsv", status=1)
    assert "expected NAME=QUERIES[,QRELS[,COLLECTION]]" in capsys.readouterr().err
