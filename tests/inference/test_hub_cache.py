"""Folders as Hugging Face's cache has them: links in snapshots/REVISION to files in blobs."""

import hashlib
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from t5rank import Reranker
from t5rank.model_folder.convert import convert

DOCUMENTS = ["a list of numbers", "the string is returned", ""]


def as_in_the_cache(folder: Path, cache: Path) -> Path:
    """A snapshot whose files are links to blobs named by their content."""
    snapshot = cache / "models--org--name" / "snapshots" / "0123abcd"
    blobs = snapshot.parents[1] / "blobs"
    blobs.mkdir(parents=True)
    for file in (file for file in folder.rglob("*") if file.is_file()):
        blob = blobs / hashlib.sha256(file.read_bytes()).hexdigest()
        shutil.copy(file, blob)
        link = snapshot / file.relative_to(folder)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(os.path.relpath(blob, link.parent))
    return snapshot


def same(model_dir: Path, folder: Path) -> None:
    shutil.copytree(model_dir, folder)


def exported(model_dir: Path, folder: Path) -> None:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from t5rank.onnx.export import export

    export(model_dir, folder)


@pytest.mark.parametrize("write", [same, exported])
def test_a_snapshot_scores_as_its_folder(model_dir, tmp_path, write):
    write(model_dir, tmp_path / "folder")
    snapshot = as_in_the_cache(tmp_path / "folder", tmp_path / "cache")
    found, expected = (
        Reranker.from_pretrained(folder).score("list", DOCUMENTS)
        for folder in (snapshot, tmp_path / "folder")
    )
    assert np.ptp(expected) > 1e-4
    np.testing.assert_array_equal(found, expected)


def test_a_snapshot_of_hugging_face_is_converted(model_dir, tmp_path):
    convert(model_dir, tmp_path / "hf", "huggingface")
    snapshot = as_in_the_cache(tmp_path / "hf", tmp_path / "cache")
    convert(snapshot, tmp_path / "back", "t5rank")
    found, expected = (
        Reranker.from_pretrained(folder).score("list", DOCUMENTS)
        for folder in (tmp_path / "back", model_dir)
    )
    assert np.ptp(expected) > 1e-4
    np.testing.assert_array_equal(found, expected)
