"""`run.json`: what a run was asked to do, what it took and what it reached.

{"format": 1, "steps", "train_steps", "reason", "documents", "tokens", "operations", "seconds",
 "devices", "device_kind", "peak_operations_per_second", "best": {"step", "metric", "value"},
 "validation": {last metrics}, "irregular_data": {task: {what: how often}}, "parameters",
 "training": {settings}, "versions"}

Sums are over all resumes: those of `records.totals`. `seconds` are wall time, compilation and
saving included, validation left out. `irregular_data` are those of `t5rank.data.ranked_list`, as
far as this resume has read. `peak_operations_per_second` is that of all devices together,
None where it is not known; `best` is None where nothing was validated.
"""

import functools
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from typing import TYPE_CHECKING, Any

from t5rank.checkpoints.paths import checkpoint_name
from t5rank.runs import records
from t5rank.tasks import irregular, registry

if TYPE_CHECKING:
    from t5rank.train.loop import Trainer

FORMAT = 1
_PACKAGES = ("t5rank", "jax", "flax", "optax", "orbax-checkpoint", "seqio", "tensorflow")


def run_record(
    trainer: "Trainer",
    step: int,
    reason: str,
    best: Mapping[str, Any] | None,
    parameters: int,
    logged: Sequence[records.Record],
) -> dict[str, Any]:
    """What `run.json` holds, see the module's docstring."""
    return {
        "format": FORMAT,
        "steps": step,
        "train_steps": trainer.train_steps,
        "reason": reason,
        **records.totals(logged),
        "devices": trainer.mesh.size,
        "device_kind": trainer.mesh.devices.flat[0].device_kind,
        "peak_operations_per_second": trainer.peak_operations(),
        "best": None if best is None else dict(best),
        "validation": records.last(logged, records.VALIDATION),
        "irregular_data": {task: irregular.found_in(task) for task in sorted(_tasks(trainer))},
        "parameters": parameters,
        "training": _settings(trainer, logged),
        "versions": {"python": platform.python_version()}
        | {name: metadata.version(name) for name in _PACKAGES},
    }


def _tasks(trainer: "Trainer") -> set[str]:
    names = (trainer.mixture_or_task_name, trainer.eval_task)
    return {task for name in names for task in registry.task_names(name)}


def _settings(trainer: "Trainer", logged: Sequence[records.Record]) -> dict[str, Any]:
    model, eval_split = trainer.model, trainer.eval_split if trainer.eval_period else None
    optimizer = trainer.optimizer_def
    rates = [record["learning_rate"] for record in logged if "learning_rate" in record]
    return {
        "data": _files(trainer.mixture_or_task_name, registry.TRAIN),
        "validation_data": _files(trainer.eval_task, eval_split),
        "validation_queries": {
            task: len(qrels) for task, qrels in getattr(trainer.validation, "qrels", {}).items()
        },
        "validation_topn": trainer.eval_topn,
        "list_size": trainer.task_feature_lengths["inputs"][0],
        "batch_size": trainer.batch_size,
        "loss": name_of(model.loss_fn),
        "optimizer": name_of(getattr(optimizer, "transformation", optimizer)),
        "schedule": name_of(trainer.learning_rate_fn),
        "learning_rate": max(rates, default=None),
        "dropout_rate": model.module.config.dropout_rate,
        "activations": model.module.config.dtype,
        "layout": name_of(trainer.layout),
        "random_seed": trainer.random_seed,
        "initial_checkpoint": checkpoint_name(trainer.initial_checkpoint_path),
    }


def _files(task: str, split: str | None) -> dict[str, dict[str, str]]:
    """Task to the files that it reads for a split, named from the folder that all of it is in."""
    found = {}
    for name in registry.task_names(task):
        splits = registry.split_files(name)
        files = [os.path.abspath(file) for kinds in splits.values() for file in kinds.values()]
        common = os.path.commonpath(map(os.path.dirname, files)) if files else ""
        if split in splits:
            found[name] = {k: os.path.relpath(file, common) for k, file in splits[split].items()}
    return found


def name_of(function: Callable[..., Any]) -> str:
    """A function's name; where it was made by another one, that one's.

    >>> name_of(functools.partial(max, 1))
    'max'
    """
    while isinstance(function, functools.partial):
        function = function.func
    name = getattr(function, "__qualname__", type(function).__qualname__)
    return name.split(".<locals>")[0]
