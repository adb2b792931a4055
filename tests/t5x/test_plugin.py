"""What T5X asks of a plugin, as recorded from its head: names, signatures and positional calls.

`tests/t5x` runs T5X itself where it is there; this holds the classes to its interface everywhere.
"""

import dataclasses
import inspect
import re
import types
from pathlib import Path

import flax
import gin
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import seqio
import tensorflow as tf
from clu import metrics as clu_metrics
from jax.sharding import PartitionSpec

from t5rank import cli
from t5rank.data import trec
from t5rank.data.files import shards
from t5rank.data.jsonl import write_jsonl
from t5rank.data.ranked_list import RankedList
from t5rank.models import network, ranking, rankt5
from t5rank.t5x import model, plugin
from t5rank.t5x.model import T5XModel
from t5rank.tasks import jsonl, list_metrics, seqio_vocabulary
from t5rank.tasks.feature_converters import RankingFeatureConverter
from t5rank.train import optimizers

ROOT = Path(__file__).parents[2]
SIZES = {"emb_dim": 8, "num_heads": 2, "num_encoder_layers": 1, "num_decoder_layers": 1}
CONFIG = network.T5Config(vocab_size=64, head_dim=4, mlp_dim=16, dropout_rate=0.0, **SIZES)
TOKENS = jnp.array(np.random.default_rng(0).integers(2, 64, (4, 3, 6)), jnp.int32)
BATCH = {
    "encoder_input_tokens": TOKENS,
    "label": jnp.array([[1.0, 0, 0], [0, 1, 0], [0, 0, 0], [2, 1, 0]]),
    "mask": jnp.array([[True, True, True], [True, True, False], [True] * 3, [True] * 3]),
}


def make_model(batch_size=None, **settings):
    model = ranking.RankingModel(network.Transformer(CONFIG), rankt5.RankT5Head(7), **settings)
    return T5XModel(model, "in", "out", optimizers.adamw(), batch_size)


@pytest.fixture(scope="module")
def variables():
    init_fn = make_model().get_initial_variables
    assert inspect.ismethod(init_fn)  # T5X takes the model from `init_fn.__self__`
    shapes = {name: array.shape for name, array in BATCH.items()}
    return init_fn(rng=jax.random.PRNGKey(0), input_shapes=shapes, input_types=None)


def test_initial_variables_are_frozen_with_axes_of_every_parameter(variables):
    assert isinstance(variables, flax.core.FrozenDict)
    assert set(variables) == {"params", "params_axes"}
    axes = flax.traverse_util.flatten_dict(variables["params_axes"])
    names = {(*name[:-1], name[-1].removesuffix("_axes")) for name in axes}
    assert names == set(flax.traverse_util.flatten_dict(variables["params"]))


def test_steps_are_called_with_positions(variables):
    model, params, rng = make_model(), variables["params"], jax.random.PRNGKey(1)
    for loss, metrics in (model.loss_fn(params, BATCH, rng), model.eval_fn(params, BATCH)):
        assert loss.shape == ()
        assert metrics.keys() == {"loss", "mrr@10", "ndcg@10"}
        for metric in metrics.values():
            assert isinstance(metric, clu_metrics.Metric)
            merged = metric.merge(metric)
            np.testing.assert_allclose(merged.compute_value().value, metric.compute())
    assert model.loss_fn(params, BATCH, rng, None)[0] == model.loss_fn(params, BATCH, rng)[0]


def test_every_prediction_is_the_score(variables):
    model, params, rng = make_model(), variables["params"], jax.random.PRNGKey(1)
    expected = model.model.score(params, TOKENS)
    assert expected.shape == (4, 3)
    with_aux, aux = model.predict_batch_with_aux(params, BATCH, rng)
    for scores in (
        model.score_batch(params, BATCH),
        model.score_batch(params, BATCH, True)[0],
        model.predict_batch(params, BATCH),
        model.predict_batch(params, BATCH, rng),
        model.predict_batch(params, BATCH, rng=rng),
        with_aux,
        aux["scores"],
    ):
        np.testing.assert_array_equal(scores, expected)


def test_metrics_of_uneven_parts_merge_into_those_of_the_batch(variables):
    eval_fn = jax.jit(make_model().eval_fn)
    whole = eval_fn(variables["params"], BATCH)[1]
    parts = [{name: array[s] for name, array in BATCH.items()} for s in (slice(1), slice(1, 4))]
    one, two = (eval_fn(variables["params"], part)[1] for part in parts)
    for name, metric in whole.items():
        merged = one[name].merge(two[name])
        assert merged.compute() == pytest.approx(float(metric.compute()), rel=1e-5)


