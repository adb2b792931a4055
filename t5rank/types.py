"""The arguments that every loss and metric of t5rank shares, described once.

A list is one query's candidate documents. Lists are the last axis; any axes may precede it.

* `scores`: `[..., list]`, one score per document; higher is better. Any float dtype; results are
  float32.
* `labels`: `[..., list]`, the relevance of each document; bool, integer or float.
* `where`: `[..., list]`, True (non-zero) at real documents. What masked slots hold, NaN included,
  changes no value and no gradient.
* `segments`: `[..., list]`, integer list ids where several lists share a row; values per list are
  `[..., list]` then, at the first document of each, 0 elsewhere.
* `weights`: `[..., list]` (or broadcastable to it), a weight per document.
* `reduce_fn`: called as `reduce_fn(values, where=valid)`, `jnp.mean` by default; None returns the
  values as they are, 0 at invalid places. A mean over nothing is 0.
* `topn`: ranks after it do not count.
* `key`: a PRNG key with which tied documents are put in random order.
* `ties`: how documents of equal scores are ranked. "order": as in the list; "random": by `key`,
  which implies it; "optimistic" and "pessimistic": best and worst for the metric; "average": the
  metric's mean over all orders, exactly.
* `empty`: what a list without anything to find scores, 0 or 1; "skip": it does not count.
* `threshold`: the smallest label of a relevant document.
* `rank_fn`, `cutoff_fn`: smooth ranks and cutoffs, see `t5rank.transformations`.

A NaN score at a real document gives a NaN result: it is never hidden. To a metric, a document whose
score is -inf was not retrieved.
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
