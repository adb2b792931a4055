"""What is known of a model's parameters before they are read."""

import dataclasses

import flax
import jax
import pytest

from t5rank.model_folder import opening
from t5rank.models import network, partitioning, ranking, rankt5
from t5rank.models.rankt5_encoder import EncoderHead, EncoderScorer

CONFIG = network.T5Config(
    vocab_size=64,
    emb_dim=16,
    num_heads=2,
    num_encoder_layers=3,
    num_decoder_layers=2,
    head_dim=8,
    mlp_dim=32,
)
PER_LAYER = dataclasses.replace(CONFIG, relpos_bias_per_layer=True)
NO_LAYERS = dataclasses.replace(CONFIG, num_encoder_layers=0, num_decoder_layers=0)


@pytest.mark.parametrize(
    "module",
    [
        network.Transformer(CONFIG),
        network.Transformer(PER_LAYER),
        network.Transformer(NO_LAYERS),
        EncoderScorer(CONFIG),
    ],
)
def test_shapes_and_axes_are_those_of_the_whole_network(module):
    head = EncoderHead() if hasattr(module, "pooling") else rankt5.RankT5Head(40)
    model = ranking.RankingModel(module, head)
    batch = {"encoder_input_tokens": (1, 1, 8)}
    whole = jax.eval_shape(lambda: model.get_initial_variables(jax.random.key(0), batch))
    params, axes = opening._shapes_and_axes(model)
    assert params == flax.core.unfreeze(whole["params"])
    assert axes == partitioning.axis_names(whole["params_axes"])
