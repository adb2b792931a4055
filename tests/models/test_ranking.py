import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import rax

from t5rank import losses, metrics
from t5rank.models import monot5, network, rankt5
from t5rank.models.ranking import RankingModel
from t5rank.models.rankt5_encoder import EncoderHead, EncoderScorer

CONFIG = network.T5Config(
    vocab_size=50,
    emb_dim=16,
    num_heads=2,
    num_encoder_layers=0,  # quick to compile: layers are the business of test_network
    num_decoder_layers=0,
    head_dim=8,
    mlp_dim=32,
)
LISTS, SIZE, LENGTH = 4, 3, 6


def make_model(**settings):
    module = EncoderScorer(CONFIG, pooling="mean")
    return RankingModel(module, EncoderHead(), **settings)


@pytest.fixture(scope="module")
def params():
    shapes = {"encoder_input_tokens": (LISTS, SIZE, LENGTH)}
    return make_model().get_initial_variables(jax.random.key(0), shapes)["params"]


@pytest.fixture(scope="module")
def batch():
    """Lists of 3, 2, 3 and 1 documents, each with one relevant."""
    rng = np.random.default_rng(0)
    mask = np.arange(SIZE) < np.array([[3], [2], [3], [1]])
    tokens = rng.integers(3, 50, (LISTS, SIZE, LENGTH)) * mask[..., None]
    label = np.zeros((LISTS, SIZE), np.float32)
    label[np.arange(LISTS), [2, 1, 0, 0]] = 1
    return {
        "encoder_input_tokens": jnp.asarray(tokens, jnp.int32),
        "label": jnp.asarray(label),
        "mask": jnp.asarray(mask),
    }


def part(batch, start, stop):
    return {name: array[start:stop] for name, array in batch.items()}


def scores_of(params, batch):
    return make_model().score(params, batch["encoder_input_tokens"])


def test_initial_variables_hold_parameters_and_their_axes(params):
    shapes = {"encoder_input_tokens": (2, 3, 6)}
    types = {"encoder_input_tokens": jnp.int32}
    init = make_model().get_initial_variables
    variables = init(rng=jax.random.key(0), input_shapes=shapes, input_types=types)
    assert set(variables) == {"params", "params_axes"}
    jax.tree.map(np.testing.assert_array_equal, variables["params"], params)


def test_initial_parameters_depend_on_the_rng(params):
    shapes = {"encoder_input_tokens": (2, 3, 6)}
    other = make_model().get_initial_variables(jax.random.key(1), shapes)["params"]
    embedding = params["token_embedder"]["embedding"]
    assert not np.allclose(other["token_embedder"]["embedding"], embedding)


@pytest.mark.parametrize("shape", [(6,), (3, 6), (4, 3, 6), (2, 2, 3, 6)])
def test_score_keeps_the_shape_of_the_batch(params, shape):
    tokens = jnp.asarray(np.random.default_rng(0).integers(3, 50, shape))
    scores = make_model().score(params, tokens)
    assert scores.shape == shape[:-1]
    assert scores.dtype == jnp.float32


def test_scores_of_lists_are_those_of_their_documents(params, batch):
    tokens = batch["encoder_input_tokens"]
    flat = make_model().score(params, tokens.reshape(-1, LENGTH))
    np.testing.assert_allclose(scores_of(params, batch), flat.reshape(LISTS, SIZE), atol=1e-6)


def test_loss_is_the_ranking_loss_of_the_scores(params, batch):
    loss, _ = make_model().loss_and_sums(params, batch, None)
    expected = losses.softmax_loss(scores_of(params, batch), batch["label"], where=batch["mask"])
    assert loss == pytest.approx(float(expected), rel=1e-6)


def test_training_has_dropout_and_without_an_rng_there_is_none(params, batch):
    model = make_model()
    without, dropped = (
        model.loss_and_sums(params, batch, None)[0],
        model.training_loss_and_sums(params, batch, jax.random.key(0))[0],
    )
    assert without == model.loss_and_sums(params, batch, None)[0]
    assert abs(without - dropped) > 1e-4


@pytest.mark.parametrize(("loss_fn", "count"), [("softmax_loss", 4), ("sigmoid_loss", 9)])
def test_normalizing_factor_divides_the_sum(params, batch, loss_fn, count):
    loss_fn = getattr(losses, loss_fn)  # a value a list, or a value a document
    mean, _ = make_model(loss_fn=loss_fn).loss_and_sums(params, batch, None)
    ours, _ = make_model(loss_fn=loss_fn, loss_normalizing_factor=5.0).loss_and_sums(
        params, batch, None
    )
    assert ours == pytest.approx(float(mean) * count / 5)


def test_loss_normalizer_is_the_count(batch):
    assert make_model().loss_normalizer(batch) == 4
    assert make_model(loss_fn=losses.sigmoid_loss).loss_normalizer(batch) == 3 + 2 + 3 + 1


def test_loss_normalizer_of_an_empty_batch_is_one(batch):
    assert make_model().loss_normalizer(batch | {"mask": jnp.zeros((4, 3), bool)}) == 1


