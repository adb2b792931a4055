"""Datasets of ir_datasets, from small files placed where it keeps its own, without a network."""

import io
import json
import pickle
import socket
import sys
import tarfile
import zipfile

import pytest

from t5rank import cli
from t5rank.data.folder import read_manifest
from t5rank.data.jsonl import read_jsonl
from t5rank.lists.catalogue import CatalogueDataset

pytest.importorskip("ir_datasets")
PASSAGES = {str(n): f"passage {n}" for n in range(8)}


def table(*rows):
    return "".join("\t".join(row) + "\n" for row in rows)


@pytest.fixture
def home(tmp_path, monkeypatch):
    """ir_datasets as if newly imported, with an empty home and no network."""
    for name in [name for name in sys.modules if name.split(".")[0] == "ir_datasets"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setenv("IR_DATASETS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("IR_DATASETS_SKIP_DISK_FREE", "true")  # the real collection takes 14 GB

    def refuse(*arguments):
        raise AssertionError("used the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


def place(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


@pytest.fixture
def msmarco(home):
    files = {
        "collection.tsv": table(*PASSAGES.items()),
        "queries.dev.small.tsv": table(("q1", "one"), ("q2", "two")),
        "qrels.dev.small.tsv": table(("q1", "0", "3", "1"), ("q2", "0", "5", "1")),
    }
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text.encode()))
    folder = home / "msmarco-passage"
    place(folder / "collectionandqueries.tar.gz", archive.getvalue())
    place(folder / "dev/ms.run", table(("q2", "5"), ("q1", "1"), ("q2", "6"), ("q1", "3")))
    place(folder / "trec-dl-2019/queries.tsv", table(("19", "judged"), ("20", "not judged")))
    place(folder / "trec-dl-2019/qrels", "19 Q0 3 2\n19 Q0 4 0\n")
    place(folder / "trec-dl-2019/ms.run", table(("19", "3"), ("19", "7"), ("20", "1")))
    return home


def lists(*options):
    assert cli.main(["lists", "out", *options]) == 0
    return {
        ranked.query_id: list(zip(ranked.doc_ids, ranked.documents, ranked.labels, strict=True))
        for ranked in read_jsonl("out")
    }


def test_dev_small_has_its_own_candidates(msmarco):
    assert lists("--dataset=msmarco-passage/dev/small") == {
        "q2": [("6", "passage 6", 0.0), ("5", "passage 5", 1.0)],
        "q1": [("3", "passage 3", 1.0), ("1", "passage 1", 0.0)],
    }
    names = {source["name"] for source in read_manifest("out")["sources"]}
    assert names == {"collection", "queries", "qrels", "run"}


def test_dl19_has_its_judged_queries_and_grades(msmarco):
    found = lists("--dataset=msmarco-passage/trec-dl-2019/judged")
    assert found == {"19": [("7", "passage 7", 0.0), ("3", "passage 3", 2.0)]}
    (ranked,) = read_jsonl("out")
    assert ranked.judged == (False, True)


def test_worker_processes_get_the_id_and_read_for_themselves(msmarco):
    dataset = CatalogueDataset("msmarco-passage/trec-dl-2019/judged")
    candidates = dataset.candidates()
    expected = dataset.texts.text("3"), dataset.qrels, candidates.read("19", candidates.place("19"))
    sent = pickle.dumps((dataset, candidates))
    assert len(sent) < 500
    dataset, candidates = pickle.loads(sent)
    found = dataset.texts.text("3"), dataset.qrels, candidates.read("19", candidates.place("19"))
    assert found == expected


def test_training_lists_and_a_run_of_ones_own(msmarco, tmp_path):
    (tmp_path / "run.txt").write_text("q1 Q0 2 1 2 x\nq1 Q0 3 2 1 x\n")
    evaluation = "--evaluation=dl=msmarco-passage/trec-dl-2019/judged"
    found = lists(
        "--dataset=msmarco-passage/dev/small", "--run=run.txt", "--negatives=1", evaluation
    )
    assert found == {"q1": [("3", "passage 3", 1.0), ("2", "passage 2", 0.0)]}
    shared = read_manifest("out")["contamination"]["dl"]["same_relevant_document"]
    assert shared["examples"] == ["q1"]


@pytest.fixture
def scifact(home):
    corpus = [
        {"_id": "d1", "title": "A title", "text": "and a text.", "metadata": {}},
        {"_id": "d2", "title": "", "text": "Only a text.", "metadata": {}},
    ]
    files = {
        "corpus.jsonl": corpus,
        "queries.jsonl": [{"_id": str(n), "text": f"claim {n}", "metadata": {}} for n in (1, 2)],
    }
    (home / "beir/scifact").mkdir(parents=True)
    with zipfile.ZipFile(home / "beir/scifact/source.zip", "w") as archive:
        for name, rows in files.items():
            archive.writestr(f"scifact/{name}", "".join(json.dumps(row) + "\n" for row in rows))
        for split, query in (("train", "1"), ("test", "2")):
            qrels = table(("query-id", "corpus-id", "score"), (query, "d2", "1"))
            archive.writestr(f"scifact/qrels/{split}.tsv", qrels)
    return home


def test_beir_documents_are_title_and_text(scifact, tmp_path):
    (tmp_path / "run.txt").write_text("2 Q0 d1 1 2 x\n2 Q0 d2 2 1 x\n")
    assert lists("--dataset=beir/scifact/test", "--run=run.txt") == {
        "2": [("d1", "A title and a text.", 0.0), ("d2", "Only a text.", 1.0)]
    }


def test_set_without_candidates_needs_a_run(scifact, capsys):
    assert cli.main(["lists", "out", "--dataset=beir/scifact/test"]) == 1
    assert "has no candidates of its own; expected --run" in capsys.readouterr().err


def test_missing_files_are_named_with_their_source_size_and_checksum(home, capsys):
    import ir_datasets

    config = ir_datasets.util.DownloadConfig.contents()["msmarco-passage"]["collectionandqueries"]
    assert cli.main(["lists", "out", "--dataset=msmarco-passage/dev/small"]) == 1
    error = capsys.readouterr().err
    assert "Dataset 'msmarco-passage/dev/small' lacks 1 file; expected" in error
    for part in (config["url"], f"{config['size_hint']:,} bytes", config["expected_md5"]):
        assert part in error
    assert f" to {home / 'msmarco-passage' / 'collectionandqueries.tar.gz'}" in error


def test_small_file_that_is_not_kept_packed_is_to_be_put_unpacked(msmarco, capsys):
    queries = msmarco / "msmarco-passage/trec-dl-2019/queries.tsv"
    queries.unlink()
    assert cli.main(["lists", "out", "--dataset=msmarco-passage/trec-dl-2019/judged"]) == 1
    assert f" to {queries}, unpacked" in capsys.readouterr().err


def test_lists_go_on_once_archives_are_unpacked(msmarco):
    """What ir_datasets unpacks while lists are built does not make them those of other files."""
    first = lists("--dataset=msmarco-passage/dev/small")
    (msmarco / "msmarco-passage/collectionandqueries.tar.gz").unlink()
    assert lists("--dataset=msmarco-passage/dev/small") == first


def test_unknown_dataset_is_an_error(home, capsys):
    assert cli.main(["lists", "out", "--dataset=msmarco-passage/dev/tiny"]) == 1
    assert "Dataset 'msmarco-passage/dev/tiny' is not known" in capsys.readouterr().err
