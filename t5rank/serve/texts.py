"""How a dual encoder embeds texts."""

import dataclasses

import numpy as np

from t5rank.inference.embedder import Embedder
from t5rank.serve.errors import invalid
from t5rank.serve.pairs import TOKENS_A_LETTER
from t5rank.serve.results import Vectors
from t5rank.serve.text_work import TextWork
from t5rank.serve.work import Inputs, portions
from t5rank.serve.workers import Task

_SMALLEST = 1e-12  # length of a vector that is divided by it, as in torch's `normalize`


@dataclasses.dataclass(frozen=True)
class TextPlan:
    """Embeds the texts of some work; see `t5rank.serve.plans.Plan`.

    Attributes:
      name: the model's name, for errors.
      model: the dual encoder.
      work: of the request.

    Raises:
      Refusal: the request does not say whether the texts are queries, and it matters; or it wants
        vectors of another size.
    """

    name: str
    model: Embedder
    work: TextWork

    def __post_init__(self) -> None:
        work, dim = self.work, self.model.dim
        if work.side is None and _sides_differ(self.model):
            raise invalid(
                f"Model '{self.name}' reads queries and documents differently; expected the "
                f"request to say which the texts are: {work.choice.format(name=self.name)}."
            )
        if work.dimensions not in (None, dim):
            raise invalid(
                f"Field '{work.dimensions_field}' has {work.dimensions}; expected {dim}, or no "
                "such field. The model was not trained to give vectors of another size."
            )

    @property
    def _length(self) -> int:
        is_query = self.work.side == "query"
        return self.model.query_length if is_query else self.model.max_length

    def guess(self) -> int:
        """About how many tokens the request has."""
        most = self._length
        return sum(min(most, 1 + int(TOKENS_A_LETTER * len(text))) for text in self.work.texts)

    def letters(self) -> int:
        """About how many letters are tokenized."""
        count = self.model.encoder.cutter.letters
        return sum(count(text, self._length) for text in self.work.texts)

    def encoding(self, most: int) -> Task[Inputs]:
        """Tokenizes texts, one row each."""
        work, encoder = self.work, self.model.encoder
        rows: list[np.ndarray] = []
        cut: list[int] = []
        for size, some in portions(work.texts, encoder.cutter, self._length):
            yield size
            for one in encoder.encode(work.side or "document", some, keep_end=work.keep_end):
                if one.is_cut:
                    cut.append(len(rows))
                    if not work.may_cut:
                        raise ValueError(_must_not_cut(len(rows), self._length))
                rows.append(one.tokens)
        return Inputs(rows, np.arange(len(rows)), cut, sum(map(len, rows)))

    def result(self, results: np.ndarray, inputs: Inputs) -> Vectors:
        """The vectors, in the order of the texts."""
        if self.work.normalize and self.model.similarity != "cosine":
            lengths = np.linalg.norm(results, axis=1, keepdims=True)
            results = results / np.maximum(lengths, _SMALLEST)
        return Vectors(results)


def _sides_differ(model: Embedder) -> bool:
    same_prompts = model.query_prompt == model.document_prompt
    return not same_prompts or model.query_length != model.max_length


def _must_not_cut(text: int, length: int) -> str:
    return (
        f"Text {text} has more than the {length} tokens that the model reads, prompt included; "
        "expected no more, as the request says that nothing may be cut. Leave out 'truncate'."
    )
