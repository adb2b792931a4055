"""The macros of our gin files: what each may have.

Checked before anything is built, whichever trainer runs: ours asks for it (`t5rank.train.config`),
T5X does as it imports `t5rank.t5x.plugin` (a hook of gin's).
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from typing import Any

from gin import config as gin_config

from t5rank.checks import (
    check_boolean,
    check_choice,
    check_integer,
    check_number,
    check_text,
)
from t5rank.models.config import DTYPES, REMAT_POLICIES
from t5rank.models.dual_encoder import SIMILARITIES
from t5rank.models.retrieval import CANDIDATES

MACRO = "gin.macro"
Check = Callable[[str, Any], None]
_MAX_SEED = 2**31 - 1


def _paths(name: str, value: Any) -> None:
    """T5X takes several checkpoints, or an empty tuple for none."""
    if not isinstance(value, list | tuple):
        check_text(name, value, "a path", optional=True)
        return
    for path in value:
        check_text(name, path, "a path")


def _seed(name: str, value: Any) -> None:
    check_integer(name, value, 0)
    if value > _MAX_SEED:
        raise ValueError(f"{name} has {value}; expected at most {_MAX_SEED}.")


def _assignment_map(name: str, value: Any) -> None:
    wanted = "pairs of a regular expression and a name or None, [('target/head/.*', None)]"
    pairs = value if isinstance(value, list | tuple) else [None]
    for pair in pairs:
        if not (
            isinstance(pair, list | tuple)
            and len(pair) == 2
            and isinstance(pair[0], str)
            and isinstance(pair[1], str | None)
        ):
            raise TypeError(f"{name} has {value!r:.80}; expected {wanted}.")
        try:
            re.compile(pair[0])
        except re.error as error:
            raise ValueError(
                f"{name} has the pattern {pair[0]!r}, which does not parse ({error}); "
                f"expected {wanted}."
            ) from None


def _splits(name: str, value: Any) -> None:
    wanted = "split to files, {'train': 'train.jsonl', 'validation': 'validation.jsonl'}"
    if not isinstance(value, Mapping) or not all(isinstance(split, str) for split in value):
        raise TypeError(f"{name} has {value!r:.80}; expected {wanted}.")
    for split, files in value.items():
        for kind, file in files.items() if isinstance(files, Mapping) else [(None, files)]:
            of = f"{name} '{split}'" + (f" '{kind}'" if kind else "")
            check_text(of, file, "a file's name", optional=kind == "qrels")


def _rates(name: str, value: Any) -> None:
    if value is None:
        return
    if not isinstance(value, list | tuple):
        raise TypeError(f"{name} has {value!r:.80}; expected None or a list of numbers above 0.")
    for rate in value:
        check_number(name, rate, above=0)


def _answer(name: str, value: Any) -> None:
    """A word, or a token's id."""
    if isinstance(value, int):
        check_integer(name, value, 0)
    else:
        check_text(name, value, "a word or a token's id")


def _prefix(name: str, value: Any) -> None:
    if value != "":
        check_text(name, value, "a text, or '' for none")


def _lengths(name: str, value: Any) -> None:
    if not isinstance(value, Mapping):
        raise TypeError(f"{name} has {value!r:.80}; expected lengths by feature.")


_INTEGER = check_integer
_OR_NONE = functools.partial(check_integer, optional=True)
_FROM_0 = functools.partial(check_integer, at_least=0)
_PATH = functools.partial(check_text, what="a path")
_MAY_BE_PATH = functools.partial(check_text, what="a path", optional=True)
_MEASURES = functools.partial(check_text, what="names of measures")
_NAME = functools.partial(check_text, what="a name")

