"""Options and steps that several commands share."""

import argparse
import dataclasses
import logging
import textwrap
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from t5rank.process.collector import resting_collector

if TYPE_CHECKING:
    from t5rank.inference.reranker import Reranker
    from t5rank.model_folder import ModelFolder
    from t5rank.search.embedding import TextEmbedder

_log = logging.getLogger(__name__)


class CommandParser(argparse.ArgumentParser):
    """The parser of a sub-command.

    Attributes:
      add_late: adds options that take long to find out; it is called only if the command is used.
    """

    add_late: Callable[[argparse.ArgumentParser], None] | None = None

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Adds the options of `add_late`, and then reads the arguments."""
        add, self.add_late = self.add_late, None
        if add is not None:
            add(self)
        return super().parse_known_args(args, namespace)


def add_command(commands, name: str, summary: str, text: str) -> CommandParser:
    """A sub-command with a summary and a longer text."""
    return commands.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}.\n\n{textwrap.dedent(text).strip()}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def add_model(parser: argparse.ArgumentParser, required: bool = True) -> None:
    parser.add_argument("--model", required=required, metavar="DIR", help="a model folder")
    parser.add_argument("--step", type=int, help="which checkpoint [the best, or the latest]")
    parser.add_argument(
        "--batch_tokens", type=int, metavar="N", help="tokens scored at once [for the device]"
    )


def add_lenient(parser: argparse.ArgumentParser, **data_options: str) -> None:
    """Adds the option that repairs malformed data.

    Args:
      parser: the parser of the command.
      data_options: options for other arguments of the readers; see `DataError.message_for`.
    """
    parser.add_argument(
        "--lenient",
        action="store_true",
        help="repair malformed data and say how often: replace bytes that are not UTF-8, keep the "
        "first of repeated ids and the larger of two judgements, cut queries that leave no room",
    )
    parser.set_defaults(data_options={"strict": "--lenient", **data_options})


def say_irregular(counts: Counter[str]) -> None:
    """Logs how much of the data was repaired, and how many documents are blank."""
    from t5rank.data.ranked_list import irregular

    found = irregular(counts)
    if found:
        words = ", ".join(f"{number:,} {name.replace('_', ' ')}" for name, number in found.items())
        _log.info("In the data: %s.", words)


def load_model(
    arguments: argparse.Namespace,
    counts: Counter[str] | None = None,
    opened: "ModelFolder | None" = None,
) -> "Reranker":
    """Loads the model that the options choose. With --lenient it cuts queries and counts them.

    Args:
      arguments: the arguments of the command.
      counts: gets the queries that are cut.
      opened: the folder of the model, if the command has opened it.
    """
    check_at_least_one(arguments, "batch_tokens")
    with resting_collector():
        from t5rank.inference.compilation_cache import keep_programs
        from t5rank.inference.reranker import Reranker
        from t5rank.model_folder import open_folder

    keep_programs()
    folder = opened or open_folder(arguments.model, arguments.step)
    reranker = Reranker.from_folder(folder, arguments.batch_tokens)
    reranker.encoder = dataclasses.replace(
        reranker.encoder, strict=not arguments.lenient, counts=counts
    )
    return reranker


def load_embedder(arguments: argparse.Namespace, counts: Counter[str]) -> "TextEmbedder":
    """The model of vectors that the options choose; queries that it cuts are added to `counts`."""
    from t5rank.inference.compilation_cache import keep_programs
    from t5rank.inference.embedder import Embedder

    check_at_least_one(arguments, "batch_tokens")
    keep_programs()
    embedder = Embedder.from_pretrained(arguments.model, arguments.step, arguments.batch_tokens)
    embedder.encoder = dataclasses.replace(embedder.encoder, counts=counts)
    return embedder


def check_at_least_one(arguments: argparse.Namespace, *names: str) -> None:
    """Raises ValueError for an option below 1."""
    for name in names:
        value = getattr(arguments, name)
        if value is not None and value < 1:
            raise ValueError(f"Option '--{name}' has {value}; expected at least 1.")
