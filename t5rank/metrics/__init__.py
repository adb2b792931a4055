"""Ranking metrics in JAX: `metric(scores, labels, *, where, segments, topn, weights, ...)`.

`t5rank.types` describes the arguments.
"""

from t5rank.metrics.binary import ap_metric, precision_metric, recall_metric
from t5rank.metrics.cascade import err_metric, hits_metric, mrr_metric
from t5rank.metrics.discounted import arp_metric, dcg_metric, ndcg_metric
from t5rank.metrics.diversity import alpha_dcg_metric, precision_ia_metric
from t5rank.metrics.pairs import bpref_metric, opa_metric

__all__ = [
    "alpha_dcg_metric",
    "ap_metric",
    "arp_metric",
    "bpref_metric",
    "dcg_metric",
    "err_metric",
    "hits_metric",
    "mrr_metric",
    "ndcg_metric",
    "opa_metric",
    "precision_ia_metric",
    "precision_metric",
    "recall_metric",
]
