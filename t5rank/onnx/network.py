"""The scoring graph of a T5: what `t5rank.models.network` computes, in ONNX's operators.

The model's kind adds the score itself (see `t5rank.models.kinds`).

Everything that depends only on the parameters is computed during export. This is the relative
position bias by distance; the decoder's self-attention, which has one position, so that its value
and output projections are one matrix; and the first decoder layer up to its cross-attention, since
the layer's input is always the pad token.
"""

import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from t5rank.models import kinds, layers, network
from t5rank.models.ranking import RankingModel
from t5rank.onnx.graph import Graph, tensor_type
from t5rank.onnx.products import Product, float32_product
from t5rank.types import PyTree

TOKENS = "tokens"
IDS, MASK = "input_ids", "attention_mask"  # of a dual encoder, as other runtimes name them
Values = dict[str, tuple[str, list[Any]]]
_TEXTS = ["batch", "length"]
_EPSILON = 1e-6
_MASKED = np.float32(-1e10)
_FARTHEST = 128  # positions; T5's bias is the same for all greater distances


def score_graph(
    graph: Graph, model: RankingModel, params: PyTree, product: Product = float32_product
) -> str:
    """Adds the graph of `model.score`, computed in float32.

    Args:
      graph: the graph. Its input is `TOKENS`, int32 `[batch, length]`, padded with 0. For a dual
        encoder the inputs are `IDS` and `MASK`, int64 `[batch, length]`.
      model: a model of a kind that has a graph.
      params: the network's parameters.
      product: how the encoder's projections are computed.

    Returns:
      The name of the scores, float32 `[batch]`, or of the vectors, float32 `[batch, dim]`.

    Raises:
      ValueError: see `check_has_graph`.
    """
    return _added(graph, model, params, product)[0]


def add_model(
    graph: Graph, model: RankingModel, params: PyTree, product: Product = float32_product
) -> tuple[Values, Values]:
    """The same, as the inputs and outputs that `Graph.save` takes, with names for other runtimes.

    A dual encoder also gives its encoded tokens, `last_hidden_state` `[batch, length, emb]`.
    """
    result, encoded = _added(graph, model, params, product)
    if isinstance(model.kind.prompt, str):
        return {TOKENS: ("int32", _TEXTS)}, {result: ("float32", ["batch"])}
    size = model.module.config.emb_dim  # type: ignore[attr-defined]
    return dict.fromkeys((IDS, MASK), ("int64", _TEXTS)), {
        graph.named("sentence_embedding", result): ("float32", ["batch", "dim"]),
        graph.named("last_hidden_state", encoded): ("float32", [*_TEXTS, size]),
    }


def _added(graph: Graph, model: RankingModel, params: PyTree, product: Product) -> tuple[str, str]:
    """The result and the encoded tokens."""
    add_score = check_has_graph(model)
    names = (TOKENS, TOKENS) if isinstance(model.kind.prompt, str) else (IDS, MASK)
    config = model.module.config  # type: ignore[attr-defined]
    whole = _ScoreGraph(graph, _Tokens(graph, *names), config, params, product)
    return add_score(whole, model, params), whole.encoded


def check_has_graph(model: RankingModel) -> Any:
    """Returns the function that adds the score of the model's kind to a graph.

    Raises:
      ValueError: the kind has no such function, or the network is T5X's.
    """
    having = [name for name, kind in kinds.known().items() if kind.onnx is not None]
    if model.kind.onnx is None:
        raise ValueError(
            f"Model kind '{model.kind.name}' has no ONNX graph; expected one of {having}. "
            "Score it with JAX instead."
        )
    if type(model.module) is not model.kind.network:
        raise ValueError(
            f"Network '{type(model.module).__name__}' has no ONNX graph; expected "
            f"{model.kind.network.__name__} of t5rank."
        )
    return model.kind.onnx


class _ScoreGraph:
    """The graph of a network, without a score; see `t5rank.models.kinds.ScoreGraph`."""

    def __init__(
        self,
        graph: Graph,
        tokens: "_Tokens",
        config: network.T5Config,
        params: PyTree,
        product: Product,
    ):
        self.op, self.constant = graph.op, graph.constant
        self._graph, self._config, self._params = graph, config, params
        self._tokens = tokens
        self.encoded = _Encoder(graph, config, params, product)(self._tokens)

    @property
    def real(self) -> str:
        return self.op("Cast", self._tokens.real, to=tensor_type(np.float32))

    @property
    def mean(self) -> str:
        axis, last = (self.constant(np.array([i])) for i in (1, 2))
        real = self.op("Mul", self.encoded, self.op("Unsqueeze", self.real, last))
        total = self.op("ReduceSum", real, axis, keepdims=0)
        count = self.op("ReduceSum", self.real, axis, keepdims=1)
        return self.op("Div", total, self.op("Max", count, self.constant(np.float32(1))))

    def logits(self, token_ids: Sequence[int]) -> str:
        """Logits `[batch, tokens]` after the first decoder step."""
        decoded = _Decoder(self._graph, self._config, self._params)(self.encoded, self._tokens)
        ids = list(token_ids)
        if self._config.logits_via_embedding:
            columns = _embedding(self._params)[ids].T / math.sqrt(self._config.emb_dim)
        else:
            columns = _float32(self._params["decoder"]["logits_dense"]["kernel"])[:, ids]
        return self.op("MatMul", decoded, self.constant(_float32(columns)))


