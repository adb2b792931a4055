"""Checkpoints: the trainer's own, and those of T5X and Hugging Face, read and written.

A checkpoint that is read becomes a `Source`, which has an array for each name of T5X's tree. An
array is read when it is asked for, so that memory stays near one copy of the weights. Writers take
such arrays, too.

training        saves and restores the trainer's state
sources         `Source` and its lazy arrays
opening         any checkpoint as a `Source`; detects the format
restoring       a `Source` into a model's parameters, with a report
architecture    sizes from shapes and back
t5x             T5X's orbax and legacy layouts
orbax_writing   writes T5X's orbax layout
stacked         T5X's scalable_t5, whose layers are stacked
huggingface     Hugging Face's T5 folders
sentence_transformers    dual encoders of sentence-transformers
huggingface_config    their config.json
safetensors_files, torch_files    the files inside them
vocabularies    whether a vocabulary is a checkpoint's
paths           local and remote paths
whole_folder    a new folder, written as a whole or not at all
"""

from typing import TYPE_CHECKING, Any

from t5rank.checkpoints.opening import architecture_of, open_checkpoint
from t5rank.checkpoints.paths import steps
from t5rank.checkpoints.restoring import (
    AssignmentMap,
    RestoreReport,
    merge,
    restore,
    restore_params,
)
from t5rank.checkpoints.sources import LazyArray, Source
from t5rank.checkpoints.vocabularies import check_vocabulary

if TYPE_CHECKING:
    from t5rank.checkpoints.training import Checkpointer

__all__ = [
    "AssignmentMap",
    "Checkpointer",
    "LazyArray",
    "RestoreReport",
    "Source",
    "architecture_of",
    "check_vocabulary",
    "merge",
    "open_checkpoint",
    "restore",
    "restore_params",
    "steps",
]


def __getattr__(name: str) -> Any:
    # Loaded when it is asked for: reading needs no orbax, and its import takes a second.
    if name == "Checkpointer":
        from t5rank.checkpoints.training import Checkpointer

        return Checkpointer
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
