"""Time and memory of the losses and metrics beside Rax, in one run.

    python benchmarks/losses.py [--rax CHECKOUT] [--only NAME ...] [--output FILE]

Every operation of t5rank and its namesake of Rax are compiled, and run in turns: losses forward and
gradient, metrics forward. Printed for each: the median time of both, the ratio (Rax's time over
ours, the median over turns), and the temporary memory that XLA plans for both. Two kinds of
labels: "few", 2% of the documents relevant as in passage ranking, and "graded", 0 to 4 evenly as in
learning to rank. The released Rax 0.4.0 fails on current JAX in its transformations: `--rax` takes
a checkout of its head.
"""

import argparse
import functools
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from t5rank import losses, metrics
from t5rank.losses import transformations

SIZES = [(32, 1000), (8, 4096)]
MOST_MEMORY = 4 * 2**30  # bytes of temporary memory beyond which an operation is not run
SEGMENTS = 20  # lists laid end to end in each row of the segmented operations
KEY = jax.random.key(0)


def operations(rax: Any) -> dict[str, tuple[Callable, Callable]]:
    """Name to our function and Rax's."""
    approx_ours = transformations.approx_t12n(metrics.ndcg_metric)
    approx_rax = rax.approx_t12n(rax.ndcg_metric)
    gumbel = functools.partial(transformations.gumbel_t12n(approx_ours, samples=8), key=KEY)
    gumbel_rax = functools.partial(rax.gumbel_t12n(approx_rax, samples=8), key=KEY)
    logistic, rax_logistic = losses.pairwise_logistic_loss, rax.pairwise_logistic_loss
    return {
        "sigmoid": (losses.sigmoid_loss, rax.pointwise_sigmoid_loss),
        "mse": (losses.mse_loss, rax.pointwise_mse_loss),
        "hinge": (losses.pairwise_hinge_loss, rax.pairwise_hinge_loss),
        "logistic": (logistic, rax_logistic),
        "soft zero-one": (losses.pairwise_soft_zero_one_loss, rax.pairwise_soft_zero_one_loss),
        "pairwise mse": (losses.pairwise_mse_loss, rax.pairwise_mse_loss),
        "quantile": (losses.pairwise_quantile_loss, rax.pairwise_qr_loss),
        "logistic, dcg": (
            functools.partial(logistic, lambdaweight_fn=losses.dcg_lambdaweight()),
            functools.partial(rax_logistic, lambdaweight_fn=rax.dcg_lambdaweight),
        ),
        "logistic, dcg2": (
            functools.partial(logistic, lambdaweight_fn=losses.dcg2_lambdaweight()),
            functools.partial(rax_logistic, lambdaweight_fn=rax.dcg2_lambdaweight),
        ),
        "softmax": (losses.softmax_loss, rax.softmax_loss),
        "softmax, segments": (losses.softmax_loss, rax.softmax_loss),
        "logistic, segments": (logistic, rax_logistic),
        "poly1 softmax": (losses.poly1_softmax_loss, rax.poly1_softmax_loss),
        "unique softmax": (losses.unique_softmax_loss, rax.unique_softmax_loss),
        "listmle": (losses.listmle_loss, rax.listmle_loss),
        "approx ndcg": (approx_ours, approx_rax),
        "gumbel approx ndcg": (gumbel, gumbel_rax),
        "approx mrr": (
            transformations.approx_t12n(metrics.mrr_metric),
            rax.approx_t12n(rax.mrr_metric),
        ),
        "bound ndcg": (
            transformations.bound_t12n(metrics.ndcg_metric),
            rax.bound_t12n(rax.ndcg_metric),
        ),
        **{
            f"{name} metric": (getattr(metrics, f"{name}_metric"), getattr(rax, f"{name}_metric"))
            for name in ("ndcg", "dcg", "mrr", "ap", "precision", "recall", "opa")
        },
        "ndcg@10 metric": (
            functools.partial(metrics.ndcg_metric, topn=10),
            functools.partial(rax.ndcg_metric, topn=10),
        ),
        "ndcg metric, segments": (metrics.ndcg_metric, rax.ndcg_metric),
    }


