"""The command `t5rank`; its sub-commands are in the other modules."""

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from typing import Any

import t5rank
from t5rank.cli.converting import add_convert, add_export
from t5rank.cli.encoding import add_encode
from t5rank.cli.evaluating import add_evaluate
from t5rank.cli.lists import add_lists
from t5rank.cli.options import CommandParser
from t5rank.cli.reporting import add_report
from t5rank.cli.reproducing import add_reproduce
from t5rank.cli.scoring import add_merge, add_rerank, add_score
from t5rank.cli.searching import add_search
from t5rank.cli.serving import add_serve
from t5rank.cli.streams import set_up_stdout
from t5rank.cli.terminal import set_up_logging
from t5rank.cli.training import add_quickstart, add_train
from t5rank.data.errors import DataError
from t5rank.process.packages import MissingExtra


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one sub-command; returns the exit status."""
    arguments = _parser().parse_args(_one_word_bindings(sys.argv[1:] if argv is None else argv))
    set_up_logging()
    set_up_stdout()
    try:
        return arguments.command(arguments)
    except BrokenPipeError:  # the reader of our output has closed it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print("t5rank: interrupted", file=sys.stderr)
        return 130
    except DataError as error:
        print(
            f"t5rank: {error.message_for(getattr(arguments, 'data_options', {}))}", file=sys.stderr
        )
        return 1
    except (MissingExtra, ValueError, RuntimeError, OSError) as error:
        print(f"t5rank: {error}", file=sys.stderr)
        return 1


def _one_word_bindings(argv: Sequence[str]) -> list[str]:
    """Turns `--gin.NAME=value` into `--gin=NAME=value`, which argparse can parse."""
    return [f"--gin={a.removeprefix('--gin.')}" if a.startswith("--gin.") else a for a in argv]


class _Import(argparse.Action):
    """Imports a module at once, because the options of a command may depend on it."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: Any = None) -> None:
        try:
            importlib.import_module(values)
        except (ImportError, ValueError) as error:
            parser.error(f"Option '--import' has '{values}': {error}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="t5rank",
        description="Fine-tune, evaluate and use T5 rerankers in JAX.",
        epilog="New here? Run 't5rank quickstart'.",
    )
    parser.add_argument("--version", action="version", version=f"t5rank {t5rank.__version__}")
    parser.add_argument(
        "--import",
        dest="imported",
        action=_Import,
        metavar="MODULE",
        help="a Python module that registers a model kind",
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=CommandParser)
    for add in (
        add_quickstart,
        add_lists,
        add_train,
        add_encode,
        add_search,
        add_rerank,
        add_merge,
        add_score,
        add_evaluate,
        add_report,
        add_reproduce,
        add_convert,
        add_export,
        add_serve,
    ):
        add(commands)
    return parser
