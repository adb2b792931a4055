"""The benchmarks run, on tiny shapes."""

import functools
import importlib
import sys
from pathlib import Path

import numpy as np
import pytest

from t5rank import trec


@pytest.fixture(autouse=True)
def benchmarks(monkeypatch, pytestconfig):
    monkeypatch.syspath_prepend(str(pytestconfig.rootpath / "benchmarks"))


def test_systems_take_turns_in_processes_of_their_own():
    timing = importlib.import_module("timing")
    make = functools.partial(functools.partial, np.ones)
    broken = functools.partial(functools.partial, "no function")
    systems = {"one": make, "two": make, "broken": broken}
    figures, failed = timing.side_by_side(systems, (3,), turns=2)
    assert [len(found.seconds) for found in figures.values()] == [2, 2]
    assert figures["one"].result.tolist() == [1, 1, 1] and figures["one"].peak_memory > 2**20
    assert list(failed) == ["broken"] and "TypeError" in failed["broken"]


def test_scaling_runs(tmp_path, vocabulary_file, monkeypatch, capsys):
    trec.write_queries(tmp_path / "collection.tsv", {f"d{i}": f"list {i}" for i in range(4)})
    trec.write_queries(tmp_path / "queries.tsv", {"q1": "list"})
    trec.write_run(tmp_path / "run.bm25.txt", {"q1": {f"d{i}": -i for i in range(4)}})
    options = f"--data {tmp_path} --vocabulary {vocabulary_file} --size tiny --turns 1"
    options += f" --list_sizes 2 4 --lengths 8 16 --batches 1 2 --output {tmp_path / 'out'}"
    monkeypatch.setattr(sys, "argv", ["scaling.py", *options.split()])
    importlib.import_module("scaling").main()
    assert "documents in a list | 2 to 4" in capsys.readouterr().out
    assert {file.suffix for file in Path(tmp_path).glob("out.*")} == {".json", ".png"}
