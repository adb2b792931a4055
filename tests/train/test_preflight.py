"""What is wrong with a run's inputs is said before its first step."""

import itertools
import re
from pathlib import Path

import pytest
import small_runs

from t5rank import checkpoints, losses
from t5rank.data import trec
from t5rank.data.jsonl import write_jsonl
from t5rank.data.ranked_list import RankedList
from t5rank.tasks import checks, jsonl
from t5rank.train import preflight, schedules

_names = (f"preflight_{number}" for number in itertools.count())
GOOD = [small_runs.ranked_list(i, "train") for i in range(4)]


@pytest.fixture
def trainer_of(tmp_path, vocabulary_file):
    """A trainer on these lists, with a validation split of good ones."""

    def make(train=GOOD, validation=GOOD, loss_fn=losses.softmax_loss, **settings):
        for split, made in {"train": train, "validation": validation}.items():
            if made is not None:
                write_jsonl(tmp_path / f"{split}.jsonl", made)
        splits = {"train": "train.jsonl", "validation": "validation.jsonl"}
        task = jsonl.jsonl_task(str(tmp_path), splits, vocabulary_file, name=next(_names))
        model = small_runs.make_model(vocabulary_file, loss_fn=loss_fn)
        return small_runs.make_trainer(
            task, vocabulary_file, tmp_path / "model", model=model, **settings
        )

    return make


def with_labels(*labels):
    ids = tuple(f"d{i}" for i in range(len(labels)))
    return [RankedList(f"q{i}", "word", ids, ids, labels) for i in range(3)]


def test_a_missing_validation_split_ends_the_run_before_its_first_step(trainer_of):
    trainer = trainer_of(validation=None)
    with pytest.raises(FileNotFoundError, match=r"validation\.jsonl' does not exist"):
        trainer.train()
    assert checkpoints.steps(trainer.model_dir) == []
    assert not (Path(trainer.model_dir) / "metrics.jsonl").exists()


@pytest.mark.parametrize("split", ["train", "validation"])
def test_a_malformed_line_of_either_split_is_named(split, trainer_of, tmp_path):
    trainer = trainer_of()
    with open(tmp_path / f"{split}.jsonl", "a") as file:
        file.write("broken\n")
    with pytest.raises(ValueError, match=rf"{split}\.jsonl', line 5 is malformed"):
        preflight.check_run(trainer)


def test_without_validation_its_split_is_not_looked_at(trainer_of):
    preflight.check_run(trainer_of(validation=None, eval_period=0))


def test_of_large_files_the_first_lists_are_checked(trainer_of, tmp_path, monkeypatch, caplog):
    trainer = trainer_of()
    (tmp_path / "train.jsonl").write_text((tmp_path / "train.jsonl").read_text() + "broken\n")
    monkeypatch.setattr(checks, "CHECKED_BYTES", 0)
    monkeypatch.setattr(checks, "CHECKED_LISTS", 4)
    with caplog.at_level("INFO", logger="t5rank"):
        preflight.check_run(trainer)
    assert any("Checked the first 4 lists of" in message for message in caplog.messages)


def test_a_query_that_leaves_no_room_is_named(trainer_of):
    long = RankedList("q9", "word " * 60, ("d",), ("text",), (1.0,))
    with pytest.raises(ValueError, match=r"tokens with its prompt; .* It is query 'q9'"):
        preflight.check_run(trainer_of([*GOOD, long]))


def test_no_training_list_at_all_is_an_error(trainer_of):
    with pytest.raises(ValueError, match="has no training list; expected at least one"):
        preflight.check_run(trainer_of([]))


def test_qrels_of_other_queries_are_an_error(trainer_of, tmp_path):
    trec.write_qrels(tmp_path / "qrels.txt", {"other": {"d1": 1}})
    trainer = trainer_of(eval_qrels=str(tmp_path / "qrels.txt"))
    with pytest.raises(ValueError, match="have no query of its qrels"):
        preflight.check_run(trainer)


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"MODEL_DIR .* cannot be written to"):
        preflight.check_writable(str(tmp_path / "file" / "model"))


@pytest.mark.parametrize(
    ("labels", "loss_fn", "message"),
    [
        ((1.0,), losses.softmax_loss, "NOTHING TO LEARN: .* have one document each"),
        ((1.0,), losses.pairwise_logistic_loss, "NOTHING TO LEARN: .* have one document each"),
        ((1.0,), losses.sigmoid_loss, "LITTLE TO LEARN: .* have one document each"),
        ((0.0, 0.0), losses.softmax_loss, "NOTHING TO LEARN: .* have no label above 0"),
        ((0.0, 0.0), losses.sigmoid_loss, "LITTLE TO LEARN: .* have no label above 0"),
        ((2.0, 2.0), losses.pairwise_hinge_loss, "NOTHING TO LEARN: .* have the label 2.0 every"),
    ],
)
def test_lists_that_teach_nothing_are_warned_of(labels, loss_fn, message, trainer_of, caplog):
    preflight.check_run(trainer_of(with_labels(*labels), loss_fn=loss_fn))
    warnings = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    assert any(re.search(message, warning) for warning in warnings)


@pytest.mark.parametrize("loss_fn", [losses.softmax_loss, losses.sigmoid_loss, losses.listmle_loss])
def test_lists_that_teach_are_not_warned_of(loss_fn, trainer_of, caplog):
    preflight.check_run(trainer_of(loss_fn=loss_fn))
    assert not [r for r in caplog.records if r.levelname == "WARNING"]


def test_a_learning_rate_of_zero_is_warned_of(trainer_of, caplog):
    preflight.check_run(trainer_of(learning_rate_fn=schedules.constant(0.0)))
    assert "NOTHING TO LEARN: the learning rate is 0 at every step." in caplog.messages


def test_a_list_size_of_one_is_refused_where_the_loss_compares(trainer_of):
    one = {"inputs": (1, 48), "targets": (1, 1), "label": (1,), "mask": (1,)}
    with pytest.raises(ValueError, match="LIST_SIZE has 1; expected at least 2 for the loss 'soft"):
        trainer_of(task_feature_lengths=one)
    trainer_of(loss_fn=losses.sigmoid_loss, task_feature_lengths=one)


def test_an_input_length_that_the_prompt_fills_is_refused(trainer_of):
    short = {"inputs": (4, 5), "targets": (4, 1), "label": (4,), "mask": (4,)}
    with pytest.raises(ValueError, match="INPUT_LENGTH has 5 tokens; expected at least"):
        trainer_of(task_feature_lengths=short)


def test_a_cache_that_is_not_there_is_an_error(trainer_of):
    with pytest.raises(ValueError, match="has no cached 'train'"):
        preflight.check_run(trainer_of(use_cached_tasks=True))
