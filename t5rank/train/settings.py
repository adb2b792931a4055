"""`settings.json`: what a model folder was trained with, and what a run that goes on changes.

{"format": 1, "of": "gin" | "python", "settings": {name: value as text},
 "data": {"train" | "validation": {"TASK KIND": {"path", "size", "checksum"}}},
 "validated_since": step, "changes": [{"step", "changes": [sentence]}]}

Files are compared by size and checksum, so a copy elsewhere is the same file. Validations up to
`validated_since` were on another set of lists.
"""

import dataclasses
import inspect
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from t5rank.checkpoints.paths import checkpoint_name, path
from t5rank.data.msmarco import tfds_info
from t5rank.formats.json_files import read_object
from t5rank.tasks import registry
from t5rank.train.digests import digest

if TYPE_CHECKING:
    from t5rank.train.loop import Trainer

SETTINGS = "settings.json"
FORMAT = 1
# What changes nothing that is learned, or what is compared otherwise: files by what they hold,
# network, head and vocabulary by `model_folder`.
FREE = {
    *("MODEL_DIR", "RESUME_WITH_CHANGES", "TRAIN_STEPS", "TOTAL_STEPS"),
    *("LOG_PERIOD", "CHECKPOINT_PERIOD", "KEEP_CHECKPOINTS"),
    *("EVAL_PERIOD", "EVAL_MEASURES", "BEST_METRIC", "EARLY_STOPPING_PATIENCE"),
    *("EVAL_COLLECTION", "EVAL_RETRIEVAL_MEASURES", "MODEL_PARALLEL"),
    *("PARAMETER_PARTITIONING_DIMS", "EVAL_BATCH_TOKENS"),
    *("NUM_MICROBATCHES", "GRADIENT_CACHE_ROWS", "REMAT_POLICY", "SCAN_LAYERS"),
    *("DATA_DIR", "SPLITS", "EVAL_QRELS", "VOCABULARY_FILE", "ASSIGNMENT_MAP"),
    *("HEAD", "MODULE"),
}
# What the lists of validation depend on, their files apart.
OF_VALIDATION = {
    *("EVAL_MIXTURE_OR_TASK_NAME", "EVAL_SPLIT", "EVAL_QUERIES", "EVAL_TOPN"),
    *("MIXTURE_OR_TASK_NAME", "TASKS", "TOPN", "KEEP_WITHOUT_RELEVANT", "LABELLED", "STRICT"),
    *("USE_CACHED_TASKS",),
}
Record = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Change:
    """A setting that differs.

    Attributes:
      said: the change, as part of a sentence.
      of_validation: whether validations before and after it cannot be compared.
    """

    said: str
    of_validation: bool


def written_form(trainer: "Trainer") -> Record:
    """What `settings.json` holds for a run that starts anew."""
    gin = trainer.gin_settings
    return {
        "format": FORMAT,
        "of": "python" if gin is None else "gin",
        "settings": _of_python(trainer) if gin is None else dict(gin),
        "data": {"train": _train_files(trainer), "validation": _validation_files(trainer)},
        "validated_since": 0,
        "changes": [],
    }


def read(directory: str | os.PathLike[str]) -> Record | None:
    """What a model folder's `settings.json` holds; None where there is none.

    Raises:
      ValueError: the file is damaged.
    """
    file = path(directory) / SETTINGS
    advice = "Delete it to go on with what the folder has."
    keys = ("of", "settings", "data", "validated_since", "changes")
    return read_object(file, keys, advice) if file.is_file() else None


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[Change]:
    """What differs, but for what may change."""
    found = []
    if before["of"] == now["of"]:
        found += list(_setting_changes(before["settings"], now["settings"]))
    for split in ("train", "validation"):
        found += list(_file_changes(split, before["data"][split], now["data"][split]))
    return found


def _setting_changes(before: Mapping[str, str], now: Mapping[str, str]) -> Iterator[Change]:
    for name in sorted({*before, *now}):
        # A macro that one side lacks came or went with a version; a parameter was set or not.
        comparable = (name in before and name in now) or "." in name
        macro = name.rsplit(".")[-1].upper()
        if comparable and macro not in FREE and before.get(name) != now.get(name):
            said = f"{name} was {before.get(name, 'not set')} and is {now.get(name, 'not set')}"
            yield Change(said, macro in OF_VALIDATION)


def _file_changes(
    split: str, before: Mapping[str, Any], now: Mapping[str, Any]
) -> Iterator[Change]:
    for name in sorted({*before, *now}):
        had, has = before.get(name), now.get(name)
        if not _is_same(had, has):
            said = f"{split} data of {name} were {_file(had)} and are {_file(has)}"
            yield Change(said, split == "validation")


def _is_same(had: Mapping[str, Any] | None, has: Mapping[str, Any] | None) -> bool:
    if had is None or has is None:
        return False
    # A pipe, or the source of a cached task that is elsewhere, has none.
    return None in (had["checksum"], has["checksum"]) or had["checksum"] == has["checksum"]


def _file(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return "none"
    size = "" if found["size"] is None else f" ({found['size']:,} bytes, {found['checksum'][:8]})"
    return f"'{found['path']}'{size}"


def _of_python(trainer: "Trainer") -> dict[str, str]:
    """The settings of a trainer that was made without gin."""
    model = trainer.model
    values = {field.name: getattr(trainer, field.name) for field in dataclasses.fields(trainer)}
    values |= {"loss": model.loss_fn, "dropout_rate": model.module.config.dropout_rate}  # type: ignore[attr-defined]
    values |= {"loss_normalizing_factor": model.loss_normalizing_factor}
    del values["model"], values["gin_settings"], values["gin_text"]
    values["initial_checkpoint_path"] = checkpoint_name(trainer.initial_checkpoint_path)
    rates = inspect.getclosurevars(inspect.unwrap(trainer.learning_rate_fn)).nonlocals
    values |= {f"learning_rate_fn.{name}": rate for name, rate in rates.items()}
    return {name: repr(value) for name, value in values.items() if _is_plain(value)}


def _is_plain(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(map(_is_plain, value.values()))
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, bool | int | float | str)


def _train_files(trainer: "Trainer") -> dict[str, Any]:
    return _files(trainer.mixture_or_task_name, registry.TRAIN)


def _validation_files(trainer: "Trainer") -> dict[str, Any]:
    found = _files(trainer.eval_task, trainer.eval_split)
    if trainer.eval_qrels is not None:
        found["EVAL_QRELS"] = _described(trainer.eval_qrels)
    return found


def _files(task: str, split: str) -> dict[str, Any]:
    return {
        f"'{name}', {kind}": _described(file)
        for name in registry.task_names(task)
        for kind, file in registry.split_files(name).get(split, {}).items()
    }


def _described(file: str) -> dict[str, Any]:
    size, checksum = digest(Path(tfds_info(file) or file))
    return {"path": os.path.abspath(file), "size": size, "checksum": checksum}
