"""The rerank APIs that are spoken, told apart by the keys of the body.

A dialect is a module with a Struct for its request and a `Dialect` that says which keys tell it.
The request's `work` says what is to be scored, its `answer` makes the response of the scores. The
module is named in `registry` and nowhere else.
"""

from t5rank.serve.dialects.common import Answer, Dialect
from t5rank.serve.dialects.parsing import Parsed, parse
from t5rank.serve.dialects.registry import DIALECTS, PATHS, spoken

__all__ = ["DIALECTS", "PATHS", "Answer", "Dialect", "Parsed", "parse", "spoken"]
