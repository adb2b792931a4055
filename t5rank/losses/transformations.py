"""Functions that turn metrics into losses, and losses or metrics into others.

A metric can be turned into a loss if it has one of two keyword arguments. They are Rax's, so that
Rax's metrics and transformations work here, too.

* `rank_fn(scores, *, where, segments, key)` returns the ranks of documents, from 1. It may also
  take `rows`, a mask, and then leave out the ranks of other documents. In that case a document of
  higher score must have no higher rank.
* `cutoff_fn(values, n, *, where, segments)` returns 1 for the `n` documents of the largest values,
  0 for the others, or numbers in between.

`t5rank`'s metrics ask only for the ranks that they need. An approximate NDCG of n documents, m of
them relevant, takes O(nm) time and O(n) memory.
"""

import functools
import inspect
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from t5rank import ops
from t5rank.types import Array, LossFn, MetricFn

__all__ = ["approx_t12n", "bound_t12n", "gumbel_t12n", "segment_t12n"]

StepFn = Callable[[Array], Array]


def approx_t12n(metric_fn: MetricFn, temperature: float = 1.0) -> LossFn:
    r"""A metric as a loss: the negated metric of approximate ranks.

    $$\mathrm{rank}_i \approx 1 + \sum_{j \ne i} \sigma\left(\frac{s_j - s_i}{T}\right), \quad
    [\mathrm{rank}_i \le k] \approx \sigma\left(\frac{r - \mathrm{rank}_i}{T}\right)$$

    where r is halfway between the approximate ranks of the documents at ranks k and k + 1. As the
    temperature falls, the loss approaches the metric and its gradient vanishes. Source: Qin et al.
    2010.

    Args:
      metric_fn: a metric that takes `rank_fn` or `cutoff_fn`.
      temperature: $T$, above 0.

    Raises:
      ValueError: the metric takes neither, so that its gradient would be 0, or the temperature is
        not positive.

    >>> from t5rank import metrics
    >>> loss_fn = approx_t12n(metrics.mrr_metric)
    >>> round(float(loss_fn(jnp.array([0.0, 1.0, 3.0, 2.0]), jnp.array([0, 0, 1, 2]))), 4)
    -0.6966
    """
    if not temperature > 0:
        raise ValueError(f"Argument 'temperature' has {temperature}; expected a number above 0.")

    def step(x: Array) -> Array:
        return jax.nn.sigmoid(x / temperature)

    return _smooth_t12n(metric_fn, "approx", rank_step=step, cutoff_step=step)


def bound_t12n(metric_fn: MetricFn) -> LossFn:
    r"""A metric as a loss: a negated lower bound of the metric.

    $$\mathrm{rank}_i \le 1 + \sum_{j \ne i} \max(0, 1 + s_j - s_i), \quad
    [\mathrm{rank}_i \le k] \ge 1 - \max(0, 1 - (r - \mathrm{rank}_i))$$

    where bounds replace the ranks, and r is as in `approx_t12n`. It is a bound if the metric's
    gains are positive and its discounts fall with the rank.

    Args:
      metric_fn: a metric that takes `rank_fn` or `cutoff_fn`.

    Raises:
      ValueError: the metric takes neither, so that its gradient would be 0.

    >>> from t5rank import metrics
    >>> loss_fn = bound_t12n(metrics.mrr_metric)
    >>> round(float(loss_fn(jnp.array([0.0, 1.0, 3.0, 2.0]), jnp.array([0, 1, 0, 1]))), 4)
    -0.3333
    """
    return _smooth_t12n(
        metric_fn,
        "bound",
        rank_step=lambda x: jax.nn.relu(x + 1.0),
        cutoff_step=lambda x: 1.0 - jax.nn.relu(1.0 - x),
    )


def gumbel_t12n(
    loss_or_metric_fn: LossFn,
    *,
    samples: int = 8,
    beta: float = 1.0,
    smoothing_factor: float | None = None,
) -> LossFn:
    r"""A loss or metric of scores with Gumbel noise, $s_i + \beta \, g_i$, averaged over samples.

    The returned function needs `key`. One sample is in memory at a time. Results are averaged over
    samples for every `reduce_fn`. (Rax sums them for `jnp.sum`, and returns all for None.) Source:
    Bruch et al. 2020.

    Args:
      loss_or_metric_fn: a loss or metric. If it takes `key`, every sample gets its own.
      samples: the number of samples.
      beta: the scale of the noise.
      smoothing_factor: if given, noisy scores become $\log(\mathrm{softmax}(s) + factor)$.
        TF-Ranking's losses use 1e-20.

    Raises:
      ValueError: `samples` is below 1, or the returned function gets no `key`.
    """
    if samples < 1:
        raise ValueError(f"Argument 'samples' has {samples}; expected a number of at least 1.")
    takes_key = _takes(loss_or_metric_fn, "key")

    @named("gumbel", loss_or_metric_fn, "key")
    def gumbel_fn(scores: Array, labels: Array, *, key: Array | None = None, **kwargs: Any) -> Any:
        if key is None:
            raise ValueError("Argument 'key' has None; expected a PRNG key.")
        scores, labels, kwargs = _masked(scores, labels, kwargs)

        def sample(key: Array) -> Any:
            noise_key, own_key = jax.random.split(key)
            noise = jax.random.gumbel(noise_key, scores.shape, jnp.float32)
            noisy = scores.astype(jnp.float32) + beta * noise
            if smoothing_factor is not None:
                noisy = _smoothed(noisy, smoothing_factor, **kwargs)
            optional = {"key": own_key} if takes_key else {}
            return loss_or_metric_fn(noisy, labels, **kwargs, **optional)

        def add(total: Any, key: Array) -> tuple[Any, None]:
            return jax.tree.map(jnp.add, total, jax.checkpoint(sample)(key)), None

        keys = jax.random.split(key, samples)
        shapes = jax.eval_shape(sample, keys[0])
        zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
        total, _ = jax.lax.scan(add, zeros, keys)
        return jax.tree.map(lambda x: x / samples, total)

    return gumbel_fn


