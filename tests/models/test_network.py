import dataclasses
import functools
import re

import flax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.linen import partitioning as nn_partitioning

from t5rank.models import attention, layers, network
from t5rank.models.partitioning import count_parameters
from t5rank.models.ranking import RankingModel
from t5rank.models.rankt5 import RankT5Head
from t5rank.models.rankt5_encoder import EncoderHead, EncoderScorer

SMALL = network.T5Config(
    vocab_size=32128,
    emb_dim=512,
    num_heads=6,
    num_encoder_layers=8,
    num_decoder_layers=8,
    head_dim=64,
    mlp_dim=1024,
    mlp_activations=("gelu", "linear"),
)
SMALL_1_0 = network.T5Config(vocab_size=32128, logits_via_embedding=True)
TINY = network.T5Config(
    vocab_size=50,
    emb_dim=16,
    num_heads=2,
    num_encoder_layers=1,
    num_decoder_layers=1,
    head_dim=8,
    mlp_dim=32,
    mlp_activations=("gelu", "linear"),
)


def shapes(config):
    """Parameter shapes and logical axes by path, without computing anything."""
    model = RankingModel(network.Transformer(config), RankT5Head(7))
    init = functools.partial(
        model.get_initial_variables, input_shapes={"encoder_input_tokens": (1, 2, 8)}
    )
    variables = jax.eval_shape(init, jax.random.key(0))
    flat = flax.traverse_util.flatten_dict(variables["params"].unfreeze(), sep="/")
    axes = flax.core.unfreeze(nn_partitioning.get_axis_names(variables["params_axes"]))
    axes = flax.traverse_util.flatten_dict(axes, sep="/")
    assert flat.keys() == axes.keys()
    return {path: (leaf.shape, tuple(axes[path])) for path, leaf in flat.items()}, variables


@pytest.fixture(scope="module")
def small():
    return shapes(SMALL)


# The tree of T5X's minimal network, as patterns: shape and logical axes.
T5X_TREE = {
    r"token_embedder/embedding": ((32128, 512), ("vocab", "embed")),
    r"(en|de)coder/relpos_bias/rel_embedding": ((6, 32), ("heads", "relpos_buckets")),
    r"(en|de)coder/(en|de)coder_norm/scale": ((512,), ("embed",)),
    r"encoder/layers_\d/pre_(attention|mlp)_layer_norm/scale": ((512,), ("embed",)),
    r"decoder/layers_\d/pre_(self_attention|cross_attention|mlp)_layer_norm/scale": (
        (512,),
        ("embed",),
    ),
    r"(encoder/layers_\d/attention|decoder/layers_\d/(self|encoder_decoder)_attention)"
    r"/(query|key|value)/kernel": ((512, 384), ("embed", "joined_kv")),
    r"(encoder/layers_\d/attention|decoder/layers_\d/(self|encoder_decoder)_attention)"
    r"/out/kernel": ((384, 512), ("joined_kv", "embed")),
    r"(en|de)coder/layers_\d/mlp/wi_[01]/kernel": ((512, 1024), ("embed", "mlp")),
    r"(en|de)coder/layers_\d/mlp/wo/kernel": ((1024, 512), ("mlp", "embed")),
    r"decoder/logits_dense/kernel": ((512, 32128), ("embed", "vocab")),
}


def test_t5_1_1_small_has_as_many_arrays_and_parameters_as_t5x(small):
    tree, variables = small
    assert len(tree) == 190
    assert count_parameters(variables["params"]) == 76_961_152


def test_names_shapes_and_axes_are_those_of_t5x(small):
    for path, found in small[0].items():
        expected = [value for name, value in T5X_TREE.items() if re.fullmatch(name, path)]
        assert [found] == expected, path


@pytest.mark.parametrize("name", T5X_TREE)
def test_every_kind_of_t5x_parameter_is_there(small, name):
    assert any(re.fullmatch(name, path) for path in small[0])


def test_parameters_are_float32_even_with_bfloat16_activations():
    _, variables = shapes(dataclasses.replace(TINY, dtype="bfloat16"))
    assert {leaf.dtype for leaf in jax.tree.leaves(variables["params"])} == {jnp.dtype("float32")}


