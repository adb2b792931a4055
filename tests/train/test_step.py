"""What a step reports, and how often it is compiled."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from t5rank.models import network
from t5rank.models.ranking import RankingModel
from t5rank.models.rankt5_encoder import EncoderHead, EncoderScorer
from t5rank.train import layouts, optimizers
from t5rank.train.step import CompiledStep, batch_sums, make_train_step

CONFIG = network.T5Config(
    vocab_size=32,
    emb_dim=8,
    num_heads=1,
    num_encoder_layers=1,
    num_decoder_layers=0,
    head_dim=8,
    mlp_dim=8,
)
MODEL = RankingModel(EncoderScorer(CONFIG), EncoderHead())


def padded(lengths, input_length=16):
    mask = np.array(lengths) > 0
    tokens = np.where(np.arange(input_length) < np.array(lengths)[..., None], 3, 0)
    label = np.zeros(mask.shape, np.float32)
    label[:, 0] = 1
    return {"encoder_input_tokens": tokens.astype(np.int32), "label": label, "mask": mask}


LISTS = padded([[4, 9, 16], [7, 0, 0]])


@pytest.mark.parametrize("batch", [LISTS, layouts.pack(LISTS, 1, row_length=20, slots=2)])
def test_tokens_lists_and_operations_are_counted_in_both_layouts(batch):
    sums = {name: np.asarray(value) for name, value in batch_sums(MODEL, batch).items()}
    assert sums["tokens"].tolist() == [36, 1]
    assert sums["list_size"].tolist() == [4, 2]  # 4 documents in 2 lists
    assert sums["padding"][0] == pytest.approx(1 - 36 / batch["encoder_input_tokens"].size)
    per_token = 2 * 4 * 8 * 8 + 2 * 2 * 8 * 8  # projections, and an MLP of one activation
    pairs = 4**2 + 9**2 + 16**2 + 7**2
    assert sums["operations"][0] == 3 * (36 * per_token + 4 * 8 * pairs)


def test_a_program_is_compiled_once_a_shape_and_its_memory_is_said(caplog):
    variables = MODEL.get_initial_variables(
        jax.random.key(0), {"encoder_input_tokens": (1, 1, 8)}
    ).unfreeze()
    optimizer = optimizers.adamw().create(variables["params"])
    step = CompiledStep(make_train_step(MODEL, lambda _: jnp.float32(0.1)))
    with caplog.at_level("INFO", logger="t5rank"):
        for batch in (LISTS, LISTS, padded([[3, 5]])):
            optimizer, _ = step(optimizer, jax.tree.map(jnp.asarray, batch), jax.random.key(0))
    assert [message.split(":")[0] for message in caplog.messages] == [
        "Program 1, for batches of 2x3x16 tokens",
        "Program 2, for batches of 1x2x16 tokens",
    ]
    assert "MiB of temporaries a device" in caplog.messages[0]
    assert step.temporary_bytes > 0 and optimizer.state.step == 3
