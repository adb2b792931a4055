"""Ranking metrics in JAX: `metric(scores, labels, *, where, segments, topn, weights, ...)`.

The arguments are described in `t5rank.types`.
"""

from t5rank.metrics.ranking import mrr_metric, ndcg_metric

__all__ = ["mrr_metric", "ndcg_metric"]
