"""Exact search beside faiss' flat index, in one run.

    python benchmarks/search.py [--queries 1000] [--documents 200000] [--dim 256] [--topk 1000]
        [--turns 5] [--output docs/pages/results/search]

Random vectors are written as a folder of vectors, float32. t5rank reads the folder block by block;
faiss' `IndexFlatIP` is filled with the same arrays. Measured are the seconds of a search (with
reading the files for t5rank, without filling its index for faiss); the largest resident size of the
process while it searches; and on how many places both have the same document. They differ where two
scores are closer than float32's sums in another order are.
"""

import argparse
import json
import shutil
import tempfile
from pathlib import Path

import numpy as np
import timing

from t5rank.search import VECTORS_PER_SHARD, exact
from t5rank.search.vectors import Manifest, VectorFolder


def write(folder: Path, count: int, dim: int) -> None:
    """A folder of random vectors."""
    shards = -(-count // VECTORS_PER_SHARD)
    model = {"model": "random", "step": None, "model_checksum": "", "prompt": "", "length": 0}
    texts = {"text": "document", "source": [], "source_checksum": "", "count": count}
    kind = {"dim": dim, "similarity": "dot", "normalized": False, "dtype": "float32"}
    opened = VectorFolder(folder, Manifest(**model, **texts, **kind, shards=shards))
    opened.begin()
    rng = np.random.default_rng(0)
    for shard in range(shards):
        start, end = opened.manifest.start(shard), opened.manifest.start(shard + 1)
        vectors = rng.standard_normal((end - start, dim), np.float32)
        opened.write(shard, [str(i) for i in range(start, end)], vectors)


def queries(count: int, dim: int) -> np.ndarray:
    """Random vectors."""
    return np.random.default_rng(1).standard_normal((count, dim), np.float32)


def ours(folder: Path, count: int, k: int) -> timing.Run:
    """t5rank's exact search, files included."""
    opened = VectorFolder.open(folder)
    dim = opened.manifest.dim
    few = queries(count, dim)

    def run() -> np.ndarray:
        hits = exact.search(few, opened.blocks(exact.block_rows(dim)), k)
        return np.stack([hits.scores, hits.doc_ids.astype(np.int64).astype(np.float64)])

    return run


def faiss_flat(folder: Path, count: int, k: int) -> timing.Run:
    """faiss' IndexFlatIP, in memory before it is measured."""
    import faiss

    opened = VectorFolder.open(folder)
    few = queries(count, opened.manifest.dim)
    index = faiss.IndexFlatIP(opened.manifest.dim)
    for block, _ in opened.blocks(VECTORS_PER_SHARD):
        index.add(block)

    def run() -> np.ndarray:
        scores, numbers = index.search(few, k)
        return np.stack([scores, numbers.astype(np.float64)])

    return run


def agreement(one: np.ndarray, two: np.ndarray) -> dict[str, float]:
    """How far two results, scores and numbers, agree."""
    same = one[1] == two[1]
    return {
        "same_place": float(same.mean()),
        "largest_difference": float(np.abs(one[0] - two[0]).max()),
    }


def main() -> None:
    """Runs the benchmark; see the module."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--documents", type=int, default=200_000)
    parser.add_argument("--dim", type=int, default=256)
    parser.add_argument("--topk", type=int, default=1000)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--output", type=Path, help="writes OUTPUT.json")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp())
    try:
        timing.apart(write, folder, options.documents, options.dim)
        systems = {"t5rank": ours, "faiss IndexFlatIP": faiss_flat}
        arguments = (folder, options.queries, options.topk)
        figures, failed = timing.side_by_side(systems, arguments, options.turns)
    finally:
        shutil.rmtree(folder)
    rows = [
        [
            name,
            f"{found.median:.2f}",
            f"{found.median / figures['t5rank'].median:.2f}",
            f"{found.peak_memory / 2**20:,.0f}",
        ]
        for name, found in figures.items()
    ]
    print(timing.table(["system", "seconds", "ratio", "memory (MiB)"], rows))
    for name, reason in failed.items():
        print(f"{name}: {reason}")
    agreed = agreement(*(found.result for found in figures.values())) if len(figures) == 2 else {}
    print(", ".join(f"{name.replace('_', ' ')} {value:.3g}" for name, value in agreed.items()))
    if options.output:
        sizes = {name: getattr(options, name) for name in ("queries", "documents", "dim", "topk")}
        systems_found = {
            name: {"seconds": found.seconds, "peak_memory": found.peak_memory}
            for name, found in figures.items()
        }
        result = {"machine": timing.machine(["t5rank", "numpy", "faiss-cpu"]), **sizes}
        result |= {"systems": systems_found, "agreement": agreed}
        options.output.with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
