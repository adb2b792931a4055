"""The training loop on a small task: resume, stopping, devices, and what is written."""

import os
import signal
from pathlib import Path

import jax
import numpy as np
import pytest
from small_runs import assert_same_params, curve, make_model, params_of, records

from t5rank import checkpoints, losses
from t5rank.model_folder.convert import convert
from t5rank.models import network, ranking
from t5rank.models.rankt5_encoder import EncoderHead, EncoderScorer
from t5rank.runs.run_file import load_run
from t5rank.train import data, optimizers, schedules
from t5rank.train.run import TrainingDivergedError


@pytest.mark.parametrize("optimizer_def", [optimizers.adamw(), optimizers.adafactor()])
def test_a_resumed_run_equals_an_uninterrupted_one(make_trainer, optimizer_def):
    settings = {"optimizer_def": optimizer_def, "eval_period": 0}
    whole = make_trainer("whole", train_steps=12, **settings)  # more than 2 epochs
    whole.train()
    make_trainer("parts", train_steps=7, **settings).train()
    parts = make_trainer("parts", train_steps=12, **settings)
    parts.train()
    assert curve(parts) == curve(whole)  # dropout and data order included: equal to the last bit
    assert len(curve(whole)) == 12
    assert_same_params(params_of(parts, 12), params_of(whole, 12))
    counted = ("steps", "documents", "tokens", "operations")
    one, other = (load_run(trainer.model_dir) for trainer in (whole, parts))
    assert [one[name] for name in counted] == [other[name] for name in counted]
    assert one["documents"] == 12 * 8 * 4


def test_another_seed_gives_another_run(make_trainer, trained):
    other = make_trainer("other", random_seed=1, eval_period=0, train_steps=1)
    other.train()
    assert curve(other)[0] != curve(trained[0])[0]


def test_an_interrupted_run_saves_and_goes_on_as_if_nothing_had_been(make_trainer, monkeypatch):
    whole = make_trainer("whole", train_steps=8, eval_period=0)
    whole.train()
    interrupted = make_trainer("parts", train_steps=8, eval_period=0)
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
    card = (Path(interrupted.model_dir) / "README.md").read_text()
    assert f"Interrupted at step {result.step} of 8" in card
    resumed = make_trainer("parts", train_steps=8, eval_period=0)
    assert resumed.train().reason == "finished"
    assert curve(resumed) == curve(whole)


def test_sigterm_handlers_are_put_back(make_trainer):
    before = signal.getsignal(signal.SIGTERM)
    make_trainer(train_steps=1, eval_period=0).train()
    assert signal.getsignal(signal.SIGTERM) is before


def test_microbatches_give_the_same_losses_and_parameters(make_trainer, vocabulary_file):
    """Of a pointwise loss, whose normalizer they share."""
    settings = {"dropout": 0.0, "loss_fn": losses.sigmoid_loss}
    one, four = (
        make_trainer(
            f"{n}",
            model=make_model(vocabulary_file, num_microbatches=n, **settings),
            eval_period=0,
            train_steps=3,
        )
        for n in (1, 4)
    )
    one.train(), four.train()
    np.testing.assert_allclose(curve(four), curve(one), rtol=1e-5)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=2e-5),
        params_of(four, 3),
        params_of(one, 3),
    )


def test_training_can_learn_its_lists_by_heart(make_trainer, vocabulary_file):
    model = make_model(vocabulary_file, dropout=0.0, width=64)
    settings = {"train_steps": 240, "eval_period": 0, "log_period": 20}
    settings["learning_rate_fn"] = schedules.constant(1e-3)
    trainer = make_trainer(model=model, **settings)
    trainer.train()
    assert records(trainer, "train")[-1]["ndcg@10"] > 0.99


