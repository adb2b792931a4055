"""The runs of T5X that the README documents, on real lists with a tiny network."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from runs import RECIPES, RUNS, Reference, scalars, t5x

from t5rank import Embedder, Reranker
from t5rank.data import trec
from t5rank.train.config import configured_trainer

pytestmark = pytest.mark.t5x

ROOT = Path(__file__).parents[2]
FINETUNE = f"{RUNS}/t5x_finetune.gin"
SOFTMAX = f"{RECIPES}/msmarco_qna_softmax_tiny.gin"
SIGMOID = f"{RECIPES}/msmarco_qna_sigmoid_tiny.gin"
STEPS = 4


def train(folder, *more, recipe=SOFTMAX, qna, **settings):
    """Trains with T5X for some steps and gives its losses."""
    defaults = {"TRAIN_STEPS": STEPS, "EVAL_PERIOD": 4, "CHECKPOINT_PERIOD": 4, "LOG_PERIOD": 1}
    run = {key: settings.pop(key) for key in ("devices", "flags") if key in settings}
    t5x(
        "train", FINETUNE, recipe, *more, **qna, MODEL_DIR=str(folder), **defaults | settings, **run
    )
    return list(scalars(folder / "train", "loss").values())


def train_ours(folder, *more, recipe=SOFTMAX, qna, **settings):
    """The same with our trainer."""
    defaults = {"TRAIN_STEPS": STEPS, "EVAL_PERIOD": 4, "CHECKPOINT_PERIOD": 4, "LOG_PERIOD": 1}
    settings = {**qna, "MODEL_DIR": str(folder), **defaults, **settings}
    bindings = [f"{name}={value!r}" for name, value in settings.items()]
    configured_trainer([recipe, *more], bindings).train()
    return [r["loss"] for r in records(folder, "train")][-settings["TRAIN_STEPS"] :]


def records(folder, part):
    lines = (Path(folder) / "metrics.jsonl").read_text().splitlines()
    return [r for r in map(json.loads, lines) if r["part"] == part]


@pytest.fixture(scope="module")
def start(qna, initial):
    return {"qna": qna, "INITIAL_CHECKPOINT_PATH": initial}


@pytest.fixture(scope="module")
def base(start, tmp_path_factory):
    """A run of T5X: its folder and its losses."""
    folder = tmp_path_factory.mktemp("base")
    return folder, train(folder, **start)


@pytest.fixture(scope="module")
def ours(start, tmp_path_factory):
    """The same run with our trainer."""
    folder = tmp_path_factory.mktemp("ours")
    return folder, train_ours(folder, **start)


def test_losses_and_learning_rates_are_those_of_our_trainer(base, ours):
    folder, losses = base
    assert len(losses) == STEPS
    np.testing.assert_allclose(losses, ours[1], rtol=1e-5)
    rates = list(scalars(folder / "train", "learning_rate").values())
    np.testing.assert_allclose(rates, [5e-6, 1e-5, 1.5e-5, 2e-5], rtol=1e-5)  # 5e-4, warming up
    for name in ("mrr@10", "ndcg@10"):
        found = list(scalars(folder / "train", name).values())
        np.testing.assert_allclose(found, [r[name] for r in records(ours[0], "train")], rtol=1e-4)


def test_both_evaluations_are_over_whole_lists_as_ours(base, ours):
    expected = records(ours[0], "validation")[-1]
    assert (expected["lists"], expected["answerable/lists"]) == (200, 189)
    (file,) = (base[0] / "inference_eval").glob("*-metrics.jsonl")
    found = json.loads(file.read_text().splitlines()[-1])
    for name in ("mrr@10", "answerable/ndcg@10", "lists", "answerable/lists"):
        assert found[name] == pytest.approx(expected[name], rel=1e-4)
    (folder,) = (base[0] / "training_eval").iterdir()
    for name in ("mrr@10", "ndcg@10"):
        assert scalars(folder, name)[4] == pytest.approx(expected[name], rel=1e-4)
    assert 1.0 < scalars(folder, "loss")[4] < 3.0


def test_it_resumes_with_the_batches_that_come_next(start, ours, tmp_path):
    losses = train(tmp_path / "run", TRAIN_STEPS=4, **start)
    losses = train(tmp_path / "run", TRAIN_STEPS=8, **start)
    whole = train_ours(tmp_path / "whole", TRAIN_STEPS=8, **start)
    np.testing.assert_allclose(losses, whole, rtol=1e-4)


@pytest.mark.parametrize("optimizer", ["adamw", "t5x_adafactor"])
def test_each_trainer_goes_on_with_the_others_run(optimizer, start, tmp_path):
    more = [f"t5rank/configs/optimizers/{optimizer}.gin"]
    whole = train_ours(tmp_path / "whole", *more, TRAIN_STEPS=8, **start)
    train(tmp_path / "theirs", *more, **start)
    ours = train_ours(tmp_path / "theirs", *more, TRAIN_STEPS=8, **start)
    np.testing.assert_allclose(ours[-4:], whole[4:], rtol=1e-4)
    train_ours(tmp_path / "ours", *more, **start)
    theirs = train(tmp_path / "ours", *more, TRAIN_STEPS=8, **start)
    np.testing.assert_allclose(theirs[-4:], whole[4:], rtol=1e-4)


FILES = sorted(p.stem for p in (ROOT / "gin/losses").glob("*.gin"))
PLAIN = re.findall(r"@(losses\.\w+),", (ROOT / "gin/runs/losses.gin").read_text())


@pytest.mark.parametrize("loss", [*FILES, *PLAIN])
def test_any_loss_of_the_library_trains(loss, start, tmp_path):
    settings = {"TRAIN_STEPS": 2, "EVAL_PERIOD": 2, "CHECKPOINT_PERIOD": 2, **start}
    if loss in PLAIN:
        losses = train(tmp_path, **settings, LOSS_FN=Reference(f"@{loss}"))
    else:
        losses = train(tmp_path, f"t5rank/configs/losses/{loss}.gin", **settings)
    assert len(losses) == 2
    assert np.all(np.isfinite(losses))


@pytest.mark.parametrize("name", ["lion", "adafactor"])
def test_any_optimizer_is_that_of_our_trainer(name, start, tmp_path):
    file = f"t5rank/configs/optimizers/{name}.gin"
    theirs = train(tmp_path / "theirs", file, **start)
    ours = train_ours(tmp_path / "ours", file, **start)
    np.testing.assert_allclose(theirs, ours, rtol=1e-4)


def test_t5xs_adafactor_learns_at_the_recipes_rate(start, base, tmp_path):
    file = "t5rank/configs/optimizers/t5x_adafactor.gin"
    losses = train(tmp_path / "a", file, **start)
    still = train(tmp_path / "b", file, LEARNING_RATE=0.0, **start)
    assert losses[0] == still[0]
    assert abs(losses[3] - still[3]) > 1e-4


@pytest.mark.parametrize("recipe", [SOFTMAX, SIGMOID])
def test_microbatches_change_nothing(recipe, start, tmp_path):
    one = train(tmp_path / "one", recipe=recipe, **start)
    four = train(tmp_path / "four", recipe=recipe, NUM_MICROBATCHES=4, **start)
    np.testing.assert_allclose(four, one, rtol=1e-5)
    for name in ("mrr@10", "ndcg@10"):
        found = [list(scalars(tmp_path / n / "train", name).values()) for n in ("one", "four")]
        np.testing.assert_allclose(*found, rtol=1e-4)


@pytest.mark.parametrize("network", [(), ("t5rank/configs/models/t5x_network.gin",)])
def test_packed_rows_change_nothing(network, start, base, tmp_path):
    losses = train(tmp_path, *network, ROWS_PER_LIST=5, **start)
    np.testing.assert_allclose(losses, base[1], rtol=1e-5)


def test_t5xs_own_microbatches_need_a_constant_normalizer(start, base, qna, initial, tmp_path):
    settings = {"trainer__Trainer__num_microbatches": 4}
    losses = train(tmp_path / "a", LOSS_NORMALIZING_FACTOR=16, **settings, **start)
    np.testing.assert_allclose(losses, base[1], rtol=1e-5)
    settings |= {"MODEL_DIR": str(tmp_path / "b"), "INITIAL_CHECKPOINT_PATH": initial}
    said = t5x("train", FINETUNE, SOFTMAX, fails=True, **qna, **settings)
    assert "Batch has 4 lists; expected BATCH_SIZE 16" in said
    assert "set NUM_MICROBATCHES" in said


@pytest.mark.parametrize("model_parallel", [1, 2])
def test_eight_devices_give_the_losses_of_one(model_parallel, start, base, tmp_path):
    # On a CPU T5X takes the mesh from the submesh, not from num_partitions.
    settings = {
        "partitioning__PjitPartitioner__num_partitions": None,
        "partitioning__PjitPartitioner__model_parallel_submesh": (1, model_parallel),
    }
    losses = train(tmp_path, devices=8, **settings, **start)
    np.testing.assert_allclose(losses, base[1], rtol=2e-5)


def test_eval_gives_the_runs_last_figures(base, qna, tmp_path):
    checkpoint = str(base[0] / "checkpoint_4")
    settings = {"CHECKPOINT_PATH": checkpoint, "EVAL_OUTPUT_DIR": str(tmp_path)}
    t5x("eval", f"{RUNS}/t5x_eval.gin", SOFTMAX, **qna, **settings)
    (file,) = (tmp_path / "inference_eval").glob("*-metrics.jsonl")
    (expected,) = (base[0] / "inference_eval").glob("*-metrics.jsonl")
    assert file.read_text().splitlines()[-1] == expected.read_text().splitlines()[-1]


@pytest.mark.parametrize(("mode", "shards"), [("score", 2), ("predict", 1)])
def test_infer_writes_the_run_of_our_scores(mode, shards, ours, shared_data, qna, tmp_path):
    lists = tmp_path / "lists"
    lists.mkdir()
    rows = list(map(json.loads, (shared_data / "msmarco_qna/hf_rows.jsonl").open()))[:21]
    with (lists / "validation.jsonl").open("w") as file:  # without any label
        for row in rows:
            texts = row["passages"]["passage_text"]
            documents = [
                {"doc_id": f"{row['query_id']}-{i}", "text": text} for i, text in enumerate(texts)
            ]
            name = str(row["query_id"])
            item = {"query_id": name, "query": row["query"], "documents": documents}
            file.write(json.dumps(item) + "\n")
    recipe = tmp_path / "recipe.gin"
    recipe.write_text(
        "include 't5rank/configs/models/t5_1_1_tiny.gin'\n"
        "include 't5rank/configs/models/rankt5.gin'\n"
        "include 't5rank/configs/tasks/jsonl.gin'\n"
        "LOSS_FN = @losses.softmax_loss\n"
    )
    settings = {
        "DATA_DIR": str(lists),
        "VOCABULARY_FILE": qna["VOCABULARY_FILE"],
        "SPLITS": {"validation": "validation.jsonl"},
        "LABELLED": False,
        "LIST_SIZE": 12,
        "INPUT_LENGTH": 96,
        "CHECKPOINT_PATH": str(ours[0] / "checkpoint_4"),
        "INFER_OUTPUT_DIR": str(tmp_path / "out"),
        "MODE": mode,
        "NUM_SHARDS": shards,
        "BATCH_SIZE": 4,
    }
    for shard in range(shards):
        t5x("infer", f"{RUNS}/t5x_infer.gin", str(recipe), SHARD_ID=shard, **settings)
    command = [sys.executable, "-m", "t5rank", "merge", tmp_path / "out"]
    subprocess.run([*map(str, command), "--output", str(tmp_path / "run.txt")], check=True)
    run = trec.read_run(tmp_path / "run.txt")
    reranker = Reranker.from_pretrained(ours[0], step=4)
    assert run.keys() == {str(row["query_id"]) for row in rows}
    for row in rows:
        scores = reranker.score(row["query"], row["passages"]["passage_text"])
        found = [run[str(row["query_id"])][f"{row['query_id']}-{i}"] for i in range(len(scores))]
        np.testing.assert_allclose(found, scores, atol=1e-5)


def test_t5xs_network_gives_the_same_losses(start, base, tmp_path):
    losses = train(tmp_path, "t5rank/configs/models/t5x_network.gin", **start)
    np.testing.assert_allclose(losses, base[1], rtol=1e-5)


def test_a_new_head_starts_from_a_t5_without_one(start, tmp_path):
    """The recipe's own restore settings; parameters only, from a converted checkpoint."""
    from t5rank.model_folder.convert import convert

    convert(start["INITIAL_CHECKPOINT_PATH"], tmp_path / "t5x", "t5x")
    (checkpoint,) = (tmp_path / "t5x").glob("checkpoint_*")
    settings = {"qna": start["qna"], "INITIAL_CHECKPOINT_PATH": str(checkpoint)}
    again = train(tmp_path / "same", **settings)
    np.testing.assert_allclose(
        again, train_ours(tmp_path / "ours", EVAL_PERIOD=3, **settings), rtol=1e-5
    )
    head = "t5rank/configs/models/rankt5_encoder.gin"
    losses = train(tmp_path / "encoder", head, **settings)
    assert np.all(np.isfinite(losses))


