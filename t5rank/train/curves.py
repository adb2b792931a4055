"""The picture of a run: its loss and its validation metrics against steps."""

import os
from collections.abc import Mapping
from typing import Any

from etils import epath

from t5rank.formats.json_files import read_lines


def learning_curves(
    runs: Mapping[str, str | os.PathLike[str]],
    output: str | os.PathLike[str],
    metrics: tuple[str, ...] = ("ndcg@10", "mrr@10"),
) -> None:
    """Draws training loss and validation metrics of runs against steps, as a PNG.

    Args:
      runs: label to the run's `metrics.jsonl`.
      output: the picture's file.
      metrics: one panel each, beside the panel of the loss.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    count = 1 + len(metrics)
    figure, ((*panels,),) = pyplot.subplots(1, count, figsize=(4.5 * count, 3.6), squeeze=False)
    for color, (label, file) in enumerate(runs.items()):
        records = read_lines(epath.Path(file), ("step", "part"))
        for panel, name in zip(panels, ("loss", *metrics), strict=True):
            train = _curve(records, "train", name)
            validation = _curve(records, "validation", name)
            style = "--" if validation else "-"
            if train:
                panel.plot(*train, f"{style}C{color}", alpha=0.6, label=f"{label} train".strip())
            if validation:
                name_of = f"{label} validation".strip()
                panel.plot(*validation, f"-C{color}", marker=".", label=name_of)
    for panel, name in zip(panels, ("training loss", *metrics), strict=True):
        panel.set(title=name, xlabel="step")
        panel.grid(alpha=0.3)
        if panel.has_data():
            panel.legend(fontsize="small", framealpha=0.6)
    figure.tight_layout()
    with epath.Path(output).open("wb") as picture:
        figure.savefig(picture, format="png", dpi=120)
    pyplot.close(figure)


def _curve(records: list[dict[str, Any]], part: str, name: str) -> tuple[list, list] | None:
    points = [(r["step"], r[name]) for r in records if r["part"] == part and name in r]
    return ([p[0] for p in points], [p[1] for p in points]) if points else None
