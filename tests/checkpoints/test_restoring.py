"""What is restored, what is new, what is left over, and what is an error."""

import logging

import flax
import jax
import numpy as np
import pytest

from t5rank import checkpoints
from t5rank.checkpoints import architecture, orbax_writing
from t5rank.checkpoints.paths import path
from t5rank.checkpoints.sources import LazyArray
from t5rank.models import network
from t5rank.models.rankt5_encoder import EncoderScorer

SIZES = {"vocab_size": 40, "emb_dim": 8, "num_heads": 2, "head_dim": 4, "mlp_dim": 12}
LAYERS = {"num_encoder_layers": 2, "num_decoder_layers": 1}
V1_0 = {"mlp_activations": ("relu",), "logits_via_embedding": True}
V1_1 = {"mlp_activations": ("gelu", "linear"), "logits_via_embedding": False}
HEAD = (r"target/score_head/.*", None)


def config(**settings) -> network.T5Config:
    return network.T5Config(**(SIZES | LAYERS | V1_0 | settings))


def arrays(module, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    shapes = architecture.parameter_shapes(module)
    return {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


def like(module) -> dict:
    shapes = architecture.parameter_shapes(module)
    flat = {name: jax.ShapeDtypeStruct(shape, np.float32) for name, shape in shapes.items()}
    return nested(flat)


def nested(flat: dict) -> dict:
    return flax.traverse_util.unflatten_dict(flat, sep="/")


def lazy(values: dict) -> dict[str, LazyArray]:
    return {name: LazyArray(v.shape, v.dtype, lambda v=v: v) for name, v in values.items()}


@pytest.fixture
def written(tmp_path):
    """Writes a checkpoint of a module; gives its folder and its values."""

    def write(module, **changes):
        values = arrays(module) | changes
        values = {name: value for name, value in values.items() if value is not None}
        return orbax_writing.write_orbax(path(tmp_path), 3, lazy(values)), values

    return write


T5 = network.Transformer(config())
ENCODER = EncoderScorer(config())


def test_everything_is_restored_and_reported(written, caplog):
    folder, values = written(T5)
    with caplog.at_level(logging.INFO, logger="t5rank"):
        params, report = checkpoints.restore(folder, like(T5))
    jax.tree.map(np.testing.assert_array_equal, params, nested(values))
    assert report.restored == {name: name for name in values}
    assert str(report) == f"Restored 34 of 34 arrays of '{folder}', T5X orbax."
    assert str(report) in caplog.messages


def test_an_encoder_takes_no_decoder_and_a_new_head(written):
    folder, values = written(T5)
    params, report = checkpoints.restore(folder, like(ENCODER), [HEAD])
    assert set(params) == {"encoder", "token_embedder"}
    assert report.new == ("score_head/bias", "score_head/kernel")
    assert report.left_over == tuple(name for name in values if name.startswith("decoder/"))
    assert "New, from scratch (2): score_head/bias, score_head/kernel." in str(report)
    assert "Left over (15): decoder/" in str(report)


def test_a_head_that_is_not_there_says_what_to_do(written):
    folder, _ = written(T5)
    with pytest.raises(ValueError, match=r"\(\(r'target/score_head/\.\*', None\),\)"):
        checkpoints.restore(folder, like(ENCODER))


def test_the_map_renames_and_the_first_rule_decides(written):
    folder, values = written(T5)
    rules = [
        (r"target/encoder/layers_0/mlp/wo/kernel", None),
        (r"target/encoder/layers_(\d)/mlp/(.*)", r"target/decoder/layers_0/mlp/\2"),
        (r"state/param_states.*", None),
    ]
    params, report = checkpoints.restore(folder, like(T5), rules)
    found = params["encoder"]["layers_1"]["mlp"]["wo"]["kernel"]
    np.testing.assert_array_equal(found, values["decoder/layers_0/mlp/wo/kernel"])
    assert report.new == ("encoder/layers_0/mlp/wo/kernel",)
    assert "Under other names (3): encoder/layers_0/mlp/wi/kernel from decoder/" in str(report)


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ([(r"decoder/.*", None)], r"patterns that match no parameter: \['decoder/\.\*'\]"),
        ([(r".*wo/kernel", "target/x")], "no parameter 'x', which the assignment map's"),
    ],
)
def test_wrong_rules_are_named(written, rules, message):
    folder, _ = written(T5)
    with pytest.raises(ValueError, match=message):
        checkpoints.restore(folder, like(T5), rules)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (V1_1, r"mlp_activations \('relu',\) where \('gelu', 'linear'\) is expected; "),
        (V1_1, "logits_via_embedding True where False is expected; "),
        ({"vocab_size": 48}, "vocab_size 40 where 48 is expected; .* of shape .* where"),
        ({"num_encoder_layers": 3}, "num_encoder_layers 2 where 3 is expected; no parameter"),
        ({"relpos_bias_per_layer": True}, "no parameter 'encoder/layers_0/relpos_bias/rel_emb"),
    ],
)
def test_another_size_or_version_is_named(written, settings, message):
    folder, _ = written(T5)
    with pytest.raises(ValueError, match=message):
        checkpoints.restore(folder, like(network.Transformer(config(**settings))))


def test_a_missing_parameter_and_one_too_many_are_named(written):
    name = "encoder/encoder_norm/scale"
    folder, _ = written(T5, **{name: None, "adapter/kernel": np.ones((2, 2), np.float32)})
    with pytest.raises(
        ValueError, match=f"no parameter '{name}'; an unknown parameter 'adapter/kernel'"
    ):
        checkpoints.restore(folder, like(T5))
    params, report = checkpoints.restore(folder, like(T5), [(f"target/{name}", None)])
    assert report.left_over == ("adapter/kernel",) and "encoder_norm" not in params["encoder"]


def test_parameters_go_where_the_model_wants_them(written):
    folder, values = written(T5)
    mesh = jax.make_mesh((jax.device_count(),), ("data",))
    sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
    wanted = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, "bfloat16", sharding=sharding), like(T5)
    )
    params = checkpoints.restore_params(folder, wanted)
    table = params["token_embedder"]["embedding"]
    assert table.sharding == sharding and table.dtype == "bfloat16"
    expected = values["token_embedder/embedding"].astype("bfloat16")
    np.testing.assert_array_equal(table, expected)


@pytest.mark.parametrize("per_layer", [False, True])
@pytest.mark.parametrize("version", [V1_0, V1_1], ids=["1.0", "1.1"])
def test_sizes_are_inferred_from_the_shapes(version, per_layer):
    made = config(**version, relpos_bias_per_layer=per_layer)
    shapes = architecture.parameter_shapes(network.Transformer(made))
    assert architecture.infer(shapes, "it") == made


def test_what_is_no_t5_is_named():
    with pytest.raises(ValueError, match="it has no parameter 'encoder/relpos_bias/rel_embedding'"):
        architecture.infer({"a": (2, 3)}, "it")
