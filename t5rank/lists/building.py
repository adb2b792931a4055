"""Builds a folder of lists, shard by shard; after an interruption, the next call continues."""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

import t5rank
from t5rank.data.files import check_regular, checksum, fingerprint
from t5rank.data.folder import MANIFEST, SUMMARY, read_manifest, shard_name
from t5rank.formats.json_files import write_json
from t5rank.formats.writing import writing
from t5rank.lists.histograms import draw_histograms
from t5rank.lists.shards import (
    Statistics,
    Writer,
    trec_parts,
    unfinished_folder,
    unfinished_shard,
)
from t5rank.lists.trec_files import KINDS, join_parts
from t5rank.process.packages import MissingExtra

# Not fork: the calling process may have threads, such as JAX's.
_START = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
WriteAll = Callable[[Writer], None]
_log = logging.getLogger(__name__)


def build_lists(writer: Writer, write_all: WriteAll) -> dict[str, Any]:
    """Writes the folder of `writer` and returns its manifest.

    Args:
      writer: the lists, and the folder.
      write_all: writes all blocks: `LocalRunner`, or the one of `t5rank.lists.beam`.

    Raises:
      ValueError: the folder has lists that were made with other options or files, there are no
        lists, or a source file changed meanwhile.
      WriteError: the disk is full.
    """
    folder = Path(writer.folder)
    for path in writer.paths.values():
        check_regular(path, "it is read more than once")
    made_of = {
        "t5rank": t5rank.__version__,
        "options": writer.options(),
        "files": _fingerprints(writer),
    }
    if (folder / MANIFEST).is_file():
        manifest = read_manifest(folder)
        _check_same(folder, made_of, {**manifest, "files": manifest.get("fingerprints", {})})
        shutil.rmtree(unfinished_folder(writer.folder), ignore_errors=True)
        if not (folder / SUMMARY).is_file():
            _draw(manifest, folder / SUMMARY)
        return manifest
    _begin(writer, made_of)
    write_all(writer)
    with writing(f"Folder '{folder}'"):
        return _finish(writer, made_of)


def _fingerprints(writer: Writer) -> dict[str, str]:
    return {name: fingerprint([path]) for name, path in writer.paths.items()}


@dataclass(frozen=True)
class LocalRunner:
    """Writes all blocks on this machine, in `workers` processes."""

    workers: int = 1

    def __call__(self, writer: Writer) -> None:
        total = writer.source.total()
        written = _in_turn(writer) if self.workers == 1 else _in_processes(writer, self.workers)
        with tqdm(total=total, desc="lists", unit=" lists", disable=None) as progress:
            for lists in written:
                progress.update(lists)


def _in_turn(writer: Writer) -> Iterator[int]:
    for index, block in writer.blocks():
        writer.write(index, block)
        yield len(block)


def _in_processes(writer: Writer, workers: int) -> Iterator[int]:
    """Hands out at most two blocks a worker, so that a stream is not read far ahead."""
    context = multiprocessing.get_context(_START)
    with ProcessPoolExecutor(workers, context, _keep_writer, (writer,)) as pool:
        waiting: dict[Any, int] = {}
        try:
            for index, block in writer.blocks():
                waiting[pool.submit(_write_block, index, block)] = len(block)
                while len(waiting) >= 2 * workers:
                    yield from _finished(waiting)
            while waiting:
                yield from _finished(waiting)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _finished(waiting: dict[Any, int]) -> Iterator[int]:
    for done in wait(waiting, return_when=FIRST_COMPLETED).done:
        done.result()
        yield waiting.pop(done)


_writer_of_process: list[Writer] = []


def _keep_writer(writer: Writer) -> None:
    """Keeps the writer in a worker process, with what its source loads."""
    _writer_of_process[:] = [writer]


def _write_block(index: int, block: Any) -> None:
    _writer_of_process[0].write(index, block)


def _begin(writer: Writer, made_of: dict[str, Any]) -> None:
    """Notes in the folder what it is made of, or checks what an earlier command has noted.

    The work of another command is removed if that command failed before it had written a list.
    """
    unfinished = unfinished_folder(writer.folder)
    path = unfinished / "made_of.json"
    before = json.loads(path.read_text()) if path.is_file() else made_of
    if any(_holds_lists(record) for record in unfinished.glob("[0-9]*.json")):
        _check_same(Path(writer.folder), made_of, before)
    elif before != made_of:
        shutil.rmtree(unfinished)
    unfinished.mkdir(parents=True, exist_ok=True)
    write_json(path, made_of)


