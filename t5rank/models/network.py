"""T5 1.0 and 1.1 for scoring: one decoder step, and only the vocabulary columns that are asked for.

The parameter tree, initializers and logical axes are those of T5X's minimal network, so its
checkpoints and its partitioner apply. What differs is the work done:

* The decoder runs for one position, the pad token: its self-attention over a single position is
  the value and output projections alone.
* Cross-attention has one query, into which the key projection is absorbed (and the value projection
  is applied after the weighted mean), so that no encoder token is projected in a decoder layer.
* Embeddings are gathered, not multiplied with one-hot vectors.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax.linen.partitioning import param_with_axes, with_sharding_constraint
from jaxtyping import Float, Int

from t5rank.types import Array

PAD_ID = 0
_MASKED = -1e10
_RELPOS_BUCKETS = 32
_RELPOS_MAX_DISTANCE = 128
_ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "relu": jax.nn.relu,
    "gelu": lambda x: jax.nn.gelu(x, approximate=True),
    "linear": lambda x: x,
}


@dataclasses.dataclass(frozen=True)
class T5Config:
    """The architecture, in T5X's words.

    Attributes:
      vocab_size: rows of the embedding table; at least the vocabulary's size.
      emb_dim: width of the residual stream (`d_model`).
      num_heads: attention heads.
      num_encoder_layers: encoder layers.
      num_decoder_layers: decoder layers.
      head_dim: size of one head (`d_kv`).
      mlp_dim: width of the MLP (`d_ff`).
      mlp_activations: `("relu",)` for T5 1.0, `("gelu", "linear")` for T5 1.1.
      logits_via_embedding: True for T5 1.0, whose output reuses the embedding.
      relpos_bias_per_layer: every layer has its own relative position bias, as in T5X's
        scalable_t5; otherwise the layers of a stack share one.
      dropout_rate: dropout while training.
      dtype: activations, "float32" or "bfloat16"; parameters and scores are always float32.
    """

    vocab_size: int
    emb_dim: int = 512
    num_heads: int = 8
    num_encoder_layers: int = 6
    num_decoder_layers: int = 6
    head_dim: int = 64
    mlp_dim: int = 2048
    mlp_activations: Sequence[str] = ("relu",)
    logits_via_embedding: bool = False
    relpos_bias_per_layer: bool = False
    dropout_rate: float = 0.1
    dtype: str = "float32"

    def __post_init__(self) -> None:
        unknown = [a for a in self.mlp_activations if a not in _ACTIVATIONS]
        if unknown or not self.mlp_activations:
            raise ValueError(
                f"T5Config 'mlp_activations' has {tuple(self.mlp_activations)}; "
                f"expected some of {tuple(_ACTIVATIONS)}."
            )
        if self.dtype not in ("float32", "bfloat16"):
            raise ValueError(
                f"T5Config 'dtype' has {self.dtype!r}; expected 'float32' or 'bfloat16'."
            )
        object.__setattr__(self, "mlp_activations", tuple(self.mlp_activations))

    @property
    def joined_kv(self) -> int:
        """Width of all heads together."""
        return self.num_heads * self.head_dim


class _Kernel(nn.Module):
    shape: tuple[int, ...]
    axes: tuple[str, ...]
    initializer: Callable[..., Array]

    @nn.compact
    def __call__(self) -> Array:
        return param_with_axes("kernel", self.initializer, self.shape, jnp.float32, axes=self.axes)


_fan_in_normal = nn.initializers.variance_scaling(1.0, "fan_in", "normal")
_fan_in_truncated = nn.initializers.variance_scaling(1.0, "fan_in", "truncated_normal")


class RMSNorm(nn.Module):
    """T5's layer norm: no mean, no bias, computed in float32."""

    dtype: Any

    @nn.compact
    def __call__(self, x: Array) -> Array:
        x = x.astype(jnp.float32)
        scale = param_with_axes(
            "scale", nn.initializers.ones, (x.shape[-1],), jnp.float32, axes=("embed",)
        )
        y = x * jax.lax.rsqrt(jnp.mean(x * x, axis=-1, keepdims=True) + 1e-6)
        return y.astype(self.dtype) * scale.astype(self.dtype)


