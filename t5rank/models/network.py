"""T5 1.0 and 1.1 for scoring: one decoder step, and only the vocabulary columns that are asked for.

The parameter tree, initializers and logical axes are those of T5X's minimal network, so its
checkpoints and its partitioner apply. What differs is the work done:

* The decoder runs for one position, the pad token: its self-attention over a single position is
  the value and output projections alone.
* Cross-attention has one query, into which the key projection is absorbed (and the value projection
  is applied after the weighted mean), so that no encoder token is projected in a decoder layer.
* Embeddings are gathered, not multiplied with one-hot vectors.

A row of tokens holds one input, or several side by side: then `segment_ids` number them from 1, and
every row has the same number of `slots` for their results.
"""

import math

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax.linen.partitioning import param_with_axes, with_sharding_constraint
from jaxtyping import Bool, Float, Int

from t5rank.models.attention import MASKED
from t5rank.models.config import T5Config as T5Config
from t5rank.models.layers import (
    DecoderLayer,
    EncoderLayer,
    RelativePositionBias,
    RMSNorm,
    encoder_bias,
    fan_in_truncated,
)
from t5rank.models.stack import run_layers
from t5rank.types import Array

PAD_ID = 0


def tokens_of_slots(
    tokens: Int[Array, "batch length"],
    segment_ids: Int[Array, "batch length"] | None = None,
    slots: int = 1,
) -> Bool[Array, "batch slots length"]:
    """Which tokens belong to the input of each slot; without segments a row is one input."""
    if segment_ids is None:
        return (tokens != PAD_ID)[:, None]
    return segment_ids[:, None] == jnp.arange(1, slots + 1)[:, None]


def mean_of_slots(
    encoded: Float[Array, "batch length emb"], slot_mask: Bool[Array, "batch slots length"]
) -> Float[Array, "batch slots emb"]:
    """The float32 mean of the tokens of each slot; 0 where a slot has none."""
    encoded, is_token = encoded.astype(jnp.float32), slot_mask.astype(jnp.float32)
    total = jnp.einsum("bsl,bld->bsd", is_token, encoded)
    return total / jnp.maximum(slot_mask.sum(-1, keepdims=True), 1)


class Embedding(nn.Module):
    """The token table `[vocab, emb]`, gathered; `rows` gives some of it in float32."""

    config: T5Config

    def setup(self) -> None:
        self.embedding = param_with_axes(
            "embedding",
            nn.initializers.normal(1.0),
            (self.config.vocab_size, self.config.emb_dim),
            jnp.float32,
            axes=("vocab", "embed"),
        )

    def __call__(self, tokens: Array) -> Array:
        x = self.embedding[tokens].astype(self.config.dtype)
        return with_sharding_constraint(x, ("batch", "length", "embed"))

    def rows(self, token_ids: Array) -> Array:
        return self.embedding[token_ids]


class Encoder(nn.Module):
    """Encoded tokens `[batch, length, emb]` of embedded ones.

    Only tokens of the same segment see each other; without segments all see the real ones.
    """

    config: T5Config

    @nn.compact
    def __call__(
        self, x: Array, mask: Array, segment_ids: Array | None, deterministic: bool
    ) -> Array:
        cfg = self.config
        if segment_ids is None:
            attention_mask = mask[:, None, None, :]
        else:
            attention_mask = segment_ids[:, None, :, None] == segment_ids[:, None, None, :]
        bias = None
        if not cfg.relpos_bias_per_layer:
            bias = encoder_bias(cfg, x, deterministic)
        x = nn.Dropout(cfg.dropout_rate, broadcast_dims=(-2,))(x, deterministic=deterministic)
        count = cfg.num_encoder_layers
        x = run_layers(
            self, EncoderLayer, count, x, bias, attention_mask, deterministic=deterministic
        )
        x = RMSNorm(cfg.dtype, name="encoder_norm")(x)
        return nn.Dropout(cfg.dropout_rate)(x, deterministic=deterministic)


class _LogitsKernel(nn.Module):
    """The output projection of T5 1.1, `[emb, vocab]`."""

    config: T5Config

    @nn.compact
    def __call__(self) -> Array:
        shape = (self.config.emb_dim, self.config.vocab_size)
        return param_with_axes(
            "kernel", fan_in_truncated, shape, jnp.float32, axes=("embed", "vocab")
        )


class Decoder(nn.Module):
    """Logits `[batch, slots, n]` of n tokens after the decoder's first step."""

    config: T5Config

    @nn.compact
    def __call__(
        self,
        encoded: Array,
        slot_mask: Bool[Array, "batch slots length"],
        embedding: Embedding,
        token_ids: Array,
        deterministic: bool,
    ) -> Array:
        cfg = self.config
        if not cfg.relpos_bias_per_layer:  # in the tree, for checkpoints
            RelativePositionBias(cfg.num_heads, name="relpos_bias")(np.zeros((1, 1), int))
        bias = jnp.where(slot_mask, 0.0, MASKED)[:, :, None]
        x = embedding(jnp.full(slot_mask.shape[:2], PAD_ID))
        drop = nn.Dropout(cfg.dropout_rate, deterministic=deterministic)
        x = drop(x)
        count = cfg.num_decoder_layers
        x = run_layers(self, DecoderLayer, count, x, encoded, bias, deterministic=deterministic)
        x = drop(RMSNorm(cfg.dtype, name="decoder_norm")(x)).astype(jnp.float32)
        if cfg.logits_via_embedding:
            columns = embedding.rows(token_ids).T / math.sqrt(cfg.emb_dim)
        else:
            columns = _LogitsKernel(cfg, name="logits_dense")()[:, token_ids]
        return x @ columns


class Transformer(nn.Module):
    """Encoder-decoder T5: logits of the asked tokens after the first decoder step."""

    config: T5Config

    def setup(self) -> None:
        self.token_embedder = Embedding(self.config)
        self.encoder = Encoder(self.config)
        self.decoder = Decoder(self.config)

    def __call__(
        self,
        encoder_input_tokens: Int[Array, "batch length"],
        token_ids: Int[Array, " tokens"] | None = None,
        enable_dropout: bool = False,
        encoder_segment_ids: Int[Array, "batch length"] | None = None,
        slots: int = 1,
    ) -> Float[Array, "batch slots tokens"]:
        """Float32 logits `[batch, slots, tokens]` of `token_ids`, by default of all rows of the
        embedding; token 0 is padding.
        """
        if token_ids is None:
            token_ids = jnp.arange(self.config.vocab_size)
        slot_mask = tokens_of_slots(encoder_input_tokens, encoder_segment_ids, slots)
        encoded = self.encoder(
            self.token_embedder(encoder_input_tokens),
            encoder_input_tokens != PAD_ID,
            encoder_segment_ids,
            not enable_dropout,
        )
        return self.decoder(encoded, slot_mask, self.token_embedder, token_ids, not enable_dropout)
