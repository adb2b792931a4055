"""T5 dual encoders (Sentence-T5, Ni et al. 2022; GTR, Ni et al. 2021): a vector of each text."""

import dataclasses
import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax.linen.partitioning import param_with_axes
from jaxtyping import Float, Int

from t5rank.checks import check_boolean, check_choice, check_integer
from t5rank.models import kinds
from t5rank.models.config import T5Config
from t5rank.models.heads import Head
from t5rank.models.layers import fan_in_truncated
from t5rank.models.network import PAD_ID, Embedding, Encoder, mean_of_slots, tokens_of_slots
from t5rank.models.retrieval import RetrievalModel
from t5rank.text.templates import TextPrompts
from t5rank.types import Array, PyTree

if TYPE_CHECKING:
    from t5rank.models.ranking import RankingModel
    from t5rank.text.encoders import Encoder as TextEncoding

SIMILARITIES = ("cosine", "dot")
_PROJECTION = "projection_layer/kernel"
_SMALLEST = 1e-24  # the square of a length by which is divided
_log = logging.getLogger(__name__)


class DualEncoder(nn.Module):
    """T5's encoder, the mean over its tokens, and a projection without bias.

    Queries and documents go through the same network. The names of its parameters are those of
    t5x_retrieval. From the mean on, all is float32.

    Attributes:
      config: the architecture; its decoder is not built.
      dim: the size of a vector; None leaves the projection out.
      learn_temperature: whether the temperature of the loss is a parameter, `log_scale` `[1]`: what
        the model's temperature is divided by, as a logarithm that starts at 0.
    """

    config: T5Config
    dim: int | None = 768
    learn_temperature: bool = False

    def setup(self) -> None:
        check_integer("DualEncoder 'dim'", self.dim, optional=True)
        check_boolean("DualEncoder 'learn_temperature'", self.learn_temperature)
        self.token_embedder = Embedding(self.config)
        self.encoder = Encoder(self.config)
        if self.dim is not None:
            self.projection_layer = Projection(self.dim)
        if self.learn_temperature:
            self.log_scale = param_with_axes(
                "log_scale", nn.initializers.zeros, (1,), jnp.float32, axes=("stack",)
            )

    def __call__(
        self,
        encoder_input_tokens: Int[Array, "batch length"],
        enable_dropout: bool = False,
        encoder_segment_ids: Int[Array, "batch length"] | None = None,
        slots: int = 1,
    ) -> Float[Array, "batch slots dim"]:
        """Float32 vectors `[batch, slots, dim]`, not normalized; token 0 is padding."""
        encoded = self.encoder(
            self.token_embedder(encoder_input_tokens),
            encoder_input_tokens != PAD_ID,
            encoder_segment_ids,
            not enable_dropout,
        )
        slot_mask = tokens_of_slots(encoder_input_tokens, encoder_segment_ids, slots)
        mean = mean_of_slots(encoded, slot_mask)
        return mean if self.dim is None else self.projection_layer(mean)


class Projection(nn.Module):
    """A dense layer without bias, in float32."""

    dim: int

    @nn.compact
    def __call__(self, x: Array) -> Array:
        shape = (x.shape[-1], self.dim)
        # "stack" is the axis name that T5X's Adafactor knows for an axis that is never factored.
        kernel = param_with_axes(
            "kernel", fan_in_truncated, shape, jnp.float32, axes=("embed", "stack")
        )
        return x @ kernel


@dataclasses.dataclass(frozen=True)
class VectorHead(Head):
    """Takes the vectors that `DualEncoder` computes.

    Attributes:
      similarity: how a query and a document are compared. "cosine" gives vectors of length 1, so
        that their dot product is the cosine; "dot" leaves them as they are.
    """

    similarity: str = "cosine"

    def __post_init__(self) -> None:
        check_choice("SIMILARITY", self.similarity, SIMILARITIES)

    def read(self, outputs: Array) -> Array:
        """Vectors `[batch, slots, dim]`."""
        return normalized(outputs) if self.similarity == "cosine" else outputs


def normalized(vectors: Float[Array, "*batch dim"]) -> Float[Array, "*batch dim"]:
    """Vectors of length 1, as torch's `normalize`; 0, with gradient 0, where all is 0."""
    squared = jnp.sum(vectors * vectors, axis=-1, keepdims=True)
    return vectors * jax.lax.rsqrt(jnp.maximum(squared, _SMALLEST))


def _describe(model: "RankingModel", encoder: "TextEncoding") -> str:
    size = model.module.dim or model.module.config.emb_dim  # type: ignore[attr-defined]
    return (
        f"{model.head.similarity} of two vectors of {size}: the mean over the encoder's tokens, "
        "projected"
    )


def _inferred(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    sizes = {"dim": shapes[_PROJECTION][-1]} if _PROJECTION in shapes else {}
    return sizes | {"learn_temperature": "log_scale" in shapes}


def _warn_of_no_projection(
    model: "RankingModel", encoder: "TextEncoding", read: Callable[[], PyTree]
) -> None:
    if model.module.dim is None:  # type: ignore[attr-defined]
        _log.warning(
            "The dual encoder has no projection. Was it trained as one? A T5 that was not finds "
            "nothing: train it first."
        )


def _parsed_dim(text: str) -> int | None:
    if text != "none" and not text.isdecimal():
        raise ValueError(f"Option '--dim' has '{text}'; expected a whole number, or none.")
    return None if text == "none" else int(text)


def _onnx(graph: kinds.ScoreGraph, model: "RankingModel", params: PyTree) -> str:
    op, constant = graph.op, graph.constant
    vectors = graph.mean
    if "projection_layer" in params:
        kernel = np.asarray(params["projection_layer"]["kernel"], np.float32)
        vectors = op("MatMul", vectors, constant(kernel))
    if model.head.similarity == "dot":
        return vectors
    squared = op("ReduceSum", op("Mul", vectors, vectors), constant(np.array([1])), keepdims=1)
    return op("Div", vectors, op("Sqrt", op("Max", squared, constant(np.float32(_SMALLEST)))))


kinds.register(
    kinds.Kind(
        name="dual_encoder",
        head=VectorHead,
        network=DualEncoder,
        new_head=lambda vocabulary, similarity="cosine": VectorHead(similarity),
        describe=_describe,
        has_decoder=False,
        prompt=TextPrompts(),
        model=RetrievalModel,
        options=(
            kinds.Option(
                "similarity",
                "how a query and a document are compared [cosine]",
                choices=SIMILARITIES,
            ),
            kinds.Option(
                "dim",
                "the size of a vector, or none for no projection [SOURCE's]",
                metavar="N",
                parse=_parsed_dim,
            ),
        ),
        inferred=_inferred,
        new_parameters={_PROJECTION: "projection"},
        without_new="A dual encoder without a projection needs none: give --dim none.",
        check=_warn_of_no_projection,
        onnx=_onnx,
    )
)
