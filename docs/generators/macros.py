"""The reference of the macros, out of the gin files and what `t5rank.train.macros` accepts."""

import functools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from t5rank.train import gin_files, macros

GIN = Path(__file__).parents[2] / "gin"
REQUIRED = "required"
SECTIONS = {
    "Settings of both trainers": ["runs/training.gin"],
    "Settings of `t5rank train`": ["runs/finetune.gin", "layouts/*.gin"],
    "Data": ["tasks/*.gin"],
    "Models": ["models/*.gin"],
    "Settings of T5X": ["runs/t5x_*.gin"],
}
FILES = ("models", "losses", "optimizers", "layouts", "tasks", "recipes", "runs")
INTRO = """# Gin macros

A recipe sets a macro as `BATCH_SIZE = 16`, the command line as `--gin.BATCH_SIZE=16`. A macro that
is required has no default. The tables hold what the files of `t5rank/configs/` say (`gin/` in the
source), and what the checks accept."""
_EXPECTED = re.compile(r"expected (.*?)\.?$", re.S)
_COMMENT = re.compile(r"(?<!['\"\w])#\s*(.*)$")


class Macro(NamedTuple):
    """A macro as one file has it.

    Attributes:
      name: in capitals.
      default: as gin writes it, or "required".
      meaning: the file's comment; "" for none.
      file: such as "tasks/jsonl.gin".
    """

    name: str
    default: str
    meaning: str
    file: str


def page() -> str:
    """Every macro, then every file."""
    parts = [INTRO]
    for title, patterns in SECTIONS.items():
        found = [macro for pattern in patterns for macro in _of_files(pattern)]
        parts += [f"## {title}", table(found)]
    parts += ["## Files", *(files(folder) for folder in FILES)]
    return "\n\n".join(parts) + "\n"


@functools.cache
def all_macros() -> list[Macro]:
    """The macros of every section."""
    return [m for patterns in SECTIONS.values() for p in patterns for m in _of_files(p)]


def _of_files(pattern: str) -> Iterator[Macro]:
    for file in sorted(GIN.glob(pattern)):
        yield from macros_of(file.relative_to(GIN).as_posix())


def macros_of(name: str) -> Iterator[Macro]:
    """The macros that a file sets itself."""
    path = f"{gin_files.OURS}{name}"
    lines = (GIN / name).read_text().splitlines()
    for binding in gin_files.bindings_of([path]):
        if binding.file == path and not binding.parameter:
            default = default_of(binding.value, lines[binding.line - 1])
            yield Macro(binding.name, default, comment(lines, binding.line - 1), name)


def comment(lines: list[str], at: int) -> str:
    """The comment lines straight above a line, and the one behind it."""
    start = at
    while start > 0 and lines[start - 1].startswith("#"):
        start -= 1
    above = [] if start == 0 else [line.lstrip("# ") for line in lines[start:at]]
    behind = _COMMENT.search(lines[at])
    said = (behind[1] if behind else "", " ".join(above))
    return " ".join(sentence(text) for text in said if text)


def sentence(text: str) -> str:
    """Text with a capital and a full stop."""
    return f"{text[:1].upper()}{text[1:]}" + ("" if text.endswith((".", ":")) else ".")


def default_of(value: Any, line: str) -> str:
    """A value as gin writes it; a call as its line has it."""
    if isinstance(value, gin_files.Reference) and value.name.startswith("@"):
        return _COMMENT.sub("", line.partition("=")[2]).strip()
    return shown(value)


def shown(value: Any) -> str:
    """A value as gin writes it."""
    if isinstance(value, gin_files.Reference):
        return REQUIRED if value.name == "%gin.REQUIRED" else value.name
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k!r}: {shown(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        items = ", ".join(map(shown, value))
        comma = "," if isinstance(value, tuple) and len(value) == 1 else ""
        return f"[{items}]" if isinstance(value, list) else f"({items}{comma})"
    return repr(value)


def table(found: list[Macro]) -> str:
    """One row a macro."""
    names = dict.fromkeys(macro.name for macro in found)
    rows = [row([macro for macro in found if macro.name == name]) for name in names]
    return "\n".join(
        ["| macro | default | accepts | meaning |", "| --- | --- | --- | --- |", *rows]
    )


def row(same: list[Macro]) -> str:
    """A macro of one or several files."""
    name = same[0].name
    cells = [f"`{name}`", defaults(same), accepted(name), meaning(name, same)]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def meaning(name: str, same: list[Macro]) -> str:
    """The first comment on a macro in these files, or else in any."""
    everywhere = (macro for macro in all_macros() if macro.name == name)
    return next((macro.meaning for macro in [*same, *everywhere] if macro.meaning), "")


def defaults(same: list[Macro]) -> str:
    """The default; where files differ, each with its files."""
    by_default: dict[str, list[str]] = {}
    for macro in same:
        by_default.setdefault(macro.default, []).append(macro.file)
    if len(by_default) == 1:
        return code(same[0].default)
    return "; ".join(f"{code(d)} in {_files(files)}" for d, files in by_default.items())


def _files(names: list[str]) -> str:
    stems = [Path(name).stem for name in names]
    sizes = [stem for stem in stems if stem.startswith("t5_1_")]
    others = [stem for stem in stems if stem not in sizes]
    return ", ".join(f"`{stem}`" for stem in ([f"t5_1_* ({len(sizes)})"] if sizes else []) + others)


def code(default: str) -> str:
    """A default in code, a long one by its beginning."""
    if default == REQUIRED:
        return default
    return f"`{default}`" if len(default) <= 70 else f"`{default[:60]}...`"


def accepted(name: str) -> str:
    """What the checks ask of a macro, in their own words."""
    if name in macros._FUNCTIONS:
        return macros._FUNCTIONS[name][1].partition(",")[0]
    if name not in macros.CHECKS:
        return ""
    try:
        macros.CHECKS[name](name, object())
    except (TypeError, ValueError) as error:
        found = _EXPECTED.search(str(error))
        return found[1].partition(". ")[0] if found else ""
    return ""


def files(folder: str) -> str:
    """A table of a folder's files with what their first comment says."""
    rows = [
        f"| `{file.name}` | {first_sentence(file)} |"
        for file in sorted(GIN.glob(f"{folder}/*.gin"))
    ]
    return "\n".join([f"### {folder}/\n", "| file | what it is |", "| --- | --- |", *rows])


def first_sentence(file: Path) -> str:
    """The first sentence of a file's first comment."""
    text = []
    for line in file.read_text().splitlines():
        if not line.startswith("# "):
            break
        text.append(line[2:])
    return re.split(r"(?<=\.)\s", " ".join(text))[0].replace("|", "\\|")