def relative_position_buckets(length: int, bidirectional: bool = True) -> np.ndarray:
    """T5's buckets `[query, key]` of relative positions (Raffel et al. 2020, section 2.1)."""
    distance = np.arange(length)[None, :] - np.arange(length)[:, None]
    buckets = _RELPOS_BUCKETS
    offset = np.zeros_like(distance)
    if bidirectional:
        buckets //= 2
        offset = (distance > 0) * buckets
        distance = np.abs(distance)
    else:
        distance = np.maximum(-distance, 0)
    exact = buckets // 2
    ratio = np.log(np.maximum(distance, 1).astype(np.float32) / exact) / math.log(
        _RELPOS_MAX_DISTANCE / exact
    )
    far = np.minimum(exact + (ratio * (buckets - exact)).astype(np.int32), buckets - 1)
    return offset + np.where(distance < exact, distance, far)


class RelativePositionBias(nn.Module):
    """One bias per head and bucket; `[heads, query, key]`."""

    num_heads: int

    @nn.compact
    def __call__(self, length: int) -> Array:
        table = param_with_axes(
            "rel_embedding",
            nn.initializers.variance_scaling(1.0, "fan_avg", "uniform"),
            (self.num_heads, _RELPOS_BUCKETS),
            jnp.float32,
            axes=("heads", "relpos_buckets"),
        )
        return table[:, relative_position_buckets(length)]


class _Attention(nn.Module):
    """The four projections of an attention block."""

    config: T5Config

    def kernel(self, name: str) -> Array:
        cfg = self.config
        shape, axes = (cfg.emb_dim, cfg.joined_kv), ("embed", "joined_kv")
        if name == "out":
            shape, axes = shape[::-1], axes[::-1]
        init: Callable[..., Array] = _fan_in_normal
        if name == "query":
            # T5 does not divide by sqrt(head_dim) in attention; its initializer does.
            def init(*args: Any) -> Array:
                return _fan_in_normal(*args) / np.float32(math.sqrt(cfg.head_dim))

        return _Kernel(shape, axes, init, name=name)().astype(cfg.dtype)

    def drop(self, weights: Array, deterministic: bool) -> Array:
        rate = self.config.dropout_rate
        return nn.Dropout(rate, broadcast_dims=(-2,))(weights, deterministic=deterministic)


class SelfAttention(_Attention):
    """Encoder self-attention over `[batch, length, emb]` with an additive bias."""

    @nn.compact
    def __call__(self, x: Array, bias: Array, deterministic: bool) -> Array:
        cfg = self.config

        def heads(name: str) -> Array:
            y = (x @ self.kernel(name)).reshape(*x.shape[:-1], cfg.num_heads, cfg.head_dim)
            y = with_sharding_constraint(y, ("batch", "length", "heads", "kv"))
            return y.swapaxes(-2, -3)  # [batch, heads, length, head_dim]: contiguous products

        query, key, value = heads("query"), heads("key"), heads("value")
        logits = jnp.einsum("bhqd,bhkd->bhqk", query, key, preferred_element_type=jnp.float32)
        logits = logits + bias
        # Dividing after the product with the values touches fewer numbers than a softmax would.
        weights = jnp.exp(logits - jax.lax.stop_gradient(logits.max(-1, keepdims=True)))
        total = weights.sum(-1, keepdims=True)
        weights = self.drop(weights.astype(cfg.dtype), deterministic)
        y = jnp.einsum("bhqk,bhkd->bhqd", weights, value, preferred_element_type=jnp.float32)
        y = (y / total).astype(cfg.dtype).swapaxes(-2, -3).reshape(*x.shape[:-1], cfg.joined_kv)
        return y @ self.kernel("out")


class FirstStepSelfAttention(_Attention):
    """Decoder self-attention of the first position: it attends to itself with weight 1."""

    @nn.compact
    def __call__(self, x: Array, deterministic: bool) -> Array:
        cfg = self.config
        for unused in ("query", "key"):  # in the tree, for checkpoints; they do not matter here
            self.kernel(unused)
        value = (x @ self.kernel("value")).reshape(-1, cfg.num_heads, cfg.head_dim)
        ones = jnp.ones((x.shape[0], cfg.num_heads, 1, 1), cfg.dtype)
        value = value * self.drop(ones, deterministic)[..., 0]
        return value.reshape(-1, cfg.joined_kv) @ self.kernel("out")


