"""Folders as Hugging Face's cache has them: links in snapshots/REVISION to files in blobs."""

import hashlib
import os
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest

from t5rank import Reranker, checkpoints, model_folder
from t5rank.model_folder.convert import convert
from t5rank.models import network, ranking, rankt5
from t5rank.text.prompts import MONOT5, PairEncoder, Prompt
from t5rank.text.vocabulary import Vocabulary
from t5rank.train import optimizers

DOCUMENTS = ["a list of numbers", "the string is returned", ""]
CONFIG = network.T5Config(
    vocab_size=1152,
    emb_dim=16,
    num_heads=2,
    num_encoder_layers=1,
    num_decoder_layers=1,
    head_dim=8,
    mlp_dim=32,
)


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


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory, vocabulary_file) -> Path:
    folder = tmp_path_factory.mktemp("model")
    model = ranking.RankingModel(network.Transformer(CONFIG), rankt5.RankT5Head(40))
    shapes = {"encoder_input_tokens": (1, 1, 8)}
    params = model.get_initial_variables(jax.random.key(0), shapes)["params"].unfreeze()
    encoder = PairEncoder(Vocabulary(vocabulary_file), Prompt(MONOT5), 64)
    model_folder.save_config(folder, model, encoder)
    with checkpoints.Checkpointer(folder) as saver:
        saver.save(1, optimizers.adamw().create(params))
    return folder


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