def segment_t12n(loss_or_metric_fn: LossFn) -> LossFn:
    """A loss or metric that takes `segments`, for flat lists.

    A function that already takes `segments`, as all of t5rank do, is returned as it is. Another
    function is called once for each list, with a `where` that is True in this list only. The time
    is that of one call on the whole row times the number of lists. The memory is that of one call.

    Args:
      loss_or_metric_fn: a function that takes `where` and `reduce_fn`. With `reduce_fn=None` it
        returns a value per list or per document.
    """
    if _takes(loss_or_metric_fn, "segments"):
        return loss_or_metric_fn

    @named("segment", loss_or_metric_fn, "segments")
    def segment_fn(
        scores: Array,
        labels: Array,
        *,
        segments: Array | None = None,
        where: Array | None = None,
        reduce_fn: Any = jnp.mean,
        **kwargs: Any,
    ) -> Array:
        scores, labels, masks = _masked(scores, labels, {"where": where})
        if segments is None:
            return loss_or_metric_fn(scores, labels, **masks, reduce_fn=reduce_fn, **kwargs)
        lists = ops.as_lists(scores, scores, where, segments)[3]

        def one_list(start: Array) -> Array:
            in_list = lists.where & (lists.start == start)
            return loss_or_metric_fn(scores, labels, where=in_list, reduce_fn=None, **kwargs)

        return _each_list(one_list, scores.shape, lists, reduce_fn)

    return segment_fn


def _each_list(
    one_list: Callable[[Array], Array], shape: tuple[int, ...], lists: ops.Lists, reduce_fn: Any
) -> Array:
    """Calls a function for the list that starts at each index, and reduces its values."""
    result = jax.eval_shape(one_list, jnp.int32(0))
    if result.shape not in (shape, shape[:-1]):
        raise ValueError(
            f"The function's values have shape {result.shape}; expected a value per list, "
            f"{shape[:-1]}, or per document, {shape}."
        )

    @jax.checkpoint
    def run(start: Array) -> Array:
        in_list = lists.where & (lists.start == start)

        def values() -> Array:
            value = one_list(start)
            return jnp.where(in_list, value if value.shape == shape else value[..., None], 0.0)

        return jax.lax.cond(jnp.any(in_list), values, lambda: jnp.zeros(shape, result.dtype))

    def add(total: Array, start: Array) -> tuple[Array, None]:
        return total + run(start), None

    values, _ = jax.lax.scan(add, jnp.zeros(shape, result.dtype), jnp.arange(shape[-1]))
    valid = lists.where if result.shape == shape else lists.first()
    return ops.reduce(values, valid, reduce_fn)


def _smooth_t12n(
    metric_fn: MetricFn, prefix: str, *, rank_step: StepFn, cutoff_step: StepFn
) -> LossFn:
    smooth: dict[str, Any] = {
        "rank_fn": functools.partial(_smooth_ranks, _difference_of(rank_step), rank_step),
        "cutoff_fn": functools.partial(_smooth_cutoff, cutoff_step),
    }
    parameters = inspect.signature(metric_fn).parameters
    smooth = {name: fn for name, fn in smooth.items() if name in parameters}
    if not smooth:
        raise ValueError(
            f"Metric '{_name(metric_fn)}' takes neither 'rank_fn' nor 'cutoff_fn'; expected one of "
            "them. The gradient would be 0."
        )

    @named(prefix, metric_fn)
    def loss_fn(scores: Array, labels: Array, **kwargs: Any) -> Any:
        scores, labels, kwargs = _masked(scores, labels, kwargs)
        metric = functools.partial(metric_fn, scores, labels, **{**smooth, **kwargs})
        reduce_fn = kwargs.get("reduce_fn")
        if reduce_fn is None or reduce_fn is ops.list_means:
            return -metric()
        # Not the result is negated but the values: the result may also hold a count.
        return metric(reduce_fn=lambda values, where=None: reduce_fn(-values, where=where))

    return loss_fn


