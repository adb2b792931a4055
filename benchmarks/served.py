"""Rerank servers as processes, each on one core, and what they and the generator did."""

import contextlib
import os
import re
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import load
import numpy as np

_PATIENCE = 300.0  # seconds until a server must be ready


@contextlib.contextmanager
def on_core(core: int) -> Iterator[None]:
    """Threads and processes that are begun here stay on one core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class Server:
    """A server that is ready.

    Args:
      command: `{port}` in it becomes its port.
      core: where it runs.
      log: the file that gets what it prints.

    Attributes:
      port: where it listens.
      seconds: until it was ready.
      memory_when_ready: largest resident size up to then, in bytes.

    Raises:
      RuntimeError: it ended, or is not ready after five minutes.
    """

    def __init__(self, command: Sequence[str], core: int, log: Path):
        self.port = _free_port()
        start = time.monotonic()
        with on_core(core), log.open("w") as file:
            self._process = subprocess.Popen(
                [part.format(port=self.port) for part in command],
                stdout=file,
                stderr=file,
                env=os.environ | {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"},
            )
        while not self._is_ready():
            if self._process.poll() is not None or time.monotonic() - start > _PATIENCE:
                self.stop()
                last = [*log.read_text().splitlines(), "no word"]
                raise RuntimeError(f"not ready: {last[-2]}"[:200])
            time.sleep(0.1)
        self.seconds = time.monotonic() - start
        self.memory_when_ready = self.peak_memory()
        self._processes_file("clear_refs").write_text("5")

    def peak_memory(self) -> int:
        """Largest resident size since it was ready, in bytes."""
        status = self._processes_file("status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+)", status)[1]) * 1024  # type: ignore[index]

    def metric(self, name: str) -> float | None:
        """The sum of a Prometheus metric's series; None from a server without metrics."""
        try:
            text = _get(self.port, "/metrics").decode()
        except OSError:
            return None
        found = [line for line in text.splitlines() if re.match(rf"{name}[{{ ]", line)]
        return sum(float(line.split()[-1]) for line in found)

    def stop(self) -> None:
        """Ends it."""
        self._process.kill()
        self._process.wait()

    def _is_ready(self) -> bool:
        try:
            return bool(_get(self.port, "/ready"))
        except OSError:
            return False

    def _processes_file(self, name: str) -> Path:
        return Path("/proc", str(self._process.pid), name)


class Watch:
    """What a server and the generator did in some seconds."""

    def __init__(self, server: Server):
        self._server = server
        self._before = self._counters()
        self._start, self._cpu = time.perf_counter(), time.process_time()

    def _counters(self) -> tuple[float, ...]:
        names = ("t5rank_tokens_total", "t5rank_padding_tokens_total")
        return tuple(self._server.metric(name) or 0.0 for name in names)

    def _padding(self, lengths: Sequence[np.ndarray]) -> float:
        """The share of padding in what was computed; of a naive server, in padded requests."""
        tokens, padding = np.subtract(self._counters(), self._before)
        if tokens:
            return float(padding / (tokens + padding))
        size = sum(len(some) * int(some.max()) for some in lengths)
        return 1 - float(sum(map(np.sum, lengths))) / size if size else 0.0

    def figures(self, replies: Sequence[load.Reply]) -> dict[str, Any]:
        """Latencies, goodput and what went into it."""
        seconds = time.perf_counter() - self._start
        cpu = time.process_time() - self._cpu
        answered = [reply for reply in replies if reply.status == 200]
        last = max((reply.end for reply in answered), default=1.0)
        sizes = sorted({reply.request.size for reply in replies})
        by_size = {str(n): [r for r in replies if r.request.size == n] for n in sizes}
        lengths = [reply.request.lengths for reply in answered]
        return {
            "pairs_per_s": sum(map(len, lengths)) / last,
            "tokens_per_s": float(sum(map(np.sum, lengths))) / last,
            "latency": {name: latency(some) for name, some in {"all": replies, **by_size}.items()},
            "statuses": counted([reply.status for reply in replies]),
            "padding": self._padding(lengths),
            "sent_late_s": max(reply.late for reply in replies),
            "generator_cpu": cpu / seconds,
            "compiles_after_ready": self._server.metric("t5rank_compiles_after_ready_total"),
        }


def latency(replies: Sequence[load.Reply]) -> dict[str, Any]:
    """Percentiles in seconds of what was answered with 200, and what was answered otherwise."""
    answered = [reply.seconds for reply in replies if reply.status == 200]
    refused = [reply.seconds for reply in replies if reply.status == 429]
    return {"n": len(replies), **percentiles(answered), "refused": percentiles(refused)}


def percentiles(seconds: Sequence[float]) -> dict[str, float]:
    """Of some times, and how many they are."""
    found = {"answers": float(len(seconds))}
    if seconds:
        found |= {f"p{q}": float(np.percentile(seconds, q)) for q in (50, 95, 99)}
    return found


def counted(values: Sequence[int]) -> dict[str, int]:
    """How often each is there."""
    return {str(value): values.count(value) for value in sorted(set(values))}


def _get(port: int, path: str) -> bytes:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as answer:
        return answer.read()


def _free_port() -> int:
    with socket.socket() as some:
        some.bind(("127.0.0.1", 0))
        return some.getsockname()[1]
