"""int8: products against numpy's integers, smoothing against JAX, scores in other batches."""

import numpy as np
import pytest
from onnx_models import ACTIVATIONS, random_model, random_tokens

from t5rank.inference import onnx_session as session
from t5rank.inference.onnx_session import OnnxScorer
from t5rank.onnx.graph import Graph
from t5rank.onnx.network import TOKENS, score_graph
from t5rank.onnx.products import Int8Product, ObservedProduct
from t5rank.onnx.smoothing import smoothed

SHAPES = {TOKENS: ("int32", ["batch", "length"])}
SCORES = ("float32", ["batch"])


def observed(folder, model, params, tokens) -> dict[str, np.ndarray]:
    graph, product = Graph(folder), ObservedProduct()
    outputs = {score_graph(graph, model, params, product): SCORES}
    outputs |= {name: ("float32", [name]) for name in product.largest.values()}
    values = OnnxScorer(graph.save(SHAPES, outputs)).outputs(tokens)[1:]
    return dict(zip(product.largest, values, strict=True))


def test_product_is_that_of_rounded_integers(tmp_path):
    rng = np.random.default_rng(0)
    table = rng.normal(size=(9, 40)).astype(np.float32)
    kernel = rng.normal(size=(40, 5)).astype(np.float32) * 10.0 ** np.arange(-2, 3)
    graph = Graph(tmp_path)
    x = graph.op("Gather", graph.constant(table), TOKENS)
    (y,) = Int8Product({"site": 2.54})(graph, "site", x, [kernel.astype(np.float32)])
    scorer = OnnxScorer(graph.save(SHAPES, {y: ("float32", ["batch", "length", 5])}))
    tokens = np.arange(9)[None]
    integers = np.clip(np.rint(table / 0.02), -128, 127)  # 2.54 / 127 = 0.02
    columns = np.abs(kernel).max(axis=0) / 127
    expected = (integers @ np.rint(kernel / columns)) * 0.02 * columns
    # Numbers that lie halfway may be rounded either way.
    np.testing.assert_allclose(scorer(tokens)[0] / columns, expected / columns, atol=3)


@pytest.mark.parametrize("has_vnni", {False, session._has_vnni()})
def test_sums_of_the_largest_products_do_not_saturate(tmp_path, monkeypatch, has_vnni):
    monkeypatch.setattr(session, "_has_vnni", lambda: has_vnni)
    graph, kernel = Graph(tmp_path), np.ones((40, 5), np.float32)
    x = graph.op("Gather", graph.constant(np.full((9, 40), 2.54, np.float32)), TOKENS)
    (y,) = Int8Product({"site": 2.54})(graph, "site", x, [kernel])
    scorer = OnnxScorer(graph.save(SHAPES, {y: ("float32", ["batch", "length", 5])}))
    np.testing.assert_allclose(scorer(np.arange(9)[None]), np.full((1, 9, 5), 40 * 2.54), rtol=1e-6)


@pytest.mark.parametrize("version", ACTIVATIONS)
def test_smoothing_changes_no_score_and_knows_the_new_ranges(tmp_path, version):
    model, params = random_model("mean", version)
    # Channels of very different size, as in trained T5s.
    scale = params["encoder"]["layers_1"]["pre_mlp_layer_norm"]["scale"]
    scale[:] = np.exp(3 * np.sin(np.arange(len(scale))))
    tokens = random_tokens()[:1]
    largest = observed(tmp_path, model, params, tokens)
    evener, known = smoothed(params, model.module.config, largest)
    np.testing.assert_allclose(
        model.score(evener, tokens), model.score(params, tokens), atol=1e-4, rtol=1e-5
    )
    after = observed(tmp_path, model, evener, tokens)
    assert known == pytest.approx({site: value.max() for site, value in after.items()}, rel=1e-3)
    spread = [np.ptp(np.log(found["layers_1/mlp/wi"])) for found in (largest, after)]
    assert spread[1] < 0.6 * spread[0]


def test_neighbours_change_no_score(tmp_path):
    model, params = random_model("rankt5", "1.1")
    tokens = random_tokens()[:4]
    largest = observed(tmp_path, model, params, tokens)
    graph = Graph(tmp_path)
    product = Int8Product({site: float(value.max()) for site, value in largest.items()})
    scorer = OnnxScorer(graph.save(SHAPES, {score_graph(graph, model, params, product): SCORES}))
    together = scorer(tokens)
    assert np.abs(together - np.asarray(model.score(params, tokens))).max() > 1e-4  # int8 indeed
    alone = [scorer(row[None])[0] for row in tokens]
    np.testing.assert_allclose(together, alone, atol=1e-5, rtol=0)
