"""The architecture of a T5, and how it is computed."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax

from t5rank.checks import check_boolean, check_choice, check_integer, check_number
from t5rank.types import Array

ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "relu": jax.nn.relu,
    "gelu": lambda x: jax.nn.gelu(x, approximate=True),
    "linear": lambda x: x,
}
DTYPES = ("float32", "bfloat16")
REMAT_POLICIES = ("none", "minimal", "full")


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
      scan_layers: compile one layer and loop over it, which compiles faster and lets
        `remat_policy` save more; the parameters stay as they are.
      remat_policy: what the backward pass computes again instead of keeping, layer by layer: "none"
        keeps all, "minimal" keeps the products with kernels, "full" keeps a layer's input only.
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
    scan_layers: bool = False
    remat_policy: str = "none"

    def __post_init__(self) -> None:
        unknown = [a for a in self.mlp_activations if a not in ACTIVATIONS]
        if unknown or not self.mlp_activations:
            raise ValueError(
                f"T5Config 'mlp_activations' has {tuple(self.mlp_activations)}; "
                f"expected some of {tuple(ACTIVATIONS)}."
            )
        for name, allowed in {"dtype": DTYPES, "remat_policy": REMAT_POLICIES}.items():
            check_choice(f"T5Config '{name}'", getattr(self, name), allowed)
        for name in ("vocab_size", "emb_dim", "num_heads", "head_dim", "mlp_dim"):
            check_integer(f"T5Config '{name}'", getattr(self, name))
        for name in ("num_encoder_layers", "num_decoder_layers"):
            check_integer(f"T5Config '{name}'", getattr(self, name), at_least=0)
        for name in ("logits_via_embedding", "relpos_bias_per_layer", "scan_layers"):
            check_boolean(f"T5Config '{name}'", getattr(self, name))
        check_number("T5Config 'dropout_rate'", self.dropout_rate, at_least=0, below=1)
        object.__setattr__(self, "mlp_activations", tuple(self.mlp_activations))

    def architecture(self) -> dict[str, Any]:
        """The fields that say what is computed; `scan_layers` and `remat_policy` say how."""
        fields = dataclasses.asdict(self)
        for how in ("scan_layers", "remat_policy"):
            fields.pop(how)
        return fields

    @property
    def joined_kv(self) -> int:
        """Width of all heads together."""
        return self.num_heads * self.head_dim
