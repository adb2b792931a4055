"""Ranking losses in JAX: `loss(scores, labels, *, where, segments, weights, reduce_fn)`.

`t5rank.types` describes the arguments. Lists are padded, `[..., list]` with `where`, or flat, with
`segments`. `t5rank.losses.transformations` makes losses of metrics.
"""

from t5rank.losses.adaptive import adaptive_margin_loss, adaptive_softmax_loss
from t5rank.losses.arp import arp1_loss, arp2_loss
from t5rank.losses.combinations import mixture, per_list, with_temperature
from t5rank.losses.contrastive import (
    additive_margin,
    hardness_weighted,
    label_smoothed,
    symmetric,
)
from t5rank.losses.distillation import (
    adr_mse_loss,
    attention_loss,
    kl_loss,
    margin_mse_loss,
    rank_distil_loss,
    symmetric_kl_loss,
)
from t5rank.losses.lambdaweights import (
    ap_lambdaweight,
    dcg2_lambdaweight,
    dcg_lambdaweight,
    labeldiff_lambdaweight,
    metric_lambdaweight,
    mrr_lambdaweight,
    ndcg2pp_lambdaweight,
    precision_lambdaweight,
)
from t5rank.losses.listwise import (
    circle_loss,
    lce_loss,
    listmle_loss,
    normalize_probabilities,
    p_listmle_loss,
    poly1_softmax_loss,
    softmax_loss,
    unique_softmax_loss,
    xendcg_loss,
)
from t5rank.losses.neural_sort import neural_ndcg_loss, neural_sort_loss
from t5rank.losses.pair_weights import Lambdaweight
from t5rank.losses.pairwise import (
    pairwise_hinge_loss,
    pairwise_logistic_loss,
    pairwise_loss,
    pairwise_mse_loss,
    pairwise_quantile_loss,
    pairwise_soft_zero_one_loss,
)
from t5rank.losses.pointwise import log_probability_loss, mse_loss, ordinal_loss, sigmoid_loss

__all__ = [
    "Lambdaweight",
    "adaptive_margin_loss",
    "adaptive_softmax_loss",
    "additive_margin",
    "adr_mse_loss",
    "ap_lambdaweight",
    "arp1_loss",
    "arp2_loss",
    "attention_loss",
    "circle_loss",
    "dcg2_lambdaweight",
    "dcg_lambdaweight",
    "hardness_weighted",
    "kl_loss",
    "label_smoothed",
    "labeldiff_lambdaweight",
    "lce_loss",
    "listmle_loss",
    "log_probability_loss",
    "margin_mse_loss",
    "metric_lambdaweight",
    "mixture",
    "mrr_lambdaweight",
    "mse_loss",
    "ndcg2pp_lambdaweight",
    "neural_ndcg_loss",
    "neural_sort_loss",
    "normalize_probabilities",
    "ordinal_loss",
    "p_listmle_loss",
    "pairwise_hinge_loss",
    "pairwise_logistic_loss",
    "pairwise_loss",
    "pairwise_mse_loss",
    "pairwise_quantile_loss",
    "pairwise_soft_zero_one_loss",
    "per_list",
    "poly1_softmax_loss",
    "precision_lambdaweight",
    "rank_distil_loss",
    "sigmoid_loss",
    "softmax_loss",
    "symmetric",
    "symmetric_kl_loss",
    "unique_softmax_loss",
    "with_temperature",
    "xendcg_loss",
]
