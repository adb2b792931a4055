"""The retrieval model: a network that gives vectors, and a loss over queries times documents.

A batch has the query as the first item of its list, in one of two layouts:

* padded: `encoder_input_tokens` `[lists, 1 + list_size, length]`, and `label`, `mask`, `keys`
  `[lists, 1 + list_size]`, where `mask` is False at the query;
* packed, queries and documents in the same rows (see `t5rank.train.layouts`):
  `encoder_input_tokens` and `encoder_segment_ids` `[groups, rows, length]`, `label`, `mask`, `keys`
  and `list_ids` `[groups, rows, slots]`, and `query_slots` `[groups, lists]`: where the query of
  each list of the group is among its rows times slots. The lists of a group are numbered from 0.

Either has `relevant_keys`, `[lists, n]` or `[groups, lists, n]`. Keys are hashes of texts; 0 is no
text. They tell which documents of other lists are relevant to a query as well.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Float

from t5rank import losses
from t5rank.checks import check_boolean, check_choice, check_number
from t5rank.losses.combinations import takes
from t5rank.metrics.defaults import DEFAULT_METRIC_FNS
from t5rank.models.heads import Head
from t5rank.models.ranking import Batch, RankingModel, Scored
from t5rank.types import Array, LossFn, MetricFn, PyTree

CANDIDATES = ("batch", "positives", "list")
LARGEST_SCALE = 100.0  # of a temperature that is learned, as in CLIP (Radford et al. 2021, 2.5)


class Sides(NamedTuple):
    """The queries and documents of a batch, those of all lists together.

    Attributes:
      queries: vectors `[queries, dim]`.
      documents: vectors `[documents, dim]`, empty slots included.
      lists: the number of each document's list, which is that of its query.
      label: of each document, in its own list.
      mask: which documents are real.
      query_keys: `[queries]`.
      keys: `[documents]`.
      relevant_keys: `[queries, n]`.
    """

    queries: Array
    documents: Array
    lists: Array
    label: Array
    mask: Array
    query_keys: Array
    keys: Array
    relevant_keys: Array


class RetrievalModel(RankingModel):
    """A network that gives vectors, a loss and metrics.

    The loss is given similarities divided by a temperature, `[queries, documents]` of the whole
    batch, over all devices of the mesh. Documents of other lists have the label 0, so that every
    listwise loss is one with in-batch negatives: `softmax_loss` is that of Henderson et al. (2017),
    sentence-transformers' MultipleNegativesRankingLoss.

    Attributes:
      temperature: similarities are divided by it. 0.05 is sentence-transformers' scale of 20 for
        cosines, 0.01 that of t5x_retrieval and GTR; 1 is usual for dot products. Where the network
        learns one, this is where it starts; a scale of more than 100 is never used.
      candidates: which documents a query is compared with. "batch": all documents of the batch;
        "positives": the relevant ones of all lists, and all of its own list; "list": its own list.
      mask_false_negatives: whether documents of other lists are left out that are relevant to the
        query: their text is that of one of its relevant documents, or their query's text is its
        own.

    The others are those of `RankingModel`.

    Raises:
      ValueError: a setting has no meaning, or microbatches are asked for with negatives of other
        lists: a part of a batch has fewer of them.
    """

    def __init__(
        self,
        module: nn.Module,
        head: Head,
        loss_fn: LossFn = losses.softmax_loss,
        metric_fns: Mapping[str, MetricFn] = DEFAULT_METRIC_FNS,
        loss_normalizing_factor: float | None = None,
        num_microbatches: int = 1,
        gradient_cache_rows: int | None = None,
        temperature: float = 0.05,
        candidates: str = "batch",
        mask_false_negatives: bool = True,
    ):
        check_choice("CANDIDATES", candidates, CANDIDATES)
        self.candidates = candidates
        super().__init__(
            module,
            head,
            loss_fn,
            metric_fns,
            loss_normalizing_factor,
            num_microbatches,
            gradient_cache_rows,
        )
        check_number("TEMPERATURE", temperature, above=0)
        check_boolean("MASK_FALSE_NEGATIVES", mask_false_negatives)
        if num_microbatches > 1 and candidates != "list":
            raise ValueError(
                f"NUM_MICROBATCHES has {num_microbatches} with CANDIDATES = '{candidates}'; "
                "expected 1. A part of a batch has fewer negatives, so its loss is another one. "
                "GRADIENT_CACHE_ROWS saves the memory, and the loss stays the same."
            )
        if takes(loss_fn, "positive_scores") and self.head.similarity != "cosine":
            raise ValueError(
                f"SIMILARITY has '{self.head.similarity}' with the loss "
                f"'{getattr(loss_fn, '__name__', loss_fn)}'; expected 'cosine'. Its margin or "
                "temperature falls with a similarity that is at most 1."
            )
        self.temperature = temperature
        self.mask_false_negatives = mask_false_negatives

    @property
    def gives(self) -> tuple[str, ...]:
        """See `RankingModel`."""
        return ("key",) if self.candidates == "list" else ("key", "positive_scores", "scale")

    @property
    def sees_other_lists(self) -> bool:
        """Whether a query is compared with documents of other lists."""
        return self.candidates != "list"

    @property
    def dim(self) -> int:
        """The size of a vector."""
        module: Any = self.module
        return module.config.emb_dim if module.dim is None else module.dim

    def scale(self, params: PyTree) -> Array:
        """What similarities are multiplied by, a float32 scalar."""
        if "log_scale" not in params:
            return jnp.float32(1 / self.temperature)
        return jnp.minimum(jnp.exp(params["log_scale"][0]) / self.temperature, LARGEST_SCALE)

    def list_scores(self, results: np.ndarray) -> np.ndarray:
        """Similarities `[documents]` of the vectors of a list, its query's first."""
        return results[1:] @ results[0]

    def batch_scores(
        self, params: PyTree, batch: Batch, dropout_rng: Array | None = None
    ) -> Float[Array, "groups list"]:
        """Similarities of each query with its own documents.

        `[lists, list_size]`, or in the shape of the labels where the batch is packed.
        """
        vectors = self.results(params, batch, dropout_rng)
        if "list_ids" not in batch:
            return _dot("qd,qnd->qn", vectors[:, 0], vectors[:, 1:])
        groups = vectors.shape[0]
        flat = vectors.reshape(groups, -1, vectors.shape[-1])
        queries = _at(flat, batch["query_slots"])
        of_slots = _at(queries, batch["list_ids"].reshape(groups, -1))
        return _dot("gsd,gsd->gs", of_slots, flat).reshape(batch["label"].shape)

    def scored(self, params: PyTree, batch: Batch, dropout_rng: Array | None) -> Scored:
        """Scores, labels and candidates `[queries, documents]`.

        With `candidates` "list" they are of each list by itself. Losses may take `scale`, and
        `positive_scores` `[queries, documents]`: the similarity of each document to the query's
        most relevant one.

        The mean similarity of two documents of the batch is logged as `document_similarity`. For
        cosines it goes to 1 where all vectors become one.
        """
        scale = self.scale(params)
        if self.candidates == "list":
            scores = scale * self.batch_scores(params, batch, dropout_rng)
            return _of_lists(scores, batch)
        sides = _sides(self.results(params, batch, dropout_rng), batch)
        similarities = _dot("qd,nd->qn", sides.queries, sides.documents)
        own = sides.lists == jnp.arange(len(sides.queries))[:, None]
        best = jnp.argmax(jnp.where(own & sides.mask, sides.label, -jnp.inf), axis=1)
        where = sides.mask & (own | self._are_negatives(sides, best))
        positive = _dot("qd,nd->qn", sides.documents[best], sides.documents)
        return Scored(
            scale * similarities,
            jnp.where(own, sides.label, 0),
            where,
            optional={"scale": scale, "positive_scores": positive},
            sums={"document_similarity": _similarity_of_pairs(sides.documents, sides.mask)},
        )

    def _are_negatives(self, sides: Sides, best: Array) -> Array:
        """`[queries, documents]`: which documents of other lists are negatives of a query."""
        relevant = sides.label > 0
        taken = relevant if self.candidates == "positives" else jnp.ones_like(relevant)
        taken = jnp.broadcast_to(taken, (len(sides.queries), len(relevant)))
        if not self.mask_false_negatives:
            return taken
        known = jnp.concatenate([sides.relevant_keys, sides.keys[best][:, None]], axis=1)
        for i in range(known.shape[1]):
            key = known[:, i, None]
            taken &= (key != sides.keys) | (key == 0)
        key, theirs = sides.query_keys[:, None], sides.query_keys[sides.lists]
        return taken & ~((key == theirs) & (key != 0) & relevant)


