"""The quickstart's task. The whole quickstart runs in .ci/run."""

import pytest

from t5rank.data import trec
from t5rank.lists.passages import read_passage_lists
from t5rank.quickstart import corpus, demo
from t5rank.text.vocabulary import Vocabulary
from t5rank.train.run import TrainResult


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    corpus.write_corpus(folder)
    return folder


def documents_of(folder, split) -> set[str]:
    """Every document that a split's lists hold."""
    run = trec.read_run(folder / split / "run.txt")
    return {doc_id for scored in run.values() for doc_id in scored}


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_every_list_holds_its_one_relevant_document(folder, split):
    qrels = trec.read_qrels(folder / split / "qrels.txt")
    run = trec.read_run(folder / split / "run.txt")
    assert set(run) == set(qrels)
    for query_id, judged in qrels.items():
        assert len(judged) == 1 and set(judged) <= set(run[query_id])
        assert len(run[query_id]) == corpus.CANDIDATES[split]


def test_training_never_sees_a_held_out_document(folder):
    train = documents_of(folder, "train")
    assert not train & documents_of(folder, "test")
    assert not train & documents_of(folder, "validation")


def test_the_given_order_is_no_better_than_chance(folder):
    qrels = trec.read_qrels(folder / "test" / "qrels.txt")
    run = trec.read_run(folder / "test" / "run.txt")
    ranks = [1 + list(run[q]).index(doc_id) for q, (doc_id,) in qrels.items()]
    expected, n = (corpus.CANDIDATES["test"] + 1) / 2, len(ranks)
    deviation = ((corpus.CANDIDATES["test"] ** 2 - 1) / 12 / n) ** 0.5
    assert abs(sum(ranks) / n - expected) < 4 * deviation


def test_query_words_are_in_the_document(folder):
    lists = read_passage_lists(
        folder / "collection.tsv",
        *[folder / "test" / name for name in ("queries.tsv", "qrels.txt", "run.txt")],
    )
    for item in lists:
        relevant = item.documents[item.labels.index(1.0)].lower()
        assert all(word in relevant for word in item.query.split())
        assert len(item.query.split()) == corpus.QUERY_WORDS


def test_the_vocabulary_is_one_of_t5s_kind(folder):
    vocabulary = Vocabulary(folder / corpus.VOCABULARY)
    assert vocabulary.token_id("<extra_id_10>") == len(vocabulary) - 11
    assert vocabulary.encode("Python Function") == vocabulary.encode("python function")


def test_a_signal_ends_the_quickstart_and_not_one_of_its_trainings(tmp_path, monkeypatch, capsys):
    ran = []

    def train(model_dir, *_):
        ran.append(model_dir.name)
        return TrainResult(7, "interrupted", None, {}, signalled=True)

    monkeypatch.setattr(demo, "_train", train)
    monkeypatch.setattr(corpus, "write_corpus", lambda data: None)
    monkeypatch.setattr(demo, "_describe", lambda data: None)
    assert demo.quickstart(tmp_path) is None
    assert ran == ["sigmoid"]
    said = capsys.readouterr().out
    assert f"Saved so far: {tmp_path / 'sigmoid'}, interrupted at step 7." in said
    assert said.endswith("The same command goes on from here.\n")
