"""Score heads: how one float32 score is read off a T5.

A head is a small frozen record. `inputs` gives what the network is called with and `read` turns
what it returns into scores, one a slot (see `t5rank.models.network`), so that one head serves our
network and T5X's.
"""

import dataclasses
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Int

from t5rank.models import network
from t5rank.types import Array


@dataclasses.dataclass(frozen=True)
class _TokenHead:
    """Reads logits of some tokens after the first decoder step."""

    @property
    def token_ids(self) -> tuple[int, ...]:
        return dataclasses.astuple(self)

    def inputs(
        self,
        module: nn.Module,
        tokens: Int[Array, "batch length"],
        segment_ids: Int[Array, "batch length"] | None = None,
        slots: int = 1,
    ) -> dict[str, Any]:
        """What `module` is called with to score `tokens`; see `t5rank.models.network`."""
        if isinstance(module, network.Transformer):
            ours = {"token_ids": jnp.asarray(self.token_ids)}
            return _network_inputs(tokens, segment_ids, slots) | ours
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


@dataclasses.dataclass(frozen=True)
class RankT5Head(_TokenHead):
    """RankT5's encoder-decoder score: the logit of one token (Zhuang et al. 2022, section 4.1).

    Attributes:
      token_id: `<extra_id_10>`, 32089 in T5's vocabulary.
    """

    token_id: int

    def read(self, outputs: Array) -> Array:
        """Scores `[batch, slots]`."""
        return self.logits(outputs)[..., 0]

    def probability(self, scores: np.ndarray) -> np.ndarray:
        """Scores from 0 to 1: the sigmoid."""
        return _sigmoid(scores)


@dataclasses.dataclass(frozen=True)
class MonoT5Head(_TokenHead):
    """monoT5's score: log softmax of "true" over "true" and "false" (Nogueira et al. 2020).

    Attributes:
      true_id: "true", 1176 in T5's vocabulary.
      false_id: "false", 6136 in T5's vocabulary.
    """

    true_id: int
    false_id: int

    def read(self, outputs: Array) -> Array:
        """Scores `[batch, slots]`, log probabilities."""
        return jax.nn.log_softmax(self.logits(outputs), axis=-1)[..., 0]

    def probability(self, scores: np.ndarray) -> np.ndarray:
        """The probability of "true", of its logarithm."""
        return np.exp(np.asarray(scores, np.float64))


@dataclasses.dataclass(frozen=True)
class EncoderHead:
    """RankT5's encoder score, computed by `network.EncoderScorer` (Zhuang et al. 2022, 4.2)."""

    def inputs(
        self,
        module: nn.Module,
        tokens: Int[Array, "batch length"],
        segment_ids: Int[Array, "batch length"] | None = None,
        slots: int = 1,
    ) -> dict[str, Any]:
        """What `module` is called with to score `tokens`; see `t5rank.models.network`."""
        del module
        return _network_inputs(tokens, segment_ids, slots)

    def read(self, outputs: Array) -> Array:
        """Scores `[batch, slots]`."""
        return outputs

    def probability(self, scores: np.ndarray) -> np.ndarray:
        """Scores from 0 to 1: the sigmoid."""
        return _sigmoid(scores)


def _sigmoid(scores: np.ndarray) -> np.ndarray:
    """In float64, where scores that differ stay apart much further from 0 than in float32."""
    x = np.asarray(scores, np.float64)
    return np.exp(np.minimum(x, 0)) / (1 + np.exp(-np.abs(x)))  # scipy takes long to import


def _network_inputs(tokens: Array, segment_ids: Array | None, slots: int) -> dict[str, Any]:
    inputs: dict[str, Any] = {"encoder_input_tokens": tokens}
    if segment_ids is not None:
        inputs |= {"encoder_segment_ids": segment_ids, "slots": slots}
    return inputs


Head = RankT5Head | MonoT5Head | EncoderHead


@runtime_checkable  # for the checks of annotations in tests
class _TokenIds(Protocol):
    def token_id(self, token: str) -> int: ...


def rankt5_head(vocabulary: _TokenIds, token: str = "<extra_id_10>") -> RankT5Head:
    """RankT5's head, its token looked up in a `t5rank.text.vocabulary.Vocabulary`."""
    return RankT5Head(vocabulary.token_id(token))


def monot5_head(
    vocabulary: _TokenIds, true: str | int = "true", false: str | int = "false"
) -> MonoT5Head:
    """monoT5's head.

    Args:
      vocabulary: a `t5rank.text.vocabulary.Vocabulary`, in which words are looked up.
      true: the answer for a relevant document, a word or a token's id.
      false: the answer for another.

    Raises:
      ValueError: a word is not one token, or both are the same.
    """
    ids = [w if isinstance(w, int) else vocabulary.token_id(w) for w in (true, false)]
    if ids[0] == ids[1]:
        raise ValueError(f"Head 'monot5' has token {ids[0]} for both answers; expected two.")
    return MonoT5Head(*ids)


def check_head(head: Head, module: nn.Module) -> None:
    """Raises ValueError where the head and the network do not belong together."""
    if isinstance(head, EncoderHead) != isinstance(module, network.EncoderScorer):
        raise ValueError(
            f"Head '{type(head).__name__}' has the network {type(module).__name__}; expected "
            "EncoderHead with EncoderScorer, the other heads with Transformer."
        )
    size = module.config.vocab_size  # type: ignore[attr-defined]
    for token_id in getattr(head, "token_ids", ()):
        if not 0 <= token_id < size:
            raise ValueError(
                f"Head '{type(head).__name__}' has token {token_id}; expected a row of the "
                f"embedding, 0 to {size - 1}. Does the vocabulary belong to this model?"
            )
