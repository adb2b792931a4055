import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import small_runs


@pytest.fixture(scope="session")
def task(tmp_path_factory, vocabulary_file) -> str:
    return small_runs.make_task(tmp_path_factory.mktemp("lists"), vocabulary_file, "small")


@pytest.fixture
def make_trainer(task, vocabulary_file, tmp_path):
    def make(model_dir="model", model=None, **settings) -> small_runs.Trainer:
        settings |= {"model": model} if model else {}
        return small_runs.make_trainer(task, vocabulary_file, tmp_path / model_dir, **settings)

    return make


@pytest.fixture(scope="session")
def trained(task, vocabulary_file, tmp_path_factory):
    """The trainer and the result of a run of six steps; its folder is only read."""
    folder = tmp_path_factory.mktemp("trained") / "model"
    trainer = small_runs.make_trainer(task, vocabulary_file, folder)
    return trainer, trainer.train()
