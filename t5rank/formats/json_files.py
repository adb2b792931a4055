"""JSON files: errors of reading name the file, and a file is written as a whole or not at all."""

import json
import logging
from pathlib import Path
from typing import Any, Protocol

from t5rank.formats.text_files import write_text

_log = logging.getLogger(__name__)


class TextFile(Protocol):
    """The methods of a local or remote path that are needed here."""

    def read_bytes(self) -> bytes: ...


def write_json(file: Path, value: Any, ending: str = "partial", indent: int | None = 2) -> None:
    """Writes a JSON file; see `write_text`."""
    write_text(file, json.dumps(value, indent=indent) + "\n", ending)


def read_object(file: TextFile, keys: tuple[str, ...] = (), advice: str = "") -> dict[str, Any]:
    """The object that a JSON file holds.

    Args:
      file: the file.
      keys: keys that the object must have.
      advice: the message's advice for a damaged file.

    Raises:
      ValueError: the file is empty or damaged.
    """
    return _parsed(file.read_bytes(), f"File '{file}'", keys, advice)


def read_object_if_any(file: Path) -> dict[str, Any]:
    """The object that a JSON file holds; an empty one if there is no file.

    Raises:
      ValueError: see `read_object`.
    """
    return read_object(file) if file.is_file() else {}


def read_lines(file: TextFile, keys: tuple[str, ...] = (), advice: str = "") -> list[dict]:
    """The objects of a file of JSON lines. A crash may leave half a last line, which is skipped.

    Raises:
      ValueError: another line is damaged.
    """
    *lines, rest = file.read_bytes().split(b"\n")
    found = [
        _parsed(line, f"File '{file}', line {number},", keys, advice)
        for number, line in enumerate(lines, start=1)
    ]
    if rest:
        try:
            found.append(_parsed(rest, "", keys, ""))
        except ValueError:
            _log.warning("File '%s' ends in half a line, which is skipped.", file)
    return found


def _parsed(text: bytes, place: str, keys: tuple[str, ...], advice: str) -> dict[str, Any]:
    if not text.strip():
        raise ValueError(f"{place} is empty; expected a JSON object. {advice}".rstrip())
    try:
        value = json.loads(text.decode())
        missing = [key for key in keys if key not in value] if isinstance(value, dict) else [*keys]
        if missing or not isinstance(value, dict):
            raise ValueError(f"no key '{missing[0]}'" if missing else "no object")
    except ValueError as error:
        raise ValueError(
            f"{place} is damaged ({error}); expected a JSON object. {advice}".rstrip()
        ) from None
    return value
