"""Published experiments, run from raw downloads to a report."""

from t5rank.reproduce import full, tiny
from t5rank.reproduce.designs import Design, find_design
from t5rank.reproduce.planning import Options, Step, plan
from t5rank.reproduce.running import reproduce

DESIGNS = (*full.DESIGNS, *tiny.DESIGNS)

__all__ = ["DESIGNS", "Design", "Options", "Step", "find_design", "plan", "reproduce"]
