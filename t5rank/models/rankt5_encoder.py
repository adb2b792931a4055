"""RankT5's encoder model: a dense layer on the pooled encoder output (Zhuang et al. 2022, 4.2)."""

import dataclasses
from typing import TYPE_CHECKING

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax.linen.partitioning import param_with_axes
from jaxtyping import Float, Int

from t5rank.models import kinds
from t5rank.models.config import T5Config
from t5rank.models.heads import Head
from t5rank.models.layers import fan_in_truncated
from t5rank.models.network import PAD_ID, Embedding, Encoder, mean_of_slots, tokens_of_slots
from t5rank.types import Array, PyTree

if TYPE_CHECKING:
    from t5rank.models.ranking import RankingModel
    from t5rank.text.prompts import PairEncoder

POOLINGS = ("first", "mean")


class EncoderScorer(nn.Module):
    """Encoder-only T5 with one dense score: RankT5's encoder variant (Zhuang et al. 2022, 4.2).

    Attributes:
      config: the architecture; its decoder is not built.
      pooling: "first" scores an input's first token, "mean" the mean of all its real tokens.
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
        self,
        encoder_input_tokens: Int[Array, "batch length"],
        enable_dropout: bool = False,
        encoder_segment_ids: Int[Array, "batch length"] | None = None,
        slots: int = 1,
    ) -> Float[Array, "batch slots"]:
        """Float32 scores `[batch, slots]`; token 0 is padding."""
        slot_mask = tokens_of_slots(encoder_input_tokens, encoder_segment_ids, slots)
        encoded = self.encoder(
            self.token_embedder(encoder_input_tokens),
            encoder_input_tokens != PAD_ID,
            encoder_segment_ids,
            not enable_dropout,
        ).astype(jnp.float32)
        if self.pooling == "first":
            first = jnp.argmax(slot_mask, axis=-1)
            return self.score_head(jnp.take_along_axis(encoded, first[..., None], axis=1))
        return self.score_head(mean_of_slots(encoded, slot_mask))


class ScoreHead(nn.Module):
    """A dense layer with one output, in float32."""

    @nn.compact
    def __call__(self, x: Array) -> Array:
        shape = (x.shape[-1], 1)
        # "stack" is the axis name that T5X's Adafactor knows for an axis that is never factored.
        kernel = param_with_axes(
            "kernel", fan_in_truncated, shape, jnp.float32, axes=("embed", "stack")
        )
        bias = param_with_axes("bias", nn.initializers.zeros, (1,), jnp.float32, axes=("stack",))
        return (x @ kernel + bias)[..., 0]


@dataclasses.dataclass(frozen=True)
class EncoderHead(Head):
    """Takes the score that `EncoderScorer` computes."""


def _describe(model: "RankingModel", encoder: "PairEncoder") -> str:
    return f"a linear layer on the encoder's output, pooling: {model.module.pooling}"  # type: ignore[attr-defined]


_LOAD_HEAD = '\nhead = load_file(f"{folder}/score_head.safetensors")'
_POOLED = {
    "first": """\
        pooled = model(**batch).last_hidden_state[:, 0]
    return (pooled @ head["weight"].T + head["bias"])[:, 0]""",
    "mean": """\
        hidden = model(**batch).last_hidden_state
    real = batch["attention_mask"][..., None]
    pooled = (hidden * real).sum(1) / real.sum(1)
    return (pooled @ head["weight"].T + head["bias"])[:, 0]""",
}


def _transformers(model: "RankingModel", encoder: "PairEncoder") -> kinds.TransformersScore:
    score = _POOLED[model.module.pooling]  # type: ignore[attr-defined]
    return kinds.TransformersScore("T5EncoderModel", score, _LOAD_HEAD)


def _onnx(graph: kinds.ScoreGraph, model: "RankingModel", params: PyTree) -> str:
    op, constant = graph.op, graph.constant
    if model.module.pooling == "first":  # type: ignore[attr-defined]
        pooled = op("Gather", graph.encoded, constant(0), axis=1)
    else:
        pooled = graph.mean
    dense = {name: constant(np.asarray(x, np.float32)) for name, x in params["score_head"].items()}
    score = op("Add", op("MatMul", pooled, dense["kernel"]), dense["bias"])
    return op("Reshape", score, constant(np.array([-1])))


kinds.register(
    kinds.Kind(
        name="encoder",
        head=EncoderHead,
        network=EncoderScorer,
        new_head=lambda vocabulary: EncoderHead(),
        describe=_describe,
        has_decoder=False,
        options=(
            kinds.Option(
                "pooling",
                "the token it scores, or their mean [SOURCE's, or first]",
                choices=POOLINGS,
            ),
        ),
        new_parameters={"score_head/kernel": "weight", "score_head/bias": "bias"},
        transformers=_transformers,
        onnx=_onnx,
    )
)