def test_what_a_checkpoint_lacks_is_not_filled_in_unasked(qna, initial, tmp_path):
    settings = {"INITIAL_CHECKPOINT_PATH": initial, "MODEL_DIR": str(tmp_path)}
    settings["network__T5Config__num_encoder_layers"] = 3
    said = t5x("train", FINETUNE, SOFTMAX, fails=True, **qna, **settings)
    assert "Checkpoint has no parameter 'encoder/layers_2/" in said


RAX_EXAMPLE = """
from __gin__ import dynamic_registration

import __main__ as train_script
import qna_task
import ranking_models
import seqio
from t5rank import losses
from t5x import utils
from t5x.examples.t5 import network

include 't5x/examples/t5/t5_1_1/small.gin'
include 't5x/configs/runs/finetune.gin'

MIXTURE_OR_TASK_NAME = "msmarco_qna21_ranking"
TASK_FEATURE_LENGTHS = {"inputs": (10, 64), "targets": (10, 1), "label": (10,), "mask": (10,)}
train/utils.DatasetConfig.pack = False
train_eval/utils.DatasetConfig.pack = False
MODEL = @ranking_models.RankingEncDecModel()
ranking_models.RankingEncDecModel:
  module = @network.Transformer()
  input_vocabulary = %VOCABULARY
  output_vocabulary = %VOCABULARY
  optimizer_def = %OPTIMIZER
  rax_loss_fn = @losses.softmax_loss
  loss_normalizing_factor = 233472
ranking_models.RankingEncDecFeatureConverter.apply_length_check = False
"""


