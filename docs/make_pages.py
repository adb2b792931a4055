"""Writes the pages that are made from the code.

    python docs/make_pages.py

A test fails where a page is not what this would write.
"""

from collections.abc import Callable
from pathlib import Path

from generators import api, command_line, macros, rooms

FOLDER = Path(__file__).parent / "pages"
PAGES: dict[str, Callable[[], str]] = {
    "reference/losses.md": api.losses,
    "reference/metrics.md": api.metrics,
    "reference/transformations.md": api.transformations,
    "reference/reranker.md": api.reranker,
    "reference/training.md": api.training,
    "reference/macros.md": macros.page,
    "reference/command_line.md": command_line.page,
    "rooms.svg": rooms.picture,
}


def main() -> None:
    """Writes every page that differs."""
    for name, make in PAGES.items():
        file, text = FOLDER / name, make()
        if not file.is_file() or file.read_text() != text:
            file.write_text(text)
            print(f"docs/pages/{name}")


if __name__ == "__main__":
    main()
