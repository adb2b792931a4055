"""Systems side by side: each in a process of its own, taking turns on the machine."""

import importlib.metadata
import math
import multiprocessing
import os
import platform
import resource
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

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
) -> tuple[dict[str, Figures], dict[str, str]]:
    """Runs systems in turns; every second turn in the opposite order.

    Args:
      systems: by name, what is called with `arguments` in the system's own process and gives the
        function to measure. That runs once before it is measured.
      arguments: can be pickled.
      turns: how often each is measured.
      most_seconds: no turn but the first is begun later than this after the first.

    Returns:
      The figures, and why the others could not be measured. The memory is the largest resident
      size of the process while it is measured, libraries and weights included.
    """
    workers, failed = {}, {}
    with tqdm(total=len(systems) * (turns + 1)) as progress:
        for name, make in systems.items():
            progress.set_postfix_str(name)
            worker = _Worker(make, arguments)
            error = worker.connection.recv()
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
        worker.connection.send(False)
        worker.process.join()
    return {name: worker.figures for name, worker in workers.items()}, failed


def apart(function: Callable[..., None], *arguments: Any) -> None:
    """Calls a function in a process of its own, so that its memory is given back."""
    process = _SPAWN.Process(target=function, args=arguments)
    process.start()
    process.join()
    if process.exitcode:
        raise RuntimeError(f"{function.__name__} failed.")


class _Worker:
    def __init__(self, make: Callable[..., Run], arguments: tuple):
        self.connection, theirs = _SPAWN.Pipe()
        self.process = _SPAWN.Process(target=_serve, args=(theirs, make, arguments), daemon=True)
        self.process.start()
        self.seconds: list[float] = []

    def run(self) -> None:
        self.connection.send(True)
        seconds, peak, result = self.connection.recv()
        self.seconds.append(seconds)
        self.figures = Figures(self.seconds, peak, result)


def _serve(connection: Any, make: Callable[..., Run], arguments: tuple) -> None:
    try:
        run = make(*arguments)
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
