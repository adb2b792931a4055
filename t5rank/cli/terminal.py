"""The log on the terminal, without the lines of TensorFlow."""

import contextlib
import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from typing import BinaryIO

from t5rank.process.packages import require


def set_up_logging() -> None:
    """Sends the log of t5rank to standard error, and silences that of absl."""
    handler = _TqdmHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger = logging.getLogger("t5rank")
    logger.handlers = [handler]
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logging.getLogger("absl").setLevel(logging.CRITICAL)  # its errors are also raised


def import_tensorflow() -> None:
    """Imports TensorFlow, without the lines that it always writes to the terminal."""
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")  # reading data does not need it
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # errors
    sys.stderr.flush()
    with tempfile.TemporaryFile() as said, _stderr_to(said):
        try:
            tensorflow = require("train", "tensorflow")
            # TensorFlow only reads data; the accelerators are for JAX.
            tensorflow.config.set_visible_devices([], "GPU")
        except Exception:
            said.seek(0)
            sys.stderr.write(said.read().decode(errors="replace"))
            raise


@contextlib.contextmanager
def _stderr_to(file: BinaryIO) -> Iterator[None]:
    kept = os.dup(2)
    os.dup2(file.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


class _TqdmHandler(logging.Handler):
    """Writes lines above a progress bar, not through it."""

    def emit(self, record: logging.LogRecord) -> None:
        from tqdm import tqdm

        try:
            tqdm.write(self.format(record), file=sys.stderr)
        except Exception:  # standard error is closed
            self.handleError(record)
