"""A report as one HTML page, which contains its styles, pictures and script."""

from __future__ import annotations

import base64
import html
import importlib.resources
import re
import string
from collections.abc import Iterable, Iterator

from t5rank.report import blocks
from t5rank.report.blocks import Block, Cell, Document

escape = html.escape


def page(document: Document) -> str:
    template = importlib.resources.files("t5rank.report").joinpath("page.html").read_text()
    return string.Template(template).substitute(
        title=escape(document.title),
        contents="".join(_contents(document)),
        body="\n".join(_parts(document.blocks)),
    )


def _contents(document: Document) -> Iterator[str]:
    for block in document.blocks:
        if isinstance(block, blocks.Heading) and block.level == 2:
            yield f'<li><a href="#{_anchor(block.text)}">{escape(block.text)}</a></li>'


def _anchor(text: str) -> str:
    return re.sub(r"\W+", "-", text.lower()).strip("-")


def _parts(several: Iterable[Block]) -> Iterator[str]:
    for block in several:
        yield from _part(block)


def _part(block: Block) -> Iterator[str]:
    match block:
        case blocks.Heading(level, text):
            name = f' id="{_anchor(text)}"' if level == 2 else ""
            yield f"<h{level}{name}>{escape(text)}</h{level}>"
        case blocks.Paragraph(text, kind):
            strong = "<strong>Incomplete.</strong> " if kind == "warning" else ""
            yield f"<p{_class(kind)}>{strong}{escape(text)}</p>"
        case blocks.Items(texts, kind):
            yield f"<ul{_class(kind)}>{''.join(f'<li>{escape(text)}</li>' for text in texts)}</ul>"
        case blocks.Table():
            yield from _table(block)
        case blocks.Pictures(caption, pictures):
            drawn = "".join(f'<div class="picture">{_image(picture)}</div>' for picture in pictures)
            yield f'<figure><div class="pictures">{drawn}</div>'
            yield f"<figcaption>{escape(caption)}</figcaption></figure>"
        case blocks.Code(text):
            yield f'<pre tabindex="0"><code>{escape(text)}</code></pre>'
        case blocks.Details(summary, inner):
            yield f"<details><summary>{escape(summary)}</summary>"
            yield from _parts(inner)
            yield "</details>"


def _class(kind: str) -> str:
    return f' class="{kind}"' if kind else ""


def _image(picture: blocks.Picture) -> str:
    data = base64.b64encode(picture.png).decode()
    return f'<img alt="{escape(picture.alt)}" src="data:image/png;base64,{data}">'


def _table(table: blocks.Table) -> Iterator[str]:
    label = escape(table.caption)
    yield f'<figure class="table"><figcaption>{label}</figcaption>'
    yield f'<div class="scroll" role="region" aria-label="{label}" tabindex="0">'
    yield f'<table aria-label="{label}"><thead><tr>'
    for n, name in enumerate(table.header):
        yield f'<th scope="col"{_kind(table, n)}>{escape(name)}</th>'
    yield "</tr></thead><tbody>"
    for n, row in enumerate(table.rows):
        cells = "".join(_cell(table, column, cell) for column, cell in enumerate(row))
        yield f"<tr{_class('quiet' if n in table.quiet else '')}>{cells}</tr>"
    yield "</tbody></table></div></figure>"


def _kind(table: blocks.Table, column: int) -> str:
    return "" if column < table.text_columns else ' class="figure"'


def _cell(table: blocks.Table, column: int, cell: Cell | str) -> str:
    cell = Cell(cell) if isinstance(cell, str) else cell
    text = f"<strong>{escape(cell.text)}</strong>" if cell.strong else escape(cell.text)
    note = f"<small>{escape(cell.note)}</small>" if cell.note else ""
    if column == 0:
        return f'<th scope="row">{text}{note}</th>'
    return f"<td{_kind(table, column)}>{text}{note}</td>"
