"""Packed rows, loops over layers, recomputation: none of them changes what is learned."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from t5rank import losses, metrics
from t5rank.losses import transformations
from t5rank.models import monot5, network, parts, rankt5
from t5rank.models.ranking import RankingModel, _flat
from t5rank.models.rankt5_encoder import EncoderHead, EncoderScorer
from t5rank.train import layouts

CONFIG = network.T5Config(
    vocab_size=64,
    emb_dim=16,
    num_heads=2,
    num_encoder_layers=1,
    num_decoder_layers=1,
    head_dim=8,
    mlp_dim=32,
    mlp_activations=("gelu", "linear"),
)
TWO_LAYERS = dataclasses.replace(CONFIG, num_encoder_layers=2, num_decoder_layers=2)
LENGTH = 24
MODELS = {
    "rankt5": (network.Transformer, rankt5.RankT5Head(7)),
    "monot5": (network.Transformer, monot5.MonoT5Head(5, 6)),
    "encoder_first": (EncoderScorer, EncoderHead()),
    "encoder_mean": (
        functools.partial(EncoderScorer, pooling="mean"),
        EncoderHead(),
    ),
}


def make_model(name="rankt5", config=CONFIG, **settings):
    network_class, head = MODELS[name]
    return RankingModel(network_class(config), head, **settings)


@functools.cache
def params_of(name="rankt5", config=CONFIG):
    shapes = {"encoder_input_tokens": (1, 1, LENGTH)}
    variables = make_model(name, config).get_initial_variables(jax.random.key(0), shapes)
    return variables["params"].unfreeze()


@pytest.fixture(scope="module")
def padded():
    """Lists of 1 to 7 documents of 3 to 24 tokens; the last slot is never used."""
    rng = np.random.default_rng(0)
    sizes = np.array([7, 3, 1, 5])
    mask = np.arange(8) < sizes[:, None]
    lengths = rng.integers(3, LENGTH + 1, mask.shape)
    tokens = rng.integers(8, 64, (*mask.shape, LENGTH))
    tokens = np.where(mask[..., None] & (np.arange(LENGTH) < lengths[..., None]), tokens, 0)
    label = np.where(mask, rng.integers(0, 3, mask.shape), 0).astype(np.float32)
    return {"encoder_input_tokens": tokens.astype(np.int32), "label": label, "mask": mask}


def gradient(model, params, batch, rng=None):
    batch = {name: jnp.asarray(array) for name, array in batch.items()}
    step = model.training_loss_and_sums if rng is not None else model.loss_and_sums
    return jax.jit(jax.value_and_grad(step, has_aux=True))(params, batch, rng)


def assert_same(left, right, rtol=2e-5):
    """Loss, sums and gradients up to float32 rounding, of the size of each array."""
    (loss, sums), grads = left
    (other_loss, other_sums), other_grads = right
    np.testing.assert_allclose(loss, other_loss, rtol=rtol)
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=rtol), sums, other_sums)
    largest = max(float(jnp.abs(g).max()) for g in jax.tree.leaves(other_grads))
    for g, h in zip(jax.tree.leaves(grads), jax.tree.leaves(other_grads), strict=True):
        np.testing.assert_allclose(g, h, rtol=0, atol=rtol * largest)


@pytest.mark.parametrize("name", MODELS)
def test_packed_gradients_are_those_of_padded_batches(name, padded):
    model = make_model(name)
    packed = layouts.pack(padded, 2, row_length=32, slots=3)
    expected = gradient(model, params_of(name), padded)
    assert_same(gradient(model, params_of(name), packed), expected)


@pytest.mark.parametrize(
    "loss", ["sigmoid_loss", "pairwise_logistic_loss", "listmle_loss", "approx_ndcg"]
)
def test_any_loss_takes_packed_batches(loss, padded):
    """From scores on: the network is the same for all."""
    loss_fn = getattr(losses, loss, None) or transformations.approx_t12n(metrics.ndcg_metric)
    model = make_model(loss_fn=loss_fn)
    packed = layouts.pack(padded, 2, row_length=32, slots=3)

    @jax.jit
    def loss_of(batch):  # the label of a document is as good a score as any
        return model._loss_sum_and_count(_flat(jnp.sin(3.0 * batch["label"]), batch), None)

    np.testing.assert_allclose(loss_of(packed), loss_of(padded), rtol=1e-5)


def test_a_loss_without_segments_is_an_error(padded):
    def my_loss(scores, labels, *, where, reduce_fn):
        return losses.softmax_loss(scores, labels, where=where, reduce_fn=reduce_fn)

    packed = layouts.pack(padded, 1, row_length=32, slots=3)
    with pytest.raises(TypeError, match="Function 'my_loss' takes no 'segments'; expected it"):
        make_model(loss_fn=my_loss).loss_normalizer(packed)


def test_packed_scores_are_those_of_each_document_alone(padded):
    model, packed = make_model(), layouts.pack(padded, 1, row_length=32, slots=3)
    scores = np.asarray(jax.jit(model.batch_scores)(params_of(), packed))
    alone = np.asarray(jax.jit(model.score)(params_of(), padded["encoder_input_tokens"]))
    expected = sorted(zip(padded["label"][padded["mask"]], alone[padded["mask"]], strict=True))
    found = sorted(zip(packed["label"][packed["mask"]], scores[packed["mask"]], strict=True))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_microbatches_of_packed_groups_change_nothing(padded):
    packed = layouts.pack(padded, 4, row_length=32, slots=3)
    expected = gradient(make_model(config=no_dropout(CONFIG)), params_of(), packed, rng=KEY)
    model = make_model(config=no_dropout(CONFIG), num_microbatches=2)
    assert_same(gradient(model, params_of(), packed, rng=KEY), expected)


KEY = jax.random.key(1)


def no_dropout(config):
    return dataclasses.replace(config, dropout_rate=0.0)


@pytest.fixture(scope="module")
def usual(padded):
    return gradient(make_model(config=TWO_LAYERS), params_of(config=TWO_LAYERS), padded, rng=KEY)


@pytest.mark.parametrize(
    ("scan_layers", "remat_policy"), [(True, "none"), (True, "full"), (False, "minimal")]
)
def test_how_layers_are_run_changes_nothing_dropout_included(
    scan_layers, remat_policy, padded, usual
):
    config = dataclasses.replace(TWO_LAYERS, scan_layers=scan_layers, remat_policy=remat_policy)
    model = make_model(config=config)
    assert_same(gradient(model, params_of(config=TWO_LAYERS), padded, rng=KEY), usual)


def test_layers_are_run_as_they_are_initialized(padded):
    """A layer called in the usual way of Flax gives what `run_layers` gives."""
    module = network.Transformer(TWO_LAYERS)
    tokens = jnp.asarray(padded["encoder_input_tokens"][0])
    inputs = rankt5.RankT5Head(7).inputs(module, tokens)
    first, variables = module.init_with_output(jax.random.key(0), **inputs)
    np.testing.assert_allclose(first, module.apply(variables, **inputs), rtol=1e-6)


def test_scores_of_bfloat16_activations_are_float32_and_close(padded):
    tokens = jnp.asarray(padded["encoder_input_tokens"])
    config = dataclasses.replace(TWO_LAYERS, dtype="bfloat16", scan_layers=True)
    scores = jax.jit(make_model(config=config).score)(params_of(config=TWO_LAYERS), tokens)
    expected = jax.jit(make_model(config=TWO_LAYERS).score)(params_of(config=TWO_LAYERS), tokens)
    assert scores.dtype == jnp.float32
    np.testing.assert_allclose(
        scores, expected, rtol=0, atol=0.05 * float(jnp.std(expected)) + 0.02
    )


def test_a_gradient_cache_changes_nothing(padded):
    model = make_model(gradient_cache_rows=5)
    expected = gradient(make_model(), params_of(), padded)
    assert_same(gradient(model, params_of(), padded), expected)


def test_a_gradient_cache_computes_again_with_the_same_dropout(padded, monkeypatch):
    model = make_model(gradient_cache_rows=5)
    found = gradient(model, params_of(), padded, rng=KEY)
    monkeypatch.setattr(parts.jax, "checkpoint", lambda function: function)  # keeps everything
    assert_same(found, gradient(model, params_of(), padded, rng=KEY))
    assert found[0][0] != gradient(make_model(config=no_dropout(CONFIG)), params_of(), padded)[0][0]


def test_a_list_of_1000_trains_in_the_memory_of_50():
    """Temporaries, as XLA plans them; the tokens of the list themselves are not among them."""

    def temporaries(size, **settings):
        batch = {
            "encoder_input_tokens": jax.ShapeDtypeStruct((1, size, LENGTH), jnp.int32),
            "label": jax.ShapeDtypeStruct((1, size), jnp.float32),
            "mask": jax.ShapeDtypeStruct((1, size), jnp.bool_),
        }
        step = make_model(**settings).training_loss_and_sums
        lowered = jax.jit(jax.grad(step, has_aux=True)).lower(params_of(), batch, KEY)
        return lowered.compile().memory_analysis().temp_size_in_bytes

    few = temporaries(50)
    assert temporaries(1000) > 10 * few
    assert temporaries(1000, gradient_cache_rows=50) < 1.5 * few


@pytest.mark.parametrize("rows", [0, -1])
def test_a_gradient_cache_of_no_rows_is_an_error(rows):
    with pytest.raises(
        ValueError, match=f"GRADIENT_CACHE_ROWS has {rows}; expected None or an integer"
    ):
        make_model(gradient_cache_rows=rows)


def test_an_unknown_remat_policy_is_an_error():
    with pytest.raises(ValueError, match="'remat_policy' has 'some'; expected one of"):
        network.T5Config(vocab_size=50, remat_policy="some")
