"""The oracle of T5X's layouts: T5X itself writes what we read, and reads what we write."""

import functools
from typing import Any

import flax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

pytest.importorskip("t5x.checkpoints", reason="needs T5X (head) on the path")

from t5x import adafactor, optimizers, partitioning, state_utils, train_state
from t5x import checkpoints as t5x_checkpoints
from t5x.examples.scalable_t5 import network as scalable
from t5x.examples.t5 import network as minimal

from t5rank import checkpoints
from t5rank.checkpoints import architecture, orbax_writing, restoring
from t5rank.checkpoints.paths import path
from t5rank.models import network, ranking, rankt5

pytestmark = pytest.mark.t5x

SIZES = {
    "vocab_size": 64,
    "emb_dim": 16,
    "num_heads": 2,
    "num_encoder_layers": 3,
    "num_decoder_layers": 2,
    "head_dim": 4,
    "mlp_dim": 24,
    "dropout_rate": 0.0,
}
V1_0 = {"mlp_activations": ("relu",), "logits_via_embedding": True}
V1_1 = {"mlp_activations": ("gelu", "linear"), "logits_via_embedding": False}
MODULES = {
    "1.0": minimal.Transformer(minimal.T5Config(**SIZES, **V1_0)),
    "1.1": minimal.Transformer(minimal.T5Config(**SIZES, **V1_1)),
    "scalable": scalable.Transformer(scalable.T5Config(**SIZES, **V1_1)),
    "scalable, not scanned": scalable.Transformer(
        scalable.T5Config(**SIZES, **V1_1, scan_layers=False)
    ),
}
TOKENS = np.random.default_rng(0).integers(2, 64, (3, 12)).astype(np.int32)
TOKENS[1, 7:] = 0


def partitioner():
    return partitioning.PjitPartitioner(num_partitions=1)


@functools.cache
def state(name: str):
    """A T5X train state of random parameters, whose norms and biases matter."""
    start = jnp.zeros((3, 1), jnp.int32)
    variables = MODULES[name].init(
        jax.random.key(0), TOKENS, start, start + 1, enable_dropout=False
    )
    variables = flax.core.unfreeze(variables)
    keys = iter(jax.random.split(jax.random.key(1), 200))
    variables["params"] = jax.tree.map(
        lambda x: x + 0.3 * jax.random.normal(next(keys), x.shape), variables["params"]
    )
    adam = name.startswith("scalable")  # their Adafactor wants rules for three axes
    optimizer: Any = optimizers.adam(0.1) if adam else adafactor.Adafactor(learning_rate=0.1)
    made = train_state.FlaxOptimTrainState.create(optimizer, flax.core.freeze(variables))
    return made.replace_step(jnp.asarray(7, jnp.int32))


def flat(params) -> dict:
    return flax.traverse_util.flatten_dict(flax.core.unfreeze(params), sep="/")


def write(name: str, use_orbax: bool, folder) -> None:
    if use_orbax:
        saver = t5x_checkpoints.OrbaxCheckpointManagerInterface(
            str(folder), state(name), partitioner()
        )
        saver.save(state(name))
        saver.close()
    else:
        t5x_checkpoints.Checkpointer(state(name), partitioner(), str(folder)).save(state(name))


@pytest.mark.parametrize("use_orbax", [False, True], ids=["legacy", "orbax"])
@pytest.mark.parametrize("name", ["1.0", "1.1"])
def test_what_t5x_writes_is_read_bit_for_bit(name, use_orbax, tmp_path):
    write(name, use_orbax, tmp_path)
    source = checkpoints.open_checkpoint(tmp_path / "checkpoint_7")
    assert source.step == 7
    expected = flat(state(name).params)
    assert set(source.arrays) == set(expected)
    for key, value in expected.items():
        np.testing.assert_array_equal(source.arrays[key].read(), value)


def test_bfloat16_is_read_exactly(tmp_path):
    saver = t5x_checkpoints.Checkpointer(
        state("1.1"), partitioner(), str(tmp_path), save_dtype=jnp.bfloat16
    )
    saver.save(state("1.1"))
    source = checkpoints.open_checkpoint(tmp_path)
    for key, value in flat(state("1.1").params).items():
        assert source.arrays[key].dtype == jnp.bfloat16
        np.testing.assert_array_equal(source.arrays[key].read(), value.astype(jnp.bfloat16))


