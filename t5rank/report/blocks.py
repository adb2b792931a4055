"""What a report is made of, whatever it is written as: `html` and `markdown` render these."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Heading:
    """A heading; `level` 2 is a section, 3 a part of one."""

    level: int
    text: str


@dataclass(frozen=True)
class Paragraph:
    """Plain text; `kind` is "", "lead" (the finding), "note" or "warning"."""

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
      text: what it says.
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
      caption: what it shows.
      header: the columns' names.
      rows: as many cells each as there are columns.
      text_columns: how many columns, from the left, hold text; the others hold figures.
      quiet: the rows (from 0) that are for reference.
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
      name: of its file, without the ending.
      alt: what it shows, for those who do not see it.
      png: the picture, in light colors.
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
    """Blocks that are folded away under a line."""

    summary: str
    blocks: Sequence[Block]


Block = Heading | Paragraph | Items | Table | Pictures | Code | Details


@dataclass(frozen=True)
class Document:
    """A whole report."""

    title: str
    blocks: Sequence[Block]
