"""The systems that `benchmarks/training.py` compares: a training step each.

Each function takes the folder of the models, the training lists and a learning rate, and gives a
function that trains one step and returns `[loss, XLA's temporary bytes]` (NaN for torch). Adam,
no dropout, softmax loss, float32.
"""

import dataclasses
import functools
import itertools
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
import optax
from models import MAX_LENGTH, Lists

from t5rank import layouts, model_folder, optimizers
from t5rank.compilation_cache import use_compilation_cache
from t5rank.models.ranking import RankingModel
from t5rank.train.step import CompiledStep, make_train_step

Run = Callable[[], np.ndarray]
_ADAM = optimizers.OptimizerDef(optax.adam)


def packed(folder: Path, lists: Lists, lists_a_step: int, learning_rate: float) -> Run:
    """t5rank as it trains by default."""
    return _ours(folder, lists, lists_a_step, learning_rate, layouts.packed)


def bucketed(folder: Path, lists: Lists, lists_a_step: int, learning_rate: float) -> Run:
    """t5rank, padded to the longest document of the batch."""
    return _ours(folder, lists, lists_a_step, learning_rate, _to_the_longest)


def padded(folder: Path, lists: Lists, lists_a_step: int, learning_rate: float) -> Run:
    """t5rank, padded to 256."""
    return _ours(folder, lists, lists_a_step, learning_rate, layouts.padded)


def rax_example(folder: Path, lists: Lists, lists_a_step: int, learning_rate: float) -> Run:
    """T5X's network as Rax's example trains it: padded to 256, the whole vocabulary's logits."""
    from t5x.examples.t5 import network as t5x_network

    from t5rank.plugin import t5x_config

    def theirs(model: RankingModel) -> RankingModel:
        config = t5x_config(t5x_network.T5Config, model.module.config)  # type: ignore[attr-defined]
        return RankingModel(t5x_network.Transformer(config), model.head)

    return _ours(folder, lists, lists_a_step, learning_rate, layouts.padded, theirs)


def _to_the_longest(batches, groups=1, start=0):
    for batch in layouts.padded(batches, groups, start):
        longest = layouts.document_lengths(batch["encoder_input_tokens"]).max()
        yield {**batch, "encoder_input_tokens": batch["encoder_input_tokens"][..., :longest]}


def _ours(
    folder: Path,
    lists: Lists,
    lists_a_step: int,
    learning_rate: float,
    layout: layouts.Layout,
    change: Callable[[RankingModel], RankingModel] = lambda model: model,
) -> Run:
    use_compilation_cache()
    model, encoder = model_folder.load_config(folder / "ours")
    params = model_folder.load_params(folder / "ours", model, 1)
    config = dataclasses.replace(model.module.config, dropout_rate=0.0)  # type: ignore[attr-defined]
    model = change(RankingModel(model.module.clone(config=config), model.head))
    optimizer = _ADAM.create(params)
    step = CompiledStep(make_train_step(model, lambda _: learning_rate))
    encode = functools.partial(_padded_batch, encoder)
    steps = [encode(lists[i : i + lists_a_step]) for i in range(0, len(lists), lists_a_step)]
    batches = layout(itertools.cycle(steps), 1, 0)
    rng = jax.random.key(0)

    def run() -> np.ndarray:
        nonlocal optimizer
        optimizer, sums = step(optimizer, next(batches), rng)
        total, count = np.asarray(sums["loss"])
        return np.array([total / count, step.temporary_bytes])

    return run


def _padded_batch(encoder, lists: Lists) -> dict[str, np.ndarray]:
    """Padded to 256; the first document of a list is the relevant one."""
    size = max(len(texts) for _, texts in lists)
    tokens = np.zeros((len(lists), size, MAX_LENGTH), np.int32)
    for i, item in enumerate(lists):
        for j, pair in enumerate(encoder.encode(*item)):
            tokens[i, j, : len(pair.tokens)] = pair.tokens
    label = np.zeros(tokens.shape[:2], np.float32)
    label[:, 0] = 1.0
    return {"encoder_input_tokens": tokens, "label": label, "mask": tokens[..., 0] > 0}


def transformers(folder: Path, lists: Lists, lists_a_step: int, learning_rate: float) -> Run:
    """transformers' T5 and torch, padded to the longest document of the batch."""
    import torch
    import transformers

    theirs = str(folder / "huggingface")
    tokenizer = transformers.AutoTokenizer.from_pretrained(theirs)
    model = transformers.T5ForConditionalGeneration.from_pretrained(
        theirs, dtype=torch.float32, dropout_rate=0.0
    ).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=learning_rate)
    token_id = model_folder.load_config(folder / "ours")[0].head.token_ids[0]
    batches = itertools.cycle(range(0, len(lists), lists_a_step))

    def run() -> np.ndarray:
        start = next(batches)
        chosen = lists[start : start + lists_a_step]
        texts = [f"Query: {query} Document: {text}" for query, texts in chosen for text in texts]
        encoded = tokenizer(
            texts, padding=True, truncation=True, max_length=MAX_LENGTH, return_tensors="pt"
        )
        decoder = torch.zeros((len(texts), 1), dtype=torch.long)
        scores = model(**encoded, decoder_input_ids=decoder).logits[:, 0, token_id]
        scores = scores.reshape(len(chosen), -1)
        loss = -torch.log_softmax(scores, dim=-1)[:, 0].mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return np.array([loss.item(), np.nan])

    return run
