"""Readers of judged lists: MS MARCO QnA, passage ranking, and t5rank's own JSON lines."""

from t5rank.data.collection import Collection
from t5rank.data.jsonl import read_jsonl, write_jsonl
from t5rank.data.lists import RankedList, filter_lists
from t5rank.data.msmarco import read_qna_columnar, read_qna_rows
from t5rank.data.passages import read_passage_lists

__all__ = [
    "Collection",
    "RankedList",
    "filter_lists",
    "read_jsonl",
    "read_passage_lists",
    "read_qna_columnar",
    "read_qna_rows",
    "write_jsonl",
]
