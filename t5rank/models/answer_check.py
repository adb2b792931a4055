"""What a model like monoT5 answers to one pair: whether it is the words that its score reads."""

import dataclasses
import logging
from typing import TYPE_CHECKING

import jax
import numpy as np

from t5rank.types import PyTree

if TYPE_CHECKING:
    from t5rank.models.ranking import RankingModel
    from t5rank.text.prompts import PairEncoder

QUERY = "What is the capital of France?"
DOCUMENT = "Paris is the capital of France and its largest city."
LIKELY = 0.1  # a model that was trained with these words gives them nearly all
_TOKENS = 512
_log = logging.getLogger(__name__)


def warn_of_unlikely_answers(model: "RankingModel", encoder: "PairEncoder", params: PyTree) -> None:
    """Warns where the two words of a monoT5 head together get less than a tenth of the softmax.

    Args:
      model: the model.
      encoder: its tokenization.
      params: its parameters.
    """
    shares = answer_shares(model, encoder, params)
    words = encoder.vocabulary.words
    false, true = model.head.false_id, model.head.true_id
    share = float(shares[false] + shares[true])
    if share < LIKELY:
        best = ", ".join(
            f"{words([i])[0]!r} ({shares[i]:.2g})" for i in np.argsort(-shares, kind="stable")[:4]
        )
        _log.warning(
            "Head 'monot5' reads the answers %r and %r, which get %.2g of the probability on a "
            "test pair; expected most of it. The likeliest are %s. Was the model trained with "
            "other words? Give --tokens FALSE,TRUE.",
            *words([false, true]),
            share,
            best,
        )


def answer_shares(model: "RankingModel", encoder: "PairEncoder", params: PyTree) -> np.ndarray:
    """The softmax over the whole vocabulary, float32 `[rows]`, at the first decoder step."""
    config = dataclasses.replace(model.module.config, dtype="float32")  # type: ignore[attr-defined]
    pair = dataclasses.replace(encoder, max_length=_TOKENS).encode(QUERY, [DOCUMENT])[0]
    network = jax.jit(model.module.clone(config=config).apply)
    logits = network({"params": params}, pair.tokens[None])
    return np.asarray(jax.nn.softmax(logits[0, 0]))
