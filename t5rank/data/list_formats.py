"""The formats of lists that have one line a list, told by a file's first line.

A row of a table (`t5rank.data.tables`) is a JSON object here.

A format is one entry of `FORMATS`: its name, what a line looks like, when a first line is of it,
and the function that reads a line.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from t5rank.data import json_pairs
from t5rank.data.files import capitalized
from t5rank.data.hard_negatives import hard_negatives
from t5rank.data.jsonl import parsed_list
from t5rank.data.pairs import Line, judged_list, parsed_json
from t5rank.data.rank_llm import ranking
from t5rank.data.ranked_list import RankedList
from t5rank.data.tevatron import tevatron
from t5rank.data.text_files import TextFiles
from t5rank.data.triples import columns_of, id_triple, text_triple


@dataclass(frozen=True)
class Format:
    """How lists are written, one a line.

    Attributes:
      name: for people.
      example: what a line looks like.
      matches: whether a file is of this format, by its first line: a JSON value, or the list of its
        columns as `Columns`.
      read: the list of a line; with `has_ids`, the texts are given, too.
      keys: of an object, those that are read.
      has_ids: whether a line has ids in place of texts.
    """

    name: str
    example: str
    matches: Callable[[Any], bool]
    read: Callable[..., RankedList]
    keys: frozenset[str] = frozenset()
    has_ids: bool = False


class Columns(list[str]):
    """The columns of a line of a TSV file."""


def _json(parse: Callable[..., Any]) -> Callable[..., RankedList]:
    return lambda line, *texts: judged_list(parse(parsed_json(line), line, *texts), line)


def _tsv(parse: Callable[..., Any]) -> Callable[..., RankedList]:
    return lambda line, *texts: judged_list(parse(columns_of(line), line, *texts), line)


def _own(line: Line) -> RankedList:
    return parsed_list(line.raw, line.place, line.strict, line.labelled, line.counts)


def _json_ids(value: Any, line: Line, texts: TextFiles) -> Any:
    return id_triple([str(one) for one in value], line, texts)


def _has(*keys: str) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, dict) and all(key in value for key in keys)


def _is_array(value: Any, kind: type) -> bool:
    is_json = isinstance(value, list) and not isinstance(value, Columns)
    return is_json and len(value) > 1 and all(type(one) is kind for one in value)


def _is_tsv(value: Any, ids: bool) -> bool:
    if not isinstance(value, Columns) or len(value) < 3:
        return False
    return all(column.isascii() and column.isdigit() for column in value) == ids


_PASSAGES = ("positive_passages", "negative_passages", "retrieved_passages")
FORMATS = (
    Format(
        "t5rank's lists",
        '{"query_id", "query", "documents": [{"doc_id", "text", "label"}]}',
        lambda value: _has("documents")(value) or _is_bare(value),
        _own,
    ),
    Format(
        "Tevatron's lists",
        '{"query_id", "query", "positive_passages": [{"docid", "title", "text"}], '
        '"negative_passages": [...]}',
        _has("positive_passages"),
        _json(tevatron),
        frozenset(("query_id", "query", "query_text", *_PASSAGES)),
    ),
    Format(
        "rankings of rank_llm",
        '{"query": {"text", "qid"}, "candidates": [{"docid", "score", "doc"}]}',
        _has("query", "candidates"),
        _json(ranking),
        frozenset(("query", "candidates")),
    ),
    Format(
        "hard negatives of sentence-transformers (ids)",
        '{"qid", "pos": [ids], "neg": {"bm25": [ids], ...}}',
        _has("qid", "pos", "neg"),
        _json(hard_negatives),
        frozenset(("qid", "pos", "neg")),
        has_ids=True,
    ),
    Format(
        "lists of FlagEmbedding (BGE) and sentence-transformers",
        '{"query", "pos": [texts], "neg": [texts]}, with "pos_scores" and "neg_scores" or without',
        _has("query", "pos"),
        _json(json_pairs.query_pos_neg),
        frozenset(("query", "pos", "neg", "pos_scores", "neg_scores")),
    ),
    Format(
        "pairs",
        '{"query", "positive"[, "negatives"]}, each text or list of texts, or columns of these',
        lambda value: _has("query", "positive")(value) or _has("anchor", "positive")(value),
        _json(json_pairs.pair),
        frozenset(("query_id", "query", "anchor", "positive", "negative", "negatives")),
    ),
    Format(
        "texts of sentence-transformers",
        '["query", "positive"[, "negative"]] or {"texts": [...]}',
        lambda value: _is_array(value, str) or _has("texts")(value),
        _json(json_pairs.several_texts),
        frozenset(("texts",)),
    ),
    Format(
        "sets of sentence-transformers",
        '{"set": [texts that mean the same]}',
        _has("set"),
        _json(json_pairs.set_of_texts),
        frozenset(("set",)),
    ),
    Format(
        "triples of ids in JSON",
        "[qid, pid, pid], a relevant document and another one",
        lambda value: _is_array(value, int) and len(value) > 2,
        _json(_json_ids),
        has_ids=True,
    ),
    Format(
        "triples of ids",
        "qid TAB pid TAB pid, such as qidpidtriples.train.full.2.tsv",
        functools.partial(_is_tsv, ids=True),
        _tsv(id_triple),
        has_ids=True,
    ),
    Format(
        "triples",
        "query TAB positive TAB negative, such as triples.train.small.tsv",
        functools.partial(_is_tsv, ids=False),
        _tsv(text_triple),
    ),
)


def _is_bare(value: Any) -> bool:
    """Whether it is a query and nothing that another format knows: its error says what lacks."""
    others = {"positive", "positive_passages", "pos"}
    return _has("query_id", "query")(value) and not others & value.keys()


def format_of(line: Line) -> Format:
    """The format of a file, by its first line.

    Raises:
      ValueError: it is of none, or malformed.
    """
    value = _value(line)
    found = next((one for one in FORMATS if one.matches(value)), None)
    if found is None:
        known = "".join(f"\n  {one.name}: {one.example}" for one in FORMATS)
        raise ValueError(
            f"{capitalized(line.place)} has {line.raw[:60]!r}, which is no list in a known format; "
            f"expected one of these a line:{known}"
        )
    return found


def said(found: Format, line: Line) -> str:
    """The format in words, and what it leaves unread of the first line."""
    value = _value(line)
    unread = sorted(value.keys() - found.keys) if isinstance(value, dict) and found.keys else []
    rest = f" Keys that are not read: {', '.join(unread)}." if unread else ""
    return f"{found.name}, {found.example}.{rest}"


def _value(line: Line) -> Any:
    is_json = line.raw.lstrip()[:1] in (b"{", b"[")
    try:
        return parsed_json(line) if is_json else Columns(columns_of(line))
    except ValueError:
        if line.raw.count(b"\t") < 2 or not is_json:
            raise
    return Columns(columns_of(line))  # of a query that begins with a bracket
