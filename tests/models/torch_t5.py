"""A random T5 of transformers, and our configuration and parameters of it."""

import pytest

from t5rank.models import network

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
