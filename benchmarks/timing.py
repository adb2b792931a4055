"""Systems side by side: each in a process of its own, taking turns on the machine."""

import importlib.metadata
import json
import math
import multiprocessing
import os
import platform
import resource
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import matplotlib.pyplot as plt
import numpy as np
from tqdm import tqdm

Run = Callable[[], np.ndarray]
_SPAWN = multiprocessing.get_context("spawn")


class Figures(NamedTuple):
    """What was measured of one system: seconds of each turn, bytes, and its last result."""

    seconds: list[float]
    peak_memory: int
    result: np.ndarray

    @property
    def median(self) -> float:
        """Median seconds of a turn."""
        return statistics.median(self.seconds)


def side_by_side(
    systems: dict[str, Callable[..., Run]],
    arguments: tuple,
    turns: int,
    most_seconds: float = math.inf,
    warm_up: int = 1,
    environment: Mapping[str, Mapping[str, str]] | None = None,
) -> tuple[dict[str, Figures], dict[str, str]]:
    """Runs systems in turns; every second turn in the opposite order.

    Args:
      systems: by name, what is called with `arguments` in the system's own process and gives the
        function to measure.
      arguments: can be pickled.
      turns: how often each is measured.
      most_seconds: no turn but the first is begun later than this after the first.
      warm_up: how often each runs before it is measured.
      environment: variables of the processes of some systems, by name.

    Returns:
      The figures, and why the others could not be measured. The memory is the largest resident
      size of the process while it is measured, libraries and weights included.
    """
    workers, failed = {}, {}
    with tqdm(total=len(systems) * (turns + 1)) as progress:
        for name, make in systems.items():
            progress.set_postfix_str(name)
            worker = Worker(name, make, arguments, warm_up, (environment or {}).get(name))
            error = worker.answer()
            if error is None:
                workers[name] = worker
            else:
                failed[name] = error
            progress.update()
        start = time.monotonic()
        for turn in range(turns):
            if turn and time.monotonic() - start > most_seconds:
                break
            for name in list(workers)[:: -1 if turn % 2 else 1]:
                progress.set_postfix_str(name)
                workers[name].run()
                progress.update()
    for worker in workers.values():
        worker.close()
    return {name: worker.figures for name, worker in workers.items()}, failed


def apart(function: Callable[..., None], *arguments: Any) -> None:
    """Calls a function in a process of its own, so that its memory is given back."""
    process = _SPAWN.Process(target=function, args=arguments)
    process.start()
    process.join()
    if process.exitcode:
        raise RuntimeError(f"{function.__name__} failed.")


class Worker:
    """A system in a process of its own, which is told when to run.

    It first sends None, or why the system cannot run.
    """

    def __init__(
        self,
        name: str,
        make: Callable[..., Run],
        arguments: tuple,
        warm_up: int = 1,
        environment: Mapping[str, str] | None = None,
    ):
        self.name = name
        self.connection, theirs = _SPAWN.Pipe()
        what = (theirs, make, arguments, warm_up)
        self.process = _SPAWN.Process(target=_serve, args=what, daemon=True)
        with mock.patch.dict(os.environ, environment or {}):
            self.process.start()
        theirs.close()
        self.seconds: list[float] = []

    def answer(self, request: bool | None = None) -> Any:
        """What the process sends next, after a request if there is one.

        Raises:
          RuntimeError: the process has ended.
        """
        try:
            if request is not None:
                self.connection.send(request)
            return self.connection.recv()
        except (EOFError, OSError):
            self.process.join()
            raise RuntimeError(
                f"The process of {self.name!r} ended with {self.process.exitcode}; expected a "
                "result. The kernel ends processes with -9 where memory runs out: try fewer "
                "systems at once, or smaller ones."
            ) from None

    def run(self) -> None:
        """One turn."""
        seconds, peak, result = self.answer(True)
        self.seconds.append(seconds)
        self.figures = Figures(self.seconds, peak, result)

    def close(self) -> None:
        """Ends the process."""
        self.connection.send(False)
        self.process.join()


def _serve(connection: Any, make: Callable[..., Run], arguments: tuple, warm_up: int) -> None:
    try:
        run = make(*arguments)
        for _ in range(warm_up):
            run()
    except Exception as error:  # a package is missing, or does not know the model
        connection.send(f"{type(error).__name__}: {error}".splitlines()[0][:200])
        return
    _forget_peak_memory()
    connection.send(None)
    while connection.recv():
        start = time.perf_counter()
        result = run()
        connection.send((time.perf_counter() - start, _peak_memory(), result))


def _forget_peak_memory() -> None:
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")


def _peak_memory() -> int:
    status = Path("/proc/self/status").read_text()
    for line in status.splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def machine(packages: Iterable[str]) -> str:
    """One line: processor, cores, Python and the versions of packages that are installed."""
    info = Path("/proc/cpuinfo")
    names = [line for line in info.read_text().splitlines() if line.startswith("model name")]
    processor = names[0].split(": ")[1] if names else platform.processor()
    versions = []
    for package in packages:
        try:
            versions.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    python = f"Python {platform.python_version()}"
    return ", ".join([f"{os.cpu_count()} cores of {processor}", python, *versions])


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table, the first column to the left and the others to the right."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def write_results(
    results: Sequence[dict[str, Any]], ours: str, sizes: Sequence[str], output: Path
) -> None:
    """Writes OUTPUT.json and OUTPUT.png; other sizes that the file has of an earlier run stay."""
    file = output.with_suffix(".json")
    before = json.loads(file.read_text()) if file.is_file() else []
    new = {result["size"] for result in results}
    whole = [result for result in before if result["size"] not in new] + list(results)
    whole.sort(key=lambda result: sizes.index(result["size"]))
    file.write_text(json.dumps(whole, indent=1) + "\n")
    draw_ratios(whole, ours.split(",")[0], output.with_suffix(".png"))


def draw_ratios(results: Sequence[dict[str, Any]], ours: str, file: Path) -> None:
    """Bars of each `ratio`, a panel a `size`; systems whose name begins with `ours` are blue."""
    figure, axes = plt.subplots(
        1, len(results), figsize=(6 * len(results), 3.2), layout="constrained", squeeze=False
    )
    for axis, result in zip(axes[0], results, strict=True):
        entries = sorted(result["systems"].items(), key=lambda item: -item[1]["ratio"])
        ratios = [e["ratio"] for _, e in entries]
        colors = ["tab:blue" if name.startswith(ours) else "tab:gray" for name, _ in entries]
        bars = axis.barh([name for name, _ in entries], ratios, color=colors)
        axis.bar_label(bars, fmt="%.2f", padding=2)
        axis.set_xlim(0, 1.15 * max(ratios))
        axis.set_xlabel("time / t5rank's (less is faster)")
        axis.set_title(f"T5 1.1 {result['size']}")
    figure.savefig(file, dpi=100)


def draw_stacks(
    bars: dict[str, Sequence[float]], parts: Sequence[str], unit: str, file: Path
) -> None:
    """A bar for each name, its parts end to end."""
    figure, axis = plt.subplots(figsize=(8, 0.6 + 0.35 * len(bars)), layout="constrained")
    names, left = list(bars)[::-1], np.zeros(len(bars))
    for i, part in enumerate(parts):
        sizes = np.array([bars[name][i] for name in names])
        axis.barh(names, sizes, left=left, label=part)
        left += sizes
    axis.set_xlabel(unit)
    figure.legend(loc="outside upper right", ncols=len(parts))
    figure.savefig(file, dpi=100)
