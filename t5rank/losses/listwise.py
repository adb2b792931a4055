"""Listwise losses: one value per list.

`t5rank.types` describes the arguments that every loss has. A list without any document does not
count. A list without a relevant document counts, and has loss 0 unless a docstring says otherwise.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from t5rank import ops
from t5rank.metrics.gains import (
    DiscountFn,
    GainFn,
    exponential_gain,
    label_shift,
    log2_discount,
    product,
    relative,
    shifted_gain,
)
from t5rank.ops import Lists
from t5rank.types import Array, Labels, ReduceFn, Scores, Where

LabelFn = Callable[..., Array]


def normalize_probabilities(
    labels: Labels, *, where: Where | None = None, segments: Array | None = None
) -> Array:
    """Labels divided by their sum over the list, for `softmax_loss`; 0 where the sum is 0.

    >>> normalize_probabilities(jnp.array([1, 0, 1])).tolist()
    [0.5, 0.0, 0.5]
    """
    _, labels, _, lists = ops.as_lists(labels, labels, where, segments)
    return _normalized(labels, lists)


def softmax_loss(
    scores: Scores,
    labels: Labels,
    *,
    where: Where | None = None,
    segments: Array | None = None,
    weights: Array | None = None,
    label_fn: LabelFn | None = None,
    virtual_label: float = 0.0,
    reduce_fn: ReduceFn | None = jnp.mean,
) -> Array:
    r"""Softmax cross entropy over each list.

    $$\ell(s, y) = -\sum_i w_i \, y_i \log \frac{e^{s_i}}{\sum_j e^{s_j}}$$

    Labels are not normalized: a list with two relevant documents counts twice. With one relevant
    document this is the loss of RankT5, Zhuang et al. 2022, equation 6. Source: ListNet, Cao et al.
    2007.

    Args:
      weights: they multiply the labels.
      label_fn: maps weighted labels to the target, for example `normalize_probabilities`. It is
        called with `where` and, for flat lists, `segments`.
      virtual_label: the label of an additional document of score 0, which fixes the scale of the
        scores (calibrated softmax, Yan et al. 2022). 0 adds none.

    >>> float(softmax_loss(jnp.array([0.0, 0.0]), jnp.array([1, 0]))) == float(jnp.log(2.0))
    True
    """
    scores, labels, weights, lists = ops.as_lists(scores, labels, where, segments, weights)
    targets = labels * weights
    if label_fn is not None:
        optional = {} if segments is None else {"segments": jnp.asarray(segments)}
        targets = jnp.where(lists.where, label_fn(targets, where=lists.where, **optional), 0.0)
    loss, _ = _cross_entropy(scores, targets, lists)
    if virtual_label:
        log_total = jnp.logaddexp(lists.logsumexp(scores), 0.0)
        log_probabilities = times(targets, scores - log_total)
        loss = virtual_label * log_total - lists.sum(log_probabilities)
    return lists.reduce(loss, reduce_fn, nan_from=scores if virtual_label else None)


def poly1_softmax_loss(
    scores: Scores,
    labels: Labels,
    *,
    epsilon: float = 1.0,
    where: Where | None = None,
    segments: Array | None = None,
    weights: Array | None = None,
    reduce_fn: ReduceFn | None = jnp.mean,
) -> Array:
    r"""Softmax loss plus the probability that the irrelevant documents have.

    $$\ell(s, y) = \mathrm{softmax}(s, y) + \epsilon \Big(1 - \sum_i \frac{w_i y_i}{\sum_j w_j y_j}
    \frac{e^{s_i}}{\sum_j e^{s_j}}\Big)$$

    This is RankT5's Poly1. Source: Leng et al. 2022, equation 5.

    Args:
      epsilon: the weight of the second term. With 0 this is `softmax_loss`.
      weights: they multiply the labels.

    >>> loss = poly1_softmax_loss(jnp.array([0.0, 0.0]), jnp.array([1, 0]), epsilon=2.0)
    >>> (loss - jnp.log(2.0)).round(4).item()
    1.0
    """
    scores, labels, weights, lists = ops.as_lists(scores, labels, where, segments, weights)
    targets = labels * weights
    loss, probabilities = _cross_entropy(scores, targets, lists)
    shares = _normalized(targets, lists)
    found = lists.sum(shares * probabilities)
    loss += epsilon * jnp.where(lists.sum(targets) == 0, 0.0, 1.0 - found)
    return lists.reduce(loss, reduce_fn)


def unique_softmax_loss(
    scores: Scores,
    labels: Labels,
    *,
    where: Where | None = None,
    segments: Array | None = None,
    weights: Array | None = None,
    gain_fn: GainFn | None = exponential_gain,
    reduce_fn: ReduceFn | None = jnp.mean,
) -> Array:
    r"""Softmax cross entropy of each document against the documents that have a lower label.

    $$\ell(s, y) = -\sum_i w_i \, \mathrm{gain}(y_i)
    \log \frac{e^{s_i}}{e^{s_i} + \sum_{j : y_j < y_i} e^{s_j}}$$

    Documents of the same label do not compete with each other. The loss is infinite where a gain
    is more than a float32 holds, which is from a label of 128 on for an exponential gain. Source:
    Zhu and Klabjan 2020, equation 7.

    Args:
      gain_fn: maps a label to its gain; None gives every document 1.

    >>> float(unique_softmax_loss(jnp.zeros(2), jnp.array([1, 0]))) == float(jnp.log(2.0))
    True
    """
    scores, labels, weights, lists = ops.as_lists(scores, labels, where, segments, weights)
    gains = weights if gain_fn is None else product(gain_fn(labels), weights)
    gains = jnp.where(lists.where, gains, 0.0)
    order, (scores_, labels_, gains) = lists.sort(
        [labels], [lists.from_best(scores), labels, gains]
    )
    start = order.tie_start(labels_)
    lower = order.before(order.cumlogsumexp(scores_), start, empty=ops.LOG_ZERO)
    loss = lists.from_sorted(order.sum(times(gains, cost_against(lower, scores_))))
    return lists.reduce(loss, reduce_fn, nan_from=scores + labels)


def lce_loss(
    scores: Scores,
    labels: Labels,
    *,
    where: Where | None = None,
    segments: Array | None = None,
    weights: Array | None = None,
    threshold: float = 1.0,
    reduce_fn: ReduceFn | None = jnp.mean,
) -> Array:
    r"""Localized contrastive estimation: each relevant document against the negatives.

    $$\ell(s, y) = -\frac{1}{\sum_{i \in P} w_i} \sum_{i \in P} w_i
    \log \frac{e^{s_i}}{e^{s_i} + \sum_{j \notin P} e^{s_j}}, \quad P = \{i : y_i \ge t\}$$

    Source: Gao et al. 2021, equation 3, where a list has one relevant document.

    Args:
      threshold: $t$, the smallest label of a relevant document.

    >>> float(lce_loss(jnp.zeros(2), jnp.array([1, 0]))) == float(jnp.log(2.0))
    True
    """
    scores, labels, weights, lists = ops.as_lists(scores, labels, where, segments, weights)
    relevant = lists.where & (labels >= threshold)
    negatives = lists.where & ~relevant
    shifted = lists.from_best(scores)
    others = lists.logsumexp(jnp.where(negatives, shifted, -jnp.inf))
    terms = times(jnp.where(relevant, weights, 0.0), cost_against(others, shifted))
    total = lists.sum(jnp.where(relevant, weights, 0.0))
    loss = jnp.where(total > 0, lists.sum(terms) / jnp.where(total > 0, total, 1.0), 0.0)
    return lists.reduce(loss, reduce_fn, nan_from=scores + labels)


def listmle_loss(
    scores: Scores,
    labels: Labels,
    *,
    key: Array | None = None,
    topn: int | None = None,
    where: Where | None = None,
    segments: Array | None = None,
    weights: Array | None = None,
    reduce_fn: ReduceFn | None = jnp.mean,
) -> Array:
    r"""ListMLE: the likelihood of the labels' order under the Plackett-Luce model.

    $$\ell(s, y) = -\sum_i w_i \log \frac{e^{s_i}}{\sum_{j : y_j \le y_i} e^{s_j}}$$

    Documents with the same label compete as one group (Breslow's treatment of ties), so that their
    order in the list does not matter. With `key` their order is random. A list without a relevant
    document has a loss, too: it is least where all scores are equal. Source: Xia et al. 2008,
    equation 9.

    Args:
      key: a PRNG key for the order of documents with the same label.
      topn: only the first `topn` documents by label have a term (top-k ListMLE).
      weights: they multiply each document's term.

    >>> float(listmle_loss(jnp.zeros(2), jnp.array([1, 0]))) == float(jnp.log(2.0))
    True
    """
    return p_listmle_loss(
        scores,
        labels,
        discount_fn=None,
        key=key,
        topn=topn,
        where=where,
        segments=segments,
        weights=weights,
        reduce_fn=reduce_fn,
    )


def p_listmle_loss(
    scores: Scores,
    labels: Labels,
    *,
    discount_fn: DiscountFn | None = log2_discount,
    key: Array | None = None,
    topn: int | None = None,
    where: Where | None = None,
    segments: Array | None = None,
    weights: Array | None = None,
    reduce_fn: ReduceFn | None = jnp.mean,
) -> Array:
    r"""Position-aware ListMLE, in which mistakes at the first ranks weigh more.

    $$\ell(s, y) = -\sum_i w_i \, \mathrm{discount}(r_i)
    \log \frac{e^{s_i}}{\sum_{j : y_j \le y_i} e^{s_j}}$$

    where $r_i$ is the rank by label. Documents with the same label share their mean discount.
    Source: Lan et al. 2014. Their discount $2^{n-r} - 1$ overflows beyond 128 documents, so that it
    is a choice here (as TF-Ranking's ListMLE lambda weights are), and DCG's by default.

    Args:
      discount_fn: maps a rank, from 1, to its weight; None gives every rank 1.
      key: see `listmle_loss`.
      topn: see `listmle_loss`.
      weights: see `listmle_loss`.

    >>> float(p_listmle_loss(jnp.zeros(2), jnp.array([1, 0]))) == float(jnp.log(2.0))
    True
    """
    weighted = weights is not None
    scores, labels, weights, lists = ops.as_lists(scores, labels, where, segments, weights)
    by_label = ops.best_first(labels)
    keys = (
        [by_label]
        if key is None
        else [by_label, jax.random.uniform(key, scores.shape, jnp.float32)]
    )
    values = [lists.from_best(scores), by_label, *([weights] if weighted else [])]
    order, (scores_, labels_, *weights_) = lists.sort(keys, values)
    log_totals = order.cumlogsumexp(scores_, reverse=True)
    if key is None:
        log_totals = order.after(log_totals, order.tie_start(labels_), empty=ops.LOG_ZERO)
    gains = weights_[0] if weighted else jnp.ones(scores.shape, jnp.float32)
    if discount_fn is not None or topn is not None:
        ranks = jnp.broadcast_to(order.from_one, scores.shape)
        discounts = (
            jnp.ones(scores.shape, jnp.float32) if discount_fn is None else discount_fn(ranks)
        )
        discounts = discounts if topn is None else jnp.where(ranks <= topn, discounts, 0.0)
        gains *= order.tie_mean(discounts, labels_) if key is None else discounts
    last = jnp.isneginf(scores_) & (labels_ == order.max(labels_))
    gains = jnp.where(order.where & ~last, gains, 0.0)
    loss = lists.from_sorted(order.sum(times(gains, cost(log_totals, scores_))))
    return lists.reduce(loss, reduce_fn, nan_from=scores + labels)


def xendcg_loss(
    scores: Scores,
    labels: Labels,
    *,
    key: Array | None = None,
    where: Where | None = None,
    segments: Array | None = None,
    weights: Array | None = None,
    reduce_fn: ReduceFn | None = jnp.mean,
) -> Array:
    r"""XE-NDCG: softmax cross entropy with gains as the target, a convex bound on NDCG.

    $$\ell(s, y) = -\sum_i \frac{\phi_i}{\sum_j \phi_j} \log \frac{e^{s_i}}{\sum_j e^{s_j}}, \quad
    \phi_i = w_i (2^{y_i} - \gamma_i)$$

    LightGBM calls it `rank_xendcg`. Source: Bruch 2021, equations 4 and 5.

    Args:
      key: a PRNG key for $\gamma_i$, which are uniform in [0, 1]. Without it they are 1.
      weights: they multiply the gains.

    >>> float(xendcg_loss(jnp.zeros(2), jnp.array([2, 0]))) == float(jnp.log(2.0))
    True
    """
    scores, labels, weights, lists = ops.as_lists(scores, labels, where, segments, weights)
    shift = label_shift(labels, weights, lists)
    gains = shifted_gain(labels, shift)
    if key is not None:
        gains += (1.0 - jax.random.uniform(key, scores.shape, jnp.float32)) * 2.0**-shift
    gains = jnp.where(lists.where, product(gains, weights), 0.0)
    return lists.reduce(_cross_entropy(scores, _normalized(gains, lists), lists)[0], reduce_fn)


def circle_loss(
    scores: Scores,
    labels: Labels,
    *,
    gamma: float = 64.0,
    margin: float = 0.25,
    where: Where | None = None,
    segments: Array | None = None,
    weights: Array | None = None,
    reduce_fn: ReduceFn | None = jnp.mean,
) -> Array:
    r"""Circle loss, for scores in [0, 1] such as cosines.

    $$\ell(s, y) = \log\Big(1 + \sum_{y_i > y_j} w_i
    e^{\gamma (\alpha_j (s_j - m) - \alpha_i (s_i - 1 + m))}\Big), \quad
    \alpha_i = \max(0, 1 + m - s_i), \; \alpha_j = \max(0, s_j + m)$$

    The factors $\alpha$ have no gradient. The loss takes O(n log n) time. Source: Sun et al. 2020,
    equations 6 and 7; like TF-Ranking it sums over all pairs with different labels.

    Args:
      gamma: $\gamma$, the scale.
      margin: $m$.
      weights: a pair has the weight of its better document.

    >>> round(float(circle_loss(jnp.array([0.5, 0.5]), jnp.array([1, 0]))), 2)  # log(1 + e^24)
    24.0
    """
    scores, labels, weights, lists = ops.as_lists(scores, labels, where, segments, weights)
    finite = ops.finite(scores)
    fixed = jax.lax.stop_gradient(finite)
    better = -gamma * jax.nn.relu(1.0 + margin - fixed) * (finite - 1.0 + margin)
    worse = gamma * jax.nn.relu(fixed + margin) * (finite - margin)
    order, (better, worse, ordered, weights_) = lists.sort(
        [labels], [better, worse, labels, weights]
    )
    start = order.tie_start(ordered)
    lower = order.before(order.cumlogsumexp(worse), start, empty=ops.LOG_ZERO)
    counts = order.where & (lower > ops.LOG_ZERO / 2) & (weights_ > 0)
    log_weights = jnp.log(jnp.where(counts, weights_, 1.0))
    pairs = jnp.where(counts, better + lower + log_weights, -jnp.inf)
    total = lists.from_sorted(order.logsumexp(pairs))
    return lists.reduce(jnp.logaddexp(total, 0.0), reduce_fn, nan_from=scores + labels)


def _cross_entropy(scores: Array, targets: Array, lists: Lists) -> tuple[Array, Array]:
    """`(loss, probabilities)` of the softmax over each list. A NaN score makes the loss NaN."""
    shifted = lists.from_best(scores)
    exponentials = jnp.exp(shifted)
    total = lists.sum(exponentials)
    total = jnp.where(total == 0, 1.0, total)
    log_total = jnp.log(total)
    nan = 0.0 * jax.lax.stop_gradient(log_total)
    loss = times(lists.sum(targets), log_total) - lists.sum(times(targets, shifted)) + nan
    return loss, exponentials / total


def _normalized(labels: Array, lists: Lists) -> Array:
    labels = relative(labels, lists)
    total = lists.sum(labels)
    return jnp.where(total == 0, 0.0, labels / jnp.where(total == 0, 1.0, total))


def times(gains: Array, values: Array) -> Array:
    """The product, but 0 times an infinite value is 0, and so are both of its gradients."""
    return product(gains, jnp.where(gains == 0, 0.0, values))


def cost(log_total: Array, score: Array) -> Array:
    """`-log(exp(score) / exp(log_total))`; inf for a score of -inf, whose gradient is 0."""
    known = ~jnp.isneginf(score)
    difference = jnp.where(known, log_total, 0.0) - jnp.where(known, score, 0.0)
    return jnp.where(known, difference, jnp.inf)


def cost_against(log_others: Array, score: Array) -> Array:
    """`-log(exp(score) / (exp(score) + exp(log_others)))`; 0 without other documents."""
    alone = log_others < ops.LOG_ZERO / 2
    known = ~alone & ~jnp.isneginf(score)
    difference = jnp.where(known, log_others, 0.0) - jnp.where(known, score, 0.0)
    return jnp.where(alone, 0.0, jnp.where(known, jax.nn.softplus(difference), jnp.inf))
