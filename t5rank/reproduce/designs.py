"""The parts of an experiment: data, arms, evaluation sets, and figures that others published.

In options of `t5rank lists`, `{data}/...` is a file of the data folder, and `{unpacked}/...` is a
file that the experiment has unpacked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from t5rank.evaluation import PROTOCOLS
from t5rank.report.experiment import Headline
from t5rank.reproduce.inputs import Input

MARCO_MEASURES = "RR@10 nDCG@10"  # findings are about the first
DL_MEASURES = PROTOCOLS["dl"]


@dataclass(frozen=True)
class ArmDesign:
    """One way to train, which is compared with others.

    Attributes:
      name, title: see `t5rank.report.experiment.Arm`.
      gin_files: the recipe, and the files that are read after it.
      bindings: gin's, for this arm only.
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
      qrels: the judgements; None takes the labels of the lists. "{lists}/qrels.txt" are those that
        `t5rank lists` wrote.
      collection: the documents that are searched, for dual encoders; None reranks the lists.
      only_ids: which of its documents, a regular expression.
    """

    name: str
    title: str
    first_stage: str
    measures: str
    lists: tuple[str, ...]
    qrels: str | None = None
    collection: str | None = None
    only_ids: str = ".*"


@dataclass(frozen=True)
class Stage:
    """A training that all arms start from: a model from scratch learns to match words.

    Attributes:
      name: the name of its lists and its model.
      lists: options of `t5rank lists`.
      gin_files, bindings, train_steps: the settings of its training.
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
      name, size: the command's NAME and --size.
      title, description: texts for people.
      inputs: the files that must be in the data folder.
      archives: the inputs that are unpacked.
      train, validation: options of `t5rank lists`.
      sets: the sets that the models are evaluated on.
      arms: the ways of training that are compared; the first is the baseline.
      bindings: gin's, for all arms.
      vocabulary: the SentencePiece model, in the data folder.
      pretrained: whether the user has to give a checkpoint to start from.
      stages: trainings before the arms, if no checkpoint is given.
      headlines: figures that others published.
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
    """The experiment of a name and a size; without a size, the first of that name.

    Raises:
      ValueError: there is no such experiment; the message names all.
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
    return f"t5rank/configs/recipes/{name}.gin"


def config(name: str) -> str:
    return f"t5rank/configs/{name}.gin"
