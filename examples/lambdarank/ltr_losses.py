"""The losses that are compared, by name: `loss(scores, labels, where, key)`."""

from collections.abc import Callable

from t5rank import losses, metrics
from t5rank.types import Array

LtrLoss = Callable[[Array, Array, Array, Array], Array]

HIGHEST_GRADE = 4.0  # of the data; the sigmoid loss wants probabilities

LOSSES: dict[str, LtrLoss] = {
    # Pointwise.
    "mse": lambda s, y, where, key: losses.mse_loss(s, y, where=where),
    "sigmoid": lambda s, y, where, key: losses.sigmoid_loss(s, y / HIGHEST_GRADE, where=where),
    # Pairwise.
    "hinge": lambda s, y, where, key: losses.pairwise_hinge_loss(s, y, where=where),
    "logistic": lambda s, y, where, key: losses.pairwise_logistic_loss(s, y, where=where),
    "logistic, DCG weights (LambdaRank)": lambda s, y, where, key: losses.pairwise_logistic_loss(
        s, y, where=where, lambdaweight_fn=losses.dcg_lambdaweight(normalize=True)
    ),
    "logistic, DCG2 weights": lambda s, y, where, key: losses.pairwise_logistic_loss(
        s, y, where=where, lambdaweight_fn=losses.dcg2_lambdaweight(normalize=True)
    ),
    # Listwise.
    "softmax": lambda s, y, where, key: losses.softmax_loss(s, y, where=where),
    "poly1 softmax": lambda s, y, where, key: losses.poly1_softmax_loss(s, y, where=where),
    "unique softmax": lambda s, y, where, key: losses.unique_softmax_loss(s, y, where=where),
    "ListMLE": lambda s, y, where, key: losses.listmle_loss(s, y, where=where),
    # Metrics made smooth.
    "approx NDCG": lambda s, y, where, key: _APPROX_NDCG(s, y, where=where),
    "Gumbel approx NDCG": lambda s, y, where, key: _GUMBEL_NDCG(s, y, where=where, key=key),
    "neural NDCG": lambda s, y, where, key: losses.neural_ndcg_loss(s, y, where=where),
}


def _APPROX_NDCG(*a, **k):
    from t5rank import transformations

    return transformations.approx_t12n(metrics.ndcg_metric)(*a, **k)


def _GUMBEL_NDCG(*a, **k):
    from t5rank import transformations

    return transformations.gumbel_t12n(_APPROX_NDCG, samples=8)(*a, **k)
