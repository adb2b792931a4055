"""The layers of T5 1.0 and 1.1.

Parameter names, initializers and logical axes are those of T5X's minimal network.
"""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax.linen.partitioning import param_with_axes, with_sharding_constraint

from t5rank.models.attention import attention, bias_distances, queries_at_once
from t5rank.models.config import ACTIVATIONS, T5Config
from t5rank.types import Array

_RELPOS_BUCKETS = 32
_RELPOS_MAX_DISTANCE = 128


class _Kernel(nn.Module):
    shape: tuple[int, ...]
    axes: tuple[str, ...]
    initializer: Callable[..., Array]

    @nn.compact
    def __call__(self) -> Array:
        return param_with_axes("kernel", self.initializer, self.shape, jnp.float32, axes=self.axes)


_fan_in_normal = nn.initializers.variance_scaling(1.0, "fan_in", "normal")
fan_in_truncated = nn.initializers.variance_scaling(1.0, "fan_in", "truncated_normal")


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


def relative_position_buckets(distance: np.ndarray, bidirectional: bool = True) -> np.ndarray:
    """T5's buckets of distances key - query (Raffel et al. 2020, section 2.1)."""
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
    """One bias per head and bucket; `[heads, ...]` for `[...]` distances key - query."""

    num_heads: int

    @nn.compact
    def __call__(self, distance: np.ndarray) -> Array:
        table = param_with_axes(
            "rel_embedding",
            nn.initializers.variance_scaling(1.0, "fan_avg", "uniform"),
            (self.num_heads, _RELPOS_BUCKETS),
            jnp.float32,
            axes=("heads", "relpos_buckets"),
        )
        bias = table[:, relative_position_buckets(distance)]
        # Gathered once, not where it is added: XLA's softmax kernels for GPUs gather nothing.
        return jax.lax.optimization_barrier(bias)


def encoder_bias(config: T5Config, x: Array, deterministic: bool) -> Array:
    """The `relpos_bias` of the module that calls this, for the `attention` of x."""
    length = x.shape[1]
    queries = queries_at_once(length) if deterministic else length
    bias = RelativePositionBias(config.num_heads, name="relpos_bias")
    return bias(bias_distances(length, queries))


@jax.custom_vjp
def _times(x: Array, kernel: Array) -> Array:
    """`[..., in]` times `[in, out]`.

    JAX's own gradient of the kernel is `[out, in]` at first, for which XLA's CPU compiler copies
    what comes back transposed, on one thread. In the order of `_times_backward` it does not; for
    a TPU it makes the same program of both.
    """
    return x @ kernel


def _times_forward(x: Array, kernel: Array) -> tuple[Array, tuple[Array, Array]]:
    return x @ kernel, (x, kernel)


def _times_backward(operands: tuple[Array, Array], y: Array) -> tuple[Array, Array]:
    x, kernel = operands
    leading = tuple(range(x.ndim - 1))
    return y @ kernel.T, jnp.tensordot(x, y, (leading, leading))


_times.defvjp(_times_forward, _times_backward)


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

    def drop(self, x: Array, deterministic: bool, shared: int = -2) -> Array:
        """Drops the same of x along its axis `shared`."""
        rate = self.config.dropout_rate
        return nn.Dropout(rate, broadcast_dims=(shared,))(x, deterministic=deterministic)


class SelfAttention(_Attention):
    """Encoder self-attention over `[batch, length, emb]`; see `attention` for bias and mask."""

    @nn.compact
    def __call__(self, x: Array, bias: Array, attention_mask: Array, deterministic: bool) -> Array:
        cfg = self.config

        def heads(name: str) -> Array:
            y = _times(x, self.kernel(name)).reshape(*x.shape[:-1], cfg.num_heads, cfg.head_dim)
            y = with_sharding_constraint(y, ("batch", "length", "heads", "kv"))
            return y.swapaxes(-2, -3)  # [batch, heads, length, head_dim]: contiguous products

        query, key, value = heads("query"), heads("key"), heads("value")
        # All queries drop the weights of the same tokens: that is, their values.
        value = self.drop(value, deterministic, shared=-1)
        y = attention(query, key, value, bias, attention_mask)
        y = y.swapaxes(-2, -3).reshape(*x.shape[:-1], cfg.joined_kv)
        return _times(y, self.kernel("out"))


class FirstStepSelfAttention(_Attention):
    """Decoder self-attention of first positions `[batch, slots, emb]`: each attends to itself."""

    @nn.compact
    def __call__(self, x: Array, deterministic: bool) -> Array:
        cfg = self.config
        for unused in ("query", "key"):  # in the tree, for checkpoints; they do not matter here
            self.kernel(unused)
        value = _times(x, self.kernel("value")).reshape(*x.shape[:-1], cfg.num_heads, cfg.head_dim)
        ones = jnp.ones((*x.shape[:-1], cfg.num_heads, 1, 1), cfg.dtype)
        value = value * self.drop(ones, deterministic)[..., 0]
        return _times(value.reshape(*x.shape[:-1], cfg.joined_kv), self.kernel("out"))


