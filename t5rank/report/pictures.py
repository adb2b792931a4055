"""Drawing of pictures in one style and light colors. The page inverts them in dark mode."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Callable
from typing import Any

from t5rank.report.blocks import Picture

COLORS = {
    "ink": "#1d2129",
    "faint": "#596273",
    "grid": "#dde1e8",
    "series-0": "#2b5fd9",
    "series-1": "#c8501e",
    "series-2": "#18805a",
    "series-3": "#8a3fb5",
    "series-4": "#8f6b00",
    "series-5": "#b3265e",
    "gain": "#1f7f58",
    "loss": "#c23b3b",
}
WIDTH, HEIGHT = 4.6, 3.1  # inches; a picture has one panel, so that it fits a phone
DPI = 220  # twice that of a usual screen, for screens of high resolution
TITLE, LABEL = 46, 26  # characters per line
_STYLE: Any = {
    "font.size": 9.5,
    "axes.titlesize": 10.5,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.edgecolor": COLORS["faint"],
    "axes.labelcolor": COLORS["faint"],
    "axes.titlecolor": COLORS["ink"],
    "text.color": COLORS["ink"],
    "xtick.color": COLORS["faint"],
    "ytick.color": COLORS["faint"],
    "grid.color": COLORS["grid"],
    "legend.frameon": False,
    "legend.fontsize": 8.5,
}


def series(index: int) -> str:
    """The color of the index-th arm."""
    return COLORS[f"series-{index % 6}"]


def color(name: str) -> str:
    return COLORS[name]


def picture(
    name: str, title: str, alt: str, draw: Callable[[Any], None], height: float = HEIGHT
) -> Picture:
    """Draws one panel.

    Args:
      name: the name of the file.
      title: the title above the panel.
      alt: a description in words and figures.
      draw: a function that draws on matplotlib's axes.
      height: the height in inches.
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
        png = io.BytesIO()
        figure.savefig(png, format="png", dpi=DPI, metadata={"Software": None})
    return Picture(name, alt, _smaller(png))


def _smaller(png: io.BytesIO) -> bytes:
    """The PNG with a color palette, which takes a third of the bytes."""
    from PIL import Image

    smaller = io.BytesIO()
    Image.open(png).convert("RGB").quantize(96).save(smaller, format="png", optimize=True)
    return smaller.getvalue()


def file_name(name: str) -> str:
    """A file name from a text.

    >>> file_name("AP(rel=2)@10")
    'AP-rel-2-10'
    """
    return "-".join("".join(c if c.isalnum() else " " for c in name).split())
