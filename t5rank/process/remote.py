"""Remote paths, and the packages that read and write them."""

import os
import re

from t5rank.process.packages import MissingExtra, check_installed, is_installed

_SCHEME = re.compile(r"(\w+)://")


def is_remote(location: str | os.PathLike[str]) -> bool:
    """Whether a path is an object's name, such as `gs://bucket/model`."""
    return _SCHEME.match(os.fspath(location)) is not None


def check_remote(location: str | os.PathLike[str]) -> None:
    """Does nothing for a local path, and for a remote one that can be read.

    Raises:
      MissingExtra: the package that reads it is not installed.
      ValueError: it is neither `gs://` nor `s3://`.
    """
    found = _SCHEME.match(os.fspath(location))
    scheme = found[1] if found else None
    if scheme == "gs":
        check_installed("gcs")
    elif scheme == "s3" and not is_installed("s3fs"):
        raise MissingExtra(
            f"Package 's3fs' is not installed; expected it for the path '{location}'. Install it "
            "with: pip install s3fs"
        )
    elif scheme not in (None, "s3"):
        raise ValueError(
            f"Path '{location}' begins with '{scheme}://'; expected a local path, gs:// or s3://."
        )


def check_local(location: str | os.PathLike[str]) -> None:
    """Raises ValueError for a remote path where files of this machine alone are read or written."""
    if is_remote(location):
        raise ValueError(
            f"Path '{location}' is remote; expected a file or folder of this machine. Only models "
            "and checkpoints can be remote: copy it here first."
        )
