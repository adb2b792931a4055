"""What a run will need is looked at before its first step, which may be hours before its last."""

from __future__ import annotations

import logging
import uuid
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np

from t5rank.checkpoints.paths import path
from t5rank.losses.combinations import takes
from t5rank.process.packages import require
from t5rank.tasks import checks, registry
from t5rank.tasks.batches import check_batch_size
from t5rank.tasks.checks import CheckedLists
from t5rank.tasks.preprocessors import list_size
from t5rank.types import LossFn

if TYPE_CHECKING:
    from t5rank.train.loop import Trainer
    from t5rank.train.validation import Validation

_LISTS = 200  # whose labels the loss is tried on
_log = logging.getLogger(__name__)


def check_run(trainer: Trainer) -> None:
    """Opens what the run will read and write; warns of what it cannot learn from.

    Raises:
      ValueError: files that are missing or malformed, lists that a loss or a validation cannot use,
        a folder that cannot be written.
      MissingExtra: matplotlib cannot be imported.
    """
    check_writable(trainer.model_dir)
    require("train", "matplotlib")  # the picture is drawn at the end
    check_batch_size(trainer.mixture_or_task_name, trainer.batch_size)
    trained = [
        checks.check_lists(task, registry.TRAIN, trainer.encoder, trainer.use_cached_tasks)
        for task in registry.task_names(trainer.mixture_or_task_name)
    ]
    steps = (0, trainer.train_steps // 2, trainer.train_steps - 1)
    if not any(float(trainer.learning_rate_fn(step)) for step in steps):
        _log.warning("NOTHING TO LEARN: the learning rate is 0 at every step.")
    for checked in [] if trainer.model.sees_other_lists else filter(None, trained):
        _warn(checked, trainer.model.loss_fn, list_size(trainer.task_feature_lengths))
    if trainer.validation is not None:
        _check_validation(trainer, trainer.validation)


def check_writable(model_dir: str) -> None:
    """Raises ValueError where nothing can be written into the folder."""
    folder = path(model_dir)
    probe = folder / f".{uuid.uuid4().hex}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_text("")
        probe.unlink()
    except OSError as error:
        raise ValueError(
            f"MODEL_DIR '{model_dir}' cannot be written to ({error.strerror or error}); expected a "
            "folder, or a place for one."
        ) from None


def check_teaches(loss_fn: LossFn, size: int | None) -> None:
    """Raises ValueError where lists of this size never give the loss a gradient."""
    if size == 1 and not _has_gradient(loss_fn, [np.ones(1), np.zeros(1)]):
        raise ValueError(
            f"LIST_SIZE has 1; expected at least 2 for the loss '{_name(loss_fn)}': it compares "
            "the documents of a list, and its gradient is always 0."
        )


def _warn(checked: CheckedLists, loss_fn: LossFn, size: int | None) -> None:
    """Lists are sampled down to the list size, in an order that is not known here."""
    labels = [part[:size] for part in checked.labels] if size == 1 else checked.labels
    step = max(len(labels) // _LISTS, 1)
    reason = checks.label_warning(checked)
    if not _has_gradient(loss_fn, labels[::step][:_LISTS]):
        _log.warning(
            "NOTHING TO LEARN: the loss '%s' has no gradient on %s%s.",
            _name(loss_fn),
            checked.which,
            f", which {reason}" if reason else "",
        )
    elif reason:
        _log.warning("LITTLE TO LEARN: %s %s.", checked.which, reason)


def _has_gradient(loss_fn: LossFn, labels: list[np.ndarray]) -> bool:
    """Whether the loss of such lists moves any of some random scores."""
    width = max(map(len, labels))
    padded = np.stack([np.pad(part, (0, width - len(part))) for part in labels]).astype(np.float32)
    where = np.arange(width) < np.array([len(part) for part in labels])[:, None]
    scores = np.random.default_rng(0).normal(size=padded.shape).astype(np.float32)
    given = {"key": jax.random.key(0), "positive_scores": scores, "scale": 1.0}
    optional = {name: value for name, value in given.items() if takes(loss_fn, name)}

    def loss(scores: jnp.ndarray) -> jnp.ndarray:
        return jnp.sum(loss_fn(scores, padded, where=where, **optional))

    gradient = np.where(where, jax.jit(jax.grad(loss))(scores), 0.0)
    return bool(np.any(np.abs(gradient) > 0) or not np.all(np.isfinite(gradient)))


def _check_validation(trainer: Trainer, validation: Validation) -> None:
    relevant, is_whole = 0, True
    for task in validation.tasks:
        found = checks.check_lists(
            task, trainer.eval_split, trainer.encoder, trainer.use_cached_tasks
        )
        if found is None:  # cached
            is_whole = False
            continue
        relevant, is_whole = relevant + found.relevant, is_whole and found.is_whole
        qrels = validation.qrels.get(task)
        if qrels is not None and found.is_whole and not found.query_ids & qrels.keys():
            raise ValueError(
                f"The lists of '{task}' in '{trainer.eval_split}' have no query of its qrels "
                f"('{next(iter(found.query_ids))}' for one, the qrels '{next(iter(qrels), '')}'); "
                "expected the same ids. Do qrels and lists belong together?"
            )
    if is_whole and not relevant and "answerable/" in trainer.best_metric:
        raise ValueError(
            f"BEST_METRIC has '{trainer.best_metric}', and no list of '{trainer.eval_split}' has a "
            "label above 0; expected lists with a relevant document."
        )


def _name(loss_fn: LossFn) -> str:
    return getattr(loss_fn, "__name__", type(loss_fn).__name__)
