"""The reference of the command line, out of its parsers."""

import argparse
import inspect

from t5rank import cli

TITLE = "# Command line"
INTRO = """`t5rank COMMAND --help` prints the same. A command exits with 0 after its work, with 1
after an error, and with 2 for an unknown option."""


def page() -> str:
    """Every command with its options."""
    parser = cli._parser()
    (commands,) = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    summaries = {action.dest: action.help or "" for action in commands._choices_actions}
    index = [f"- [`t5rank {name}`](#t5rank-{name}): {text}" for name, text in summaries.items()]
    sections = [section(name, command) for name, command in commands.choices.items()]
    return "\n\n".join([TITLE, INTRO, "\n".join(index), *sections]) + "\n"


def section(name: str, parser: argparse.ArgumentParser) -> str:
    """One command."""
    description = inspect.cleandoc(parser.description or "")
    rows = [row(action) for action in parser._actions if action.help != argparse.SUPPRESS]
    table = ["| option | what it does |", "| --- | --- |", *filter(None, rows)]
    return "\n\n".join([f"## t5rank {name}", f"```text\n{description}\n```", "\n".join(table)])


def row(action: argparse.Action) -> str | None:
    """One option; none for `--help`."""
    if isinstance(action, argparse._HelpAction):
        return None
    names = action.option_strings or [action.metavar or action.dest]
    words = f"{', '.join(map(str, names))} {value(action)}".strip()
    needed = " Required." if action.required and action.option_strings else ""
    return f"| `{cell(words)}` | {cell(said(action))}{needed} |"


def value(action: argparse.Action) -> str:
    """What stands behind an option's name."""
    if action.nargs == 0 or not action.option_strings:
        return ""
    if action.choices is not None and action.metavar is None:
        return "{" + ",".join(map(str, action.choices)) + "}"
    name = action.metavar or action.dest.upper()
    return f"{name} ..." if action.nargs in ("+", "*") else str(name)


def said(action: argparse.Action) -> str:
    """The help text, with its default in place."""
    given = {name: getattr(action, name) for name in ("default", "dest", "metavar", "choices")}
    text = ((action.help or "") % given).strip()
    return f"{text[:1].upper()}{text[1:]}." if text and not text.endswith((".", "]")) else text


def cell(text: str) -> str:
    """Text that a Markdown table can hold."""
    return text.replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")
