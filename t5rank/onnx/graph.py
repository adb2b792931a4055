"""Builds an ONNX graph node by node. Weights are written to a file beside it as they are added."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from t5rank.process.packages import require

MODEL = "model.onnx"
WEIGHTS = "model.onnx.data"
_OPSET = 23  # the first with Attention and RMSNormalization
_IR_VERSION = 11  # the version that has this opset
_LARGE = 1024  # bytes; smaller constants stay in the graph, so that they can be folded
_ALIGNMENT = 4096  # so that the file can be mapped into memory


def tensor_type(dtype: Any) -> int:
    """ONNX's number for a type of numpy."""
    return require("onnx", "onnx").helper.np_dtype_to_tensor_dtype(np.dtype(dtype))


class Graph:
    """A graph under construction. Its values are known by their names.

    graph = Graph(folder)
    y = graph.op("MatMul", "x", graph.constant(weights))
    graph.save(inputs={"x": ("float32", ["batch", 4])}, outputs={y: ("float32", ["batch", 8])})

    The limit of 2 GB does not apply. A weight is in memory only while it is written.
    """

    def __init__(self, folder: str | os.PathLike[str]):
        self._onnx = require("onnx", "onnx")
        self._folder = Path(folder)
        self._nodes: list[Any] = []
        self._constants: list[Any] = []
        (self._folder / WEIGHTS).write_bytes(b"")

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Adds a node with one output and returns the output's name."""
        name = f"{kind}_{len(self._nodes)}"
        self._nodes.append(self._onnx.helper.make_node(kind, inputs, [name], name, **attributes))
        return name

    def named(self, name: str, value: str) -> str:
        """Gives a value a name of its own, for an output; returns the name."""
        self._nodes.append(self._onnx.helper.make_node("Identity", [value], [name], name))
        return name

    def constant(self, value: Any) -> str:
        """Adds a constant and returns its name. Python integers become int64, like shapes."""
        name, array = f"constant_{len(self._constants)}", np.ascontiguousarray(value)
        if array.nbytes < _LARGE:
            tensor = self._onnx.numpy_helper.from_array(array.reshape(np.shape(value)), name)
        else:
            tensor = self._external(name, array)
        self._constants.append(tensor)
        return name

    def _external(self, name: str, array: np.ndarray) -> Any:
        with (self._folder / WEIGHTS).open("ab") as file:
            file.write(b"\0" * (-file.tell() % _ALIGNMENT))
            offset = file.tell()
            array.tofile(file)
        tensor = self._onnx.TensorProto(
            name=name, dims=array.shape, data_type=tensor_type(array.dtype)
        )
        tensor.data_location = self._onnx.TensorProto.EXTERNAL
        external = {"location": WEIGHTS, "offset": offset, "length": array.nbytes}
        for key, value in external.items():
            tensor.external_data.add(key=key, value=str(value))
        return tensor

    def save(
        self,
        inputs: Mapping[str, tuple[str, list[Any]]],
        outputs: Mapping[str, tuple[str, list[Any]]],
        name: str = "graph",
    ) -> Path:
        """Checks the graph, writes it and returns its file.

        Args:
          inputs: type and shape by name. A word in a shape is a size that may vary.
          outputs: type and shape by name, like the inputs.
          name: the graph's name.
        """
        file = self._folder / MODEL
        graph = self._onnx.helper.make_graph(
            self._nodes, name, self._values(inputs), self._values(outputs), self._constants
        )
        opset = self._onnx.helper.make_opsetid("", _OPSET)
        model = self._onnx.helper.make_model(
            graph, opset_imports=[opset], ir_version=_IR_VERSION, producer_name="t5rank"
        )
        file.write_bytes(model.SerializeToString())
        self._onnx.checker.check_model(str(file))
        return file

    def _values(self, named: Mapping[str, tuple[str, list[Any]]]) -> list[Any]:
        make = self._onnx.helper.make_tensor_value_info
        return [make(name, tensor_type(kind), shape) for name, (kind, shape) in named.items()]
