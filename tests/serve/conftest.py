"""A tiny model, and a server of it in a process of its own."""

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
def model_dir(tmp_path_factory, vocabulary_file) -> Path:
    from servers import save_model

    return save_model(tmp_path_factory.mktemp("served") / "tiny", vocabulary_file)


@pytest.fixture(scope="session")
def server(model_dir):
    """A ready server without keys; tests must leave it as it was."""
    from servers import running

    with running(f"--model={model_dir}", "--header_timeout=1", "--body_timeout=2") as process:
        yield process
