"""Reranks a whole run, query by query, and can be interrupted and continued."""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from tqdm import tqdm

from t5rank import trec
from t5rank.data.lists import RankedList
from t5rank.reranker import Reranker

CHUNK = 4096  # documents scored together: enough to sort by length, few enough to lose


def rerank_run(
    reranker: Reranker,
    lists: Iterable[RankedList],
    output: str | os.PathLike[str],
    *,
    settings: str,
    topn: int | None = None,
    tag: str = "t5rank",
    total: int | None = None,
) -> trec.Run:
    """Scores every list and writes a TREC run.

    What is done is kept in `<output>.partial`; called again with the same settings, it goes on from
    there. The file disappears when the run is written.

    Args:
      reranker: the model.
      lists: the candidates.
      output: the run file.
      settings: names the model and the inputs; a partial file of other settings is refused.
      topn: how many documents to write for a query; None writes all.
      tag: the run's name in its last column.
      total: documents in all, for the progress bar.

    Raises:
      ValueError: there is a partial file of another model or other inputs.
    """
    partial = Path(f"{output}.partial")
    done = _read_partial(partial, settings)
    with (
        partial.open("a", encoding="utf-8") as file,
        tqdm(desc="reranking", unit=" documents", total=total, disable=None) as progress,
    ):
        progress.update(sum(len(scored) for scored in done.values()))
        todo = (item for item in lists if item.query_id not in done)
        for chunk in _chunks(todo):
            pairs = [(item.query, item.documents) for item in chunk]
            for item, scores in zip(chunk, reranker.score_lists(pairs, progress), strict=True):
                done[item.query_id] = _scored(item, scores)
                file.write(json.dumps([item.query_id, done[item.query_id]]) + "\n")
            file.flush()
    run = trec.sort_run(done)
    if topn is not None:
        run = {query_id: dict(list(scored.items())[:topn]) for query_id, scored in run.items()}
    unfinished = Path(f"{output}.unfinished")
    trec.write_run(unfinished, run, tag=tag)
    unfinished.replace(output)
    partial.unlink()
    return run


def fingerprint(files: Iterable[str | os.PathLike[str]], *values: object) -> str:
    """A short text that changes with the values, and with the files' paths, sizes and times."""
    parts = [(os.path.abspath(f), os.stat(f).st_size, os.stat(f).st_mtime_ns) for f in files]
    return hashlib.sha256(repr((parts, values)).encode()).hexdigest()[:16]


def _scored(item: RankedList, scores: np.ndarray) -> dict[str, float]:
    return {doc_id: float(score) for doc_id, score in zip(item.doc_ids, scores, strict=True)}


def _chunks(lists: Iterable[RankedList]) -> Iterator[list[RankedList]]:
    chunk: list[RankedList] = []
    for item in lists:
        chunk.append(item)
        if sum(map(len, chunk)) >= CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _read_partial(file: Path, settings: str) -> dict[str, dict[str, float]]:
    if not file.is_file() or not file.stat().st_size:
        file.write_text(json.dumps({"settings": settings}) + "\n")
        return {}
    # A line that was cut short by the interruption has no line end: it is scored again.
    text = file.read_text(encoding="utf-8")
    lines = text[: text.rfind("\n") + 1].splitlines()
    if not lines or json.loads(lines[0]) != {"settings": settings}:
        raise ValueError(
            f"Partial output '{file}' has results of another model or other inputs; expected the "
            "same command as before. Remove the file to begin anew."
        )
    file.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return dict(json.loads(line) for line in lines[1:])
