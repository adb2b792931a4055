"""Metrics of pairs of documents: how many of them are in the right order.

`t5rank.types` describes the arguments that every metric has. These metrics depend only on the order
of the scores, and take no approximate ranks.
"""

from typing import Any

import jax
import jax.numpy as jnp

from t5rank import ops
from t5rank.metrics.ranking import (
    Order,
    check_no_weights,
    check_ties,
    check_topn,
    finish,
    rank_documents,
    ratio,
    relevance,
)
from t5rank.ops import Lists
from t5rank.types import Array, Labels, ReduceFn, Scores, Where


def opa_metric(
    scores: Scores,
    labels: Labels,
    *,
    where: Where | None = None,
    segments: Array | None = None,
    topn: int | None = None,
    weights: Array | None = None,
    reduce_fn: ReduceFn | None = jnp.mean,
    key: Array | None = None,
    ties: str = "order",
    empty: int | str = 0,
) -> Array:
    r"""Ordered pair accuracy: the share of pairs in the right order.

    $$\mathrm{OPA} = \frac{\sum_{y_i > y_j} w_i \, [\mathrm{rank}_i < \mathrm{rank}_j]}
    {\sum_{y_i > y_j} w_i}$$

    A pair whose better document was not retrieved is in the wrong order. A tied pair counts half
    with `ties="average"`, and is in the wrong order with "pessimistic", as in Rax. The metric takes
    O(n log n) time, and O(n) for each distinct label.

    Args:
      topn: only pairs with a document among the first `topn` count.
      weights: a pair has the weight of its better document.

    Raises:
      ValueError: `topn` is given with ties other than "order" and "random". The pairs that count
        would depend on the order of the ties.

    >>> float(opa_metric(jnp.array([3.0, 2.0, 1.0]), jnp.array([1, 0, 1])))
    0.5
    """
    check_topn(topn)
    if topn is not None:
        check_ties(ties, ("average", "optimistic", "pessimistic"), "OPA with 'topn'")
    scores, labels, weights, lists = ops.as_lists(scores, labels, where, segments, weights)
    keys = ops.best_first(scores)
    right, pairs = _pairs_in_order(
        lists,
        [keys, *Order(ties=ties, key=key).tie_breaks(scores, labels)],
        [labels, weights, keys],
        topn,
        ties == "average",
    )
    return finish(
        ratio(right, pairs),
        pairs > 0,
        lists,
        empty=empty,
        reduce_fn=reduce_fn,
        nan_from=scores + labels,
    )


def bpref_metric(
    scores: Scores,
    labels: Labels,
    *,
    where: Where | None = None,
    segments: Array | None = None,
    topn: int | None = None,
    weights: Array | None = None,
    reduce_fn: ReduceFn | None = jnp.mean,
    key: Array | None = None,
    ties: str = "order",
    empty: int | str = 0,
    threshold: float = 1.0,
) -> Array:
    r"""Binary preference: how few judged irrelevant documents are above relevant ones.

    $$\mathrm{bpref} = \frac{1}{R} \sum_{i \text{ relevant}}
    \left(1 - \frac{\min(R, N_{\text{above } i})}{\min(R, N)}\right)$$

    with $R$ relevant and $N$ judged irrelevant documents. A document with a label below 0 is not
    judged. Source: Buckley and Voorhees 2004, as in trec_eval.

    Raises:
      ValueError: weights or average ties are given.

    >>> float(bpref_metric(jnp.array([4.0, 3.0, 2.0, 1.0]), jnp.array([1, 0, -1, 1])))
    0.5
    """
    check_no_weights(weights, "bpref")
    check_ties(ties, ("average",), "bpref")
    scores, labels, _, lists = ops.as_lists(scores, labels, where, segments)
    relevant = relevance(labels, lists, threshold)
    irrelevant = relevance(labels, lists, 0.0) - relevant
    total = lists.sum(relevant)
    smaller = jnp.minimum(total, lists.sum(irrelevant))
    columns = [
        relevant - irrelevant,
        *(jnp.broadcast_to(x, scores.shape) for x in (total, smaller)),
    ]
    ranking = rank_documents(scores, lists, columns, Order(topn, ties, key))
    judged, most, scale = ranking.columns
    above = ranking.lists.cumsum(jnp.maximum(-judged, 0.0))
    credit = 1.0 - ratio(jnp.minimum(above, most), scale)
    return finish(
        ratio(ranking.sum(jnp.maximum(judged, 0.0) * credit * ranking.inside), total),
        total > 0,
        lists,
        empty=empty,
        reduce_fn=reduce_fn,
        nan_from=scores + labels,
    )


def _pairs_in_order(
    lists: Lists, keys: list[Array], columns: list[Array], topn: int | None, average: bool
) -> tuple[Array, Array]:
    """For each list, the sums of the weights of the pairs in the right order and of all pairs.

    For each distinct label, a reverse cumulative sum counts the worse documents that are ranked
    after each document.
    """
    ordered, (labels, weights, score_keys) = lists.sort(keys, columns)
    retrieved_weights = jnp.where(jnp.isposinf(score_keys), 0.0, weights)
    inside = ordered.position < (labels.shape[-1] if topn is None else topn)
    start = ordered.tie_start(score_keys)
    end = start + ordered.tie_sum(jnp.ones(start.shape, jnp.float32), score_keys).astype(
        start.dtype
    )

    def step(carry: Any) -> Any:
        level, right, pairs = carry
        better = ordered.where & (labels == level)
        worse = (ordered.where & (labels < level)).astype(jnp.float32)
        after = ordered.cumsum(worse, reverse=True)
        if average:
            after = (ordered.after(after, start) + ordered.after(after, end)) / 2.0
        right += ordered.sum(jnp.where(better & inside, retrieved_weights * after, 0.0))
        number = jnp.where(inside, ordered.sum(worse), ordered.sum(jnp.where(inside, worse, 0.0)))
        pairs += ordered.sum(jnp.where(better, weights * number, 0.0))
        return ordered.max(jnp.where(worse > 0, labels, -jnp.inf)), right, pairs

    lowest = ordered.min(labels)
    zeros = jnp.zeros_like(lowest)
    _, right, pairs = jax.lax.while_loop(
        lambda carry: jnp.any(carry[0] > lowest), step, (ordered.max(labels), zeros, zeros)
    )
    return lists.from_sorted(right), lists.from_sorted(pairs)
