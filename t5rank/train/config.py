"""Gin configuration of our trainer: recipes in, a `Trainer` out."""

import ast
import importlib.util  # noqa: F401, gin 0.5's dynamic registration needs it and does not import it
import logging
from collections.abc import Iterator, Sequence
from typing import Any

import gin
from gin import config as gin_config

from t5rank.checkpoints.paths import checkpoint_name
from t5rank.train.loop import Trainer

RUN = "t5rank/configs/runs/finetune.gin"
_MACRO = "gin.macro"
_log = logging.getLogger(__name__)


def configured_trainer(gin_files: Sequence[str], bindings: Sequence[str] = ()) -> Trainer:
    """Parses recipes and bindings and builds the trainer they describe.

    The run's own file comes first, so a recipe only says what differs.

    Args:
      gin_files: such as "t5rank/configs/recipes/msmarco_qna_softmax_base.gin".
      bindings: `NAME=value` lines, as gin reads them; a bare word or path is taken as a string.

    Raises:
      ValueError: the configuration is malformed, lacks a value, or sets a macro that binds nothing.
    """
    gin.clear_config()
    try:
        with gin.unlock_config():
            gin.parse_config_files_and_bindings(
                [RUN, *gin_files], [quoted(b) for b in bindings], finalize_config=False
            )
        check_macros()
        gin.finalize()
        trainer = gin.get_configurable("train/loop.Trainer")()
    except (OSError, RuntimeError, SyntaxError, NameError, ImportError, AttributeError) as error:
        raise ValueError(f"Gin configuration has an error: {error}") from error
    trainer.gin_settings, trainer.gin_text = settings(), gin.operative_config_str()
    return trainer


def quoted(binding: str) -> str:
    """A binding whose value is quoted if it is a bare word or path.

    >>> quoted("MODEL_DIR=/models/x"), quoted("TRAIN_STEPS=10"), quoted("HEAD=@heads.EncoderHead()")
    ("MODEL_DIR='/models/x'", 'TRAIN_STEPS=10', 'HEAD=@heads.EncoderHead()')
    >>> quoted("BEST_METRIC=run/RR@10")
    "BEST_METRIC='run/RR@10'"
    """
    name, equals, value = binding.partition("=")
    value = value.strip()
    if not equals or not name.strip():
        raise ValueError(f"Binding '{binding}' has no value; expected NAME=value.")
    try:
        ast.literal_eval(value)
    except (ValueError, SyntaxError):
        if value[:1] not in ("@", "%") and not any(mark in value for mark in "\"'{}[]()"):
            return f"{name}={value!r}"
    return binding


def check_macros() -> None:
    """Raises ValueError where a macro is set that nothing uses."""
    macros = {scope for scope, selector in gin_config._CONFIG if selector == _MACRO}
    unused = sorted(macros - {scope for scope, selector in _in_use() if selector == _MACRO})
    if unused:
        raise ValueError(
            f"Macro '{unused[0]}' has no effect in this configuration; expected one of "
            f"{sorted(macros - set(unused))}. Is it misspelt, or left over from another recipe? "
            f"All without effect: {', '.join(unused)}."
        )


def settings() -> dict[str, str]:
    """Macros, and parameters that are set without one, to what they are, as gin writes it."""
    found = {}
    for scope, selector in _in_use():
        for parameter, value in gin_config._CONFIG[scope, selector].items():
            name = scope if selector == _MACRO else f"{scope}/{selector}.{parameter}".lstrip("/")
            if name == "INITIAL_CHECKPOINT_PATH" and isinstance(value, str):
                value = checkpoint_name(value)  # wherever it lies
            if not _is_macro(value):
                found[name] = repr(value)
    return found


def _is_macro(value: Any) -> bool:
    return (
        isinstance(value, gin_config.ConfigurableReference)
        and value.configurable.selector == _MACRO
    )


def _in_use() -> set[tuple[str, str]]:
    """The configuration entries that the trainer uses."""
    used, todo = set(), [key for key in gin_config._CONFIG if key[1].endswith("loop.Trainer")]
    while todo:
        key = todo.pop()
        if key in used:
            continue
        used.add(key)
        todo += [key for ref in _references(gin_config._CONFIG[key]) for key in _bindings_of(ref)]
    return used


def _references(value: Any) -> Iterator[gin_config.ConfigurableReference]:
    if isinstance(value, gin_config.ConfigurableReference):
        yield value
    elif isinstance(value, dict):
        for pair in value.items():
            yield from _references(list(pair))
    elif isinstance(value, list | tuple | set):
        for item in value:
            yield from _references(item)


def _bindings_of(reference: gin_config.ConfigurableReference) -> list[tuple[str, str]]:
    """The configuration entries that a reference makes matter."""
    scope, selector = "/".join(reference.scopes), reference.configurable.selector
    if selector == _MACRO:
        return [(scope, selector)] if (scope, selector) in gin_config._CONFIG else []
    return [key for key in gin_config._CONFIG if key[1] == selector]
