"""`t5rank train` as a program: what it writes last, and that it ends."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import small_runs

RECIPE = """
include 't5rank/configs/models/t5_1_1_tiny.gin'
include 't5rank/configs/models/rankt5.gin'
include 't5rank/configs/tasks/jsonl.gin'
LOSS_FN = @losses.softmax_loss
VOCAB_SIZE = 1152
LIST_SIZE = 5
INPUT_LENGTH = 48
BATCH_SIZE = 4
TRAIN_STEPS = 5
LEARNING_RATE = 1e-5
INITIAL_CHECKPOINT_PATH = None
DATA_DIR = '.'
MODEL_DIR = 'model'
"""
# What a program that uses our reading as a library may do: keep the error, and end.
KEEP_THE_ERROR = """
import sys
sys.path.insert(0, sys.argv[2])
import small_runs
from pathlib import Path
from t5rank.tasks import jsonl
from t5rank.train import data
splits = {"train": "train.jsonl"}
task = jsonl.jsonl_task(".", splits, sys.argv[1], name="broken")
try:
    list(data.train_batches(task, small_runs.LENGTHS, 4, 0))
except ValueError as error:
    kept = error
print(kept)
"""


@pytest.fixture
def folder(tmp_path, vocabulary_file):
    (tmp_path / "recipe.gin").write_text(RECIPE + f"VOCABULARY_FILE = '{vocabulary_file}'\n")
    for split in ("train", "validation"):
        lines = [small_runs.ranked_list(i, split) for i in range(12)]
        small_runs.write_jsonl(tmp_path / f"{split}.jsonl", lines)
    return tmp_path


def without_a_label(file):
    """Takes the label of a document on line 3."""
    lines = file.read_text().splitlines()
    broken = json.loads(lines[2])
    del broken["documents"][1]["label"]
    lines[2] = json.dumps(broken)
    file.write_text("\n".join(lines) + "\n")


def started(folder, *command):
    return subprocess.Popen(
        [sys.executable, *command],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_a_malformed_line_ends_the_command_with_one_sentence(folder):
    without_a_label(folder / "train.jsonl")
    with started(folder, "-m", "t5rank", "train", "--gin_file=recipe.gin") as process:
        lines = process.communicate(timeout=600)[0].splitlines()
    assert process.returncode == 1
    assert lines[-1].startswith("t5rank: Document 2 of the list in file './train.jsonl', line 3 ")
    assert lines[-1].endswith("or give --gin.LABELLED=False to read lists without labels.")
    assert len(lines) < 5, lines


def writer_once_read(pipe):
    """Opens a pipe for writing once somebody reads it."""
    for _ in range(3000):
        try:
            return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:  # nobody reads it yet
            time.sleep(0.1)
    raise TimeoutError(pipe)


def test_a_signal_ends_the_command_whatever_it_waits_for(folder):
    (folder / "train.jsonl").unlink()
    os.mkfifo(folder / "train.jsonl")
    with started(folder, "-m", "t5rank", "train", "--gin_file=recipe.gin") as process:
        writer = writer_once_read(folder / "train.jsonl")  # writes nothing
        process.send_signal(signal.SIGTERM)
        said = process.communicate(timeout=600)[0].splitlines()
    os.close(writer)
    assert process.returncode == 143
    assert said[-1] == "t5rank: SIGTERM. The same command goes on from what is saved."


def test_a_program_that_keeps_an_error_of_reading_ends(folder, vocabulary_file):
    without_a_label(folder / "train.jsonl")
    here = os.path.dirname(small_runs.__file__)
    with started(folder, "-c", KEEP_THE_ERROR, vocabulary_file, here) as process:
        lines = process.communicate(timeout=600)[0].splitlines()
    assert process.returncode == 0
    assert "line 3 has no key 'label'" in lines[-1]
