"""Published experiments, run from raw downloads to a report."""

from t5rank.reproduce import full, tiny, tiny_retrieval
from t5rank.reproduce.designs import Design, find_design
from t5rank.reproduce.planning import Options, plan
from t5rank.reproduce.running import reproduce
from t5rank.reproduce.steps import Step

DESIGNS = (*full.DESIGNS, *tiny.DESIGNS, tiny_retrieval.RETRIEVAL)

__all__ = ["DESIGNS", "Design", "Options", "Step", "find_design", "plan", "reproduce"]
