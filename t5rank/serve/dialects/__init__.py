"""The rerank APIs that are spoken, told apart by the keys of the body.

A dialect is a module with `Request` (with `work()` and the fields that an answer needs) and
`Response`; `answer` makes one from the other.
"""

from t5rank.serve.dialects.common import Answer, Dialect
from t5rank.serve.dialects.parsing import PATHS, SCORE_PATHS, parse

__all__ = ["PATHS", "SCORE_PATHS", "Answer", "Dialect", "parse"]