def _sides(vectors: Array, batch: Batch) -> Sides:
    if "list_ids" not in batch:
        size = vectors.shape[1] - 1
        documents = [vectors[:, 1:], *(batch[name][:, 1:] for name in ("label", "mask", "keys"))]
        of_documents, label, mask, keys = (x.reshape(-1, *x.shape[2:]) for x in documents)
        lists = jnp.repeat(jnp.arange(len(vectors)), size)
        relevant_keys = batch["relevant_keys"]
        queries, query_keys = vectors[:, 0], batch["keys"][:, 0]
        return Sides(queries, of_documents, lists, label, mask, query_keys, keys, relevant_keys)
    slots, groups = batch["query_slots"], vectors.shape[0]
    first = jnp.arange(groups)[:, None] * slots.shape[1]
    lists = batch["list_ids"].reshape(groups, -1) + first
    flat = vectors.reshape(groups, -1, vectors.shape[-1])
    keys = batch["keys"].reshape(groups, -1)
    relevant_keys = batch["relevant_keys"]
    return Sides(
        queries=_at(flat, slots).reshape(-1, flat.shape[-1]),
        documents=flat.reshape(-1, flat.shape[-1]),
        lists=lists.reshape(-1),
        label=batch["label"].reshape(-1),
        mask=batch["mask"].reshape(-1),
        query_keys=jnp.take_along_axis(keys, slots, axis=1).reshape(-1),
        keys=keys.reshape(-1),
        relevant_keys=relevant_keys.reshape(-1, relevant_keys.shape[-1]),
    )


