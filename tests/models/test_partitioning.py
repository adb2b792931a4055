"""Meshes of several devices need a process of their own: JAX counts devices once."""

import json
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec

from t5rank.models import partitioning

PROGRAM = """
import json, logging, jax, jax.numpy as jnp, numpy as np
from t5rank.train import optimizers
from t5rank.models import partitioning
from t5rank.models import network, rankt5
from t5rank.models.ranking import RankingModel
from t5rank.inference.scoring import ModelScorer

records = []
class Handler(logging.Handler):
    def emit(self, record):
        records.append(record.getMessage())
logging.getLogger("t5rank").addHandler(Handler())

def paths(tree):
    flat, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {jax.tree_util.keystr(p, simple=True, separator="/"): leaf for p, leaf in flat}

def specs(shardings):
    return {path: list(s.spec) for path, s in paths(shardings).items()}

config = network.T5Config(vocab_size=50, emb_dim=16, num_heads=3, num_encoder_layers=1,
    num_decoder_layers=1, head_dim=4, mlp_dim=32)
model = RankingModel(network.Transformer(config), rankt5.RankT5Head(7))
variables = jax.jit(lambda key: model.get_initial_variables(key, {"encoder_input_tokens": (2, 8)}))(
    jax.random.key(0)).unfreeze()
params = variables["params"]
mesh = partitioning.make_mesh(model_parallel=2)
axes = partitioning.axis_names(variables["params_axes"])
optimizer_def = optimizers.adamw()
optimizer = jax.eval_shape(lambda: optimizer_def.create(params))
found = partitioning.shardings(optimizer, optimizer_def.derive_logical_axes(optimizer, axes), mesh)
shardings, state_shardings = found.target, found.state.param_states
split = partitioning.shardings(optimizer.target, axes, mesh, partitioning.logical_axis_rules(2))
rows = [np.arange(3, 3 + n, dtype=np.int32) for n in (5, 9, 2, 7, 30, 12, 1)]
alone = ModelScorer(model, params, 128).score(rows)
together = ModelScorer(model, jax.device_put(params, shardings), 96, mesh).score(rows)
try:
    partitioning.make_mesh(3)
    refused = ""
except ValueError as error:
    refused = str(error)
wide = network.Transformer(network.T5Config(vocab_size=64, emb_dim=64, num_heads=4,
    num_encoder_layers=2, num_decoder_layers=1, head_dim=16, mlp_dim=128))
def temporary_bytes(dims, cached=None):
    model = RankingModel(wide, rankt5.RankT5Head(7), gradient_cache_rows=cached)
    rules, mesh = partitioning.logical_axis_rules(dims), partitioning.make_mesh()
    like = jax.eval_shape(lambda: model.get_initial_variables(
        jax.random.key(0), {"encoder_input_tokens": (2, 8)}).unfreeze())
    places = partitioning.shardings(
        like["params"], partitioning.axis_names(like["params_axes"]), mesh, rules)
    params = jax.tree.map(lambda x, place: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place),
        like["params"], places)
    tokens = jax.ShapeDtypeStruct((72, 64), jnp.int32, sharding=partitioning.batch_sharding(mesh))
    gradient = jax.grad(lambda params, tokens: model.score(params, tokens).sum())
    step = jax.jit(partitioning.on_mesh(gradient, mesh, rules), out_shardings=places)
    return step.lower(params, tokens).compile().memory_analysis().temp_size_in_bytes
print(json.dumps({
    "temporary": [temporary_bytes(1), temporary_bytes(2)],
    "cached": [temporary_bytes(1, rows) for rows in (16, 18)],
    "mesh": dict(mesh.shape),
    "parallelism": partitioning.data_parallelism(mesh),
    "specs": specs(shardings),
    "split": specs(split),
    "state": {path: s for path, s in specs(state_shardings).items()},
    "warnings": records,
    "difference": float(np.abs(alone - together).max()),
    "spread": float(alone.std()),
    "refused": refused,
}))
"""


