"""Triples of a query, a relevant document and another one, as MS MARCO has them in TSV files.

`triples.train.small.tsv` holds texts, `qidpidtriples.train.full.2.tsv` ids
(https://microsoft.github.io/msmarco/Datasets). More columns are more negatives.
"""

from __future__ import annotations

from collections.abc import Sequence

from t5rank.data.files import capitalized, decode_line
from t5rank.data.pairs import Document, Judged, Line
from t5rank.data.text_files import TextFiles


def columns_of(line: Line) -> list[str]:
    """The columns of a TSV line."""
    decoded = decode_line(line.raw, place=line.place, strict=line.strict, counts=line.counts)
    return decoded.split("\t")


def text_triple(columns: Sequence[str], line: Line) -> Judged:
    """`query TAB positive TAB negative`."""
    query, positive, *negatives = _at_least_three(columns, line.place)
    return Judged(query, [Document(positive)], [Document(text) for text in negatives])


def id_triple(ids: Sequence[str], line: Line, texts: TextFiles) -> Judged:
    """`qid TAB pid TAB pid`. Many lines have one query: each is a list of its own."""
    query_id, positive, *negatives = _at_least_three(ids, line.place)
    return Judged(
        texts.query(query_id, line.place),
        [texts.document(positive, line.place, line.counts)],
        [texts.document(doc_id, line.place, line.counts) for doc_id in negatives],
        query_id,
    )


def _at_least_three(columns: Sequence[str], place: str) -> Sequence[str]:
    if len(columns) < 3:
        raise ValueError(
            f"{capitalized(place)} has {len(columns)} columns; expected 3: a query, a relevant "
            "document and another, with a tab between."
        )
    return columns
