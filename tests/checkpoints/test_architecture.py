"""The sizes of a T5 in a checkpoint."""

import numpy as np
import pytest

from t5rank.checkpoints import architecture, architecture_of, orbax_writing
from t5rank.checkpoints.paths import path
from t5rank.checkpoints.sources import LazyArray
from t5rank.models import network

SIZES = {"vocab_size": 64, "emb_dim": 12, "num_heads": 2, "head_dim": 4, "mlp_dim": 20}
T5_1_0 = {"mlp_activations": ("relu",), "logits_via_embedding": True}
T5_1_1 = {"mlp_activations": ("gelu", "linear"), "logits_via_embedding": False}


@pytest.mark.parametrize("version", [T5_1_0, T5_1_1], ids=["1.0", "1.1"])
def test_a_checkpoint_without_a_word_about_its_sizes_has_them_in_its_shapes(version, tmp_path):
    config = network.T5Config(**SIZES, **version, num_encoder_layers=2, num_decoder_layers=1)
    shapes = architecture.parameter_shapes(network.Transformer(config))
    zeros = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
    arrays = {name: LazyArray(z.shape, z.dtype, lambda z=z: z) for name, z in zeros.items()}
    orbax_writing.write_orbax(path(tmp_path), 3, arrays)
    assert architecture_of(tmp_path) == config
