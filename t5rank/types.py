"""The arguments that every loss and metric of t5rank shares.

A list is one query's candidate documents. Lists have one of two shapes, and the results are the
same for both. Padded lists are rows: the last axis is one list, and `where` marks its real
documents. Flat lists lie side by side along the last axis, and `segments` tells them apart. Any
axes may precede the last.

* `scores`: `[..., list]`, one score per document. Higher is better. The dtype is any float; results
  are float32.
* `labels`: `[..., list]`, the relevance of each document: bool, integer or float. Quotients of
  gains are right for every finite label (`t5rank.metrics.gains`). An infinite label makes them NaN.
* `where`: `[..., list]`, True (non-zero) at real documents. The values of masked entries, NaN
  included, change no result and no gradient.
* `segments`: `[..., list]`, integers. The documents of a row that have the same number are a list,
  wherever they stand. Two rows share no list.
* `weights`: `[..., list]` (or broadcastable to it), a weight per document, 1 by default.
* `reduce_fn`: it is called as `reduce_fn(values, where=valid)`; the default is `jnp.mean`. None
  returns the values themselves, one per list, document or pair, and 0 where they are invalid.
  Values per list are `[...]`. For flat lists they are `[..., list]`, and each stands at the first
  real document of its list. A mean over nothing is 0. `ops.sum_and_count` gives `[sum, count]`,
  which add up across batches. `ops.list_means` gives one value per list for any loss.
* `topn`: ranks after it do not count.
* `key`: a PRNG key for all that is random: the order of tied documents, noise, samples.
* `ties`: how documents of equal scores are ranked. "order": as in the list. "random": by `key`; a
  key alone implies it. "optimistic" and "pessimistic": best and worst for the metric. "average":
  the metric's exact mean over all orders.
* `empty`: the score of a list that has nothing to find: 0 or 1. With "skip" it does not count.
* `threshold`: the smallest label of a relevant document.
* `rank_fn`, `cutoff_fn`: smooth ranks and cutoffs, see `t5rank.losses.transformations`.

Losses have forward and reverse derivatives, and Hessians (`jax.hessian`, forward over reverse).
The losses that stream pairs have no reverse-over-reverse derivative (`jax.grad` of `jax.grad`):
under `jax.jit` JAX raises its error about `while_loop`. Use `jax.jvp` of `jax.grad` instead.

A NaN score or label of a real document makes the result NaN. Shapes that differ raise a
`ValueError`; only `weights` are broadcast. A metric takes a document whose score is -inf as not
retrieved.
"""

from collections.abc import Callable
from typing import Any

import jax
from jaxtyping import Bool, Float, Num

Array = jax.Array
Scores = Float[Array, "*batch list"]
Labels = Num[Array, "*batch list"] | Bool[Array, "*batch list"]
SubtopicLabels = Num[Array, "*batch list subtopics"] | Bool[Array, "*batch list subtopics"]
Where = Num[Array, "*batch list"] | Bool[Array, "*batch list"]
ReduceFn = Callable[..., Array]
LossFn = Callable[..., Array]
MetricFn = Callable[..., Array]
PyTree = Any
