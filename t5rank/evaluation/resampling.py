"""Intervals and tests by resampling queries and seeds, in numpy.

The generators start from constants, so a figure is the same wherever and however often it is
computed. Queries are drawn chunk by chunk: 7,000 queries x 10,000 resamples take some 40 MB.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float

RESAMPLES = 10_000
_SEED = 0
_CHUNK = 1 << 20  # numbers in memory at a time


def resampled_queries(
    figures: Float[np.ndarray, "row query"],
) -> Float[np.ndarray, "resample row"]:
    """Means over queries drawn with replacement, the same queries for all rows.

    Two calls with as many queries draw the same ones, so their results are paired.
    """
    queries = figures.shape[1]
    random = np.random.default_rng(_SEED)
    means = [_counts(random, rows, queries) @ figures.T / queries for rows in _chunks(queries)]
    return np.concatenate(means)


def resampled_seeds(
    means: Float[np.ndarray, "resample seed"], stream: int = 0
) -> Float[np.ndarray, " resample"]:
    """Of each resample, the mean over as many seeds, drawn with replacement.

    Args:
      means: a figure by resample of the queries and seed.
      stream: different numbers draw independently.
    """
    random = np.random.default_rng([_SEED, 1 + stream])
    return np.take_along_axis(means, random.integers(means.shape[1], size=means.shape), 1).mean(1)


def percentile_interval(
    values: Float[np.ndarray, " resample"], level: float = 0.95
) -> tuple[float, float]:
    """What is left in the middle when (1 - level) / 2 are cut off on each side.

    >>> percentile_interval(np.arange(101.0), level=0.5)
    (25.0, 75.0)
    """
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def randomization_test(differences: Float[np.ndarray, " query"]) -> float:
    """The two-sided p-value of the paired randomization (sign-flip) test of the mean.

    The share of all ways to swap the two runs on some of the queries whose difference is at least
    as large: exact for up to 13 queries that differ, otherwise (1 + count) / (1 + 10,000) of random
    ways. Source: Smucker, Allan, Carterette (CIKM 2007).

    >>> randomization_test(np.array([0.5, 0.25, 0.0]))  # 2 of 4: both signs alike
    0.5
    """
    differing = differences[differences != 0]
    rounding = 1e-10 * np.abs(differing).sum()
    observed = abs(differing.sum()) - rounding
    if 2 ** len(differing) <= RESAMPLES:
        return float(np.mean(np.abs(_all_signs(len(differing)) @ differing) >= observed))
    sums = _sums_of_eights(differing)
    eights = np.arange(len(sums))
    random = np.random.default_rng(_SEED)
    count = 0
    for rows in _chunks(len(sums)):
        drawn = random.integers(256, size=(rows, len(sums)))
        count += int(np.count_nonzero(np.abs(sums[eights, drawn].sum(1)) >= observed))
    return (1 + count) / (1 + RESAMPLES)


def _chunks(columns: int) -> Iterator[int]:
    step = max(1, _CHUNK // columns)
    for start in range(0, RESAMPLES, step):
        yield min(step, RESAMPLES - start)


def _counts(
    random: np.random.Generator, rows: int, columns: int
) -> Float[np.ndarray, "row column"]:
    """How often each column is among as many draws, in each row."""
    drawn = random.integers(columns, size=(rows, columns)) + columns * np.arange(rows)[:, None]
    counts = np.bincount(drawn.ravel(), minlength=rows * columns)
    return counts.reshape(rows, columns).astype(np.float64)


def _all_signs(columns: int) -> Float[np.ndarray, "combination column"]:
    return 1.0 - 2.0 * (np.arange(2**columns)[:, None] >> np.arange(columns) & 1)


def _sums_of_eights(values: Float[np.ndarray, " value"]) -> Float[np.ndarray, "eight combination"]:
    """Of every eight values, their sums with all 256 combinations of signs."""
    padded = np.pad(values, (0, -len(values) % 8))
    return padded.reshape(-1, 8) @ _all_signs(8).T
