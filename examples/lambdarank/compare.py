"""Trains small networks with many losses, and LightGBM's lambdarank, and compares them by NDCG@5.

    python examples/lambdarank/compare.py --data FOLDER

See the README.md beside this file.
"""

import argparse
import dataclasses
import importlib.util
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from feature_rows import FeatureLists, FeatureRows, read_rows
from groupwise import Scorer
from ltr_losses import LOSSES
from tqdm import tqdm
from training import TOPN, Fitted, Settings, Standardizer, fit, ndcg, ndcg_of_rows, scores_of

GROUPWISE = ("softmax", "logistic, DCG weights (LambdaRank)")
LIGHTGBM = "LightGBM lambdarank"


@dataclasses.dataclass(frozen=True)
class Row:
    """A line of the table.

    Attributes:
      name: the loss, or the system.
      group_size: how many documents are scored together.
      validation: `[seeds]`, NDCG on each seed's own validation queries.
      test: `[seeds, queries]`, NDCG on the test queries.
    """

    name: str
    group_size: int
    validation: np.ndarray
    test: np.ndarray

    @property
    def label(self) -> str:
        """The name, with the size of the groups if there are any."""
        return self.name if self.group_size == 1 else f"{self.name}, groups of {self.group_size}"


def main(arguments: list[str] | None = None) -> None:
    """Reads the command line, trains, prints the table, draws the chart."""
    options = _parser().parse_args(arguments)
    if not options.without_lightgbm and importlib.util.find_spec("lightgbm") is None:
        sys.exit(
            "Package 'lightgbm' is not installed; expected it for the comparison. "
            "pip install '.[examples]', or pass --without_lightgbm."
        )
    began = time.monotonic()
    train, test = _read(options.data)
    rows = compare(train, test, options)
    text = table(rows)
    print(text)
    print(f"{len(test.query_ids)} test queries; {time.monotonic() - began:.0f} seconds.")
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "table.md").write_text(text)
    chart(rows, options.output / "ndcg.png")
    print(f"Written to {options.output}: table.md, ndcg.png")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--data", type=Path, required=True, help="folder of rank.train and rank.test (libsvm)"
    )
    parser.add_argument("--output", type=Path, default=Path("lambdarank_results"))
    parser.add_argument("--losses", nargs="+", choices=LOSSES, default=[*LOSSES], metavar="LOSS")
    parser.add_argument(
        "--group_sizes", nargs="*", type=int, default=[2, 3], help="beside 1, for --groupwise"
    )
    parser.add_argument(
        "--groupwise", nargs="*", choices=LOSSES, default=[*GROUPWISE], metavar="LOSS"
    )
    parser.add_argument("--seeds", type=int, default=5, help="how many, from 0")
    parser.add_argument("--epochs", type=int, default=Settings.epochs, help="at most")
    parser.add_argument("--without_lightgbm", action="store_true")
    return parser


def _read(folder: Path) -> tuple[FeatureRows, FeatureRows]:
    train = read_rows(folder / "rank.train")
    return train, read_rows(folder / "rank.test", num_features=train.features.shape[-1])


def compare(train: FeatureRows, test: FeatureRows, options: argparse.Namespace) -> list[Row]:
    """Trains everything that the options ask for; test queries are only ever scored."""
    lists = train.padded()
    standardize = Standardizer(lists)
    lists, test_lists = standardize(lists), standardize(test.padded())
    seeds = list(range(options.seeds))
    plan = [(name, 1) for name in options.losses]
    plan += [(name, size) for size in options.group_sizes for name in options.groupwise]
    settings = Settings(epochs=options.epochs)
    rows = []
    with tqdm(desc="training", unit=" fits", total=len(plan), disable=None) as progress:
        for name, size in plan:
            progress.set_postfix_str(name)
            scorer = Scorer(group_size=size)
            fitted = fit(scorer, LOSSES[name], lists, seeds, settings)
            values = _test_ndcg(scorer, fitted, test_lists)
            rows.append(Row(name, size, fitted.validation, values))
            progress.update()
    return rows if options.without_lightgbm else [_lightgbm(train, test, seeds), *rows]


def _test_ndcg(scorer: Scorer, fitted: Fitted, lists: FeatureLists) -> np.ndarray:
    features, labels, where = map(jnp.asarray, dataclasses.astuple(lists))
    scores = jax.vmap(lambda params: scores_of(scorer, params, features, where))(fitted.params)
    return np.asarray(jax.vmap(lambda s: ndcg(s, labels, where))(scores))


def _lightgbm(train: FeatureRows, test: FeatureRows, seeds: Iterable[int]) -> Row:
    import lightgbm_lambdarank as baseline

    values, validation = [], []
    for seed in tqdm(seeds, desc=LIGHTGBM, unit=" seeds", disable=None):
        scores, best = baseline.predict(train, test, seed)
        values.append(ndcg_of_rows(scores, test))
        validation.append(best)
    return Row(LIGHTGBM, 1, np.array(validation), np.array(values))


def table(rows: list[Row]) -> str:
    """The figures as a markdown table: means and standard deviations over seeds.

    The last column is the difference to the first row, of the means over seeds, with its standard
    error over the test queries.
    """
    head = ("loss", "group size", f"validation NDCG@{TOPN}", f"test NDCG@{TOPN}")
    lines = [[*head, f"test, less {rows[0].label}"], ["---", *["---:"] * len(head)]]
    for row in rows:
        difference = np.mean(row.test, axis=0) - np.mean(rows[0].test, axis=0)
        error = np.std(difference, ddof=1) / np.sqrt(len(difference))
        against = "" if row is rows[0] else f"{np.mean(difference):+.3f} ± {error:.3f}"
        figures = [_mean_and_spread(row.validation), _mean_and_spread(row.test.mean(axis=-1))]
        lines.append([row.name, str(row.group_size), *figures, against])
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def _mean_and_spread(values: np.ndarray) -> str:
    return f"{np.mean(values):.3f} ± {np.std(values, ddof=min(1, len(values) - 1)):.3f}"


def chart(rows: list[Row], output: Path) -> None:
    """Draws test NDCG as bars, with the standard deviation over seeds."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    ordered = sorted(rows, key=lambda row: float(np.mean(row.test)))
    means = [row.test.mean() for row in ordered]
    spreads = [row.test.mean(axis=-1).std() for row in ordered]
    colors = [
        "C1" if row.name == LIGHTGBM else "C0" if row.group_size == 1 else "C2" for row in ordered
    ]
    figure, panel = pyplot.subplots(figsize=(7.5, 1 + 0.3 * len(rows)))
    panel.barh([row.label for row in ordered], means, xerr=spreads, color=colors, capsize=2)
    panel.set(
        xlabel=f"test NDCG@{TOPN}, mean and standard deviation over seeds",
        xlim=(max(0.0, min(means) - 0.1), min(1.0, max(means) + 0.05)),
    )
    panel.grid(alpha=0.3, axis="x")
    figure.tight_layout()
    figure.savefig(output, dpi=120)
    pyplot.close(figure)


if __name__ == "__main__":
    main()