class CrossAttention(_Attention):
    """Attention of one query `[batch, emb]` to the encoded tokens, projections absorbed."""

    @nn.compact
    def __call__(self, x: Array, encoded: Array, bias: Array, deterministic: bool) -> Array:
        cfg = self.config

        def per_head(name: str) -> Array:
            return self.kernel(name).reshape(cfg.emb_dim, cfg.num_heads, cfg.head_dim)

        query = (x @ self.kernel("query")).reshape(-1, cfg.num_heads, cfg.head_dim)
        query = jnp.einsum("bhk,dhk->bhd", query, per_head("key"))
        logits = jnp.einsum("bhd,bld->bhl", query, encoded, preferred_element_type=jnp.float32)
        weights = jax.nn.softmax(logits + bias, axis=-1).astype(cfg.dtype)
        weights = self.drop(weights[:, :, None], deterministic)[:, :, 0]
        context = jnp.einsum("bhl,bld->bhd", weights, encoded)
        y = jnp.einsum("bhd,dhk->bhk", context, per_head("value"))
        return y.reshape(-1, cfg.joined_kv) @ self.kernel("out")


class MLP(nn.Module):
    """T5's feed-forward block: `wi` (1.0), or gated `wi_0`, `wi_1` (1.1), then `wo`."""

    config: T5Config

    @nn.compact
    def __call__(self, x: Array, deterministic: bool) -> Array:
        cfg = self.config
        gated = len(cfg.mlp_activations) > 1
        hidden = jnp.ones((), cfg.dtype)
        for i, activation in enumerate(cfg.mlp_activations):
            name = f"wi_{i}" if gated else "wi"
            shape = (cfg.emb_dim, cfg.mlp_dim)
            wi = _Kernel(shape, ("embed", "mlp"), _fan_in_truncated, name=name)().astype(cfg.dtype)
            hidden = hidden * _ACTIVATIONS[activation](x @ wi)
        hidden = nn.Dropout(cfg.dropout_rate, broadcast_dims=(-2,) if x.ndim == 3 else ())(
            hidden, deterministic=deterministic
        )
        if x.ndim == 3:
            hidden = with_sharding_constraint(hidden, ("batch", "length", "mlp"))
        shape = (cfg.mlp_dim, cfg.emb_dim)
        wo = _Kernel(shape, ("mlp", "embed"), _fan_in_truncated, name="wo")().astype(cfg.dtype)
        return hidden @ wo


class EncoderLayer(nn.Module):
    """Self-attention and MLP, each normalized before and added to the stream."""

    config: T5Config

    @nn.compact
    def __call__(self, x: Array, bias: Array, deterministic: bool) -> Array:
        cfg = self.config
        if cfg.relpos_bias_per_layer:
            bias = bias + RelativePositionBias(cfg.num_heads, name="relpos_bias")(x.shape[1])
        drop = nn.Dropout(cfg.dropout_rate, broadcast_dims=(-2,), deterministic=deterministic)
        y = RMSNorm(cfg.dtype, name="pre_attention_layer_norm")(x)
        x = x + drop(SelfAttention(cfg, name="attention")(y, bias, deterministic))
        y = RMSNorm(cfg.dtype, name="pre_mlp_layer_norm")(x)
        return x + drop(MLP(cfg, name="mlp")(y, deterministic))


class DecoderLayer(nn.Module):
    """One decoder layer for one position: `[batch, emb]`."""

    config: T5Config

    @nn.compact
    def __call__(self, x: Array, encoded: Array, bias: Array, deterministic: bool) -> Array:
        cfg = self.config
        if cfg.relpos_bias_per_layer:  # in the tree, for checkpoints; it does not matter here
            RelativePositionBias(cfg.num_heads, name="relpos_bias")(1)
        drop = nn.Dropout(cfg.dropout_rate, deterministic=deterministic)
        y = RMSNorm(cfg.dtype, name="pre_self_attention_layer_norm")(x)
        x = x + drop(FirstStepSelfAttention(cfg, name="self_attention")(y, deterministic))
        y = RMSNorm(cfg.dtype, name="pre_cross_attention_layer_norm")(x)
        attention = CrossAttention(cfg, name="encoder_decoder_attention")
        x = x + drop(attention(y, encoded, bias, deterministic))
        y = RMSNorm(cfg.dtype, name="pre_mlp_layer_norm")(x)
        return x + drop(MLP(cfg, name="mlp")(y, deterministic))


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
        return self.embedding.astype(self.config.dtype)[tokens]

    def rows(self, token_ids: Array) -> Array:
        return self.embedding[token_ids]


