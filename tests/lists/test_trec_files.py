"""Qrels and run beside lists, and lists that stand in for qrels."""

import gzip

import ir_measures
import pytest

from t5rank import cli
from t5rank.data import trec
from t5rank.data.folder import read_manifest
from t5rank.data.jsonl import read_jsonl, write_jsonl
from t5rank.data.judgements import read_judgements
from t5rank.data.ranked_list import RankedList

MEASURES = [ir_measures.parse_measure(name) for name in ("nDCG@10", "R@10", "AP")]


def figures(qrels, run):
    found = ir_measures.calc_aggregate(MEASURES, qrels, run)
    return {str(measure): pytest.approx(value) for measure, value in found.items()}


def test_figures_are_those_of_the_source(build, world):
    folder = build("out", "--lists_per_shard 2")
    qrels, run = trec.read_qrels(folder / "qrels.txt"), trec.read_run(folder / "run.txt")
    assert list(run.items()) == [
        (query_id, {doc_id: -float(n) for n, doc_id in enumerate(scored, start=1)})
        for query_id, scored in world["runs"][0].items()
    ]
    assert qrels == trec.read_qrels(world["folder"] / "qrels.txt")
    assert figures(qrels, run) == figures(world["qrels"], world["runs"][0])


def test_queries_without_candidates_keep_their_judgements_and_other_folds_do_not(build, world):
    del world["runs"][0]["q3"]
    trec.write_run(world["folder"] / "run0.txt", world["runs"][0])
    parts = [
        trec.read_qrels(build(f"out{fold}", f"--folds 2 --fold {fold}") / "qrels.txt")
        for fold in (0, 1)
    ]
    assert parts[0] | parts[1] == world["qrels"] and not parts[0].keys() & parts[1].keys()
    counts = [read_manifest(world["folder"] / f"out{i}")["counts"] for i in (0, 1)]
    assert sum(part.get("qrels_queries_not_in_run", 0) for part in counts) == 1


def test_a_sampled_list_has_no_order(build, world):
    folder = build("out", "--negatives 4")
    run, qrels = (
        read(folder / f) for read, f in ((trec.read_run, "run.txt"), (trec.read_qrels, "qrels.txt"))
    )
    assert {score for scored in run.values() for score in scored.values()} == {0.0}
    assert qrels == {
        query_id: world["qrels"][query_id] for query_id in world["qrels"] if query_id in run
    }


def test_without_judgements_no_qrels_are_written(world, monkeypatch):
    monkeypatch.chdir(world["folder"])
    files = "--collection collection.tsv --queries queries.tsv --run run0.txt"
    assert cli.main(["lists", "out", *files.split()]) == 0
    assert not (world["folder"] / "out/qrels.txt").exists()
    with pytest.raises(ValueError, match="Lists 'out' have no judged document"):
        read_judgements("out")


def test_a_folder_that_lost_its_qrels_is_refused(build):
    folder = build("out")
    assert read_judgements(folder) == trec.read_qrels(folder / "qrels.txt")
    (folder / "qrels.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"qrels\.txt' does not exist"):
        read_judgements(folder)


def test_blank_documents_are_written_and_read(build, world):
    texts = (world["folder"] / "collection.tsv").read_text().splitlines()
    blank = ["d5\t" if line.startswith("d5\t") else line for line in texts]
    (world["folder"] / "collection.tsv").write_text("\n".join(blank))
    lists = list(read_jsonl(build("out")))
    found = sum(text == "" for ranked in lists for text in ranked.documents)
    assert found == read_manifest(world["folder"] / "out")["counts"]["empty_documents"] > 0


def own(path, *labels, query_id="q1", **more):
    ids = tuple(f"d{n}" for n in range(len(labels)))
    write_jsonl(path, [RankedList(query_id, "query", ids, ids, labels, **more)])
    return path


def test_labels_of_judged_documents_are_grades(tmp_path):
    path = own(tmp_path / "lists.any", 0.0, 2.0, 0.0, judged=(True, True, False))
    assert read_judgements(path) == {"q1": {"d0": 0, "d1": 2}}


def test_a_folder_of_files_is_read_in_the_order_of_their_names(tmp_path):
    own(tmp_path / "b.jsonl.gz", 1.0, query_id="q2")
    own(tmp_path / "a.jsonl", 3.0)
    assert list(read_judgements(tmp_path).items()) == [("q1", {"d0": 3}), ("q2", {"d0": 1})]


def test_a_fractional_label_is_no_grade(tmp_path):
    with pytest.raises(
        ValueError, match=r"'d1' of query 'q1' has the label 0\.5; expected a whole"
    ):
        read_judgements(own(tmp_path / "lists.jsonl", 1.0, 0.5))


def test_two_labels_of_one_document_are_an_error_or_the_larger(tmp_path):
    own(tmp_path / "a.jsonl", 1.0)
    own(tmp_path / "b.jsonl", 2.0)
    with pytest.raises(ValueError, match="has the labels 1 and 2 in two lists"):
        read_judgements(tmp_path)
    assert read_judgements(tmp_path, strict=False) == {"q1": {"d0": 2}}


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "no manifest.json and no file"),
        (["lists-00000-of-00002.jsonl.gz"], "has 1 of 2 shards"),
        (["unfinished/x", "a.jsonl"], "has no manifest.json; expected lists that are finished"),
    ],
)
def test_a_folder_without_whole_lists_is_an_error(tmp_path, names, message):
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    with pytest.raises(ValueError, match=message):
        next(read_jsonl(tmp_path))


def test_marks_line_ends_and_compression_change_nothing(build, world):
    expected = build("plain")
    for name in ("collection.tsv", "queries.tsv", "qrels.txt", "run0.txt"):
        path = world["folder"] / name
        data = b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n")
        path.write_bytes(gzip.compress(data) if name in ("queries.tsv", "qrels.txt") else data)
    folder = build("strange")
    assert list(read_jsonl(folder)) == list(read_jsonl(expected))
    for name in ("qrels.txt", "run.txt"):
        assert (folder / name).read_bytes() == (expected / name).read_bytes()


def test_unusual_ids_and_tabs_in_texts_are_kept(world, monkeypatch):
    monkeypatch.chdir(world["folder"])
    doc_id, query_id = "d\u00a0\u2028\u0085'\"#<1>", "q\u3000\\"
    texts = {
        "collection.tsv": f"{doc_id}\ta\tb\u2028c\n",
        "queries.tsv": f"{query_id}\twhat\n",
        "qrels.txt": f"{query_id} 0 {doc_id} 1\n",
        "run.txt": f"{query_id} Q0 {doc_id} 1 1.0 x\n",
    }
    for name, text in texts.items():
        (world["folder"] / name).write_text(text, encoding="utf-8", newline="\n")
    options = "--collection collection.tsv --queries queries.tsv --qrels qrels.txt --run run.txt"
    assert cli.main(["lists", "out", *options.split()]) == 0
    (ranked,) = read_jsonl("out")
    assert (ranked.query_id, ranked.doc_ids) == (query_id, (doc_id,))
    assert ranked.documents == ("a\tb\u2028c",)
    assert trec.read_qrels("out/qrels.txt") == {query_id: {doc_id: 1}}
    assert trec.read_run("out/run.txt") == {query_id: {doc_id: -1.0}}