def test_the_names_of_raxs_example_work(qna, tmp_path):
    """The bindings of its gin file, with our modules; its task, head, network and optimizer."""
    import gzip

    data = (Path(qna["DATA_DIR"]) / "columnar.json").read_bytes()
    for name in ("train_v2.1.json.gz", "dev_v2.1.json.gz"):
        (tmp_path / name).write_bytes(gzip.compress(data))
    (tmp_path / "example.gin").write_text(RAX_EXAMPLE)
    sizes = {"emb_dim": 16, "num_heads": 2, "head_dim": 8, "mlp_dim": 16}
    sizes |= {"num_encoder_layers": 1, "num_decoder_layers": 1}
    settings = {f"network__T5Config__{name}": size for name, size in sizes.items()}
    settings |= {
        "MODEL_DIR": str(tmp_path / "model"),
        "INITIAL_CHECKPOINT_PATH": None,
        "TRAIN_STEPS": 2,
        "EVAL_STEPS": 2,
        "BATCH_SIZE": 8,
        "DROPOUT_RATE": 0.0,
        "USE_CACHED_TASKS": False,
        "seqio__SentencePieceVocabulary__sentencepiece_model_file": qna["VOCABULARY_FILE"],
        "seqio__SentencePieceVocabulary__extra_ids": 100,
    }
    modules = [str(ROOT / "examples/rax"), os.environ.get("PYTHONPATH", "")]
    environment = {"T5RANK_QNA_DIR": str(tmp_path), "PYTHONPATH": os.pathsep.join(modules)}
    environment["T5RANK_VOCABULARY_FILE"] = qna["VOCABULARY_FILE"]
    t5x("train", str(tmp_path / "example.gin"), environment=environment, **settings)
    (loss,) = scalars(tmp_path / "model" / "train", "loss").values()
    assert 1.5 < loss < 4.0
    (file,) = (tmp_path / "model" / "inference_eval").glob("*-metrics.jsonl")
    assert json.loads(file.read_text().splitlines()[-1])["lists"] == 200


