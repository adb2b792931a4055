"""The operations of losses and metrics: on lists, padded or flat, and on their pairs."""

from t5rank.ops.lists import LOG_ZERO, Lists, best_first, finite, unsort
from t5rank.ops.maxsim import maxsim, maxsim_of_lists
from t5rank.ops.pairs import Items, all_pairs, pair_totals, row_sums
from t5rank.ops.reduction import (
    list_means,
    reduce,
    reduce_lists,
    reduce_pairs,
    reduces_totals,
    sum_and_count,
)
from t5rank.ops.shapes import Flat, Padded, as_lists

__all__ = [
    "LOG_ZERO",
    "Flat",
    "Items",
    "Lists",
    "Padded",
    "all_pairs",
    "as_lists",
    "best_first",
    "finite",
    "list_means",
    "maxsim",
    "maxsim_of_lists",
    "pair_totals",
    "reduce",
    "reduce_lists",
    "reduce_pairs",
    "reduces_totals",
    "row_sums",
    "sum_and_count",
    "unsort",
]
