"""Passages a second that a T5 dual encoder encodes, beside sentence-transformers, in one run.

    python benchmarks/encoding.py --data DATA/msmarco_passage_dev --vocabulary spiece.model
        [--sizes small base] [--passages 256] [--turns 5] [--output docs/pages/results/encoding]

T5 1.1 shapes with random weights that are made on the spot, the same in all systems; passages of MS
MARCO; tokenization included. Each system has a process of its own, and they take turns. The peer
sorts texts by length itself; it runs with its default batch size, and with the best of several,
which it finds in its first run. Printed for each: the median time, passages and tokens a second,
the ratio of its time to that of t5rank (the median over turns), peak resident memory of its
process, and how far its vectors are from those of t5rank.
"""

import argparse
import dataclasses
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import models
import numpy as np
import timing

from t5rank import Embedder
from t5rank.data.collection import Collection
from t5rank.inference.compilation_cache import use_compilation_cache
from t5rank.models.dual_encoder import DualEncoder, VectorHead
from t5rank.models.retrieval import RetrievalModel
from t5rank.text.texts import TextEncoder, TextPrompts
from t5rank.text.vocabulary import Vocabulary

OURS = "t5rank"
DIM = 768
BATCH_SIZES = (4, 8, 16, 32)
PACKAGES = ("jax", "torch", "transformers", "sentence-transformers")
TOLERANCE = 1e-5


def ours(folder: Path, texts: list[str]) -> timing.Run:
    """t5rank's `Embedder`."""
    use_compilation_cache()
    embedder = Embedder.from_pretrained(folder / "ours")
    return lambda: embedder.encode_documents(texts)


def theirs(folder: Path, texts: list[str]) -> timing.Run:
    """sentence-transformers with its default batch size."""
    return _theirs(folder, texts, ())


def theirs_best(folder: Path, texts: list[str]) -> timing.Run:
    """sentence-transformers with the batch size that is the fastest here."""
    return _theirs(folder, texts, BATCH_SIZES)


def _theirs(folder: Path, texts: list[str], sizes: tuple[int, ...]) -> timing.Run:
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(folder / "theirs"))

    def run(batch_size: int | None = None) -> np.ndarray:
        options = {} if batch_size is None else {"batch_size": batch_size}
        return model.encode(texts, show_progress_bar=False, **options)

    if not sizes:
        return run
    run(sizes[0])
    best = min(sizes, key=lambda size: _seconds(lambda: run(size)))
    print(f"best batch size of sentence-transformers: {best}", file=sys.stderr)
    return lambda: run(best)


def _seconds(run: Callable[[], Any]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


SYSTEMS: dict[str, Callable[..., timing.Run]] = {
    OURS: ours,
    "sentence-transformers, best batch size": theirs_best,
    "sentence-transformers, default batch size": theirs,
}


def write_models(folder: Path, size: str, vocabulary_file: str) -> None:
    """The same model for both."""
    config = dataclasses.replace(models.CONFIGS[size], num_decoder_layers=0)
    model = RetrievalModel(DualEncoder(config, DIM), VectorHead())
    encoder = TextEncoder(Vocabulary(vocabulary_file), TextPrompts(), models.MAX_LENGTH)
    models.write_model(folder / "ours", model, encoder)
    models.write_huggingface(folder / "ours", folder / "theirs")


def passages(data: Path, count: int) -> list[str]:
    """From evenly spaced places of a collection."""
    with Collection(data / "collection.tsv") as collection:
        doc_ids = [*collection.doc_ids()]
        chosen = doc_ids[:: max(1, len(doc_ids) // count)][:count]
        return [collection[doc_id] for doc_id in chosen]


def measured(size: str, options: argparse.Namespace) -> dict[str, Any]:
    """All figures of one size."""
    texts = passages(options.data, options.passages)
    with tempfile.TemporaryDirectory() as name:
        timing.apart(write_models, Path(name), size, options.vocabulary)
        figures, failed = timing.side_by_side(
            SYSTEMS, (Path(name), texts), options.turns, options.most_seconds
        )
    for system, reason in failed.items():
        print(f"{system} is left out: {reason}", file=sys.stderr)
    encoder = TextEncoder(Vocabulary(options.vocabulary), TextPrompts(), models.MAX_LENGTH)
    tokens = sum(len(one.tokens) for one in encoder.encode_documents(texts))
    return {
        "size": size,
        "passages": len(texts),
        "tokens": tokens,
        "systems": {
            name: entry(found, figures[OURS], len(texts), tokens) for name, found in figures.items()
        },
        "left_out": failed,
        "machine": timing.machine(PACKAGES),
    }


def entry(
    found: timing.Figures, ours: timing.Figures, passages: int, tokens: int
) -> dict[str, Any]:
    """The figures of one system.

    Raises:
      ValueError: its vectors are others.
    """
    difference = float(np.abs(found.result - ours.result).max())
    if difference > TOLERANCE:
        raise ValueError(f"Vectors are {difference:.1e} apart; expected {TOLERANCE} at most.")
    return {
        "seconds": found.seconds,
        "median_s": found.median,
        "passages_per_s": passages / found.median,
        "tokens_per_s": tokens / found.median,
        "ratio": statistics.median(
            their / mine for their, mine in zip(found.seconds, ours.seconds, strict=True)
        ),
        "peak_memory_bytes": found.peak_memory,
        "largest_difference": difference,
    }


def as_table(result: dict[str, Any]) -> str:
    """The table of one size, with a heading line."""
    mean = result["tokens"] / result["passages"]
    heading = (
        f"T5 1.1 {result['size']}, {result['passages']} passages of {mean:.0f} tokens on average"
    )
    rows = [
        [
            name,
            f"{e['median_s']:.2f}",
            f"{e['passages_per_s']:.1f}",
            f"{e['tokens_per_s']:,.0f}",
            f"{e['ratio']:.2f}",
            f"{e['peak_memory_bytes'] / 2**20:,.0f}",
            f"{e['largest_difference']:.0e}",
        ]
        for name, e in sorted(result["systems"].items(), key=lambda item: item[1]["ratio"])
    ]
    header = ["", "s", "passages/s", "tokens/s", "time / t5rank's", "peak MiB", "difference"]
    return "\n".join([heading, "", timing.table(header, rows)])


def main() -> None:
    """Runs the benchmark; see the module."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="a folder with collection.tsv")
    parser.add_argument("--vocabulary", required=True, help="T5's spiece.model")
    parser.add_argument("--sizes", nargs="+", default=["small", "base"], choices=models.CONFIGS)
    parser.add_argument("--passages", type=int, default=256)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--most_seconds", type=float, default=1e9, help="begin no turn after")
    parser.add_argument("--output", type=Path, help="writes OUTPUT.json and .png")
    options = parser.parse_args()
    results = []
    for size in options.sizes:
        results.append(measured(size, options))
        print(as_table(results[-1]), end="\n\n")
    print(timing.machine(PACKAGES))
    if options.output:
        timing.write_results(results, OURS, [*models.CONFIGS], options.output)


if __name__ == "__main__":
    main()
