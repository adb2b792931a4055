import dataclasses
import types

import jax
import numpy as np
import pytest

from t5rank.models import network, operations, rankt5
from t5rank.models.ranking import RankingModel
from t5rank.models.rankt5_encoder import EncoderHead, EncoderScorer

SMALL = network.T5Config(
    vocab_size=128,
    emb_dim=512,
    num_heads=6,
    num_encoder_layers=8,
    num_decoder_layers=8,
    mlp_dim=1024,
    mlp_activations=("gelu", "linear"),
)


@pytest.mark.parametrize("decoder", [True, False])
def test_operations_are_those_that_xla_counts(decoder):
    if decoder:
        model = RankingModel(network.Transformer(SMALL), rankt5.RankT5Head(7))
    else:
        model = RankingModel(EncoderScorer(SMALL), EncoderHead())
    shapes = {"encoder_input_tokens": (1, 1, 8)}
    variables = jax.eval_shape(lambda: model.get_initial_variables(jax.random.key(0), shapes))
    tokens = jax.ShapeDtypeStruct((2, 128), np.int32)
    counted = jax.jit(model.score).lower(variables["params"], tokens).cost_analysis()["flops"]
    ours = operations.scoring_operations(SMALL, np.array([128, 128]), decoder=decoder)
    assert float(ours) == pytest.approx(counted, rel=0.03)


def test_padding_needs_no_operations():
    lengths = np.array([[7, 0], [12, 0]])
    several = operations.scoring_operations(SMALL, lengths)
    alone = [operations.scoring_operations(SMALL, np.array([n])) for n in (7, 12)]
    assert float(several) == pytest.approx(float(sum(alone)))
    wide = dataclasses.replace(SMALL, mlp_dim=2048)
    assert operations.scoring_operations(wide, lengths) > several


@pytest.mark.parametrize(
    ("kind", "peak"),
    [
        ("NVIDIA H100 80GB HBM3", 989e12),
        ("NVIDIA H200", 989e12),
        ("TPU v5 lite", 197e12),
        ("TPU v5p", 459e12),
        ("cpu", None),
    ],
)
def test_the_peak_of_a_device_is_that_of_its_data_sheet(kind, peak):
    assert operations.peak_operations(types.SimpleNamespace(device_kind=kind)) == peak
