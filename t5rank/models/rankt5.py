"""RankT5's encoder-decoder model: the score is the logit of one token (Zhuang et al. 2022, 4.1)."""

import dataclasses
from typing import TYPE_CHECKING

from t5rank.models import kinds, network
from t5rank.models.heads import TokenHead, TokenIds
from t5rank.types import Array, PyTree

if TYPE_CHECKING:
    from t5rank.models.ranking import RankingModel
    from t5rank.text.prompts import PairEncoder

FIRST_LOGITS = """\
        start = torch.zeros((len(texts), 1), dtype=torch.long)
        logits = model(**batch, decoder_input_ids=start).logits[:, 0]
"""


@dataclasses.dataclass(frozen=True)
class RankT5Head(TokenHead):
    """The logit of one token at the first decoder step.

    Attributes:
      token_id: `<extra_id_10>`, 32089 in T5's vocabulary.
    """

    token_id: int

    def read(self, outputs: Array) -> Array:
        """Scores `[batch, slots]`."""
        return self.logits(outputs)[..., 0]


def rankt5_head(vocabulary: TokenIds, token: str = "<extra_id_10>") -> RankT5Head:
    """RankT5's head, its token looked up in a `t5rank.text.vocabulary.Vocabulary`."""
    return RankT5Head(vocabulary.token_id(token))


def _describe(model: "RankingModel", encoder: "PairEncoder") -> str:
    return f"logit of token {model.head.token_id} at the first decoder step"


def _transformers(model: "RankingModel", encoder: "PairEncoder") -> kinds.TransformersScore:
    score = f"{FIRST_LOGITS}    return logits[:, {model.head.token_id}]"
    return kinds.TransformersScore("T5ForConditionalGeneration", score)


def _onnx(graph: kinds.ScoreGraph, model: "RankingModel", params: PyTree) -> str:
    logits = graph.logits(model.head.token_ids)
    return graph.op("Gather", logits, graph.constant(0), axis=1)


kinds.register(
    kinds.Kind(
        name="rankt5",
        head=RankT5Head,
        network=network.Transformer,
        new_head=rankt5_head,
        describe=_describe,
        takes_t5x_network=True,
        transformers=_transformers,
        onnx=_onnx,
    )
)
