"""What may change when a run goes on in its folder, and what somebody has to agree to."""

import json
import shutil
from pathlib import Path

import pytest
import small_runs
from small_runs import ranked_list

from t5rank import model_folder
from t5rank.data.jsonl import write_jsonl
from t5rank.tasks import jsonl
from t5rank.train import schedules, settings
from t5rank.train.digests import digest


def test_a_head_that_moved_to_another_module_is_no_change():
    """The model folder compares what it is; settings compare names as gin has them."""
    before, now = (
        {"of": "gin", "settings": {"HEAD": head}, "data": {"train": {}, "validation": {}}}
        for head in ("@heads.rankt5_head()", "@rankt5.rankt5_head()")
    )
    assert not settings.changes(before, now)


@pytest.fixture
def folder(trained, tmp_path) -> Path:
    return Path(shutil.copytree(trained[0].model_dir, tmp_path / "model"))


@pytest.fixture
def again(folder, task, vocabulary_file):
    def make(task=task, **changes):
        return small_runs.make_trainer(task, vocabulary_file, folder, **changes)

    return make


def other_task(folder, vocabulary_file, name, **changed):
    """The small task with other lists in a split."""
    splits = {}
    for split, number in {"train": 40, "validation": 12}.items():
        splits[split] = f"{split}.jsonl"
        numbers = range(changed.get(split, number))
        write_jsonl(folder / splits[split], [ranked_list(i, split) for i in numbers])
    return jsonl.jsonl_task(str(folder), splits, str(vocabulary_file), name=name)


def renamed(folder, name):
    """What a folder says it was trained on, under another task's name."""
    file = folder / "settings.json"
    file.write_text(file.read_text().replace("'small'", f"'{name}'"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"batch_size": 4}, "batch_size was 8 and is 4"),
        ({"random_seed": 1}, "random_seed was 0 and is 1"),
        ({"eval_topn": 2}, "eval_topn was None and is 2"),
        (
            {"learning_rate_fn": schedules.constant(1e-3)},
            r"learning_rate_fn\.learning_rate was 0\.01 and is 0\.001",
        ),
    ],
)
def test_a_run_with_other_settings_needs_consent(again, folder, change, said):
    before = (folder / "settings.json").read_bytes()
    message = rf"was trained to step 6 otherwise: {said}; .* RESUME_WITH_CHANGES=True\."
    with pytest.raises(ValueError, match=message):
        again(**change).train()
    assert (folder / "settings.json").read_bytes() == before


def test_consent_is_asked_once_and_what_changed_is_kept(again, folder):
    assert again(batch_size=4, resume_with_changes=True).train().step == 6
    assert again(batch_size=4).train().step == 6
    said = ["batch_size was 8 and is 4"]
    assert settings.read(folder)["changes"] == [{"step": 6, "changes": said}]


def test_what_changes_nothing_that_is_learned_may_change(again, folder, tmp_path):
    again(train_steps=6, log_period=2, eval_period=2, keep_checkpoints=2).train()
    moved = folder.rename(tmp_path / "moved")
    trainer = again()
    trainer.model_dir = str(moved)
    assert trainer.train().step == 6


def test_other_training_data_need_consent(again, folder, tmp_path, vocabulary_file):
    task = other_task(tmp_path, vocabulary_file, "more", train=41)
    renamed(folder, "more")
    with pytest.raises(ValueError, match=r"train data of 'more', lists were '.*' \(\d.* bytes, "):
        again(task, eval_mixture_or_task_name=task).train()


def test_a_copy_of_the_data_elsewhere_is_the_same(again, folder, tmp_path, vocabulary_file):
    task = other_task(tmp_path, vocabulary_file, "copy")
    renamed(folder, "copy")
    file = folder / "settings.json"
    changed = json.loads(file.read_text())
    changed["settings"]["mixture_or_task_name"] = "'copy'"
    file.write_text(json.dumps(changed))
    assert again(task).train().step == 6


def test_a_best_of_another_validation_set_is_not_compared(again, folder):
    best = model_folder.load_best(folder)
    trainer = again(eval_topn=1, train_steps=7, resume_with_changes=True)
    trainer.train()
    assert settings.read(folder)["validated_since"] == 6
    assert model_folder.load_best(folder)["step"] == 7 != best["step"]


def test_a_folder_of_an_earlier_version_goes_on(again, folder, caplog):
    (folder / "settings.json").unlink()
    with caplog.at_level("INFO", logger="t5rank"):
        again(batch_size=4).train()
    assert "has no settings.json, as those of earlier versions" in caplog.text
    assert (folder / "settings.json").is_file()


def test_before_the_first_checkpoint_everything_may_change(make_trainer):
    make = {"eval_period": 0, "train_steps": 1}
    trainer = make_trainer(**make)
    trainer.validation = None
    Path(trainer.model_dir).mkdir()
    wrong = settings.written_form(trainer)
    wrong["settings"]["batch_size"] = "3"
    (Path(trainer.model_dir) / "settings.json").write_text(json.dumps(wrong))
    assert trainer.train().step == 1


def test_a_digest_is_of_names_and_contents(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x").write_text("1")
    first = digest(tmp_path / "a")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    assert digest(tmp_path / "b") == first
    (tmp_path / "b" / "x").write_text("2")
    assert digest(tmp_path / "b") != first
    assert digest(tmp_path / "a" / "x")[0] == 1
    assert digest(tmp_path / "nowhere") == (None, None)


def test_a_large_file_is_known_by_its_size_and_blocks_of_it(tmp_path, monkeypatch):
    monkeypatch.setattr("t5rank.train.digests.WHOLE", 640)
    file = tmp_path / "large"
    file.write_bytes(bytes(10_000))
    first = digest(file)
    file.write_bytes(bytes(9_999) + b"x")
    assert digest(file) != first
