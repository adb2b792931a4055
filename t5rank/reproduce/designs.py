"""What each experiment is: data, arms, evaluation sets, and the figures that others published.

Options of `t5rank lists` name files of the data folder by `{data}/...`, and those that the
experiment unpacked by `{unpacked}/...`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from t5rank.evaluation import PROTOCOLS
from t5rank.report.experiment import Headline
from t5rank.reproduce.inputs import Input

MARCO_MEASURES = "RR@10 nDCG@10"  # the first is the one that findings are about
DL_MEASURES = PROTOCOLS["dl"]


@dataclass(frozen=True)
class ArmDesign:
    """One way of training.

    Attributes:
      name, title: see `t5rank.report.experiment.Arm`.
      gin_files: the recipe, and what is read after it.
      bindings: of this arm alone.
    """

    name: str
    title: str
    gin_files: tuple[str, ...]
    bindings: tuple[str, ...] = ()


@dataclass(frozen=True)
class SetDesign:
    """One evaluation set.

    Attributes:
      name, title, first_stage, measures: see `t5rank.report.experiment.EvaluationSet`.
      lists: options of `t5rank lists` for the candidates.
      qrels: the judgements; None where they are the lists' labels.
    """

    name: str
    title: str
    first_stage: str
    measures: str
    lists: tuple[str, ...]
    qrels: str | None = None


@dataclass(frozen=True)
class Stage:
    """Training before the arms part: a model from scratch learns to match words.

    Attributes:
      name: of its lists and its model.
      lists: options of `t5rank lists`.
      gin_files, bindings, train_steps: of its training.
    """

    name: str
    lists: tuple[str, ...]
    gin_files: tuple[str, ...]
    bindings: tuple[str, ...]
    train_steps: int


@dataclass(frozen=True)
class Design:
    """One experiment.

    Attributes:
      name, size: how it is asked for.
      title, description: for people.
      inputs: what has to be in the data folder.
      archives: those of the inputs that are unpacked.
      train, validation: options of `t5rank lists`.
      sets: what the models are evaluated on.
      arms: what is compared; the first is the baseline.
      bindings: of all arms.
      vocabulary: the SentencePiece model, in the data folder.
      pretrained: whether a checkpoint to start from has to be given.
      stages: what comes before the arms where none is.
      headlines: what others published.
    """

    name: str
    size: str
    title: str
    description: str
    inputs: tuple[Input, ...]
    train: tuple[str, ...]
    validation: tuple[str, ...]
    sets: tuple[SetDesign, ...]
    arms: tuple[ArmDesign, ...]
    bindings: tuple[str, ...] = ()
    vocabulary: str = "spiece.model"
    archives: tuple[str, ...] = ()
    pretrained: bool = True
    stages: tuple[Stage, ...] = ()
    headlines: tuple[Headline, ...] = ()


def find_design(name: str, size: str | None, designs: Sequence[Design]) -> Design:
    """The experiment of that name and size; its first size by default.

    Raises:
      ValueError: there is none; names those there are.
    """
    named = [design for design in designs if design.name == name]
    for design in named:
        if size in (None, design.size):
            return design
    known = ", ".join(f"{each.name} --size {each.size}" for each in (named or designs))
    raise ValueError(
        f"Experiment '{name}'{f' of size {size!r}' if named else ''} is not known; expected one of "
        f"{known}."
    )


def recipe(name: str) -> str:
    """The gin file of a recipe."""
    return f"t5rank/configs/recipes/{name}.gin"


def config(name: str) -> str:
    """Any other gin file."""
    return f"t5rank/configs/{name}.gin"
