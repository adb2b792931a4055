"""Every example runs as its README says, with small settings."""

import functools
import itertools
import os
import re
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


def run(script, *arguments, folder, fails=False):
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / script), *map(str, arguments)],
        cwd=folder,
        env={**os.environ, "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode != 0) == fails, done.stdout + done.stderr[-3000:]
    return done.stderr if fails else done.stdout


@pytest.fixture(scope="module")
def lambdarank():
    """The modules of the example, which import each other as scripts do."""
    sys.path.insert(0, str(EXAMPLES / "lambdarank"))
    import compare
    import feature_rows
    import groupwise
    import ltr_losses
    import training

    yield {
        "compare": compare,
        "feature_rows": feature_rows,
        "groupwise": groupwise,
        "losses": ltr_losses.LOSSES,
        "training": training,
    }
    sys.path.remove(str(EXAMPLES / "lambdarank"))
    for file in (EXAMPLES / "lambdarank").glob("*.py"):
        sys.modules.pop(file.stem, None)


RANDOM = np.random.default_rng(0)
FEATURES = jnp.array(RANDOM.normal(size=(2, 5, 3)), jnp.float32)
WHERE = jnp.array([[True] * 5, [True, True, True, False, False]])


@pytest.fixture(scope="module")
def scorer(lambdarank, request):
    """A scorer, and `scores(features, where, key)` with its parameters."""
    model = lambdarank["groupwise"].Scorer(group_size=request.param, widths=(4,))
    params = jax.jit(model.init)(jax.random.key(0), FEATURES, WHERE)
    params = jax.tree.map(lambda x: x + 0.1, params)  # so that no bias is 0
    return jax.jit(functools.partial(model.apply, params)), params["params"]


@functools.partial(jax.jit, static_argnums=0)
def value_and_gradient(score, features, where):
    return jax.value_and_grad(lambda x: score(x, where).sum(where=where))(features)


SIZES = pytest.mark.parametrize("scorer", [1, 2, 3, 4], indirect=True)


@pytest.mark.parametrize("scorer", [1], indirect=True)
@pytest.mark.parametrize("key", [None, 0])
def test_groups_of_one_are_the_plain_network(scorer, key):
    score, params = scorer
    hidden = jax.nn.relu(FEATURES @ params["Dense_0"]["kernel"] + params["Dense_0"]["bias"])
    expected = (hidden @ params["Dense_1"]["kernel"] + params["Dense_1"]["bias"])[..., 0]
    key = None if key is None else jax.random.key(key)
    result = score(FEATURES, WHERE, key)
    np.testing.assert_allclose(result, jnp.where(WHERE, expected, 0), rtol=1e-5)


@pytest.mark.parametrize("scorer", [2], indirect=True)
def test_groups_of_two_by_hand(scorer):
    score, params = scorer

    def network(first, second):
        both = jnp.concatenate([first, second])
        hidden = jax.nn.relu(both @ params["Dense_0"]["kernel"] + params["Dense_0"]["bias"])
        return hidden @ params["Dense_1"]["kernel"] + params["Dense_1"]["bias"]

    a, b, c = FEATURES[1, :3]
    ab, bc, ca = network(a, b), network(b, c), network(c, a)
    expected = [(ab[0] + ca[1]) / 2, (bc[0] + ab[1]) / 2, (ca[0] + bc[1]) / 2, 0, 0]
    np.testing.assert_allclose(score(FEATURES, WHERE)[1], expected, rtol=1e-5)


@SIZES
@pytest.mark.parametrize("garbage", [1.0, np.nan, np.inf])
def test_masked_documents_change_nothing(scorer, garbage):
    score, _ = scorer
    features = FEATURES[1:, :3]
    spread = jnp.full((1, 7, 3), garbage).at[:, jnp.array([0, 3, 4])].set(features)
    where = jnp.zeros((1, 7), bool).at[:, jnp.array([0, 3, 4])].set(True)
    value, gradient = value_and_gradient(score, spread, where)
    scores = score(spread, where)
    np.testing.assert_allclose(scores[where], score(features, WHERE[1:, :3])[0], rtol=1e-5)
    assert not np.any(scores[~where])
    assert np.isfinite(value)
    assert not np.any(gradient[~where])
    assert np.all(np.any(gradient[where], axis=-1))


@SIZES
def test_documents_may_go_round(scorer):
    score, _ = scorer
    features, where = FEATURES[:1], WHERE[:1]
    rolled = score(jnp.roll(features, 2, axis=1), where)
    np.testing.assert_allclose(rolled, jnp.roll(score(features, where), 2, axis=1), rtol=1e-5)


@SIZES
def test_mean_over_orders_does_not_depend_on_the_order(scorer):
    score, _ = scorer

    def mean_score(documents):
        orders = [list(order) for order in itertools.permutations(range(4))]
        scores = score(documents[jnp.array(orders)], jnp.ones((24, 4), bool))
        return np.mean(
            [np.asarray(s)[np.argsort(o)] for s, o in zip(scores, orders, strict=True)], axis=0
        )

    documents = FEATURES[0, :4]
    np.testing.assert_allclose(mean_score(documents[::-1]), mean_score(documents)[::-1], rtol=1e-4)


@pytest.mark.parametrize("scorer", [3], indirect=True)
def test_a_key_puts_documents_in_another_order(scorer):
    score, _ = scorer
    results = {tuple(score(FEATURES, WHERE, jax.random.key(n))[0].tolist()) for n in range(8)}
    assert len(results) > 1


@pytest.mark.parametrize("scorer", [3], indirect=True)
def test_a_list_smaller_than_a_group_has_scores(scorer):
    score, _ = scorer
    where = jnp.array([[True, False, False, False, False], [False] * 5])
    scores = score(FEATURES, where)
    assert scores[0, 0] != 0
    assert not np.any(scores[1])


def test_no_query_trains_and_validates(lambdarank):
    train, held_out = lambdarank["training"].split_queries(10, seed=0)
    assert sorted([*train, *held_out]) == list(range(10))
    assert len(held_out) == 2
    assert lambdarank["training"].split_queries(10, seed=1)[1].tolist() != held_out.tolist()


def test_features_are_standardized_over_documents_only(lambdarank):
    features = np.array([[[np.e - 1, 7], [1 - np.e, 7]], [[0, 7], [100, 0]]], np.float32)
    where = np.array([[True, True], [True, False]])
    lists = lambdarank["feature_rows"].FeatureLists(features, np.zeros((2, 2)), where)
    result = lambdarank["training"].Standardizer(lists)(lists).features
    # log1p makes 1, -1 and 0 of the first feature; the second is constant.
    expected = np.array([1, -1, 0]) / np.sqrt(2 / 3)
    np.testing.assert_allclose(result[where][:, 0], expected, atol=1e-6)
    np.testing.assert_allclose(result[where][:, 1], 0, atol=1e-6)


@pytest.mark.parametrize(("sizes", "fails"), [("1\n2\n", False), ("1\n1\n", True)])
def test_rows_are_read_with_their_groups(lambdarank, tmp_path, sizes, fails):
    (tmp_path / "rank").write_text("2 1:0.5 3:-1e2\n0 2:1\n1\n")
    (tmp_path / "rank.query").write_text(sizes)
    read = lambdarank["feature_rows"].read_rows
    if fails:
        with pytest.raises(ValueError, match="features, labels and grouped documents"):
            read(tmp_path / "rank")
        return
    lists = read(tmp_path / "rank", num_features=4).padded()
    assert lists.features.tolist() == [[[0.5, 0, -100, 0], [0] * 4], [[0, 1, 0, 0], [0] * 4]]
    assert lists.labels.tolist() == [[2, 0], [0, 1]]
    assert lists.where.tolist() == [[True, False], [True, True]]


def test_every_compared_loss_has_a_gradient(lambdarank):
    scores = jnp.array(RANDOM.normal(size=(2, 5)), jnp.float32)
    labels = jnp.array([[0, 3, 0, 1, 4], [2, 0, 1, 0, 0]], jnp.float32)
    assert len(lambdarank["losses"]) == 14
    for name, loss in lambdarank["losses"].items():
        gradient_of = jax.jit(jax.value_and_grad(loss))
        value, gradient = gradient_of(scores, labels, WHERE, jax.random.key(0))
        assert np.isfinite(value), name
        assert np.all(np.isfinite(gradient)), name
        assert np.any(gradient[0] != 0), name
        assert not np.any(gradient[~WHERE]), name


DATA = "ltr_lightgbm"
SMALL = ("--epochs", 2, "--seeds", 2)


def figures(folder):
    """The table's cells, by name and group size."""
    head, _, *lines = (folder / "table.md").read_text().splitlines()
    assert "test NDCG@5" in head
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {(row[0], row[1]): row[2:] for row in rows}


def test_lambdarank_has_a_row_for_each_loss(shared_data, tmp_path, lambdarank):
    data = shared_data / DATA
    output = tmp_path / "results"
    names = ["sigmoid", "softmax", "logistic, DCG weights (LambdaRank)"]  # compiling all takes long
    assert set(names) <= lambdarank["compare"].LOSSES.keys()
    arguments = ["--data", data, "--output", output, "--group_sizes", 2, "--without_lightgbm"]
    text = run("lambdarank/compare.py", *arguments, "--losses", *names, *SMALL, folder=tmp_path)
    table = figures(output)
    groupwise = [(name, "2") for name in lambdarank["compare"].GROUPWISE]
    assert list(table) == [*((name, "1") for name in names), *groupwise]
    for validation, test, _ in table.values():
        assert 0.3 < float(test.split()[0]) < 0.9
        assert 0.3 < float(validation.split()[0]) < 0.9
    assert (output / "table.md").read_text() in text
    assert (output / "ndcg.png").read_bytes().startswith(b"\x89PNG")


def test_lambdarank_beside_lightgbm(shared_data, tmp_path):
    try:
        import lightgbm  # noqa: F401
    except OSError as error:  # it needs OpenMP's library, which not every system has
        pytest.skip(f"LightGBM does not load: {error}")
    arguments = ["--data", shared_data / DATA, "--losses", "softmax", "--group_sizes"]
    run("lambdarank/compare.py", *arguments, *SMALL, folder=tmp_path)
    table = figures(tmp_path / "lambdarank_results")
    assert list(table) == [("LightGBM lambdarank", "1"), ("softmax", "1")]
    assert float(table["LightGBM lambdarank", "1"][1].split()[0]) > 0.6
    assert re.fullmatch(r"[+-]0\.\d{3} ± 0\.\d{3}", table["softmax", "1"][2])


def test_missing_lightgbm_is_named(tmp_path):
    (tmp_path / "hide.py").write_text(
        "import importlib.util, runpy, sys\n"
        "find = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name: None if name == 'lightgbm' else find(name)\n"
        f"sys.path.insert(0, {str(EXAMPLES / 'lambdarank')!r})\n"
        "import compare\n"
        "compare.main(['--data', 'nothing'])\n"
    )
    error = run(tmp_path / "hide.py", folder=tmp_path, fails=True)
    assert "Package 'lightgbm' is not installed" in error
    assert "pip install '.[examples]', or pass --without_lightgbm" in error


def test_approx_metrics_draws_a_picture(tmp_path):
    arguments = ["--samples", 8, "--points", 50, "--output", tmp_path / "x.png"]
    run("approx_metrics/plot.py", *arguments, folder=tmp_path)
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")


def test_approx_metrics_are_smooth_ndcg():
    sys.path.insert(0, str(EXAMPLES / "approx_metrics"))
    import plot

    sys.path.remove(str(EXAMPLES / "approx_metrics"))
    x = jnp.array([-9.0, -4.0, 0.0, 4.0, 9.0])  # one between every two documents
    at = plot.curves(x, temperature=0.1, samples=4, beta=1e-3)
    # Labels by rank with x last: 0 2 0 2 1, then 0 2 0 1 2, ... ; gains are 2^label - 1.
    discounts = 1 / np.log2(np.arange(2, 7))
    gains = [[0, 3, 0, 3, 1], [0, 3, 0, 1, 3], [0, 3, 1, 0, 3], [0, 1, 3, 0, 3], [1, 0, 3, 0, 3]]
    expected = np.array(gains) @ discounts / (np.array([3, 3, 1, 0, 0]) @ discounts)
    for values in at.values():
        np.testing.assert_allclose(values, expected, rtol=1e-4)
