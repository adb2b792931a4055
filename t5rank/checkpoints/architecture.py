"""Sizes of T5 from the shapes of its parameters, and shapes from sizes."""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

import flax
import jax
import jax.numpy as jnp
from flax import linen as nn

from t5rank.models.network import T5Config

EMBEDDING = "token_embedder/embedding"
LOGITS = "decoder/logits_dense/kernel"
_BUCKETS = 32
Shapes = Mapping[str, tuple[int, ...]]


def parameter_shapes(module: nn.Module) -> dict[str, tuple[int, ...]]:
    """Shape by name of the parameters of a model kind's network."""
    tokens = jnp.ones((1, 8), jnp.int32)
    params = jax.eval_shape(lambda: module.init(jax.random.key(0), tokens))["params"]
    flat = flax.traverse_util.flatten_dict(flax.core.unfreeze(params), sep="/")
    return {name: tuple(leaf.shape) for name, leaf in flat.items()}


def infer(shapes: Shapes, what: str) -> T5Config:
    """The architecture of a tree of parameters.

    The tree does not say which activation the network has. A gated MLP is taken to have T5 1.1's
    GELU, and another MLP to have T5 1.0's ReLU. Without a decoder its number of layers is 0.

    Args:
      shapes: the shape of each parameter by its name.
      what: the name of the tree in errors, such as "Checkpoint 'x'".

    Raises:
      ValueError: a parameter that tells a size is missing, or has a shape that no T5 has.
    """

    def shape(name: str) -> tuple[int, int]:
        if len(shapes.get(name, ())) != 2:
            has = (
                f"'{name}' of shape {shapes[name]}" if name in shapes else f"no parameter '{name}'"
            )
            raise ValueError(f"{what} has {has}; expected a matrix, as every T5 has.")
        return shapes[name]  # type: ignore[return-value]

    layers = {stack: _layers(shapes, stack) for stack in ("encoder", "decoder")}
    per_layer = "encoder/layers_0/relpos_bias/rel_embedding" in shapes
    heads, buckets = shape(f"encoder/{'layers_0/' * per_layer}relpos_bias/rel_embedding")
    vocab_size, emb_dim = shape(EMBEDDING)
    _, joined_kv = shape("encoder/layers_0/attention/query/kernel")
    gated = "encoder/layers_0/mlp/wi_0/kernel" in shapes
    _, mlp_dim = shape(f"encoder/layers_0/mlp/{'wi_0' if gated else 'wi'}/kernel")
    if buckets != _BUCKETS or joined_kv % heads:
        raise ValueError(
            f"{what} has relative positions of shape {(heads, buckets)} and attention of width "
            f"{joined_kv}; expected (heads, {_BUCKETS}) and a multiple of the heads."
        )
    return T5Config(
        vocab_size=vocab_size,
        emb_dim=emb_dim,
        num_heads=heads,
        num_encoder_layers=layers["encoder"],
        num_decoder_layers=layers["decoder"],
        head_dim=joined_kv // heads,
        mlp_dim=mlp_dim,
        mlp_activations=("gelu", "linear") if gated else ("relu",),
        logits_via_embedding=LOGITS not in shapes if layers["decoder"] else not gated,
        relpos_bias_per_layer=per_layer,
    )


def _layers(shapes: Shapes, stack: str) -> int:
    found = (re.match(rf"{stack}/layers_(\d+)/", name) for name in shapes)
    return max((int(match[1]) + 1 for match in found if match), default=0)


def differences(found: Shapes, wanted: Shapes) -> list[tuple[str, Any, Any]]:
    """The sizes in which two trees differ, as `(name, found, wanted)`; none if one is no T5."""
    try:
        has = dataclasses.asdict(infer(found, ""))
        wants = dataclasses.asdict(infer(wanted, ""))
    except ValueError:
        return []
    if not (has["num_decoder_layers"] and wants["num_decoder_layers"]):
        wants["num_decoder_layers"] = has["num_decoder_layers"]
        wants["logits_via_embedding"] = has["logits_via_embedding"]
    return [(name, has[name], wants[name]) for name in has if has[name] != wants[name]]