def test_empty_batch_has_no_loss_and_no_gradient(params, batch):
    empty = batch | {"mask": jnp.zeros((4, 3), bool)}
    gradient_fn = jax.jit(jax.value_and_grad(make_model().loss_and_sums, has_aux=True))
    (loss, _), gradient = gradient_fn(params, empty, None)
    assert loss == 0
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(gradient))


def test_metrics_are_those_of_the_scores(params, batch):
    _, found = make_model().loss_and_sums(params, batch, None)
    assert found.keys() == {"loss", "ndcg@10", "mrr@10"}
    for name, metric in (("ndcg@10", metrics.ndcg_metric), ("mrr@10", metrics.mrr_metric)):
        expected = metric(scores_of(params, batch), batch["label"], where=batch["mask"], topn=10)
        assert found[name][0] / found[name][1] == pytest.approx(float(expected), rel=1e-6)


@pytest.mark.parametrize(
    "loss_fn",
    [losses.softmax_loss, losses.sigmoid_loss, rax.pairwise_logistic_loss],
    ids=lambda f: f"{f.__module__.split('.')[0]} {f.__name__}",
)
def test_gradients_of_microbatches_add_up_to_that_of_the_batch(params, batch, loss_fn):
    model = make_model(loss_fn=loss_fn)
    gradient = jax.jit(jax.value_and_grad(model.loss_and_sums, has_aux=True))
    normalizer = model.loss_normalizer(batch)
    (loss, sums), whole = gradient(params, batch, None)
    parts = [gradient(params, part(batch, *ends), None, normalizer) for ends in ((0, 2), (2, 4))]
    assert sum(p[0][0] for p in parts) == pytest.approx(float(loss), rel=1e-5)
    added = jax.tree.map(jnp.add, parts[0][1], parts[1][1])
    jax.tree.map(functools.partial(np.testing.assert_allclose, atol=1e-6), added, whole)
    added_sums = jax.tree.map(jnp.add, parts[0][0][1], parts[1][0][1])
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-5), added_sums, sums)


@pytest.mark.parametrize(
    "loss_fn",
    [
        rax.softmax_loss,
        rax.pairwise_logistic_loss,
        rax.pairwise_hinge_loss,
        rax.pointwise_sigmoid_loss,
        rax.unique_softmax_loss,
    ],
    ids=lambda f: f.__name__,
)
def test_a_loss_of_rax_is_taken_as_it_is(params, batch, loss_fn):
    loss, _ = make_model(loss_fn=loss_fn).loss_and_sums(params, batch, None)
    expected = loss_fn(scores_of(params, batch), batch["label"], where=batch["mask"])
    assert loss == pytest.approx(float(expected), rel=1e-5)
    assert loss > 0


def test_tokens_of_masked_documents_change_no_loss(params, batch):
    tokens = jnp.where(batch["mask"][..., None], batch["encoder_input_tokens"], 9)
    ours, _ = make_model().loss_and_sums(params, batch | {"encoder_input_tokens": tokens}, None)
    assert ours == pytest.approx(
        float(make_model().loss_and_sums(params, batch, None)[0]), rel=1e-6
    )


class Vocabulary:
    def token_id(self, token):
        return {"<extra_id_10>": 40, "true": 5, "false": 6, "other": 8}[token]


def test_heads_look_up_their_tokens():
    assert rankt5.rankt5_head(Vocabulary()) == rankt5.RankT5Head(40)
    assert rankt5.rankt5_head(Vocabulary(), "other") == rankt5.RankT5Head(8)
    assert monot5.monot5_head(Vocabulary()) == monot5.MonoT5Head(5, 6)


def test_monot5_score_is_the_log_probability_of_true():
    true, false = 1.5, -0.5
    score = monot5.MonoT5Head(5, 6).read(jnp.array([[[true, false]]]))
    assert score[0, 0] == pytest.approx(true - np.logaddexp(true, false))


@pytest.mark.parametrize("head", [rankt5.RankT5Head(7), monot5.MonoT5Head(5, 6)])
def test_head_reads_its_tokens_off_all_logits(head):
    """The output of T5X's network, `[batch, slots, vocabulary]`."""
    logits = np.random.default_rng(0).normal(size=(2, 3, 50)).astype(np.float32)
    asked = jnp.asarray(logits[..., list(head.token_ids)])
    np.testing.assert_array_equal(head.read(jnp.asarray(logits)), head.read(asked))


@pytest.mark.parametrize(
    ("head", "module"),
    [
        (EncoderHead(), network.Transformer(CONFIG)),
        (rankt5.RankT5Head(7), EncoderScorer(CONFIG)),
        (monot5.MonoT5Head(5, 6), EncoderScorer(CONFIG)),
    ],
)
def test_head_of_another_network_is_an_error(head, module):
    with pytest.raises(ValueError, match=f"Head '{type(head).__name__}' has the network"):
        RankingModel(module, head)


@pytest.mark.parametrize(
    "head", [rankt5.RankT5Head(50), rankt5.RankT5Head(-1), monot5.MonoT5Head(5, 50)]
)
def test_token_outside_the_vocabulary_is_an_error(head):
    with pytest.raises(ValueError, match=r"has token .*; expected a row of the embedding, 0 to 49"):
        RankingModel(network.Transformer(CONFIG), head)
