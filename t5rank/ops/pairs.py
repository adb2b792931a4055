"""Sums over the pairs of documents of every list.

The pairs are made in blocks of rows, so that they are never in memory all at once. A pair function
gets the numbers of documents i (arrays `[..., rows, 1]`) and of documents j (`[..., 1, list]`). It
returns `(values, pairs)`: the pairs' values, and whether each pair counts. Only pairs of real
documents of one list count. The argument `rows` names the documents i that have pairs; the others
cost nothing.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from t5rank.ops.lists import Lists
from t5rank.types import Array

# The numbers of the documents: those with a gradient, and those without.
Items = tuple[tuple[Array, ...], tuple[Array, ...]]
PairFn = Callable[[Items, Items], tuple[Array, Array]]
BLOCK_PAIRS = 2**18  # pairs in memory at once: 1 MiB per number, which fits a CPU core's cache


def pair_totals(
    pair_fn: PairFn, lists: Lists, items: Items, rows: Array | None = None
) -> tuple[Array, Array]:
    """The sum and the number of each list's pairs, as values per list.

    One pass over the pairs computes the sums and their gradient.

    Args:
      pair_fn: see the module's docstring.
      lists: the lists.
      items: `(differentiable, others)`, tuples of arrays `[..., list]`.
      rows: `[..., list]`, the documents i that may have pairs; all by default.
    """
    if not lists.where.size:
        return (lists.sum(jnp.zeros(lists.where.shape, jnp.float32)),) * 2
    sums, counts = _sums_and_counts(pair_fn, lists, *items, _real(lists, rows))
    return lists.sum(sums), lists.sum(counts)


def row_sums(pair_fn: PairFn, lists: Lists, items: Items, rows: Array | None = None) -> Array:
    """The sum over the pairs of each document i, `[..., list]`; 0 where `rows` is False.

    The gradient takes a second pass over the pairs. The arguments are those of `pair_totals`.
    """
    if not lists.where.size:
        return jnp.zeros(lists.where.shape, jnp.float32)
    blocks = _blocks(_real(lists, rows))
    columns = jax.tree.map(_as_columns, items[0])

    @functools.partial(jax.checkpoint, prevent_cse=False)
    def sums(block: Array, rows: Any, columns: Any) -> Array:
        def block_sums() -> Array:
            tile = _tile_fn(pair_fn, lists, items[1], blocks, block)
            return tile(jax.tree.map(_as_rows, rows), columns)[0]

        nothing = jnp.zeros((*lists.where.shape[:-1], blocks.size), jnp.float32)
        return jax.lax.cond(block < blocks.number, block_sums, lambda: nothing)

    def step(_: None, numbered: tuple[Array, Any]) -> tuple[None, Array]:
        return None, sums(*numbered, columns)

    numbers = jnp.arange(blocks.order.shape[-1] // blocks.size, dtype=jnp.int32)
    by_block = jax.tree.map(lambda x: blocks.split(blocks.by_row(x)), items[0])
    _, found = jax.lax.scan(step, None, (numbers, by_block))
    return blocks.by_document(blocks.join(found))


def all_pairs(pair_fn: PairFn, lists: Lists, items: Items) -> tuple[Array, Array]:
    """All pairs as `(values, pairs)`, `[..., list, list]`. This takes O(n^2) memory."""
    rows = jax.tree.map(_as_rows, items)
    values, pairs = pair_fn(rows, jax.tree.map(_as_columns, items))
    pairs = pairs & _as_rows(lists.where) & _as_columns(lists.where)
    same = lists.same(lists.start)
    pairs = pairs if same is None else pairs & same
    return jnp.where(pairs, values, 0.0), pairs


def _real(lists: Lists, rows: Array | None) -> Array:
    return lists.where if rows is None else lists.where & rows


def _as_rows(x: Array) -> Array:
    return x[..., :, None]


def _as_columns(x: Array) -> Array:
    return x[..., None, :]


class _Blocks(NamedTuple):
    """Documents in blocks of rows. Row order has the documents with pairs first."""

    number: Array  # the number of blocks that hold a document with pairs
    size: int
    order: Array  # [..., padded]: the document of each row
    row: Array  # [..., list]: the row of each document
    is_row: Array  # [..., padded]: whether the row's document has pairs

    def take(self, array: Array, block: Array) -> Array:
        """One block of an array in row order, as `[..., rows, 1]`."""
        return _as_rows(jax.lax.dynamic_slice_in_dim(array, block * self.size, self.size, -1))

    def put(self, array: Array, values: Array, block: Array) -> Array:
        """Writes one block, `[..., rows]`, into an array in row order."""
        return jax.lax.dynamic_update_slice_in_dim(array, values, block * self.size, -1)

    def split(self, array: Array) -> Array:
        """Splits an array in row order into `[block, ..., rows]`."""
        return jnp.moveaxis(
            array.reshape(*array.shape[:-1], array.shape[-1] // self.size, self.size), -2, 0
        )

    def join(self, by_block: Array) -> Array:
        """The inverse of `split`."""
        array = jnp.moveaxis(by_block, 0, -2)
        return array.reshape(*array.shape[:-2], self.order.shape[-1])

    def by_row(self, array: Array) -> Array:
        """From document order to row order."""
        return jnp.take_along_axis(array, self.order, axis=-1)

    def by_document(self, array: Array) -> Array:
        """From row order to document order."""
        return jnp.take_along_axis(array, self.row, axis=-1)


def _blocks(rows: Array) -> _Blocks:
    documents = rows.shape[-1]
    size = min(documents, max(8, BLOCK_PAIRS // rows.size))
    number = jnp.sum(rows, axis=-1, keepdims=True, dtype=jnp.int32)
    above, below = (jnp.cumsum(each, axis=-1, dtype=jnp.int32) - 1 for each in (rows, ~rows))
    row = jnp.where(rows, above, number + below)
    padded = -(-documents // size) * size
    indices = jnp.broadcast_to(jnp.arange(documents, dtype=jnp.int32), rows.shape)
    order = jnp.zeros((*rows.shape[:-1], padded), jnp.int32)
    order = jnp.put_along_axis(order, row, indices, axis=-1, inplace=False)
    blocks = (jnp.max(number, initial=0) + size - 1) // size
    return _Blocks(blocks, size, order, row, jnp.arange(padded) < number)


def _tile_fn(
    pair_fn: PairFn, lists: Lists, others: tuple[Array, ...], blocks: _Blocks, block: Array
) -> Callable[[Any, Any], tuple[Array, Array]]:
    """A function from the items of a block's rows and of all columns to the row sums and counts."""
    fixed_rows = tuple(blocks.take(blocks.by_row(x), block) for x in others)
    fixed_columns = tuple(_as_columns(x) for x in others)
    real = blocks.take(blocks.is_row, block) & _as_columns(lists.where)
    same = lists.same(blocks.take(blocks.by_row(lists.start), block)[..., 0])
    real = real if same is None else real & same

    def tile(rows: Any, columns: Any) -> tuple[Array, Array]:
        values, pairs = pair_fn((rows, fixed_rows), (columns, fixed_columns))
        pairs = pairs & real
        values = jnp.where(pairs, values, 0.0)
        return jnp.sum(values, axis=-1, dtype=jnp.float32), jnp.sum(
            pairs, axis=-1, dtype=jnp.float32
        )

    return tile


