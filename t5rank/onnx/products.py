"""How the encoder's products with weights are written into a graph.

A `Product` is called with the graph, the site (the input's name in the model, such as
"layers_0/attention/in"), the input `[batch, length, in]` and the kernels `[in, out]` that it is
multiplied with; it gives the products.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from t5rank.onnx.graph import Graph

Product = Callable[[Graph, str, str, Sequence[np.ndarray]], list[str]]
_LEVELS = 127  # int8 without -128, so that it is symmetric
_ZERO = np.uint8(128)  # unsigned inputs and signed weights are what CPUs multiply fastest


def float32_product(graph: Graph, site: str, x: str, kernels: Sequence[np.ndarray]) -> list[str]:
    """The product itself."""
    del site
    return [graph.op("MatMul", x, graph.constant(kernel)) for kernel in kernels]


class ObservedProduct:
    """The product itself; `largest` names a value for each site: the largest `|x|`, `[in]`."""

    def __init__(self) -> None:
        self.largest: dict[str, str] = {}

    def __call__(self, graph: Graph, site: str, x: str, kernels: Sequence[np.ndarray]) -> list[str]:
        """See `Product`."""
        axes = graph.constant(np.array([0, 1]))
        self.largest[site] = graph.op("ReduceMax", graph.op("Abs", x), axes, keepdims=0)
        return float32_product(graph, site, x, kernels)


class Int8Product:
    """The product in int8: a scale for each site's input, known beforehand, and for each column.

    As the scale does not come from the batch, a score does not depend on what is scored with it.

    Args:
      largest: the largest `|x|` of each site; what is larger is cut.
    """

    def __init__(self, largest: Mapping[str, float]):
        self._largest = largest

    def __call__(self, graph: Graph, site: str, x: str, kernels: Sequence[np.ndarray]) -> list[str]:
        """See `Product`. ONNX Runtime makes one product of integers of what is written here."""
        scale = graph.constant(np.float32(self._largest[site] / _LEVELS))
        zero = graph.constant(_ZERO)
        x = graph.op("DequantizeLinear", graph.op("QuantizeLinear", x, scale, zero), scale, zero)
        return [graph.op("MatMul", x, _int8_constant(graph, kernel)) for kernel in kernels]


def _int8_constant(graph: Graph, kernel: np.ndarray) -> str:
    """A kernel rounded to int8, each column with its scale."""
    scale = (np.maximum(np.abs(kernel).max(axis=0), 1e-12) / _LEVELS).astype(np.float32)
    rounded = np.rint(kernel / scale).astype(np.int8)
    zeros = np.zeros(len(scale), np.int8)
    return graph.op("DequantizeLinear", *map(graph.constant, (rounded, scale, zeros)), axis=1)
