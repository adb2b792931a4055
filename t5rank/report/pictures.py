"""How pictures are drawn: one look, as SVG in the page's colours and as PNG in light ones."""

from __future__ import annotations

import io
import re
import textwrap
from collections.abc import Callable
from typing import Any

from t5rank.report.blocks import Picture

# Name to (light, dark). Drawn in the light colours, which the page replaces by its variables.
COLORS = {
    "ink": ("#1d2129", "#e6e8ec"),
    "faint": ("#596273", "#a6aebb"),
    "grid": ("#dde1e8", "#383e49"),
    "series-0": ("#2b5fd9", "#82a6ff"),
    "series-1": ("#c8501e", "#ff9a6b"),
    "series-2": ("#18805a", "#58c99b"),
    "series-3": ("#8a3fb5", "#cf9bf0"),
    "series-4": ("#8f6b00", "#e0bb4a"),
    "series-5": ("#b3265e", "#ff8fb8"),
    "gain": ("#1f7f58", "#55c795"),
    "loss": ("#c23b3b", "#ff8a84"),
}
WIDTH, HEIGHT = 4.6, 3.1  # inches; a picture is one panel, so that a phone shows it whole
TITLE, LABEL = 46, 26  # characters of a line
_STYLE: Any = {
    "svg.fonttype": "none",  # words, not outlines
    "svg.hashsalt": "t5rank",  # the same picture gives the same file
    "font.size": 9.5,
    "axes.titlesize": 10.5,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.edgecolor": COLORS["faint"][0],
    "axes.labelcolor": COLORS["faint"][0],
    "axes.titlecolor": COLORS["ink"][0],
    "text.color": COLORS["ink"][0],
    "xtick.color": COLORS["faint"][0],
    "ytick.color": COLORS["faint"][0],
    "grid.color": COLORS["grid"][0],
    "legend.frameon": False,
    "legend.fontsize": 8.5,
}


def series(index: int) -> str:
    """The color of the index-th arm."""
    return COLORS[f"series-{index % 6}"][0]


def color(name: str) -> str:
    """A color by name."""
    return COLORS[name][0]


def picture(
    name: str, title: str, alt: str, draw: Callable[[Any], None], height: float = HEIGHT
) -> Picture:
    """Draws one panel.

    Args:
      name: of the file.
      title: above the panel.
      alt: what the picture shows, in words and figures.
      draw: is handed matplotlib's axes.
      height: in inches.
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots()
        axes.set_title(textwrap.fill(title, TITLE))
        draw(axes)
        svg, png = io.BytesIO(), io.BytesIO()
        figure.savefig(svg, format="svg", transparent=True, metadata={"Date": None})
        figure.savefig(png, format="png", dpi=110, metadata={"Software": None})
    return Picture(name, alt, _inline(svg.getvalue().decode()), _smaller(png))


def _smaller(png: io.BytesIO) -> bytes:
    """The PNG with a palette: a third of the bytes."""
    from PIL import Image

    smaller = io.BytesIO()
    Image.open(png).convert("RGB").quantize(96).save(smaller, format="png", optimize=True)
    return smaller.getvalue()


def file_name(name: str) -> str:
    """A name for a file.

    >>> file_name("AP(rel=2)@10")
    'AP-rel-2-10'
    """
    return "-".join("".join(c if c.isalnum() else " " for c in name).split())


def _inline(svg: str) -> str:
    """The SVG element alone, with the page's colors and font, and only the ids it refers to."""
    svg = svg[svg.index("<svg ") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'<g id="\w+">', "<g>", svg)
    svg = re.sub(r"(\.\d\d)\d+", r"\1", svg)  # hundredths of a point are enough
    svg = re.sub(r"\s*\n\s*", "\n", svg)
    svg = re.sub(r"'DejaVu Sans'.*?sans-serif", "system-ui, sans-serif", svg)
    svg = re.sub(r' xmlns:xlink="[^"]*"', "", svg, count=1).replace("xlink:href", "href")
    for name, (light, _) in COLORS.items():
        svg = svg.replace(light, f"var(--{name})")
    return svg.strip()
