"""Validation over whole lists, with the scoring path of `Reranker`."""

import itertools
from collections.abc import Iterable, Mapping

import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from t5rank.scoring import PairScorer
from t5rank.train.data import ValidationList
from t5rank.types import MetricFn, PyTree

CHUNK = 256  # lists scored together: enough to sort by length, few enough to hold in memory


def validate(
    scorer: PairScorer,
    params: PyTree,
    lists: Iterable[ValidationList],
    metric_fns: Mapping[str, MetricFn],
) -> dict[str, float]:
    """Metrics over all lists, and over those with a relevant document (`answerable/...`).

    Each metric is the mean over lists, one value a list. Tied documents rank by descending document
    id, as in `t5rank.trec`, whatever their order in the list. `lists` and `answerable/lists` count.

    Raises:
      ValueError: there is no list.
    """
    per_list: dict[str, list[np.ndarray]] = {name: [] for name in metric_fns}
    answerable: list[bool] = []
    with tqdm(desc="validation", unit=" documents", leave=False, disable=None) as progress:
        for chunk in _chunks(lists):
            values = _chunk_metrics(scorer, params, chunk, metric_fns, progress)
            for name, value in values.items():
                per_list[name].append(value)
            answerable += [bool(np.any(item.labels > 0)) for item in chunk]
    if not answerable:
        raise ValueError("Validation has 0 lists; expected at least one.")
    return _means({n: np.concatenate(v) for n, v in per_list.items()}, np.array(answerable))


def _means(per_list: Mapping[str, np.ndarray], answerable: np.ndarray) -> dict[str, float]:
    means = {name: float(np.mean(values)) for name, values in per_list.items()}
    means["lists"] = float(len(answerable))
    means["answerable/lists"] = float(answerable.sum())
    if answerable.any():
        for name, values in per_list.items():
            means[f"answerable/{name}"] = float(np.mean(values[answerable]))
    return means


def _chunks(lists: Iterable[ValidationList]) -> Iterable[list[ValidationList]]:
    iterator = iter(lists)
    while chunk := list(itertools.islice(iterator, CHUNK)):
        yield chunk


def _chunk_metrics(
    scorer: PairScorer,
    params: PyTree,
    chunk: list[ValidationList],
    metric_fns: Mapping[str, MetricFn],
    progress: tqdm,
) -> dict[str, np.ndarray]:
    scores = scorer.score(params, [row for item in chunk for row in item.rows], progress)
    width = 1 << (max(len(item.rows) for item in chunk) - 1).bit_length()
    padded_scores, labels = np.zeros((2, len(chunk), width), np.float32)
    where = np.zeros((len(chunk), width), bool)
    start = 0
    for i, item in enumerate(chunk):
        n = len(item.rows)
        # Metrics leave ties in the order given: this is the order of t5rank.trec.
        order = sorted(range(n), key=lambda j: item.doc_ids[j], reverse=True)
        padded_scores[i, :n] = scores[start : start + n][order]
        labels[i, :n], where[i, :n] = item.labels[order], True
        start += n
    return {
        name: np.asarray(metric_fn(jnp.asarray(padded_scores), labels, where=where, reduce_fn=None))
        for name, metric_fn in metric_fns.items()
    }
