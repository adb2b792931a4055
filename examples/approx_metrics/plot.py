"""Draws NDCG and two smooth stand-ins while the score of one document changes.

    python examples/approx_metrics/plot.py

The figure is that of Jagerman et al. 2022 ("Rax: Composable Learning-to-Rank using JAX"), for a
list of our own. See the README.md beside this file.
"""

import argparse
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from t5rank import metrics
from t5rank.losses import transformations
from t5rank.types import Array

SCORES = (-6.0, -2.0, 2.0, 6.0)
LABELS = (2, 0, 2, 0, 1)  # the last is of the document whose score changes
RANGE = (-10.0, 10.0)


def curves(x: Array, *, temperature: float, samples: int, beta: float) -> dict[str, Array]:
    """Each function's values where the last document's score is `x`."""
    scores = jnp.concatenate(
        [jnp.broadcast_to(jnp.array(SCORES), (x.size, len(SCORES))), x[:, None]], axis=-1
    )
    labels = jnp.broadcast_to(jnp.array(LABELS), scores.shape)
    approx = transformations.approx_t12n(metrics.ndcg_metric, temperature=temperature)
    gumbel = transformations.gumbel_t12n(approx, samples=samples, beta=beta)
    key = jax.random.key(0)

    # One key for all of x: the same noise everywhere, so that the curve is smooth.
    def gumbel_at(scores: Array, labels: Array) -> Array:
        return gumbel(scores, labels, key=key)

    return {
        "NDCG": metrics.ndcg_metric(scores, labels, reduce_fn=None),
        "approx NDCG": -approx(scores, labels, reduce_fn=None),
        "Gumbel approx NDCG": -jax.vmap(gumbel_at)(scores, labels),
    }


def draw(x: np.ndarray, functions: dict[str, np.ndarray], output: Path) -> None:
    """Draws the functions of `x` as a PNG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, panel = pyplot.subplots(figsize=(6, 3.6))
    for (name, values), style in zip(functions.items(), ("k-", "C0-", "C1-"), strict=True):
        panel.plot(x, values, style, label=name)
    for score, label in zip(SCORES, LABELS, strict=False):
        panel.axvline(score, color="k", alpha=0.2, linestyle=":")
        place = {"xycoords": ("data", "axes fraction"), "ha": "center"}
        panel.annotate(f"label {label}", (score, 1.02), **place)
    panel.set(xlabel=f"score of the document with label {LABELS[-1]}", ylabel="value")
    panel.grid(alpha=0.3)
    panel.legend(fontsize="small")
    figure.tight_layout()
    figure.savefig(output, dpi=120)
    pyplot.close(figure)


def main(arguments: list[str] | None = None) -> None:
    """Reads the command line and draws."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("approx_metrics.png"))
    parser.add_argument("--temperature", type=float, default=0.5, help="of the approximation")
    parser.add_argument("--samples", type=int, default=1000, help="of the Gumbel noise")
    parser.add_argument("--beta", type=float, default=1.0, help="scale of the Gumbel noise")
    parser.add_argument("--points", type=int, default=1001)
    options = parser.parse_args(arguments)
    x = jnp.linspace(*RANGE, options.points)
    settings = {name: getattr(options, name) for name in ("temperature", "samples", "beta")}
    functions = curves(x, **settings)
    draw(np.asarray(x), {name: np.asarray(y) for name, y in functions.items()}, options.output)
    print(f"Written: {options.output}")


if __name__ == "__main__":
    main()
