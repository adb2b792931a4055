"""The report's sentence on the checkpoints that the models started from."""

import pytest
from experiments import EXPERIMENT, write_experiment

from t5rank.report.experiment import read_experiment
from t5rank.report.starts import starts
from t5rank.report.training import TrainedModel


def models(**by_seed):
    """Arm to the initial checkpoint of each seed."""
    return {
        arm: {
            seed: TrainedModel([], {"training": {"initial_checkpoint": name}}, "")
            for seed, name in enumerate(names)
        }
        for arm, names in by_seed.items()
    }


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        (
            models(sigmoid=["t5", "t5"], softmax=["t5"]),
            "Every model started from the checkpoint 't5'.",
        ),
        (models(sigmoid=[None]), "Every model started from random parameters."),
        (
            models(sigmoid=["t5", None], softmax=["t5", "t5"]),
            "The models did not start alike: Sigmoid (seeds 0), Softmax (seeds 0, 1) from the "
            "checkpoint 't5'; Sigmoid (seeds 1) from random parameters.",
        ),
        ({"sigmoid": {0: TrainedModel([], {}, "")}}, None),
    ],
)
def test_models_are_told_apart_where_their_starts_differ(found, sentence, tmp_path):
    write_experiment(tmp_path)
    assert len(EXPERIMENT["arms"]) == 2
    assert starts(read_experiment(tmp_path), found) == sentence