class _Tokens:
    """Values that depend only on the tokens: the attention mask and the distances.

    Args:
      graph: the graph.
      ids: the input with the tokens.
      mask: the input that is 0 at padding.
    """

    def __init__(self, graph: Graph, ids: str, mask: str):
        self.graph, self.ids = graph, ids
        self.real = graph.op("Cast", mask, to=tensor_type(np.bool_))
        self.mask = graph.op("Where", self.real, *map(graph.constant, (np.float32(0), _MASKED)))

    def unsqueezed_mask(self, *axes: int) -> str:
        """The attention mask `[batch, length]`, unsqueezed: 0, or -1e10 for padding."""
        return self.graph.op("Unsqueeze", self.mask, self.graph.constant(np.array(axes)))

    def distances(self) -> str:
        """Key position minus query position, clipped and shifted to start at 0, `[query, key]`."""
        op, constant = self.graph.op, self.graph.constant
        length = op("Gather", op("Shape", self.ids), constant(1))
        positions = op("Range", constant(0), length, constant(1))
        keys, queries = (op("Unsqueeze", positions, constant(np.array([i]))) for i in (0, 1))
        far = constant(_FARTHEST)
        clipped = op("Clip", op("Sub", keys, queries), constant(-_FARTHEST), far)
        return op("Add", clipped, far)


def inner_names(config: network.T5Config) -> list[str]:
    """The projections into the MLP: `wi`, or `wi_0`, `wi_1` of a gated one."""
    count = len(config.mlp_activations)
    return ["wi"] if count == 1 else [f"wi_{i}" for i in range(count)]


class _Layers:
    """The layers that encoder and decoder share."""

    def __init__(self, graph: Graph, config: network.T5Config, params: PyTree):
        self.graph, self.config, self.params = graph, config, params

    def norm(self, x: str, weights: PyTree) -> str:
        scale = self.graph.constant(_float32(weights["scale"]))
        return self.graph.op("RMSNormalization", x, scale, axis=-1, epsilon=_EPSILON)

    def mlp(self, x: str, weights: PyTree, product: Product, site: str) -> str:
        kernels = [_float32(weights[name]["kernel"]) for name in inner_names(self.config)]
        inner = product(self.graph, f"{site}/wi", x, kernels)
        hidden = map(self.activated, inner, self.config.mlp_activations)
        y = functools.reduce(lambda a, b: self.graph.op("Mul", a, b), hidden)
        return product(self.graph, f"{site}/wo", y, [_float32(weights["wo"]["kernel"])])[0]

    def activated(self, x: str, activation: str) -> str:
        if activation == "relu":
            return self.graph.op("Relu", x)
        return self.graph.op("Gelu", x, approximate="tanh") if activation == "gelu" else x


class _Encoder(_Layers):
    def __init__(self, graph: Graph, config: network.T5Config, params: PyTree, product: Product):
        super().__init__(graph, config, params)
        self.product = product

    def __call__(self, tokens: _Tokens) -> str:
        """The encoded tokens, `[batch, length, emb]`."""
        weights, op = self.params["encoder"], self.graph.op
        x = op("Gather", self.graph.constant(_embedding(self.params)), tokens.ids)
        distances, mask = tokens.distances(), tokens.unsqueezed_mask(1, 2)
        if not self.config.relpos_bias_per_layer:
            bias = self.bias(weights["relpos_bias"], distances, mask)
        for i in range(self.config.num_encoder_layers):
            layer, site = weights[f"layers_{i}"], f"layers_{i}"
            if self.config.relpos_bias_per_layer:
                bias = self.bias(layer["relpos_bias"], distances, mask)
            y = self.norm(x, layer["pre_attention_layer_norm"])
            x = op("Add", x, self.attention(y, layer["attention"], bias, f"{site}/attention"))
            y = self.norm(x, layer["pre_mlp_layer_norm"])
            x = op("Add", x, self.mlp(y, layer["mlp"], self.product, f"{site}/mlp"))
        return self.norm(x, weights["encoder_norm"])

    def bias(self, weights: PyTree, distances: str, mask: str) -> str:
        """The position bias plus the attention mask, `[batch, heads, query, key]`."""
        buckets = layers.relative_position_buckets(np.arange(-_FARTHEST, _FARTHEST + 1))
        table = self.graph.constant(_float32(weights["rel_embedding"])[:, buckets])
        return self.graph.op("Add", self.graph.op("Gather", table, distances, axis=1), mask)

    def attention(self, x: str, weights: PyTree, bias: str, site: str) -> str:
        kernels = [_float32(weights[name]["kernel"]) for name in ("query", "key", "value")]
        inputs = self.product(self.graph, f"{site}/in", x, kernels)
        n = self.config.num_heads
        y = self.graph.op("Attention", *inputs, bias, q_num_heads=n, kv_num_heads=n, scale=1.0)
        return self.product(self.graph, f"{site}/out", y, [_float32(weights["out"]["kernel"])])[0]


