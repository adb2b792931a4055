"""`t5rank quickstart` and `t5rank train`."""

import argparse
from pathlib import Path

from t5rank.cli.options import add_command
from t5rank.cli.streams import check_text, local_folder
from t5rank.cli.terminal import import_tensorflow
from t5rank.data.errors import GIN_OPTIONS
from t5rank.process.leaving import INTERRUPTED


def add_quickstart(commands) -> None:
    parser = add_command(
        commands,
        "quickstart",
        "train two small rerankers on Python's documentation and compare them",
        """
        The texts are the documentation strings of the Python that runs this. The vocabulary is
        trained on them. Everything is written into one folder. It takes a few minutes on two CPU
        cores, and needs no network.
        """,
    )
    parser.add_argument(
        "--output",
        default="t5rank_quickstart",
        type=local_folder,
        help="folder to write [%(default)s]",
    )
    parser.add_argument("--steps", type=int, help="training steps of each model [the recipe's]")
    parser.set_defaults(command=_quickstart)


def _quickstart(arguments: argparse.Namespace) -> int:
    import_tensorflow()
    from t5rank.quickstart import quickstart

    figures = quickstart(Path(arguments.output), arguments.steps)
    return INTERRUPTED if figures is None else 0


def add_train(commands) -> None:
    parser = add_command(
        commands,
        "train",
        "fine-tune a reranker from a gin recipe",
        """
        t5rank train --gin_file=t5rank/configs/recipes/msmarco_passage_softmax.gin \\
            --gin.MODEL_DIR=models/softmax --gin.DATA_DIR=data --gin.VOCABULARY_FILE=spiece.model

        If it is run again with the same MODEL_DIR, it resumes from the latest checkpoint. If data
        or settings have changed, it asks for RESUME_WITH_CHANGES=True. On SIGTERM or Ctrl-C it
        saves, ends and returns 143; a second Ctrl-C ends it at once. Recipes are in
        t5rank/configs/recipes/*.gin, which is gin/recipes in the source. The macros that a recipe
        can set are listed in t5rank/configs/runs/finetune.gin.
        """,
    )
    parser.add_argument(
        "--gin_file", action="append", default=[], required=True, metavar="FILE", help="a recipe"
    )
    parser.add_argument(
        "--gin",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="sets a macro or a parameter; also written --gin.NAME=VALUE",
    )
    parser.set_defaults(command=_train, data_options=GIN_OPTIONS)


def _train(arguments: argparse.Namespace) -> int:
    check_text(arguments, "gin")
    import_tensorflow()
    from t5rank.inference.compilation_cache import use_compilation_cache
    from t5rank.train.config import configured_trainer

    use_compilation_cache()
    trainer = configured_trainer(arguments.gin_file, arguments.gin)
    result = trainer.train()
    return INTERRUPTED if result.reason == "interrupted" else 0
