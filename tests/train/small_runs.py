"""A task and a model so small that a training run takes seconds."""

import functools
import json
from pathlib import Path

import jax
import numpy as np

from t5rank import model_folder
from t5rank.data.jsonl import write_jsonl
from t5rank.data.ranked_list import RankedList
from t5rank.models import network, ranking, rankt5
from t5rank.tasks import jsonl
from t5rank.text.vocabulary import Vocabulary
from t5rank.train import layouts, optimizers, schedules
from t5rank.train.loop import Trainer

WORDS = (
    *("list", "object", "string", "number", "value", "type", "class", "method", "module", "file"),
    *("call", "return", "true", "false", "raise", "error", "index", "key", "bytes", "name"),
)


def ranked_list(number: int, split: str, size: int = 5) -> RankedList:
    """The relevant document holds the query's words."""
    rng = np.random.default_rng([number, len(split)])
    words = rng.permutation(WORDS)
    query, relevant = " ".join(words[:2]), int(rng.integers(size))
    documents = [" ".join(rng.choice(words[2:], 6)) for _ in range(size)]
    documents[relevant] = " ".join([*words[:2], *rng.choice(words[2:], 4)])
    labels = tuple(float(i == relevant) for i in range(size))
    ids = tuple(f"{split}{number}-{i}" for i in range(size))
    return RankedList(f"{split}{number}", query, ids, tuple(documents), labels)


def make_task(folder: Path, vocabulary_file: str, name: str) -> str:
    write_jsonl(folder / "train.jsonl", [ranked_list(i, "train") for i in range(40)])
    write_jsonl(folder / "validation.jsonl", [ranked_list(i, "validation") for i in range(12)])
    splits = {"train": "train.jsonl", "validation": "validation.jsonl"}
    return jsonl.jsonl_task(str(folder), splits, str(vocabulary_file), name=name)


LENGTHS = {"inputs": (4, 48), "targets": (4, 1), "label": (4,), "mask": (4,)}
PACKED = functools.partial(layouts.packed, row_length=64, rows=16)  # one shape: quick to compile


def make_model(vocabulary_file, dropout=0.1, width=16, **settings):
    vocabulary = Vocabulary(vocabulary_file)
    config = network.T5Config(
        vocab_size=-(-len(vocabulary) // 16) * 16,
        emb_dim=width,
        num_heads=2,
        num_encoder_layers=1,
        num_decoder_layers=1,
        head_dim=width // 2,
        mlp_dim=2 * width,
        mlp_activations=("gelu", "linear"),
        dropout_rate=dropout,
    )
    head = rankt5.rankt5_head(vocabulary)
    return ranking.RankingModel(network.Transformer(config), head, **settings)


def make_trainer(task: str, vocabulary_file: str, model_dir: Path, **settings) -> Trainer:
    return Trainer(
        **{
            "model": make_model(vocabulary_file),
            "model_dir": str(model_dir),
            "mixture_or_task_name": task,
            "task_feature_lengths": LENGTHS,
            "batch_size": 8,
            "train_steps": 6,
            "learning_rate_fn": schedules.constant(1e-2),
            "optimizer_def": optimizers.adamw(eps=1e-3),
            "layout": PACKED,
            "eval_period": 3,
            "checkpoint_period": 100,
            "log_period": 1,
            **settings,
        }
    )


def records(trainer: Trainer, part: str) -> list[dict]:
    lines = (Path(trainer.model_dir) / "metrics.jsonl").read_text().splitlines()
    return [r for r in map(json.loads, lines) if r["part"] == part]


def curve(trainer: Trainer) -> list[float]:
    return [r["loss"] for r in records(trainer, "train")]


def params_of(trainer: Trainer, step: int):
    return model_folder.open_folder(trainer.model_dir, step).params()


def assert_same_params(left, right):
    jax.tree.map(np.testing.assert_array_equal, left, right)
