"""Every loss of gin/losses, or of runs/losses.gin, is a LOSS_FN that a model trains with."""

import re
from pathlib import Path

import gin
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from t5rank import losses
from t5rank.losses.combinations import takes
from t5rank.models import heads, network

GIN = Path(__file__).parents[2] / "gin"
FILES = sorted((GIN / "losses").glob("*.gin"))
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
RECIPE = """
from __gin__ import dynamic_registration
{}
from t5rank.models import ranking
ranking.RankingModel.loss_fn = %LOSS_FN
"""


def model_of(name):
    plain = f"from t5rank import losses\nLOSS_FN = @losses.{name}"
    gin.parse_config(
        RECIPE.format(plain if name in PLAIN else f"include 't5rank/configs/losses/{name}.gin'")
    )
    if name == "lambda_precision":  # at a rank that the short lists below have
        gin.parse_config("losses.precision_lambdaweight.topn = 1")
    network_and_head = network.EncoderScorer(CONFIG, pooling="mean"), heads.EncoderHead()
    if name == "log_probability_loss":  # of scores that are such
        network_and_head = network.Transformer(CONFIG), heads.MonoT5Head(true_id=3, false_id=4)
    return gin.get_configurable("ranking.RankingModel")(*network_and_head)


@pytest.mark.parametrize("name", [*PLAIN, *(file.stem for file in FILES)])
def test_loss_has_a_gradient_and_microbatches_add_up_to_it(name):
    rng = np.random.default_rng(0)
    batch = {
        "encoder_input_tokens": jnp.asarray(rng.integers(3, 50, (4, 3, 5)), jnp.int32),
        "label": jnp.asarray([[2.0, 1.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 3.0], [1.0, 0.0, 0.0]]),
        "mask": jnp.asarray([[1, 1, 1], [1, 1, 0], [1, 1, 1], [1, 1, 1]], bool),
    }
    model = model_of(name)
    params = model.get_initial_variables(jax.random.key(0), {"encoder_input_tokens": (4, 3, 5)})

    @jax.jit
    def loss(params, batch, normalizer):
        return model.loss_and_sums(params, batch, None, normalizer)[0]

    normalizer = model.loss_normalizer(batch)
    value, gradient = jax.value_and_grad(loss)(params["params"], batch, normalizer)
    assert jnp.isfinite(value)
    sizes = [float(jnp.max(jnp.abs(g))) for g in jax.tree.leaves(gradient)]
    assert np.all(np.isfinite(sizes))
    assert max(sizes) > 0
    if not takes(model.ranking_loss, "key"):  # noise belongs to the place in a batch
        parts = [{n: x[part] for n, x in batch.items()} for part in (slice(0, 2), slice(2, 4))]
        total = sum(float(loss(params["params"], part, normalizer)) for part in parts)
        assert total == pytest.approx(float(value), rel=1e-4, abs=1e-6)


def test_a_recipe_can_have_every_loss():
    texts = " ".join(file.read_text() for file in FILES) + "".join(f"losses.{n} " for n in PLAIN)
    names = [n for n in losses.__all__ if n.endswith(("_loss", "_lambdaweight"))]
    missing = {n for n in names if f"losses.{n}" not in texts}
    assert missing == {"pairwise_loss", "metric_lambdaweight"}  # they need a function to be given
