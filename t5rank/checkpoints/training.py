"""The trainer's checkpoints, in T5X's orbax layout: `checkpoint_N/state` holds `{target, state}`.

`target` is the tree of parameters; `state` holds `step` and `param_states`, the optimizer's state.
Saving happens in the background. The latest checkpoints and the best one are kept.
"""

import contextlib
import dataclasses
import os
from collections.abc import Iterator, Sequence
from typing import Any

import orbax.checkpoint as ocp

from t5rank.checkpoints.paths import PREFIX, path
from t5rank.formats.writing import reason


@dataclasses.dataclass
class _KeepStep(ocp.checkpoint_managers.PreservationPolicy):
    """Keeps the checkpoint of one step; which one may change."""

    step: int | None

    def should_preserve(self, checkpoints: Sequence[Any], *, context: Any) -> Sequence[bool]:
        del context
        return [checkpoint.step == self.step for checkpoint in checkpoints]


class Checkpointer:
    """Saves and restores train states under one folder.

    Args:
      directory: the model folder.
      keep: how many of the latest checkpoints are kept.
      best_step: a checkpoint that is kept, too; set it before saving.
    """

    def __init__(
        self, directory: str | os.PathLike[str], keep: int = 1, best_step: int | None = None
    ):
        self._best = _KeepStep(best_step)
        options = ocp.CheckpointManagerOptions(
            step_prefix=PREFIX,
            cleanup_tmp_directories=True,
            enable_async_checkpointing=True,
            preservation_policy=ocp.checkpoint_managers.AnyPreservationPolicy(
                [ocp.checkpoint_managers.LatestN(keep), self._best]
            ),
        )
        self._keep = keep
        self._manager = ocp.CheckpointManager(path(directory), options=options)

    def __enter__(self) -> "Checkpointer":
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        try:
            self._manager.close()
        except Exception:
            if kind is None:  # an error that was raised before says more
                raise

    @property
    def best_step(self) -> int | None:
        """The checkpoint that is never deleted."""
        return self._best.step

    @best_step.setter
    def best_step(self, step: int | None) -> None:
        self._best.step = step

    def save(self, step: int, optimizer: Any) -> None:
        """Starts saving; returns as soon as the arrays are copied off the devices.

        Raises:
          OSError: this checkpoint or an earlier one could not be written.
        """
        if step in self._manager.all_steps():
            return
        args = ocp.args.Composite(state=ocp.args.PyTreeSave(optimizer.state_dict()))
        with self._writing():
            self._manager.save(step, args=args, force=True)

    def tidy(self) -> None:
        """Deletes checkpoints that are not to be kept; the next `save` would do it, too."""
        for step in sorted(self._manager.all_steps())[: -self._keep]:
            if step != self.best_step:
                self._manager.delete(step)

    def latest_step(self) -> int | None:
        """The step to resume from, or None."""
        return self._manager.latest_step()

    def restore(self, step: int, optimizer: Any) -> Any:
        """Restores an optimizer, into arrays of the shapes and shardings of `optimizer`.

        Raises:
          ValueError: the checkpoint has other parameters, another optimizer's state, or no state.
        """
        wanted = optimizer.state_dict()
        args = ocp.args.PyTreeRestore(
            wanted, restore_args=ocp.checkpoint_utils.construct_restore_args(wanted)
        )
        try:
            tree = self._manager.restore(step, args=ocp.args.Composite(state=args))["state"]
        except ValueError as error:
            raise ValueError(
                f"Checkpoint '{self._manager.directory}/{PREFIX}_{step}' has another state of "
                "training; expected that of this model and optimizer. Is it a converted model? "
                "Then give it as INITIAL_CHECKPOINT_PATH, with a new MODEL_DIR."
            ) from error
        return optimizer.restore_state(tree)

    def wait(self) -> None:
        """Waits until everything is on disk.

        Raises:
          OSError: it could not be written.
        """
        with self._writing():
            self._manager.wait_until_finished()

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            raise OSError(
                f"Checkpoint cannot be written to '{self._manager.directory}': {reason(error)} "
                "What was saved before stays; the same command goes on from there."
            ) from error
