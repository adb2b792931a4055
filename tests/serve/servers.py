"""Servers in processes of their own."""

import contextlib
import dataclasses
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx


@dataclasses.dataclass
class Server:
    """A running server.

    Attributes:
      process: its process.
      port: where it listens.
      log_file: what it writes.
    """

    process: subprocess.Popen
    port: int
    log_file: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        return self.log_file.read_text()

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's series that have these labels."""
        lines = httpx.get(f"{self.url}/metrics", timeout=60).text.splitlines()
        wanted = [f'{key}="{value}"' for key, value in labels.items()]
        found = [line for line in lines if re.match(rf"{name}[{{ ]", line)]
        return sum(float(x.split()[-1]) for x in found if all(w in x for w in wanted))

    def stop(self) -> int:
        """Ends it as an operator would; returns its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=120)


@contextlib.contextmanager
def running(
    *options: str,
    ready: bool = True,
    environment: dict | None = None,
    command: tuple[str, ...] = ("-m", "t5rank"),
) -> Iterator[Server]:
    """A server on a port of its own, ready unless that is not asked for."""
    with tempfile.TemporaryDirectory() as folder:
        log_file = Path(folder, "log")
        with log_file.open("w") as log:
            process = subprocess.Popen(
                [sys.executable, *command, "serve", "--port=0", *options],
                stdout=log,
                stderr=log,
                env=os.environ | (environment or {}),
            )
        server = Server(process, 0, log_file)
        try:
            listening = wait_for(lambda: re.search(r"127\.0\.0\.1:(\d+)", server.log), server)
            server.port = int(listening[1])
            if ready:
                wait_for(
                    lambda: httpx.get(f"{server.url}/ready", timeout=60).status_code == 200, server
                )
            yield server
        finally:
            process.kill()
            process.wait()


def wait_for(condition, server: Server | None = None, seconds: float = 300):
    """What `condition` gives, once that is true."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        ended = server is not None and server.process.poll() is not None
        assert not ended and time.monotonic() < end, server.log if server else condition
        time.sleep(0.05)
    return value
