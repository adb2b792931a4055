"""The sum of pairwise hinge losses in O(n log n) time for each distinct label.

Document i has a loss with every worse document whose score is above `s_i - 1`. In the order of the
scores these are the last ones, from the position of `s_i - 1` on. Two reverse cumulative sums give
their number and the sum of their scores.
"""

from typing import Any

import jax
import jax.numpy as jnp

from t5rank.ops.lists import Lists, unsort
from t5rank.types import Array


def hinge_totals(scores: Array, labels: Array, weights: Array, lists: Lists) -> tuple[Array, Array]:
    """The sum of the losses and the number of each list's pairs, as values per list."""
    values, counts = _by_document(scores, labels, weights, lists)
    return lists.sum(values), lists.sum(counts)


@jax.custom_jvp
def _by_document(scores: Array, labels: Array, weights: Array, lists: Lists) -> tuple[Array, Array]:
    """Sums and counts by the better document. The derivative is right only for sums over lists."""
    values, counts, _ = _levels(scores, labels, weights, lists)
    return values, counts


def _levels(scores: Array, labels: Array, weights: Array, lists: Lists) -> Any:
    """`(values, counts, gradient)` by document, in a loop over the labels from the largest down."""
    scores = scores - lists.mean(scores)  # so that the sums of scores stay small
    lists, (scores, labels, weights, indices) = lists.sort(
        [scores], [scores, labels, weights, lists.indices]
    )
    # Documents from `near` on are above s_i - 1. Documents before `far` are below s_j + 1.
    near = lists.search(scores, scores - 1.0, equal=True)
    far = lists.search(scores, scores + 1.0, equal=False)

    def step(carry: Any) -> Any:
        level, values, counts, gradient = carry
        better = lists.where & (labels == level)
        worse = lists.where & (labels < level)
        number = lists.after(lists.cumsum(worse.astype(jnp.float32), reverse=True), near)
        total = lists.after(lists.cumsum(jnp.where(worse, scores, 0.0), reverse=True), near)
        values += jnp.where(better, weights * (number * (1.0 - scores) + total), 0.0)
        counts += jnp.where(better, lists.sum(worse.astype(jnp.float32)), 0.0)
        winners = lists.before(lists.cumsum(jnp.where(better, weights, 0.0)), far)
        gradient += jnp.where(worse, winners, 0.0) - jnp.where(better, weights * number, 0.0)
        return lists.max(jnp.where(worse, labels, -jnp.inf)), values, counts, gradient

    zeros = jnp.zeros(scores.shape, jnp.float32)
    lowest = lists.min(labels)
    start = (lists.max(labels), zeros, zeros, zeros)
    _, *results = jax.lax.while_loop(lambda carry: jnp.any(carry[0] > lowest), step, start)
    return tuple(unsort(array, indices) for array in results)


@_by_document.defjvp
def _by_document_jvp(primals: Any, tangents: Any) -> Any:
    values, counts, gradient = _levels(*primals)
    # The gradient is that of the sum over the list. The loss is linear: its second derivative is 0.
    change = jax.lax.stop_gradient(gradient) * tangents[0]
    return (values, counts), (change, jnp.zeros_like(counts))
