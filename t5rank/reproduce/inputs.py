"""The files that an experiment needs, and the check that they are the right ones."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from t5rank.data.files import checksum

VOCABULARY_SOURCE = (
    "It is T5's vocabulary: vocabs/cc_all.32000.100extra/sentencepiece.model of T5's storage "
    "bucket t5-data, or spiece.model of google-t5/t5-small on the Hugging Face hub."
)


@dataclass(frozen=True)
class Input:
    """One file of the data folder.

    Attributes:
      path: its path in the data folder.
      get: where to get it, for people.
      size: its bytes; None for a file that users make themselves, such as a run.
      checksum: "md5:..." or "sha256:..." of the right file; None for such a file.
    """

    path: str
    get: str
    size: int | None = None
    checksum: str | None = None


def check_inputs(
    inputs: Sequence[Input], folder: Path, before: Sequence[Mapping[str, Any]] = ()
) -> list[dict[str, Any]]:
    """Checks all inputs, and returns the path, size, time of change and checksum of each.

    Args:
      inputs: the files that are expected.
      folder: the data folder.
      before: the result of an earlier check; a file of the same size and time is not read again.

    Raises:
      ValueError: files are missing, or are not the right ones. The message names all of them, and
        says where to get them.
    """
    problems = [problem for each in inputs if (problem := _size_problem(each, folder))]
    if not problems:
        known = {each["path"]: each for each in before}
        found = [_found(each, folder, known.get(each.path)) for each in inputs]
        problems = [
            f"  {each.path} has {facts['checksum']}; expected {each.checksum}. {each.get}"
            for each, facts in zip(inputs, found, strict=True)
            if each.checksum not in (None, facts["checksum"])
        ]
    if problems:
        listed = "\n".join(problems)
        raise ValueError(
            f"Data folder '{folder}' lacks {len(problems)} of {len(inputs)} files, or has others "
            f"in their place:\n{listed}"
        )
    return found


def described_inputs(inputs: Sequence[Input]) -> str:
    """One paragraph for each file: its name, size and checksum, and where it comes from."""
    return "\n".join(
        f"{each.path}\n"
        f"  {'any size' if each.size is None else f'{each.size:,} bytes'}, "
        f"{each.checksum or 'any checksum'}\n"
        f"  {each.get}"
        for each in inputs
    )


def _size_problem(each: Input, folder: Path) -> str | None:
    file = folder / each.path
    size = "" if each.size is None else f", {each.size:,} bytes"
    if not file.is_file():
        return f"  {each.path} is missing{size}. {each.get}"
    if each.size not in (None, file.stat().st_size):
        return (
            f"  {each.path} has {file.stat().st_size:,} bytes; expected {each.size:,}. {each.get}"
        )
    return None


def _found(each: Input, folder: Path, known: Mapping[str, Any] | None) -> dict[str, Any]:
    stat = (folder / each.path).stat()
    facts = {"path": each.path, "size": stat.st_size, "changed": stat.st_mtime_ns}
    if known is not None and facts.items() <= known.items():
        return dict(known)
    kind = (each.checksum or "sha256:").partition(":")[0]
    return {**facts, "checksum": f"{kind}:{checksum(folder / each.path, kind)}"}


def read_checked(file: Path) -> list[dict[str, Any]]:
    """The result of an earlier check of the same experiment; empty if there was none."""
    return json.loads(file.read_text())["inputs"] if file.is_file() else []
