"""Says what is at a path where something else was expected, and what to do about it."""

import os
import re

from etils import epath

from t5rank.checkpoints import paths, sentence_transformers
from t5rank.checkpoints.huggingface_config import CONFIG
from t5rank.formats.json_files import read_object_if_any

_HUB_NAME = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")
_HUGGING_FACE = "is a Hugging Face folder"
_SENTENCE_TRANSFORMERS = "is a folder of sentence-transformers"
_HEADS = "monot5, rankt5 or encoder, as it was trained"


def describe(folder: epath.Path) -> str:
    """What is at a path, as the words after its name in a sentence.

    Raises:
      ValueError: its `config.json` is damaged.
    """
    if folder.is_file():
        return "is a file"
    if not folder.is_dir():
        return "does not exist"
    if not any(folder.iterdir()):
        return "is empty"
    if paths.step_of(folder) is not None:
        return "is a folder of one checkpoint"
    if paths.steps(folder) and not (folder / CONFIG).is_file():
        return f"has checkpoints and no {CONFIG}, as a MODEL_DIR of T5X"
    return _kind(folder)


def _kind(folder: epath.Path) -> str:
    if sentence_transformers.is_folder(folder):
        return _SENTENCE_TRANSFORMERS
    config = read_object_if_any(folder / CONFIG)
    if "network" in config:
        return "is a model folder of t5rank without checkpoints"
    if {"model_type", "architectures", "d_model"} & {*config}:
        return _HUGGING_FACE
    if (folder / CONFIG).is_file():
        return f"has a {CONFIG} of another program"
    return f"has no {CONFIG} and no checkpoint"


def next_step(folder: epath.Path) -> str:
    """A sentence on how to make a model folder of t5rank from what is at a path; may be empty."""
    if paths.step_of(folder) is not None and (folder.parent / CONFIG).is_file():
        return f" Give '{folder.parent}', with --step {paths.step_of(folder)}."
    if _kind(folder) == _SENTENCE_TRANSFORMERS:
        return f" Run `t5rank convert {folder} NEW_FOLDER --to t5rank`."
    vocabulary = ", and --vocabulary T5's spiece.model"
    if _kind(folder) == _HUGGING_FACE:
        vocabulary = ""
    elif not (folder.is_dir() and (paths.steps(folder) or paths.step_of(folder) is not None)):
        return download(folder)
    return f" {_conversion(folder)}{vocabulary}."


def _conversion(folder: object) -> str:
    return f"Run `t5rank convert {folder} NEW_FOLDER --to t5rank --head HEAD` with HEAD {_HEADS}"


def download(folder: epath.Path) -> str:
    """Says how to get a model of Hugging Face's hub, if a path looks like the name of one."""
    name = os.path.relpath(folder) if "://" not in os.fspath(folder) else ""
    if folder.exists() or folder.parent.exists() or not _HUB_NAME.fullmatch(name):
        return ""
    target = folder.name
    return (
        f" Is it a model of Hugging Face's hub? Run `hf download {name} --local-dir {target}`. "
        f"{_conversion(target)}."
    )
