"""A random order of many numbers that is computed, not stored.

A generalized Feistel network (Black and Rogaway, "Ciphers with arbitrary finite domains", 2002):
a number is a pair of digits (left, right) of a rectangle with about as many places as numbers, and
each round adds a hash of one digit to the other. Every round can be undone, so that the whole is a
bijection. A place beyond the last number is mapped again, until it is a number.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from t5rank.checks import check_integer

_ROUNDS = 6
_BLOCK = 1 << 12  # numbers that are mapped at once


class Permutation:
    """The numbers from 0 to `size` - 1 in a random order; any place in it costs the same.

    Args:
      size: how many numbers.
      seed: what the order follows from.

    >>> order = Permutation(5, seed=1)
    >>> [*order.numbers()], [*order.numbers(start=3)], [*order.numbers(start=1, step=2)]
    ([0, 2, 1, 4, 3], [4, 3], [2, 4])
    """

    def __init__(self, size: int, seed: int):
        check_integer("Permutation 'size'", size, 0)
        self.size = size
        self._rows = max(math.isqrt(max(size - 1, 0)) + 1, 1)
        self._columns = max(-(-size // self._rows), 1)
        self._keys = np.random.SeedSequence(seed).generate_state(_ROUNDS, np.uint64)

    def __len__(self) -> int:
        return self.size

    def numbers(self, start: int = 0, step: int = 1) -> Iterator[int]:
        """The numbers from place `start` on, each of `step` places one."""
        for first in range(start, self.size, _BLOCK * step):
            places = np.arange(first, min(first + _BLOCK * step, self.size), step)
            yield from self.at(places).tolist()

    def at(self, places: np.ndarray) -> np.ndarray:
        """The numbers at these places, int64."""
        found = self._mapped(places.astype(np.uint64))
        while (beyond := np.flatnonzero(found >= self.size)).size:
            found[beyond] = self._mapped(found[beyond])
        return found.astype(np.int64)

    def _mapped(self, places: np.ndarray) -> np.ndarray:
        rows, columns = np.uint64(self._rows), np.uint64(self._columns)
        left: np.ndarray = places // columns
        right: np.ndarray = places % columns
        for i, key in enumerate(self._keys):
            if i % 2:
                left = np.asarray((left + _hash(right, key) % rows) % rows, np.uint64)
            else:
                right = np.asarray((right + _hash(left, key) % columns) % columns, np.uint64)
        return left * columns + right


def _hash(values: np.ndarray, key: np.uint64) -> np.ndarray:
    """The finalizer of SplitMix64 (Steele, Lea and Flood 2014) of the values and the key."""
    mixed = values * np.uint64(0x9E3779B97F4A7C15) + key
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
