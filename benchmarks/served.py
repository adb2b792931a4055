"""Rerank servers as processes, each on one core."""

import contextlib
import os
import re
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path

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


def _get(port: int, path: str) -> bytes:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as answer:
        return answer.read()


def _free_port() -> int:
    with socket.socket() as some:
        some.bind(("127.0.0.1", 0))
        return some.getsockname()[1]
