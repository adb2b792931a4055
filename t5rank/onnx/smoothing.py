"""Moves the range of activations into the weights, so that both fit int8 (SmoothQuant).

Some channels of T5's activations are many times larger than others. A channel is divided by `s`
where it is made, and the rows of weights that read it are multiplied by `s`. This changes no score
(Xiao et al. 2023, equation 4; alpha is 0.5 here). In a T5 the weights before each of the encoder's
products can be divided exactly: the norm's scale, the columns of the value projection, and those of
the last projection into the MLP, since a relu commutes with the division.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from t5rank.models.network import T5Config
from t5rank.onnx.network import inner_names
from t5rank.types import PyTree

_SITES = ("attention/in", "attention/out", "mlp/wi", "mlp/wo")  # in each layer


def smoothed(
    params: PyTree, config: T5Config, largest: Mapping[str, np.ndarray]
) -> tuple[PyTree, dict[str, float]]:
    """Returns parameters that give the same scores with evener activations.

    Args:
      params: the network's parameters.
      config: its architecture.
      largest: the largest `|x|` of each channel, by site of `t5rank.onnx.products`.

    Returns:
      The parameters, and their own largest `|x|` by site.
    """
    layers, after = {}, {}
    for name in (f"layers_{i}" for i in range(config.num_encoder_layers)):
        sites = {key: largest[f"{name}/{key}"] for key in _SITES}
        layers[name], now = _smoothed_layer(params["encoder"][name], config, sites)
        after.update({f"{name}/{key}": float(value.max()) for key, value in now.items()})
    return {**params, "encoder": {**params["encoder"], **layers}}, after


def _smoothed_layer(
    layer: PyTree, config: T5Config, largest: Mapping[str, np.ndarray]
) -> tuple[PyTree, dict[str, np.ndarray]]:
    weights = _Weights(layer)
    heads_in = [("attention", name, "kernel") for name in ("query", "key", "value")]
    norm = "pre_attention_layer_norm", "scale"
    now = {"attention/in": weights.smooth(norm, heads_in, largest["attention/in"])}
    value, out = ("attention", "value", "kernel"), ("attention", "out", "kernel")
    now["attention/out"] = weights.smooth(value, [out], largest["attention/out"])
    into = [("mlp", name, "kernel") for name in inner_names(config)]
    norm = "pre_mlp_layer_norm", "scale"
    now["mlp/wi"] = weights.smooth(norm, into, largest["mlp/wi"])
    now["mlp/wo"] = largest["mlp/wo"]
    if config.mlp_activations[-1] in ("linear", "relu"):
        now["mlp/wo"] = weights.smooth(into[-1], [("mlp", "wo", "kernel")], now["mlp/wo"])
    return weights.tree, now


class _Weights:
    """A copy of a tree of parameters, whose arrays are replaced one by one."""

    def __init__(self, tree: PyTree):
        self.tree = _copied(tree)

    def smooth(
        self, maker: Sequence[str], readers: Sequence[Sequence[str]], largest: np.ndarray
    ) -> np.ndarray:
        """Divides `maker`'s channels, multiplies `readers`' rows, and returns the new largest."""
        rows = np.max([np.abs(self[reader]).max(axis=1) for reader in readers], axis=0)
        s = np.sqrt(np.maximum(largest, 1e-5) / np.maximum(rows, 1e-5)).astype(np.float32)
        self[maker] = self[maker] / s
        for reader in readers:
            self[reader] = self[reader] * s[:, None]
        return largest / s

    def __getitem__(self, path: Sequence[str]) -> np.ndarray:
        *folders, name = path
        return np.asarray(self._at(folders)[name], np.float32)

    def __setitem__(self, path: Sequence[str], value: np.ndarray) -> None:
        *folders, name = path
        self._at(folders)[name] = value

    def _at(self, path: Sequence[str]) -> Any:
        tree = self.tree
        for name in path:
            tree = tree[name]
        return tree


def _copied(tree: PyTree) -> PyTree:
    return {k: _copied(v) for k, v in tree.items()} if isinstance(tree, Mapping) else tree
