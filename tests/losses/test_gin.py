"""Every loss of gin/losses, or of runs/losses.gin, is a LOSS_FN that a model trains with."""

import functools
import re
from pathlib import Path

import gin
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from t5rank import losses
from t5rank.losses.combinations import takes
from t5rank.models import monot5, network, ranking
from t5rank.models.dual_encoder import DualEncoder, VectorHead
from t5rank.models.rankt5_encoder import EncoderHead, EncoderScorer

GIN = Path(__file__).parents[2] / "gin"
FILES = sorted((GIN / "losses").glob("*.gin"))
# A reranker has not what these ask for.
OF_RETRIEVAL = ("adaptive_margin", "adaptive_softmax", "softmax_hardness", "softmax_symmetric")
PLAIN = re.findall(r"@losses\.(\w+),", (GIN / "runs/losses.gin").read_text())
CONFIG = network.T5Config(
    vocab_size=50,
    emb_dim=8,
    num_heads=1,
    num_encoder_layers=0,  # quick to compile
    num_decoder_layers=0,
    head_dim=8,
    mlp_dim=16,
)
ENCODER = EncoderScorer(CONFIG, pooling="mean"), EncoderHead()
DUAL_ENCODER = DualEncoder(CONFIG, 8), VectorHead()
MONOT5 = network.Transformer(CONFIG), monot5.MonoT5Head(true_id=3, false_id=4)
RECIPE = """
from __gin__ import dynamic_registration
{}
from t5rank.models import ranking
ranking.RankingModel.loss_fn = %LOSS_FN
from t5rank.models import retrieval
retrieval.RetrievalModel.loss_fn = %LOSS_FN
"""


def model_of(name):
    plain = f"from t5rank import losses\nLOSS_FN = @losses.{name}"
    gin.parse_config(
        RECIPE.format(plain if name in PLAIN else f"include 't5rank/configs/losses/{name}.gin'")
    )
    if name == "lambda_precision":  # at a rank that the short lists below have
        gin.parse_config("losses.precision_lambdaweight.topn = 1")
    # The loss of log probabilities needs scores that are log probabilities.
    parts = MONOT5 if name == "log_probability_loss" else ENCODER
    return gin.get_configurable("ranking.RankingModel")(*parts), params_of(parts)


BATCH = {
    "encoder_input_tokens": np.random.default_rng(0).integers(3, 50, (4, 3, 5)).astype(np.int32),
    "label": np.array([[2, 1, 0], [0, 1, 0], [0, 0, 3], [1, 0, 0]], np.float32),
    "mask": np.array([[1, 1, 1], [1, 1, 0], [1, 1, 1], [1, 1, 1]], bool),
}


@functools.cache
def params_of(network_and_head):
    model, shapes = ranking.RankingModel(*network_and_head), {"encoder_input_tokens": (4, 3, 5)}
    return model.get_initial_variables(jax.random.key(0), shapes)["params"]


@pytest.mark.parametrize("name", OF_RETRIEVAL)
def test_loss_of_retrieval_asks_for_what_only_it_has(name):
    gin.parse_config(RECIPE.format(f"include 't5rank/configs/losses/{name}.gin'"))
    with pytest.raises(ValueError, match="is for dual encoders"):
        gin.get_configurable("ranking.RankingModel")(*ENCODER)
    loss_fn = gin.get_configurable("retrieval.RetrievalModel")(*DUAL_ENCODER).loss_fn
    asked = {"positive_scores": jnp.eye(2, 3), "scale": 20.0}
    own = {argument: x for argument, x in asked.items() if takes(loss_fn, argument)}
    gradient = jax.grad(lambda s: loss_fn(s, jnp.eye(2, 3), **own))(jnp.eye(2, 3) / 3)
    assert own and np.any(gradient != 0) and np.all(np.isfinite(gradient))


@pytest.mark.parametrize("name", [*PLAIN, *(f.stem for f in FILES if f.stem not in OF_RETRIEVAL)])
def test_loss_has_a_gradient(name):
    model, params = model_of(name)
    gradient_of = jax.jit(jax.value_and_grad(lambda p, b: model.loss_and_sums(p, b, None)[0]))
    value, gradient = gradient_of(params, BATCH)
    sizes = [np.max(np.abs(g)) for g in jax.tree.leaves(gradient)]
    assert np.all(np.isfinite([value, *sizes]))
    assert max(sizes) > 0


@pytest.mark.parametrize("name", ["softmax_loss", "sigmoid_loss", "pairwise_logistic_loss"])
def test_microbatches_add_up(name):
    """Means over lists, over documents and over pairs."""
    model, params = model_of(name)
    normalizer = model.loss_normalizer(BATCH)
    loss = jax.jit(lambda batch: model.loss_and_sums(params, batch, None, normalizer)[0])
    parts = [{n: x[part] for n, x in BATCH.items()} for part in (slice(0, 2), slice(2, 4))]
    assert sum(map(loss, parts)) == pytest.approx(float(loss(BATCH)), rel=1e-4, abs=1e-6)


def test_a_recipe_can_have_every_loss():
    texts = " ".join(file.read_text() for file in FILES) + "".join(f"losses.{n} " for n in PLAIN)
    names = [n for n in losses.__all__ if n.endswith(("_loss", "_lambdaweight"))]
    missing = {n for n in names if f"losses.{n}" not in texts}
    # Two need a function to be given, one takes matrices of tokens.
    assert missing == {"pairwise_loss", "metric_lambdaweight", "attention_loss"}
