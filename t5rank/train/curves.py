"""The picture of a run: its loss and its validation metrics against steps."""

import os
from collections.abc import Mapping

from etils import epath

from t5rank.runs.records import TRAIN, VALIDATION, Record, read_records


def learning_curves(
    runs: Mapping[str, str | os.PathLike[str]],
    output: str | os.PathLike[str],
    metrics: tuple[str, ...] = ("ndcg@10", "mrr@10"),
) -> None:
    """Draws training loss and validation metrics of runs against steps, as a PNG.

    Args:
      runs: label to the run's model folder.
      output: the picture's file.
      metrics: one panel each, beside the panel of the loss.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    count = 1 + len(metrics)
    figure, ((*panels,),) = pyplot.subplots(1, count, figsize=(4.5 * count, 3.6), squeeze=False)
    for color, (label, folder) in enumerate(runs.items()):
        records = read_records(folder)
        for panel, name in zip(panels, ("loss", *metrics), strict=True):
            train = _curve(records, TRAIN, name)
            validation = _curve(records, VALIDATION, name)
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


def _curve(records: list[Record], part: str, name: str) -> tuple[list, list] | None:
    points = [(r["step"], r[name]) for r in records if r["part"] == part and name in r]
    return ([p[0] for p in points], [p[1] for p in points]) if points else None