@pytest.mark.parametrize(
    ("name", "positional"),
    [
        ("get_initial_variables", ["rng", "input_shapes", "input_types"]),
        ("loss_fn", ["params", "batch", "dropout_rng", "flax_mutables"]),
        ("eval_fn", ["params", "batch"]),
        ("predict_batch", ["params", "batch", "rng"]),
        ("predict_batch_with_aux", ["params", "batch", "rng"]),
        ("score_batch", ["params", "batch", "return_intermediates"]),
    ],
)
def test_parameters_are_named_as_t5x_asks(name, positional):
    assert list(inspect.signature(getattr(make_model(), name)).parameters) == positional


def test_names_and_parameters_that_t5x_looks_at():
    model = make_model()
    assert (model.input_vocabulary, model.output_vocabulary) == ("in", "out")
    assert isinstance(model.module, flax.linen.Module)
    assert isinstance(model.optimizer_def, optimizers.OptimizerDef)
    converter = model.FEATURE_CONVERTER_CLS
    assert issubclass(converter, seqio.FeatureConverter)
    assert not converter(pack=False).pack
    assert not converter(pack=False, use_custom_packing_ops=False).pack


@pytest.mark.parametrize("make", [optimizers.adamw, optimizers.adafactor])
def test_an_optimizer_definition_is_driven_as_t5x_drives_it(make, variables):
    params = variables["params"]
    optimizer = make().create(params)
    assert int(optimizer.state.step) == 0
    grads = jax.tree.map(jnp.ones_like, params)
    optimizer = optimizer.apply_gradient(grads, learning_rate=0.1)
    assert int(optimizer.state.step) == 1
    tree = optimizer.state_dict()
    assert tree.keys() == {"target", "state"}
    assert tree["state"].keys() == {"step", "param_states"}
    again = optimizer.replace(target=params).restore_state(tree)
    jax.tree.map(np.testing.assert_array_equal, again.target, optimizer.target)
    names = flax.linen.partitioning.get_axis_names(variables["params_axes"])
    axes = optimizer.optimizer_def.derive_logical_axes(optimizer, names)

    def structure(tree):
        is_axes = lambda x: x is None or isinstance(x, PartitionSpec)  # noqa: E731
        return jax.tree.structure(tree, is_leaf=is_axes)

    assert structure(axes.target) == structure(params)
    assert structure(axes.state.param_states) == structure(optimizer.state.param_states)


def test_t5xs_own_microbatches_are_refused_and_ours_change_nothing(variables):
    params, rng = variables["params"], jax.random.PRNGKey(1)
    part = {name: array[:2] for name, array in BATCH.items()}
    with pytest.raises(ValueError, match="Batch has 2 lists; expected BATCH_SIZE 4"):
        make_model(batch_size=4).loss_fn(params, part, rng)
    make_model(batch_size=4, loss_normalizing_factor=4.0).loss_fn(params, part, rng)
    make_model(batch_size=4).eval_fn(params, part)  # evaluation has batches of its own
    with pytest.raises(ValueError, match="NUM_MICROBATCHES has 2 for 9 lists; expected a divisor"):
        make_model(batch_size=9, num_microbatches=2)
    both = [
        jax.value_and_grad(make_model(num_microbatches=n).loss_fn, has_aux=True)(params, BATCH, rng)
        for n in (1, 2)
    ]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), *both)


@pytest.mark.parametrize("script", ["finetune", "eval", "infer"])
def test_gin_names_what_there_is(script):
    """`module.name` of our modules in the files that only T5X can parse."""
    text = (ROOT / f"gin/runs/t5x_{script}.gin").read_text()
    modules = {"plugin": plugin, "seqio_vocabulary": seqio_vocabulary, "t5x_model": model}
    found = set(re.findall(r"@(plugin|seqio_vocabulary|t5x_model)\.(\w+)", text))
    found |= set(re.findall(r"^(plugin|seqio_vocabulary|t5x_model)\.(\w+)", text, re.MULTILINE))
    assert found
    for module, name in found:
        assert hasattr(modules[module], name), (module, name)


def test_signatures_are_those_of_t5xs_hooks():
    def names(function):
        return list(inspect.signature(function).parameters)

    first = ["cfg", "shard_id", "num_shards"]
    dataset = [*first, "feature_converter_cls", "num_epochs", "continue_from_last_checkpoint"]
    assert names(plugin.resumed_dataset)[:6] == dataset
    assert names(plugin.whole_list_datasets) == [*first, "eval_steps", "feature_converter_cls"]
    write = ["path", "inferences", "task_ds", "mode", "vocabulary"]
    assert names(plugin.write_run) == write
    assert names(list_metrics.ranking_metrics) == ["targets", "scores"]


