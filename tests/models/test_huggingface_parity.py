"""The oracle of the network: Hugging Face's T5 with the same random weights gives our scores."""

import jax
import numpy as np
import pytest

from t5rank.models import monot5, network, ranking, rankt5
from t5rank.models.rankt5_encoder import POOLINGS, EncoderHead, EncoderScorer

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

SIZES = {"d_model": 48, "d_kv": 8, "d_ff": 96, "num_layers": 3, "num_heads": 4}
VOCAB, TOKEN, TRUE, FALSE = 130, 121, 7, 9
VERSIONS = {
    "1.0": {"feed_forward_proj": "relu", "tie_word_embeddings": True},
    "1.1": {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False},
}


def hugging_face_t5(version: str):
    """A random HF model whose weights are large enough for every part to matter."""
    config = transformers.T5Config(
        vocab_size=VOCAB, num_decoder_layers=2, **SIZES, **VERSIONS[version]
    )
    if version == "1.1":  # transformers 5 forces tie_word_embeddings and looks at this instead
        config.scale_decoder_outputs = False
        config.tie_word_embeddings = False
    torch.manual_seed(0)
    model = transformers.T5ForConditionalGeneration(config).eval()
    if version == "1.1":
        model.set_input_embeddings(model.shared)  # transformers 5 unties encoder and decoder too
        model.lm_head.weight = torch.nn.Parameter(torch.randn(VOCAB, SIZES["d_model"]))
    for name, parameter in model.named_parameters():
        if "layer_norm" in name:
            parameter.data = 1 + 0.3 * torch.randn_like(parameter)
        elif "relative_attention_bias" in name:
            parameter.data = torch.randn_like(parameter)
    return model


def our_params(model) -> dict:
    """T5X's parameter tree filled from an HF state dict."""
    state = {k: v.detach().numpy() for k, v in model.state_dict().items()}
    tree: dict = {"token_embedder": {"embedding": state["shared.weight"]}}

    def kernel(name):
        return {"kernel": state[f"{name}.weight"].T}

    def attention(name):
        letters = {"query": "q", "key": "k", "value": "v", "out": "o"}
        return {ours: kernel(f"{name}.{letter}") for ours, letter in letters.items()}

    def mlp(name):
        names = [n for n in ("wi", "wi_0", "wi_1", "wo") if f"{name}.{n}.weight" in state]
        return {n: kernel(f"{name}.{n}") for n in names}

    for stack in ("encoder", "decoder"):
        blocks = {}
        parts = ["attention"] if stack == "encoder" else ["self", "cross"]
        for i in range(model.config.num_layers if stack == "encoder" else 2):
            base = f"{stack}.block.{i}.layer"
            last = len(parts)
            block = {
                "mlp": mlp(f"{base}.{last}.DenseReluDense"),
                "pre_mlp_layer_norm": {"scale": state[f"{base}.{last}.layer_norm.weight"]},
            }
            norm = "pre_attention" if stack == "encoder" else "pre_self_attention"
            block[f"{norm}_layer_norm"] = {"scale": state[f"{base}.0.layer_norm.weight"]}
            own = "attention" if stack == "encoder" else "self_attention"
            block[own] = attention(f"{base}.0.SelfAttention")
            if stack == "decoder":
                block["encoder_decoder_attention"] = attention(f"{base}.1.EncDecAttention")
                scale = state[f"{base}.1.layer_norm.weight"]
                block["pre_cross_attention_layer_norm"] = {"scale": scale}
            blocks[f"layers_{i}"] = block
        bias = f"{stack}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
        blocks["relpos_bias"] = {"rel_embedding": state[bias].T}
        blocks[f"{stack}_norm"] = {"scale": state[f"{stack}.final_layer_norm.weight"]}
        tree[stack] = blocks
    if model.config.tie_word_embeddings is False:
        tree["decoder"]["logits_dense"] = {"kernel": state["lm_head.weight"].T}
    return tree


def our_config(version: str) -> network.T5Config:
    return network.T5Config(
        vocab_size=VOCAB,
        emb_dim=SIZES["d_model"],
        num_heads=SIZES["num_heads"],
        head_dim=SIZES["d_kv"],
        mlp_dim=SIZES["d_ff"],
        num_encoder_layers=SIZES["num_layers"],
        num_decoder_layers=2,
        mlp_activations=("relu",) if version == "1.0" else ("gelu", "linear"),
        logits_via_embedding=version == "1.0",
    )


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
