"""A whole experiment on a handful of lists, stopped at every step."""

import dataclasses
import json
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from t5rank import cli
from t5rank.data import trec
from t5rank.report.experiment import read_experiment
from t5rank.reproduce import Design, Options, reproduce, running
from t5rank.reproduce.designs import ArmDesign, SetDesign, recipe
from t5rank.reproduce.inputs import Input

SHRUNK = (
    "network.T5Config.emb_dim=16",
    "network.T5Config.num_heads=2",
    "network.T5Config.head_dim=8",
    "network.T5Config.mlp_dim=32",
    "network.T5Config.num_encoder_layers=1",
    "VOCAB_SIZE=1152",
    "BATCH_SIZE=2",
    "LIST_SIZE=3",
    "INPUT_LENGTH=48",
    "TRAIN_STEPS=2",
    "EVAL_PERIOD=1",
    "LOG_PERIOD=1",
)
FILES = tuple(f"--{kind}={{data}}/{kind}.txt" for kind in ("collection", "queries", "qrels", "run"))


@pytest.fixture
def design(tmp_path, vocabulary_file):
    data = tmp_path / "data"
    data.mkdir()
    texts = {f"d{i}": f"document number {i} is a list of words" for i in range(8)}
    queries = {f"q{i}": f"number {i}" for i in range(4)}
    trec.write_queries(data / "collection.txt", texts)
    trec.write_queries(data / "queries.txt", queries)
    trec.write_qrels(
        data / "qrels.txt", {f"q{i}": {f"d{i}": 1} for i in range(4)} | {"q9": {"d9": 1}}
    )
    trec.write_run(data / "run.txt", {q: {f"d{i}": -i for i in range(6)} for q in queries})
    (data / "vocabulary.model").write_bytes(Path(vocabulary_file).read_bytes())
    inputs = [Input(file.name, "Make it.") for file in data.iterdir()]
    return Design(
        name="small",
        size="tiny",
        title="A small experiment",
        description="One loss.",
        inputs=tuple(inputs),
        train=(*FILES, "--negatives=4"),
        validation=FILES,
        sets=(SetDesign("test", "Test", "Made up", "RR@10", FILES, "{data}/qrels.txt"),),
        arms=(ArmDesign("softmax", "Softmax", (recipe("msmarco_passage_softmax_tiny"),)),),
        bindings=SHRUNK,
        vocabulary="vocabulary.model",
        pretrained=False,
    )


class Stop(Exception):
    pass


def test_an_experiment_stopped_at_every_step_goes_on_to_its_report(design, tmp_path, monkeypatch):
    folder = tmp_path / "experiment"
    options = Options(tmp_path / "data", folder, seeds=(0,))
    ran = []

    def status(command):
        """Runs one step, here, and stops at the next."""
        if ran and ran[-1] is None:
            ran.pop()
            raise Stop
        ran.append(command[3:])
        assert cli.main(command[3:]) == 0
        ran.append(None)
        return 0

    monkeypatch.setattr(running, "_status", status)
    for _ in range(20):
        try:
            assert reproduce(design, options, "t5rank reproduce small") == 0
            break
        except Stop:
            continue
    commands = [command[0] for command in ran if command]
    assert commands == [*["lists"] * 3, "train", "rerank", "report"]
    assert (folder / "report/index.html").is_file()
    # The official qrels count, with the query that the run lacks.
    assert trec.read_qrels(folder / "sets/test/qrels.txt").keys() == {
        f"q{i}" for i in (0, 1, 2, 3, 9)
    }
    first = trec.read_run(folder / "sets/test/first_stage.txt")
    assert list(first["q0"]) == [f"d{i}" for i in range(6)]
    said = json.loads((folder / "experiment.json").read_text())
    assert {each["path"] for each in said["inputs"]} == {each.path for each in design.inputs}


def test_other_settings_in_the_same_folder_are_refused(design, tmp_path, monkeypatch):
    monkeypatch.setattr(running, "_status", lambda command: 7)
    options = Options(tmp_path / "data", tmp_path / "experiment", seeds=(0, 1))
    assert reproduce(design, options, "t5rank reproduce small --seeds 2") == 7
    fewer = dataclasses.replace(options, seeds=(0,))
    with pytest.raises(ValueError, match=r"has the seeds \(0, 1\); expected \(0,\)"):
        reproduce(design, fewer, "t5rank reproduce small --seeds 1")
    with pytest.raises(ValueError, match="has the command 't5rank reproduce small'"):
        reproduce(design, options, "t5rank reproduce small --seeds 2 --gin.TRAIN_STEPS=3")


def test_seeds_are_added_to_an_experiment(design, tmp_path, monkeypatch):
    ran = []
    monkeypatch.setattr(running, "_status", lambda command: ran.append(command[3:]) or 7)
    options = Options(tmp_path / "data", tmp_path / "experiment", seeds=(0,))
    assert reproduce(design, options, "t5rank reproduce small --seeds 1") == 7
    more = dataclasses.replace(options, seeds=(0, 1, 2))
    assert reproduce(design, more, "t5rank reproduce small --seeds 3") == 7
    assert read_experiment(options.folder).seeds == (0, 1, 2)
    assert ran[0] == ran[1]  # the first step that is not done


def test_a_dry_run_writes_nothing_and_prints_commands(design, tmp_path, capsys):
    options = Options(tmp_path / "data", tmp_path / "experiment", seeds=(0,))
    assert reproduce(design, options, "", dry_run=True) == 0
    assert not options.folder.exists()
    assert f"t5rank report {options.folder}" in capsys.readouterr().out


def test_sigterm_reaches_the_step_and_its_status_is_returned(tmp_path):
    step = tmp_path / "step.py"
    step.write_text(
        textwrap.dedent("""
        import signal, sys
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        print("ready", flush=True)
        signal.pause()
        """)
    )
    code = (
        "import sys; from t5rank.reproduce.running import _status; sys.exit(_status(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", code, sys.executable, str(step)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == 143


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_step_that_ends_well_after_a_signal_is_the_last(tmp_path, number):
    step = tmp_path / "step.py"
    step.write_text(
        textwrap.dedent("""
        import signal, sys
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        print("ready", flush=True)
        signal.pause()
        """)
    )
    code = (
        "import sys; from t5rank.reproduce.running import _status; sys.exit(_status(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", code, sys.executable, str(step)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        assert process.wait(timeout=60) == 143
