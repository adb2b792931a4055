"""A report as Markdown for a code host, with HTML for what Markdown lacks."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator

from t5rank.formats.tables import markdown_table
from t5rank.report import blocks
from t5rank.report.blocks import Block, Cell, Document

_SPECIAL = re.compile(r"([\\`*\[\]#|~$!]|(?<!\w)[_@]|_(?!\w)|^[-+](?= )|(?<=^\d)[.)](?= ))")


def markdown(document: Document) -> str:
    """The report's text. It refers to pictures as `NAME.png` in its folder."""
    parts = [f"# {escape(document.title)}", *_parts(document.blocks)]
    return "\n\n".join(parts) + "\n"


def escape(text: str) -> str:
    """Text that Markdown shows as it is, on one line.

    >>> escape("a | <b> *c*")
    'a \\\\| &lt;b&gt; \\\\*c\\\\*'
    """
    line = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _SPECIAL.sub(r"\\\1", line)


def _parts(several: Iterable[Block]) -> Iterator[str]:
    for block in several:
        yield from _part(block)


def _part(block: Block) -> Iterator[str]:
    match block:
        case blocks.Heading(level, text):
            yield f"{'#' * level} {escape(text)}"
        case blocks.Paragraph(text, kind):
            yield _QUOTES.get(kind, "{}").format(escape(text))
        case blocks.Items(texts, _):
            yield "\n".join(f"- {escape(text)}" for text in texts)
        case blocks.Table():
            yield f"*{escape(block.caption)}*"
            yield _table(block)
        case blocks.Pictures(caption, pictures):
            yield "\n".join(map(_image, pictures))
            yield f"*{escape(caption)}*"
        case blocks.Code(text):
            yield f"````\n{text.rstrip()}\n````"
        case blocks.Details(summary, inner):
            yield f"<details>\n<summary>{escape(summary)}</summary>"
            yield from _parts(inner)
            yield "</details>"


_QUOTES = {"lead": "> **{}**", "warning": "> **Incomplete.** {}", "note": "{}"}


def _image(picture: blocks.Picture) -> str:
    """A picture in HTML. Unlike Markdown it sets a width, so that two stand side by side."""
    return f'<img src="{picture.name}.png" width="49%" alt="{html.escape(picture.alt)}">'


def _table(table: blocks.Table) -> str:
    header = [escape(name) for name in table.header]
    rows = [[_cell(cell) for cell in row] for row in table.rows]
    return markdown_table([header, *rows], table.text_columns, padded=False)


def _cell(cell: Cell | str) -> str:
    if isinstance(cell, str):
        return escape(cell)
    text = escape(cell.text)
    text = f"**{text}**" if cell.strong and text else text
    return f"{text}<br><sub>{escape(cell.note)}</sub>" if cell.note else text
