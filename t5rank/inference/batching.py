"""Which inputs are computed together, and in what shapes.

Inputs of nearly equal length make a batch, so that little of it is padding. For JAX the shapes are
a closed set, as each costs a compilation; a backend that takes any shape gets batches as they are.
"""

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np

from t5rank.text.vocabulary import PAD_ID

_SHORTEST = 32
_STEPS = 8  # padded lengths to each doubling
_STEPS_OF_FEW = 4


@dataclasses.dataclass(frozen=True)
class BatchShapes:
    """Batches of at most `tokens` tokens, or of one input.

    A length has as many rows as the tokens allow, a power of two. Every other length has a quarter
    of them, too, for the last batches and where lengths differ much: these are small, and a shape
    saved is a second of compiling.

    Attributes:
      tokens: rows times length of a batch, padding included.
      step: padded lengths are multiples of it.
      multiple: the number of rows is a multiple of it.
      closed: whether inputs are padded to `lengths`, and the last batch is filled with empty rows.

    >>> shapes = BatchShapes(tokens=1024)
    >>> shapes.length(70), shapes.rows(72, rest=100), shapes.rows(72, rest=4)
    (72, 8, 2)
    """

    tokens: int
    step: int = 8
    multiple: int = 1
    closed: bool = True

    def __post_init__(self) -> None:
        if self.tokens < 1:
            raise ValueError(f"Argument 'tokens' has {self.tokens}; expected at least 1.")

    def length(self, length: int) -> int:
        """The padded length of an input: eight steps to a power of two, each at least `step`."""
        return self._length(length, _STEPS) if self.closed else max(1, length)

    def rows(self, length: int, rest: int) -> int:
        """The rows of the next batch of inputs padded to `length`, of which `rest` are left."""
        most, few = self._row_counts(length)
        if not self.closed:
            return min(most, rest)
        return most if rest > most // 2 else few

    def size(self, lengths: Sequence[int], shape: tuple[int, int]) -> int:
        """Tokens that are computed for a batch, padding included."""
        del lengths
        return shape[0] * shape[1]

    def all(self, max_length: int) -> list[tuple[int, int]]:
        """Every `(rows, length)` of inputs of up to `max_length` tokens, largest first.

        Raises:
          ValueError: the set is not closed.
        """
        if not self.closed:
            raise ValueError("BatchShapes 'closed' has False; expected True to list the shapes.")
        inputs = range(1, max_length + 1)
        shapes = {(self._row_counts(n)[0], n) for n in map(self.length, inputs)}
        shapes |= {self._few(n) for n in inputs}
        return sorted(shapes, key=lambda shape: (-shape[1], -shape[0]))

    def batches(self, lengths: Sequence[int]) -> Iterator[tuple[np.ndarray, tuple[int, int]]]:
        """Which inputs make a batch, and its `(rows, length)`: each input once, the longest first.

        What needs most memory fails at once so, and the time that is left is not understated.
        """
        order = np.argsort(-np.asarray(lengths, np.int64), kind="stable")
        start = 0
        while start < len(order):
            longest, rest = int(lengths[order[start]]), len(order) - start
            length = self.length(longest)
            rows = self.rows(length, rest)
            much_padding = 4 * lengths[order[start + min(rows, rest) - 1]] < 3 * longest
            if self.closed and (much_padding or rows < self._row_counts(length)[0]):
                rows, length = self._few(longest)
            elif much_padding:
                rows = min(rows, self._row_counts(length)[1])
            yield order[start : start + rows], (rows, length)
            start += rows

    def _length(self, length: int, steps: int) -> int:
        step = max(self.step, (1 << int(length - 1).bit_length()) // (2 * steps))
        return max(_SHORTEST, -(-length // step) * step)

    def _few(self, length: int) -> tuple[int, int]:
        """The shape of few inputs, the longest of `length`."""
        padded_length = self._length(length, _STEPS_OF_FEW)
        return self._row_counts(padded_length)[1], padded_length

    def _row_counts(self, length: int) -> tuple[int, int]:
        most = 1 << (max(1, self.tokens // max(1, length)).bit_length() - 1)
        return self._rounded(most), self._rounded(max(1, most // 4))

    def _rounded(self, rows: int) -> int:
        return -(-rows // self.multiple) * self.multiple


def default_shapes(platform: str, tokens: int | None = None, parts: int = 1) -> BatchShapes:
    """What suits a platform.

    On CPU cores, small batches of nearly equal length (on two cores 1.15 times as fast as batches
    of 32); an accelerator's matrix units want 8,000 tokens and more at once.

    Args:
      platform: JAX's name of it, such as "cpu".
      tokens: of a batch; by default 1,024 on CPU and 16,384 for each part elsewhere.
      parts: over how many devices the rows of a batch are spread.
    """
    if platform == "cpu":
        return BatchShapes(tokens or 1024, step=8, multiple=parts)
    return BatchShapes(tokens or 16384 * parts, step=16, multiple=parts)


def padded(rows: Sequence[np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    """Int32 tokens of `shape`, rows of padding last."""
    tokens = np.full(shape, PAD_ID, np.int32)
    for i, row in enumerate(rows):
        tokens[i, : len(row)] = row
    return tokens
