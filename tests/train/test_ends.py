"""How training ends: errors, signals and a stuck input, with what was trained on disk."""

import os
import signal
import threading
import time

import orbax.checkpoint as ocp
import pytest
from small_runs import records

from t5rank import checkpoints
from t5rank.train import data
from t5rank.train.reporting import Reporter
from t5rank.train.validation import Validation

READ = data.train_batches
FIGURES = {"mrr@10": 0.5, "lists": 1.0, "answerable/lists": 1.0}


@pytest.fixture
def read(monkeypatch):
    """Has training read what a function makes of the batches."""

    def change(function):
        monkeypatch.setattr(data, "train_batches", lambda *a, **k: function(READ(*a, **k)))

    return change


@pytest.fixture
def validate(monkeypatch):
    def change(function):
        monkeypatch.setattr(Validation, "__call__", lambda *_: function())

    return change


def test_what_was_trained_is_saved_where_the_data_cannot_be_read_on(make_trainer, read):
    def broken(batches):
        for _ in range(4):
            yield next(batches)
        raise ValueError("Line 5 is broken.")

    read(broken)
    trainer = make_trainer(eval_period=0)
    with pytest.raises(ValueError, match="Line 5 is broken"):
        trainer.train()
    assert checkpoints.steps(trainer.model_dir) == [4]


def test_what_was_trained_is_on_disk_before_validation_begins(make_trainer, validate):
    trainer, found = make_trainer(), []

    def fail():
        found.extend(checkpoints.steps(trainer.model_dir))
        raise ValueError("No such list.")

    validate(fail)
    with pytest.raises(ValueError, match="No such list"):
        trainer.train()
    assert found == [3]


def test_nothing_is_saved_twice(make_trainer, validate, monkeypatch):
    saved, save = [], ocp.CheckpointManager.save

    def counted(self, step, **arguments):
        saved.append(step)
        return save(self, step, **arguments)

    monkeypatch.setattr(ocp.CheckpointManager, "save", counted)
    validate(lambda: FIGURES)
    make_trainer(train_steps=5, eval_period=2, checkpoint_period=4).train()
    assert saved == [2, 4, 5]


def test_a_validation_that_was_interrupted_is_the_first_thing_of_the_next_run(
    make_trainer, validate
):
    def interrupt():
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)  # a handler that raises ends it

    validate(interrupt)
    result = make_trainer().train()
    assert (result.reason, result.step, result.signalled) == ("interrupted", 3, True)
    steps = []
    resumed = make_trainer()
    validate(lambda: steps.append(checkpoints.steps(resumed.model_dir)[-1]) or FIGURES)
    assert resumed.train().reason == "finished"
    assert steps == [3, 6]
    assert [record["step"] for record in records(resumed, "validation")] == [3, 6]


@pytest.fixture
def three_steps(monkeypatch):
    """Set once three steps are done: before the first one, nobody takes signals."""
    done, report = threading.Event(), Reporter.train

    def reported(self, step, means):
        report(self, step, means)
        if step == 3:
            done.set()

    monkeypatch.setattr(Reporter, "train", reported)
    return done


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_wait_for_an_input_that_never_comes(
    make_trainer, read, three_steps, number
):
    never = threading.Event()

    def stuck(batches):
        for _ in range(3):
            yield next(batches)
        three_steps.wait()
        time.sleep(0.5)  # by now it waits; a signal that comes sooner ends it as well
        os.kill(os.getpid(), number)
        never.wait()

    read(stuck)
    trainer = make_trainer(eval_period=0)
    result = trainer.train()
    never.set()
    assert (result.reason, result.step) == ("interrupted", 3)
    assert checkpoints.steps(trainer.model_dir) == [3]


def test_a_second_ctrl_c_is_no_wish_to_save(make_trainer, read, three_steps, monkeypatch):
    def pressed(batches):
        for _ in range(3):
            yield next(batches)
        three_steps.wait()
        os.kill(os.getpid(), signal.SIGINT)
        yield from batches

    def save(*_, **__):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(60)  # a handler that raises ends it

    read(pressed)
    monkeypatch.setattr(ocp.CheckpointManager, "save", save)
    with pytest.raises(KeyboardInterrupt):
        make_trainer(eval_period=0).train()


def test_a_full_disk_is_named(make_trainer, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(ocp.CheckpointManager, "save", full)
    with pytest.raises(OSError, match=r"cannot be written to '.*model': .*No space left"):
        make_trainer(eval_period=0, train_steps=1).train()
