"""Markdown tables."""

from __future__ import annotations

import re
from collections.abc import Sequence

_BAR = re.compile(r"(?<!\\)\|")


def markdown_table(
    rows: Sequence[Sequence[str]], text_columns: int | None = 1, padded: bool = True
) -> str:
    """A Markdown table. Text columns are left-aligned, the others right-aligned.

    Args:
      rows: the header and the other rows, of equally many cells. A bar in a cell is escaped unless
        it already is.
      text_columns: the number of text columns, which come first; None: all columns.
      padded: whether all cells of a column are as wide as the widest one.

    >>> print(markdown_table([["run", "RR"], ["a|b", "0.5"]]))
    | run  |  RR |
    | ---- | --: |
    | a\\|b | 0.5 |
    """
    escaped = [[_BAR.sub(r"\|", cell) for cell in row] for row in rows]
    count = len(escaped[0]) if text_columns is None else text_columns
    widths = [max(3, *map(len, column)) if padded else 3 for column in zip(*escaped, strict=True)]
    rule = ["-" * w if n < count else "-" * (w - 1) + ":" for n, w in enumerate(widths)]
    if padded:
        escaped = [_as_wide(row, widths, count) for row in escaped]
    return "\n".join(f"| {' | '.join(row)} |" for row in [escaped[0], rule, *escaped[1:]])


def _as_wide(cells: Sequence[str], widths: Sequence[int], text_columns: int) -> list[str]:
    return [
        cell.ljust(width) if n < text_columns else cell.rjust(width)
        for n, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
