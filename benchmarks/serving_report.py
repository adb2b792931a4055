"""What `serving.py` measured, as tables and as a picture."""

import json
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import timing

Results = dict[str, Any]


def as_tables(results: Results) -> str:
    """All parts as tables."""
    tables = [_capacity_table(results)]
    if "load" in results:
        tables.append("Open loop\n\n" + _rate_table(results["load"]))
    if "overload" in results:
        heading = f"Overload, --max_wait {results['overload'][0]['max_wait']:g}\n\n"
        tables.append(heading + _rate_table(results["overload"]) + "\n\n" + _refusals(results))
    if "sizes" in results:
        tables.append("Requests of one size, one after the other\n\n" + _size_table(results))
    return "\n\n".join(tables)


def _capacity_table(results: Results) -> str:
    capacity, memory = results["capacity"], results["memory"]
    rows = []
    for name, found in capacity.items():
        padding, compiles = found.get("padding"), found.get("compiles_after_ready")
        peak = memory.get(name, {}).get("serving_bytes", found.get("peak_memory_bytes"))
        rows.append(
            [
                name,
                f"{found['pairs_per_s']:.1f}",
                f"{found['tokens_per_s']:,.0f}",
                f"{found['of_offline']:.0%}",
                "" if padding is None else f"{padding:.0%}",
                f"{peak / 2**20:,.0f}",
                "" if compiles is None else f"{compiles:.0f}",
            ]
        )
    header = ["", "pairs/s", "tokens/s", "of offline", "padding", "peak MiB", "compiles"]
    return timing.table(header, rows)


def _rate_table(points: list[Results]) -> str:
    rows = [
        [
            point["system"],
            f"{point['share']:.0%}",
            f"{point['offered_pairs_per_s']:.1f}",
            f"{point['pairs_per_s']:.1f}",
            str(point["latency"]["all"]["n"]),
            *(_times(some) for some in point["latency"].values()),
            f"{point['padding']:.0%}",
            f"{point['statuses'].get('429', 0) / point['latency']['all']['n']:.0%}",
            _ms(point["health"], "p99"),
        ]
        for point in points
    ]
    header = ["", "of its capacity", "pairs/s sent", "answered", "requests", "p50/p95/p99 s"]
    header += [*_sizes(points), "padding", "429", "health p99 ms"]
    return timing.table(header, rows)


def _refusals(results: Results) -> str:
    rows = [
        [
            f"{point['share']:.0%}",
            *(_refused_share(point["latency"][n]) for n in _all_sizes(results["overload"])),
            _ms(point["latency"]["all"]["refused"], "p50"),
            _ms(point["latency"]["all"]["refused"], "p99"),
        ]
        for point in results["overload"]
    ]
    header = ["429", *_sizes(results["overload"]), "its p50 ms", "its p99 ms"]
    return timing.table(header, rows)


def _size_table(results: Results) -> str:
    rows = [
        [
            found["system"],
            f"{found['size']:,}",
            str(found["latency"]["all"]["n"]),
            _times(found["latency"]["all"]),
            f"{found['pairs_per_s']:.1f}",
            f"{found['padding']:.0%}",
            _ms(found["health"], "p99"),
        ]
        for found in results["sizes"]
    ]
    header = ["", "documents", "requests", "p50/p95/p99 s", "pairs/s", "padding", "health p99 ms"]
    return timing.table(header, rows)


def _all_sizes(points: list[Results]) -> list[str]:
    return [name for name in points[0]["latency"] if name != "all"]


def _sizes(points: list[Results]) -> list[str]:
    return [f"of {size} documents" for size in _all_sizes(points)]


def _times(found: Results) -> str:
    return " / ".join(f"{found[q]:.3g}" for q in ("p50", "p95", "p99")) if "p50" in found else "-"


def _ms(found: Results, q: str) -> str:
    return f"{1000 * found[q]:.1f}" if q in found else "-"


def _refused_share(found: Results) -> str:
    return f"{found['refused']['answers'] / found['n']:.0%}"


def draw(results: Results, file: Path) -> None:
    """Latency and goodput over load."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 3.8), layout="constrained")
    points = results.get("load", [])
    for i, name in enumerate(dict.fromkeys(point["system"] for point in points)):
        some = sorted(
            (p for p in points if p["system"] == name), key=lambda p: p["offered_pairs_per_s"]
        )
        x = [p["offered_pairs_per_s"] for p in some]
        for q, style in (("p50", "--"), ("p99", "-")):
            y = [p["latency"]["all"].get(q, np.nan) for p in some]
            left.plot(x, y, f"C{i}o{style}", label=f"{name} {q}")
        right.plot(x, [p["pairs_per_s"] for p in some], f"C{i}o-", label=name)
    over = results.get("overload", [])
    x = [p["offered_pairs_per_s"] for p in over]
    right.plot(x, [p["pairs_per_s"] for p in over], "C3o-", label="t5rank, overload")
    left.set(xlabel="pairs/s sent", ylabel="s", yscale="log", title="latency")
    right.set(xlabel="pairs/s sent", ylabel="pairs/s answered", title="goodput")
    for axis in (left, right):
        axis.grid(alpha=0.3)
        axis.legend(fontsize="small")
    figure.savefig(file, dpi=100)


def write(results: Results, output: Path) -> None:
    """Writes OUTPUT.json and OUTPUT.png; parts that the file has of an earlier run stay."""
    file = output.with_suffix(".json")
    before = json.loads(file.read_text()) if file.is_file() else {}
    whole = before | results
    for name in ("capacity", "memory", "score_differences"):
        whole[name] = before.get(name, {}) | results[name]  # of other systems
    file.write_text(json.dumps(whole, indent=1) + "\n")
    draw(whole, output.with_suffix(".png"))
