"""Paths and texts that come from the command line, and standard input and output as files."""

import argparse
import contextlib
import os
import sys
from collections import Counter
from collections.abc import Iterator
from typing import TextIO

from t5rank.data.errors import DataError
from t5rank.data.files import UTF8_BOM, is_broken, open_text_writer, repaired
from t5rank.formats.writing import writing
from t5rank.process.remote import is_remote

STANDARD = "-"


def new_folder(text: str) -> str:
    """The value of an option that names a folder to write, local or remote (argparse's `type`)."""
    if text == STANDARD:
        raise argparse.ArgumentTypeError("'-' is standard output; expected a folder")
    return text


def local_folder(text: str) -> str:
    """The value of an option that names a folder of this machine (argparse's `type`)."""
    if is_remote(text):
        raise argparse.ArgumentTypeError(f"'{text}' is remote; expected a folder of this machine")
    return new_folder(text)


def is_stream(output: str) -> bool:
    """Whether an output is not a file on disk, but standard output, a device or a pipe."""
    devices = ("/dev/", "/proc/")
    piped = os.path.exists(output) and not os.path.isfile(output)
    return output == STANDARD or os.path.abspath(output).startswith(devices) or piped


@contextlib.contextmanager
def opened(output: str) -> Iterator[TextIO]:
    """Opens an output for text in UTF-8, with "\\n" line ends; `-` is standard output."""
    if output != STANDARD:
        with writing(f"File '{output}'"), open_text_writer(output) as file:
            yield file
        return
    if sys.stdout is None:
        raise ValueError("Standard output is closed; expected somewhere to write.")
    yield sys.stdout
    sys.stdout.flush()


def say(message: str, output: str | None) -> None:
    """Prints a message; to standard error where the result goes to standard output."""
    stream = sys.stderr if output == STANDARD else sys.stdout
    if stream is not None:  # for None, print would write to standard output
        print(message, file=stream)


def set_up_stdout() -> None:
    """Makes standard output UTF-8 in every locale, and lets it write any file's name."""
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(encoding="utf-8", errors="surrogateescape", newline="\n")


def input_lines(strict: bool, counts: Counter[str]) -> list[str]:
    """The lines of standard input, without their ends.

    Raises:
      ValueError: it is closed, has no line, or, if `strict`, has bytes that are not UTF-8.
    """
    if sys.stdin is None:
        raise ValueError("Standard input is closed; expected one document a line.")
    data = getattr(sys.stdin, "buffer", sys.stdin).read()
    if isinstance(data, str):  # something else takes the place of standard input
        data = data.encode("utf-8", "surrogateescape")
    lines = data.removeprefix(UTF8_BOM).split(b"\n")
    lines = lines if lines[-1] else lines[:-1]
    if not lines:
        raise ValueError("Standard input has no line; expected one document a line.")
    return [
        whole_text(
            line.removesuffix(b"\r").decode("utf-8", "surrogateescape"),
            f"Line {number} of standard input",
            strict,
            counts,
        )
        for number, line in enumerate(lines, start=1)
    ]


def check_text(arguments: argparse.Namespace, *names: str) -> None:
    """Raises ValueError if an option that is a text, not a path, has bytes that are not UTF-8."""
    for name in names:
        value = getattr(arguments, name) or ""
        if any(map(is_broken, [value] if isinstance(value, str) else value)):
            raise ValueError(f"Option '--{name}' has bytes that are not UTF-8; expected text.")


def whole_text(text: str, name: str, strict: bool, counts: Counter[str]) -> str:
    """A text from the terminal, repaired unless `strict`; surrogates are bytes that are not UTF-8.

    Raises:
      DataError: it has surrogates, and `strict`.
    """
    if not is_broken(text):
        return text
    if strict:
        raise DataError(
            f"{name} has bytes that are not UTF-8; expected text.",
            "strict",
            "replace what is broken by U+FFFD",
            "Write it in UTF-8",
        )
    counts["broken_utf8_lines_replaced"] += 1
    return repaired(text)
