import errno
import hashlib
import importlib.util
import json
import os
import sys
from pathlib import Path

import pytest

from t5rank.data import trec
from t5rank.data.folder import read_manifest
from t5rank.data.jsonl import index_jsonl, read_jsonl
from t5rank.formats import text_files
from t5rank.lists import shards
from t5rank.lists.shards import Writer

OPTIONS = "--negatives 4 --lists_per_shard 2"


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


class Interrupted(Exception):
    pass


@pytest.mark.parametrize("name", ["record", "shard", "folder"])
def test_an_interrupted_build_goes_on_to_the_same_bytes(build, world, monkeypatch, name):
    whole = files(build("whole", OPTIONS))
    place, written = os.replace, set()
    stops = 0

    def replace(source, target):
        nonlocal stops
        kind = "shard" if str(target).endswith(".gz") else "record"
        if "unfinished" not in str(target):
            kind = "folder"
        if target not in written and kind == name:
            written.add(target)
            stops += 1
            raise Interrupted
        return place(source, target)

    monkeypatch.setattr(os, "replace", replace)
    while True:
        try:
            folder = build("out", OPTIONS)
            break
        except Interrupted:
            with pytest.raises(ValueError, match=r"has no manifest.json"):
                next(read_jsonl(world["folder"] / "out"))
    assert stops >= 4
    assert files(folder) == whole


def test_what_is_written_is_not_written_again(build, monkeypatch):
    folder = build("out", OPTIONS)
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    monkeypatch.setattr(Writer, "write", None)
    build("out", OPTIONS)
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before


def test_lists_are_read_by_their_number(build):
    folder = build("out", OPTIONS)
    indexed = index_jsonl(folder)
    order = [*range(len(indexed))][::-1]
    assert [*indexed.lists(order)] == [*read_jsonl(folder)][::-1]


def test_two_processes_write_the_same_bytes(build, world):
    with (world["folder"] / "collection.tsv").open("ab") as file:
        file.write(b"d1\tagain\nd41\t\nd42\tb\xff\n")
    trec.write_qrels(world["folder"] / "qrels.txt", world["qrels"] | {"q1": {"d41": 1, "d42": 1}})
    options = f"{OPTIONS} --lenient"
    folder = build("two", f"{options} --workers 2")
    counts = read_manifest(folder)["counts"]
    names = ("duplicate_documents_merged", "broken_utf8_lines_replaced", "empty_documents")
    assert [counts[name] for name in names] == [1, 1, 1]
    assert files(folder) == files(build("one", options))


@pytest.mark.skipif(
    importlib.util.find_spec("apache_beam") is None,
    reason="needs Apache Beam, which has an environment of its own: pip install '.[beam]'",
)
def test_beam_writes_the_same_bytes(build):
    assert files(build("beam", f"{OPTIONS} --beam")) == files(build("one", OPTIONS))


def test_the_manifest_says_what_is_there(build, world):
    folder = build("out", OPTIONS)
    manifest, lists = read_manifest(folder), list(read_jsonl(folder))
    for shard in manifest["shards"]:
        data = (folder / shard["file"]).read_bytes()
        assert (shard["bytes"], shard["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())
        assert shard["lists"] == len(list(read_jsonl(folder / shard["file"])))
    assert manifest["counts"]["lists"] == len(lists)
    assert manifest["counts"]["documents"] == sum(map(len, lists))
    lengths = {int(n): count for n, count in manifest["histograms"]["list_length"].items()}
    assert lengths == {n: [len(r) for r in lists].count(n) for n in sorted(set(map(len, lists)))}
    assert [source["name"] for source in manifest["sources"]] == [
        *("collection", "queries", "qrels", "run")
    ]
    for source in manifest["sources"]:
        data = (world["folder"] / source["file"]).read_bytes()
        assert source["sha256"] == hashlib.sha256(data).hexdigest()
    assert (folder / "summary.png").read_bytes().startswith(b"\x89PNG")


def test_without_matplotlib_there_is_no_picture_until_it_is_installed(build, monkeypatch, capsys):
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "matplotlib", None)
        folder = build("out", OPTIONS)
    assert "pip install 't5rank[report]'" in capsys.readouterr().err
    assert read_manifest(folder) and not (folder / "summary.png").exists()
    assert (build("out", OPTIONS) / "summary.png").is_file()


def test_a_command_that_failed_at_once_leaves_nothing_that_blocks(build, world, capsys):
    good = (world["folder"] / "queries.tsv").read_bytes()
    (world["folder"] / "queries.tsv").write_bytes(good.replace(b"q3", b"q2"))
    build("out", "--negatives 3", status=1)
    assert "give --lenient to keep the first" in capsys.readouterr().err
    (world["folder"] / "queries.tsv").write_bytes(good)
    build("out", OPTIONS)


def test_a_command_that_failed_later_goes_on_leniently_to_the_same_bytes(build, world, capsys):
    *_, last = read_jsonl(build("strict", OPTIONS))
    broken = {doc_id: text for doc_id, text in world["texts"].items() if doc_id != last.doc_ids[0]}
    trec.write_queries(world["folder"] / "collection.tsv", broken)
    with (world["folder"] / "collection.tsv").open("ab") as file:
        file.write(last.doc_ids[0].encode() + b"\tb\xff\n")
    build("out", OPTIONS, status=1)
    done = len([*(world["folder"] / "out" / "unfinished").glob("0*.jsonl.gz")])
    assert done >= 1
    assert files(build("out", f"{OPTIONS} --lenient")) == files(build("w", f"{OPTIONS} --lenient"))
    build("out", OPTIONS, status=1)
    assert "has lists made with strict False (now True); expected" in capsys.readouterr().err


@pytest.mark.parametrize("finished", [True, False])
def test_other_options_or_files_in_the_same_folder_are_refused(build, world, capsys, finished):
    folder = build("out", OPTIONS)
    if not finished:
        manifest = read_manifest(folder)
        (folder / "unfinished").mkdir()
        made_of = {**manifest, "files": manifest["fingerprints"]}
        (folder / "unfinished/made_of.json").write_text(json.dumps(made_of))
        (folder / "unfinished/00000.json").write_text(json.dumps({"counts": {"lists": 2}}))
        (folder / "manifest.json").unlink()
    build("out", f"{OPTIONS} --seed 3", status=1)
    assert "Folder 'out' has lists made with seed 0 (now 3); expected" in capsys.readouterr().err
    trec.write_queries(world["folder"] / "queries.tsv", world["queries"] | {"q99": "more"})
    build("out", OPTIONS, status=1)
    assert "lists made with another file of 'queries'; expected" in capsys.readouterr().err


def test_a_folder_that_lost_a_shard_is_refused(build):
    folder = build("out", OPTIONS)
    next(folder.glob("lists-00001-*")).unlink()
    with pytest.raises(ValueError, match=r"lists-00001-of-.* has no bytes; expected"):
        next(read_jsonl(folder))


def test_a_full_disk_is_said_and_leaves_nothing_behind(build, world, monkeypatch, capsys):
    def fail(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shards.os, "fsync", fail)
    monkeypatch.setattr(text_files, "_write_to_disk", Path.write_text)
    folder = build("out", OPTIONS, status=1)
    message = "File 'out/unfinished/00000.jsonl.gz' cannot be written: No space left on the disk."
    assert message in capsys.readouterr().err
    assert [path.name for path in folder.rglob("*")] == ["unfinished", "made_of.json"]