def test_cached_tasks_train_both_trainers(start, qna, tmp_path):
    pytest.importorskip("apache_beam", reason="seqio_cache_tasks needs apache-beam")
    pytest.importorskip("google_crc32c", reason="apache-beam needs google-crc32c to write")
    splits = {"train": "columnar.json", "validation": "columnar.json"}
    arguments = (qna["DATA_DIR"], qna["VOCABULARY_FILE"], splits)
    (tmp_path / "my_tasks.py").write_text(
        f"from t5rank.tasks import msmarco\nmsmarco.qna_task(*{arguments!r})\n"
    )
    cache = str(tmp_path / "cache")
    command = [sys.executable, "-m", "seqio.scripts.cache_tasks_main", "--tasks=msmarco_qna"]
    command += ["--module_import=my_tasks", f"--output_cache_dir={cache}", "--min_shards=2"]
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    flags = [f"--seqio_additional_cache_dirs={cache}"]
    theirs = train(tmp_path / "theirs", USE_CACHED_TASKS=True, flags=flags, **start)
    import seqio

    seqio.add_global_cache_dirs([cache])
    ours = train_ours(tmp_path / "ours", USE_CACHED_TASKS=True, **start)
    np.testing.assert_allclose(theirs, ours, rtol=1e-4)


def test_a_dual_encoder_is_that_of_our_trainer(shared_data, tmp_path):
    """Losses over the batch, a mesh of two, packed rows, and both evaluations."""
    vocabulary, dev = (
        str(shared_data / "t5_vocab/spiece.model"),
        shared_data / "msmarco_passage_dev",
    )
    data = {"DATA_DIR": str(shared_data), "VOCABULARY_FILE": vocabulary}
    settings = {"recipe": f"{RECIPES}/msmarco_retrieval_tiny.gin", "qna": data, "BATCH_SIZE": 8}
    train_ours(tmp_path / "start", TRAIN_STEPS=1, LEARNING_RATE=0.0, EVAL_PERIOD=0, **settings)
    settings["INITIAL_CHECKPOINT_PATH"] = str(tmp_path / "start" / "checkpoint_1")
    settings |= {"ASSIGNMENT_MAP": [("state/.*", None)], "TRAIN_STEPS": 3}
    expected = train_ours(tmp_path / "ours", EVAL_PERIOD=3, **settings)
    losses = train(tmp_path / "theirs", CHECKPOINT_PERIOD=3, EVAL_PERIOD=3, **settings)
    np.testing.assert_allclose(losses, expected, rtol=1e-5)
    assert len(losses) == 3 and losses[0] != losses[1]
    figures = records(tmp_path / "ours", "validation")[-1]
    (file,) = (tmp_path / "theirs" / "inference_eval").glob("*-metrics.jsonl")
    found = json.loads(file.read_text().splitlines()[-1])
    assert found["mrr@10"] == pytest.approx(figures["mrr@10"], rel=1e-4)
    packed = train(tmp_path / "packed", devices=2, ROWS_PER_LIST=2, EVAL_PERIOD=0, **settings)
    np.testing.assert_allclose(packed, expected, rtol=1e-4)
    vectors = tmp_path / "vectors"
    t5x(
        *("infer", f"{RUNS}/t5x_encode.gin", settings.pop("recipe")),
        **data,
        LIST_SIZE=20,
        CHECKPOINT_PATH=str(tmp_path / "ours" / "checkpoint_3"),
        INFER_OUTPUT_DIR=str(vectors),
    )
    lines = [json.loads(line) for file in vectors.glob("*.jsonl*") for line in file.open()]
    assert len(lines) == 207 * 21
    embedder = Embedder.from_pretrained(tmp_path / "ours", step=3)
    queries = dict(line.split("\t") for line in (dev / "queries.tsv").read_text().splitlines())
    found = {line["id"]: line["vector"] for line in lines if line["text"] == "query"}
    ours = embedder.encode_queries([queries[query_id] for query_id in found])
    np.testing.assert_allclose([*found.values()], ours, atol=1e-5)
