"""The picture of a folder of lists: histograms of their lengths, labels and words."""

import math
import os
from collections.abc import Mapping

from etils import epath

from t5rank.process.packages import require


def draw_histograms(
    values: Mapping[str, Mapping[str, int]], output: str | os.PathLike[str], bins: int = 60
) -> None:
    """Draws one panel of bars for each histogram, as a PNG.

    Args:
      values: for each title, how often each number came; the number is a text. More than 12
        different numbers are put into bins, and should be whole.
      output: the picture's file.
      bins: how many bins a panel has at most.

    Raises:
      MissingExtra: matplotlib is not installed.
    """
    matplotlib = require("report", "matplotlib")
    matplotlib.use("Agg")
    from matplotlib import pyplot

    count = len(values)
    figure, ((*panels,),) = pyplot.subplots(1, count, figsize=(4.2 * count, 3.4), squeeze=False)
    for panel, (title, histogram) in zip(panels, values.items(), strict=True):
        numbers = [float(number) for number in histogram]
        if len(numbers) <= 12:
            panel.bar(list(histogram), list(histogram.values()), width=0.7)
        else:
            width = max(
                1, math.ceil((max(numbers) - min(numbers)) / bins)
            )  # a whole number: every bin holds as many numbers
            edges = [min(numbers) - 0.5 + width * i for i in range(bins + 2)]
            panel.hist(numbers, bins=edges, weights=list(histogram.values()))
            panel.set_xlim(edges[0], max(numbers) + 0.5)
        panel.set(title=title.replace("_", " "), ylabel="count")
        panel.grid(alpha=0.3, axis="y")
        panel.set_axisbelow(True)
        panel.yaxis.set_major_formatter(matplotlib.ticker.FuncFormatter(lambda y, _: f"{y:,.0f}"))
    figure.tight_layout()
    with epath.Path(output).open("wb") as picture:
        figure.savefig(picture, format="png", dpi=120)
    pyplot.close(figure)
