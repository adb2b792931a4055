"""`gs://` paths: TensorFlow, tensorstore and orbax ask an emulator as they would ask Google."""

import json
from pathlib import Path

import jax
import numpy as np
import pytest
from etils import epath

from t5rank import Reranker, checkpoints, cli
from t5rank.checkpoints import training
from t5rank.data.jsonl import write_jsonl
from t5rank.data.lists import RankedList
from t5rank.train.config import configured_trainer


@pytest.fixture(scope="module")
def lists(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("lists")
    for split in ("train", "validation"):
        documents = (f"a {split} of numbers", "a string of bytes")
        ranked = RankedList("q", "what is a list", ("d1", "d2"), documents, (1.0, 0.0))
        write_jsonl(folder / f"{split}.jsonl", [ranked])
    return str(folder)


RECIPE = """
from __gin__ import dynamic_registration
from t5rank.models import network
from t5rank.tasks import lists

include 't5rank/configs/models/t5_1_1_tiny.gin'
include 't5rank/configs/models/rankt5.gin'
include 't5rank/configs/losses/softmax.gin'
include 't5rank/configs/tasks/jsonl.gin'
lists.jsonl_task.name = 'remote_lists'
LIST_SIZE = 2
INPUT_LENGTH = 32
BATCH_SIZE = 1
VOCAB_SIZE = 1152
network.T5Config:
  emb_dim = 16
  num_heads = 2
  num_encoder_layers = 1
  num_decoder_layers = 1
  head_dim = 8
  mlp_dim = 16
LEARNING_RATE = 1e-2
INITIAL_CHECKPOINT_PATH = None
EVAL_PERIOD = 1
"""


@pytest.fixture(scope="module")
def train(tmp_path_factory, lists, vocabulary_file):
    recipe = tmp_path_factory.mktemp("recipe") / "recipe.gin"
    recipe.write_text(RECIPE)

    def run(model_dir: str, steps: int):
        bindings = {"MODEL_DIR": model_dir, "TRAIN_STEPS": steps, "DATA_DIR": lists}
        bindings["VOCABULARY_FILE"] = vocabulary_file
        bindings = [f"{name}={value}" for name, value in bindings.items()]
        return configured_trainer([str(recipe)], bindings).train()

    return run


@pytest.fixture(scope="module")
def local(train, tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("local")
    train(folder, 2)
    return str(folder)


@pytest.fixture(scope="module")
def remote(train, bucket) -> str:
    train(f"{bucket}/run", 1)
    assert train(f"{bucket}/run", 2).step == 2
    return f"{bucket}/run"


def losses(folder: str) -> list[float]:
    lines = (epath.Path(folder) / "metrics.jsonl").read_text().splitlines()
    return [r["loss"] for r in map(json.loads, lines) if r["part"] == "train"]


def values(location: str) -> dict[str, np.ndarray]:
    arrays = checkpoints.open_checkpoint(location).arrays
    return {name: array.read() for name, array in arrays.items()}


def copy(source: Path, destination: epath.Path) -> None:
    for file in filter(Path.is_file, source.rglob("*")):
        target = destination / file.relative_to(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.read_bytes())


def test_a_remote_run_that_resumes_is_the_local_run(local, remote):
    assert losses(remote) == losses(local)
    jax.tree.map(np.testing.assert_array_equal, values(remote), values(local))
    names = {file.name for file in epath.Path(local).iterdir()} - {".training.lock"}
    assert {file.name for file in epath.Path(remote).iterdir()} == names | {"config.1.gin"}
    for part in ("train", "validation"):
        assert [*(epath.Path(remote) / part).glob("events.*")]


def test_a_remote_model_scores_as_the_local_one(local, remote):
    documents = ["a list of numbers", "a string"]
    scores = [
        Reranker.from_pretrained(f).score("what is a list", documents) for f in (local, remote)
    ]
    np.testing.assert_array_equal(*scores)


@pytest.mark.parametrize("to", ["t5rank", "t5x", "huggingface"])
def test_every_format_is_written_and_read_remotely(to, local, bucket, tmp_path):
    there, back = f"{bucket}/{to}", str(tmp_path / "back")
    assert cli.main(["convert", local, there, "--to", to]) == 0
    assert cli.main(["convert", there, back, "--to", "t5x"]) == 0
    jax.tree.map(np.testing.assert_array_equal, values(back), values(local))


def test_half_a_checkpoint_is_none(bucket, local):
    folder = epath.Path(bucket) / "half"
    for step in (1, 2):
        copy(Path(local) / f"checkpoint_{step}", folder / f"checkpoint_{step}")
    (folder / "checkpoint_2/commit_success.txt").unlink()  # what orbax writes last
    assert checkpoints.steps(folder) == [1]


def test_what_orbax_needs_is_named_where_it_is_missing(monkeypatch):
    def without_google_cloud(*arguments, **settings):
        raise ImportError("No module named 'google.cloud'")

    monkeypatch.setattr(training.ocp, "CheckpointManager", without_google_cloud)
    with pytest.raises(ImportError, match=r"'gs://bucket/new' .* Install t5rank\[gcs\]"):
        checkpoints.Checkpointer("gs://bucket/new")
