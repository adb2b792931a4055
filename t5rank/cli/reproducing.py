"""`t5rank reproduce`."""

import argparse
import shlex
from pathlib import Path

from t5rank.cli.options import add_command, check_at_least_one
from t5rank.cli.streams import check_text, local_folder


def add_reproduce(commands) -> None:
    parser = add_command(
        commands,
        "reproduce",
        "run a published experiment, from downloads to a report",
        """
        t5rank reproduce qna-softmax-vs-sigmoid --data data --initial_checkpoint t5_base
        t5rank reproduce rankt5 --size tiny --data data
        t5rank reproduce rankt5 --size tiny --data data --check
        t5rank reproduce list

        It checks the files of the data folder, and says where to get those that are missing. It
        then builds lists, trains every arm with every seed, reranks, evaluates, and writes
        OUTPUT/report. After a stop, the same command continues; with a larger --seeds it trains the
        seeds that are missing. --dry_run prints each step as a command. A step may be run on
        another machine, and a training with t5x.train, if its output is copied back.
        """,
    )
    parser.add_argument("name", metavar="NAME", help="the experiment; 'list' prints all names")
    parser.add_argument("--size", metavar="SIZE", help="size of model and data [the first]")
    parser.add_argument(
        "--data", default="data", type=local_folder, metavar="DIR", help="the files [%(default)s]"
    )
    parser.add_argument(
        "--output", type=local_folder, metavar="DIR", help="where to write [t5rank_NAME_SIZE]"
    )
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="seeds [%(default)s]")
    parser.add_argument(
        "--initial_checkpoint", metavar="PATH", help="a pretrained T5 that every arm starts from"
    )
    parser.add_argument(
        "--gin",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a setting of every training, such as NUM_MICROBATCHES=4; or --gin.NAME=VALUE",
    )
    parser.add_argument(
        "--workers", type=int, default=1, metavar="N", help="processes that build lists [1]"
    )
    parser.add_argument(
        "--without_texts", action="store_true", help="a report with ids in place of texts"
    )
    parser.add_argument("--dry_run", action="store_true", help="only print the steps")
    parser.add_argument(
        "--check",
        action="store_true",
        help="only check the files of the data folder, and print where to get each",
    )
    parser.set_defaults(command=_reproduce)


def _reproduce(arguments: argparse.Namespace) -> int:
    from t5rank.reproduce import DESIGNS, Options, find_design, reproduce
    from t5rank.reproduce.inputs import check_inputs, described_inputs
    from t5rank.reproduce.running import default_folder

    if arguments.name == "list":
        for each in DESIGNS:
            print(f"{each.name:<24}--size {each.size:<8}{each.title}")
        return 0
    check_at_least_one(arguments, "seeds", "workers")
    check_text(arguments, "gin")
    design = find_design(arguments.name, arguments.size, DESIGNS)
    if arguments.check:
        print(described_inputs(design.inputs), flush=True)
        check_inputs(design.inputs, Path(arguments.data))
        print(f"Data folder '{arguments.data}' has all {len(design.inputs)} files.")
        return 0
    options = Options(
        data=Path(arguments.data),
        folder=Path(arguments.output or default_folder(design)),
        seeds=tuple(range(arguments.seeds)),
        initial_checkpoint=arguments.initial_checkpoint,
        bindings=tuple(arguments.gin),
        workers=arguments.workers,
        without_texts=arguments.without_texts,
    )
    return reproduce(design, options, _command(arguments, design.size), dry_run=arguments.dry_run)


def _command(arguments: argparse.Namespace, size: str) -> str:
    """The command with the options that decide the result."""
    words = ["t5rank", "reproduce", arguments.name, "--size", size]
    words += ["--seeds", str(arguments.seeds)]
    if arguments.initial_checkpoint:
        words += ["--initial_checkpoint", arguments.initial_checkpoint]
    return shlex.join([*words, *(f"--gin.{binding}" for binding in arguments.gin)])