def test_t5_1_0_has_one_wi_and_no_logits_dense():
    tree, variables = shapes(SMALL_1_0)
    kernels = {path.split("/mlp/")[1] for path in tree if "/mlp/" in path}
    assert kernels == {"wi/kernel", "wo/kernel"}
    assert not [path for path in tree if "logits_dense" in path]
    encoder_layer = 4 * 512 * 512 + 2 * 512 * 2048 + 2 * 512
    decoder_layer = 8 * 512 * 512 + 2 * 512 * 2048 + 3 * 512
    rest = 32128 * 512 + 2 * 8 * 32 + 2 * 512  # embedding, position biases, last norms
    assert count_parameters(variables["params"]) == 6 * (encoder_layer + decoder_layer) + rest


@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize("length", [1, 2, 17, 129, 600])
def test_relative_position_buckets_are_those_of_hugging_face(length, bidirectional):
    torch = pytest.importorskip("torch")
    attention = pytest.importorskip("transformers.models.t5.modeling_t5").T5Attention
    distance = torch.arange(length)[None, :] - torch.arange(length)[:, None]
    expected = attention._relative_position_bucket(
        distance, bidirectional=bidirectional, num_buckets=32, max_distance=128
    )
    ours = layers.relative_position_buckets(distance.numpy(), bidirectional)
    np.testing.assert_array_equal(ours, expected.numpy())


MODELS = {
    "encoder-decoder": lambda config: RankingModel(network.Transformer(config), RankT5Head(7)),
    "encoder": lambda config: RankingModel(EncoderScorer(config), EncoderHead()),
    "encoder, mean": lambda config: RankingModel(
        EncoderScorer(config, pooling="mean"), EncoderHead()
    ),
}
every_model = pytest.mark.parametrize("kind", MODELS)
both_modules = pytest.mark.parametrize("kind", ["encoder-decoder", "encoder"])


@functools.cache
def model_and_params(kind, **changes):
    model = MODELS[kind](dataclasses.replace(TINY, **changes))
    init = jax.jit(lambda rng: model.get_initial_variables(rng, {"encoder_input_tokens": (1, 9)}))
    return model, init(jax.random.key(1))["params"]


@functools.cache
def compiled(kind, **changes):
    return jax.jit(model_and_params(kind, **changes)[0].score)


def scores(kind, tokens, dropout_rng=None, **changes):
    params = model_and_params(kind)[1]  # the same ones for every dtype and dropout rate
    return compiled(kind, **changes)(params, tokens, dropout_rng)


def tokens(lengths=(9, 4, 7, 1), length=9):
    rows = np.random.default_rng(0).integers(3, 50, (len(lengths), 9))
    rows = np.pad(rows, ((0, 0), (0, length - 9)))
    return np.where(np.arange(length) < np.array(lengths)[:, None], rows, 0).astype(np.int32)


@every_model
def test_scores_differ(kind):
    assert np.std(scores(kind, tokens())) > 0.01


@every_model
def test_padding_changes_no_score(kind):
    expected, ours = scores(kind, tokens()), scores(kind, tokens(length=40))
    np.testing.assert_allclose(ours, expected, atol=1e-5, rtol=0)


@every_model
def test_neighbours_in_the_batch_change_no_score(kind):
    together = scores(kind, tokens())
    others = np.concatenate([tokens()[:1], tokens()[:0:-1]])
    np.testing.assert_allclose(scores(kind, others)[0], together[0], atol=1e-6, rtol=0)
    np.testing.assert_allclose(scores(kind, others)[1:], together[:0:-1], atol=1e-6, rtol=0)


@every_model
def test_row_of_padding_alone_is_finite_and_leaves_the_others_alone(kind):
    rows = tokens()
    expected = scores(kind, rows)[1:]
    rows[0] = 0
    ours = scores(kind, rows)
    assert np.isfinite(ours[0])
    np.testing.assert_allclose(ours[1:], expected, atol=1e-6, rtol=0)


@every_model
def test_order_of_the_tokens_matters(kind):
    rows = tokens()
    assert abs(scores(kind, rows)[0] - scores(kind, rows[:, ::-1])[0]) > 1e-3  # row 0 is full


@both_modules
def test_bfloat16_gives_float32_scores_near_those_of_float32(kind):
    expected, ours = scores(kind, tokens()), scores(kind, tokens(), dtype="bfloat16")
    assert ours.dtype == expected.dtype == jnp.float32
    assert not np.array_equal(ours, expected)  # it did compute in bfloat16
    np.testing.assert_allclose(ours, expected, atol=0.1 * np.std(expected), rtol=0)


