import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for experiments.py and pages.py


@pytest.fixture
def experiment(tmp_path):
    """The folder of `experiments`, not reported on yet."""
    from experiments import write_experiment

    write_experiment(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def reported(tmp_path_factory):
    """The folder with its report, written by the command."""
    from experiments import write_experiment

    from t5rank import cli

    folder = tmp_path_factory.mktemp("experiment")
    write_experiment(folder)
    assert cli.main(["report", str(folder)]) == 0
    return folder


@pytest.fixture
def undrawn(monkeypatch):
    """Leaves pictures blank, because they take most of a report's time."""
    from t5rank.report import drawing
    from t5rank.report.blocks import Picture

    def blank(name, title, alt, draw, height=0):
        return Picture(name, alt, b"")

    monkeypatch.setattr(drawing, "picture", blank)
