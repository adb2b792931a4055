"""Pairs a second of every way to score with a T5 reranker, in one run.

    python benchmarks/scoring.py --data DATA/msmarco_passage_dev --vocabulary spiece.model
        [--sizes small base] [--pairs 100] [--turns 5] [--output docs/pages/results/scoring]

T5 1.1 shapes with random weights that are made on the spot, the same in all systems; queries and
passages of MS MARCO's lengths; tokenization included. Each system has a process of its own and its
best batch size; they take turns. Printed for each: the median time, pairs a second, the ratio of
its time to that of t5rank (the median over turns), peak resident memory of its process, and how far
its scores are from those of t5rank: the largest difference, Spearman's correlation for int8. A
system whose package is not installed is left out, with the reason.

Then, of t5rank, tokens a second (without padding) and how much of the machine it uses.
"""

import argparse
import os
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import models
import numpy as np
import scipy.stats
import systems
import timing
import utilization

from t5rank.models.operations import scoring_operations

OURS = "t5rank"
SYSTEMS: dict[str, Callable[..., systems.Run]] = {
    OURS: systems.ours,
    "t5rank, ONNX Runtime": systems.onnx,
    "t5rank, ONNX Runtime int8": systems.onnx_int8,
    "Rax example (T5X, padded to 256, all logits)": systems.rax_example,
    "transformers eager, sorted": systems.transformers_eager,
    "transformers sdpa, sorted": systems.transformers_sdpa,
    "transformers, padded to the longest": systems.transformers_padded,
    "CTranslate2": systems.ctranslate2,
    "CTranslate2 int8": systems.ctranslate2_int8,
}
PACKAGES = ("jax", "t5x", "torch", "transformers", "ctranslate2", "onnxruntime")
TOLERANCE = 1e-4


def prepare(folder: Path, size: str, vocabulary: str, dtype: str, lists: models.Lists) -> list[str]:
    """Writes the model in all formats; returns why some could not be written."""
    timing.apart(models.write_ours, folder / "ours", size, vocabulary, dtype)
    steps: list[tuple] = [
        (models.write_huggingface, folder / "ours", folder / "huggingface"),
        (models.write_ctranslate2, folder / "huggingface", folder / "ctranslate2"),
        (models.write_onnx, folder / "ours", folder / "onnx", lists, False),
        (models.write_onnx, folder / "ours", folder / "onnx_int8", lists, True),
    ]
    failed = []
    for function, *arguments in steps:
        try:
            timing.apart(function, *arguments)
        except RuntimeError as error:
            failed.append(str(error))
    return failed


def measured(size: str, options: argparse.Namespace) -> dict[str, Any]:
    """All figures of one size."""
    lists = models.real_lists(options.data, options.pairs)
    chosen = {n: s for n, s in SYSTEMS.items() if not options.only or n in {OURS, *options.only}}
    with tempfile.TemporaryDirectory() as name:
        prepare(Path(name), size, options.vocabulary, options.dtype, lists)
        figures, failed = timing.side_by_side(
            chosen, (Path(name), lists), options.turns, options.most_seconds
        )
    for system, reason in failed.items():
        print(f"{system} is left out: {reason}", file=sys.stderr)
    lengths = models.lengths(lists, options.vocabulary)
    entries = {name: entry(figures[name], figures[OURS], lengths) for name in figures}
    check(entries, options.dtype)
    return {
        "size": size,
        "pairs": len(lengths),
        "lengths": {
            "mean": float(lengths.mean()),
            **{f"p{q}": float(np.percentile(lengths, q)) for q in (10, 50, 90, 100)},
        },
        "systems": entries,
        "left_out": failed,
        "machine": timing.machine(PACKAGES),
        "options": {name: str(getattr(options, name)) for name in ("dtype", "turns")},
    }


def check(entries: dict[str, dict[str, Any]], dtype: str) -> None:
    """Raises ValueError where a system does not compute the same scores; int8 is only reported."""
    for name, found in entries.items():
        difference = found["largest_difference"]
        if dtype == "float32" and "int8" not in name and difference > TOLERANCE:
            raise ValueError(
                f"System '{name}' has scores {difference:.1e} from those of {OURS}; expected "
                f"{TOLERANCE} at most."
            )


def entry(found: timing.Figures, ours: timing.Figures, lengths: np.ndarray) -> dict[str, Any]:
    """The figures of one system."""
    return {
        "seconds": found.seconds,
        "median_s": found.median,
        "pairs_per_s": len(lengths) / found.median,
        "tokens_per_s": float(lengths.sum()) / found.median,
        "ratio": statistics.median(
            theirs / mine for theirs, mine in zip(found.seconds, ours.seconds, strict=True)
        ),
        "peak_memory_bytes": found.peak_memory,
        "largest_difference": float(np.abs(found.result - ours.result).max()),
        "score_std": float(ours.result.std()),
        "spearman": float(scipy.stats.spearmanr(found.result, ours.result).statistic),
    }


def add_utilization(result: dict[str, Any], options: argparse.Namespace) -> None:
    """Adds how much of the machine t5rank uses."""
    lists = models.real_lists(options.data, options.pairs)
    lengths = models.lengths(lists, options.vocabulary)
    work = float(scoring_operations(models.CONFIGS[result["size"]], lengths))
    seconds = result["systems"][OURS]["median_s"]
    result["utilization"] = utilization.figures(work, int(lengths.sum()), seconds, options)


def as_table(result: dict[str, Any]) -> str:
    """The table of one size, with a heading line."""
    lengths = result["lengths"]
    heading = (
        f"T5 1.1 {result['size']}, {result['pairs']} pairs of {lengths['mean']:.0f} tokens on "
        f"average (10% below {lengths['p10']:.0f}, half {lengths['p50']:.0f}, 90% "
        f"{lengths['p90']:.0f}, at most {lengths['p100']:.0f})"
    )
    rows = [
        [
            name,
            f"{e['median_s']:.3g}",
            f"{e['pairs_per_s']:.1f}",
            f"{e['ratio']:.2f}",
            f"{e['peak_memory_bytes'] / 2**20:,.0f}",
            f"{e['largest_difference']:.1e}",
            f"{e['spearman']:.4f}",
        ]
        for name, e in sorted(result["systems"].items(), key=lambda item: item[1]["ratio"])
    ]
    header = ["", "s", "pairs/s", "time / t5rank's", "peak MiB", "score difference", "Spearman"]
    used = utilization.as_text(result["utilization"])
    return "\n".join([heading, "", timing.table(header, rows), "", used])


def main() -> None:
    """Runs the benchmark; see the module."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="collection, queries, run.bm25")
    parser.add_argument("--vocabulary", required=True, help="T5's spiece.model")
    parser.add_argument("--sizes", nargs="+", default=["small", "base"], choices=models.CONFIGS)
    parser.add_argument("--pairs", type=int, default=100)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--most_seconds", type=float, default=1e9, help="begin no turn after")
    parser.add_argument("--only", nargs="*", default=[], help="names of systems")
    utilization.add_options(parser)
    parser.add_argument("--output", type=Path, help="writes OUTPUT.json and .png")
    options = parser.parse_args()
    # The systems' processes share an accelerator's memory.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    results = []
    for size in options.sizes:
        results.append(measured(size, options))
        add_utilization(results[-1], options)
        print(as_table(results[-1]), end="\n\n")
    print(timing.machine(PACKAGES))
    if options.output:
        timing.write_results(results, OURS, [*models.CONFIGS], options.output)


if __name__ == "__main__":
    main()
