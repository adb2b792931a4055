"""The parts of a report. `html` and `markdown` render them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Heading:
    """A heading. `level` 2 is a section's, 3 a subsection's."""

    level: int
    text: str


@dataclass(frozen=True)
class Paragraph:
    """Plain text. `kind` is "", "lead" (the finding), "note" or "warning"."""

    text: str
    kind: str = ""


@dataclass(frozen=True)
class Items:
    """A list of plain texts."""

    texts: Sequence[str]
    kind: str = ""


@dataclass(frozen=True)
class Cell:
    """One cell of a table.

    Attributes:
      text: its text.
      note: a second, smaller line.
      strong: whether it stands out.
    """

    text: str
    note: str = ""
    strong: bool = False


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
      caption: the caption.
      header: the columns' names.
      rows: the rows, with a cell for each column.
      text_columns: how many columns, from the left, hold text. The others hold figures.
      quiet: the numbers, from 0, of the rows that are for reference.
    """

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[Cell | str]]
    text_columns: int = 1
    quiet: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Picture:
    """One picture.

    Attributes:
      name: the name of its file, without the ending.
      alt: a description for readers who do not see it.
      png: the picture in light colors.
    """

    name: str
    alt: str
    png: bytes


@dataclass(frozen=True)
class Pictures:
    """Pictures side by side under one caption."""

    caption: str
    pictures: Sequence[Picture]


@dataclass(frozen=True)
class Code:
    """Text as it is, such as a configuration."""

    text: str


@dataclass(frozen=True)
class Details:
    """Blocks that are folded under a summary line."""

    summary: str
    blocks: Sequence[Block]


Block = Heading | Paragraph | Items | Table | Pictures | Code | Details


@dataclass(frozen=True)
class Document:
    title: str
    blocks: Sequence[Block]
