"""`t5rank quickstart`: two rerankers are trained on the documentation of the installed Python."""

from t5rank.quickstart.demo import quickstart

__all__ = ["quickstart"]
