"""A folder of vectors: written shard by shard, gone on with, and never mixed."""

import json

import numpy as np
import pytest

from t5rank.data.documents import Documents
from t5rank.search.encoding import Share, encode
from t5rank.search.vectors import VectorFolder

COUNT = 10


@pytest.fixture
def documents(tmp_path):
    path = tmp_path / "collection.tsv"
    path.write_text("".join(f"d{i}\tword{i} text\n" for i in range(COUNT)))
    return Documents([path])


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "vectors"


def encoded(embedder, documents, folder, **options):
    return encode(embedder, documents, folder, "document", vectors_per_shard=4, **options)


def test_shards_are_files_of_numpy_and_lines(embedder, documents, folder):
    encoded(embedder, documents, folder)
    files = sorted(folder.glob("vectors-*-of-00003.npy"))
    expected = embedder.encode_documents([document.text for document in documents.read()])
    np.testing.assert_array_equal(np.concatenate([np.load(file) for file in files]), expected)
    ids = [file.read_text().split() for file in sorted(folder.glob("ids-*.txt"))]
    assert ids == [["d0", "d1", "d2"], ["d3", "d4", "d5"], ["d6", "d7", "d8", "d9"]]
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest.items() >= {"count": 10, "dim": 16, "similarity": "cosine"}.items()
    assert manifest["prompt"] == "Document: " and manifest["length"] == 64


def test_blocks_go_over_the_edges_of_shards(embedder, documents, folder):
    encoded(embedder, documents, folder)
    opened = VectorFolder.open(folder)
    whole = opened.matrix()
    for rows in (1, 4, 7, 50):
        blocks = [(vectors.copy(), ids) for vectors, ids in opened.blocks(rows)]
        assert {len(ids) for _, ids in blocks[:-1]} <= {rows}
        np.testing.assert_array_equal(np.concatenate([vectors for vectors, _ in blocks]), whole)
        assert np.concatenate([ids for _, ids in blocks]).tolist() == opened.all_ids.tolist()
    np.testing.assert_array_equal(opened.rows(np.array([0, 2, 3, 9])), whole[[0, 2, 3, 9]])


def test_an_interrupted_encoding_keeps_whole_shards_and_goes_on(
    embedder, documents, folder, monkeypatch
):
    real = embedder.encode_documents

    def interrupted(texts, progress):
        if len(embedder.encoded) == 2:
            raise KeyboardInterrupt
        return real(texts, progress)

    monkeypatch.setattr(embedder, "encode_documents", interrupted)
    with pytest.raises(KeyboardInterrupt):
        encoded(embedder, documents, folder)
    with pytest.raises(ValueError, match="lacks 1 of 3 shards, 'vectors-00002"):
        VectorFolder.open(folder)
    monkeypatch.undo()
    done = encoded(embedder, documents, folder)
    assert (done.kept, done.written) == (6, 4) and embedder.encoded == [3, 3, 4]


def test_an_interruption_while_a_file_is_written_leaves_nothing_half_done(
    embedder, documents, folder, monkeypatch
):
    def interrupted(descriptor):
        raise KeyboardInterrupt

    encoded(embedder, documents, folder, share=Share(0, 2))
    before = {*folder.iterdir()}
    monkeypatch.setattr("os.fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        encoded(embedder, documents, folder)
    assert {*folder.iterdir()} == before


def test_a_damaged_shard_is_encoded_anew(embedder, documents, folder):
    encoded(embedder, documents, folder)
    file = folder / "vectors-00001-of-00003.npy"
    data = file.read_bytes()
    file.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    done = encoded(embedder, documents, folder)
    assert (done.kept, done.written) == (7, 3) and file.read_bytes() == data


def test_hosts_write_their_shares_of_one_folder(embedder, documents, folder, tmp_path):
    first = encoded(embedder, documents, folder, share=Share(0, 2))
    assert (first.written, first.missing) == (3, 2)
    assert encoded(embedder, documents, folder, share=Share(1, 2)).missing == 0
    encoded(embedder, documents, tmp_path / "alone")
    alone, together = VectorFolder.open(tmp_path / "alone"), VectorFolder.open(folder)
    assert alone.checksum == together.checksum


def test_float16_takes_half_the_space_and_is_read_as_float32(embedder, documents, folder):
    encoded(embedder, documents, folder, dtype="float16")
    assert np.load(folder / "vectors-00000-of-00003.npy").dtype == np.float16
    expected = embedder.encode_documents([document.text for document in documents.read()])
    matrix = VectorFolder.open(folder).matrix()
    assert matrix.dtype == np.float32
    np.testing.assert_array_equal(matrix, expected.astype(np.float16))


def other_collection(embedder, documents, tmp_path):
    (tmp_path / "other.tsv").write_text("d0\tanother\n")
    return {"documents": Documents([tmp_path / "other.tsv"])}


def other_model(embedder, documents, tmp_path):
    (tmp_path / "model/config.json").write_text("{}")
    return {}


def other_prompt(embedder, documents, tmp_path):
    embedder.document_prompt = "title: "
    return {}


def other_dtype(embedder, documents, tmp_path):
    return {"dtype": "float16"}


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (other_collection, "source"),
        (other_model, "model"),
        (other_prompt, "prompt"),
        (other_dtype, "dtype"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_vectors_of_something_else_are_refused_by_name(
    embedder, documents, folder, tmp_path, change, name
):
    encoded(embedder, documents, folder)
    options = {"documents": documents, **change(embedder, documents, tmp_path)}
    with pytest.raises(ValueError, match=rf"has vectors of the {name} .*; expected .*another"):
        encoded(embedder, options.pop("documents"), folder, **options)


def test_vectors_that_float16_does_not_hold_are_refused(embedder, documents, folder, monkeypatch):
    monkeypatch.setattr(
        embedder, "encode_documents", lambda texts, _: np.full((len(texts), 16), 1e5)
    )
    with pytest.raises(ValueError, match="not finite in float16; expected finite"):
        encoded(embedder, documents, folder, dtype="float16")
    assert [*folder.glob("*.npy")] == []