@dataclasses.dataclass
class DatasetConfig:
    mixture_or_task_name: str
    task_feature_lengths: dict
    split: str = "validation"
    batch_size: int = 4
    use_cached: bool = False


def ranked(number, size):
    ids = tuple(f"q{number}-d{i}" for i in range(size))
    texts = tuple(f"text {i}" for i in range(size))
    labels = tuple(float(i == 1) for i in range(size))
    return RankedList(f"q{number}", "which word", ids, texts, labels)


@pytest.fixture
def task(tmp_path, vocabulary_file):
    write_jsonl(tmp_path / "v.jsonl", [ranked(i, 2 + i % 3) for i in range(6)])
    return jsonl.jsonl_task(str(tmp_path), {"validation": "v.jsonl"}, vocabulary_file)


@pytest.mark.parametrize("hosts", [1, 2])
def test_every_list_is_evaluated_once_and_whole(task, hosts):
    config = DatasetConfig(task, {"inputs": (None, 20)})
    converter = make_model().FEATURE_CONVERTER_CLS
    found = []
    for host in range(hosts):
        data = plugin.whole_list_datasets(config, host, hosts, None, converter)[task]
        batches = list(data.as_numpy_iterator())
        assert [b["label"].shape for b in batches] == [(4 // hosts, 4)] * 2
        assert batches[0]["encoder_input_tokens"].shape == (4 // hosts, 4, 20)
        found += [int(n) for b in batches for n in b["mask"].sum(-1)]
    assert sorted(found) == [0, 0, 2, 2, 3, 3, 4, 4]
    first = plugin.whole_list_datasets(config, 0, 1, 1, converter)[task]
    assert len(list(first)) == 1


def test_a_batch_that_the_hosts_cannot_share_is_named(task):
    config = DatasetConfig(task, {"inputs": (None, 20)})
    with pytest.raises(ValueError, match="BATCH_SIZE has 4 lists; expected a multiple of the 3"):
        plugin.whole_list_datasets(config, 0, 3, None, make_model().FEATURE_CONVERTER_CLS)


@pytest.fixture
def unchecked(monkeypatch):
    """What is looked at before the first step has tests of its own."""
    monkeypatch.setattr(plugin, "_check_lists", lambda cfg: None)


def test_training_goes_on_after_the_steps_done(unchecked, tmp_path):
    cfg = types.SimpleNamespace(mixture_or_task_name="a task")

    def get_dataset(*arguments):
        assert arguments == (cfg, 0, 1, "converter", None, False)
        return tf.data.Dataset.range(10)

    settings = {"get_dataset_fn": get_dataset, "model_dir": str(tmp_path)}

    def first():
        return int(next(iter(plugin.resumed_dataset(cfg, 0, 1, "converter", **settings))))

    assert first() == 0
    (tmp_path / "checkpoint_4").mkdir()
    assert first() == 4


def test_batches_may_be_packed_list_by_list(unchecked, task, tmp_path):
    """Fixed shapes, the lists first, as T5X wants them."""
    lengths = {"inputs": (4, 48), "targets": (4, 1), "label": (4,), "mask": (4,)}

    def get_dataset(*arguments):
        return seqio.get_dataset(
            task,
            task_feature_lengths=lengths,
            dataset_split="validation",
            shuffle=False,
            feature_converter=RankingFeatureConverter(),
            batch_size=3,
        )

    settings = {"get_dataset_fn": get_dataset, "model_dir": str(tmp_path)}
    cfg = types.SimpleNamespace(mixture_or_task_name=task)
    packed = plugin.resumed_dataset(cfg, 0, 1, "converter", rows_per_list=2, **settings)
    batch = next(packed.as_numpy_iterator())
    assert batch["encoder_segment_ids"].shape == (3, 2, 256)
    assert sorted(batch["mask"].sum(axis=(1, 2)).tolist()) == [2, 3, 4]
    ids = [set(ids[mask]) for ids, mask in zip(batch["list_ids"], batch["mask"], strict=True)]
    assert ids == [{0}] * 3  # one list in each group


STATE = {"target": {"a": {"x": 1}, "b": 2}, "state": {}}


def test_what_is_restored_is_said(caplog):
    wanted = {"target": {"a": {"x": 1, "head": 2}}}
    rules = [("state/.*", None), ("target/a/head", None)]
    with caplog.at_level("INFO", logger="t5rank"):
        assert plugin.check_restored(STATE, wanted, assignment_map=rules) is STATE
    assert caplog.messages == ["Restored 1 parameters; new: a/head; left over: b."]
    with pytest.raises(ValueError, match=r"no parameter 'a/head' \(1 missing\)"):
        plugin.check_restored(STATE, wanted)
    with pytest.raises(ValueError, match="no parameter 'a/head'"):  # a run that goes on has all
        plugin.check_restored(STATE, wanted, assignment_map=rules, is_resuming=True)


def write_shard(path, *scored):
    examples = {
        "query_id": [name for name, _ in scored],
        "doc_ids": [["d1", "d2", ""] for _ in scored],
        "mask": [[True, True, False] for _ in scored],
    }
    data = tf.data.Dataset.from_tensor_slices(examples)
    plugin.write_run(str(path), ([np.float32(s) for _, s in scored], {}), data, "score", None)


def test_scores_are_written_as_a_run_and_shards_become_one(tmp_path):
    parts = [("q1", [0.5, 2.5, 9.0]), ("q2", [1.0, 0.75, 9.0])], [("q3", [0.25, 0.5, 9.0])]
    for i, part in enumerate(parts):
        write_shard(tmp_path / f"task-score.trec-0000{i}-of-00002", *part)
    with pytest.raises(ValueError, match=r"00000-of-00002' of folder .* is missing or not"):
        shards(tmp_path, ".trec")
    for i in range(2):
        (tmp_path / f"task-score.trec-0000{i}-of-00002.COMPLETED").touch()
    assert cli.main(["merge", str(tmp_path), "--output", str(tmp_path / "run.txt")]) == 0
    assert trec.read_run(tmp_path / "run.txt") == {
        "q1": {"d2": 2.5, "d1": 0.5},
        "q2": {"d1": 1.0, "d2": 0.75},
        "q3": {"d2": 0.5, "d1": 0.25},
    }


def test_a_query_in_two_lists_or_shards_is_named(tmp_path):
    with pytest.raises(ValueError, match="Query 'q1' is in two lists"):
        write_shard(tmp_path / "x", ("q1", [1.0, 2.0, 0.0]), ("q1", [1.0, 2.0, 0.0]))
    files = [tmp_path / "a", tmp_path / "b"]
    for file in files:
        write_shard(file, ("q1", [1.0, 2.0, 0.0]))
    with pytest.raises(ValueError, match=r"Query 'q1' is in file '.*a' and in file '.*b'"):
        trec.write_run(tmp_path / "run.txt", trec.merged_runs(files))


@pytest.mark.parametrize("names", [[], ["a.trec-00000-of-00001", "b.trec-00000-of-00001"]])
def test_shards_of_one_inference_are_expected(names, tmp_path):
    for name in names:
        (tmp_path / name).touch()
    with pytest.raises(ValueError, match=f"has shards of {len(names)} kinds; expected"):
        shards(tmp_path, ".trec")


def test_metrics_of_seqio_are_those_of_validation():
    examples = [
        {"doc_ids": [b"a", b"b"], "label": np.array([0.0, 1.0])},
        {"doc_ids": [b"a"], "label": np.array([0.0])},
    ]
    targets = [list_metrics.judged_list("", example=e, is_target=True) for e in examples]
    found = list_metrics.ranking_metrics(targets, np.array([[3.0, 2.0, 9.0], [1.0, 9.0, 9.0]]))
    assert found["mrr@10"] == pytest.approx(0.25)
    assert found["answerable/mrr@10"] == pytest.approx(0.5)
    assert (found["lists"], found["answerable/lists"]) == (2, 1)
    with pytest.raises(ValueError, match="has 0 lists"):
        list_metrics.ranking_metrics([], np.zeros((0, 3)))


OURS_ALONE = ("relpos_bias_per_layer", "scan_layers", "remat_policy")
THEIRS = [f.name for f in dataclasses.fields(CONFIG) if f.name not in OURS_ALONE]


def test_the_architecture_is_handed_over():
    found = plugin.t5x_config(dataclasses.make_dataclass("Theirs", THEIRS), CONFIG)
    assert (found.vocab_size, found.mlp_dim, found.dtype) == (64, 16, "float32")
    each = dataclasses.replace(CONFIG, relpos_bias_per_layer=True)
    with pytest.raises(ValueError, match="'relpos_bias_per_layer' has True; expected False"):
        plugin.t5x_config(dict, each)


def test_what_macros_have_is_checked_as_t5x_finalizes_gin():
    gin.parse_config("LIST_SIZE = 0")
    with pytest.raises(ValueError, match="LIST_SIZE has 0; expected an integer of at least 1"):
        gin.finalize()
