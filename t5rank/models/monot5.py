"""monoT5: the score is the log probability of one word against another (Nogueira et al. 2020)."""

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from t5rank.models import answer_words, kinds, network
from t5rank.models.answer_check import warn_of_unlikely_answers
from t5rank.models.answer_words import Words
from t5rank.models.heads import TokenHead, TokenIds
from t5rank.models.rankt5 import FIRST_LOGITS
from t5rank.text.templates import MONOT5
from t5rank.types import Array, PyTree

if TYPE_CHECKING:
    from t5rank.models.ranking import RankingModel
    from t5rank.text.prompts import PairEncoder


@dataclasses.dataclass(frozen=True)
class MonoT5Head(TokenHead):
    """The log softmax of "true" over "true" and "false" at the first decoder step.

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


def monot5_head(
    vocabulary: TokenIds, true: str | int = "true", false: str | int = "false"
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


def _new_head(vocabulary: TokenIds, tokens: Words = answer_words.MONOT5) -> MonoT5Head:
    try:
        return monot5_head(vocabulary, tokens.true, tokens.false)
    except ValueError as error:
        raise ValueError(f"{error} The answers are '--tokens FALSE,TRUE'.") from error


def _published_options(name: str) -> Mapping[str, Any] | None:
    words = answer_words.known_words(name)
    return None if words is None else {"tokens": words}


def _describe(model: "RankingModel", encoder: "PairEncoder") -> str:
    ids = model.head.token_ids
    true, false = encoder.vocabulary.words(ids)
    return (
        f"log-probability of token {ids[0]} ({true}) against {ids[1]} ({false}) at the first "
        "decoder step"
    )


def _transformers(model: "RankingModel", encoder: "PairEncoder") -> kinds.TransformersScore:
    ids = model.head.token_ids
    words = ", ".join(map(repr, encoder.vocabulary.words(ids)))
    score = f"{FIRST_LOGITS}    return logits[:, {[*ids]}].log_softmax(-1)[:, 0]  # {words}"
    return kinds.TransformersScore("T5ForConditionalGeneration", score)


def _onnx(graph: kinds.ScoreGraph, model: "RankingModel", params: PyTree) -> str:
    logits = graph.op("LogSoftmax", graph.logits(model.head.token_ids), axis=-1)
    return graph.op("Gather", logits, graph.constant(0), axis=1)


kinds.register(
    kinds.Kind(
        name="monot5",
        head=MonoT5Head,
        network=network.Transformer,
        new_head=_new_head,
        describe=_describe,
        takes_t5x_network=True,
        prompt=MONOT5,
        options=(
            kinds.Option(
                "tokens",
                "its two answers, as words or ids, that for irrelevant first [SOURCE's, or those "
                "of a model known by its name, or false,true]",
                metavar="FALSE,TRUE",
                parse=answer_words.parse,
            ),
        ),
        published_options=_published_options,
        check=lambda model, encoder, read: warn_of_unlikely_answers(model, encoder, read()),
        transformers=_transformers,
        onnx=_onnx,
    )
)
