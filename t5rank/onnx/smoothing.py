"""Moves the spread of activations into weights, so that both fit int8 (SmoothQuant).

T5's activations have channels that are many times larger than others. Dividing a channel by `s`
where it is made, and multiplying the rows of the weights that read it by `s`, changes no score
(Xiao et al. 2023, equation 4, whose alpha is 0.5 here). In a T5 every input of the encoder's
products is made by something that takes the division exactly: the scale of the norm, the columns of
the value projection, those of the last projection into the MLP (a relu commutes with it).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from t5rank.models.network import T5Config
from t5rank.onnx.network import inner_names
from t5rank.types import PyTree

_SITES = ("attention/in", "attention/out", "mlp/wi", "mlp/wo")  # of a layer


def smoothed(
    params: PyTree, config: T5Config, largest: Mapping[str, np.ndarray]
) -> tuple[PyTree, dict[str, float]]:
    """Parameters with the same scores and evener activations.

    Args:
      params: the network's parameters.
      config: its architecture.
      largest: by site of `t5rank.onnx.products`, the largest `|x|` of each channel.

    Returns:
      The parameters, and by site the largest `|x|` that they give.
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
    """A copy of a tree's dicts whose arrays are replaced one by one."""

    def __init__(self, tree: PyTree):
        self.tree = _copied(tree)

    def smooth(
        self, maker: Sequence[str], readers: Sequence[Sequence[str]], largest: np.ndarray
    ) -> np.ndarray:
        """Divides the channels of `maker`, multiplies the rows of `readers`; the new largest."""
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
