"""Checkpoints in T5X's orbax layout: `checkpoint_N/state` holds `{target, state}`.

`target` is the parameter tree and `state` holds `step` and `param_states`, the optimizer's state.
Saving happens in the background. The latest checkpoints are kept, and the best one.
"""

import dataclasses
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import flax
import orbax.checkpoint as ocp

from t5rank.types import PyTree

_PREFIX = "checkpoint"
_NAME = re.compile(rf"^{_PREFIX}_(\d+)$")


@dataclasses.dataclass
class _KeepStep(ocp.checkpoint_managers.PreservationPolicy):
    """Keeps one step, which may change."""

    step: int | None

    def should_preserve(self, checkpoints: Sequence[Any], *, context: Any) -> Sequence[bool]:
        del context
        return [checkpoint.step == self.step for checkpoint in checkpoints]


class Checkpointer:
    """Saves and restores train states under one folder.

    Args:
      directory: the model folder.
      keep: how many of the latest checkpoints stay.
      best_step: a checkpoint that stays too; set it before saving.
    """

    def __init__(
        self, directory: str | os.PathLike[str], keep: int = 1, best_step: int | None = None
    ):
        self._best = _KeepStep(best_step)
        options = ocp.CheckpointManagerOptions(
            step_prefix=_PREFIX,
            cleanup_tmp_directories=True,
            enable_async_checkpointing=True,
            preservation_policy=ocp.checkpoint_managers.AnyPreservationPolicy(
                [ocp.checkpoint_managers.LatestN(keep), self._best]
            ),
        )
        self._manager = ocp.CheckpointManager(Path(directory).absolute(), options=options)

    def __enter__(self) -> "Checkpointer":
        return self

    def __exit__(self, *error: object) -> None:
        self._manager.close()

    @property
    def best_step(self) -> int | None:
        """The checkpoint that is never deleted."""
        return self._best.step

    @best_step.setter
    def best_step(self, step: int | None) -> None:
        self._best.step = step

    def save(self, step: int, optimizer: Any) -> None:
        """Starts saving; returns as soon as the arrays are copied off the devices."""
        if step in self._manager.all_steps():
            return
        args = ocp.args.Composite(state=ocp.args.PyTreeSave(optimizer.state_dict()))
        self._manager.save(step, args=args, force=True)

    def latest_step(self) -> int | None:
        """The step to resume from, or None."""
        return self._manager.latest_step()

    def restore(self, step: int, like: Any) -> Any:
        """Restores an optimizer, into arrays of the shapes and shardings of `like`."""
        optimizer, like = like, like.state_dict()
        args = ocp.args.PyTreeRestore(
            like, restore_args=ocp.checkpoint_utils.construct_restore_args(like)
        )
        tree = self._manager.restore(step, args=ocp.args.Composite(state=args))["state"]
        return optimizer.restore_state(tree)

    def wait(self) -> None:
        """Waits until everything is on disk."""
        self._manager.wait_until_finished()


def steps(directory: str | os.PathLike[str]) -> list[int]:
    """The steps of the finished checkpoints in a model folder, ascending."""
    folder = Path(directory)
    names = [p.name for p in folder.iterdir() if p.is_dir()] if folder.is_dir() else []
    return sorted(int(match[1]) for match in map(_NAME.match, names) if match)


def restore_params(path: str | os.PathLike[str], like: PyTree) -> PyTree:
    """Restores the parameters alone from one checkpoint folder.

    Args:
      path: a `checkpoint_N` folder in T5X's orbax layout.
      like: the expected tree of arrays or ShapeDtypeStructs, with shardings if any.

    Raises:
      ValueError: there is no such checkpoint, or its parameters are others than `like`.
    """
    folder = Path(path).absolute() / "state"
    if not folder.is_dir():
        raise ValueError(
            f"Checkpoint '{path}' has no folder 'state'; expected T5X's orbax layout, "
            "such as MODEL_DIR/checkpoint_1000."
        )
    handler = ocp.PyTreeCheckpointHandler()
    like = {"target": flax.core.unfreeze(like)}
    with ocp.Checkpointer(handler) as checkpointer:
        found = checkpointer.metadata(folder).item_metadata.tree.get("target", {})
        _check_same_tree(path, found, like["target"])
        return checkpointer.restore(
            folder,
            args=ocp.args.PyTreeRestore(
                like,
                restore_args=ocp.checkpoint_utils.construct_restore_args(like),
                partial_restore=True,
            ),
        )["target"]


def _check_same_tree(path: Any, found: PyTree, wanted: PyTree) -> None:
    def shapes(tree: PyTree) -> dict[str, tuple[int, ...]]:
        flat = flax.traverse_util.flatten_dict(tree, sep="/")
        return {name: tuple(leaf.shape) for name, leaf in flat.items()}

    has, expected = shapes(found), shapes(wanted)
    problems = [f"no parameter '{name}'" for name in expected if name not in has]
    problems += [f"an unknown parameter '{name}'" for name in has if name not in expected]
    problems += [
        f"'{name}' of shape {has[name]} where {expected[name]} is expected"
        for name in expected
        if name in has and has[name] != expected[name]
    ]
    if problems:
        more = f" and {len(problems) - 3} more differences" if len(problems) > 3 else ""
        raise ValueError(
            f"Checkpoint '{path}' has {'; '.join(problems[:3])}{more}; expected the parameters of "
            "the configured model. Is it another size or version of T5?"
        )
