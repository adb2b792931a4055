"""Which checkpoint is the best, and when a run stops early."""

import shutil
from pathlib import Path

import pytest
import small_runs
from small_runs import ranked_list

from t5rank import Reranker, checkpoints, model_folder
from t5rank.data import trec
from t5rank.evaluation import evaluate
from t5rank.runs import records


@pytest.fixture
def validations(monkeypatch):
    """Gives validations these figures, one after the other."""

    def give(*values):
        each = iter(values)
        monkeypatch.setattr(
            "t5rank.train.validation.Validation.__call__",
            lambda *_: {"mrr@10": next(each), "lists": 1.0, "answerable/lists": 1.0},
        )

    return give


def test_the_best_checkpoint_is_kept_and_used(make_trainer, validations):
    validations(0.2, 0.9, 0.4, 0.3)
    trainer = make_trainer(train_steps=8, eval_period=2, checkpoint_period=2)
    assert trainer.train().best_step == 4
    assert checkpoints.steps(trainer.model_dir) == [4, 8]  # the best and the latest
    assert model_folder.chosen_step(trainer.model_dir) == 4
    assert model_folder.load_best(trainer.model_dir) == {
        "step": 4,
        "metric": "mrr@10",
        "value": 0.9,
    }


def test_early_stopping_also_after_a_resume(make_trainer, validations):
    validations(0.5, 0.4, 0.3, 0.2, 0.1, 0.0)
    settings = {"eval_period": 1, "early_stopping_patience": 3}
    assert make_trainer(train_steps=2, **settings).train().reason == "finished"
    result = make_trainer(train_steps=50, **settings).train()
    assert (result.reason, result.step, result.best_step) == ("stopped early", 4, 1)
    assert make_trainer(train_steps=50, **settings).train().step == 4  # it stays stopped


@pytest.fixture
def resumed(trained, task, vocabulary_file, tmp_path):
    """A trainer that is to go on in a copy of a trained folder, and what was logged there."""
    folder = shutil.copytree(trained[0].model_dir, tmp_path / "model")

    def make(**settings):
        trainer = small_runs.make_trainer(task, vocabulary_file, folder, **settings)
        return trainer, records.read_records(folder)

    return make


def test_the_best_so_far_is_by_the_metric_of_the_run(resumed):
    trainer, logged = resumed(best_metric="ndcg@10")
    assert model_folder.load_best(trainer.model_dir)["metric"] == "mrr@10"
    best = trainer.best_so_far(logged)
    figures = {r["step"]: r["ndcg@10"] for r in logged if r["part"] == "validation"}
    assert best["metric"] == "ndcg@10"
    assert best["value"] == figures[best["step"]]


def test_the_best_so_far_is_known_after_a_crash_before_its_name_was_written(resumed):
    trainer, logged = resumed()
    before = model_folder.load_best(trainer.model_dir)
    (Path(trainer.model_dir) / "best.json").unlink()
    assert trainer.best_so_far(logged) == before


def test_a_figure_that_is_not_a_number_is_never_the_best():
    assert not records.is_better("mrr@10", float("nan"), None)


def test_a_metric_may_fall():
    logged = [
        {"part": "validation", "step": i, "arp": v} for i, v in ((1, 3.0), (2, 2.0), (3, 4.0))
    ]
    assert records.best_of(logged, "-arp", {1, 2, 3})["step"] == 2


def test_the_best_by_the_official_figure(make_trainer, tmp_path):
    """Lists with a qrels file beside them; one of its queries has no list."""
    found = [ranked_list(i, "validation") for i in range(12)]
    qrels = {x.query_id: {x.doc_ids[x.labels.index(1.0)]: 1} for x in found} | {"none": {"d": 1}}
    trec.write_qrels(tmp_path / "qrels.txt", qrels)
    settings = {"eval_qrels": str(tmp_path / "qrels.txt"), "best_metric": "run/RR@10"}
    trainer = make_trainer(**settings)
    step = trainer.train().best_step
    reranker = Reranker.from_pretrained(trainer.model_dir, step=step)
    scores = {x.query_id: reranker.score(x.query, x.documents) for x in found}
    run = {x.query_id: dict(zip(x.doc_ids, scores[x.query_id], strict=True)) for x in found}
    best = model_folder.load_best(trainer.model_dir)
    assert best["metric"] == "run/RR@10"
    assert best["value"] == pytest.approx(evaluate(run, qrels).aggregate["RR@10"])
