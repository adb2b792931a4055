"""The first five minutes: two rerankers trained on the documentation of the Python at hand."""

from t5rank.quickstart.demo import quickstart

__all__ = ["quickstart"]
