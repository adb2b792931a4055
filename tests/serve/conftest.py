"""A server in a process of its own."""

import importlib.util
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

NEEDED = ("starlette", "msgspec", "uvicorn", "prometheus_client", "httpx")
MISSING = [name for name in NEEDED if importlib.util.find_spec(name) is None]
if MISSING:
    collect_ignore_glob = ["test_*.py"]


@pytest.fixture(scope="session")
def server(model_dir):
    """A ready server without keys; tests must leave it as it was."""
    from servers import running

    with running(f"--model={model_dir}") as process:
        yield process


@pytest.fixture(scope="session")
def impatient(model_dir):
    """Another, which waits for headers a second, and two for a body or for an answer to be read."""
    from servers import running

    with running(f"--model={model_dir}", "--header_timeout=1", "--body_timeout=2") as process:
        yield process
