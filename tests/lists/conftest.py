"""A small world of passage ranking, made up by one generator."""

import random

import pytest

from t5rank.data import trec

WORDS = "cost sales list item order price paid stock value total sum year".split()  # noqa: SIM905


@pytest.fixture
def world(tmp_path):
    """Files of 40 documents, 9 queries and two runs; and what they say, as dicts."""
    rng = random.Random(0)
    texts = {f"d{i}": " ".join(rng.choices(WORDS, k=rng.randint(4, 12))) for i in range(40)}
    texts["d7"] = texts["d3"].upper() + "."  # the same words
    queries = {f"q{i}": f"which {WORDS[i]}" for i in range(9)}
    runs = [
        {q: {d: 30.0 - i for i, d in enumerate(rng.sample(list(texts), 15))} for q in queries}
        for _ in range(2)
    ]
    qrels = {q: {d: rng.choice([0, 0, 1, 2]) for d in rng.sample(list(texts), 4)} for q in queries}
    qrels["q0"] = {"d3": 1, "d9": 0}
    runs[0]["q0"] = {"d7": 3.0, "d3": 2.0, "d9": 1.0}
    qrels["q5"] = {"d1": 0}  # nothing relevant
    trec.write_queries(tmp_path / "collection.tsv", texts)
    trec.write_queries(tmp_path / "queries.tsv", queries)
    trec.write_qrels(tmp_path / "qrels.txt", qrels)
    for number, run in enumerate(runs):
        trec.write_run(tmp_path / f"run{number}.txt", run)
    return {
        "folder": tmp_path,
        "texts": texts,
        "queries": queries,
        "qrels": qrels,
        "runs": [trec.sort_run(run) for run in runs],
    }


@pytest.fixture
def build(world, monkeypatch):
    """Runs the command on these files; the folder that it writes."""
    from t5rank import cli

    monkeypatch.chdir(world["folder"])

    def run(name, options="", runs="--run run0.txt", status=0):
        files = "--collection collection.tsv --queries queries.tsv --qrels qrels.txt"
        assert cli.main(["lists", name, *f"{files} {runs} {options}".split()]) == status
        return world["folder"] / name

    return run