def batch(lists: int, size: int, kind: str) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Scores, labels and a mask that leaves some slots empty."""
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(lists, size)).astype(np.float32)
    if kind == "few":
        labels = (rng.uniform(size=(lists, size)) < 0.02).astype(np.float32)
    else:
        labels = rng.integers(0, 5, (lists, size)).astype(np.float32)
    where = np.arange(size) < rng.integers(size * 9 // 10, size + 1, (lists, 1))
    return jnp.asarray(scores), jnp.asarray(labels), jnp.asarray(where)


def compiled(name: str, function: Callable, arguments: tuple) -> Any:
    """The compiled operation: a metric's value, or a loss's value and gradient."""
    scores = arguments[0]
    optional = {}
    if "segments" in name:
        length = scores.shape[-1]
        optional["segments"] = jnp.broadcast_to(
            jnp.arange(length) * SEGMENTS // length, scores.shape
        )

    def call(scores: jax.Array, labels: jax.Array, where: jax.Array) -> jax.Array:
        return function(scores, labels, where=where, **optional)

    target = call if "metric" in name else jax.value_and_grad(call)
    return jax.jit(target).lower(*arguments).compile()


def memory(program: Any) -> int:
    """Bytes of temporary memory, by XLA's plan."""
    return program.memory_analysis().temp_size_in_bytes


def seconds(function: Any, arguments: tuple, at_least: float = 0.02) -> float:
    """The time of one call, over as many as take a while; the first one finds memory freed."""
    jax.block_until_ready(function(*arguments))
    calls, start = 0, time.perf_counter()
    while calls == 0 or time.perf_counter() - start < at_least:
        jax.block_until_ready(function(*arguments))
        calls += 1
    return (time.perf_counter() - start) / calls


def measure(name: str, pair: tuple[Callable, Callable], arguments: tuple, turns: int) -> list[str]:
    """A row of the table."""
    both = []
    for function in pair:
        try:
            both.append(compiled(name, function, arguments))
            if memory(both[-1]) < MOST_MEMORY:
                both[-1](*arguments)
        except Exception as error:  # out of memory, or Rax on a JAX it does not know
            return [name, f"{type(error).__name__} at {len(both)}", *["-"] * 4]
    mebibytes = [f"{memory(program) / 2**20:.3g}" for program in both]
    if max(map(memory, both)) >= MOST_MEMORY:
        return [name, "-", "not run", "-", *mebibytes]
    times: list[tuple[float, ...]] = []
    for turn in range(turns):
        order = (0, 1) if turn % 2 else (1, 0)
        taken = {i: seconds(both[i], arguments) for i in order}
        times.append((taken[0], taken[1]))
    ratio = statistics.median(theirs / ours for ours, theirs in times)
    figures = [1000 * statistics.median(t[i] for t in times) for i in (0, 1)]
    return [
        name,
        *(f"{figure:.3g}" for figure in figures),
        f"{ratio:.1f}",
        *mebibytes,
    ]


def main() -> None:
    """Runs the benchmark; see the module."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rax", help="a checkout of Rax to compare with, if not the installed one")
    parser.add_argument("--only", nargs="*", default=[], help="names of operations")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--output", type=Path, help="a file for the tables as well")
    options = parser.parse_args()
    if options.rax:
        sys.path.insert(0, options.rax)
    import rax

    chosen = {n: p for n, p in operations(rax).items() if not options.only or n in options.only}
    lines = [
        f"JAX {jax.__version__} on {jax.devices()[0].device_kind}, {jax.device_count()} device"
    ]
    progress = tqdm(total=len(chosen) * len(SIZES) * 2, file=sys.stderr)
    for lists, size in SIZES:
        for kind in ("few", "graded"):
            lines += ["", f"{lists} lists of {size}, labels: {kind}", ""]
            lines += [
                "| | t5rank ms | Rax ms | ratio | t5rank MiB | Rax MiB |",
                "|---|" + "---:|" * 5,
            ]
            arguments = batch(lists, size, kind)
            for name, pair in chosen.items():
                progress.set_postfix_str(name)
                lines.append(
                    "| " + " | ".join(measure(name, pair, arguments, options.turns)) + " |"
                )
                progress.update()
    progress.close()
    print("\n".join(lines))
    if options.output:
        options.output.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