def _masked(
    scores: Array, labels: Array, kwargs: dict[str, Any]
) -> tuple[Array, Array, dict[str, Any]]:
    """Sets masked entries to 0, because functions of other libraries may let them through."""
    scores, labels = jnp.asarray(scores), jnp.asarray(labels)
    if kwargs.get("where") is None:
        return scores, labels, kwargs
    where = jnp.asarray(kwargs["where"]) != 0
    for name, array in (("scores", scores), ("labels", labels)):
        if array.shape[: where.ndim] != where.shape:
            raise ValueError(
                f"Argument '{name}' has shape {array.shape}; expected that of 'where', "
                f"{where.shape}."
            )

    def masked(array: Array) -> Array:
        mask = where.reshape(where.shape + (1,) * (array.ndim - where.ndim))
        return jnp.where(mask, array, jnp.zeros((), array.dtype))

    return masked(scores), masked(labels), {**kwargs, "where": where}


def _difference_of(step_fn: StepFn) -> Callable[[ops.Items, ops.Items], tuple[Array, Array]]:
    def pair_fn(i: ops.Items, j: ops.Items) -> tuple[Array, Array]:
        values = step_fn(j[0][0] - i[0][0])
        return values, jnp.ones(values.shape, bool)

    return pair_fn


def _smooth_ranks(
    pair_fn: Callable[[ops.Items, ops.Items], tuple[Array, Array]],
    step_fn: StepFn,
    scores: Array,
    *,
    where: Array | None = None,
    segments: Array | None = None,
    key: Array | None = None,
    rows: Array | None = None,
) -> Array:
    """1 plus the sum, over all other documents, of a step of the score difference."""
    del key
    scores, _, _, lists = ops.as_lists(scores, scores, where, segments)
    items = ((ops.finite(scores),), ())
    # A document is also paired with itself. Its step at 0 is replaced by 1.
    ranks = ops.row_sums(pair_fn, lists, items, rows) + (1.0 - step_fn(jnp.float32(0.0)))
    return jnp.where(lists.where if rows is None else lists.where & rows, ranks, 1.0)


def _smooth_cutoff(
    step_fn: StepFn,
    values: Array,
    n: int | None = None,
    *,
    where: Array | None = None,
    segments: Array | None = None,
) -> Array:
    """A step of the difference to the point halfway between the n-th and (n + 1)-th largest."""
    if n is None:
        return jnp.ones(values.shape, jnp.float32)
    values, _, _, lists = ops.as_lists(values, values, where, segments)
    ordered, (fixed,) = lists.sort([ops.best_first(values)], [jax.lax.stop_gradient(values)])
    around = (ordered.position == n - 1) | (ordered.position == n)
    halfway = lists.from_sorted(ordered.sum(jnp.where(around, fixed, 0.0))) / 2.0
    cut = jnp.where(lists.count > n, step_fn(values - halfway), 1.0)
    return jnp.where(lists.where, cut, 0.0)


def _smoothed(
    scores: Array,
    factor: float,
    *,
    where: Array | None = None,
    segments: Array | None = None,
    **others: Any,
) -> Array:
    del others
    scores, _, _, lists = ops.as_lists(scores, scores, where, segments)
    return jnp.log(jnp.exp(scores - lists.logsumexp(scores)) + factor)


def _name(function: Callable[..., Any]) -> str:
    """The name of a function, or of the function that a partial calls."""
    while isinstance(function, functools.partial):
        function = function.func
    return getattr(function, "__name__", type(function).__name__)


def _takes(function: Callable[..., Any], name: str) -> bool:
    """Whether a function takes a keyword argument."""
    try:
        inspect.signature(function).bind_partial(**{name: None})
    except TypeError:
        return False
    return True


def named(
    prefix: str, function: Callable[..., Any], *keywords: str
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A decorator: gives a function the signature of another, with more keywords, and its name."""
    signature = inspect.signature(function)
    kind = inspect.Parameter.KEYWORD_ONLY
    added = [
        inspect.Parameter(name, kind, default=None)
        for name in keywords
        if name not in signature.parameters
    ]
    parameters = list(signature.parameters.values())
    rest = [p for p in parameters if p.kind is inspect.Parameter.VAR_KEYWORD]
    parameters = [p for p in parameters if p.kind is not inspect.Parameter.VAR_KEYWORD]

    def decorate(made: Callable[..., Any]) -> Callable[..., Any]:
        functools.update_wrapper(made, function, assigned=("__doc__",), updated=())
        made.__name__ = made.__qualname__ = f"{prefix}_{_name(function)}"
        made.__signature__ = signature.replace(  # type: ignore[attr-defined]
            parameters=[*parameters, *added, *rest]
        )
        return made

    return decorate
