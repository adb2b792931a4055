"""Runs an exported scoring graph. It needs neither JAX nor TensorFlow."""

import os
import re
from pathlib import Path

import numpy as np

from t5rank.cores import core_count
from t5rank.onnx.packages import require


class OnnxScorer:
    """`scorer(tokens)`: float32 scores `[batch]` of int32 tokens `[batch, length]`, padded with 0.

    Any batch and length will do, and nothing is compiled for them. Batches of about four inputs
    of nearly equal length are the fastest.

    Args:
      file: the graph, with its weights beside it.
      threads: of one batch; by default as many as this process has cores.

    Raises:
      ValueError: ONNX Runtime is not installed, or cannot read the file.
    """

    def __init__(self, file: str | os.PathLike[str], threads: int | None = None):
        onnxruntime = require("onnxruntime")
        options = onnxruntime.SessionOptions()
        # Left to itself, ONNX Runtime also takes the cores that this process is kept from.
        options.intra_op_num_threads = threads or core_count()
        # Elsewhere sums of int8 products saturate, but for a slower way to the same scores.
        exact = _has_vnni()
        options.add_session_config_entry("session.x64quantprecision", "0" if exact else "1")
        try:
            self._session = onnxruntime.InferenceSession(
                os.fspath(file), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # ONNX Runtime's own classes have no common base
            raise ValueError(
                f"ONNX model '{file}' has an error: {error}; expected what `t5rank export` wrote, "
                "with its weights beside it, and a recent onnxruntime."
            ) from error

    def __call__(self, tokens: np.ndarray) -> np.ndarray:
        """Scores `[batch]`."""
        return self.outputs(tokens)[0]

    def outputs(self, tokens: np.ndarray) -> list[np.ndarray]:
        """All outputs of the graph; the scores are the first."""
        return self._session.run(None, {"tokens": np.asarray(tokens, np.int32)})


def _has_vnni() -> bool:
    """Whether this CPU adds products of int8 in int32; one that cannot be asked is taken not to."""
    cpu = Path("/proc/cpuinfo")
    return cpu.is_file() and bool(re.search(r"\bavx(512)?_vnni\b", cpu.read_text()))
