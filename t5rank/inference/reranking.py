"""Reranks a whole run, query by query, and can be interrupted and continued."""

import collections
import contextlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, TextIO

import numpy as np
from tqdm import tqdm

from t5rank.data import trec
from t5rank.data.ranked_list import RankedList
from t5rank.inference.reranker import Reranker, chunks


class Written(NamedTuple):
    """How much a run file holds."""

    queries: int
    documents: int


def rerank_run(
    reranker: Reranker,
    lists: Iterable[RankedList],
    output: str | os.PathLike[str],
    *,
    settings: str,
    topn: int | None = None,
    tag: str = "t5rank",
    total: int | None = None,
    lenient: bool = False,
) -> Written:
    """Scores every list and writes a TREC run, queries in the order of the lists.

    A query is written as soon as it is scored, into `<output>.unfinished`, and noted in
    `<output>.partial`; called again with the same settings, it goes on from there, and on the same
    device gives the same file. Both disappear when the run is whole. Of what is done, only the
    queries' ids are kept in memory.

    Args:
      reranker: the model.
      lists: the candidates.
      output: the run file.
      settings: names the model and the inputs; a partial file of other settings is refused.
      topn: how many documents to write for a query; None writes all.
      tag: the run's name in its last column.
      total: documents in all, for the progress bar.
      lenient: whether lists were repaired. What was done before without repairs is taken, and not
        the reverse.

    Raises:
      ValueError: there is a partial file of another model or other inputs, two lists have the same
        query, or an id has white space.
    """
    partial, unfinished = Path(f"{output}.partial"), Path(f"{output}.unfinished")
    same = {"settings": settings, "topn": topn, "tag": tag, "lenient": lenient}
    done, documents = _resumed(partial, unfinished, same)
    with (
        _removed_if_empty(done, partial, unfinished),
        partial.open("a", encoding="utf-8") as log,
        unfinished.open("a", encoding="utf-8", newline="\n") as run,
        _progress(total) as progress,
    ):
        for item, scores in _scored(reranker, lists, done, progress):
            documents += _write_query(run, item, scores, topn, tag)
            entry = [item.query_id, documents, run.tell()]
            log.write(json.dumps(entry) + "\n")
            log.flush()
    unfinished.replace(output)
    partial.unlink()
    return Written(len(done), documents)


def rerank_stream(
    reranker: Reranker,
    lists: Iterable[RankedList],
    run: TextIO,
    *,
    topn: int | None = None,
    tag: str = "t5rank",
    total: int | None = None,
) -> Written:
    """`rerank_run` into an open file, such as standard output; it cannot be continued."""
    done: set[str] = set()
    documents = 0
    with _progress(total) as progress:
        for item, scores in _scored(reranker, lists, done, progress):
            documents += _write_query(run, item, scores, topn, tag)
    return Written(len(done), documents)


@contextlib.contextmanager
def _removed_if_empty(done: set[str], *files: Path) -> Iterator[None]:
    """After an error before the first query was done, nothing is left that blocks the next run."""
    try:
        yield
    except BaseException:
        if not done:
            for file in files:
                file.unlink(missing_ok=True)
        raise


def _progress(total: int | None) -> tqdm:
    return tqdm(desc="reranking", unit=" documents", total=total, disable=None)


class _Candidates(NamedTuple):
    query_id: str
    doc_ids: tuple[str, ...]


def _scored(
    reranker: Reranker, lists: Iterable[RankedList], done: set[str], progress: tqdm
) -> Iterator[tuple[_Candidates, np.ndarray]]:
    """The lists that are not `done`, and their scores; what is given is added to `done`."""
    waiting: collections.deque[_Candidates] = collections.deque()
    before = frozenset(done)

    def texts() -> Iterator[tuple[str, tuple[str, ...]]]:
        # A chunk of which some is done is scored again as a whole: its batches are then those of a
        # run without interruption, and so are the scores to the last digit.
        for chunk in chunks(_different(lists), len):
            if before.issuperset(item.query_id for item in chunk):
                progress.update(sum(map(len, chunk)))
                continue
            for item in chunk:
                waiting.append(_Candidates(item.query_id, item.doc_ids))
                yield item.query, item.documents

    for scores in reranker.score_stream(texts(), progress):
        item = waiting.popleft()
        if item.query_id not in before:
            yield item, scores
            done.add(item.query_id)


def _different(lists: Iterable[RankedList]) -> Iterator[RankedList]:
    seen: set[str] = set()
    for item in lists:
        if item.query_id in seen:
            raise ValueError(f"Query '{item.query_id}' has two lists; expected one.")
        seen.add(item.query_id)
        for name in (item.query_id, *item.doc_ids):
            if not trec.is_id(name):
                raise ValueError(
                    f"Query '{item.query_id}' has the id {name!r} in its list; expected ids "
                    "without white space, which parts the columns of a run."
                )
        yield item


def _write_query(
    run: TextIO, item: _Candidates, scores: np.ndarray, topn: int | None, tag: str
) -> int:
    best = trec.rank_documents(item.doc_ids, scores.tolist())[:topn]
    scored = {item.doc_ids[i]: float(scores[i]) for i in best}
    run.writelines(trec.run_lines({item.query_id: scored}, tag))
    run.flush()
    return len(scored)


def _resumed(
    partial: Path, unfinished: Path, settings: Mapping[str, object]
) -> tuple[set[str], int]:
    """The queries that were done before, and their documents; both files are cut to them."""
    if not partial.is_file() or not partial.stat().st_size:
        partial.write_text(json.dumps(settings) + "\n")
        unfinished.write_bytes(b"")
        return set(), 0
    # A line that was cut short by the interruption has no line end: it is scored again.
    text = partial.read_text(encoding="utf-8")
    lines = text[: text.rfind("\n") + 1].splitlines()
    before = {"lenient": False} | (json.loads(lines[0]) if lines else {})
    if before not in (settings, {**settings, "lenient": False}):
        raise ValueError(
            f"Partial output '{partial}' has results of another model or other inputs; expected "
            "the same command as before. Remove the file to begin anew."
        )
    size = unfinished.stat().st_size if unfinished.is_file() else 0
    entries = [entry for entry in map(json.loads, lines[1:]) if entry[-1] <= size]
    partial.write_text(
        "\n".join([json.dumps(settings), *map(json.dumps, entries)]) + "\n", encoding="utf-8"
    )
    _, documents, end = entries[-1] if entries else ("", 0, 0)
    with unfinished.open("ab") as file:
        file.truncate(end)
    return {entry[0] for entry in entries}, documents
