"""One training at a time in a folder."""

import contextlib
import datetime
import fcntl
import json
import logging
import os
import socket
from collections.abc import Iterator

from t5rank.checkpoints.paths import path

LOCK = ".training.lock"
_log = logging.getLogger(__name__)


@contextlib.contextmanager
def locked(directory: str | os.PathLike[str]) -> Iterator[None]:
    """Holds a folder, so that no other process trains in it; makes it where there is none.

    The lock is the kernel's (`flock`) on a file in the folder, and goes with the process, however
    that ends. It holds between processes of one machine, and between machines over NFS. A remote
    folder (`gs://`, `s3://`) and a disk that knows no locks have none, and a line of the log says
    so.

    Raises:
      RuntimeError: another process holds it; names the process.
    """
    folder = path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    if "://" in os.fspath(folder):
        _log.info("Folder '%s' is remote: nothing keeps a second training out of it.", folder)
        yield
        return
    with open(folder / LOCK, "a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RuntimeError(
                f"Folder '{directory}' has a training in it already, {_holder(file)}; expected "
                "none. Wait until it ends, end it, or choose another folder."
            ) from None
        except OSError as error:
            _log.info("Folder '%s' cannot be locked (%s): keep others out of it.", folder, error)
        file.truncate(0)
        file.write(json.dumps(_this_process()) + "\n")
        file.flush()
        yield


def _this_process() -> dict[str, str | int]:
    since = datetime.datetime.now().astimezone().isoformat(" ", "seconds")
    return {"host": socket.gethostname(), "pid": os.getpid(), "since": since}


def _holder(file) -> str:
    file.seek(0)
    try:
        holder = json.loads(file.read())
        return "process {pid} on '{host}', since {since}".format(**holder)
    except (ValueError, KeyError, TypeError):  # it has only just begun
        return "of another process"
