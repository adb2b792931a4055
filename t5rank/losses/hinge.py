"""The sum of pairwise hinge losses without its pairs.

With the documents sorted by score, those with which document i has a loss are the last ones, from
the place of `s_i - 1` on: their number and the sum of their scores are differences of cumulative
sums, one pair of them per distinct label.
"""

from typing import Any

import jax
import jax.numpy as jnp

from t5rank.ops.lists import Lists, unsort
from t5rank.types import Array


def hinge_totals(scores: Array, labels: Array, weights: Array, lists: Lists) -> tuple[Array, Array]:
    """The sum and the number of each list's pairs, as values per list."""
    values, counts = _by_document(scores, labels, weights, lists)
    return lists.sum(values), lists.sum(counts)


@jax.custom_jvp
def _by_document(scores: Array, labels: Array, weights: Array, lists: Lists) -> tuple[Array, Array]:
    """Sums and counts by the better document; only their sum over each list may be used."""
    values, counts, _ = _levels(scores, labels, weights, lists)
    return values, counts


def _levels(scores: Array, labels: Array, weights: Array, lists: Lists) -> Any:
    """`(values, counts, gradient)`, by document."""
    scores = scores - lists.mean(scores)  # so that the sums of scores stay small
    slots = jnp.broadcast_to(jnp.arange(scores.shape[-1], dtype=jnp.int32), scores.shape)
    lists, (scores, labels, weights, slots) = lists.sort([scores], [scores, labels, weights, slots])
    near = lists.search(scores, scores - 1.0, equal=True)  # from here on: too near to i
    far = lists.search(scores, scores + 1.0, equal=False)  # before here: j is too near to them

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
    return tuple(unsort(array, slots) for array in results)


@_by_document.defjvp
def _by_document_jvp(primals: Any, tangents: Any) -> Any:
    values, counts, gradient = _levels(*primals)
    # A document's gradient is that of its list's sum, and does not change with the scores.
    change = jax.lax.stop_gradient(gradient) * tangents[0]
    return (values, counts), (change, jnp.zeros_like(counts))
