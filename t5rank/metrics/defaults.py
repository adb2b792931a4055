"""The metrics of training and validation, unless a recipe names others."""

import functools
from collections.abc import Mapping

from t5rank import metrics
from t5rank.types import MetricFn

DEFAULT_METRIC_FNS: Mapping[str, MetricFn] = {
    "ndcg@10": functools.partial(metrics.ndcg_metric, topn=10),
    "mrr@10": functools.partial(metrics.mrr_metric, topn=10),
}