@pytest.mark.parametrize("use_orbax", [False, True], ids=["legacy", "orbax"])
@pytest.mark.parametrize("name", MODULES)
def test_scores_are_those_of_t5xs_network(name, use_orbax, tmp_path):
    """Stacked layers, and a relative position bias in every layer, included."""
    write(name, use_orbax, tmp_path)
    source = checkpoints.open_checkpoint(tmp_path)
    config = architecture.infer(source.shapes, "the checkpoint")
    assert config.relpos_bias_per_layer == name.startswith("scalable")
    model = ranking.RankingModel(network.Transformer(config), rankt5.RankT5Head(9))
    variables = model.get_initial_variables(
        jax.random.key(1), {"encoder_input_tokens": TOKENS.shape}
    )
    params = checkpoints.restore_params(tmp_path, variables["params"])
    start = jnp.zeros((3, 1), jnp.int32)
    expected = MODULES[name].apply(
        {"params": state(name).params}, TOKENS, start, start + 1, enable_dropout=False
    )[:, 0, 9]
    assert np.std(expected) > 0.1
    np.testing.assert_allclose(model.score(params, TOKENS), expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", ["1.0", "1.1"])
def test_t5x_reads_what_we_write(name, tmp_path):
    write(name, False, tmp_path / "theirs")
    source = checkpoints.open_checkpoint(tmp_path / "theirs")
    orbax_writing.write_orbax(path(tmp_path / "ours"), 7, source.arrays)
    empty = jax.tree.map(jnp.zeros_like, state(name))
    reader = t5x_checkpoints.OrbaxCheckpointManagerInterface(
        str(tmp_path / "ours"), empty, partitioner()
    )
    only_parameters = functools.partial(
        state_utils.apply_assignment_map, assignment_map=[(r"state/param_states.*", None)]
    )
    with partitioner().mesh:
        restored = reader.restore(
            7, fallback_state=state(name).state_dict(), state_transformation_fns=[only_parameters]
        )
    assert int(restored.step) == 7
    jax.tree.map(np.testing.assert_array_equal, restored.params, state(name).params)


MAPS = [
    [],
    [(r"state/param_states.*", None)],
    [(r".*decoder.*", None)],
    [(r"target/new/(\w+)", r"target/b/\1")],
    [(r"target/(new|other)/x", r"target/c/x"), (r"target/new/.*", r"target/a/y")],
    [(r"target/a/x", r"target/b/x"), (r"target/b/x", r"target/a/x")],
    [(r"target/.*/x", None), (r"target/new/y", r"target/c/x")],
]
FOUND = {name: i for i, name in enumerate(["a/x", "a/y", "b/x", "b/y", "c/x", "decoder/x"])}
WANTED = ["a/x", "a/y", "b/x", "c/x", "decoder/x", "new/x", "new/y", "other/x"]


def both_assignments(rules) -> tuple[dict, dict]:
    tree = flax.traverse_util.unflatten_dict({f"target/{k}": v for k, v in FOUND.items()}, sep="/")
    like = {f"target/{k}": 0 for k in WANTED} | {"state/param_states/a/x": 0}
    theirs = state_utils.apply_assignment_map(
        tree, flax.traverse_util.unflatten_dict(like, sep="/"), rules
    )
    theirs = flax.traverse_util.flatten_dict(theirs["target"], sep="/")
    skipped, renamed = restoring._apply(rules, WANTED, FOUND, "x")
    ours = {name: renamed.get(name, name) for name in WANTED if name not in skipped}
    return (
        {name: FOUND[was] for name, was in ours.items() if was in FOUND},
        {name: value for name, value in theirs.items() if name in WANTED},
    )


@pytest.mark.parametrize("rules", MAPS, ids=str)
def test_an_assignment_map_means_what_it_means_to_t5x(rules):
    ours, theirs = both_assignments(rules)
    assert ours == theirs


def test_a_rule_wins_over_the_same_name_unlike_in_t5x():
    """T5X drops the rule without a word where the checkpoint has that name and no rule reads it."""
    ours, theirs = both_assignments([(r"target/decoder/x", r"target/a/x")])
    assert ours["decoder/x"] == FOUND["a/x"]
    assert theirs["decoder/x"] == FOUND["decoder/x"]
