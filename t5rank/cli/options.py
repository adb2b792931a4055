"""Options that several commands have."""

import argparse
import textwrap

import t5rank


def add_command(commands, name: str, summary: str, text: str) -> argparse.ArgumentParser:
    """A sub-command with a summary and a longer text."""
    return commands.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}.\n\n{textwrap.dedent(text).strip()}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def add_model(parser: argparse.ArgumentParser) -> None:
    """Adds the options that choose a model."""
    parser.add_argument("--model", required=True, metavar="DIR", help="a model folder")
    parser.add_argument("--step", type=int, help="which checkpoint [the best, or the latest]")
    parser.add_argument(
        "--batch_tokens", type=int, metavar="N", help="tokens scored at once [by the device]"
    )


def load_model(arguments: argparse.Namespace) -> "t5rank.Reranker":
    """The model that the options choose."""
    from t5rank.compilation_cache import keep_programs

    check_at_least_one(arguments, "batch_tokens")
    keep_programs()
    return t5rank.Reranker.from_pretrained(
        arguments.model, step=arguments.step, batch_tokens=arguments.batch_tokens
    )


def check_at_least_one(arguments: argparse.Namespace, *names: str) -> None:
    """Raises ValueError for an option below 1."""
    for name in names:
        value = getattr(arguments, name)
        if value is not None and value < 1:
            raise ValueError(f"Option '--{name}' has {value}; expected at least 1.")
