"""Qrels and a run beside the shards, so that a run that is made of the lists can be evaluated.

Each block writes its part of both files with its shard, and the parts are joined at the end. If the
source has qrels (`BlockSource.judgements`), they are written in place of the lists' labels, because
they also hold relevant documents that a run lacks, and queries without a list.
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
    """The parts of one block, written list by list.

    Args:
      paths: the file of each of `KINDS`.
      ranked: whether the order of the documents is a ranking. If so, their scores are minus their
        ranks; otherwise they are 0.
      counts: gets the lists that a format cannot hold: `lists_with_spaces_in_ids`, which are in
        neither file, and `lists_with_fractional_labels`, which have no judgements.
    """

    def __init__(self, paths: dict[str, Path], ranked: bool, counts: Counter[str]):
        self._files = {kind: trec.open_text_writer(path) for kind, path in paths.items()}
        self._ranked, self._counts = ranked, counts

    def add(self, ranked: RankedList) -> None:
        """Writes the judged documents of a list as qrels, and all its documents as a run."""
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
        for file in self._files.values():
            file.close()


def join_parts(
    source: BlockSource, parts: dict[str, list[Path]], folder: Path, counts: Counter[str]
) -> dict[str, Path]:
    """Writes both files into a folder, and returns those that are not empty.

    Args:
      source: it may have its own qrels.
      parts: by kind, the parts of the blocks in order.
      folder: where the files are written.
      counts: gets the judgements that the format cannot hold, as `judgements_with_spaces_in_ids`.
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
