"""Runs an exported scoring graph. It needs neither JAX nor TensorFlow."""

import os

import numpy as np

from t5rank.onnx.packages import require


class OnnxScorer:
    """`scorer(tokens)`: float32 scores `[batch]` of int32 tokens `[batch, length]`, padded with 0.

    Any batch and length will do, and nothing is compiled for them. Batches of about four inputs
    of nearly equal length are the fastest.

    Args:
      file: the graph, with its weights beside it.
      threads: of one batch; as many as there are cores by default.

    Raises:
      ValueError: ONNX Runtime is not installed, or cannot read the file.
    """

    def __init__(self, file: str | os.PathLike[str], threads: int = 0):
        onnxruntime = require("onnxruntime")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        # int8 on CPUs without VNNI: products that do not saturate, for the same scores everywhere.
        options.add_session_config_entry("session.x64quantprecision", "1")
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
