"""Every loss, metric, lambda weight and transformation, and a batch for them.

Compiling is what costs: tests share the program of `compiled`, and what the same code does for
every function (types, noise, eager calls) is asked of one function of each kind.
"""

import functools

import jax
import numpy as np
import pytest

from t5rank import losses, metrics
from t5rank.losses import transformations as t

NAN, INF = float("nan"), float("inf")
KEY = jax.random.key(0)
SIZE, SUBTOPICS = 6, 2


def public(module, ending):
    return {name: getattr(module, name) for name in module.__all__ if name.endswith(ending)}


LOSSES = public(losses, "_loss")
# One needs a function of the user (the other pairwise losses are made of it), one takes no scores
# above 0 (tests/losses/test_pointwise.py), one takes matrices of tokens, and two are below, with
# what they ask for.
ADAPTIVE = ("adaptive_margin_loss", "adaptive_softmax_loss")
for other in ("pairwise_loss", "log_probability_loss", "attention_loss", *ADAPTIVE):
    del LOSSES[other]
METRICS = public(metrics, "_metric")
OF_SUBTOPICS = {name for name in METRICS if name.startswith(("alpha_dcg", "precision_ia"))}
# Approximations replace ranks and cutoffs: two metrics have neither, and less of ARP is better.
NOT_SMOOTH = {"opa_metric", "bpref_metric", "arp_metric"}
SMOOTH = {name: METRICS[name] for name in METRICS if name not in NOT_SMOOTH}
LAMBDAWEIGHTS = {
    "labeldiff": losses.labeldiff_lambdaweight(),
    "dcg": losses.dcg_lambdaweight(normalize=True, topn=3),
    "dcg_smooth": losses.dcg_lambdaweight(smooth_fraction=0.3),
    "dcg2": losses.dcg2_lambdaweight(topn=3),
    "ndcg2pp": losses.ndcg2pp_lambdaweight(),
    "precision": losses.precision_lambdaweight(topn=2),
    "mrr": losses.mrr_lambdaweight(),
    "ap": losses.ap_lambdaweight(),
}


def with_topn(metric):
    return functools.partial(metric, topn=3)


def of_cosines(loss):
    """The scores are those of the relevant document, too."""
    return lambda scores, labels, **kwargs: loss(
        scores, labels, positive_scores=scores, scale=2.0, **kwargs
    )


# One function for each way of being computed.
KINDS = [
    "sigmoid_loss",  # document by document
    "softmax_loss",
    "xendcg_loss",  # with noise
    "pairwise_logistic_loss",  # in blocks of pairs
    "listmle_loss",  # sorted
    "neural_ndcg_loss",  # with matrices
    "ndcg_metric",
    "alpha_dcg_metric",  # of subtopics
]
TRANSFORMED = (
    {f"approx {name}": t.approx_t12n(with_topn(m)) for name, m in SMOOTH.items()}
    | {f"bound {name}": t.bound_t12n(with_topn(m)) for name, m in SMOOTH.items()}
    | {
        f"gumbel {name}": functools.partial(
            t.gumbel_t12n((LOSSES | METRICS)[name], samples=2), key=KEY
        )
        for name in KINDS
    }
    | {
        f"gumbel approx {name}": functools.partial(
            t.gumbel_t12n(t.approx_t12n(with_topn(SMOOTH[name])), samples=2), key=KEY
        )
        for name in ("ndcg_metric", "alpha_dcg_metric")
    }
)
COMBINED = {
    f"logistic with {name}": functools.partial(losses.pairwise_logistic_loss, lambdaweight_fn=w)
    for name, w in LAMBDAWEIGHTS.items()
} | {
    "hinge with dcg": functools.partial(
        losses.pairwise_hinge_loss, lambdaweight_fn=LAMBDAWEIGHTS["dcg"]
    ),
    "mse with dcg2": functools.partial(
        losses.pairwise_mse_loss, lambdaweight_fn=LAMBDAWEIGHTS["dcg2"]
    ),
    "normalized softmax": functools.partial(
        losses.softmax_loss, label_fn=losses.normalize_probabilities
    ),
    "calibrated softmax": functools.partial(losses.softmax_loss, virtual_label=0.5),
    "softmax at 2": losses.with_temperature(losses.softmax_loss, 2.0),
    "logistic per list": losses.per_list(losses.pairwise_logistic_loss),
    "mixture": losses.mixture([losses.softmax_loss, losses.pairwise_hinge_loss], [1.0, 0.5]),
    "reverse kl_loss": functools.partial(losses.kl_loss, reverse=True),
    "smoothed softmax with a margin": losses.additive_margin(
        losses.label_smoothed(losses.softmax_loss, 0.1), 0.5
    ),
    "softmax by hardness": functools.partial(
        losses.hardness_weighted(losses.softmax_loss, 2.0), scale=2.0
    ),
    **{name: of_cosines(getattr(losses, name)) for name in ADAPTIVE},
    "ndcg@2": functools.partial(metrics.ndcg_metric, topn=2),
    "ndcg of averaged ties": functools.partial(metrics.ndcg_metric, ties="average"),
    "mrr of averaged ties": functools.partial(metrics.mrr_metric, ties="average"),
}
CASES = LOSSES | METRICS | COMBINED | TRANSFORMED
# Noise belongs to the slots: it neither moves with the documents nor is the same in other shapes.
PLAIN = {name: case for name, case in CASES.items() if "gumbel" not in name}
# Of tied documents the first is the adaptive losses' relevant one.
WITHOUT_ORDER = {name: case for name, case in PLAIN.items() if name not in ADAPTIVE}
PAIRWISE = {
    n: c
    for n, c in (LOSSES | COMBINED).items()
    if n.startswith(("pair", "logistic with", "hinge", "mse w"))
}


def every(cases):
    return pytest.mark.parametrize("name", sorted(cases))  # alike in every worker


def subtopics(name):
    return any(metric in name for metric in OF_SUBTOPICS)


def differentiable(name):
    metric = "_metric" in name or name.startswith(("ndcg@", "ndcg of", "mrr of"))
    return not metric or "approx" in name or "bound" in name


def batch(name, lists=4, seed=0):
    """Tie-free scores, grades 0 to 2, and a mask: lists of different sizes, one empty."""
    rng = np.random.default_rng(seed)
    scores = (rng.permutation(lists * SIZE).reshape(lists, SIZE) - 10.5).astype(np.float32) / 7
    shape = (lists, SIZE, SUBTOPICS) if subtopics(name) else (lists, SIZE)
    labels = rng.choice([0.0, 0.0, 1.0, 2.0], size=shape).astype(np.float32)
    where = np.arange(SIZE) < rng.integers(2, SIZE + 1, (lists, 1))
    where = rng.permuted(where, axis=1)
    where[-1] = False
    return scores, labels, where


@functools.cache
def compiled(name):
    """`(value, gradient)` of a case; a metric's gradient is 0."""

    @jax.jit
    def call(scores, labels, where):
        return jax.value_and_grad(lambda s: CASES[name](s, labels, where=where))(scores)

    return call


def assert_close(ours, expected, rtol=2e-5, atol=2e-6):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol, atol), ours, expected)
