"""Options that are set by environment variables."""

import argparse
import os
import shlex
from collections.abc import Callable
from typing import Any

_BOOLEANS = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}


def fill(parser: argparse.ArgumentParser, arguments: argparse.Namespace, prefix: str) -> list[str]:
    """Sets the options that the command line left at None; returns variables of no option.

    The variable of `--max_wait` is `{prefix}MAX_WAIT`. An option that may be repeated takes several
    values, separated by spaces and quoted as in a shell. A switch takes true or false. An empty
    variable is ignored.

    Raises:
      ValueError: a variable has a value that its option does not take.
    """
    given = {name: os.environ[name].strip() for name in os.environ if name.startswith(prefix)}
    for action in parser._actions:
        value = given.pop(prefix + action.dest.upper(), "")
        if value and getattr(arguments, action.dest, None) is None:
            setattr(arguments, action.dest, _value(action, prefix + action.dest.upper(), value))
    return sorted(given)


def _value(action: argparse.Action, variable: str, text: str) -> Any:
    if isinstance(action, argparse.BooleanOptionalAction):
        return _converted(variable, text, lambda word: _BOOLEANS[word.lower()], "true or false")
    if action.choices is not None and text not in action.choices:
        raise ValueError(f"Variable '{variable}' has '{text}'; expected one of {action.choices}.")
    kind = action.type if callable(action.type) else str
    want = getattr(kind, "__name__", "another value").replace("int", "a whole number")
    if isinstance(action, argparse._AppendAction):
        return [_converted(variable, word, kind, want) for word in _words(variable, text)]
    return _converted(variable, text, kind, want.replace("float", "a number"))


def _words(variable: str, text: str) -> list[str]:
    return _converted(variable, text, shlex.split, "values with their quotes closed")


def _converted(variable: str, text: str, kind: Callable[[str], Any], want: str) -> Any:
    try:
        return kind(text)
    except (ValueError, KeyError):
        raise ValueError(f"Variable '{variable}' has '{text}'; expected {want}.") from None
