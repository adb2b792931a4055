"""The arguments that every loss and metric of t5rank shares, described once.

A list is one query's candidate documents. Lists come in two shapes, with the same results: padded,
one list along the last axis with `where` for the real documents; or flat, several lists along the
last axis with `segments` to tell them apart. Any axes may precede the last.

* `scores`: `[..., list]`, one score per document; higher is better. Any float dtype; results are
  float32.
* `labels`: `[..., list]`, the relevance of each document; bool, integer or float. Quotients of
  gains hold for every finite label (`t5rank.metrics.gains`); an infinite one makes them NaN.
* `where`: `[..., list]`, True (non-zero) at real documents. What masked slots hold, NaN included,
  changes no value and no gradient.
* `segments`: `[..., list]`, integers: documents of a row with the same number are a list, wherever
  they stand. Two rows share no list.
* `weights`: `[..., list]` (or broadcastable to it), a weight per document, 1 by default.
* `reduce_fn`: called as `reduce_fn(values, where=valid)`, `jnp.mean` by default; None returns the
  values as they are, 0 at invalid places: one per list, document or pair. Values per list are
  `[...]`, and for flat lists `[..., list]`, at the first real document of each. A mean over nothing
  is 0. `ops.sum_and_count` gives `[sum, count]`, which add up across batches; `ops.list_means` one
  value per list from any loss.
* `topn`: ranks after it do not count.
* `key`: a PRNG key for whatever is random: the order of tied documents, noise, samples.
* `ties`: how documents of equal scores are ranked. "order": as in the list; "random": by `key`,
  which implies it; "optimistic" and "pessimistic": best and worst for the metric; "average": the
  metric's mean over all orders, exactly.
* `empty`: what a list without anything to find scores, 0 or 1; "skip": it does not count.
* `threshold`: the smallest label of a relevant document.
* `rank_fn`, `cutoff_fn`: smooth ranks and cutoffs, see `t5rank.losses.transformations`.

Losses have forward and reverse derivatives, and Hessians (`jax.hessian`, forward over reverse).
Only reverse over reverse, `jax.grad` of `jax.grad`, is not for the losses that stream pairs: under
`jax.jit` JAX refuses it with its error of `while_loop`. Take `jax.jvp` of `jax.grad` there.

A NaN score or label at a real document gives a NaN result: it is never hidden. Shapes that differ
raise a `ValueError`; nothing is broadcast but `weights`. To a metric, a document whose score is
-inf was not retrieved.
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
