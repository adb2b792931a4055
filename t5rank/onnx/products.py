"""The encoder's products with weights in a graph: in float32, in int8, and for calibration.

A `Product` is called with the graph, the site (the input's name in the model, such as
"layers_0/attention/in"), the input `[batch, length, in]` and the kernels `[in, out]`. It returns
the input's products with the kernels.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from t5rank.onnx.graph import Graph

Product = Callable[[Graph, str, str, Sequence[np.ndarray]], list[str]]
_LEVELS = 127  # int8 without -128, so that it is symmetric
_ZERO_POINT = np.uint8(128)  # CPUs multiply unsigned inputs and signed weights fastest


def float32_product(graph: Graph, site: str, x: str, kernels: Sequence[np.ndarray]) -> list[str]:
    """The product in float32."""
    del site
    return [graph.op("MatMul", x, graph.constant(kernel)) for kernel in kernels]


class ObservedProduct:
    """The product in float32. `largest` names a value for each site: the largest `|x|`, `[in]`."""

    def __init__(self) -> None:
        self.largest: dict[str, str] = {}

    def __call__(self, graph: Graph, site: str, x: str, kernels: Sequence[np.ndarray]) -> list[str]:
        axes = graph.constant(np.array([0, 1]))
        self.largest[site] = graph.op("ReduceMax", graph.op("Abs", x), axes, keepdims=0)
        return float32_product(graph, site, x, kernels)


class Int8Product:
    """The product in int8, with a scale for each site's input and one for each column of weights.

    Calibration gives the inputs' scales. They do not depend on the batch, so that a score does not
    depend on the other inputs of its batch.

    Args:
      largest: the largest `|x|` of each site. Larger values are clipped.
    """

    def __init__(self, largest: Mapping[str, float]):
        self._largest = largest

    def __call__(self, graph: Graph, site: str, x: str, kernels: Sequence[np.ndarray]) -> list[str]:
        """See `Product`. ONNX Runtime fuses these nodes into one product of integers."""
        scale = graph.constant(np.float32(self._largest[site] / _LEVELS))
        zero = graph.constant(_ZERO_POINT)
        x = graph.op("DequantizeLinear", graph.op("QuantizeLinear", x, scale, zero), scale, zero)
        return [graph.op("MatMul", x, _int8_constant(graph, kernel)) for kernel in kernels]


def _int8_constant(graph: Graph, kernel: np.ndarray) -> str:
    """A kernel rounded to int8, each column with its scale."""
    scale = (np.maximum(np.abs(kernel).max(axis=0), 1e-12) / _LEVELS).astype(np.float32)
    rounded = np.rint(kernel / scale).astype(np.int8)
    zeros = np.zeros(len(scale), np.int8)
    return graph.op("DequantizeLinear", *map(graph.constant, (rounded, scale, zeros)), axis=1)
