"""In-batch negatives, by their definition and beside torch; layouts; false negatives."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from torch_t5 import SIZES, VOCAB, hugging_face_t5, our_config, our_params

from t5rank import losses
from t5rank.models import retrieval
from t5rank.models.dual_encoder import DualEncoder, VectorHead
from t5rank.models.ranking import RankingModel
from t5rank.models.rankt5_encoder import EncoderHead, EncoderScorer
from t5rank.models.retrieval import RetrievalModel
from t5rank.train import layouts

torch = pytest.importorskip("torch")

LISTS, NEGATIVES, LENGTH, DIM = 6, 2, 16, 24
CONFIG = dataclasses.replace(our_config("1.1"), dropout_rate=0.0)


def make_model(similarity="cosine", learn_temperature=False, **settings):
    module = DualEncoder(CONFIG, DIM, learn_temperature)
    return RetrievalModel(module, VectorHead(similarity), **settings)


@functools.cache
def weights():
    """The torch model, the projection, and our parameters of both."""
    theirs = hugging_face_t5("1.1")
    torch.manual_seed(1)
    projection = torch.nn.Linear(SIZES["d_model"], DIM, bias=False)
    params = our_params(theirs)
    params.pop("decoder")
    params.pop("logits_dense", None)
    kernel = projection.weight.detach().numpy().T
    return theirs, projection, params | {"projection_layer": {"kernel": kernel}}


def make_batch(negatives=NEGATIVES, seed=0):
    """Lists of one relevant document, then others; all texts differ."""
    rng = np.random.default_rng(seed)
    shape = (LISTS, 2 + negatives)
    lengths = rng.integers(3, LENGTH + 1, shape)
    tokens = rng.integers(3, VOCAB, (*shape, LENGTH))
    tokens = np.where(np.arange(LENGTH) < lengths[..., None], tokens, 0).astype(np.int32)
    label = np.zeros(shape, np.float32)
    label[:, 1] = 1
    keys = np.arange(1, label.size + 1, dtype=np.int32).reshape(shape)
    return {
        "encoder_input_tokens": tokens,
        "label": label,
        "mask": np.arange(shape[1]) > np.zeros((LISTS, 1)),
        "keys": keys,
        "relevant_keys": np.pad(keys[:, 1:2], [(0, 0), (0, 1)]),
    }


def gradient(model, params, batch):
    step = jax.value_and_grad(model.loss_and_sums, has_aux=True)
    (loss, sums), grads = jax.jit(step)(params, jax.tree.map(jnp.asarray, batch), None)
    return loss, sums, grads


def torch_vectors(tokens):
    theirs, projection, _ = weights()
    ids = torch.tensor(tokens.reshape(-1, LENGTH), dtype=torch.long)
    real = (ids != 0).long()
    hidden = theirs.encoder(input_ids=ids, attention_mask=real).last_hidden_state
    mean = (hidden * real[..., None]).sum(1) / real.sum(1, keepdim=True)
    return torch.nn.functional.normalize(projection(mean)).reshape(*tokens.shape[:2], DIM)


@pytest.mark.parametrize("negatives", [0, 3])
def test_loss_and_gradient_are_those_of_multiple_negatives_ranking_loss(negatives):
    """Henderson et al. 2017: the cross entropy of each query over all documents of the batch."""
    batch = make_batch(negatives)
    _, projection, params = weights()
    vectors = torch_vectors(batch["encoder_input_tokens"])
    queries, columns = vectors[:, 0], vectors[:, 1:].transpose(0, 1).reshape(-1, DIM)
    expected = torch.nn.functional.cross_entropy(20 * queries @ columns.T, torch.arange(LISTS))
    projection.zero_grad()
    expected.backward()
    loss, _, grads = gradient(make_model(), params, batch)
    np.testing.assert_allclose(loss, expected.item(), rtol=1e-5)
    theirs = projection.weight.grad.numpy().T
    np.testing.assert_allclose(
        grads["projection_layer"]["kernel"], theirs, atol=1e-5 * np.abs(theirs).max() + 1e-7
    )


@pytest.mark.parametrize("similarity", ["cosine", "dot"])
def test_vectors_are_those_of_torch(similarity):
    tokens = make_batch()["encoder_input_tokens"]
    vectors = make_model(similarity).score(weights()[2], tokens)
    if similarity == "dot":
        vectors = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    np.testing.assert_allclose(vectors, torch_vectors(tokens).detach().numpy(), atol=1e-5)


@pytest.mark.parametrize("candidates", retrieval.CANDIDATES)
def test_packed_rows_and_a_gradient_cache_change_nothing(candidates):
    batch = make_batch()
    batch["mask"][0, -1] = False
    batch["keys"][2, 1] = batch["keys"][3, 2]  # a false negative
    batch["relevant_keys"][2, 0] = batch["keys"][2, 1]
    params = weights()[2]
    loss, sums, grads = gradient(make_model(candidates=candidates), params, batch)
    cached = make_model(candidates=candidates, gradient_cache_rows=4)
    packed = layouts.pack(batch, 2, row_length=32, slots=4)
    other_loss, other_sums, other_grads = gradient(cached, params, packed)
    np.testing.assert_allclose(other_loss, loss, rtol=2e-5)
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=2e-5), other_sums, sums)
    for g, h in zip(jax.tree.leaves(other_grads), jax.tree.leaves(grads), strict=True):
        np.testing.assert_allclose(g, h, rtol=0, atol=2e-5 * max(np.abs(h).max(), 1e-3))


def test_the_mean_similarity_of_documents_is_logged():
    batch, params = make_batch(), weights()[2]
    batch["mask"][0, 2] = False
    total, count = gradient(make_model(), params, batch)[1]["document_similarity"]
    vectors = make_model().score(params, batch["encoder_input_tokens"])[batch["mask"].astype(bool)]
    cosines = np.asarray(vectors @ vectors.T)[~np.eye(len(vectors), dtype=bool)]
    np.testing.assert_allclose(total / count, cosines.mean(), rtol=1e-5)


def test_candidates():
    """How many documents each query is compared with."""
    batch, params = make_batch(), weights()[2]
    expected = {"batch": 18, "positives": 6 + 2, "list": 3}
    for candidates, number in expected.items():
        scored = make_model(candidates=candidates).scored(params, batch, None)
        assert (scored.where.sum(-1) == number).all(), candidates
        assert (scored.label.sum(-1) == 1).all()


def test_false_negatives_are_left_out():
    batch, params = make_batch(), weights()[2]
    batch["keys"][1, 2] = batch["keys"][0, 1]  # a negative of list 1 is the relevant text of list 0
    batch["relevant_keys"][2, 1] = batch["keys"][3, 1]  # judged relevant for query 2 as well
    batch["keys"][5, 0] = batch["keys"][4, 0]  # two lists of one query
    where = make_model().scored(params, batch, None).where
    left_out = {(q, int(d) // 3, int(d) % 3 + 1) for q, d in zip(*np.where(~where), strict=True)}
    assert left_out == {(0, 1, 2), (2, 3, 1), (4, 5, 1), (5, 4, 1)}
    assert make_model(mask_false_negatives=False).scored(params, batch, None).where.all()


def test_a_learned_temperature_starts_where_it_is_set_and_is_bounded():
    batch, params = make_batch(), weights()[2]
    fixed = gradient(make_model(temperature=0.1), params, batch)[0]
    model = make_model(learn_temperature=True, temperature=0.1)
    loss, _, grads = gradient(model, params | {"log_scale": jnp.zeros(1)}, batch)
    assert loss == fixed and grads["log_scale"] != 0
    assert model.scale({"log_scale": jnp.full(1, 9.0)}) == retrieval.LARGEST_SCALE


def test_losses_that_ask_for_more_than_a_model_gives_are_errors():
    make_model(loss_fn=losses.adaptive_margin_loss)
    with pytest.raises(ValueError, match="SIMILARITY has 'dot'"):
        make_model("dot", loss_fn=losses.adaptive_margin_loss)
    with pytest.raises(ValueError, match="takes positive_scores, scale, which this RetrievalModel"):
        make_model(candidates="list", loss_fn=losses.adaptive_softmax_loss)
    with pytest.raises(ValueError, match="takes scale, which this RankingModel does not give"):
        RankingModel(
            EncoderScorer(CONFIG), EncoderHead(), loss_fn=losses.symmetric(losses.softmax_loss)
        )


def test_an_adaptive_loss_is_given_cosines():
    """Of one list with one negative, by hand (Li et al. 2023, as read in the docstring)."""
    batch, params = make_batch(1), weights()[2]
    batch = {name: array[:1] for name, array in batch.items()}
    loss_fn = functools.partial(losses.adaptive_margin_loss, symmetric_weight=0.0)
    loss, _, _ = gradient(make_model(loss_fn=loss_fn), params, batch)
    q, v, n = np.asarray(make_model().score(params, batch["encoder_input_tokens"])[0])
    np.testing.assert_allclose(loss, max(0, 0.5 * (1 - v @ n) + 0.01 - q @ v + q @ n), rtol=1e-5)


def test_microbatches_are_an_error_that_names_the_cache():
    with pytest.raises(ValueError, match="GRADIENT_CACHE_ROWS saves the memory"):
        make_model(num_microbatches=2)
    make_model(num_microbatches=2, candidates="list")


def test_an_empty_text_has_a_vector_of_zeros_and_no_gradient_of_nan():
    batch, params = make_batch(), weights()[2]
    batch["encoder_input_tokens"][0, 1] = 0
    _, _, grads = gradient(make_model(), params, batch)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(grads))
