"""Gin configuration of our trainer: recipes in, a `Trainer` out."""

import ast
import importlib.util  # noqa: F401, gin 0.5's dynamic registration needs it and does not import it
import logging
from collections.abc import Sequence
from typing import Any

import gin
from gin import config as gin_config

from t5rank.checkpoints.paths import checkpoint_name
from t5rank.data.errors import DataError
from t5rank.train.effects import check_effects, entries_read
from t5rank.train.gin_files import bindings_of, sentence
from t5rank.train.loop import Trainer
from t5rank.train.macros import MACRO, PATHS, check_macros

RUN = "t5rank/configs/runs/finetune.gin"
_log = logging.getLogger(__name__)
_ERRORS = (
    *(OSError, RuntimeError, SyntaxError, NameError, ImportError, AttributeError, LookupError),
    *(TypeError, ValueError),
)


def configured_trainer(gin_files: Sequence[str], bindings: Sequence[str] = ()) -> Trainer:
    """Parses recipes and bindings and builds the trainer they describe.

    The run's own file comes first, so a recipe only says what differs.

    Args:
      gin_files: such as "t5rank/configs/recipes/msmarco_qna_softmax_base.gin".
      bindings: `NAME=value` lines, as gin reads them; a bare word or path is taken as a string.

    Raises:
      ValueError: the configuration is malformed, lacks a value, has one without a meaning, or sets
        what nothing reads.
    """
    files, options = [RUN, *map(str, gin_files)], [quoted(b) for b in bindings]
    lines = bindings_of(files, options)
    gin.clear_config()
    try:
        with gin.unlock_config():
            gin.parse_config_files_and_bindings(files, options, finalize_config=False)
        check_effects(lines)
        check_macros()
        gin.finalize()
        trainer = gin.get_configurable("train/loop.Trainer")()
    except DataError:
        raise
    except _ERRORS as error:
        raise ValueError(sentence(error)) from error
    trainer.gin_settings, trainer.gin_text = settings(), gin.operative_config_str()
    return trainer


def quoted(binding: str) -> str:
    """A binding whose value is quoted if it is a bare word or path, or stands for a path.

    >>> quoted("MODEL_DIR=/models/x"), quoted("TRAIN_STEPS=10"), quoted("HEAD=@mine.Head()")
    ("MODEL_DIR='/models/x'", 'TRAIN_STEPS=10', 'HEAD=@mine.Head()')
    >>> quoted("BEST_METRIC=run/RR@10")
    "BEST_METRIC='run/RR@10'"
    >>> quoted("MODEL_DIR=1234567"), quoted("INITIAL_CHECKPOINT_PATH=None")
    ("MODEL_DIR='1234567'", 'INITIAL_CHECKPOINT_PATH=None')
    """
    name, equals, value = binding.partition("=")
    value = value.strip()
    if not equals or not name.strip():
        raise ValueError(f"Binding '{binding}' has no value; expected NAME=value.")
    try:
        literal = ast.literal_eval(value)
        if name.strip() in PATHS and type(literal) in (int, float):
            return f"{name}={value!r}"
    except (ValueError, SyntaxError):
        if value[:1] not in ("@", "%") and not any(mark in value for mark in "\"'{}[]()"):
            return f"{name}={value!r}"
    return binding


def settings() -> dict[str, str]:
    """Macros, and parameters that are set without one, to what they are, as gin writes it."""
    found = {}
    for scope, selector in entries_read():
        for parameter, value in gin_config._CONFIG[scope, selector].items():
            name = scope if selector == MACRO else f"{scope}/{selector}.{parameter}".lstrip("/")
            if name == "INITIAL_CHECKPOINT_PATH" and isinstance(value, str):
                value = checkpoint_name(value)  # wherever it lies
            if not _is_macro(value):
                found[name] = repr(value)
    return found


def _is_macro(value: Any) -> bool:
    return (
        isinstance(value, gin_config.ConfigurableReference) and value.configurable.selector == MACRO
    )
