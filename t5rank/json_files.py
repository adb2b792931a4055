"""JSON files of one object."""

import json
from typing import Any

from etils import epath


def read_object(file: epath.Path) -> dict[str, Any]:
    """The object in a file.

    Raises:
      ValueError: the file is empty, cut short, no text, or holds another value.
    """
    try:
        value = json.loads(file.read_text())
    except ValueError as error:
        has = f"an error: {error}" if file.stat().length else "no bytes"
        raise ValueError(f"File '{file}' has {has}; expected JSON, one object.") from error
    if not isinstance(value, dict):
        raise ValueError(f"File '{file}' has a {type(value).__name__}; expected JSON, one object.")
    return value


def read_object_if_any(file: epath.Path) -> dict[str, Any]:
    """The same, and an empty object where there is no file."""
    return read_object(file) if file.is_file() else {}
