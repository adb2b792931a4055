"""Score heads: how results are read off a network.

A head is a small frozen record. `inputs` gives what the network is called with, `read` turns what
it returns into results, one a slot (see `t5rank.models.network`), and `probability` says what a
score means. Each model kind has a head of its own (see `t5rank.models.kinds`).
"""

import dataclasses
from typing import Any, Protocol, runtime_checkable

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Int

from t5rank.models import network
from t5rank.types import Array


@runtime_checkable  # for the checks of annotations in tests
class TokenIds(Protocol):
    """What a head needs of a `t5rank.text.vocabulary.Vocabulary`."""

    def token_id(self, token: str) -> int:
        """The id of one token."""
        ...


@dataclasses.dataclass(frozen=True)
class Head:
    """Takes what the network returns as the score, and the sigmoid of that as its probability."""

    def inputs(
        self,
        module: nn.Module,
        tokens: Int[Array, "batch length"],
        segment_ids: Int[Array, "batch length"] | None = None,
        slots: int = 1,
    ) -> dict[str, Any]:
        """What `module` is called with to score `tokens`; see `t5rank.models.network`."""
        del module
        inputs: dict[str, Any] = {"encoder_input_tokens": tokens}
        if segment_ids is not None:
            inputs |= {"encoder_segment_ids": segment_ids, "slots": slots}
        return inputs

    def read(self, outputs: Array) -> Array:
        """Results `[batch, slots, ...]`; a score has no axis after the slots."""
        return outputs

    def probability(self, scores: np.ndarray) -> np.ndarray:
        """Scores from 0 to 1, float64, in the same order."""
        return sigmoid(scores)


@dataclasses.dataclass(frozen=True)
class TokenHead(Head):
    """Reads the logits of some tokens after the first decoder step.

    The fields of a subclass are the ids of these tokens.
    """

    @property
    def token_ids(self) -> tuple[int, ...]:
        """The ids, in the order of the fields."""
        return dataclasses.astuple(self)

    def inputs(
        self,
        module: nn.Module,
        tokens: Int[Array, "batch length"],
        segment_ids: Int[Array, "batch length"] | None = None,
        slots: int = 1,
    ) -> dict[str, Any]:
        """What `module`, our `network.Transformer` or T5X's, is called with."""
        if isinstance(module, network.Transformer):
            ours = {"token_ids": jnp.asarray(self.token_ids)}
            return super().inputs(module, tokens, segment_ids, slots) | ours
        start = jnp.zeros((tokens.shape[0], slots), jnp.int32)
        # T5X's network masks decoder positions whose target is 0: the target is any other token.
        inputs = {
            "encoder_input_tokens": tokens,
            "decoder_input_tokens": start,
            "decoder_target_tokens": start + 1,
        }
        if segment_ids is not None:
            inputs["encoder_segment_ids"] = segment_ids
            inputs["decoder_segment_ids"] = start + jnp.arange(1, slots + 1)
        return inputs

    def logits(self, outputs: Array) -> Array:
        """Logits `[batch, slots, tokens]` of this head's tokens, from either network's output."""
        if outputs.shape[-1] != len(self.token_ids):  # the whole vocabulary's
            outputs = outputs[..., jnp.asarray(self.token_ids)]
        return outputs.astype(jnp.float32)


def sigmoid(scores: np.ndarray) -> np.ndarray:
    """In float64, where scores that differ stay apart much further from 0 than in float32."""
    x = np.asarray(scores, np.float64)
    return np.exp(np.minimum(x, 0)) / (1 + np.exp(-np.abs(x)))  # scipy takes long to import
