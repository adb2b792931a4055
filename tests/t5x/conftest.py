"""Real lists, a checkpoint to start from, and no run where T5X is absent."""

import importlib.util
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

PRESENT = importlib.util.find_spec("t5x") is not None


def pytest_collection_modifyitems(items):
    for item in items:
        if item.get_closest_marker("t5x") and not PRESENT:
            item.add_marker(pytest.mark.skip(reason="needs T5X (head) on the path"))


@pytest.fixture(scope="session")
def qna(shared_data) -> dict:
    """The bindings of the QnA recipes on the real sample."""
    return {
        "DATA_DIR": str(shared_data / "msmarco_qna"),
        "VOCABULARY_FILE": str(shared_data / "t5_vocab" / "spiece.model"),
    }


@pytest.fixture(scope="session")
def initial(qna, tmp_path_factory) -> str:
    """The parameters that all runs of the tiny QnA recipes start from, as a checkpoint of ours."""
    from t5rank.train.config import configured_trainer

    folder = tmp_path_factory.mktemp("initial")
    settings = {**qna, "MODEL_DIR": folder, "INITIAL_CHECKPOINT_PATH": None}
    settings |= {"TRAIN_STEPS": 1, "LEARNING_RATE": 0.0, "EVAL_PERIOD": 0}
    recipe = "t5rank/configs/recipes/msmarco_qna_softmax_tiny.gin"
    configured_trainer([recipe], [f"{k}={v}" for k, v in settings.items()]).train()
    return str(folder / "checkpoint_1")