class CrossAttention(_Attention):
    """Attention of queries `[batch, slots, emb]` to the encoded tokens, projections absorbed."""

    @nn.compact
    def __call__(self, x: Array, encoded: Array, bias: Array, deterministic: bool) -> Array:
        cfg = self.config

        def per_head(name: str) -> Array:
            return self.kernel(name).reshape(cfg.emb_dim, cfg.num_heads, cfg.head_dim)

        query = _times(x, self.kernel("query")).reshape(*x.shape[:-1], cfg.num_heads, cfg.head_dim)
        query = jnp.einsum("bshk,dhk->bshd", query, per_head("key"))
        logits = jnp.einsum("bshd,bld->bshl", query, encoded, preferred_element_type=jnp.float32)
        weights = jax.nn.softmax(logits + bias, axis=-1).astype(cfg.dtype)
        weights = self.drop(weights[..., None, :], deterministic)[..., 0, :]
        context = jnp.einsum("bshl,bld->bshd", weights, encoded)
        y = jnp.einsum("bshd,dhk->bshk", context, per_head("value"))
        return _times(y.reshape(*x.shape[:-1], cfg.joined_kv), self.kernel("out"))


class MLP(nn.Module):
    """T5's feed-forward block: `wi` (1.0), or gated `wi_0`, `wi_1` (1.1), then `wo`.

    Attributes:
      config: the architecture.
      shared_dropout: all positions drop the same numbers, as in T5X's encoder.
    """

    config: T5Config
    shared_dropout: bool

    @nn.compact
    def __call__(self, x: Array, deterministic: bool) -> Array:
        cfg = self.config
        gated = len(cfg.mlp_activations) > 1
        hidden = jnp.ones((), cfg.dtype)
        for i, activation in enumerate(cfg.mlp_activations):
            name = f"wi_{i}" if gated else "wi"
            shape = (cfg.emb_dim, cfg.mlp_dim)
            wi = _Kernel(shape, ("embed", "mlp"), fan_in_truncated, name=name)().astype(cfg.dtype)
            hidden = hidden * ACTIVATIONS[activation](_times(x, wi))
        dims = (-2,) if self.shared_dropout else ()
        hidden = nn.Dropout(cfg.dropout_rate, dims)(hidden, deterministic=deterministic)
        hidden = with_sharding_constraint(hidden, ("batch", "length", "mlp"))
        shape = (cfg.mlp_dim, cfg.emb_dim)
        wo = _Kernel(shape, ("mlp", "embed"), fan_in_truncated, name="wo")().astype(cfg.dtype)
        return _times(hidden, wo)


class EncoderLayer(nn.Module):
    """Self-attention and MLP, each normalized before and added to the stream.

    The bias is None where the layer has its own.
    """

    config: T5Config

    @nn.compact
    def __call__(
        self, x: Array, bias: Array | None, attention_mask: Array, deterministic: bool
    ) -> Array:
        cfg = self.config
        if bias is None:
            bias = encoder_bias(cfg, x, deterministic)
        drop = nn.Dropout(cfg.dropout_rate, broadcast_dims=(-2,), deterministic=deterministic)
        y = RMSNorm(cfg.dtype, name="pre_attention_layer_norm")(x)
        x = x + drop(SelfAttention(cfg, name="attention")(y, bias, attention_mask, deterministic))
        y = RMSNorm(cfg.dtype, name="pre_mlp_layer_norm")(x)
        x = x + drop(MLP(cfg, True, name="mlp")(y, deterministic))
        return with_sharding_constraint(x, ("batch", "length", "embed"))


class DecoderLayer(nn.Module):
    """One decoder layer of first positions: `[batch, slots, emb]`."""

    config: T5Config

    @nn.compact
    def __call__(self, x: Array, encoded: Array, bias: Array, deterministic: bool) -> Array:
        cfg = self.config
        if cfg.relpos_bias_per_layer:  # in the tree, for checkpoints; it does not matter here
            RelativePositionBias(cfg.num_heads, name="relpos_bias")(np.zeros((1, 1), int))
        drop = nn.Dropout(cfg.dropout_rate, deterministic=deterministic)
        y = RMSNorm(cfg.dtype, name="pre_self_attention_layer_norm")(x)
        x = x + drop(FirstStepSelfAttention(cfg, name="self_attention")(y, deterministic))
        y = RMSNorm(cfg.dtype, name="pre_cross_attention_layer_norm")(x)
        attention = CrossAttention(cfg, name="encoder_decoder_attention")
        x = x + drop(attention(y, encoded, bias, deterministic))
        y = RMSNorm(cfg.dtype, name="pre_mlp_layer_norm")(x)
        x = x + drop(MLP(cfg, False, name="mlp")(y, deterministic))
        return with_sharding_constraint(x, ("batch", None, "embed"))
