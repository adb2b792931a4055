"""Metrics over whole lists, and over those that have a relevant document."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from t5rank.types import MetricFn


class ScoredList(NamedTuple):
    """One query's candidates.

    Attributes:
      doc_ids: the documents.
      labels: `[list]`.
      scores: `[list]`, float32.
    """

    doc_ids: Sequence[str]
    labels: np.ndarray
    scores: np.ndarray


class MeanMetrics:
    """Means over lists that are added in parts, one value a list.

    Tied documents rank by descending document id, as in `t5rank.data.trec`, whatever their order in
    the list.

    Args:
      metric_fns: name to metric.
    """

    def __init__(self, metric_fns: Mapping[str, MetricFn]):
        self._metric_fns = metric_fns
        self._values: dict[str, list[np.ndarray]] = {name: [] for name in metric_fns}
        self._answerable: list[bool] = []

    def add(self, lists: Sequence[ScoredList]) -> None:
        """Adds lists."""
        width = 1 << (max(len(item.doc_ids) for item in lists) - 1).bit_length()
        scores, labels = np.zeros((2, len(lists), width), np.float32)
        where = np.zeros((len(lists), width), bool)
        for i, item in enumerate(lists):
            n = len(item.doc_ids)
            # Metrics leave ties in the order given: this is the order of t5rank.data.trec.
            order = sorted(range(n), key=item.doc_ids.__getitem__, reverse=True)
            scores[i, :n], labels[i, :n] = item.scores[order], item.labels[order]
            where[i, :n] = True
        for name, metric_fn in self._metric_fns.items():
            found = metric_fn(jnp.asarray(scores), labels, where=where, reduce_fn=None)
            self._values[name].append(np.asarray(found))
        self._answerable += np.any(labels > 0, axis=-1).tolist()

    def update(self, others: "MeanMetrics") -> None:
        """Adds the lists of others, of the same metrics."""
        for name, values in self._values.items():
            values += others._values[name]
        self._answerable += others._answerable

    def means(self) -> dict[str, float]:
        """Each metric over all lists, and over the answerable ones (`answerable/...`).

        `lists` and `answerable/lists` count.

        Raises:
          ValueError: there is no list.
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
