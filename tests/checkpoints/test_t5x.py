"""T5X's layouts without T5X: its tiny checkpoint, damaged files, remote paths; see tests/t5x."""

import json
import pathlib
import shutil

import flax
import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest
import tensorstore
from etils import epath

from t5rank import checkpoints
from t5rank.checkpoints import architecture, orbax_writing, paths, stacked
from t5rank.checkpoints.sources import LazyArray
from t5rank.models import network, ranking, rankt5

VALUES = {
    "token_embedder/embedding": np.arange(12, dtype=np.float32).reshape(4, 3) + 1,
    "encoder/encoder_norm/scale": np.ones(3, np.float32),
}


def lazy(values: dict) -> dict[str, LazyArray]:
    return {name: LazyArray(v.shape, v.dtype, lambda v=v: v) for name, v in values.items()}


def nested(flat: dict) -> dict:
    return flax.traverse_util.unflatten_dict(flat, sep="/")


def write_legacy(folder: epath.Path) -> None:
    """A checkpoint as T5X writes it with `use_orbax=False`, in several chunks."""
    folder.mkdir(parents=True)
    leaves = {}
    for name, value in VALUES.items():
        spec = {
            "driver": "zarr",
            "dtype": "float32",
            "kvstore": {"driver": "file", "path": f"target.{name.replace('/', '.')}"},
            "metadata": {"chunks": [2] * value.ndim, "shape": list(value.shape)},
        }
        leaves[name] = spec
        store = paths.key_value_store(folder / spec["kvstore"]["path"])
        opened = tensorstore.open(spec | {"kvstore": store}, create=True).result()
        opened.write(value).result()
    tree = {"version": 3, "optimizer": {"target": nested(leaves), "state": {"step": 9}}}
    (folder / "checkpoint").write_bytes(flax.serialization.msgpack_serialize(tree))


@pytest.fixture
def legacy(tmp_path):
    write_legacy(paths.path(tmp_path / "checkpoint_9"))
    return tmp_path / "checkpoint_9"


@pytest.fixture
def orbax(tmp_path):
    return orbax_writing.write_orbax(paths.path(tmp_path), 9, lazy(VALUES))


@pytest.fixture(params=["legacy", "orbax"])
def either(request):
    return request.getfixturevalue(request.param)


@pytest.mark.parametrize("where", ["{}", "{}/", "file://{}"])
def test_both_layouts_are_read_from_local_paths_and_urls(either, where):
    source = checkpoints.open_checkpoint(where.format(either))
    assert source.step == 9
    jax.tree.map(
        np.testing.assert_array_equal,
        {name: array.read() for name, array in source.arrays.items()},
        VALUES,
    )


def test_a_folder_of_checkpoints_gives_the_best_one_or_else_the_latest(tmp_path):
    for step in (1, 2, 10):
        orbax_writing.write_orbax(paths.path(tmp_path), step, lazy(VALUES))
    assert checkpoints.open_checkpoint(tmp_path).step == 10
    assert checkpoints.open_checkpoint(tmp_path, step=1).step == 1
    best = {"step": 2, "metric": "mrr@10", "value": 0.5}
    (tmp_path / "best.json").write_text(json.dumps(best))
    assert checkpoints.open_checkpoint(tmp_path).step == 2
    with pytest.raises(ValueError, match=r"has checkpoints \[1, 2, 10\]; expected 7"):
        checkpoints.open_checkpoint(tmp_path, step=7)


def test_remote_paths_stay_remote():
    assert str(paths.path("gs://bucket/model/checkpoint_1")) == "gs://bucket/model/checkpoint_1"
    assert paths.step_of(paths.path("gs://bucket/model/checkpoint_12")) == 12
    assert paths.key_value_store("gs://bucket/a/b") == {
        "driver": "gcs",
        "bucket": "bucket",
        "path": "a/b/",
    }


def test_the_legacy_layout_is_read_remotely(bucket):
    folder = epath.Path(bucket) / "legacy/checkpoint_9"
    write_legacy(folder)
    source = checkpoints.open_checkpoint(folder.parent)
    assert source.path == str(folder)
    found = {name: array.read() for name, array in source.arrays.items()}
    jax.tree.map(np.testing.assert_array_equal, found, VALUES)


def test_t5xs_tiny_checkpoint(shared_data):
    """`t5x/testdata/test_t5_tiny`, arrays inside the msgpack file."""
    file = shared_data / "t5x_tiny/test_t5_tiny.checkpoint_0"
    source = checkpoints.open_checkpoint(file)
    config = architecture.infer(source.shapes, "it")
    assert (config.vocab_size, config.emb_dim, config.mlp_activations) == (
        *(32128, 8),
        ("gelu", "linear"),
    )
    model = ranking.RankingModel(network.Transformer(config), rankt5.RankT5Head(32089))
    shapes = {"encoder_input_tokens": (1, 1, 8)}
    variables = model.get_initial_variables(jax.random.key(0), shapes)
    params, report = checkpoints.restore(file, variables["params"])
    assert not report.new and not report.left_over
    assert np.isfinite(model.score(params, np.arange(2, 10)[None])).all()


