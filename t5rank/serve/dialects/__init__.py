"""The APIs that are spoken, told apart by the path and the keys of the body.

A dialect is a module with a Struct for its request and a `Dialect` that says which keys tell it.
The request's `work` says what is to be scored or embedded, its `answer` makes the response. The
module is named in `registry` and nowhere else.
"""

from t5rank.serve.dialects.answers import answer_of
from t5rank.serve.dialects.common import Answer, Dialect
from t5rank.serve.dialects.embedding import Embedded
from t5rank.serve.dialects.parsing import Parsed, parse
from t5rank.serve.dialects.registry import DIALECTS, EMBEDDING, PATHS, error_of, spoken

__all__ = [
    "DIALECTS",
    "EMBEDDING",
    "PATHS",
    "Answer",
    "Dialect",
    "Embedded",
    "Parsed",
    "answer_of",
    "error_of",
    "parse",
    "spoken",
]
