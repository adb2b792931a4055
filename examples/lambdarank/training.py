"""Trains scorers of several seeds at once, and keeps what is best on validation lists."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from feature_rows import FeatureLists, FeatureRows
from groupwise import Scorer
from ltr_losses import LtrLoss

from t5rank.metrics import ndcg_metric
from t5rank.types import Array

TOPN = 5
SHUFFLES = 4  # orders of the documents over which a groupwise scorer's scores are averaged


@dataclasses.dataclass(frozen=True)
class Settings:
    """How every scorer is trained, whatever its loss.

    Attributes:
      epochs: at most so many passes over the training lists.
      patience: training ends after so many epochs without a better validation NDCG.
      batch_size: lists in a step.
      learning_rate: Adam's.
      weight_decay: of AdamW.
    """

    epochs: int = 100
    patience: int = 20
    batch_size: int = 16
    learning_rate: float = 3e-3
    weight_decay: float = 0.1


def ndcg(scores: Array, labels: Array, where: Array) -> Array:
    """NDCG@5 of each list; what every figure of this example is made of."""
    return ndcg_metric(scores, labels, where=where, topn=TOPN, reduce_fn=None)


def ndcg_of_rows(scores: np.ndarray, rows: FeatureRows) -> np.ndarray:
    """NDCG@5 of each query, given a score of each document."""
    lists = dataclasses.replace(rows, features=scores[:, None]).padded()
    return np.asarray(ndcg(lists.features[..., 0], lists.labels, lists.where))


def split_queries(count: int, seed: int, share: float = 0.2) -> tuple[np.ndarray, np.ndarray]:
    """The numbers of the training and of the validation queries of one seed."""
    order = np.random.default_rng(seed).permutation(count)
    held_out = max(1, round(share * count))
    return np.sort(order[held_out:]), np.sort(order[:held_out])


class Standardizer:
    """Features as `sign(x) log(1 + |x|)` with mean 0 and variance 1 over some documents."""

    def __init__(self, lists: FeatureLists):
        rows = self._log(lists.features[lists.where])
        self._mean, spread = rows.mean(axis=0), rows.std(axis=0)
        self._scale = np.where(spread > 0, spread, 1.0)  # a constant feature becomes 0

    def __call__(self, lists: FeatureLists) -> FeatureLists:
        """The lists with standardized features."""
        features = (self._log(lists.features) - self._mean) / self._scale
        return dataclasses.replace(lists, features=features.astype(np.float32))

    @staticmethod
    def _log(features: np.ndarray) -> np.ndarray:
        return np.sign(features) * np.log1p(np.abs(features))


@dataclasses.dataclass(frozen=True)
class Fitted:
    """Scorers of all seeds, at their best epochs.

    Attributes:
      params: with a leading axis of seeds.
      validation: `[seeds]`, NDCG on the validation lists.
      epochs: `[seeds]`, the best epoch.
    """

    params: Any
    validation: np.ndarray
    epochs: np.ndarray


def fit(
    scorer: Scorer,
    loss_fn: LtrLoss,
    lists: FeatureLists,
    seeds: list[int],
    settings: Settings,
) -> Fitted:
    """Trains one scorer per seed, which stands for its split, start, order and dropout.

    Raises:
      FloatingPointError: scores are NaN.
    """
    splits = [split_queries(len(lists.where), seed) for seed in seeds]
    train, held_out = (jnp.array(np.stack(part)) for part in zip(*splits, strict=True))
    optimizer = optax.adamw(settings.learning_rate, weight_decay=settings.weight_decay)
    keys = jnp.stack([jax.random.key(seed) for seed in seeds])
    data = (jnp.asarray(lists.features), jnp.asarray(lists.labels), jnp.asarray(lists.where))

    def start(key: Array) -> tuple[Any, Any]:
        params = scorer.init(key, data[0][:1], data[2][:1])
        return params, optimizer.init(params)

    @jax.jit
    @jax.vmap
    def run_epoch(state: tuple[Any, Any], queries: Array, key: Array) -> tuple[Any, Any]:
        key, order_key = jax.random.split(key)
        batch_size = min(settings.batch_size, queries.size)
        steps = queries.size // batch_size
        order = jax.random.permutation(order_key, queries)[: steps * batch_size]
        batches = order.reshape(steps, batch_size)
        step = functools.partial(_step, scorer, loss_fn, optimizer, data)
        return jax.lax.scan(step, state, (batches, jax.random.split(key, steps)))[0]

    @jax.jit
    @jax.vmap
    def validate(params: Any, queries: Array) -> Array:
        features, labels, where = (array[queries] for array in data)
        return jnp.mean(ndcg(scores_of(scorer, params, features, where), labels, where))

    state = jax.vmap(start)(keys)
    best, value = state[0], np.full(len(seeds), -np.inf)
    epochs = np.zeros(len(seeds), int)
    for epoch in range(1, settings.epochs + 1):
        state = run_epoch(state, train, jax.vmap(jax.random.fold_in, (0, None))(keys, epoch))
        now = np.asarray(validate(state[0], held_out))
        if np.isnan(now).any():
            raise FloatingPointError(f"Scores of epoch {epoch} have NaN; expected numbers.")
        # Seeds that are done wait for the others, as if each had been trained alone.
        better = (now > value) & (epoch - epochs <= settings.patience)
        value, epochs = np.where(better, now, value), np.where(better, epoch, epochs)
        best = jax.tree.map(functools.partial(_choose, better), state[0], best)
        if np.all(epoch - epochs >= settings.patience):
            break
    return Fitted(best, value, epochs)


def scores_of(scorer: Scorer, params: Any, features: Array, where: Array) -> Array:
    """Scores; of a groupwise scorer the mean over a few orders of the documents."""
    if scorer.group_size == 1:
        return scorer.apply(params, features, where)
    keys = jax.random.split(jax.random.key(0), SHUFFLES)
    return jnp.mean(jax.vmap(lambda key: scorer.apply(params, features, where, key))(keys), axis=0)


def _step(scorer, loss_fn, optimizer, data, state, batch) -> tuple[Any, None]:
    (params, moments), (queries, key) = state, batch
    features, labels, where = (array[queries] for array in data)
    order_key, dropout_key, loss_key = jax.random.split(key, 3)

    def loss(params: Any) -> Array:
        rngs = {"dropout": dropout_key}
        scores = scorer.apply(params, features, where, order_key, train=True, rngs=rngs)
        return loss_fn(scores, labels, where, loss_key)

    updates, moments = optimizer.update(jax.grad(loss)(params), moments, params)
    return (optax.apply_updates(params, updates), moments), None


def _choose(better: np.ndarray, new: Array, old: Array) -> Array:
    return jnp.where(better.reshape(-1, *[1] * (new.ndim - 1)), new, old)