def test_a_loss_that_is_not_finite_stops_and_saves_nothing_new(make_trainer, vocabulary_file):
    def bad_loss(scores, labels, **lists):
        return losses.softmax_loss(scores / 0.0, labels, **lists)

    model = make_model(vocabulary_file, loss_fn=bad_loss)
    trainer = make_trainer(model=model, train_steps=1, eval_period=0)
    with pytest.raises(TrainingDivergedError, match=r"loss has nan .* at step 1; expected finite"):
        trainer.train()
    assert checkpoints.steps(trainer.model_dir) == []


def test_divergence_names_its_step_and_the_last_good_checkpoint(make_trainer):
    make_trainer(train_steps=3, eval_period=0).train()
    settings = {
        "learning_rate_fn": lambda step: float("nan"),
        "log_period": 6,
        "resume_with_changes": True,
    }
    trainer = make_trainer(train_steps=9, eval_period=0, **settings)
    with pytest.raises(TrainingDivergedError, match=r"at step 5; .* before it is 3\."):
        trainer.train()


def test_a_run_starts_from_another_runs_parameters(make_trainer, trained):
    first, _ = trained
    checkpoint = str(Path(first.model_dir) / "checkpoint_6")
    settings = {"initial_checkpoint_path": checkpoint, "learning_rate_fn": schedules.constant(0.0)}
    second = make_trainer("second", train_steps=2, eval_period=0, **settings)
    second.train()
    assert_same_params(params_of(second, 2), params_of(first, 6))


def test_an_encoder_starts_from_a_t5_whose_decoder_it_has_no_place_for(
    make_trainer, vocabulary_file, caplog
):
    """From Hugging Face's folder; the new head starts as it would from scratch."""
    t5 = make_model(vocabulary_file)
    make_trainer("t5", t5, train_steps=1, eval_period=0).train()
    folder = Path(make_trainer("t5", t5).model_dir)
    convert(folder, folder.parent / "exported", "huggingface")
    encoder = EncoderScorer(t5.module.config)
    model = ranking.RankingModel(encoder, EncoderHead())
    frozen = {"learning_rate_fn": schedules.constant(0.0), "train_steps": 1, "eval_period": 0}
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
        ({"train_steps": 0}, "TRAIN_STEPS has 0; expected an integer of at least 1"),
        (
            {"early_stopping_patience": 0},
            "EARLY_STOPPING_PATIENCE has 0; expected None or an integer",
        ),
        ({"best_metric": "map"}, "BEST_METRIC has 'map'; expected one of"),
        ({"best_metric": "run/RR@10"}, "Those of 'run/' need qrels"),
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


def test_a_vocabulary_larger_than_the_embedding_is_refused(make_trainer, vocabulary_file):
    config = network.T5Config(vocab_size=16, emb_dim=8, num_heads=1, head_dim=8, mlp_dim=8)
    model = ranking.RankingModel(EncoderScorer(config), EncoderHead())
    with pytest.raises(ValueError, match="'vocab_size' has 16 rows; expected at least"):
        make_trainer(model=model)


def test_a_vocabulary_far_smaller_than_the_checkpoints_embedding_is_refused(
    make_trainer, vocabulary_file, tmp_path
):
    """Only the size tells: the checkpoint has no vocabulary beside it."""
    config = network.T5Config(
        vocab_size=2048, emb_dim=8, num_heads=1, head_dim=8, mlp_dim=8, num_encoder_layers=1
    )
    model = ranking.RankingModel(EncoderScorer(config), EncoderHead())
    shapes = {"encoder_input_tokens": (1, 1, 8)}
    params = model.get_initial_variables(jax.random.key(0), shapes)["params"].unfreeze()
    with checkpoints.Checkpointer(tmp_path / "start") as saver:
        saver.save(1, optimizers.adamw().create(params))
    trainer = make_trainer(model=model, initial_checkpoint_path=str(tmp_path / "start"))
    with pytest.raises(ValueError, match="has 2048 rows of embeddings; expected the 1100 tokens"):
        trainer.train()
