"""Intervals and tests by resampling queries and seeds, in numpy.

The random generators start from constants, so that a figure is always the same. Queries are drawn
in chunks: 7,000 queries x 10,000 resamples take about 40 MB.
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
    """Means over queries drawn with replacement. All rows have the same queries.

    Two calls with the same number of queries draw the same ones, so that their results are paired.
    """
    queries = figures.shape[1]
    random = np.random.default_rng(_SEED)
    means = [_counts(random, rows, queries) @ figures.T / queries for rows in _chunks(queries)]
    return np.concatenate(means)


def resampled_seeds(
    means: Float[np.ndarray, "resample seed"], stream: int = 0
) -> Float[np.ndarray, " resample"]:
    """Each resample's mean over seeds, which are drawn with replacement.

    Args:
      means: figures `[resample of the queries, seed]`.
      stream: calls with different numbers draw independently.
    """
    random = np.random.default_rng([_SEED, 1 + stream])
    return np.take_along_axis(means, random.integers(means.shape[1], size=means.shape), 1).mean(1)


def percentile_interval(
    values: Float[np.ndarray, " resample"], level: float = 0.95
) -> tuple[float, float]:
    """The interval that is left if (1 - level) / 2 of the values are cut off on each side.

    >>> percentile_interval(np.arange(101.0), level=0.5)
    (25.0, 75.0)
    """
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def randomization_test(differences: Float[np.ndarray, " query"]) -> float:
    """The two-sided p-value of the paired randomization (sign-flip) test of the mean.

    The two runs can be swapped on any of the queries. The p-value is the share of these swaps that
    make the difference at least as large. It is exact for up to 13 queries that differ. For more
    queries it is (1 + count) / (1 + 10,000) from random swaps. Source: Smucker, Allan, Carterette
    (CIKM 2007).

    >>> randomization_test(np.array([0.5, 0.25, 0.0]))  # 2 of 4: equal signs of 0.5 and 0.25
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
    """In each row, how often each column is drawn in as many draws as there are columns."""
    drawn = random.integers(columns, size=(rows, columns)) + columns * np.arange(rows)[:, None]
    counts = np.bincount(drawn.ravel(), minlength=rows * columns)
    return counts.reshape(rows, columns).astype(np.float64)


def _all_signs(columns: int) -> Float[np.ndarray, "combination column"]:
    return 1.0 - 2.0 * (np.arange(2**columns)[:, None] >> np.arange(columns) & 1)


def _sums_of_eights(values: Float[np.ndarray, " value"]) -> Float[np.ndarray, "eight combination"]:
    """The sums of each eight values with all 256 combinations of signs."""
    padded = np.pad(values, (0, -len(values) % 8))
    return padded.reshape(-1, 8) @ _all_signs(8).T
