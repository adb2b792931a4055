"""The rerank APIs that are spoken, told apart by the keys of the body.

A dialect is a module with a Struct for its request: `work` says what is to be scored, `answer`
makes the response of the scores.
"""

from t5rank.serve.dialects.common import Answer, Dialect
from t5rank.serve.dialects.parsing import PATHS, SCORE_PATHS, parse

__all__ = ["PATHS", "SCORE_PATHS", "Answer", "Dialect", "parse"]
