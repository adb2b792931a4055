"""A model folder in use: scoring and ranking."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from small_models import HEADS, make_encoder, make_model, save_model

from t5rank import Reranker, model_folder
from t5rank.data.ranked_list import RankedList
from t5rank.inference.batching import BatchShapes
from t5rank.inference.scoring import ModelScorer

DOCUMENTS = ["a list of numbers", "the string is returned", "", "a dict or a list " * 40, "int"]


def test_activations_are_float32_on_a_cpu(model_dir, tmp_path):
    shutil.copytree(model_dir, tmp_path / "bfloat16")
    file = tmp_path / "bfloat16" / "config.json"
    config = json.loads(file.read_text())
    config["architecture"]["dtype"] = "bfloat16"
    file.write_text(json.dumps(config))
    found, expected = (
        Reranker.from_pretrained(folder).score("list", DOCUMENTS)
        for folder in (tmp_path / "bfloat16", model_dir)
    )
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("head", HEADS)
def test_a_saved_model_scores_as_the_model_it_was(tmp_path, vocabulary_file, head):
    model, params = make_model(head)
    save_model(tmp_path, vocabulary_file, head)
    scores = Reranker.from_pretrained(tmp_path).score("list of int", DOCUMENTS)
    expected = []
    for pair in make_encoder(vocabulary_file).encode("list of int", DOCUMENTS):
        expected.append(float(model.score(params, pair.tokens[None])[0]))
    assert scores.dtype == np.float32
    assert np.std(expected) > 1e-3
    np.testing.assert_allclose(scores, expected, atol=1e-5)


def test_scores_do_not_depend_on_the_other_documents(model_dir):
    reranker = Reranker.from_pretrained(model_dir)
    together = reranker.score("list", DOCUMENTS)
    alone = [reranker.score("list", [document])[0] for document in DOCUMENTS]
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_rank_is_best_first_and_says_where_a_document_was(model_dir):
    reranker = Reranker.from_pretrained(model_dir)
    scores = reranker.score("list", DOCUMENTS)
    ranked = reranker.rank("list", DOCUMENTS, topn=3)
    assert [item.rank for item in ranked] == [1, 2, 3]
    assert [item.index for item in ranked] == np.argsort(-scores)[:3].tolist()
    assert all(item.document == DOCUMENTS[item.index] for item in ranked)


def test_no_documents_give_no_scores(model_dir):
    assert Reranker.from_pretrained(model_dir).score("list", []).shape == (0,)


def test_topn_of_nothing_is_refused(model_dir):
    with pytest.raises(ValueError, match="'topn' has 0"):
        Reranker.from_pretrained(model_dir).rank("list", DOCUMENTS, topn=0)


def test_scores_that_are_not_finite_are_an_error(model_dir):
    encoder = Reranker.from_pretrained(model_dir).encoder
    reranker = Reranker(encoder, lambda tokens: tokens[:, 0] * np.nan, BatchShapes(64))
    with pytest.raises(ValueError, match="5 of 5 values that are not finite"):
        reranker.score("list", DOCUMENTS)


def test_nothing_is_compiled_after_the_warm_up(vocabulary_file):
    scorer = ModelScorer(*make_model(), 256)
    reranker = Reranker(make_encoder(vocabulary_file), scorer, scorer.shapes)
    assert reranker.warm_up() == scorer.compiled > 1
    before = scorer.compiled
    reranker.score("list", ["a list " * n for n in range(40)])
    assert scorer.compiled == before


def test_the_best_checkpoint_is_used_unless_another_is_asked_for(tmp_path, vocabulary_file):
    for step in (1, 2, 3):
        save_model(tmp_path, vocabulary_file, seed=step, step=step)
    assert model_folder.chosen_step(tmp_path) == 3
    model_folder.save_best(tmp_path, {"step": 2, "metric": "mrr@10", "value": 0.5})
    assert model_folder.chosen_step(tmp_path) == 2
    assert model_folder.chosen_step(tmp_path, 1) == 1
    with pytest.raises(ValueError, match=r"has checkpoints \[1, 2, 3\]; expected 4"):
        model_folder.chosen_step(tmp_path, 4)
    one, two = (Reranker.from_pretrained(tmp_path, s).score("list", DOCUMENTS) for s in (1, None))
    assert np.abs(one - two).max() > 1e-3


def test_a_best_checkpoint_that_is_gone_is_not_used(tmp_path, vocabulary_file):
    save_model(tmp_path, vocabulary_file, step=3)
    model_folder.save_best(tmp_path, {"step": 2, "metric": "mrr@10", "value": 0.5})
    assert model_folder.chosen_step(tmp_path) == 3


def test_a_folder_with_checkpoints_of_another_model_is_not_overwritten(tmp_path, vocabulary_file):
    save_model(tmp_path, vocabulary_file, "rankt5")
    before = (tmp_path / "config.json").read_text()
    with pytest.raises(ValueError, match="checkpoints of a model with other head"):
        save_model(tmp_path, vocabulary_file, "monot5", step=2)
    assert (tmp_path / "config.json").read_text() == before


NOT_MODELS = {
    "empty": ({}, "is empty; expected a folder written by t5rank"),
    "hugging_face": (
        {"config.json": '{"model_type": "t5"}'},
        r"is a Hugging Face folder; .* Run `t5rank convert .*/hugging_face NEW_FOLDER --to t5rank",
    ),
    "t5x": (
        {"checkpoint_9/state/_METADATA": "{}"},
        "has checkpoints and no config.json, as a MODEL_DIR of T5X; .*NEW_FOLDER --to t5rank .* "
        "--vocabulary",
    ),
    "cut": ({"config.json": '{"format": 1, '}, r"File '.*/cut/config.json' is damaged .*JSON"),
    "blank": ({"config.json": ""}, r"File '.*/blank/config.json' is empty; expected a JSON object"),
    "list": ({"config.json": "[]"}, r"File '.*/list/config.json' is damaged .no object.; .*JSON"),
    "other": ({"config.json": "{}"}, "has a config.json of another program"),
    "old": ({"config.json": '{"format": 9}'}, "has format 9; expected 1"),
    "bare": ({"config.json": '{"format": 1}'}, r"Model configuration '.*config.json' has an error"),
}


@pytest.mark.parametrize("name", NOT_MODELS)
def test_a_folder_that_is_no_model_is_named_and_the_next_step(tmp_path, name):
    files, message = NOT_MODELS[name]
    folder = tmp_path / name
    folder.mkdir()
    for file, text in files.items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(text)
    with pytest.raises(ValueError, match=message):
        Reranker.from_pretrained(folder)


def test_a_name_of_the_hub_says_how_to_get_the_model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"does not exist; .*Run `hf download a/b --local-dir b`"):
        Reranker.from_pretrained("a/b")


def test_one_checkpoint_says_which_folder_is_the_model(model_dir):
    with pytest.raises(
        ValueError, match=rf"is a folder of one checkpoint; .* Give '{model_dir}', with --step"
    ):
        Reranker.from_pretrained(model_dir / "checkpoint_1")


def test_the_right_call_warns_of_nothing(model_dir, caplog, recwarn):
    Reranker.from_pretrained(model_dir)
    assert not caplog.records and not recwarn.list


def test_documents_of_any_ordered_kind_are_ranked_alike(model_dir):
    reranker = Reranker.from_pretrained(model_dir)
    expected = reranker.score("list", DOCUMENTS)
    for documents in (tuple(DOCUMENTS), iter(DOCUMENTS), np.array(DOCUMENTS)):
        np.testing.assert_array_equal(reranker.score("list", documents), expected)
    assert reranker.rank("list", iter(DOCUMENTS)) == reranker.rank("list", DOCUMENTS)
    (streamed,) = reranker.score_stream([("list", iter(DOCUMENTS))])
    np.testing.assert_array_equal(streamed, expected)


def test_what_are_no_lists_of_texts_is_refused_everywhere(model_dir):
    reranker = Reranker.from_pretrained(model_dir)
    for call in (
        lambda: reranker.score("list", "A list"),
        lambda: reranker.rank("list", "A list"),
        lambda: reranker.score_lists([("list", "A list")]),
        lambda: reranker.score_lists({"list": ["A list"]}),
        lambda: list(reranker.score_stream(["list"])),
    ):
        with pytest.raises(TypeError, match=r"have the type str;|List has the type str;"):
            call()


def test_representations_say_what_they_are(model_dir):
    reranker = Reranker.from_pretrained(model_dir)
    assert repr(reranker).startswith("Reranker(RankingModel(Transformer, 1 + 1 layers, width 16, ")
    file = model_dir / "vocabulary.model"
    assert repr(reranker.encoder.vocabulary) == f"Vocabulary({str(file)!r}, 1,100 tokens)"
    assert max(len(repr(o)) for o in (reranker, reranker.encoder, reranker.score_tokens)) < 400
    ranked = RankedList("q", "which list", ("a", "b"), ("A", "B"), (0.0, 1.0))
    assert repr(ranked) == "RankedList('q', 'which list', 2 documents, 1 relevant)"


def test_what_is_exported_is_listed():
    import t5rank

    assert {*t5rank.__all__} <= {*dir(t5rank)}


def test_using_a_model_imports_nothing_that_it_does_not_use(model_dir):
    code = (
        "import sys; from t5rank import Reranker;"
        f"Reranker.from_pretrained({str(model_dir)!r}).rank('list', ['a', 'b']);"
        "bad = {'tensorflow', 'seqio', 't5x', 'orbax', 'scipy', 'ir_measures', 'starlette'};"
        "bad &= set(sys.modules); assert not bad, bad"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
