"""Text files, each written as a whole or not at all."""

import os
from pathlib import Path

from t5rank.formats.writing import WriteError


def write_text(file: Path, text: str, ending: str = "partial") -> None:
    """Writes a whole file, or nothing if writing is interrupted.

    Args:
      file: the file, local or remote.
      text: its content.
      ending: the ending of the file's name while it is written. Processes that write the same file
        at the same time need different endings.

    Raises:
      WriteError: it cannot be written; names the file.
    """
    partial = file.with_name(f"{file.name}.{ending}")
    try:
        if "://" in os.fspath(file):
            partial.write_text(text, encoding="utf-8")
        else:
            _write_to_disk(partial, text)
        partial.replace(file)
    except OSError as error:
        raise WriteError(f"File '{file}' cannot be written: {error.strerror or error}.") from error


def _write_to_disk(file: Path, text: str) -> None:
    with open(file, "w", encoding="utf-8") as local:
        local.write(text)
        local.flush()
        os.fsync(local.fileno())  # otherwise a crash of the machine could leave an empty file
