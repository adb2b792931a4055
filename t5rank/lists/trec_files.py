"""Qrels and a run beside the shards, so that what lists are reranked to can be evaluated.

Each block writes its part of both when it writes its shard; the parts are joined at the end. Where
the source has qrels (`BlockSource.judgements`), these are written in place of the lists' labels:
they know relevant documents that a run lacks, and queries without a list.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from t5rank.data import trec
from t5rank.data.folder import QRELS, RUN
from t5rank.data.judgements import grades
from t5rank.data.ranked_list import RankedList
from t5rank.lists.sources import BlockSource

KINDS = (QRELS, RUN)
TAG = "source"


class TrecParts:
    """The two parts of one block, list by list.

    Args:
      paths: the part of each of `KINDS`.
      ranked: whether the order of the documents is a ranking: their scores are then minus their
        ranks, and else 0, as nothing is known.
      counts: lists that the formats cannot hold are added, as `lists_with_spaces_in_ids` and
        `lists_with_fractional_labels`, which have no judgement.
    """

    def __init__(self, paths: dict[str, Path], ranked: bool, counts: Counter[str]):
        self._files = {kind: trec.open_text_writer(path) for kind, path in paths.items()}
        self._ranked, self._counts = ranked, counts

    def add(self, ranked: RankedList) -> None:
        """Writes a list's judged documents, and all of them as a run."""
        if not all(map(trec.is_id, (ranked.query_id, *ranked.doc_ids))):
            self._counts["lists_with_spaces_in_ids"] += 1
            return
        if all(label.is_integer() for label in ranked.labels):
            self._files[QRELS].writelines(trec.qrels_lines({ranked.query_id: grades(ranked)}))
        else:
            self._counts["lists_with_fractional_labels"] += 1
        ranks = enumerate(ranked.doc_ids, start=1)
        scores = {doc_id: -float(rank) if self._ranked else 0.0 for rank, doc_id in ranks}
        self._files[RUN].writelines(trec.run_lines({ranked.query_id: scores}, TAG))

    def close(self) -> None:
        """Ends the files."""
        for file in self._files.values():
            file.close()


def join_parts(
    source: BlockSource, parts: dict[str, list[Path]], folder: Path, counts: Counter[str]
) -> dict[str, Path]:
    """Writes both files into a folder, and returns those that hold anything.

    Args:
      source: may have qrels of its own.
      parts: by kind, the blocks' parts in order.
      folder: where to.
      counts: judgements that the format cannot hold are added, as `judgements_with_spaces_in_ids`.
    """
    written = {}
    for kind in KINDS:
        judgements = None
        if kind == QRELS:
            judgements = source.judgements(set(_query_ids(parts[RUN])))
        with (folder / kind).open("wb") as file:
            if judgements is not None:
                known = _writable(judgements, counts)
                file.writelines(line.encode() for line in trec.qrels_lines(known))
            else:
                file.writelines(path.read_bytes() for path in parts[kind])
        if (folder / kind).stat().st_size:
            written[kind] = folder / kind
    return written


def _writable(
    judgements: Mapping[str, Mapping[str, int]], counts: Counter[str]
) -> dict[str, dict[str, int]]:
    kept: dict[str, dict[str, int]] = {}
    for query_id, judged in judgements.items():
        for doc_id, grade in judged.items():
            if trec.is_id(query_id) and trec.is_id(doc_id):
                kept.setdefault(query_id, {})[doc_id] = grade
            else:
                counts["judgements_with_spaces_in_ids"] += 1
    return kept


def _query_ids(runs: Iterable[Path]) -> Iterator[str]:
    for path in runs:
        with path.open(encoding="utf-8", newline="\n") as file:
            for line in file:
                yield line.partition(" ")[0]
