"""Time and memory of MaxSim with its gradient, beside sentence-transformers and plain JAX.

    python benchmarks/maxsim.py [--queries 32] [--documents 8] [--dim 128] [--turns 5] [--output F]

Every query against every document of the batch, as in training with in-batch negatives; lengths are
roughly those of MS MARCO's queries and passages. Each system runs in a process of its own, and they
take turns: `t5rank.ops.maxsim` on packed rows; packed rows with a mask `[query tokens, slots, row]`
that is computed again for the gradient; one einsum over padded texts; and the `maxsim` of
sentence-transformers on padded texts. Printed are the median time of a call and its CPU time, how
many times ours they are, and the memory that calls take beyond libraries and inputs.
"""

import argparse
import resource
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import timing

from t5rank import ops

ROW = 512  # tokens of a packed row


class Batch(NamedTuple):
    """Token vectors of queries and documents, padded and packed, and a cotangent of the scores."""

    queries: np.ndarray  # [queries, length, dim]
    query_lengths: np.ndarray
    documents: np.ndarray  # [documents, length, dim]
    document_lengths: np.ndarray
    rows: np.ndarray  # [rows, ROW, dim]
    segment_ids: np.ndarray
    document_of: np.ndarray  # [rows, slots], or -1
    cotangent: np.ndarray  # [queries, documents]


def batch(queries: int, documents: int, dim: int) -> Batch:
    """Random unit vectors."""
    rng = np.random.default_rng(0)

    def vectors(number: int, length: int) -> np.ndarray:
        values = rng.normal(size=(number, length, dim)).astype(np.float32)
        return values / np.linalg.norm(values, axis=-1, keepdims=True)

    query_lengths = rng.integers(5, 16, queries)
    lengths = np.clip(rng.lognormal(4.2, 0.35, documents).astype(int), 20, 128)
    padded = vectors(documents, int(lengths.max()))
    members: list[list[int]] = []
    for document in np.argsort(-lengths):
        fits = (row for row in members if sum(lengths[[*row, document]]) <= ROW)
        row = next(fits, None)
        members.append([document]) if row is None else row.append(document)
    document_of = np.full((len(members), max(map(len, members))), -1)
    rows = np.zeros((len(members), ROW, dim), np.float32)
    segment_ids = np.zeros((len(members), ROW), np.int32)
    for number, row in enumerate(members):
        texts = [padded[document, : lengths[document]] for document in row]
        ids = np.repeat(np.arange(len(row)) + 1, lengths[row])
        rows[number, : len(ids)], segment_ids[number, : len(ids)] = np.concatenate(texts), ids
        document_of[number, : len(row)] = row
    return Batch(
        vectors(queries, int(query_lengths.max())),
        query_lengths,
        padded,
        lengths,
        rows,
        segment_ids,
        document_of,
        rng.normal(size=(queries, documents)).astype(np.float32),
    )


def packed(score: Callable[..., jax.Array], data: Batch) -> timing.Run:
    """A system whose `score(tokens, ids, rows, segment_ids)` gives `[queries, rows, slots]`."""
    real = np.arange(data.queries.shape[1]) < data.query_lengths[:, None]
    ids, filled = np.nonzero(real)[0], data.document_of >= 0
    cotangent = np.where(filled, data.cotangent[:, data.document_of], 0.0)

    def value(tokens: jax.Array, rows: jax.Array) -> jax.Array:
        scores = score(tokens, jnp.asarray(ids), rows, jnp.asarray(data.segment_ids))
        return jnp.sum(jnp.where(filled, scores * cotangent, 0.0))

    return run_of(value, data.queries[real], data.rows)


def run_of(value: Callable[..., jax.Array], *arguments: np.ndarray) -> timing.Run:
    """Of the value and its gradient by every argument."""
    inputs = [jnp.asarray(argument) for argument in arguments]
    function = jax.value_and_grad(value, argnums=tuple(range(len(inputs))))
    program = jax.jit(function).lower(*inputs).compile()

    def call() -> float:
        return float(jax.block_until_ready(program(*inputs))[0])

    return measured(call)


def measured(call: Callable[[], float]) -> timing.Run:
    """The value, the memory resident before the first call, and the median CPU time of a call."""
    resident, seconds = memory(), []

    def run() -> np.ndarray:
        start = time.process_time()
        value = call()
        seconds.append(time.process_time() - start)
        return np.array([value, resident, statistics.median(seconds)])

    return run