class TestDamage:
    @pytest.mark.parametrize("left", [0, 40, 200])
    def test_the_msgpack_file_is_cut_short(self, legacy, left):
        file = legacy / "checkpoint"
        file.write_bytes(file.read_bytes()[:left])
        with pytest.raises(ValueError, match=r"expected T5X's msgpack file. Is it cut short"):
            checkpoints.open_checkpoint(legacy)

    @pytest.mark.parametrize("how", ["cut", "gone"])
    def test_a_chunk_is_cut_short_or_gone(self, legacy, how):
        chunk = legacy / "target.token_embedder.embedding" / "1.0"
        if how == "cut":
            chunk.write_bytes(chunk.read_bytes()[:5])
        else:
            chunk.unlink()  # T5X reads it as zeros
        array = checkpoints.open_checkpoint(legacy).arrays["token_embedder/embedding"]
        with pytest.raises(
            ValueError, match=r"no readable parameter 'token_embedder/embedding': .*copy complete"
        ):
            array.read()

    def test_a_whole_array_is_gone(self, legacy):
        shutil.rmtree(legacy / "target.token_embedder.embedding")
        array = checkpoints.open_checkpoint(legacy).arrays["token_embedder/embedding"]
        with pytest.raises(ValueError, match="no readable parameter 'token_embedder/embedding'"):
            array.read()

    def test_an_array_is_other_than_the_index_says(self, legacy):
        other = legacy / "target.token_embedder.embedding/.zarray"
        other.write_text(other.read_text().replace('"shape":[4,3]', '"shape":[4,2]'))
        array = checkpoints.open_checkpoint(legacy).arrays["token_embedder/embedding"]
        with pytest.raises(ValueError, match=r"of shape \(4, 2\); its index says \(4, 3\)"):
            array.read()

    def test_orbaxs_data_are_gone(self, orbax):
        source = checkpoints.open_checkpoint(orbax)
        for folder in pathlib.Path(orbax).glob("state/**/d"):
            shutil.rmtree(folder)
        with pytest.raises(ValueError, match="no readable parameter 'token_embedder/embedding'"):
            source.arrays["token_embedder/embedding"].read()

    @pytest.mark.parametrize("name", ["_METADATA", "manifest.ocdbt"])
    def test_orbaxs_description_is_cut_short(self, orbax, name):
        file = orbax / "state" / name
        file.write_bytes(file.read_bytes()[:20])
        with pytest.raises(ValueError, match=r"has an error: .*; expected T5X's orbax layout"):
            checkpoints.open_checkpoint(orbax)

    def test_there_are_no_parameters(self, legacy):
        tree = {"version": 3, "optimizer": {"state": {"step": 1}}}
        (legacy / "checkpoint").write_bytes(flax.serialization.msgpack_serialize(tree))
        with pytest.raises(ValueError, match=r"\['state'\]; expected the parameters under 'tar"):
            checkpoints.open_checkpoint(legacy)


def test_a_bias_of_zeros_is_no_missing_chunk(tmp_path):
    values = {"score_head/bias": np.zeros(1, np.float32)}
    orbax_writing.write_orbax(paths.path(tmp_path), 1, lazy(values))
    source = checkpoints.open_checkpoint(tmp_path)
    np.testing.assert_array_equal(source.arrays["score_head/bias"].read(), [0.0])


@pytest.mark.parametrize("zarr3", [False, True], ids=["zarr", "zarr3"])
@pytest.mark.parametrize("ocdbt", [False, True], ids=["folders", "ocdbt"])
def test_all_that_orbax_writes_is_read(tmp_path, ocdbt, zarr3):
    handler = ocp.PyTreeCheckpointHandler(use_ocdbt=ocdbt, use_zarr3=zarr3)
    tree = {"target": nested(VALUES | {"score_head/bias": np.zeros(1, np.float32)}), "state": {}}
    tree = jax.tree.map(lambda value: jax.numpy.asarray(value, "bfloat16"), tree)
    folder = tmp_path / "checkpoint_5/state"
    with ocp.Checkpointer(handler) as saver:
        saver.save(folder, args=ocp.args.PyTreeSave(tree))
    for location in (folder, folder.parent):
        source = checkpoints.open_checkpoint(location)
        assert source.step == 5
        found = {name: array.read() for name, array in source.arrays.items()}
        assert found.pop("score_head/bias") == 0
        expected = {name: value.astype("bfloat16") for name, value in VALUES.items()}
        jax.tree.map(np.testing.assert_array_equal, found, expected)


def test_a_checkpoint_is_not_written_twice(orbax):
    with pytest.raises(ValueError, match="has been written before"):
        orbax_writing.write_orbax(orbax.parent, 9, lazy(VALUES))


class TestStackedLayers:
    stacked = np.arange(24, dtype=np.float32).reshape(4, 3, 2)  # three layers

    def test_layers_are_taken_from_axis_1_and_the_stack_is_read_once(self):
        reads = []
        array = LazyArray((4, 3, 2), np.dtype("f4"), lambda: reads.append(1) or self.stacked)
        found = stacked.unstack({"encoder/encoder/mlp/wo/kernel": array}, "it")
        assert [*found] == [f"encoder/layers_{i}/mlp/wo/kernel" for i in range(3)]
        for i, layer in enumerate(found.values()):
            assert layer.shape == (4, 2)
            np.testing.assert_array_equal(layer.read(), self.stacked[:, i])
        assert len(reads) == 1

    def test_the_same_bias_in_every_layer_is_one_bias(self):
        same = np.ones((2, 32), np.float32)
        names = [f"{s}/layers_{i}/relpos_bias/rel_embedding" for s in ("encoder", "decoder")
                 for i in (0, 1)]  # fmt: skip
        found = stacked.share_relpos(lazy(dict.fromkeys(names, same)))
        assert [*found] == [f"{s}/relpos_bias/rel_embedding" for s in ("encoder", "decoder")]
        other = lazy(dict.fromkeys(names, same) | {names[1]: same * 2})
        assert [*stacked.share_relpos(other)] == names
