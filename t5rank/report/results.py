"""All results that a report shows."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from t5rank.data.folder import MANIFEST, read_manifest
from t5rank.report.experiment import Experiment
from t5rank.report.missing import Missing
from t5rank.report.ranking import SetResults, set_results
from t5rank.report.training import TrainedModel, read_model
from t5rank.runs.run_file import RUN

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Results:
    """An experiment's results.

    Attributes:
      experiment: the experiment's description.
      sets: the results of the sets that can be evaluated.
      models: the trained models, by arm and seed.
      manifests: the manifests of the lists, by the set's name or "train".
      missing: the missing pieces, in words. If there are any, the report is incomplete.
    """

    experiment: Experiment
    sets: Sequence[SetResults]
    models: Mapping[str, Mapping[int, TrainedModel]]
    manifests: Mapping[str, Mapping[str, Any]]
    missing: Sequence[str]


def compute_results(experiment: Experiment) -> Results:
    """Computes the results of an experiment.

    Raises:
      ValueError: a file is malformed, or no run is complete.
    """
    missing = Missing()
    models = _models(experiment, missing)
    sets = []
    for each in experiment.sets:
        files = (experiment.qrels(each.name), experiment.first_stage(each.name))
        absent = [file.name for file in files if not file.is_file()]
        if absent:
            missing.add(f"{' and '.join(absent)} of set '{each.name}'")
            continue
        _log.info("Evaluating on %s.", each.title)
        found = set_results(experiment, each, missing)
        if found is not None:
            sets.append(found)
    if not sets:
        raise ValueError(
            f"Experiment '{experiment.folder}' has no complete run; expected at least one. "
            f"Missing: {'; '.join(missing.pieces())}."
        )
    names = ["train", *(each.name for each in experiment.sets)]
    manifests = {
        name: read_manifest(experiment.lists(name))
        for name in names
        if (experiment.lists(name) / MANIFEST).is_file()
    }
    return Results(experiment, sets, models, manifests, missing.pieces())


def _models(experiment: Experiment, missing: Missing) -> dict[str, dict[int, TrainedModel]]:
    models: dict[str, dict[int, TrainedModel]] = {}
    for arm in experiment.arms:
        for seed in experiment.seeds:
            folder = experiment.model(arm.name, seed)
            if not folder.is_dir():
                missing.add(f"the model of arm '{arm.name}'", seed)
                continue
            models.setdefault(arm.name, {})[seed] = model = read_model(folder)
            if not model.run:
                missing.add(f"{RUN} (the end of training) of arm '{arm.name}'", seed)
    return models
