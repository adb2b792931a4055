"""seqio's metrics of lists, for T5X: the means of `t5rank.metrics.means`."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from t5rank.metrics.means import MeanMetrics, ScoredList
from t5rank.models.ranking import DEFAULT_METRIC_FNS


def judged_list(target: Any, example: Mapping[str, Any], is_target: bool) -> ScoredList:
    """seqio's `postprocess_fn`: the documents and labels of a list, for `ranking_metrics`."""
    del target, is_target  # scores are not postprocessed
    doc_ids = [doc_id.decode() for doc_id in example["doc_ids"]]
    return ScoredList(doc_ids, example["label"], np.zeros(len(doc_ids), np.float32))


def ranking_metrics(targets: Sequence[ScoredList], scores: np.ndarray) -> dict[str, float]:
    """seqio's metric of scores `[lists, list_size]`: the means of `t5rank.metrics.means`."""
    metrics = MeanMetrics(DEFAULT_METRIC_FNS)
    if targets:
        metrics.add(
            [
                target._replace(scores=np.asarray(row, np.float32)[: len(target.doc_ids)])
                for target, row in zip(targets, scores, strict=True)
            ]
        )
    return metrics.means()
