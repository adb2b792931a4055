"""The systems that `benchmarks/training.py` compares: a training step each.

Each function takes a `Training` and gives a function that trains one step and returns `[loss, XLA's
temporary bytes (NaN for torch), an accelerator's peak bytes (0 on CPU)]`. Adam, no dropout, softmax
loss; weights and optimizer are float32, activations of the model's type.
"""

import dataclasses
import functools
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
import optax
from models import MAX_LENGTH, Lists

from t5rank import model_folder
from t5rank.inference.compilation_cache import use_compilation_cache
from t5rank.models.ranking import RankingModel
from t5rank.train import layouts, optimizers
from t5rank.train.step import CompiledStep, make_train_step

Run = Callable[[], np.ndarray]
_ADAM = optimizers.OptimizerDef(optax.adam)


class Training(NamedTuple):
    """What every system trains.

    Attributes:
      folder: the model in the formats of all systems.
      lists: the first document of each is the relevant one.
      lists_a_step: the steps' lists follow each other, and begin again.
      learning_rate: constant.
      row_length: of packed rows; None for t5rank's own.
    """

    folder: Path
    lists: Lists
    lists_a_step: int
    learning_rate: float
    row_length: int | None

    def steps(self) -> list[Lists]:
        """The lists of each step, once."""
        size = self.lists_a_step
        return [self.lists[i : i + size] for i in range(0, len(self.lists), size)]


def packed(training: Training) -> Run:
    """t5rank as it trains by default."""
    layout = functools.partial(layouts.packed, row_length=training.row_length)
    return _ours(training, layout)


def bucketed(training: Training) -> Run:
    """t5rank, padded to the longest document of the batch."""
    return _ours(training, _to_the_longest)


def padded(training: Training) -> Run:
    """t5rank, padded to 256."""
    return _ours(training, layouts.padded)


def rax_example(training: Training) -> Run:
    """T5X's network as Rax's example trains it: padded to 256, the whole vocabulary's logits."""
    from t5x.examples.t5 import network as t5x_network

    from t5rank.t5x.plugin import t5x_config

    def theirs(model: RankingModel) -> RankingModel:
        config = t5x_config(t5x_network.T5Config, model.module.config)  # type: ignore[attr-defined]
        return RankingModel(t5x_network.Transformer(config), model.head)

    return _ours(training, layouts.padded, theirs)


def _to_the_longest(batches, groups=1, start=0):
    for batch in layouts.padded(batches, groups, start):
        longest = layouts.document_lengths(batch["encoder_input_tokens"]).max()
        yield {**batch, "encoder_input_tokens": batch["encoder_input_tokens"][..., :longest]}


def _ours(
    training: Training,
    layout: layouts.Layout,
    change: Callable[[RankingModel], RankingModel] = lambda model: model,
) -> Run:
    use_compilation_cache()
    opened = model_folder.open_folder(training.folder / "ours", 1)
    model, encoder, params = opened.model, opened.encoder, opened.params()
    config = dataclasses.replace(model.module.config, dropout_rate=0.0)  # type: ignore[attr-defined]
    model = change(RankingModel(model.module.clone(config=config), model.head))
    optimizer = _ADAM.create(params)
    step = CompiledStep(make_train_step(model, lambda _: training.learning_rate))
    steps = [_padded_batch(encoder, lists) for lists in training.steps()]
    batches = layout(itertools.cycle(steps), 1, 0)
    rng = jax.random.key(0)

    def run() -> np.ndarray:
        nonlocal optimizer
        optimizer, sums = step(optimizer, next(batches), rng)
        total, count = np.asarray(sums["loss"])
        peak = (jax.local_devices()[0].memory_stats() or {}).get("peak_bytes_in_use", 0)
        return np.array([total / count, step.temporary_bytes, peak])

    return run


def _padded_batch(encoder, lists: Lists) -> dict[str, np.ndarray]:
    """Padded to 256."""
    size = max(len(texts) for _, texts in lists)
    tokens = np.zeros((len(lists), size, MAX_LENGTH), np.int32)
    for i, item in enumerate(lists):
        for j, pair in enumerate(encoder.encode(*item)):
            tokens[i, j, : len(pair.tokens)] = pair.tokens
    label = np.zeros(tokens.shape[:2], np.float32)
    label[:, 0] = 1.0
    return {"encoder_input_tokens": tokens, "label": label, "mask": tokens[..., 0] > 0}


def transformers(training: Training) -> Run:
    """transformers' T5 and torch, padded to the longest document of the batch."""
    import torch
    import transformers

    theirs = str(training.folder / "huggingface")
    tokenizer = transformers.AutoTokenizer.from_pretrained(theirs)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = transformers.T5ForConditionalGeneration.from_pretrained(
        theirs, dtype=torch.float32, dropout_rate=0.0
    ).train()
    model.to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=training.learning_rate)
    ours, _ = model_folder.load_config(training.folder / "ours")
    token_id = ours.head.token_ids[0]
    is_mixed = ours.module.config.dtype == "bfloat16"  # type: ignore[attr-defined]
    steps = itertools.cycle(training.steps())

    def run() -> np.ndarray:
        lists = next(steps)
        texts = [f"Query: {query} Document: {text}" for query, texts in lists for text in texts]
        encoded = tokenizer(
            texts, padding=True, truncation=True, max_length=MAX_LENGTH, return_tensors="pt"
        ).to(device)
        decoder = torch.zeros((len(texts), 1), dtype=torch.long, device=device)
        with torch.autocast(device, dtype=torch.bfloat16, enabled=is_mixed):
            scores = model(**encoded, decoder_input_ids=decoder).logits[:, 0, token_id]
        scores = scores.float().reshape(len(lists), -1)
        loss = -torch.log_softmax(scores, dim=-1)[:, 0].mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        peak = torch.cuda.max_memory_allocated() if device == "cuda" else 0
        return np.array([loss.item(), np.nan, peak])

    return run
