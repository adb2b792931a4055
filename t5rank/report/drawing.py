"""The pictures of a report."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from t5rank.report.blocks import Picture
from t5rank.report.pictures import HEIGHT, LABEL, color, picture, series
from t5rank.report.ranking import Movement
from t5rank.report.training import Curve

_RANKS = (1, 2, 3, 5, 10, 20, 50, 100, 200, 500, 1000)
_MARKERS = "osD^vP"
_POINTS = 600  # how many of a sorted curve are drawn; more would not be visible


def curves(
    name: str, title: str, by_label: Mapping[str, tuple[int, Curve]], is_loss: bool = False
) -> Picture:
    """Draws means over seeds against steps, with bands from the lowest to the highest seed.

    Args:
      name: the name of the file.
      title: the name of the figure that is drawn.
      by_label: the color's index and the curve of each line.
      is_loss: whether to draw without markers.
    """

    def draw(axes: Any) -> None:
        for label, (index, curve) in by_label.items():
            marker = None if is_loss or len(curve.steps) > 40 else _MARKERS[index % 6]
            style = {"color": series(index), "marker": marker, "markersize": 3.5}
            axes.plot(curve.steps, curve.mean, label=label, linewidth=1.6, **style)
            if curve.seeds > 1:
                band = {"color": series(index), "alpha": 0.18, "linewidth": 0}
                axes.fill_between(curve.steps, curve.low, curve.high, **band)
        axes.set_xlabel("step")
        axes.grid(linewidth=0.7)
        if len(by_label) > 1:
            axes.legend()

    ends = "; ".join(
        f"{label}: {curve.mean[0]:.4f} at step {curve.steps[0]:,}, {curve.mean[-1]:.4f} at step "
        f"{curve.steps[-1]:,}"
        for label, (_, curve) in by_label.items()
    )
    return picture(name, title, f"{title} against steps. {ends}.", draw)


def intervals(
    name: str,
    title: str,
    points: Mapping[str, tuple[float, tuple[float, float] | None, int | None]],
    lines: Mapping[str, float],
) -> Picture:
    """Draws figures with their intervals, one per row, and lines for reference.

    Args:
      name: the name of the file.
      title: the measure.
      points: by label, the figure, its interval and the color's index (None for a reference).
      lines: reference figures by label.
    """

    labels = [textwrap.fill(label, LABEL) for label in points]
    lines_each = max(label.count("\n") for label in labels)

    def draw(axes: Any) -> None:
        for row, (value, interval, index) in enumerate(points.values()):
            shade = color("faint") if index is None else series(index)
            if interval is not None:
                axes.plot(interval, (row, row), color=shade, linewidth=2.2, alpha=0.55)
            marker = "s" if index is None else _MARKERS[index % 6]
            axes.plot([value], [row], marker=marker, color=shade, markersize=6.5, linestyle="")
        for value in lines.values():
            axes.axvline(value, color=color("faint"), linewidth=0.9, linestyle=(0, (4, 3)))
        axes.set_yticks(range(len(points)), labels, color=color("ink"))
        axes.set_ylim(len(points) - 0.4, -0.6)
        axes.spines["left"].set_visible(False)
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x", linewidth=0.7)

    summary = "; ".join(
        f"{label} {value:.4f}" + (f" ({between[0]:.4f} to {between[1]:.4f})" if between else "")
        for label, (value, between, _) in points.items()
    )
    return picture(
        name, title, f"{title}: {summary}.", draw, 0.9 + (0.36 + 0.13 * lines_each) * len(points)
    )


def gains(name: str, title: str, differences: Sequence[float]) -> Picture:
    """Draws the differences of queries, the largest first: gains above the line, losses below."""
    values = np.array(differences)
    wins, losses = int((values > 0).sum()), int((values < 0).sum())

    def draw(axes: Any) -> None:
        chosen = np.unique(np.linspace(0, len(values) - 1, min(len(values), _POINTS)).astype(int))
        for shade, kept in (("gain", np.maximum(values, 0)), ("loss", np.minimum(values, 0))):
            style = {"step": "mid", "color": color(shade), "alpha": 0.8, "linewidth": 0}
            axes.fill_between(chosen + 1, kept[chosen], **style)
        axes.axhline(0, color=color("faint"), linewidth=0.8)
        axes.set_xlim(0.5, len(values) + 0.5)
        axes.set_xlabel("queries, sorted")
        axes.set_ylabel("difference")
        axes.grid(axis="y", linewidth=0.7)
        corner = {"transform": axes.transAxes, "va": "center"}
        axes.text(0.98, 0.94, f"{wins:,} better", color=color("gain"), ha="right", **corner)
        axes.text(0.02, 0.06, f"{losses:,} worse", color=color("loss"), ha="left", **corner)

    alt = (
        f"{title}: {wins:,} of {len(values):,} queries better, {losses:,} worse, "
        f"{len(values) - wins - losses:,} equal; from {values[0]:+.3f} to {values[-1]:+.3f}."
    )
    return picture(name, title, alt, draw)


def distribution(name: str, title: str, by_grade: Mapping[int, np.ndarray]) -> Picture:
    """Draws densities of scores, with one outline per grade."""
    every = np.concatenate(list(by_grade.values()))
    bins = np.linspace(every.min(), every.max() or every.min() + 1, 31)
    if bins[0] == bins[-1]:
        bins = np.linspace(bins[0] - 0.5, bins[0] + 0.5, 31)
    shades = [color("faint"), series(0), series(1), series(2), series(3)]

    def draw(axes: Any) -> None:
        for grade, values in by_grade.items():
            heights, _ = np.histogram(values, bins, density=True)
            shade = shades[grade % 5]
            label = grade_name(grade)
            style = {"color": shade, "linewidth": 1.5, "label": label}
            axes.stairs(heights, bins, **style)
            if not grade:
                axes.stairs(heights, bins, fill=True, color=shade, alpha=0.15, linewidth=0)
        axes.set_xlabel("score")
        axes.set_ylabel("density")
        axes.set_ylim(0)
        axes.legend()

    summary = "; ".join(
        f"{grade_name(grade)}: mean {values.mean():.3f} over {len(values):,}"
        for grade, values in by_grade.items()
    )
    return picture(name, title, f"Scores of {title}. {summary}.", draw)


def grade_name(grade: int) -> str:
    """The name of a grade in legends."""
    return f"grade {grade}" if grade else "others (0 or unjudged)"


def rank_movement(name: str, title: str, moved: Movement, depth: int) -> Picture:
    """Draws shares of the relevant candidates by rank before (rows) and after (columns)."""
    edges = [*[edge for edge in _RANKS if edge < depth], depth]
    labels = _labels(edges)
    rows, columns = (np.searchsorted(edges, ranks) for ranks in (moved.before, moved.after))
    counts = np.zeros((len(edges), len(edges)))
    np.add.at(counts, (rows, columns), 1 / moved.seeds)

    def draw(axes: Any) -> None:
        from matplotlib.patches import Rectangle

        for (row, column), count in np.ndenumerate(counts):
            if count:
                shade = "gain" if column < row else "loss" if column > row else "faint"
                style = {"alpha": 0.1 + 0.5 * count / counts.max(), "linewidth": 0}
                axes.add_patch(Rectangle((column, row), 1, 1, color=color(shade), **style))
                center = (column + 0.5, row + 0.5)
                axes.text(*center, _count(count, moved.seeds), ha="center", va="center", fontsize=8)
        axes.set_xlim(0, len(edges))
        axes.set_ylim(len(edges), 0)
        axes.set_xticks(np.arange(len(edges)) + 0.5, labels, fontsize=8)
        axes.set_yticks(np.arange(len(edges)) + 0.5, labels, fontsize=8)
        axes.set_xlabel("rank after")
        axes.set_ylabel("rank before")
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)

    up, down = (moved.after < moved.before).mean(), (moved.after > moved.before).mean()
    alt = (
        f"{title}: {up:.0%} of the relevant candidates move up, {down:.0%} down; the median rank "
        f"is {np.median(moved.before):g} before and {np.median(moved.after):g} after."
    )
    return picture(name, title, alt, draw, HEIGHT * 1.15)


def _labels(edges: Sequence[int]) -> list[str]:
    firsts = [1, *[edge + 1 for edge in edges[:-1]]]
    return [
        f"{first}" if first == last else f"{first}-{last}"
        for first, last in zip(firsts, edges, strict=True)
    ]


def _count(count: float, seeds: int) -> str:
    return f"{count:,.0f}" if count >= 10 or seeds == 1 else f"{count:.1f}"
