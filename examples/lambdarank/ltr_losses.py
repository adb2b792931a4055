"""The losses that are compared, by name: `loss(scores, labels, where, key)`."""

from collections.abc import Callable

from t5rank import losses, metrics
from t5rank.losses import transformations
from t5rank.types import Array

LtrLoss = Callable[[Array, Array, Array, Array], Array]

HIGHEST_GRADE = 4.0  # of the data; the sigmoid loss wants probabilities


APPROX_NDCG = transformations.approx_t12n(metrics.ndcg_metric)
GUMBEL_NDCG = transformations.gumbel_t12n(APPROX_NDCG, samples=8)

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
    "XE-NDCG": lambda s, y, where, key: losses.xendcg_loss(s, y, where=where, key=key),
    "ListMLE": lambda s, y, where, key: losses.listmle_loss(s, y, where=where),
    # Metrics made smooth.
    "approx NDCG": lambda s, y, where, key: APPROX_NDCG(s, y, where=where),
    "Gumbel approx NDCG": lambda s, y, where, key: GUMBEL_NDCG(s, y, where=where, key=key),
    "neural NDCG": lambda s, y, where, key: losses.neural_ndcg_loss(s, y, where=where),
}
