"""Runs an exported scoring graph. It needs neither JAX nor TensorFlow."""

import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from t5rank.process.cores import core_count
from t5rank.process.packages import require


class OnnxScorer:
    """`scorer(tokens)`: float32 scores `[batch]` of int32 tokens `[batch, length]`, padded with 0.

    The graph of a dual encoder gives vectors `[batch, dim]`.

    Any batch and length will do, and nothing is compiled for them. Batches of about four inputs
    of nearly equal length are the fastest.

    Args:
      file: the graph, with its weights beside it.
      threads: of one batch; by default as many as this process has cores.

    What is read is a copy that nobody else knows: ONNX Runtime maps the weights into memory, and a
    file that is written over later would change the scores, or end the process where it is cut.

    Raises:
      MissingExtra: ONNX Runtime is not installed.
      ValueError: it cannot read the file, or the file is being written.
    """

    def __init__(self, file: str | os.PathLike[str], threads: int | None = None):
        onnxruntime = require("onnx", "onnxruntime")
        options = onnxruntime.SessionOptions()
        # Left to itself, ONNX Runtime also takes the cores that this process is kept from.
        options.intra_op_num_threads = threads or core_count()
        # Elsewhere sums of int8 products saturate, but for a slower way to the same scores.
        exact = _has_vnni()
        options.add_session_config_entry("session.x64quantprecision", "0" if exact else "1")
        try:
            self._session = _session(onnxruntime, Path(file), options)
        except ValueError:
            raise
        except Exception as error:  # ONNX Runtime's own classes have no common base
            raise ValueError(
                f"ONNX model '{file}' has an error: {error}; expected what `t5rank export` wrote, "
                "with its weights beside it, and a recent onnxruntime."
            ) from error

        self._first = [self._session.get_outputs()[0].name]
        self._takes_tokens = self._session.get_inputs()[0].name == "tokens"

    def __call__(self, tokens: np.ndarray) -> np.ndarray:
        """The first output: scores `[batch]`, or vectors `[batch, dim]`."""
        return self._session.run(self._first, self._inputs(tokens))[0]

    def outputs(self, tokens: np.ndarray) -> list[np.ndarray]:
        """All outputs of the graph; the scores or vectors are the first."""
        return self._session.run(None, self._inputs(tokens))

    def _inputs(self, tokens: np.ndarray) -> dict[str, np.ndarray]:
        if self._takes_tokens:
            return {"tokens": np.asarray(tokens, np.int32)}
        ids = np.asarray(tokens, np.int64)
        return {"input_ids": ids, "attention_mask": (ids != 0).astype(np.int64)}


def _session(onnxruntime: Any, file: Path, options: Any) -> Any:
    """Reads a copy of the files: one without a name on a disk, or else one in memory."""
    weights = file.with_name(f"{file.name}.data")
    before = _states(file, weights)
    providers = ["CPUExecutionProvider"]
    try:
        with tempfile.TemporaryDirectory() as folder:
            for each in filter(Path.is_file, (file, weights)):
                shutil.copyfile(each, Path(folder, each.name))
            _check_unchanged(file, before, _states(file, weights))
            copy = os.path.join(folder, file.name)
            return onnxruntime.InferenceSession(copy, options, providers=providers)
    except OSError:  # no room there
        graph = file.read_bytes()
        data = np.fromfile(weights, np.uint8) if weights.is_file() else np.zeros(0, np.uint8)
        _check_unchanged(file, before, _states(file, weights))
        if len(data):
            options.add_external_initializers_from_files_in_memory(
                [weights.name], [data], [len(data)]
            )
        return onnxruntime.InferenceSession(graph, options, providers=providers)


def _check_unchanged(file: Path, before: list, after: list) -> None:
    if before != after:
        raise ValueError(
            f"ONNX model '{file}' has files that changed while they were read; expected none. "
            "Load it when they are whole."
        )


def _states(*files: Path) -> list[tuple[int, ...]]:
    states = [file.stat() for file in files if file.is_file()]
    return [(s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns) for s in states]


def _has_vnni() -> bool:
    """Whether this CPU adds products of int8 in int32; one that cannot be asked is taken not to."""
    cpu = Path("/proc/cpuinfo")
    return cpu.is_file() and bool(re.search(r"\bavx(512)?_vnni\b", cpu.read_text()))