class Encoder(nn.Module):
    """Encoded tokens `[batch, length, emb]` of embedded ones."""

    config: T5Config

    @nn.compact
    def __call__(self, x: Array, mask: Array, deterministic: bool) -> Array:
        cfg = self.config
        bias = jnp.where(mask, 0.0, _MASKED)[:, None, None, :]
        if not cfg.relpos_bias_per_layer:
            bias = RelativePositionBias(cfg.num_heads, name="relpos_bias")(x.shape[1]) + bias
        x = nn.Dropout(cfg.dropout_rate, broadcast_dims=(-2,))(x, deterministic=deterministic)
        for i in range(cfg.num_encoder_layers):
            x = EncoderLayer(cfg, name=f"layers_{i}")(x, bias, deterministic)
        x = RMSNorm(cfg.dtype, name="encoder_norm")(x)
        return nn.Dropout(cfg.dropout_rate)(x, deterministic=deterministic)


class _LogitsKernel(nn.Module):
    """The output projection of T5 1.1, `[emb, vocab]`."""

    config: T5Config

    @nn.compact
    def __call__(self) -> Array:
        shape = (self.config.emb_dim, self.config.vocab_size)
        return param_with_axes(
            "kernel", _fan_in_truncated, shape, jnp.float32, axes=("embed", "vocab")
        )


class Decoder(nn.Module):
    """Logits `[batch, n]` of n tokens after the decoder's first step."""

    config: T5Config

    @nn.compact
    def __call__(
        self,
        encoded: Array,
        mask: Array,
        embedding: Embedding,
        token_ids: Array,
        deterministic: bool,
    ) -> Array:
        cfg = self.config
        if not cfg.relpos_bias_per_layer:  # in the tree, for checkpoints
            RelativePositionBias(cfg.num_heads, name="relpos_bias")(1)
        bias = jnp.where(mask, 0.0, _MASKED)[:, None, :]
        x = embedding(jnp.full(encoded.shape[:1], PAD_ID))
        drop = nn.Dropout(cfg.dropout_rate, deterministic=deterministic)
        x = drop(x)
        for i in range(cfg.num_decoder_layers):
            x = DecoderLayer(cfg, name=f"layers_{i}")(x, encoded, bias, deterministic)
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
        token_ids: Int[Array, " tokens"],
        enable_dropout: bool = False,
    ) -> Float[Array, "batch tokens"]:
        """Float32 logits `[batch, tokens]` of `token_ids`; token 0 is padding."""
        mask = encoder_input_tokens != PAD_ID
        x = self.token_embedder(encoder_input_tokens)
        encoded = self.encoder(x, mask, not enable_dropout)
        return self.decoder(encoded, mask, self.token_embedder, token_ids, not enable_dropout)


POOLINGS = ("first", "mean")


class EncoderScorer(nn.Module):
    """Encoder-only T5 with one dense score: RankT5's encoder variant (Zhuang et al. 2022, 4.2).

    Attributes:
      config: the architecture; its decoder is not built.
      pooling: "first" scores the first token, "mean" the mean of all real tokens.
    """

    config: T5Config
    pooling: str = "first"

    def setup(self) -> None:
        if self.pooling not in POOLINGS:
            raise ValueError(
                f"EncoderScorer 'pooling' has {self.pooling!r}; expected one of {POOLINGS}."
            )
        self.token_embedder = Embedding(self.config)
        self.encoder = Encoder(self.config)
        self.score_head = ScoreHead()

    def __call__(
        self, encoder_input_tokens: Int[Array, "batch length"], enable_dropout: bool = False
    ) -> Float[Array, " batch"]:
        """Float32 scores `[batch]`; token 0 is padding."""
        mask = encoder_input_tokens != PAD_ID
        x = self.token_embedder(encoder_input_tokens)
        encoded = self.encoder(x, mask, not enable_dropout).astype(jnp.float32)
        if self.pooling == "first":
            return self.score_head(encoded[:, 0])
        count = jnp.maximum(mask.sum(-1, keepdims=True), 1)
        return self.score_head(jnp.sum(encoded * mask[..., None], axis=1) / count)


class ScoreHead(nn.Module):
    """A dense layer with one output, in float32."""

    @nn.compact
    def __call__(self, x: Array) -> Array:
        shape = (x.shape[-1], 1)
        # "stack" is the axis name that T5X's Adafactor knows for an axis that is never factored.
        kernel = param_with_axes(
            "kernel", _fan_in_truncated, shape, jnp.float32, axes=("embed", "stack")
        )
        bias = param_with_axes("bias", nn.initializers.zeros, (1,), jnp.float32, axes=("stack",))
        return (x @ kernel + bias)[..., 0]
