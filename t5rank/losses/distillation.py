"""Losses that learn from a teacher: `labels` are its scores.

Arguments not described here are those of every loss, see `t5rank.types`.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Num

from t5rank import ops
from t5rank.losses.listwise import listmle_loss, times
from t5rank.metrics.gains import DiscountFn, log2_discount, product
from t5rank.types import Array, Labels, ReduceFn, Scores, Where


def kl_loss(
    scores: Scores,
    labels: Labels,
    *,
    temperature: float = 1.0,
    reverse: bool = False,
    where: Where | None = None,
    segments: Array | None = None,
    weights: Array | None = None,
    reduce_fn: ReduceFn | None = jnp.mean,
) -> Array:
    r"""Divergence of the student's from the teacher's distribution over the list.

    $$\ell(s, y) = T^2 \sum_i w_i \, p_i \, (\log p_i - \log q_i), \quad
    p = \mathrm{softmax}(y / T), \; q = \mathrm{softmax}(s / T)$$

    The factor keeps the gradient's size as the temperature grows. Labels have a gradient, too: stop
    it where a teacher is not to learn from its student. Source: Hinton et al. 2015, section 2.

    Args:
      temperature: $T$.
      reverse: whether the student's distribution weighs the terms, $q_i (\log q_i - \log p_i)$, as
        in RocketQAv2 (Ren et al. 2021).

    Raises:
      ValueError: the temperature is not positive.

    >>> float(kl_loss(jnp.array([3.0, 1.0]), jnp.array([2.0, 0.0])))
    0.0
    """
    _check_positive("temperature", temperature)
    scores, labels, weights, lists = ops.as_lists(scores, labels, where, segments, weights)
    teacher = lists.log_softmax(labels / temperature)
    student = lists.log_softmax(scores / temperature)
    first, second = (student, teacher) if reverse else (teacher, student)
    probabilities = jnp.where(lists.where, weights * jnp.exp(first), 0.0)
    loss = temperature**2 * lists.sum(times(probabilities, first - second))
    return lists.reduce(loss, reduce_fn, nan_from=scores + labels)


def symmetric_kl_loss(
    scores: Scores,
    labels: Labels,
    *,
    where: Where | None = None,
    segments: Array | None = None,
    weights: Array | None = None,
    reduce_fn: ReduceFn | None = jnp.mean,
) -> Array:
    r"""Divergence of two distributions over the list from each other, both ways.

    $$\ell(s, y) = \sum_i w_i \, (p_i - q_i)(\log p_i - \log q_i), \quad
    p = \mathrm{softmax}(y), \; q = \mathrm{softmax}(s)$$

    which is KL(p, q) + KL(q, p). `labels` are scores of the same documents by a second pass with
    another dropout; both have a gradient. Source: Liang et al. 2021 (R-Drop), equation 2, twice
    that; ERNIE-Search's DualReg is R-Drop on the query's tower (our reading of Lu et al. 2022).

    >>> float(symmetric_kl_loss(jnp.array([3.0, 1.0]), jnp.array([2.0, 0.0])))
    0.0
    """
    scores, labels, weights, lists = ops.as_lists(scores, labels, where, segments, weights)
    one, other = lists.log_softmax(labels), lists.log_softmax(scores)
    difference = jnp.where(lists.where, weights * (jnp.exp(one) - jnp.exp(other)), 0.0)
    loss = lists.sum(times(difference, one - other))
    return lists.reduce(loss, reduce_fn, nan_from=scores + labels)


def attention_loss(
    cross_attention: Float[Array, "*pairs query document"],
    similarities: Float[Array, "*pairs query document"],
    *,
    query_mask: Num[Array, "*pairs query"] | Bool[Array, "*pairs query"],
    document_mask: Num[Array, "*pairs document"] | Bool[Array, "*pairs document"],
    temperature: float = 1.0,
    reduce_fn: ReduceFn | None = jnp.mean,
) -> Array:
    r"""Divergence of a late interaction's token matrix from a cross-encoder's attention.

    $$\ell(A, S) = \frac{1}{|q|} \sum_{i \in q} \mathrm{KL}\left(\frac{A_{i \cdot}}
    {\sum_{j \in d} A_{ij}} \,\Big\|\, \mathrm{softmax}_j(S_{i \cdot} / T)\right)$$

    for every pair of a query and a document. A query token without any attention to the document
    has no term. The attention has a gradient, too: stop it where the teacher is not to learn from
    its student. Source: the token-level loss of ERNIE-Search (Lu et al. 2022); that attention is
    renormalized over the document, and the mean over tokens, are our reading.

    Args:
      cross_attention: $A$, from each query token to each document token, none below 0; for example
        the mean over the heads of the last layer.
      similarities: $S$, of the token vectors.
      query_mask: `[..., query]`, True (non-zero) at the query's tokens.
      document_mask: `[..., document]`, True (non-zero) at the document's tokens.
      temperature: $T$.
      reduce_fn: over pairs, see `t5rank.types`. A pair without tokens on a side does not count.

    Raises:
      ValueError: the temperature is not positive, or shapes differ.

    >>> similarities = jnp.log(jnp.array([[3.0, 1.0]]))
    >>> options = {"query_mask": jnp.ones(1), "document_mask": jnp.ones(2)}
    >>> abs(float(attention_loss(jnp.array([[0.3, 0.1]]), similarities, **options))) < 1e-6
    True
    """
    _check_positive("temperature", temperature)
    query_mask, document_mask = jnp.asarray(query_mask) != 0, jnp.asarray(document_mask) != 0
    where = query_mask[..., :, None] & document_mask[..., None, :]
    student, attention, _, lists = ops.as_lists(similarities, cross_attention, where)
    total = lists.sum(attention)
    attention = attention / jnp.where(total > 0, total, 1.0)
    log_attention = jnp.log(jnp.where(attention > 0, attention, 1.0))
    terms = times(attention, log_attention - lists.log_softmax(student / temperature))
    tokens = jnp.sum(query_mask, axis=-1, dtype=jnp.float32)
    loss = jnp.sum(lists.sum(terms)[..., 0], axis=-1) / jnp.maximum(tokens, 1.0)
    return ops.reduce(loss, jnp.any(where, axis=(-2, -1)), reduce_fn)


def margin_mse_loss(
    scores: Scores,
    labels: Labels,
    *,
    where: Where | None = None,
    segments: Array | None = None,
    weights: Array | None = None,
    reduce_fn: ReduceFn | None = jnp.mean,
) -> Array:
    r"""Margin-MSE: squared errors of the margins of the teacher's best document over the others.

    $$\ell(s, y) = \frac{\sum_{j : y_j < y_i} w_j \left((s_i - s_j) - (y_i - y_j)\right)^2}
    {\sum_{j : y_j < y_i} w_j}, \quad y_i = \max_j y_j$$

    It is averaged over the documents i if several share the highest label. It is infinite where a
    square is more than a float32 holds, as from a margin of 2e19 on; the gradient is then exact
    unless it overflows itself. Source: Hofstätter et al. 2020, equation 3, where a list is one
    relevant and one other document.

    >>> float(margin_mse_loss(jnp.array([3.0, 0.0]), jnp.array([2.0, 1.0])))  # (3 - 1)^2
    4.0
    """
    scores, labels, weights, lists = ops.as_lists(scores, labels, where, segments, weights)
    best = lists.where & (labels == lists.max(labels))
    others = lists.where & ~best
    of_others = jnp.where(others, weights, 0.0)
    total, number = lists.sum(of_others), lists.sum(best.astype(jnp.float32))
    # Half of each error: the difference of two labels can be more than a float32 holds.
    error = lists.from_best(0.5 * ops.finite(scores)) - lists.from_best(0.5 * labels)
    # The sum over best i and other j of w_j (e_i - e_j)^2, with errors about the mean of the best.
    error -= lists.sum(jnp.where(best, error, 0.0)) / jnp.maximum(number, 1.0)
    squares = product(4.0 * lists.sum(jnp.where(best, error, 0.0) ** 2), total)
    squares += number * lists.sum(product(4.0 * jnp.where(others, error, 0.0) ** 2, of_others))
    pairs = total * number
    loss = jnp.where(pairs > 0, squares / jnp.where(pairs > 0, pairs, 1.0), 0.0)
    return lists.reduce(loss, reduce_fn, nan_from=scores + labels)


def adr_mse_loss(
    scores: Scores,
    labels: Labels,
    *,
    temperature: float = 1.0,
    discount_fn: DiscountFn = log2_discount,
    where: Where | None = None,
    segments: Array | None = None,
    weights: Array | None = None,
    reduce_fn: ReduceFn | None = jnp.mean,
) -> Array:
    r"""ADR-MSE: squared error of approximate ranks, discounted by the teacher's rank.

    $$\ell(s, y) = \frac{1}{n} \sum_i w_i \, \mathrm{discount}(r_i) (\hat r_i - r_i)^2, \quad
    \hat r_i = 1 + \sum_{j \ne i} \sigma\left(\frac{s_j - s_i}{T}\right)$$

    Documents with the same label share their mean rank $r$. Source: Schlatt et al. 2024
    (Rank-DistiLLM), section 3.

    Args:
      temperature: $T$.
      discount_fn: rank, from 1, to weight.

    Raises:
      ValueError: the temperature is not positive.

    >>> float(adr_mse_loss(jnp.array([900.0, 0.0]), jnp.array([2.0, 1.0])))
    0.0
    """
    _check_positive("temperature", temperature)
    scores, labels, weights, lists = ops.as_lists(scores, labels, where, segments, weights)
    order, (ordered, indices) = lists.sort([ops.best_first(labels)], [labels, lists.indices])
    positions = jnp.broadcast_to(order.from_one, scores.shape)
    ranks = ops.unsort(order.tie_mean(positions, ordered), indices)

    def beats(i: ops.Items, j: ops.Items) -> tuple[Array, Array]:
        step = jax.nn.sigmoid((j[0][0] - i[0][0]) / temperature)
        return step, jnp.ones(step.shape, bool)

    # A document's step over itself is 1/2.
    approximate = 0.5 + ops.row_sums(beats, lists, ((ops.finite(scores),), ()))
    errors = jnp.where(
        lists.where, (approximate - ranks) ** 2 * discount_fn(jnp.maximum(ranks, 1.0)), 0.0
    )
    return lists.reduce(lists.mean(weights * errors), reduce_fn, nan_from=scores + labels)


def rank_distil_loss(
    scores: Scores,
    labels: Labels,
    *,
    key: Array | None = None,
    topn: int | None = None,
    samples: int = 8,
    temperature: float = 1.0,
    where: Where | None = None,
    segments: Array | None = None,
    weights: Array | None = None,
    reduce_fn: ReduceFn | None = jnp.mean,
) -> Array:
    r"""RankDistil: ListMLE of rankings drawn from the teacher, of which the first `topn` matter.

    A ranking is drawn from the Plackett-Luce distribution of $y / T$ by sorting $y / T$ plus Gumbel
    noise. Without `key` it is the teacher's own ranking, `listmle_loss`. Source: Reddi et al. 2021,
    section 4.

    Args:
      key: a PRNG key for the rankings.
      topn: how many ranks of the teacher have a term; all by default.
      samples: the number of rankings, whose losses are averaged.
      temperature: $T$ of the teacher.

    Raises:
      ValueError: the temperature or the number of samples is not positive.
    """
    _check_positive("temperature", temperature)
    _check_positive("samples", samples)

    @jax.checkpoint
    def loss(targets: Array, scores: Array) -> Array:
        return listmle_loss(
            scores,
            targets,
            topn=topn,
            where=where,
            segments=segments,
            weights=weights,
            reduce_fn=reduce_fn,
        )

    if key is None:
        return loss(labels, scores)
    scores, labels = jnp.asarray(scores), jnp.asarray(labels)

    def sample(key: Array) -> Array:
        noise = jax.random.gumbel(key, labels.shape, jnp.float32)
        return loss(labels.astype(jnp.float32) / temperature + noise, scores)

    return jnp.mean(jax.lax.map(sample, jax.random.split(key, samples)), axis=0)


def _check_positive(name: str, value: float) -> None:
    if not value > 0:
        raise ValueError(f"Argument '{name}' has {value}; expected a number above 0.")
