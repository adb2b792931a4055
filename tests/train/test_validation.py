"""Validation: which lists, which queries, and the figures of one scoring pass."""

import math
import types

import numpy as np
import pytest

from t5rank.data import trec
from t5rank.models.ranking import DEFAULT_METRIC_FNS
from t5rank.tasks import msmarco
from t5rank.text.prompts import RANKT5, PairEncoder, Prompt
from t5rank.text.vocabulary import Vocabulary
from t5rank.train.validation import Validation, chosen_queries

QUERIES = {f"q{i}": "which list" for i in range(1, 31)}


class Longer:
    """A scorer that likes long inputs, and counts them."""

    model = types.SimpleNamespace(list_scores=lambda scores: scores)

    def __init__(self):
        self.scored = 0

    def with_params(self, params):
        return self

    def score(self, rows, progress):
        self.scored += len(rows)
        return np.array([len(row) for row in rows], np.float32)


@pytest.fixture
def folder(tmp_path):
    """Ten documents for each query, longer and longer: ranked d9, d8, ..., d0."""
    texts = {f"d{i}": "word " * (i + 1) for i in range(10)}
    trec.write_queries(tmp_path / "collection.tsv", texts)
    trec.write_queries(tmp_path / "queries.tsv", QUERIES)
    return tmp_path


def passage_task(folder, vocabulary_file, run, qrels, name="passages") -> str:
    trec.write_run(folder / f"{name}.run.txt", run)
    trec.write_qrels(folder / f"{name}.qrels.txt", qrels)
    files = {"collection": "collection.tsv", "queries": "queries.tsv"}
    files |= {kind: f"{name}.{kind}.txt" for kind in ("qrels", "run")}
    return msmarco.passage_task(str(folder), vocabulary_file, {"validation": files}, name=name)


@pytest.fixture
def make_validation(vocabulary_file):
    def make(*tasks, qrels=None, scorer=None, **settings) -> Validation:
        encoder = PairEncoder(Vocabulary(vocabulary_file), Prompt(RANKT5), 48)
        arguments = (encoder, scorer or Longer(), DEFAULT_METRIC_FNS, qrels)
        return Validation(tasks, "validation", *arguments, **settings)

    return make


def everything(queries):
    return {query: {f"d{i}": -i for i in range(10)} for query in queries}


def test_figures_as_a_run_are_the_official_ones(folder, vocabulary_file, make_validation):
    """q2's relevant document is no candidate, q3 has no list, q4 is not judged."""
    qrels = {"q1": {"d7": 1, "elsewhere": 1}, "q2": {"elsewhere": 1}, "q3": {"d9": 1}}
    task = passage_task(folder, vocabulary_file, everything(["q1", "q2", "q4"]), qrels)
    found = make_validation(task, qrels={task: folder / "passages.qrels.txt"})(None)
    ideal = 1 + 1 / math.log2(3)
    assert found["run/RR@10"] == pytest.approx((1 / 3 + 0 + 0) / 3)
    assert found["run/nDCG@10"] == pytest.approx((1 / math.log2(4) / ideal + 0 + 0) / 3)
    # Per list: those that there are, and what they hold.
    assert found["lists"] == 3
    assert found["mrr@10"] == pytest.approx((1 / 3 + 0 + 0) / 3)
    assert found["answerable/ndcg@10"] == pytest.approx(1 / math.log2(4))


def test_a_subset_of_queries_has_the_figures_of_these_queries(
    folder, vocabulary_file, make_validation
):
    relevant = {query: int(query[1:]) % 10 for query in QUERIES}
    qrels = {query: {f"d{i}": 1} for query, i in relevant.items()}
    task = passage_task(folder, vocabulary_file, everything(QUERIES), qrels)
    validation = make_validation(task, qrels={task: folder / "passages.qrels.txt"}, queries=7)
    found = validation(None)
    chosen = chosen_queries(QUERIES, 7)
    assert found["lists"] == len(chosen) == 7
    expected = np.mean([1 / (10 - relevant[query]) for query in chosen])
    assert found["run/RR@10"] == pytest.approx(expected)
    assert validation(None) == found


def test_a_subset_without_qrels_is_of_the_lists(folder, vocabulary_file, make_validation):
    qrels = {query: {"d9": 1} for query in QUERIES}
    task = passage_task(folder, vocabulary_file, everything(QUERIES), qrels)
    found = make_validation(task, queries=7)(None)
    assert found["lists"] == 7
    assert "run/RR@10" not in found


def test_topn_reranks_the_first_documents(folder, vocabulary_file, make_validation):
    qrels = {"q1": {"d5": 1}, "q2": {"d1": 1}}
    task = passage_task(folder, vocabulary_file, everything(["q1", "q2"]), qrels)
    scorer = Longer()
    found = make_validation(
        task, qrels={task: folder / "passages.qrels.txt"}, scorer=scorer, topn=3
    )(None)
    assert scorer.scored == 6
    assert found["run/RR@10"] == pytest.approx((0 + 1 / 2) / 2)  # d2, d1, d0


def test_every_task_of_a_mixture_has_its_figures(folder, vocabulary_file, make_validation):
    tasks = [
        passage_task(folder, vocabulary_file, everything([query]), {query: {doc_id: 1}}, name)
        for query, doc_id, name in [("q1", "d9", "one"), ("q2", "d8", "two")]
    ]
    found = make_validation(*tasks, qrels={"two": folder / "two.qrels.txt"})(None)
    assert found["mrr@10"] == pytest.approx((1 + 1 / 2) / 2)
    assert (found["one/mrr@10"], found["two/mrr@10"]) == (1.0, 0.5)
    assert found["two/run/RR@10"] == 0.5
    assert "one/run/RR@10" not in found
