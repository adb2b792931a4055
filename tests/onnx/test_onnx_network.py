"""The graph against JAX and against transformers."""

import numpy as np
import pytest
from onnx_models import ACTIVATIONS, MODULES, random_model, random_tokens

from t5rank import Reranker
from t5rank.inference.onnx_session import OnnxScorer
from t5rank.model_folder.convert import Settings, convert
from t5rank.onnx.export import export
from t5rank.onnx.graph import Graph
from t5rank.onnx.network import add_model


def onnx_scorer(folder, model, params) -> OnnxScorer:
    graph = Graph(folder)
    return OnnxScorer(graph.save(*add_model(graph, model, params)))


CASES = [(head, version, False) for head in MODULES for version in ACTIVATIONS]


@pytest.mark.parametrize(("head", "version", "per_layer"), [*CASES, ("rankt5", "1.1", True)])
def test_scores_are_those_of_jax(tmp_path, head, version, per_layer):
    model, params = random_model(head, version, relpos_bias_per_layer=per_layer)
    tokens = random_tokens()
    expected = np.asarray(model.score(params, tokens))
    assert np.std(expected) > 0.1
    found = onnx_scorer(tmp_path, model, params)(tokens)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=2e-5, rtol=0)


@pytest.mark.parametrize("head", MODULES)
def test_padding_and_neighbours_change_no_score(tmp_path, head):
    scorer, tokens = onnx_scorer(tmp_path, *random_model(head, "1.1")), random_tokens()[:5]
    lengths = (tokens != 0).sum(-1)
    alone = [scorer(row[None, :length])[0] for row, length in zip(tokens, lengths, strict=True)]
    np.testing.assert_allclose(scorer(tokens), alone, atol=1e-5, rtol=0)


def test_an_exported_hugging_face_model_scores_as_in_transformers(tmp_path, vocabulary_file):
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    sizes = {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 2}
    torch.manual_seed(0)
    oracle = transformers.T5ForConditionalGeneration(
        transformers.T5Config(vocab_size=1152, initializer_factor=3.0, **sizes)
    ).eval()
    oracle.save_pretrained(tmp_path / "transformers")
    settings = Settings(head="rankt5", vocabulary=vocabulary_file)
    convert(tmp_path / "transformers", tmp_path / "model", "t5rank", settings)
    export(tmp_path / "model", tmp_path / "onnx")
    reranker = Reranker.from_pretrained(tmp_path / "onnx")
    documents = ["a list of numbers", "the string is returned", "a dict or a list " * 20]
    expected = []
    for pair in reranker.encoder.encode("list of int", documents):
        ids = torch.tensor(pair.tokens[None].astype(np.int64))
        with torch.no_grad():
            logits = oracle(input_ids=ids, decoder_input_ids=torch.zeros(1, 1).long()).logits
        expected.append(logits[0, 0, reranker.encoder.vocabulary.token_id("<extra_id_10>")].item())
    assert np.std(expected) > 0.1
    scores = reranker.score("list of int", documents)
    np.testing.assert_allclose(scores, expected, atol=1e-4, rtol=0)
