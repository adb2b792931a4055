"""The oracle of the network: Hugging Face's T5 with the same random weights gives our scores."""

import jax
import numpy as np
import pytest
from torch_t5 import FALSE, TOKEN, TRUE, VERSIONS, VOCAB, hugging_face_t5, our_config, our_params

from t5rank.models import monot5, network, ranking, rankt5
from t5rank.models.rankt5_encoder import POOLINGS, EncoderHead, EncoderScorer

torch = pytest.importorskip("torch")


def random_tokens() -> np.ndarray:
    rng = np.random.default_rng(0)
    tokens = rng.integers(3, VOCAB, (6, 150)).astype(np.int32)
    for row, length in enumerate((150, 149, 80, 21, 2, 1)):
        tokens[row, length:] = 0
    return tokens


def hugging_face_logits(model, tokens) -> np.ndarray:
    with torch.no_grad():
        ids = torch.tensor(tokens.astype(np.int64))
        start = torch.zeros((len(tokens), 1), dtype=torch.long)
        out = model(input_ids=ids, attention_mask=(ids != 0).long(), decoder_input_ids=start)
    return out.logits[:, 0].numpy()


@pytest.mark.parametrize("version", VERSIONS)
def test_rankt5_head_equals_hugging_face(version):
    model, tokens = hugging_face_t5(version), random_tokens()
    ours = ranking.RankingModel(
        network.Transformer(our_config(version)), rankt5.RankT5Head(TOKEN)
    ).score(our_params(model), tokens)
    expected = hugging_face_logits(model, tokens)[:, TOKEN]
    assert np.std(expected) > 0.1  # the scores differ, so agreement says something
    np.testing.assert_allclose(ours, expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("version", VERSIONS)
def test_monot5_head_equals_hugging_face(version):
    model, tokens = hugging_face_t5(version), random_tokens()
    ours = ranking.RankingModel(
        network.Transformer(our_config(version)), monot5.MonoT5Head(TRUE, FALSE)
    ).score(our_params(model), tokens)
    logits = hugging_face_logits(model, tokens)[:, [TRUE, FALSE]]
    expected = jax.nn.log_softmax(logits, axis=-1)[:, 0]
    np.testing.assert_allclose(ours, expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("pooling", POOLINGS)
def test_encoder_head_equals_hugging_face_encoder_and_a_dense_layer(version, pooling):
    model, tokens = hugging_face_t5(version), random_tokens()
    rng = np.random.default_rng(1)
    kernel, bias = rng.normal(size=(48, 1)).astype(np.float32), np.array([0.3], np.float32)
    params = {k: v for k, v in our_params(model).items() if k != "decoder"}
    params["score_head"] = {"kernel": kernel, "bias": bias}
    module = EncoderScorer(our_config(version), pooling=pooling)
    ours = ranking.RankingModel(module, EncoderHead()).score(params, tokens)
    ids = torch.tensor(tokens.astype(np.int64))
    with torch.no_grad():
        hidden = model.encoder(input_ids=ids, attention_mask=(ids != 0).long())
    hidden = hidden.last_hidden_state.numpy()
    if pooling == "first":
        pooled = hidden[:, 0]
    else:
        pooled = np.stack([h[t != 0].mean(0) for h, t in zip(hidden, tokens, strict=True)])
    np.testing.assert_allclose(ours, (pooled @ kernel + bias)[:, 0], atol=1e-4, rtol=0)