def _sweep(
    pair_fn: PairFn,
    lists: Lists,
    items: Any,
    others: Any,
    rows: Array,
    cotangent: Array | None = None,
) -> tuple[Array, Array, Any]:
    """Each document's row sum and count, and the items' gradients if a cotangent is given."""
    blocks = _blocks(rows)
    by_row = jax.tree.map(blocks.by_row, items)
    columns = jax.tree.map(_as_columns, items)
    cotangents = None if cotangent is None else blocks.by_row(cotangent)

    def body(block: Array, carry: Any) -> Any:
        sums, counts, row_gradients, column_gradients = carry
        tile = _tile_fn(pair_fn, lists, others, blocks, block)
        block_rows = jax.tree.map(lambda x: blocks.take(x, block), by_row)
        if cotangents is None:
            block_sums, block_counts = tile(block_rows, columns)
        else:
            block_sums, pull_back, block_counts = jax.vjp(tile, block_rows, columns, has_aux=True)
            gradients = pull_back(blocks.take(cotangents, block)[..., 0])
            row_gradients = jax.tree.map(
                lambda x, g: blocks.put(x, g[..., 0], block), row_gradients, gradients[0]
            )
            column_gradients = jax.tree.map(jnp.add, column_gradients, gradients[1])
        sums, counts = blocks.put(sums, block_sums, block), blocks.put(counts, block_counts, block)
        return sums, counts, row_gradients, column_gradients

    zeros = jnp.zeros(blocks.order.shape, jnp.float32)
    start = (zeros, zeros, *jax.tree.map(jnp.zeros_like, (by_row, columns)))
    sums, counts, row_gradients, column_gradients = jax.lax.fori_loop(0, blocks.number, body, start)
    gradients = jax.tree.map(
        lambda row, column: blocks.by_document(row) + column[..., 0, :],
        row_gradients,
        column_gradients,
    )
    return blocks.by_document(sums), blocks.by_document(counts), gradients


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _sums_and_counts(
    pair_fn: PairFn, lists: Lists, items: Any, others: Any, rows: Array
) -> tuple[Array, Array]:
    """Row sums and counts. The derivative is right only for their sums over each list."""
    return _sweep(pair_fn, lists, items, others, rows)[:2]


@_sums_and_counts.defjvp
def _sums_jvp(pair_fn: PairFn, primals: Any, tangents: Any) -> Any:
    lists, items, others, rows = primals
    ones = jnp.ones(rows.shape, jnp.float32)
    sums, counts, gradients = _sweep(pair_fn, lists, items, others, rows, ones)
    # A document's gradient is that of the sum over its list: a pair gives one to both documents.
    changes = jax.tree.map(jnp.multiply, gradients, tangents[1])
    return (sums, counts), (
        sum(jax.tree.leaves(changes), jnp.zeros_like(sums)),
        jnp.zeros_like(counts),
    )
