"""`t5rank export` and the folders that it writes."""

import io
import json
import sys

import jax
import numpy as np
import pytest
from onnx_models import random_model

from t5rank import Reranker, checkpoints, cli, model_folder
from t5rank.data import trec
from t5rank.text.prompts import PairEncoder, Prompt
from t5rank.text.vocabulary import Vocabulary
from t5rank.train import optimizers

QUERIES = {"q1": "list of int", "q2": "a string", "q3": "dict", "q4": "numbers returned"}
DOCUMENTS = {f"d{n}": "a dict or a list of numbers " * n + f"number {n}" for n in range(1, 8)}


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory, vocabulary_file):
    folder = tmp_path_factory.mktemp("model")
    model, params = random_model("rankt5", "1.1", vocab_size=1152)
    encoder = PairEncoder(Vocabulary(vocabulary_file), Prompt(), 64)
    model_folder.save_config(folder, model, encoder)
    with checkpoints.Checkpointer(folder, keep=9) as saver:
        saver.save(1, optimizers.adamw().create(jax.tree.map(np.asarray, params)))
    return folder


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    trec.write_queries(folder / "queries.tsv", QUERIES)
    lines = [f"{doc_id}\t{text}\n" for doc_id, text in DOCUMENTS.items()]
    (folder / "collection.tsv").write_text("".join(lines))
    trec.write_run(folder / "run.txt", {q: dict.fromkeys(DOCUMENTS, 1.0) for q in QUERIES})
    trec.write_qrels(folder / "qrels.txt", {q: {"d3": 1} for q in QUERIES})
    return folder


def export(model, output, *more) -> int:
    return cli.main(
        ["export", f"--model={model}", f"--output={output}", "--format=onnx", *map(str, more)]
    )


def pairs_of(files) -> list[str]:
    names = {"queries": "queries.tsv", "collection": "collection.tsv", "run": "run.txt"}
    return [f"--{option}={files / name}" for option, name in names.items()]


def test_every_command_takes_an_exported_folder(model_dir, files, tmp_path, capsys):
    assert export(model_dir, tmp_path / "onnx") == 0
    runs = []
    for model in (model_dir, tmp_path / "onnx"):
        command = ["rerank", f"--model={model}", *pairs_of(files)]
        assert cli.main([*command, f"--output={tmp_path / 'run.txt'}"]) == 0
        runs.append(trec.read_run(tmp_path / "run.txt"))
    for query_id, scored in runs[0].items():
        assert runs[1][query_id] == pytest.approx(scored, abs=1e-4)
    assert not (tmp_path / "onnx" / "int8.json").exists()


def test_int8_comes_with_its_figures(model_dir, files, tmp_path, capsys):
    folder, qrels = tmp_path / "int8", files / "qrels.txt"
    assert export(model_dir, folder, "--int8", *pairs_of(files), f"--qrels={qrels}") == 0
    printed = capsys.readouterr().out
    figures = json.loads((folder / "int8.json").read_text())
    # One of the four queries is for calibration.
    assert (figures["queries"], figures["pairs"]) == (3, 21)
    one, other = (
        np.concatenate(
            Reranker.from_pretrained(model).score_lists(
                [(query, list(DOCUMENTS.values())) for query in list(QUERIES.values())[1:]]
            )
        )
        for model in (model_dir, folder)
    )
    assert figures["mean_error"] == pytest.approx(np.abs(one - other).mean(), rel=1e-3)
    assert 0 < figures["mean_error"] < 0.2 * figures["score_std"]
    assert 0.5 < figures["kendall_tau"] <= 1
    assert set(figures["measures"]) == {"nDCG@10", "RR@10"}
    readme = (folder / "README.md").read_text()
    assert f"{figures['mean_error']:.4f}" in readme and f"{figures['mean_error']:.4f}" in printed


def test_int8_without_real_pairs_is_refused(model_dir, files, tmp_path, capsys):
    assert export(model_dir, tmp_path / "int8", "--int8", *pairs_of(files)[:2]) == 1
    assert "'--int8' has no --run; expected real pairs" in capsys.readouterr().err
    assert not (tmp_path / "int8").exists()


def test_int8_of_one_query_is_refused(model_dir, files, tmp_path, capsys):
    trec.write_run(tmp_path / "run.txt", {"q1": {"d1": 1.0}})
    command = ["--int8", *pairs_of(files)[:2], f"--run={tmp_path / 'run.txt'}"]
    assert export(model_dir, tmp_path / "int8", *command) == 1
    assert "1 queries; expected at least 2" in capsys.readouterr().err


def test_options_of_int8_alone_are_refused(model_dir, files, tmp_path, capsys):
    assert export(model_dir, tmp_path / "onnx", *pairs_of(files)) == 1
    assert "no effect; expected --int8" in capsys.readouterr().err


def test_a_folder_with_files_is_left_alone(model_dir, capsys):
    assert export(model_dir, model_dir) == 1
    assert "has files; expected a new or empty folder" in capsys.readouterr().err


def test_a_step_of_an_exported_model_is_refused(model_dir, tmp_path):
    assert export(model_dir, tmp_path) == 0
    with pytest.raises(ValueError, match="has one state; expected no step, not 1"):
        Reranker.from_pretrained(tmp_path, step=1)


@pytest.mark.parametrize("package", ["onnx", "onnxruntime"])
def test_a_missing_package_says_what_to_install(model_dir, tmp_path, monkeypatch, capsys, package):
    assert export(model_dir, tmp_path / "onnx") == 0
    monkeypatch.setitem(sys.modules, package, None)
    commands = {
        "onnx": lambda: export(model_dir, tmp_path / "again"),
        "onnxruntime": lambda: cli.main(["score", f"--model={tmp_path / 'onnx'}", "--query=x"]),
    }
    monkeypatch.setattr("sys.stdin", io.StringIO("a list\n"))
    assert commands[package]() == 1
    assert "pip install 't5rank[onnx]'" in capsys.readouterr().err
