"""The benchmarks run, on tiny shapes."""

import asyncio
import functools
import importlib
import signal
import sys
from pathlib import Path

import numpy as np
import pytest

from t5rank.data import trec


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


def test_a_system_that_is_killed_is_named():
    timing = importlib.import_module("timing")
    with pytest.raises(RuntimeError, match="'large' ended with -9; expected a result"):
        timing.side_by_side({"large": signal.raise_signal}, (signal.SIGKILL,), turns=1)


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


def test_lists_are_measured(tmp_path, monkeypatch, capsys):
    options = f"--folder {tmp_path} --passages 300 --candidates 9 --negatives 3"
    monkeypatch.setattr(sys, "argv", ["x", *options.split(), f"--output={tmp_path / 'out'}"])
    importlib.import_module("lists").main()
    assert "| 300 | 17 |" in capsys.readouterr().out
    assert {file.name for file in Path(tmp_path).iterdir()} == {"out.json", "out.png"}


def test_an_open_loop_sends_on_schedule_whatever_becomes_of_the_requests_before():
    load = importlib.import_module("load")
    count, waiting = 3, []

    async def answer_all_once_the_last_is_there(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        waiting.append(writer)
        if len(waiting) == count:
            for each in waiting:
                each.write(b"HTTP/1.1 200 OK\r\n\r\nbody")
                each.close()

    async def run():
        async with await asyncio.start_server(answer_all_once_the_last_is_there, "127.0.0.1") as s:
            port = s.sockets[0].getsockname()[1]
            return await load.open_loop(port, [load.get("/")] * count, load.arrivals(count, 0.1))

    replies = asyncio.run(asyncio.wait_for(run(), 60))
    assert [(reply.status, reply.body) for reply in replies] == [(200, b"body")] * count
    # Latency counts from the schedule: the first waited for the last to come.
    assert replies[0].seconds > replies[-1].seconds


def test_search_is_measured_beside_faiss(tmp_path, monkeypatch, capsys):
    pytest.importorskip("faiss")
    options = f"--queries 3 --documents 50 --dim 8 --topk 5 --turns 1 --output {tmp_path / 'out'}"
    monkeypatch.setattr(sys, "argv", ["search.py", *options.split()])
    importlib.import_module("search").main()
    assert "same place 1," in capsys.readouterr().out
    assert (tmp_path / "out.json").is_file()
