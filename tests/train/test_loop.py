"""The training loop on a small task: resume, stopping, devices, and what is written."""

import functools
import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import jax
import numpy as np
import pytest

from t5rank import Reranker, checkpoints, layouts, losses, model_folder, optimizers, schedules
from t5rank.convert import convert
from t5rank.data.jsonl import write_jsonl
from t5rank.data.lists import RankedList
from t5rank.models import heads, network, ranking
from t5rank.tasks import lists
from t5rank.train import data
from t5rank.train.loop import Trainer, TrainingDivergedError
from t5rank.vocabulary import Vocabulary

WORDS = (
    *("list", "object", "string", "number", "value", "type", "class", "method", "module", "file"),
    *("call", "return", "true", "false", "raise", "error", "index", "key", "bytes", "name"),
)


def ranked_list(number: int, split: str, size: int = 5) -> RankedList:
    """The relevant document holds the query's words."""
    rng = np.random.default_rng([number, len(split)])
    words = rng.permutation(WORDS)
    query, relevant = " ".join(words[:2]), int(rng.integers(size))
    documents = [" ".join(rng.choice(words[2:], 6)) for _ in range(size)]
    documents[relevant] = " ".join([*words[:2], *rng.choice(words[2:], 4)])
    labels = tuple(float(i == relevant) for i in range(size))
    ids = tuple(f"{split}{number}-{i}" for i in range(size))
    return RankedList(f"{split}{number}", query, ids, tuple(documents), labels)


@pytest.fixture(scope="module")
def task(tmp_path_factory, vocabulary_file) -> str:
    folder = tmp_path_factory.mktemp("lists")
    write_jsonl(folder / "train.jsonl", [ranked_list(i, "train") for i in range(40)])
    write_jsonl(folder / "validation.jsonl", [ranked_list(i, "validation") for i in range(12)])
    splits = {"train": "train.jsonl", "validation": "validation.jsonl"}
    return lists.jsonl_task(str(folder), splits, str(vocabulary_file), name="loop_task")


LENGTHS = {"inputs": (4, 48), "targets": (4, 1), "label": (4,), "mask": (4,)}
PACKED = functools.partial(layouts.packed, row_length=64, rows=16)  # one shape: quick to compile


def make_model(vocabulary_file, dropout=0.1, width=16, **settings):
    vocabulary = Vocabulary(vocabulary_file)
    config = network.T5Config(
        vocab_size=-(-len(vocabulary) // 16) * 16,
        emb_dim=width,
        num_heads=2,
        num_encoder_layers=1,
        num_decoder_layers=1,
        head_dim=width // 2,
        mlp_dim=2 * width,
        mlp_activations=("gelu", "linear"),
        dropout_rate=dropout,
    )
    head = heads.rankt5_head(vocabulary)
    settings = {"optimizer_def": optimizers.adamw(eps=1e-3), **settings}
    return ranking.RankingModel(network.Transformer(config), head, **settings)


@pytest.fixture
def make_trainer(task, vocabulary_file, tmp_path):
    def make(model_dir="model", model=None, **settings) -> Trainer:
        return Trainer(
            **{
                "model": model or make_model(vocabulary_file),
                "model_dir": str(tmp_path / model_dir),
                "mixture_or_task_name": task,
                "task_feature_lengths": LENGTHS,
                "batch_size": 8,
                "train_steps": 6,
                "learning_rate_fn": schedules.constant(1e-2),
                "layout": PACKED,
                "eval_period": 3,
                "checkpoint_period": 100,
                "log_period": 1,
                **settings,
            }
        )

    return make


def records(trainer: Trainer, part: str) -> list[dict]:
    lines = (Path(trainer.model_dir) / "metrics.jsonl").read_text().splitlines()
    return [r for r in map(json.loads, lines) if r["part"] == part]


def curve(trainer: Trainer) -> list[float]:
    return [r["loss"] for r in records(trainer, "train")]


def params_of(trainer: Trainer, step: int):
    return model_folder.load_params(trainer.model_dir, trainer.model, step)


def assert_same_params(left, right):
    jax.tree.map(np.testing.assert_array_equal, left, right)


@pytest.mark.parametrize("optimizer_def", [optimizers.adamw(), optimizers.adafactor()])
def test_a_resumed_run_equals_an_uninterrupted_one(make_trainer, vocabulary_file, optimizer_def):
    model = make_model(vocabulary_file, optimizer_def=optimizer_def)
    settings = {"model": model, "eval_period": 100}
    whole = make_trainer("whole", train_steps=200, **settings)
    whole.train()
    make_trainer("parts", train_steps=100, **settings).train()
    parts = make_trainer("parts", train_steps=200, **settings)
    parts.train()
    assert curve(parts) == curve(whole)  # dropout and data order included: equal to the last bit
    assert len(curve(whole)) == 200
    assert_same_params(params_of(parts, 200), params_of(whole, 200))


def test_another_seed_gives_another_run(make_trainer):
    one, other = make_trainer("one"), make_trainer("other", random_seed=1)
    one.train(), other.train()
    assert curve(one) != curve(other)


def test_an_interrupted_run_saves_and_goes_on_as_if_nothing_had_been(make_trainer, monkeypatch):
    whole = make_trainer("whole", train_steps=8)
    whole.train()
    interrupted = make_trainer("parts", train_steps=8)
    steps = interrupted.model.loss_and_sums

    def signalled(batches):
        for number, batch in enumerate(batches):
            if number == 4:
                os.kill(os.getpid(), signal.SIGTERM)
            yield batch

    before = data.train_batches
    monkeypatch.setattr(data, "train_batches", lambda *a, **k: signalled(before(*a, **k)))
    result = interrupted.train()
    monkeypatch.undo()
    assert result.reason == "interrupted" and 1 <= result.step <= 5  # batches are made ahead
    assert checkpoints.steps(interrupted.model_dir)[-1] == result.step
    assert interrupted.model.loss_and_sums == steps
    resumed = make_trainer("parts", train_steps=8)
    assert resumed.train().reason == "finished"
    assert curve(resumed) == curve(whole)


def test_sigterm_handlers_are_put_back(make_trainer):
    before = signal.getsignal(signal.SIGTERM)
    make_trainer(train_steps=1, eval_period=0).train()
    assert signal.getsignal(signal.SIGTERM) is before


def test_microbatches_give_the_same_losses_and_parameters(make_trainer, vocabulary_file):
    one, four = (
        make_trainer(f"{n}", model=make_model(vocabulary_file, dropout=0.0, num_microbatches=n))
        for n in (1, 4)
    )
    one.train(), four.train()
    np.testing.assert_allclose(curve(four), curve(one), rtol=1e-5)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=2e-5),
        params_of(four, 6),
        params_of(one, 6),
    )


