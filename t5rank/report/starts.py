"""The checkpoints that an experiment's models started from, by their run.json."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from t5rank.report.experiment import Experiment
from t5rank.report.training import TrainedModel

_KEY = "initial_checkpoint"


def starts(experiment: Experiment, models: Mapping[str, Mapping[int, TrainedModel]]) -> str | None:
    """One sentence on the start of training; None if no run.json says it.

    It names arms and seeds only if their models differ.
    """
    found = {
        (arm, seed): model.run["training"][_KEY]
        for arm, by_seed in models.items()
        for seed, model in by_seed.items()
        if _KEY in model.run.get("training", {})
    }
    names = list(dict.fromkeys(found.values()))
    if not names:
        return None
    if len(names) == 1:
        return f"Every model started from {_described(names[0])}."
    groups = (
        f"{_listed(experiment, [key for key, value in found.items() if value == name])} "
        f"from {_described(name)}"
        for name in names
    )
    return f"The models did not start alike: {'; '.join(groups)}."


def _described(name: str | None) -> str:
    return "random parameters" if name is None else f"the checkpoint '{name}'"


def _listed(experiment: Experiment, keys: Iterable[tuple[str, int]]) -> str:
    seeds: dict[str, list[int]] = {}
    for arm, seed in keys:
        seeds.setdefault(arm, []).append(seed)
    return ", ".join(
        f"{experiment.arm(arm).title} (seeds {', '.join(map(str, some))})"
        for arm, some in seeds.items()
    )
