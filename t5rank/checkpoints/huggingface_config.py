"""Reads and writes Hugging Face's `config.json` of a T5, with transformers' own defaults."""

from collections.abc import Mapping
from typing import Any

from t5rank.models.network import T5Config

CONFIG = "config.json"
_ACTIVATIONS = {
    "relu": ("relu",),
    "gelu_new": ("gelu",),
    "gated-relu": ("relu", "linear"),
    "gated-gelu": ("gelu", "linear"),
    "gated-gelu_new": ("gelu", "linear"),
}
_SIZES = {
    "t5": {
        "vocab_size": 32128,
        "d_model": 512,
        "d_kv": 64,
        "d_ff": 2048,
        "num_layers": 6,
        "num_heads": 8,
    },
    "mt5": {
        "vocab_size": 250112,
        "d_model": 512,
        "d_kv": 64,
        "d_ff": 1024,
        "num_layers": 8,
        "num_heads": 6,
    },
}
_PROJECTIONS = {"t5": "relu", "mt5": "gated-gelu"}
# Other names that transformers accepts.
_ALIASES = {
    "hidden_size": "d_model",
    "num_attention_heads": "num_heads",
    "num_hidden_layers": "num_layers",
    "head_dim": "d_kv",
}


def read(config: Mapping[str, Any], decoder: bool, what: str) -> T5Config:
    """The architecture that `config.json` describes.

    Args:
      config: the object in the file; a missing value has transformers' default.
      decoder: whether the weights have a decoder.
      what: the name of the checkpoint in errors.

    Raises:
      ValueError: it is no T5 or mT5, or is one that our network does not compute.
    """
    config = {_ALIASES.get(name, name): value for name, value in config.items()}
    kind = model_type(config)
    projection = _PROJECTIONS.get(kind, "relu")
    expected = {
        "model_type": ("t5", "mt5"),
        "feed_forward_proj": tuple(_ACTIVATIONS),
        "relative_attention_num_buckets": (32,),
        "relative_attention_max_distance": (128,),
        "layer_norm_epsilon": (1e-6,),
        "decoder_start_token_id": (0, None),
        "pad_token_id": (0, None),
    }
    for name, values in expected.items():
        if config.get(name, values[0]) not in values:
            raise ValueError(f"{what} has {name} {config[name]!r}; expected one of {values}.")
    sizes = {**_SIZES[kind], **{name: config[name] for name in _SIZES[kind] if name in config}}
    layers = config.get("num_decoder_layers")
    sizes["num_decoder_layers"] = sizes["num_layers"] if layers is None else layers
    for name, value in sizes.items():
        if type(value) is not int or value < 1:
            raise ValueError(f"{what} has {name} {value!r}; expected a whole number from 1.")
    return T5Config(
        vocab_size=sizes["vocab_size"],
        emb_dim=sizes["d_model"],
        num_heads=sizes["num_heads"],
        num_encoder_layers=sizes["num_layers"],
        num_decoder_layers=sizes["num_decoder_layers"] if decoder else 0,
        head_dim=sizes["d_kv"],
        mlp_dim=sizes["d_ff"],
        mlp_activations=_ACTIVATIONS[config.get("feed_forward_proj", projection)],
        logits_via_embedding=is_tied(config),
        dropout_rate=config.get("dropout_rate", 0.1),
    )


def model_type(config: Mapping[str, Any]) -> str:
    """The `model_type` of a file, such as "t5" or "mt5"; without one its class tells."""
    classes = config.get("architectures") or [""]
    return config.get("model_type", "mt5" if str(classes[0]).startswith("MT5") else "t5")


def is_tied(config: Mapping[str, Any]) -> bool:
    """Whether the logits are computed with the embedding, scaled."""
    if model_type(config) == "mt5":
        return False
    # transformers 5 writes "tied" for every T5, and writes the scaling under a key of its own.
    tied = config.get("tie_word_embeddings") is not False
    return bool(config.get("scale_decoder_outputs", tied))


def written_form(config: T5Config, decoder: bool) -> dict[str, Any]:
    """transformers' configuration of an architecture.

    Raises:
      ValueError: transformers' T5 has no such architecture.
    """
    projections = [name for name, value in _ACTIVATIONS.items() if value == config.mlp_activations]
    if not projections or config.relpos_bias_per_layer:
        raise ValueError(
            f"T5Config has mlp_activations {config.mlp_activations} and relpos_bias_per_layer "
            f"{config.relpos_bias_per_layer}; expected one of {[*_ACTIVATIONS.values()]} and one "
            "bias for all layers, as Hugging Face's T5."
        )
    return {
        "architectures": ["T5ForConditionalGeneration" if decoder else "T5EncoderModel"],
        "model_type": "t5",
        "vocab_size": config.vocab_size,
        "d_model": config.emb_dim,
        "d_kv": config.head_dim,
        "d_ff": config.mlp_dim,
        "num_layers": config.num_encoder_layers,
        "num_decoder_layers": config.num_decoder_layers or config.num_encoder_layers,
        "num_heads": config.num_heads,
        "feed_forward_proj": projections[0],
        "tie_word_embeddings": config.logits_via_embedding,
        "relative_attention_num_buckets": 32,
        "relative_attention_max_distance": 128,
        "layer_norm_epsilon": 1e-6,
        "dropout_rate": config.dropout_rate,
        "decoder_start_token_id": 0,
        "pad_token_id": 0,
        "eos_token_id": 1,
        "is_encoder_decoder": decoder,
        "torch_dtype": "float32",
    }
