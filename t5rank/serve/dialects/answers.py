"""What a request's dialect is given of a result."""

from t5rank.serve.dialects.common import Answer
from t5rank.serve.dialects.embedding import Embedded
from t5rank.serve.results import Result, Scores


def answer_of(result: Result, model: str, tokens: int, path: str) -> Answer | Embedded:
    """The result with what else an answer says.

    Args:
      result: of the model.
      model: its name.
      tokens: that it read.
      path: of the request.
    """
    if isinstance(result, Scores):
        return Answer(model, result.scores, result.probabilities, tokens, path)
    return Embedded(model, result.vectors, tokens, path)