CHECKS: Mapping[str, Check] = {
    "ACTIVATION_DTYPE": functools.partial(check_choice, choices=DTYPES),
    "ASSIGNMENT_MAP": _assignment_map,
    "BATCH_SIZE": _INTEGER,
    "BEST_METRIC": _NAME,
    "CANDIDATES": functools.partial(check_choice, choices=CANDIDATES),
    "CHECKPOINT_PERIOD": _INTEGER,
    "DATASETS_PER_BATCH": _OR_NONE,
    "DATA_DIR": _PATH,
    "DROPOUT_RATE": functools.partial(check_number, at_least=0, below=1),
    "DOCUMENT_PROMPT": _prefix,
    "EARLY_STOPPING_PATIENCE": _OR_NONE,
    "EVAL_BATCH_TOKENS": _OR_NONE,
    "EVAL_COLLECTION": _MAY_BE_PATH,
    "EVAL_MEASURES": _MEASURES,
    "EVAL_MIXTURE_OR_TASK_NAME": functools.partial(check_text, what="a task", optional=True),
    "EVAL_PERIOD": _FROM_0,
    "EVAL_QRELS": _MAY_BE_PATH,
    "EVAL_QUERIES": _OR_NONE,
    "EVAL_RETRIEVAL_MEASURES": _MEASURES,
    "EVAL_STEPS": _OR_NONE,
    "EVAL_TOPN": _OR_NONE,
    "FALSE_TOKEN": _answer,
    "GRADIENT_CACHE_ROWS": _OR_NONE,
    "INITIAL_CHECKPOINT_PATH": _paths,
    "INPUT_LENGTH": _INTEGER,
    "KEEP_CHECKPOINTS": _OR_NONE,  # None keeps all, for T5X
    "KEEP_WITHOUT_RELEVANT": check_boolean,
    "LABEL": functools.partial(check_choice, choices=("label", "teacher_score")),
    "LABELLED": check_boolean,
    "LEARNING_RATE": functools.partial(check_number, at_least=0),
    "LEARN_TEMPERATURE": check_boolean,
    "LIST_SIZE": _INTEGER,
    "LOG_PERIOD": _INTEGER,
    "LOSS_NORMALIZING_FACTOR": functools.partial(check_number, above=0, optional=True),
    "MASK_FALSE_NEGATIVES": check_boolean,
    "MIXTURE_OR_TASK_NAME": functools.partial(check_text, what="a task"),
    "MODEL_DIR": _PATH,
    "MODEL_PARALLEL": _INTEGER,
    "NUM_MICROBATCHES": _INTEGER,
    "ONE_POSITIVE": check_boolean,
    "PARAMETER_PARTITIONING_DIMS": functools.partial(check_choice, choices=(1, 2)),
    "POOLING": functools.partial(check_choice, choices=("first", "mean")),
    "PROJECTION_DIM": _OR_NONE,
    "PROMPT": functools.partial(check_text, what="a prompt"),
    "QUERY_LENGTH": _OR_NONE,
    "QUERY_PROMPT": _prefix,
    "RANDOM_SEED": _seed,
    "RATES": _rates,
    "REMAT_POLICY": functools.partial(check_choice, choices=REMAT_POLICIES),
    "RESUME_WITH_CHANGES": check_boolean,
    "ROWS_PER_LIST": _OR_NONE,
    "SCAN_LAYERS": check_boolean,
    "SHUFFLE_BUFFER": _INTEGER,
    "SIMILARITY": functools.partial(check_choice, choices=SIMILARITIES),
    "SPLITS": _splits,
    "STRICT": check_boolean,
    "TASK_FEATURE_LENGTHS": _lengths,
    "TEMPERATURE": functools.partial(check_number, above=0),
    "TOPN": _OR_NONE,
    "TRAIN_STEPS": _INTEGER,
    "TRUE_TOKEN": _answer,
    "USE_CACHED_TASKS": check_boolean,
    "VOCABULARY_FILE": _PATH,
    "VOCAB_SIZE": _INTEGER,
    "WARMUP_STEPS": _FROM_0,
}
PATHS = (
    *("DATA_DIR", "EVAL_COLLECTION", "EVAL_QRELS", "INITIAL_CHECKPOINT_PATH", "MODEL_DIR"),
    *("VOCABULARY_FILE", "CHECKPOINT_PATH", "EVAL_OUTPUT_DIR", "INFER_OUTPUT_DIR"),
)
# What must be called, or must not be.
_FUNCTIONS = {
    "LAYOUT": (False, "a function, LAYOUT = @layouts.packed"),
    "LEARNING_RATE_SCHEDULE": (None, "a schedule, LEARNING_RATE_SCHEDULE = @schedules.linear()"),
    "LOSS_FN": (None, "a loss, LOSS_FN = @losses.softmax_loss"),
    "MODEL": (True, "a model, MODEL = @ranking.RankingModel()"),
    "OPTIMIZER": (True, "an optimizer, OPTIMIZER = @optimizers.adamw()"),
}


def check_macros(config: Mapping[tuple[str, str], Mapping[str, Any]] | None = None) -> None:
    """Raises for a macro whose value has no meaning; one without a value is left to others.

    Args:
      config: gin's bindings; those that are parsed by default.

    Raises:
      TypeError: a value of another type.
      ValueError: a value out of bounds.
    """
    config = gin_config._CONFIG if config is None else config
    for (name, selector), bound in config.items():
        if selector != MACRO:
            continue
        value = _value(bound.get("value"), config, {name})
        if name in CHECKS and _is_literal(value):
            CHECKS[name](name, value)
        if name in _FUNCTIONS:
            _check_function(name, value)


def _check_function(name: str, value: Any) -> None:
    called, wanted = _FUNCTIONS[name]
    is_reference = isinstance(value, gin_config.ConfigurableReference)
    if is_reference and value.selector == MACRO:
        return  # without a value
    if not is_reference:
        raise TypeError(f"{name} has {value!r:.80}; expected {wanted}.")
    if called is not None and value.evaluate != called:
        raise TypeError(f"{name} has {value!r}; expected {wanted}.")


def _value(value: Any, config: Mapping[tuple[str, str], Mapping[str, Any]], seen: set[str]) -> Any:
    """The value behind a macro that has another macro's; a reference where there is none."""
    while isinstance(value, gin_config.ConfigurableReference) and value.selector == MACRO:
        name = "/".join(value.scopes)
        if name in seen:
            raise ValueError(f"Macro '{name}' refers to itself; expected a value.")
        seen.add(name)
        if (name, MACRO) not in config:
            break
        value = config[name, MACRO].get("value")
    return value


def _is_literal(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(map(_is_literal, value.values()))
    if isinstance(value, list | tuple):
        return all(map(_is_literal, value))
    return not isinstance(value, gin_config.ConfigurableReference)
