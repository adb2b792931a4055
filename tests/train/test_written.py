"""What a finished run leaves: a folder that scores as validation did, its record and its card."""

import re
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
from small_runs import params_of, ranked_list, records

from t5rank import Reranker, model_folder
from t5rank.data.jsonl import write_jsonl
from t5rank.data.ranked_list import RankedList
from t5rank.model_folder import model_card
from t5rank.model_folder.convert import convert
from t5rank.runs.run_file import load_run
from t5rank.tasks import jsonl
from t5rank.train import data


def test_validation_is_that_of_the_reranker_over_whole_lists(trained):
    trainer, result = trained
    reranker = Reranker.from_pretrained(trainer.model_dir, step=6)
    reciprocal = []
    for i in range(12):
        item = ranked_list(i, "validation")
        assert len(item) == 5  # one more than the training lists: validation cuts nothing
        ranked = reranker.rank(item.query, item.documents)
        best = next(r.rank for r in ranked if item.labels[r.index] > 0)
        reciprocal.append(1 / best)
    np.testing.assert_allclose(result.metrics["mrr@10"], np.mean(reciprocal), rtol=1e-6)
    assert result.metrics["lists"] == 12


def test_validation_scores_equal_the_rerankers(trained, task):
    trainer, _ = trained
    found = list(data.validation_lists(task, trainer.encoder))
    rows = [row for item in found for row in item.rows]
    params = params_of(trainer, 6)
    ours = trainer.scorer.with_params(params).score(rows)
    reranker = Reranker.from_pretrained(trainer.model_dir, step=6)
    theirs = [
        reranker.score(item.query, item.documents)
        for item in (ranked_list(i, "validation") for i in range(12))
    ]
    np.testing.assert_allclose(np.concatenate(theirs), ours, atol=1e-6)


def test_a_model_folder_is_complete(trained):
    trainer, _ = trained
    names = {p.name for p in Path(trainer.model_dir).iterdir()}
    assert {
        "config.json",
        "vocabulary.model",
        "best.json",
        "metrics.jsonl",
        "run.json",
        "README.md",
        "learning_curve.png",
        "train",
        "validation",
    } <= names
    assert any((Path(trainer.model_dir) / "train").glob("events.*"))


def test_padding_and_speed_are_reported(trained):
    trainer, _ = trained
    first = records(trainer, "train")[0]
    slots = first["rows"] * 64
    assert first["tokens"] == pytest.approx(slots * (1 - first["padding"]))
    assert first["list_size"] == 4
    assert first["operations"] > 6 * first["tokens"] * (4 * 16 * 16 + 3 * 16 * 32)
    assert records(trainer, "train")[1]["tokens_per_second"] > 0  # the first one compiled


def test_the_record_counts_what_was_repaired(make_trainer, vocabulary_file, tmp_path):
    documents = ("list", ""), ("list", "string"), ("value", "list")
    dirty = RankedList("q", "list", *zip(*documents, strict=True), labels=(1.0, 0.0, 0.0))
    write_jsonl(tmp_path / "train.jsonl", [dirty, *(ranked_list(i, "train") for i in range(9))])
    splits = {"train": "train.jsonl"}
    task = jsonl.jsonl_task(str(tmp_path), splits, vocabulary_file, name="dirty", strict=False)
    trainer = make_trainer(mixture_or_task_name=task, train_steps=2, eval_period=0)
    trainer.train()
    assert load_run(trainer.model_dir)["irregular_data"] == {
        "dirty": {"empty_documents": 1, "duplicate_documents_merged": 1}
    }


def test_the_record_adds_up_what_was_logged(trained):
    trainer, result = trained
    run = load_run(trainer.model_dir)
    logged = records(trainer, "train")
    assert (run["steps"], run["reason"]) == (6, "finished")
    assert run["documents"] == 6 * 8 * 4
    assert run["tokens"] == sum(record["tokens"] for record in logged)
    assert run["seconds"] == pytest.approx(sum(record["seconds"] for record in logged))
    assert run["validation"] == pytest.approx(result.metrics)
    assert run["best"] == model_folder.load_best(trainer.model_dir)


def test_the_card_is_one_for_the_hub(trained):
    card = huggingface_hub.ModelCard.load(Path(trained[0].model_dir) / "README.md")
    assert card.data.library_name == "t5rank"
    assert card.data.pipeline_tag == "text-ranking"
    assert card.data.base_model is None
    best = model_folder.load_best(trained[0].model_dir)
    (figure,) = card.data.eval_results
    assert (figure.metric_type, figure.metric_value) == (best["metric"], best["value"])
    assert "| train | small | lists `train.jsonl` |" in card.text


def test_the_card_names_what_it_started_from():
    head = model_card.head("t5rank", "t5-v1_1-base") + "\n"
    assert huggingface_hub.ModelCard(head).data.base_model == "t5-v1_1-base"


def test_the_cards_program_scores(trained, monkeypatch):
    folder = Path(trained[0].model_dir)
    program = re.search(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)[1]
    monkeypatch.chdir(folder)
    names: dict = {}
    exec(program, names)
    assert len(names["reranker"].score("list", ["object"])) == 1


def test_a_card_of_ones_own_stays(tmp_path):
    model_folder.save_card(tmp_path, model_card.WRITTEN)
    model_folder.save_card(tmp_path, f"{model_card.WRITTEN} again")
    assert (tmp_path / "README.md").read_text().endswith("again")
    (tmp_path / "README.md").write_text("Mine.")
    model_folder.save_card(tmp_path, model_card.WRITTEN)
    assert (tmp_path / "README.md").read_text() == "Mine."


def test_an_exported_models_card_says_how_it_was_trained(trained, tmp_path):
    folder = Path(trained[0].model_dir)
    convert(folder, tmp_path / "exported", "huggingface")
    ours, theirs = ((f / "README.md").read_text() for f in (folder, tmp_path / "exported"))
    assert ours[ours.index("## Training data") :] == theirs[theirs.index("## Training data") :]
