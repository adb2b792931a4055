"""What gin files say, with file and line of every statement; gin's errors in one sentence."""

from __future__ import annotations

import importlib.util
import io
import os
import re
import tokenize
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from gin import config_parser

OURS = "t5rank/configs/"
_PLACE = re.compile(r'\n  In (?:file "(?P<file>[^\n]*)"|bindings string),? line (?P<line>\d+)\n')
_ERRORS = (SyntaxError, ValueError, tokenize.TokenError)


class Reference(NamedTuple):
    """`@scope/name`, or the macro `%name`, in a value."""

    name: str


class Binding(NamedTuple):
    """One line that binds a value.

    Attributes:
      scope: "" for none.
      selector: as written; the name of a macro.
      parameter: "" for a macro.
      value: with a `Reference` for each of gin's.
      file: as it was named; None for the command line.
      line: from 1.
      modules: names that the file imported, to what they stand for.
    """

    scope: str
    selector: str
    parameter: str
    value: Any
    file: str | None
    line: int
    modules: dict[str, str]

    @property
    def name(self) -> str:
        """What is bound, as it is written."""
        whole = f"{self.scope}/{self.selector}" if self.scope else self.selector
        return f"{whole}.{self.parameter}" if self.parameter else whole

    @property
    def is_ours(self) -> bool:
        """Whether a file of t5rank binds it."""
        return self.file is not None and self.file.startswith(OURS)

    @property
    def place(self) -> str:
        """Where it is bound, for errors."""
        if self.file is None:
            return f"option --gin.{self.name}"
        return f"file '{self.file}', line {self.line}"


def bindings_of(files: Sequence[str], options: Sequence[str] = ()) -> list[Binding]:
    """All bindings of files, what they include, and options, in the order in which they hold.

    Raises:
      ValueError: a file that is not there or cannot be read, or that gin cannot parse; names file
        and line.
    """
    found = [binding for file in files for binding in _of_file(file, ())]
    modules = {name: module for binding in found for name, module in binding.modules.items()}
    for option in options:
        name = option.partition("=")[0].strip()
        try:
            parsed = list(config_parser.ConfigParser(io.StringIO(option), _Delegate()))
        except _ERRORS as error:
            raise ValueError(
                f"Option --gin.{name} has a value that gin cannot parse ({_reason(error)}); "
                "expected NAME=VALUE, a text with brackets in it in quotes."
            ) from None
        found += [
            Binding(s.scope, s.selector, s.arg_name, s.value, None, 1, modules)
            for s in parsed
            if isinstance(s, config_parser.BindingStatement)
        ]
    return found


def sentence(error: BaseException) -> str:
    """An error of gin, or of what gin called, as one sentence, with the place that gin adds."""
    text = str(error).split("\n  In call to configurable")[0]
    place = _PLACE.search(text)
    message = _PLACE.split(text)[0].strip() if place else text.strip()
    message = message.split("\n")[0].rstrip(". ")
    if place is None and "; expected" in text:  # ours
        return text
    if place is None:
        return f"Gin configuration has an error: {message}."
    said = f"file '{place['file']}', line {place['line']}" if place["file"] else "an option --gin"
    return f"Gin configuration has an error in {said}: {message}."


def _of_file(file: str, includers: tuple[str, ...]) -> Iterator[Binding]:
    if file in includers:
        raise ValueError(f"File '{includers[-1]}' includes itself; expected no circle of includes.")
    modules: dict[str, str] = {}
    for statement in _statements(file):
        if isinstance(statement, config_parser.IncludeStatement):
            _check_include(file, statement)
            yield from _of_file(statement.filename, (*includers, file))
        elif isinstance(statement, config_parser.ImportStatement):
            modules[statement.bound_name()] = statement.module
        elif isinstance(statement, config_parser.BindingStatement):
            scope, selector, parameter, value, location = statement
            yield Binding(scope, selector, parameter, value, file, location.line_num, modules)


def _statements(file: str) -> list[Any]:
    found = _found(file)
    if found is None:
        raise ValueError(f"Gin file '{file}' does not exist; expected a recipe. Check the path.")
    try:
        with open(found, encoding="utf-8") as opened:
            return list(config_parser.ConfigParser(opened, _Delegate()))
    except UnicodeDecodeError as error:
        raise ValueError(
            f"Gin file '{file}' has broken UTF-8 at byte {error.start + 1}; expected text."
        ) from None
    except OSError as error:
        raise ValueError(
            f"Gin file '{file}' cannot be read ({error.strerror}); expected a recipe."
        ) from None
    except _ERRORS as error:
        line = error.lineno if isinstance(error, SyntaxError) else _line(error)
        at = "" if line is None else f" at line {line}"
        raise ValueError(
            f"Gin file '{file}' cannot be parsed{at}: {_reason(error)}. Expected NAME = VALUE."
        ) from None


def _found(file: str) -> str | None:
    """The path of a file on disk, or in a package, as gin looks for it."""
    if os.path.exists(file):
        return file
    package, _, name = file.rpartition("/")
    try:
        spec = importlib.util.find_spec(package.replace("/", "."))
    except (ImportError, ValueError):
        return None
    folders = [] if spec is None else spec.submodule_search_locations or []
    paths = (os.path.join(folder, name) for folder in folders)
    return next((path for path in paths if os.path.isfile(path)), None)


def _check_include(file: str, statement: Any) -> None:
    if _found(statement.filename) is None:
        raise ValueError(
            f"Gin file '{file}', line {statement.location.line_num}, includes "
            f"'{statement.filename}', which does not exist; expected a file or "
            "'t5rank/configs/...'."
        )


def _reason(error: Exception) -> str:
    text = error.msg if isinstance(error, SyntaxError) else str(error.args[0] if error.args else "")
    token = re.search(r"Failed to parse token (.+)", text)
    if token:
        return f"{token[1]} is no value; a text stands in quotes"
    return text.strip().split("\n")[0].rstrip(".")


def _line(error: Exception) -> int | None:
    """Where tokenize ended, or gin found a value that it cannot read."""
    if isinstance(error, tokenize.TokenError) and len(error.args) > 1:
        return error.args[1][0] - 1
    place = _PLACE.search(str(error))
    return int(place["line"]) if place else None


class _Delegate(config_parser.ParserDelegate):
    def configurable_reference(self, scoped_configurable_name: str, evaluate: bool) -> Reference:
        del evaluate
        return Reference(f"@{scoped_configurable_name}")

    def macro(self, macro_name: str) -> Reference:
        return Reference(f"%{macro_name}")
