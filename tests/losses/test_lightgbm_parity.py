"""LightGBM's lambdarank has the gradients of the logistic loss with DCG weights.

LightGBM does not show its gradients. They follow from a tree in which every document has its own
leaf, and which is refitted with the objective. The leaf's value is -G / (H + L2), where G and H are
the derivatives at the document's score. With a large L2 it is -G / L2.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from feature_rows import FeatureRows, read_rows

from t5rank.losses.lambdaweights import dcg_lambdaweight
from t5rank.losses.pairwise import pairwise_logistic_loss

try:
    import lightgbm
except OSError as error:  # it needs OpenMP's library, which not every system has
    pytest.skip(f"LightGBM does not load: {error}", allow_module_level=True)

L2 = 1e9
LAMBDARANK = {
    "objective": "lambdarank",
    "lambdarank_norm": False,
    "lambdarank_truncation_level": 1000,  # of ranks: all
    "sigmoid": 1.0,
    "lambda_l2": L2,
}


def tree_of_single_documents(numbers):
    count = len(numbers)
    parameters = {
        "objective": "regression",
        "num_leaves": count,
        "max_bin": count + 1,
        "min_data_in_bin": 1,
        "min_data_in_leaf": 1,
        "min_sum_hessian_in_leaf": 0.0,
        "learning_rate": 1.0,
        "verbosity": -1,
    }
    dataset = lightgbm.Dataset(numbers, numbers[:, 0])
    tree = lightgbm.train(parameters, dataset, num_boost_round=1)
    assert len(np.unique(tree.predict(numbers, pred_leaf=True))) == count
    return tree


def lightgbm_gradients(scores, rows):
    numbers = np.arange(len(scores), dtype=float)[:, None]
    tree = tree_of_single_documents(numbers)
    tree.params |= LAMBDARANK
    sizes = rows.group_sizes
    refitted = tree.refit(numbers, rows.labels, decay_rate=0.0, group=sizes, init_score=scores)
    return -L2 * refitted.predict(numbers, raw_score=True)


def our_gradients(scores, rows):
    lists = dataclasses.replace(rows, features=scores[:, None]).padded()

    def loss(scores):
        return pairwise_logistic_loss(
            scores,
            lists.labels,
            where=lists.where,
            lambdaweight_fn=dcg_lambdaweight(normalize=True),
            reduce_fn=jnp.sum,
        )

    gradients = jax.jit(jax.grad(loss))(jnp.asarray(lists.features[..., 0]))
    return np.asarray(gradients / rows.group_sizes[:, None])[lists.where]  # weights are times n


def exact_gradients(scores, rows):
    """Burges et al. 2006 in float64: -|dNDCG| / (1 + exp(s_i - s_j)) for every better i."""
    gradients = []
    ends = np.cumsum(rows.group_sizes)[:-1]
    for s, y in zip(np.split(scores, ends), np.split(rows.labels, ends), strict=True):
        s, gain = s.astype(float), 2.0**y - 1
        rank = np.empty(len(s))
        rank[np.argsort(-s, kind="stable")] = np.arange(1, len(s) + 1)
        discount = 1 / np.log2(1 + rank)
        ideal = np.sort(gain)[::-1] @ np.sort(discount)[::-1]
        change = np.abs(np.subtract.outer(gain, gain) * np.subtract.outer(discount, discount))
        slope = -change / max(ideal, 1e-30) / (1 + np.exp(np.subtract.outer(s, s)))
        slope = np.where(np.greater.outer(y, y), slope, 0.0)
        gradients.append(slope.sum(1) - slope.sum(0))
    return np.concatenate(gradients)


def test_two_documents_by_hand():
    rows = FeatureRows(np.zeros((2, 1)), np.array([0.0, 1.0]), [2], ("q",))
    # Equal scores rank in order, so NDCG is 1 / log2(3); swapped it is 1. The slope of
    # log(1 + exp(-x)) at 0 is -1/2.
    expected = 0.5 * (1 - 1 / np.log2(3))
    for gradients in (lightgbm_gradients, our_gradients, exact_gradients):
        result = gradients(np.zeros(2, np.float32), rows)
        np.testing.assert_allclose(result, [expected, -expected], atol=1e-6)


@pytest.mark.parametrize("part", ["rank.test", "rank.train"])
@pytest.mark.parametrize("spread", [0.1, 1.0, 5.0])
def test_real_lists(shared_data, part, spread):
    rows = read_rows(shared_data / "ltr_lightgbm" / part)
    scores = np.random.default_rng(0).normal(0, spread, len(rows.labels)).astype(np.float32)
    expected = lightgbm_gradients(scores, rows)
    assert np.abs(expected).max() > 0.1
    found, exact = our_gradients(scores, rows), exact_gradients(scores, rows)
    np.testing.assert_allclose(found, exact, rtol=5e-6, atol=1e-6)
    # LightGBM reads the logistic function from a table: it is that far from the exact one, too.
    np.testing.assert_allclose(expected, exact, rtol=5e-5, atol=1e-5)
    np.testing.assert_allclose(found, expected, rtol=5e-5, atol=1e-5)
