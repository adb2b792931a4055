"""Markdown tables and the numbers in them."""

from __future__ import annotations

from collections.abc import Sequence


def markdown(rows: Sequence[Sequence[str]], text_columns: int = 1) -> str:
    """A table; the first columns to the left, the others, figures, to the right.

    >>> print(markdown([["run", "RR"], ["a|b", "0.5"]]))
    | run  |  RR |
    | ---- | --: |
    | a\\|b | 0.5 |
    """
    escaped = [[cell.replace("|", r"\|") for cell in row] for row in rows]
    widths = [max(3, *map(len, column)) for column in zip(*escaped, strict=True)]
    header, *body = [_row(row, widths, text_columns) for row in escaped]
    rule = ["-" * w if n < text_columns else "-" * (w - 1) + ":" for n, w in enumerate(widths)]
    return "\n".join([header, f"| {' | '.join(rule)} |", *body])


def interval(limits: tuple[float, float], sign: str = "") -> str:
    """
    >>> interval((0.25, 0.5)), interval((-0.25, 0.5), sign="+")
    ('[0.2500, 0.5000]', '[-0.2500, +0.5000]')
    """
    return "[" + ", ".join(f"{limit:{sign}.4f}" for limit in limits) + "]"


def p_value(value: float) -> str:
    """
    >>> p_value(0.25), p_value(1e-9)
    ('0.2500', '<0.0001')
    """
    return "<0.0001" if value < 1e-4 else f"{value:.4f}"


def _row(cells: Sequence[str], widths: Sequence[int], text_columns: int) -> str:
    padded = [
        cell.ljust(width) if n < text_columns else cell.rjust(width)
        for n, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return f"| {' | '.join(padded)} |"