def _holds_lists(record: Path) -> bool:
    return json.loads(record.read_text())["counts"].get("lists", 0) > 0


def _check_same(folder: Path, made_of: dict[str, Any], before: dict[str, Any]) -> None:
    """Raises ValueError where lists were made with other options or files.

    Lists of a strict reader are also those of a lenient one.
    """

    old, new = ({"t5rank": m["t5rank"]} | m["options"] for m in (before, made_of))
    if old.get("strict") and not new.get("strict"):
        old |= {"strict": new.get("strict")}
    differ = [
        f"{key} {old.get(key)!r} (now {new.get(key)!r})"
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key)
    ]
    files, wanted = before["files"], made_of["files"]
    differ += [
        f"another file of '{name}'"
        for name in sorted(files.keys() | wanted.keys())
        if files.get(name) != wanted.get(name)
    ]
    if differ:
        raise ValueError(
            f"Folder '{folder}' has lists made with {', '.join(differ)}; expected the options and "
            "files of this command. Give the command that made them, choose another folder, or "
            "remove this one."
        )


def _finish(writer: Writer, made_of: dict[str, Any]) -> dict[str, Any]:
    """Moves all shards to their places, and writes the picture and the manifest."""
    folder, number = Path(writer.folder), writer.number()
    statistics, shards = Statistics(), []
    statistics.counts.update(writer.source.counts)
    for index in range(number):
        record = writer.record(index)
        if record is None:
            raise RuntimeError(f"Shard {index} of folder '{folder}' was not written.")
        statistics.merge(record)
        counts = {name: record["counts"].get(name, 0) for name in ("lists", "documents")}
        file = {"file": shard_name(index, number), "bytes": record["bytes"]}
        shards.append(file | counts | {"sha256": record["sha256"]})
    if not statistics.counts["lists"]:
        raise ValueError(
            f"Folder '{folder}' gets no lists at all; expected at least one. What was left out: "
            f"{dict(+statistics.counts)}."
        )
    sources = [_source_entry(name, path) for name, path in writer.paths.items()]
    trec_files = _joined(writer, number, statistics)
    if _fingerprints(writer) != made_of["files"]:
        raise ValueError(
            f"A source file of '{folder}' changed meanwhile; expected it to stay. Remove the "
            "folder, and give the command again."
        )
    for name, path in trec_files.items():
        os.replace(path, folder / name)
    for index, shard in enumerate(shards):
        if unfinished_shard(writer.folder, index).is_file():
            os.replace(unfinished_shard(writer.folder, index), folder / shard["file"])
    manifest = {
        "format": 1,
        "t5rank": made_of["t5rank"],
        "options": made_of["options"],
        "sources": sources,
        **statistics.as_json(),
        "shards": shards,
        "trec": sorted(trec_files),
        "fingerprints": made_of["files"],
    }
    _draw(manifest, folder / SUMMARY)
    unfinished = unfinished_folder(writer.folder)
    write_json(unfinished / MANIFEST, manifest)
    os.replace(unfinished / MANIFEST, folder / MANIFEST)
    shutil.rmtree(unfinished)
    return manifest


def _draw(manifest: dict[str, Any], picture: Path) -> None:
    """Draws the picture; without matplotlib the folder is complete without it."""
    try:
        draw_histograms(manifest["histograms"], picture)
    except MissingExtra as error:
        _log.warning("Picture '%s' is not drawn. %s", picture, error)


def _joined(writer: Writer, number: int, statistics: Statistics) -> dict[str, Path]:
    """Writes qrels and run into the unfinished folder."""
    parts = [trec_parts(writer.folder, index) for index in range(number)]
    by_kind = {kind: [part[kind] for part in parts] for kind in KINDS}
    unfinished = unfinished_folder(writer.folder)
    return join_parts(writer.source, by_kind, unfinished, statistics.counts)


def _source_entry(name: str, path: str) -> dict[str, Any]:
    return {
        "name": name,
        "file": os.path.basename(path),
        "bytes": os.path.getsize(path),
        "sha256": checksum(path, "sha256"),
    }
