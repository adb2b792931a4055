"""Training steps of every way to fine-tune a T5 reranker, in one run.

    python benchmarks/training.py --data DATA/msmarco_passage_train --vocabulary spiece.model
        [--sizes small base] [--lists 4] [--list_size 10] [--turns 5]
        [--output docs/pages/results/training]

T5 1.1 shapes with random weights that are made on the spot, the same in all systems; queries and
passages of MS MARCO's lengths, tokens ready before the step (transformers tokenizes in it, a
hundredth of its time); Adam, no dropout, softmax loss, float32. Each system has a process of its
own; they take turns, each with the same lists at the same step. Printed for each: the median time
of a step, the ratio of its time to t5rank's (the median over turns), XLA's temporary memory, peak
memory (of the accelerator, or its process), and how far its loss of the last step is from t5rank's.
Then, of t5rank, tokens a second (without padding) and how much of the machine it uses.

t5rank's processes have their memory in huge pages, as `t5rank train` has it. Where `GLIBC_TUNABLES`
is set to `glibc.malloc.hugetlb=1` those of all systems have it, where to 0 none.

With `--dtype bfloat16` activations are bfloat16 in all systems, weights and optimizer float32.
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
import timing
import trainers
import utilization

from t5rank.models.operations import TRAINING_FACTOR, scoring_operations
from t5rank.process import huge_pages

OURS = "t5rank, packed rows"
SYSTEMS: dict[str, Callable[..., trainers.Run]] = {
    OURS: trainers.packed,
    "t5rank, padded to the longest": trainers.bucketed,
    "t5rank, padded to 256": trainers.padded,
    "Rax example (T5X, padded to 256, all logits)": trainers.rax_example,
    "transformers, padded to the longest": trainers.transformers,
}
PACKAGES = ("jax", "optax", "t5x", "torch", "transformers")
TOLERANCE = 1e-3
STEPS = 2  # with lists of their own, in turns


def measured(size: str, options: argparse.Namespace) -> dict[str, Any]:
    """All figures of one size."""
    pairs = STEPS * options.lists * options.list_size
    lists = models.real_lists(options.data, pairs, options.list_size)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        timing.apart(models.write_ours, folder / "ours", size, options.vocabulary, options.dtype)
        timing.apart(models.write_huggingface, folder / "ours", folder / "huggingface")
        training = trainers.Training(
            folder, lists, options.lists, options.learning_rate, options.row_length
        )
        chosen = {
            n: s for n, s in SYSTEMS.items() if not options.only or n in {OURS, *options.only}
        }
        ours_asks = huge_pages.environment()
        figures, failed = timing.side_by_side(
            chosen,
            (training,),
            options.turns,
            warm_up=STEPS,
            environment={name: ours_asks for name in chosen if name.startswith("t5rank")},
        )
    for system, reason in failed.items():
        print(f"{system} is left out: {reason}", file=sys.stderr)
    lengths = models.lengths(lists, options.vocabulary)
    work = TRAINING_FACTOR * float(scoring_operations(models.CONFIGS[size], lengths))
    seconds = STEPS * figures[OURS].median
    return {
        "size": size,
        "documents": options.lists * options.list_size,
        "mean_length": float(lengths.mean()),
        "systems": {name: entry(name, figures[name], figures[OURS]) for name in figures},
        "utilization": utilization.figures(work, int(lengths.sum()), seconds, options),
        "left_out": failed,
    }


def entry(name: str, found: timing.Figures, ours: timing.Figures) -> dict[str, Any]:
    """The figures of one system; says where it learns something else."""
    loss, temporary, device_peak = found.result
    difference = float(abs(loss - ours.result[0]))
    if difference > TOLERANCE:
        print(f"The loss of {name} differs by {difference:.1e} from that of {OURS}.")
    ratios = [theirs / mine for theirs, mine in zip(found.seconds, ours.seconds, strict=True)]
    return {
        "seconds": found.seconds,
        "median_s": found.median,
        "ratio": statistics.median(ratios),
        "temporary_bytes": None if np.isnan(temporary) else int(temporary),
        "peak_memory_bytes": int(device_peak) or found.peak_memory,
        "last_loss": float(loss),
        "loss_difference": difference,
    }


def as_table(result: dict[str, Any]) -> str:
    """The table of one size, with a heading line."""
    heading = (
        f"T5 1.1 {result['size']}, steps of {result['documents']} documents of "
        f"{result['mean_length']:.0f} tokens on average"
    )
    rows = [
        [
            name,
            f"{e['median_s']:.3g}",
            f"{e['ratio']:.2f}",
            "" if e["temporary_bytes"] is None else f"{e['temporary_bytes'] / 2**20:,.0f}",
            f"{e['peak_memory_bytes'] / 2**20:,.0f}",
            f"{e['loss_difference']:.1e}",
        ]
        for name, e in sorted(result["systems"].items(), key=lambda item: item[1]["ratio"])
    ]
    header = ["", "s/step", "time / t5rank's", "temporary MiB", "peak MiB", "loss difference"]
    used = utilization.as_text(result["utilization"])
    return "\n".join([heading, "", timing.table(header, rows), "", used])


def main() -> None:
    """Runs the benchmark; see the module."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="collection, queries, run.bm25")
    parser.add_argument("--vocabulary", required=True, help="T5's spiece.model")
    parser.add_argument("--sizes", nargs="+", default=["small", "base"], choices=models.CONFIGS)
    parser.add_argument("--lists", type=int, default=4, help="a step")
    parser.add_argument("--list_size", type=int, default=10)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--only", nargs="*", default=[], help="names of systems")
    parser.add_argument("--learning_rate", type=float, default=1e-5)
    parser.add_argument("--row_length", type=int, help="of t5rank's packed rows")
    utilization.add_options(parser)
    parser.add_argument("--output", type=Path, help="writes OUTPUT.json and .png")
    options = parser.parse_args()
    # The systems' processes share an accelerator's memory.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    results = []
    for size in options.sizes:
        results.append(measured(size, options))
        print(as_table(results[-1]), end="\n\n")
    print(timing.machine(PACKAGES))
    if options.output:
        timing.write_results(results, OURS, [*models.CONFIGS], options.output)


if __name__ == "__main__":
    main()
