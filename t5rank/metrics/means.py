"""Mean metrics over all lists, and over the answerable lists, which have a relevant document."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from t5rank.types import MetricFn


class ScoredList(NamedTuple):
    """One query's candidates.

    Attributes:
      doc_ids: the ids of the documents.
      labels: `[list]`.
      scores: `[list]`, float32.
    """

    doc_ids: Sequence[str]
    labels: np.ndarray
    scores: np.ndarray


class MeanMetrics:
    """Mean metrics over lists that are added in parts.

    Tied documents rank by descending document id, as in `t5rank.data.trec`. Their order in the list
    does not matter.

    Args:
      metric_fns: metrics by name.
    """

    def __init__(self, metric_fns: Mapping[str, MetricFn]):
        self._metric_fns = metric_fns
        self._values: dict[str, list[np.ndarray]] = {name: [] for name in metric_fns}
        self._answerable: list[bool] = []

    def add(self, lists: Sequence[ScoredList]) -> None:
        width = 1 << (max(len(item.doc_ids) for item in lists) - 1).bit_length()
        scores, labels = np.zeros((2, len(lists), width), np.float32)
        where = np.zeros((len(lists), width), bool)
        for i, item in enumerate(lists):
            n = len(item.doc_ids)
            # Metrics rank ties in the order of the list, so that this order is t5rank.data.trec's.
            order = sorted(range(n), key=item.doc_ids.__getitem__, reverse=True)
            scores[i, :n], labels[i, :n] = item.scores[order], item.labels[order]
            where[i, :n] = True
        for name, metric_fn in self._metric_fns.items():
            values = metric_fn(jnp.asarray(scores), labels, where=where, reduce_fn=None)
            self._values[name].append(np.asarray(values))
        self._answerable += np.any(labels > 0, axis=-1).tolist()

    def update(self, others: "MeanMetrics") -> None:
        """Adds the lists of another object, which has the same metrics."""
        for name, values in self._values.items():
            values += others._values[name]
        self._answerable += others._answerable

    def means(self) -> dict[str, float]:
        """Each metric's mean over all lists, and over the answerable lists (`answerable/...`).

        `lists` and `answerable/lists` are their numbers.

        Raises:
          ValueError: no list was added.
        """
        if not self._answerable:
            raise ValueError("Validation has 0 lists; expected at least one.")
        answerable = np.array(self._answerable)
        means = {"lists": float(len(answerable)), "answerable/lists": float(answerable.sum())}
        for name, parts in self._values.items():
            values = np.concatenate(parts)
            means[name] = float(np.mean(values))
            if answerable.any():
                means[f"answerable/{name}"] = float(np.mean(values[answerable]))
        return means
