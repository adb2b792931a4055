"""Writes docs/api.md out of the docstrings of losses, metrics and transformations.

    python docs/make_api.py

A test fails where the page is not what this would write.
"""

import inspect
import re
import sys
import types
from pathlib import Path
from typing import Any

from t5rank import losses, metrics
from t5rank import types as shared
from t5rank.losses import transformations

PAGE = Path(__file__).parent / "api.md"
SHARED = {"scores", "labels", "where", "segments", "weights", "reduce_fn", "topn", "key"}
SECTION = re.compile(r"^(Args|Attributes|Raises|Returns):\n((?:(?:  .*)?\n)*)", re.M)
EXAMPLE = re.compile(r"^(>>> .*(?:\n(?!\n).*)*)", re.M)


def page() -> str:
    """The text of the page."""
    parts = [
        "# Losses, metrics and transformations",
        "Made from the docstrings by `docs/make_api.py`; which loss to take is another page, "
        "[choosing a loss](choosing_a_loss.md).",
        "## Shared arguments",
        text(shared),
    ]
    for module in (losses, metrics, transformations):
        parts += [f"## `t5rank.{module.__name__.rpartition('.')[2]}`", text(module)]
        for source, names in by_source(module).items():
            if source is not module:
                parts += [f"### {first_line(source)}", after_first_line(source)]
            parts += [entry(name, getattr(module, name)) for name in names]
    return "\n\n".join(part for part in parts if part) + "\n"


def by_source(module: types.ModuleType) -> dict[types.ModuleType, list[str]]:
    """Public names, in the order of the modules and lines that they are written at."""
    members = [(name, getattr(module, name)) for name in module.__all__]
    sources: dict[types.ModuleType, list[str]] = {}
    for name, member in sorted(members, key=place):
        sources.setdefault(sys.modules[member.__module__], []).append(name)
    return sources


def place(item: tuple[str, Any]) -> tuple[str, int]:
    """The module and line of a member."""
    return item[1].__module__, inspect.getsourcelines(item[1])[1]


def entry(name: str, member: Any) -> str:
    """One function or class."""
    return f"#### `{name}`\n\n`{signature(name, member)}`\n\n{text(member)}"


def signature(name: str, member: Any) -> str:
    """The call, with the shared arguments left out."""
    parameters = inspect.signature(member).parameters
    shared = SHARED if "scores" in parameters else set()
    own = [p for p in parameters.values() if p.name not in shared]
    given = [name for name in parameters if name in shared & {"scores", "labels"}]
    shown = [shown_parameter(p) for p in own]
    dots = ["..."] if len(own) + len(given) < len(parameters) else []
    return f"{name}({', '.join([*given, *shown, *dots])})"


def shown_parameter(parameter: inspect.Parameter) -> str:
    """A parameter with its default, if it is short."""
    default = parameter.default
    if default is inspect.Parameter.empty:
        return parameter.name
    shown = getattr(default, "__name__", repr(default))
    return f"{parameter.name}={shown}"


def first_line(member: Any) -> str:
    """The first line of the docstring, as a title."""
    return (inspect.getdoc(member) or "").partition("\n")[0].rstrip(".")


def after_first_line(member: Any) -> str:
    """The docstring without its first line."""
    return (inspect.getdoc(member) or "").partition("\n")[2].strip()


def text(member: Any) -> str:
    """A docstring as Markdown."""
    doc = (inspect.getdoc(member) or "") + "\n"
    doc = SECTION.sub(lambda found: f"{found[1]}:\n\n{bullets(found[2])}\n\n", doc)
    doc = EXAMPLE.sub(lambda found: f"```python\n{found[1].strip()}\n```\n", doc)
    return re.sub(r"\n{3,}", "\n\n", doc).strip()


def bullets(lines: str) -> str:
    """`name: text` lines as a list."""
    items = re.sub(r"\n    +", " ", inspect.cleandoc("\n" + lines)).splitlines()
    named = (re.sub(r"^(\w+(?:, \w+)*):", r"* `\1`:", item) for item in items if item)
    return "\n".join(item if item.startswith("* ") else f"  {item.strip()}" for item in named)


if __name__ == "__main__":
    PAGE.write_text(page())
    print(f"{PAGE}: {len(page().splitlines())} lines")