class _Decoder(_Layers):
    def __call__(self, encoded: str, tokens: _Tokens) -> str:
        """The residual stream after the first decoder step, `[batch, emb]`."""
        weights, op = self.params["decoder"], self.graph.op
        mask = tokens.unsqueezed_mask(1)
        keys = op("Transpose", encoded, perm=[0, 2, 1])
        for i in range(self.config.num_decoder_layers):
            layer = weights[f"layers_{i}"]
            cross = layer["encoder_decoder_attention"]
            if i == 0:
                start = _after_self_attention(_embedding(self.params)[:1], layer)
                x = self.graph.constant(start)
                query = self.graph.constant(_first_query(start, layer, self.config))
            else:
                y = self.norm(x, layer["pre_self_attention_layer_norm"])
                x = op("Add", x, op("MatMul", y, self.graph.constant(_value_out(layer))))
                y = self.norm(x, layer["pre_cross_attention_layer_norm"])
                query = self.absorbed_query(y, cross)
            x = op("Add", x, self.cross_attention(query, cross, encoded, keys, mask))
            y = self.norm(x, layer["pre_mlp_layer_norm"])
            x = op("Add", x, self.mlp(y, layer["mlp"], float32_product, ""))
        return self.norm(x, weights["decoder_norm"])

    def absorbed_query(self, x: str, weights: PyTree) -> str:
        """Queries multiplied by the key projection, `[batch, heads, emb]`."""
        op, constant = self.graph.op, self.graph.constant
        query = op("MatMul", x, constant(_float32(weights["query"]["kernel"])))
        shape = constant(np.array([0, self.config.num_heads, self.config.head_dim]))
        query = op("Transpose", op("Reshape", query, shape), perm=[1, 0, 2])
        keys = constant(_per_head(weights["key"], self.config).swapaxes(1, 2))
        return op("Transpose", op("MatMul", query, keys), perm=[1, 0, 2])

    def cross_attention(
        self, query: str, weights: PyTree, encoded: str, keys: str, mask: str
    ) -> str:
        op, constant = self.graph.op, self.graph.constant
        attention = op("Softmax", op("Add", op("MatMul", query, keys), mask), axis=-1)
        context = op("Transpose", op("MatMul", attention, encoded), perm=[1, 0, 2])
        y = op("MatMul", context, constant(_per_head(weights["value"], self.config)))
        shape = constant(np.array([0, self.config.joined_kv]))
        y = op("Reshape", op("Transpose", y, perm=[1, 0, 2]), shape)
        return op("MatMul", y, constant(_float32(weights["out"]["kernel"])))


def _after_self_attention(x: np.ndarray, layer: PyTree) -> np.ndarray:
    return x + _normed(x, layer["pre_self_attention_layer_norm"]) @ _value_out(layer)


def _first_query(x: np.ndarray, layer: PyTree, config: network.T5Config) -> np.ndarray:
    """The first layer's queries, which all inputs share, `[1, heads, emb]`."""
    weights = layer["encoder_decoder_attention"]
    y = _normed(x, layer["pre_cross_attention_layer_norm"])
    query = (y @ _float32(weights["query"]["kernel"])).reshape(config.num_heads, config.head_dim)
    return np.einsum("hk,hdk->hd", query, _per_head(weights["key"], config))[None]


def _value_out(layer: PyTree) -> np.ndarray:
    weights = layer["self_attention"]
    return _float32(weights["value"]["kernel"]) @ _float32(weights["out"]["kernel"])


def _per_head(weights: PyTree, config: network.T5Config) -> np.ndarray:
    """A projection's kernel as `[heads, emb, head_dim]`."""
    shape = (config.emb_dim, config.num_heads, config.head_dim)
    return _float32(weights["kernel"]).reshape(shape).swapaxes(0, 1)


def _normed(x: np.ndarray, weights: PyTree) -> np.ndarray:
    mean = np.mean(x * x, axis=-1, keepdims=True)
    return x / np.sqrt(mean + np.float32(_EPSILON)) * _float32(weights["scale"])


def _embedding(params: PyTree) -> np.ndarray:
    return _float32(params["token_embedder"]["embedding"])


def _float32(array: Any) -> np.ndarray:
    return np.asarray(array, np.float32)
