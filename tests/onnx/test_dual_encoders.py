"""Dual encoders in ONNX Runtime, by `Embedder` and as other programs run them."""

import json

import jax
import numpy as np
import pytest
from onnx_models import random_model

from t5rank import checkpoints, cli, model_folder
from t5rank.data import trec
from t5rank.inference.embedder import Embedder
from t5rank.text.templates import TextPrompts
from t5rank.text.texts import TextEncoder
from t5rank.text.vocabulary import Vocabulary
from t5rank.train import optimizers

TEXTS = ["list of int", "", "a dict or a list of numbers " * 9, "the string is returned"]


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory, vocabulary_file):
    folder = tmp_path_factory.mktemp("model")
    model, params = random_model("cosine", "1.1", vocab_size=1152)
    encoder = TextEncoder(Vocabulary(vocabulary_file), TextPrompts("list: ", "", 16), 32)
    model_folder.save_config(folder, model, encoder)
    with checkpoints.Checkpointer(folder, keep=9) as saver:
        saver.save(1, optimizers.adamw().create(jax.tree.map(np.asarray, params)))
    return folder


def export(model, output, *more) -> int:
    return cli.main(
        ["export", f"--model={model}", f"--output={output}", "--format=onnx", *map(str, more)]
    )


def test_other_programs_run_an_exported_folder_by_the_names_that_they_know(model_dir, tmp_path):
    runtime, tokenizers = pytest.importorskip("onnxruntime"), pytest.importorskip("tokenizers")
    assert export(model_dir, tmp_path / "onnx") == 0
    ours, exported = map(Embedder.from_pretrained, (model_dir, tmp_path / "onnx"))
    expected = ours.encode_documents(TEXTS)
    np.testing.assert_allclose(exported.encode_documents(TEXTS), expected, atol=1e-5)
    queries = ours.encode_queries(TEXTS)
    np.testing.assert_allclose(exported.encode_queries(TEXTS), queries, atol=1e-5)
    tokenizer = tokenizers.Tokenizer.from_file(str(tmp_path / "onnx/tokenizer.json"))
    tokenizer.enable_truncation(32)
    tokenizer.enable_padding()
    batch = tokenizer.encode_batch(TEXTS)
    session = runtime.InferenceSession(tmp_path / "onnx/model.onnx")
    vectors, tokens = session.run(
        ["sentence_embedding", "last_hidden_state"],
        {
            "input_ids": np.array([one.ids for one in batch]),
            "attention_mask": np.array([one.attention_mask for one in batch]),
        },
    )
    np.testing.assert_allclose(vectors, expected, atol=1e-5)
    assert tokens.shape == (4, 32, 48)


def test_int8_says_how_far_its_similarities_are(model_dir, tmp_path):
    texts = [text for text in TEXTS if text]
    trec.write_queries(tmp_path / "queries.tsv", {f"q{i}": text for i, text in enumerate(texts)})
    trec.write_queries(tmp_path / "collection.tsv", {f"d{i}": text for i, text in enumerate(texts)})
    run = {f"q{i}": {f"d{j}": 1.0 for j in range(len(texts))} for i in range(len(texts))}
    trec.write_run(tmp_path / "run.txt", run)
    names = {"queries": "queries.tsv", "collection": "collection.tsv", "run": "run.txt"}
    files = [f"--{option}={tmp_path / name}" for option, name in names.items()]
    assert export(model_dir, tmp_path / "int8", "--int8", *files) == 0
    figures = json.loads((tmp_path / "int8/int8.json").read_text())
    ours, int8 = map(Embedder.from_pretrained, (model_dir, tmp_path / "int8"))
    before, after = (
        e.encode_queries(texts[1:]) @ e.encode_documents(texts).T for e in (ours, int8)
    )
    assert figures["mean_error"] == pytest.approx(np.abs(after - before).mean(), rel=1e-3)
    assert 0 < figures["mean_error"] < 0.2 * figures["score_std"]
    assert "Embedder.from_pretrained" in (tmp_path / "int8/README.md").read_text()
