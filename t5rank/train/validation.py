"""Validation over whole lists, with the scoring path of `Reranker`."""

import itertools
from collections.abc import Iterable, Iterator, Mapping

import numpy as np
from tqdm import tqdm

from t5rank.metrics.means import MeanMetrics, ScoredList
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
    """Scores the lists and gives the means of `t5rank.metrics.means.MeanMetrics`.

    Raises:
      ValueError: there is no list.
    """
    metrics = MeanMetrics(metric_fns)
    with tqdm(desc="validation", unit=" documents", leave=False, disable=None) as progress:
        for chunk in _chunks(lists):
            scores = scorer.score(params, [row for item in chunk for row in item.rows], progress)
            ends = np.cumsum([len(item.rows) for item in chunk])[:-1]
            parts = np.split(scores, ends)
            metrics.add(
                [
                    ScoredList(item.doc_ids, item.labels, part)
                    for item, part in zip(chunk, parts, strict=True)
                ]
            )
    return metrics.means()


def _chunks(lists: Iterable[ValidationList]) -> Iterator[list[ValidationList]]:
    iterator = iter(lists)
    while chunk := list(itertools.islice(iterator, CHUNK)):
        yield chunk