def _of_lists(scores: Array, batch: Batch) -> Scored:
    label, where, segments = batch["label"], batch["mask"], batch.get("list_ids")
    if segments is None:
        return Scored(scores, label[:, 1:], where[:, 1:])
    flat = (len(scores), -1)
    return Scored(
        scores.reshape(flat), label.reshape(flat), where.reshape(flat), segments.reshape(flat)
    )


def _similarity_of_pairs(vectors: Array, mask: Array) -> Array:
    """`[sum, count]` of the dot products of two different vectors `[n, dim]`."""
    real = jnp.where(mask[:, None], vectors, 0)
    total, number = real.sum(0), mask.sum()
    products = jnp.sum(total * total) - jnp.sum(real * real)
    return jax.lax.stop_gradient(jnp.stack([products, jnp.maximum(number * (number - 1), 1)]))


def _at(vectors: Array, places: Array) -> Array:
    """Vectors `[groups, m, dim]` at the places `[groups, m]` of `[groups, n, dim]`."""
    return jnp.take_along_axis(vectors, places[..., None], axis=1)


def _dot(axes: str, left: Array, right: Array) -> Array:
    """In float32 on every platform: a TPU multiplies in bfloat16 by default."""
    return jnp.einsum(axes, left, right, precision=jax.lax.Precision.HIGHEST)
