"""What a run finds in its model folder: what may go on, and what is written before it does."""

import logging
from typing import TYPE_CHECKING, Any

from etils import epath

from t5rank import checkpoints, model_folder
from t5rank.formats.json_files import write_json
from t5rank.formats.text_files import write_text
from t5rank.train import settings

if TYPE_CHECKING:
    from t5rank.train.loop import Trainer

CONFIG = "config.gin"
_log = logging.getLogger(__name__)


def begin(trainer: "Trainer", folder: epath.Path, now: settings.Record) -> settings.Record:
    """Checks what differs from the run before, and writes down what this one is given.

    Args:
      trainer: this run.
      folder: its model folder.
      now: see `settings.written_form`.

    Returns:
      What is written to `settings.json`.

    Raises:
      ValueError: the folder was trained with something else, and nobody agreed to that; or its
        files are damaged, or of another model.
    """
    record = _agreed(trainer, folder, now)
    model_folder.save_config(folder, trainer.model, trainer.encoder)
    if trainer.gin_text is not None:
        _save_gin(folder, trainer.gin_text)
    write_json(folder / settings.SETTINGS, record)
    return record


def _agreed(trainer: "Trainer", folder: epath.Path, now: settings.Record) -> settings.Record:
    steps = checkpoints.steps(folder)
    if not steps:
        return now
    before = settings.read(folder)
    if before is None:
        _log.info(
            "Model folder '%s' has no %s, as those of earlier versions: what it was trained with "
            "is not compared.",
            *(folder, settings.SETTINGS),
        )
        return now
    kept: dict[str, Any] = {name: before[name] for name in ("validated_since", "changes")}
    differing = settings.changes(before, now)
    if not differing:
        return now | kept
    said = [change.said for change in differing]
    _check_agreed(trainer, folder, steps[-1], said)
    kept["changes"] = [*kept["changes"], {"step": steps[-1], "changes": said}]
    if any(change.of_validation for change in differing):
        _log.warning("Validations up to step %d do not count: they were on others.", steps[-1])
        kept["validated_since"] = steps[-1]
    return now | kept


def _check_agreed(trainer: "Trainer", folder: epath.Path, step: int, said: list[str]) -> None:
    text = f"Model folder '{folder}' was trained to step {step} otherwise: {'; '.join(said)}"
    if not trainer.resume_with_changes:
        raise ValueError(
            f"{text}; expected the same. Set it back, choose another MODEL_DIR, or go on all the "
            "same with RESUME_WITH_CHANGES=True."
        )
    _log.warning("%s. It goes on with what it is now.", text)


def _save_gin(folder: epath.Path, text: str) -> None:
    """Writes the configuration in use; an earlier run's is kept beside it."""
    file = folder / CONFIG
    if file.is_file() and file.read_text() != text:
        count = len(list(folder.glob("config.*.gin")))
        file.rename(folder / f"config.{count + 1}.gin")
    write_text(file, text)