def test_microbatches_of_a_pointwise_loss_share_one_normalizer(make_trainer, vocabulary_file):
    settings = {"dropout": 0.0, "loss_fn": losses.sigmoid_loss}
    one, two = (
        make_trainer(f"{n}", model=make_model(vocabulary_file, num_microbatches=n, **settings))
        for n in (1, 2)
    )
    one.train(), two.train()
    np.testing.assert_allclose(curve(two), curve(one), rtol=1e-4)


def test_training_can_learn_its_lists_by_heart(make_trainer, vocabulary_file):
    model = make_model(vocabulary_file, dropout=0.0, width=64)
    settings = {"train_steps": 400, "eval_period": 0, "log_period": 20}
    settings["learning_rate_fn"] = schedules.constant(3e-4)
    trainer = make_trainer(model=model, **settings)
    trainer.train()
    assert records(trainer, "train")[-1]["ndcg@10"] > 0.99


def test_validation_is_that_of_the_reranker_over_whole_lists(make_trainer, task):
    trainer = make_trainer()
    result = trainer.train()
    reranker = Reranker.from_pretrained(trainer.model_dir, step=6)
    reciprocal = []
    for i in range(12):
        item = ranked_list(i, "validation")
        assert len(item) == 5  # one more than the training lists: validation cuts nothing
        ranked = reranker.rank(item.query, item.documents)
        best = next(r.rank for r in ranked if item.labels[r.index] > 0)
        reciprocal.append(1 / best)
    np.testing.assert_allclose(result.metrics["mrr@10"], np.mean(reciprocal), rtol=1e-6)
    assert result.metrics["lists"] == 12


def test_validation_scores_equal_the_rerankers(make_trainer, task):
    trainer = make_trainer()
    trainer.train()
    found = list(data.validation_lists(task, trainer.encoder))
    rows = [row for item in found for row in item.rows]
    params = params_of(trainer, 6)
    ours = trainer.scorer.score(params, rows)
    reranker = Reranker.from_pretrained(trainer.model_dir, step=6)
    theirs = [
        reranker.score(item.query, item.documents)
        for item in (ranked_list(i, "validation") for i in range(12))
    ]
    np.testing.assert_allclose(np.concatenate(theirs), ours, atol=1e-6)


