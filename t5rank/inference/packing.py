"""Several inputs a row of tokens: few shapes of batches for inputs of all lengths.

Each shape is a program, which a CPU compiles for seconds. Rows of one length, filled with short and
long inputs that see only themselves, need few programs, and have less padding than rows that are
padded to the longest of them.
"""

import bisect
import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from t5rank.inference.batching import BatchShapes
from t5rank.text.vocabulary import PAD_ID

_SHORTEST = 64
_LENGTH = 256  # of rows, unless an input is longer: attention is a small part of the work up to it
_TOKENS_A_SLOT = 48  # 9 of 10 inputs of MS MARCO are longer; an empty slot costs two tokens


def slots(length: int) -> int:
    """How many inputs a row may have."""
    return -(-length // _TOKENS_A_SLOT)


@dataclasses.dataclass(frozen=True)
class PackedShapes:
    """Batches of one, two, four, ... rows, of at most `tokens` tokens or of one input.

    Attributes:
      tokens: of a batch, padding included.

    >>> shapes = PackedShapes(tokens=1024)
    >>> shapes.all(512)
    [(2, 512), (1, 512), (4, 256), (2, 256), (1, 256), (1, 128), (1, 64)]
    >>> shapes.rows_of([200, 100, 100, 40, 30])
    ([[0, 3], [1, 2, 4]], 256)
    """

    tokens: int
    closed = True

    def __post_init__(self) -> None:
        if self.tokens < 1:
            raise ValueError(f"Argument 'tokens' has {self.tokens}; expected at least 1.")

    def length(self, length: int) -> int:
        """The length of an input: it is not padded."""
        return max(1, length)

    def rows(self, length: int, rest: int) -> int:
        """How many inputs of `length` the next batch has, of which `rest` are left."""
        row = self._row_length(length)
        return min(rest, self._most_rows(row) * min(slots(row), row // length))

    def size(self, lengths: Sequence[int], shape: tuple[int, int]) -> int:
        """Tokens that are computed for a batch of inputs of these lengths, padding included."""
        rows, length = self.rows_of(lengths)
        return _power_of_two(len(rows)) * length

    def all(self, max_length: int) -> list[tuple[int, int]]:
        """Every `(rows, length)` of inputs of up to `max_length` tokens, largest first."""
        shapes = {(1, length) for length in _doubled(_SHORTEST, self._row_length(1))}
        for length in _doubled(self._row_length(1), self._row_length(max_length)):
            shapes |= {(rows, length) for rows in _doubled(1, self._most_rows(length))}
        return sorted(shapes, key=lambda shape: (-shape[1], -shape[0]))

    def batches(self, lengths: Sequence[int]) -> Iterator[tuple[np.ndarray, tuple[int, int]]]:
        """Which inputs make a batch, and their `(number, longest)`: each input once."""
        alike = itertools.groupby(
            self._filled(lengths), lambda row: self._row_length(lengths[row[0]])
        )
        for length, rows in alike:
            while some := list(itertools.islice(rows, self._most_rows(length))):
                yield from _whole(some, lengths)

    def rows_of(self, lengths: Sequence[int]) -> tuple[list[list[int]], int]:
        """The inputs of each row of one batch, and the length of its rows."""
        rows = list(self._filled(lengths))
        length = self._row_length(max(lengths, default=1))
        if len(rows) <= 1:
            shorter = _doubled(_SHORTEST, length)
            length = next(n for n in shorter if n >= sum(lengths) and slots(n) >= len(lengths))
        return rows, length

    def _filled(self, lengths: Sequence[int]) -> Iterator[list[int]]:
        """The longest input, the longest that fits beside it, and so on; then the next row.

        The inputs of some rows alone are put into the same rows.
        """
        order = np.argsort(-np.asarray(lengths, np.int64), kind="stable")[::-1]
        waiting = order.tolist()
        sizes = [int(lengths[i]) for i in waiting]
        while waiting:
            row, length = [waiting.pop()], sizes.pop()
            room = self._row_length(length) - length
            while waiting and len(row) < slots(self._row_length(length)):
                place = bisect.bisect_right(sizes, room) - 1
                if place < 0:
                    break
                row.append(waiting.pop(place))
                room -= sizes.pop(place)
            yield row

    def _row_length(self, longest: int) -> int:
        usual = min(_LENGTH, 1 << (self.tokens.bit_length() - 1))
        return max(_SHORTEST, usual, _power_of_two(int(longest)))

    def _most_rows(self, length: int) -> int:
        return 1 << (max(1, self.tokens // length).bit_length() - 1)


Shapes = BatchShapes | PackedShapes


class Packed(NamedTuple):
    """Inputs in rows.

    Attributes:
      tokens: int32 `[rows, 2, length]`: tokens, and the number of the input in its row, from 1.
      places: `[inputs, 2]`: the row of each input, and its place there, from 0.
    """

    tokens: np.ndarray
    places: np.ndarray


def pack(tokens: np.ndarray, shapes: PackedShapes) -> Packed:
    """One batch of inputs `[inputs, length]`, in rows."""
    is_real = tokens != PAD_ID
    ends = np.where(is_real.any(1), tokens.shape[1] - np.argmax(is_real[:, ::-1], axis=1), 0)
    lengths = ends.tolist()
    rows, length = shapes.rows_of(lengths)
    packed = np.zeros((_power_of_two(len(rows)), 2, length), np.int32)
    places = np.zeros((len(tokens), 2), np.int64)
    for i, row in enumerate(rows):
        start = 0
        for slot, number in enumerate(row):
            end = start + lengths[number]
            packed[i, 0, start:end] = tokens[number, : lengths[number]]
            packed[i, 1, start:end] = np.where(packed[i, 0, start:end] != PAD_ID, slot + 1, 0)
            places[number] = i, slot
            start = end
    return Packed(packed, places)


class InPlaces:
    """Scores `[inputs]`, read off those of all places once they are computed.

    Args:
      scores: `[rows, slots]`, perhaps still being computed.
      places: `[inputs, 2]`.
    """

    def __init__(self, scores: Any, places: np.ndarray):
        self._scores = scores
        self._places = places

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """The scores; waits for them."""
        scores = np.asarray(self._scores)[self._places[:, 0], self._places[:, 1]]
        return scores if dtype is None else scores.astype(dtype)


def _whole(rows: list[list[int]], lengths: Sequence[int]) -> Iterator:
    """Batches of a power of two of these rows each."""
    while rows:
        count = 1 << (len(rows).bit_length() - 1)
        inputs = [i for row in rows[:count] for i in row]
        yield np.asarray(inputs), (len(inputs), max(1, *(int(lengths[i]) for i in inputs)))
        rows = rows[count:]


def _power_of_two(number: int) -> int:
    return 1 << max(0, number - 1).bit_length()


def _doubled(first: int, last: int) -> list[int]:
    return [first << i for i in range((last // first).bit_length())]