def memory() -> int:
    """Bytes that are resident now."""
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * resource.getpagesize()


def t5rank(data: Batch) -> timing.Run:
    """Packed rows, the places of the maxima kept."""
    queries, slots = len(data.queries), data.document_of.shape[1]
    return packed(lambda *a: ops.maxsim(*a, queries=queries, slots=slots), data)


def recomputed(data: Batch) -> timing.Run:
    """Packed rows, everything computed again for the gradient."""
    queries, slots = len(data.queries), data.document_of.shape[1]

    def score(
        tokens: jax.Array, ids: jax.Array, rows: jax.Array, segment_ids: jax.Array
    ) -> jax.Array:
        @jax.checkpoint
        def of_row(row: Any) -> jax.Array:
            vectors, segments = row
            own = segments == jnp.arange(1, slots + 1)[:, None]
            products = jnp.where(own, (tokens @ vectors.T)[:, None], -1e9)
            return jax.ops.segment_sum(jnp.max(products, axis=-1), ids, queries)

        return jax.lax.map(of_row, (rows, segment_ids)).swapaxes(0, 1)

    return packed(score, data)


def einsum(data: Batch) -> timing.Run:
    """Padded texts, all products at once."""
    real = np.arange(data.queries.shape[1]) < data.query_lengths[:, None]
    inside = np.arange(data.documents.shape[1]) < data.document_lengths[:, None]

    def value(queries: jax.Array, documents: jax.Array) -> jax.Array:
        products = jnp.einsum("qid,cjd->qcij", queries, documents)
        largest = jnp.max(jnp.where(inside[:, None], products, -1e9), axis=-1)
        scores = jnp.sum(jnp.where(real[:, None], largest, 0.0), axis=-1)
        return jnp.sum(scores * data.cotangent)

    return run_of(value, data.queries, data.documents)


def sentence_transformers(data: Batch) -> timing.Run:
    """Padded texts, with masks."""
    import torch
    from sentence_transformers.util.similarity import maxsim

    queries, documents = (
        torch.tensor(x, requires_grad=True) for x in (data.queries, data.documents)
    )
    masks = (
        torch.arange(x.shape[1]) < torch.tensor(lengths)[:, None]
        for x, lengths in ((queries, data.query_lengths), (documents, data.document_lengths))
    )
    real, inside = masks
    cotangent = torch.tensor(data.cotangent)

    def call() -> float:
        queries.grad = documents.grad = None
        value = torch.sum(maxsim(queries, documents, real, inside) * cotangent)
        value.backward()
        return float(value.item())

    return measured(call)


SYSTEMS: dict[str, Callable[..., timing.Run]] = {
    "t5rank": t5rank,
    "JAX, packed, recomputed": recomputed,
    "JAX, padded, einsum": einsum,
    "sentence-transformers": sentence_transformers,
}


def main() -> None:
    """Runs the benchmark; see the module."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--queries", type=int, default=32)
    parser.add_argument("--documents", type=int, default=8, help="of each query")
    parser.add_argument("--dim", type=int, default=128)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--output", type=Path, help="a file for the table as well")
    options = parser.parse_args()
    documents = options.queries * options.documents
    data = batch(options.queries, documents, options.dim)
    figures, failed = timing.side_by_side(SYSTEMS, (data,), options.turns)
    ours = figures["t5rank"]
    lines = [
        timing.machine(["jax", "torch", "sentence-transformers"]),
        "",
        f"{options.queries} queries, {documents} documents, {options.dim} dimensions; forward and "
        "gradient",
        "",
    ]
    rows = []
    for name, found in figures.items():
        if not np.isclose(found.result[0], ours.result[0], rtol=1e-4, atol=1e-3):
            raise RuntimeError(f"{name} has the sum {found.result[0]}; ours is {ours.result[0]}.")
        mebibytes = (found.peak_memory - found.result[1]) / 2**20
        ratio = np.median(np.divide(found.seconds, ours.seconds))
        times = [1000 * found.median, ratio, 1000 * found.result[2]]
        times.append(found.result[2] / ours.result[2])
        rows.append([name, *(f"{figure:.1f}" for figure in times), f"{mebibytes:.0f}"])
    rows += [[name, reason, *["-"] * 4] for name, reason in failed.items()]
    header = ["", "ms", "times ours", "CPU ms", "times ours", "MiB"]
    lines.append(timing.table(header, rows))
    print("\n".join(lines))
    if options.output:
        options.output.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