def test_the_best_checkpoint_is_kept_and_used(make_trainer, monkeypatch):
    values = iter([0.2, 0.9, 0.4, 0.3])
    monkeypatch.setattr(
        "t5rank.train.loop.validate",
        lambda *_: {"mrr@10": next(values), "lists": 1.0, "answerable/lists": 1.0},
    )
    trainer = make_trainer(train_steps=8, eval_period=2, checkpoint_period=2)
    assert trainer.train().best_step == 4
    assert checkpoints.steps(trainer.model_dir) == [4, 8]  # the best and the latest
    assert model_folder.chosen_step(trainer.model_dir) == 4
    assert model_folder.load_best(trainer.model_dir) == {
        "step": 4,
        "metric": "mrr@10",
        "value": 0.9,
    }


def test_early_stopping_also_after_a_resume(make_trainer, monkeypatch):
    values = iter([0.5, 0.4, 0.3, 0.2, 0.1, 0.0])
    monkeypatch.setattr(
        "t5rank.train.loop.validate",
        lambda *_: {"mrr@10": next(values), "lists": 1.0, "answerable/lists": 1.0},
    )
    settings = {"eval_period": 1, "early_stopping_patience": 3}
    assert make_trainer(train_steps=2, **settings).train().reason == "finished"
    result = make_trainer(train_steps=50, **settings).train()
    assert (result.reason, result.step, result.best_step) == ("stopped early", 4, 1)
    assert make_trainer(train_steps=50, **settings).train().step == 4  # it stays stopped


def test_a_loss_that_is_not_finite_stops_and_saves_nothing_new(make_trainer, vocabulary_file):
    def bad_loss(scores, labels, **lists):
        return losses.softmax_loss(scores / 0.0, labels, **lists)

    trainer = make_trainer(model=make_model(vocabulary_file, loss_fn=bad_loss))
    with pytest.raises(TrainingDivergedError, match=r"loss has nan .* at step 1; expected finite"):
        trainer.train()
    assert checkpoints.steps(trainer.model_dir) == []


def test_divergence_names_its_step_and_the_last_good_checkpoint(make_trainer):
    make_trainer(train_steps=3).train()
    settings = {"learning_rate_fn": schedules.constant(float("nan")), "log_period": 6}
    trainer = make_trainer(train_steps=9, **settings)
    with pytest.raises(TrainingDivergedError, match=r"at step 5; .* before it is 3\."):
        trainer.train()


def test_a_model_folder_is_complete(make_trainer):
    trainer = make_trainer()
    trainer.train()
    names = {p.name for p in Path(trainer.model_dir).iterdir()}
    assert {
        "config.json",
        "vocabulary.model",
        "best.json",
        "metrics.jsonl",
        "learning_curve.png",
        "train",
        "validation",
    } <= names
    assert any((Path(trainer.model_dir) / "train").glob("events.*"))


def test_padding_and_speed_are_reported(make_trainer):
    trainer = make_trainer()
    trainer.train()
    first = records(trainer, "train")[0]
    slots = first["rows"] * 64
    assert first["tokens"] == pytest.approx(slots * (1 - first["padding"]))
    assert first["list_size"] == 4
    assert first["operations"] > 6 * first["tokens"] * (4 * 16 * 16 + 3 * 16 * 32)
    assert records(trainer, "train")[1]["tokens_per_second"] > 0  # the first one compiled


def test_a_run_starts_from_another_runs_parameters(make_trainer):
    make_trainer("first", train_steps=3).train()
    checkpoint = str(Path(make_trainer("first").model_dir) / "checkpoint_3")
    first = make_trainer("first")
    settings = {"initial_checkpoint_path": checkpoint, "learning_rate_fn": schedules.constant(0.0)}
    second = make_trainer("second", train_steps=2, **settings)
    second.train()
    assert_same_params(params_of(second, 2), params_of(first, 3))


