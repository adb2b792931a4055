"""The pieces of an experiment that are not there."""

from __future__ import annotations


class Missing:
    """Collects missing pieces. Pieces that differ only in their seed are named together.

    >>> missing = Missing()
    >>> for seed in (0, 2):
    ...     missing.add("the model of arm 'softmax'", seed)
    >>> missing.pieces()
    ["the model of arm 'softmax', seeds 0 and 2"]
    """

    def __init__(self) -> None:
        self._seeds: dict[str, list[int]] = {}

    def add(self, piece: str, seed: int | None = None) -> None:
        """Adds a piece, which may belong to one seed."""
        self._seeds.setdefault(piece, []).extend([] if seed is None else [seed])

    def pieces(self) -> list[str]:
        """The pieces in words."""
        return [f"{piece}{_of(seeds)}" for piece, seeds in self._seeds.items()]


def _of(seeds: list[int]) -> str:
    *first, last = map(str, ["", *seeds])
    listed = " and ".join(filter(None, [", ".join(filter(None, first)), last]))
    return f", seed{'s' * (len(seeds) > 1)} {listed}" if seeds else ""