@pytest.fixture(scope="module")
def four_devices(tmp_path_factory):
    flags = "--xla_force_host_platform_device_count=4"
    environment = os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=environment,
        cwd=tmp_path_factory.mktemp("elsewhere"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_mesh_is_data_by_model(four_devices):
    assert four_devices["mesh"] == {"data": 2, "model": 2}
    assert four_devices["parallelism"] == 2


def test_devices_that_cannot_be_divided_are_an_error(four_devices):
    assert four_devices["refused"] == (
        "Mesh has 4 devices and model_parallel 3; expected a divisor of the number of devices."
    )


@pytest.mark.parametrize(
    ("path", "spec"),
    [
        ("token_embedder/embedding", ["model", None]),
        ("encoder/layers_0/attention/query/kernel", [None, "model"]),
        ("encoder/layers_0/attention/out/kernel", ["model", None]),
        ("encoder/layers_0/mlp/wi/kernel", [None, "model"]),
        ("encoder/layers_0/mlp/wo/kernel", ["model", None]),
        ("decoder/logits_dense/kernel", [None, "model"]),
        ("encoder/encoder_norm/scale", [None]),
    ],
)
def test_parameters_are_split_as_t5x_splits_them(four_devices, path, spec):
    assert four_devices["specs"][path] == spec


def test_parameters_may_be_split_over_the_data_axis_too(four_devices):
    expected = {"model": "model", None: "data"}
    for path in ("token_embedder/embedding", "encoder/layers_0/mlp/wi/kernel"):
        spec = four_devices["specs"][path]
        assert four_devices["split"][path] == [expected[axis] for axis in spec]
    assert four_devices["split"]["encoder/encoder_norm/scale"] == ["data"]


def test_activations_of_split_parameters_are_still_split_by_the_batch(four_devices):
    copied, split = four_devices["temporary"]
    assert split < 1.2 * copied


def test_parts_of_a_gradient_cache_have_as_many_rows_on_every_device(four_devices):
    whole, _ = four_devices["temporary"]
    even, uneven = four_devices["cached"]
    assert uneven == even < whole / 2


@pytest.mark.parametrize("dims", [0, 3])
def test_other_partitioning_dims_are_an_error(dims):
    with pytest.raises(ValueError, match=f"PARAMETER_PARTITIONING_DIMS has {dims}; expected 1 or"):
        partitioning.logical_axis_rules(dims)


def test_axis_that_does_not_divide_is_replicated_with_a_warning(four_devices):
    path = "encoder/relpos_bias/rel_embedding"  # 3 heads
    assert four_devices["specs"][path] == [None, None]
    message = f"Array 'target/{path}' has size 3, which 2 devices do not divide: replicated."
    assert message in four_devices["warnings"]


def test_optimizer_state_lies_where_its_parameter_lies(four_devices):
    state, specs = four_devices["state"], four_devices["specs"]
    moments = [path for path in state if path.endswith("token_embedder/embedding")]
    assert len(moments) == 2  # first and second moment
    for path, spec in specs.items():
        found = [value for name, value in state.items() if name.endswith("/" + path)]
        assert found == [spec, spec]
    assert [value for name, value in state.items() if name.endswith("count")] == [[]]


def test_scores_on_a_mesh_are_those_of_one_device(four_devices):
    assert four_devices["spread"] > 0.01
    assert four_devices["difference"] < 1e-5


@pytest.mark.parametrize("model_parallel", [0, -1])
def test_model_parallelism_below_one_is_an_error(model_parallel):
    with pytest.raises(ValueError, match=f"model_parallel {model_parallel}; expected a divisor"):
        partitioning.make_mesh(model_parallel)


def test_batch_is_split_and_the_rest_is_not():
    mesh = partitioning.make_mesh()
    assert partitioning.batch_sharding(mesh).spec == PartitionSpec("data")
    assert partitioning.replicated(mesh).spec == PartitionSpec()


def test_state_of_another_shape_is_replicated():
    params = {"kernel": jnp.zeros((4, 6))}
    axes = {"kernel": PartitionSpec("embed", "mlp")}
    state = {"v": {"kernel": jnp.zeros((4, 6))}, "v_row": {"kernel": jnp.zeros(4)}}
    found = partitioning.state_axes(state, params, axes)
    assert found == {"v": axes, "v_row": {"kernel": None}}
    shardings = partitioning.shardings(state, found, partitioning.make_mesh())
    assert shardings["v"]["kernel"].spec == PartitionSpec(None, "model")
    assert shardings["v_row"]["kernel"].spec == PartitionSpec()


def test_parameters_are_counted_of_arrays_and_of_shapes():
    tree = {"a": np.zeros((2, 3)), "b": {"c": jax.ShapeDtypeStruct((5,), jnp.float32)}}
    assert partitioning.count_parameters(tree) == 2 * 3 + 5
