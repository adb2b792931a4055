"""How the cost of scoring grows: with the list, with the length of its documents, with the batch.

    python benchmarks/scaling.py --data DATA/msmarco_passage_dev --vocabulary spiece.model
        [--size small] [--turns 3] [--output docs/pages/results/scaling]

T5 1.1 of random weights. Lists are real passages through `Reranker`, tokenization included; lengths
are single rows of random tokens, batches are rows of 128. For each: the median time, and the
exponents of time and of work (the matrix products' operations) as lines fitted to their logarithms.
An exponent of time above that of work would be a cost that outgrows its work.
"""

import argparse
import functools
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import matplotlib.pyplot as plt
import models
import numpy as np
import timing
from tqdm import tqdm

from t5rank.inference.compilation_cache import use_compilation_cache
from t5rank.inference.reranker import Reranker
from t5rank.models.operations import scoring_operations
from t5rank.text.prompts import PairEncoder, Prompt
from t5rank.text.vocabulary import Vocabulary

LIST_SIZES = (8, 32, 125, 250, 500, 1000)
LENGTHS = (64, 128, 256, 512, 1024, 2048)
BATCHES = (1, 2, 4, 8, 16, 32, 64)
BATCH_LENGTH = 128
Case = tuple[Callable[[], Any], float]  # what is run, and its operations


def cases(options: argparse.Namespace) -> dict[str, dict[int, Case]]:
    """What to run and the work in it, by what grows and how large it is."""
    config, vocabulary = models.CONFIGS[options.size], Vocabulary(options.vocabulary)
    model = models.ranking_model(config, vocabulary)
    params = models.random_params(model)
    encoder = PairEncoder(vocabulary, Prompt(), models.MAX_LENGTH)
    reranker = Reranker.from_model(model, params, encoder)
    most = max(options.list_sizes)
    documents = [text for _, texts in models.real_lists(options.data, most) for text in texts]
    lengths = np.array([len(pair.tokens) for pair in encoder.encode("query", documents)])
    score = jax.jit(model.score)

    def rows(batch: int, length: int) -> Case:
        tokens = np.random.default_rng(0).integers(3, len(vocabulary), (batch, length), np.int32)
        run = lambda: score(params, tokens).block_until_ready()  # noqa: E731
        return run, float(scoring_operations(config, np.full(batch, length)))

    return {
        "documents in a list": {
            n: (
                functools.partial(reranker.score, "query", documents[:n]),
                float(scoring_operations(config, lengths[:n])),
            )
            for n in options.list_sizes
        },
        "tokens in a document": {n: rows(1, n) for n in options.lengths},
        "rows in a batch": {n: rows(n, BATCH_LENGTH) for n in options.batches},
    }


def measured(all_cases: dict[str, dict[int, Case]], turns: int) -> dict[str, dict[str, Any]]:
    """Sizes, median seconds, operations and the two exponents, by what grows."""
    seconds: dict[tuple[str, int], list[float]] = {}
    for turn in tqdm(range(turns + 1)):  # the first compiles
        for name, by_size in all_cases.items():
            for size, (run, _) in by_size.items():
                start = time.perf_counter()
                run()
                if turn:
                    seconds.setdefault((name, size), []).append(time.perf_counter() - start)
    results = {}
    for name, by_size in all_cases.items():
        sizes = sorted(by_size)
        medians = [statistics.median(seconds[name, size]) for size in sizes]
        work = [by_size[size][1] for size in sizes]
        results[name] = {
            "sizes": sizes,
            "seconds": medians,
            "operations": work,
            "exponent": exponent(sizes, medians),
            "exponent_of_work": exponent(sizes, work),
        }
    return results


def exponent(sizes: list[int], values: list[float]) -> float:
    """The slope of a line through the logarithms."""
    return float(np.polyfit(np.log(sizes), np.log(values), 1)[0])


def as_table(results: dict[str, dict[str, Any]]) -> str:
    """One row for each thing that grows."""
    rows = [
        [
            name,
            f"{found['sizes'][0]:,} to {found['sizes'][-1]:,}",
            f"{found['seconds'][0]:.3g} to {found['seconds'][-1]:.3g}",
            f"{found['exponent']:.2f}",
            f"{found['exponent_of_work']:.2f}",
        ]
        for name, found in results.items()
    ]
    return timing.table(["", "size", "s", "exponent of time", "of work"], rows)


def draw(results: dict[str, dict[str, Any]], file: Path) -> None:
    """Time over size, and work scaled to meet it at the largest."""
    figure, axes = plt.subplots(1, len(results), figsize=(10, 3.2), layout="constrained")
    for axis, (name, found) in zip(axes, results.items(), strict=True):
        scale = found["seconds"][-1] / found["operations"][-1]
        work = [scale * operations for operations in found["operations"]]
        axis.loglog(found["sizes"], work, "--", color="tab:gray", label="its work")
        label = f"time, exponent {found['exponent']:.2f}"
        axis.loglog(found["sizes"], found["seconds"], "o-", label=label)
        axis.set(xlabel=name, ylabel="s")
        axis.legend()
    figure.savefig(file, dpi=100)


def main() -> None:
    """Runs the benchmark; see the module."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="collection, queries, run.bm25")
    parser.add_argument("--vocabulary", required=True, help="T5's spiece.model")
    parser.add_argument("--size", default="small", choices=models.CONFIGS)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--list_sizes", type=int, nargs="+", default=LIST_SIZES)
    parser.add_argument("--lengths", type=int, nargs="+", default=LENGTHS)
    parser.add_argument("--batches", type=int, nargs="+", default=BATCHES)
    parser.add_argument("--output", type=Path, help="writes OUTPUT.json and .png")
    options = parser.parse_args()
    use_compilation_cache()
    results = measured(cases(options), options.turns)
    machine = timing.machine(["jax"])
    print(as_table(results), machine, sep="\n\n")
    if options.output:
        document = {"machine": machine, "size": options.size, "results": results}
        options.output.with_suffix(".json").write_text(json.dumps(document, indent=1) + "\n")
        draw(results, options.output.with_suffix(".png"))


if __name__ == "__main__":
    main()