def test_an_encoder_starts_from_a_t5_whose_decoder_it_has_no_place_for(
    make_trainer, vocabulary_file, caplog
):
    """From Hugging Face's folder; the new head starts as it would from scratch."""
    t5 = make_model(vocabulary_file)
    make_trainer("t5", t5, train_steps=1).train()
    folder = Path(make_trainer("t5", t5).model_dir)
    convert(folder, folder.parent / "exported", "huggingface")
    encoder = network.EncoderScorer(t5.module.config)
    model = ranking.RankingModel(encoder, heads.EncoderHead(), optimizer_def=optimizers.adamw())
    frozen = {"learning_rate_fn": schedules.constant(0.0), "train_steps": 1}
    scratch = make_trainer("scratch", model, **frozen)
    scratch.train()
    rules = [(r"target/score_head/.*", None)]
    encoder = make_trainer(
        "encoder",
        model,
        initial_checkpoint_path=str(folder.parent / "exported"),
        assignment_map=rules,
        **frozen,
    )
    with caplog.at_level("INFO", logger="t5rank"):
        encoder.train()
    assert "New, from scratch (2): score_head/bias, score_head/kernel." in caplog.messages
    assert any(message.startswith("Left over (") for message in caplog.messages)
    found = params_of(encoder, 1)
    assert_same_params(found["score_head"], params_of(scratch, 1)["score_head"])
    for part in ("encoder", "token_embedder"):
        assert_same_params(found[part], params_of(make_trainer("t5", t5), 1)[part])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"train_steps": 0}, "'train_steps' has 0; expected at least 1"),
        ({"best_metric": "map"}, "BEST_METRIC has 'map'; expected one of"),
        ({"eval_split": "test"}, "has no split 'test'"),
        ({"model_parallel": 3}, "expected a divisor of the number of devices"),
    ],
)
def test_bad_settings_are_named(make_trainer, settings, message):
    with pytest.raises(ValueError, match=message):
        make_trainer(**settings)


def test_microbatches_that_do_not_divide_the_batch_are_named(make_trainer, vocabulary_file):
    model = make_model(vocabulary_file, num_microbatches=2)
    with pytest.raises(ValueError, match="BATCH_SIZE has 9 lists; expected a multiple of 2"):
        make_trainer(model=model, batch_size=9)
    with pytest.raises(ValueError, match="NUM_MICROBATCHES has 2 for 9 lists; expected a divisor"):
        make_model(vocabulary_file, num_microbatches=2, batch_size=9)


def test_a_vocabulary_larger_than_the_embedding_is_refused(make_trainer, vocabulary_file):
    config = network.T5Config(vocab_size=16, emb_dim=8, num_heads=1, head_dim=8, mlp_dim=8)
    model = ranking.RankingModel(network.EncoderScorer(config), heads.EncoderHead())
    with pytest.raises(ValueError, match="'vocab_size' has 16 rows; expected at least"):
        make_trainer(model=model)


@pytest.mark.parametrize("layout", ["padded", "packed"])
def test_eight_devices_give_the_losses_of_one(layout, task, vocabulary_file, tmp_path):
    """Padded batches drop the same numbers on any mesh; packed rows depend on it."""
    script = tmp_path / "devices.py"
    script.write_text(
        textwrap.dedent(
            """
            import json, sys
            sys.path.insert(0, sys.argv[1])
            import jax, test_loop
            from t5rank import layouts, schedules
            from t5rank.tasks import lists

            folder, vocabulary, output, model_parallel, layout = sys.argv[2:]
            splits = {"train": "train.jsonl", "validation": "validation.jsonl"}
            task = lists.jsonl_task(folder, splits, vocabulary, name="devices")
            trainer = test_loop.Trainer(
                model=test_loop.make_model(vocabulary, dropout=0.1 * (layout == "padded")),
                model_dir=output, layout=getattr(layouts, layout), parameter_partitioning_dims=2,
                mixture_or_task_name=task, task_feature_lengths=test_loop.LENGTHS, batch_size=8,
                train_steps=5, learning_rate_fn=schedules.constant(1e-2), eval_period=5,
                log_period=1, model_parallel=int(model_parallel))
            result = trainer.train()
            print(json.dumps([jax.device_count(), test_loop.curve(trainer), result.metrics]))
            """
        )
    )
    folder = tmp_path / "lists"
    folder.mkdir()
    write_jsonl(folder / "train.jsonl", [ranked_list(i, "train") for i in range(40)])
    write_jsonl(folder / "validation.jsonl", [ranked_list(i, "validation") for i in range(12)])
    results = []
    for devices, model_parallel in ((1, 1), (8, 2)):
        environment = {
            **os.environ,
            "JAX_PLATFORMS": "cpu",
            "XLA_FLAGS": " ".join(
                [os.environ["XLA_FLAGS"], f"--xla_force_host_platform_device_count={devices}"]
            ),
        }
        output = tmp_path / f"model_{devices}_{model_parallel}"
        command = [sys.executable, script, Path(__file__).parent, folder, vocabulary_file, output]
        done = subprocess.run(
            [*map(str, command), str(model_parallel), layout],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        results.append(json.loads(done.stdout.splitlines()[-1]))
    (one, losses_one, metrics_one), *others = results
    assert one == 1
    for count, losses_many, metrics_many in others:
        assert count == 8
        np.testing.assert_allclose(losses_many, losses_one, rtol=2e-5)
        assert metrics_many == pytest.approx(metrics_one)