@both_modules
def test_dropout_only_with_an_rng(kind):
    one, two = (scores(kind, tokens(), jax.random.key(n)) for n in (1, 2))
    without = scores(kind, tokens())
    assert not np.allclose(one, without)
    assert not np.allclose(one, two)


@both_modules
def test_same_rng_drops_the_same(kind):
    one, two = (scores(kind, tokens(), jax.random.key(1)) for _ in range(2))
    np.testing.assert_array_equal(one, two)


def test_dropout_rate_of_zero_is_no_dropout():
    kind = "encoder"
    ours = scores(kind, tokens(), jax.random.key(1), dropout_rate=0.0)
    np.testing.assert_allclose(ours, scores(kind, tokens()), atol=1e-6)


def test_attention_in_blocks_changes_nothing_and_is_not_for_training(monkeypatch):
    model, params = model_and_params("encoder")

    def scores_and_gradient():
        score = lambda p: model.score(p, tokens()).sum()  # noqa: E731
        return jax.tree.leaves(jax.jit(jax.value_and_grad(score))(params))

    def loops(*rng):
        score = functools.partial(model.score)  # a new one, as JAX keeps what it has traced
        return str(jax.make_jaxpr(score)(params, tokens(), *rng)).count("scan[")

    whole, of_training = scores_and_gradient(), loops(jax.random.key(1))
    assert loops() == 0
    monkeypatch.setattr(attention, "_BLOCK", 3)
    assert loops() == TINY.num_encoder_layers
    assert loops(jax.random.key(1)) == of_training
    for ours, expected in zip(scores_and_gradient(), whole, strict=True):
        np.testing.assert_allclose(ours, expected, atol=1e-6)


def test_gradient_reaches_every_parameter_that_matters_at_the_first_step():
    model, params = model_and_params("encoder-decoder")
    gradient = jax.jit(jax.grad(lambda p: jnp.sum(model.score(p, tokens()) ** 2)))(params)
    flat = flax.traverse_util.flatten_dict(flax.core.unfreeze(gradient), sep="/")
    unreached = {path for path, leaf in flat.items() if not np.any(leaf)}
    first_step = "decoder/layers_0/self_attention"  # a position attends to itself alone
    assert unreached == {
        f"{first_step}/query/kernel",
        f"{first_step}/key/kernel",
        "decoder/relpos_bias/rel_embedding",
    }


def test_activations_without_a_function_are_an_error():
    with pytest.raises(ValueError, match=r"'mlp_activations' has \('swish',\); expected some of"):
        network.T5Config(vocab_size=50, mlp_activations=("swish",))


def test_no_activation_is_an_error():
    with pytest.raises(ValueError, match="'mlp_activations' has"):
        network.T5Config(vocab_size=50, mlp_activations=())


def test_other_dtype_is_an_error():
    with pytest.raises(ValueError, match="'dtype' has 'float16'; expected one of"):
        network.T5Config(vocab_size=50, dtype="float16")


def test_activations_of_a_list_can_be_hashed():
    config = network.T5Config(vocab_size=50, mlp_activations=["gelu", "linear"])
    assert hash(config) == hash(network.T5Config(50, mlp_activations=("gelu", "linear")))


def test_other_pooling_is_an_error():
    module = EncoderScorer(TINY, pooling="last")
    with pytest.raises(ValueError, match="'pooling' has 'last'; expected one of"):
        module.init(jax.random.key(0), tokens())


@pytest.mark.parametrize("leading", [(), (5,), (3, 5), (2, 3, 5)])
def test_products_with_kernels_have_the_gradient_of_a_product(leading):
    normal = np.random.default_rng(0).normal
    x, kernel, y = normal(size=(*leading, 4)), normal(size=(4, 6)), normal(size=(*leading, 6))
    product, gradient = jax.vjp(layers._times, jnp.float32(x), jnp.float32(kernel))
    np.testing.assert_allclose(product, x @ kernel, atol=1e-5)
    of_x, of_kernel = gradient(jnp.float32(y))
    np.testing.assert_allclose(of_x, y @ kernel.T, atol=1e-5)
    expected = x.reshape(-1, 4).T @ y.reshape(-1, 6)
    np.testing.assert_allclose(of_kernel, expected, atol=1e-5)
