"""How many floating-point operations a model needs, and how many a device can do.

A multiplication and an addition are two operations. Only products of matrices count, and only of
real tokens: padding and what is computed again are no use. The backward pass takes twice the
forward pass (Kaplan et al. 2020, section 2.1; PaLM, Chowdhery et al. 2022, appendix B).
"""

from typing import Any

import jax
import jax.numpy as jnp

from t5rank.types import Array

TRAINING_FACTOR = 3  # forward and backward, of the forward pass
# Dense bfloat16 products per second, from the makers' data sheets.
_PEAK = {
    "A100": 312e12,
    "H100": 989e12,
    "H200": 989e12,
    "TPU v4": 275e12,
    "TPU v5 lite": 197e12,
    "TPU v5p": 459e12,
    "TPU v5": 459e12,
    "TPU v6 lite": 918e12,
}


def scoring_operations(config: Any, lengths: Array, *, decoder: bool = True) -> Array:
    """Operations to score inputs of these lengths, float32.

    Args:
      config: a `T5Config`, ours or T5X's.
      lengths: `[...]`, real tokens of each input; 0 is none.
      decoder: False for the encoder alone.
    """
    joined = config.num_heads * config.head_dim
    projection = 2.0 * config.emb_dim * joined
    mlp = 2.0 * config.emb_dim * config.mlp_dim * (len(config.mlp_activations) + 1)
    lengths = lengths.astype(jnp.float32)
    per_token = config.num_encoder_layers * (4 * projection + mlp)
    per_pair = config.num_encoder_layers * 4.0 * joined  # queries by keys, weights by values
    total = jnp.sum(lengths * per_token + lengths**2 * per_pair)
    if decoder:
        # Self-attention to itself: value and output. Cross-attention: all four, keys and values
        # absorbed into the query, so that every head's logits and mean are over the tokens' width.
        per_input = config.num_decoder_layers * (6 * projection + mlp)
        per_token = config.num_decoder_layers * 4.0 * config.emb_dim * config.num_heads
        total += jnp.sum((lengths > 0) * per_input + lengths * per_token)
    return total


def peak_operations(device: jax.Device) -> float | None:
    """Bfloat16 operations per second that a device's maker states; None where unknown."""
    kind = device.device_kind
    return next((peak for name, peak in _PEAK.items() if name in kind), None)
