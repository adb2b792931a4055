"""Random models of transformers, their folders and what they compute."""

import json

import flax
import numpy as np
import pytest

from t5rank import checkpoints
from t5rank.models import network

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
safetensors = pytest.importorskip("safetensors.numpy")

SIZES = {"vocab_size": 1152, "d_model": 16, "d_kv": 6, "d_ff": 24, "num_heads": 2}
LAYERS = {"num_layers": 3, "num_decoder_layers": 2, "decoder_start_token_id": 0}
V1_0 = {"feed_forward_proj": "relu", "tie_word_embeddings": True}
V1_1 = {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}
VERSIONS = {
    "1.0": ("T5", V1_0),
    "1.1": ("T5", V1_1),
    "mt5": ("MT5", V1_1),
    "relu, gated": ("T5", V1_0 | {"feed_forward_proj": "gated-relu"}),
}


def torch_model(version: str = "1.0", seed: int = 0):
    """A random model of transformers in which every part matters to the scores."""
    kind, settings = VERSIONS[version]
    config = getattr(transformers, f"{kind}Config")(**SIZES, **LAYERS, **settings)
    torch.manual_seed(seed)
    model = getattr(transformers, f"{kind}ForConditionalGeneration")(config).eval()
    if not settings["tie_word_embeddings"]:
        rows = torch.randn(SIZES["vocab_size"], SIZES["d_model"])
        model.lm_head.weight = torch.nn.Parameter(rows)
    for name, parameter in model.named_parameters():
        if "layer_norm" in name:
            parameter.data = 1 + 0.3 * torch.randn_like(parameter)
        elif "relative_attention_bias" in name:
            parameter.data = torch.randn_like(parameter)
        elif "block" in name:
            parameter.data *= 1.5
    return model


def edit(file, **changes) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def tensors(folder) -> dict:
    return {k: v for file in folder.glob("model*.safetensors") for k, v in load(file).items()}


def load(file) -> dict:
    return safetensors.load_file(file)


def values(folder) -> dict:
    source = checkpoints.open_checkpoint(folder)
    return {name: array.read() for name, array in source.arrays.items()}


def logits(model, rows) -> np.ndarray:
    start = torch.zeros((1, 1), dtype=torch.long)
    with torch.no_grad():
        ids = [torch.tensor(np.asarray(row)[None].astype(np.int64)) for row in rows]
        return np.stack(
            [model(input_ids=i, decoder_input_ids=start).logits[0, 0].numpy() for i in ids]
        )


def their_logits(folder, rows):
    kind = json.loads((folder / "config.json").read_text()).get("model_type", "t5").upper()
    kind = getattr(transformers, f"{kind}ForConditionalGeneration")
    return logits(kind.from_pretrained(folder, dtype="float32").eval(), rows)


def our_logits(folder, rows):
    source = checkpoints.open_checkpoint(folder)
    arrays = {name: array.as_float32().read() for name, array in source.arrays.items()}
    params = {"params": flax.traverse_util.unflatten_dict(arrays, sep="/")}
    module, ids = network.Transformer(source.config), np.arange(source.config.vocab_size)
    return np.stack([module.apply(params, row[None], ids)[0, 0] for row in rows])
