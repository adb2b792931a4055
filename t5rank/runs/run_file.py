"""`run.json` of a model folder: how the model was trained (`t5rank.train.run_record`)."""

import os
from collections.abc import Mapping
from typing import Any

from etils import epath

from t5rank.formats.json_files import read_object, write_json

RUN = "run.json"
_WRITTEN_ANEW = "Delete it: training in this folder writes it anew."


def save_run(folder: str | os.PathLike[str], run: Mapping[str, Any]) -> None:
    write_json(epath.Path(folder) / RUN, run)


def load_run(folder: str | os.PathLike[str]) -> dict[str, Any] | None:
    """The content of the file; None if no run of `t5rank train` has ended.

    Raises:
      ValueError: the file is damaged.
    """
    file = epath.Path(folder) / RUN
    return read_object(file, advice=_WRITTEN_ANEW) if file.is_file() else None
