"""The picture of the rooms: what each imports, lower rooms below."""

import ast
from html import escape
from pathlib import Path

ROOT = Path(__file__).parents[2]
WIDTH, HEIGHT, ACROSS, DOWN, MARGIN = 108, 30, 124, 66, 20
STYLE = """<style>
  text { font: 13px system-ui, sans-serif; fill: #1d2733; text-anchor: middle; }
  rect { fill: #eef3fb; stroke: #4a6fa5; }
  path { fill: none; stroke: #8a97a8; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e8edf4; } rect { fill: #24344d; } path { stroke: #7d8ba0; }
  }
</style>"""


def order() -> tuple[str, ...]:
    """The rooms from the lowest, as `tests/test_layers.py` has them."""
    tree = ast.parse((ROOT / "tests/test_layers.py").read_text())
    (found,) = [
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "ROOMS"
    ]
    return ast.literal_eval(found)


def imports(rooms: tuple[str, ...]) -> dict[str, set[str]]:
    """Room to the lower rooms that its files import."""
    found: dict[str, set[str]] = {room: set() for room in rooms}
    for room in rooms:
        for file in files(room):
            found[room] |= imported(file, rooms) & {*rooms[: rooms.index(room)]}
    return found


def files(room: str) -> list[Path]:
    """The files of a room."""
    folder = ROOT / ("tasks" if room == "tasks" else f"t5rank/{room}")
    return sorted(folder.rglob("*.py")) if folder.is_dir() else [folder.with_suffix(".py")]


def imported(file: Path, rooms: tuple[str, ...]) -> set[str]:
    """The rooms that a file imports anywhere in it."""
    names = []
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    parts = [name.split(".") for name in names]
    return {name[1] for name in parts if name[0] == "t5rank" and len(name) > 1} & {*rooms}


def needed(edges: dict[str, set[str]]) -> dict[str, set[str]]:
    """The imports that do not follow from others."""
    below: dict[str, set[str]] = {}
    for room, lower in edges.items():  # from the lowest
        below[room] = lower.union(*(below[other] for other in lower))
    return {
        room: {x for x in lower if not any(x in below[other] for other in lower - {x})}
        for room, lower in edges.items()
    }


def floors(edges: dict[str, set[str]]) -> list[list[str]]:
    """Rooms by the longest way down, the lowest first."""
    floor: dict[str, int] = {}
    for room, lower in edges.items():
        floor[room] = max((floor[other] + 1 for other in lower), default=0)
    return [[room for room in edges if floor[room] == n] for n in range(max(floor.values()) + 1)]


def picture() -> str:
    """The rooms as an SVG."""
    arrows = needed(imports(order()))
    rows = floors(arrows)
    widest = max(map(len, rows))
    width = widest * ACROSS + 2 * MARGIN
    height = len(rows) * DOWN + MARGIN
    places = {
        room: (width / 2 + (i - (len(row) - 1) / 2) * ACROSS, height - DOWN / 2 - n * DOWN)
        for n, row in enumerate(rows)
        for i, room in enumerate(row)
    }
    lines = [line(places[room], places[to]) for room in arrows for to in sorted(arrows[room])]
    boxes = [box(room, *places[room]) for room in places]
    size = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">'
    title = "<title>The rooms of t5rank: each imports only what is below it</title>"
    return "\n".join([head, title, STYLE, *lines, *boxes, "</svg>"]) + "\n"


def line(start: tuple[float, float], end: tuple[float, float]) -> str:
    """An import, from the lower edge of a box to the upper edge of another."""
    (x, y), (to_x, to_y) = start, end
    y, to_y = y + HEIGHT / 2, to_y - HEIGHT / 2
    bend = DOWN / 2
    return (
        f'<path d="M{x:g} {y:g} C{x:g} {y + bend:g} {to_x:g} {to_y - bend:g} {to_x:g} {to_y:g}"/>'
    )


def box(room: str, x: float, y: float) -> str:
    """A room."""
    corner = f'x="{x - WIDTH / 2:g}" y="{y - HEIGHT / 2:g}"'
    rectangle = f'<rect {corner} width="{WIDTH}" height="{HEIGHT}" rx="6"/>'
    return f'{rectangle}<text x="{x:g}" y="{y + 5:g}">{escape(room)}</text>'
