"""Reference pages out of docstrings."""

import importlib
import inspect
import operator
import re
import sys
import types
from typing import Any

SHARED = {"scores", "labels", "where", "segments", "weights", "reduce_fn", "topn", "key"}
SECTION = re.compile(r"^(Args|Attributes|Raises|Returns):\n((?:(?:  .*)?\n)*)", re.M)
EXAMPLE = re.compile(r"^(>>> .*(?:\n(?!\n).*)*)", re.M)
FOR_LISTS = {
    "losses": "[Choosing a loss](../guides/choosing_a_loss.md) says which to take.",
    "metrics": "[Evaluation](../guides/evaluation.md) is about the figures of run files.",
    "transformations": "A transformation makes a loss of a metric, or a noisy loss of a loss.",
}
RERANKER = {
    "t5rank.inference.reranker": [
        "Reranker",
        "Reranker.from_pretrained",
        "Reranker.from_model",
        "Reranker.score",
        "Reranker.score_stream",
        "Reranker.rank",
        "Reranker.warm_up",
        "RankedDocument",
    ]
}
TRAINING = {
    "t5rank.train.loop": ["Trainer", "Trainer.train"],
    "t5rank.train.run": ["TrainResult"],
    "t5rank.models.ranking": ["RankingModel"],
    "t5rank.models.config": ["T5Config"],
    "t5rank.tasks.jsonl": ["jsonl_task"],
    "t5rank.tasks.mixtures": ["mixture"],
    "t5rank.tasks.registry": ["register_task"],
    "t5rank.tasks.msmarco": ["qna_task", "passage_task"],
    "t5rank.tasks.preprocessors": ["feature_lengths"],
    "t5rank.checkpoints": ["architecture_of", "open_checkpoint"],
    "t5rank.train.optimizers": ["adafactor", "adamw", "OptimizerDef"],
    "t5rank.train.schedules": ["constant", "linear", "inverse_square_root"],
    "t5rank.train.layouts": ["packed", "padded", "bucketed"],
}


def losses() -> str:
    """The page of the losses, with the arguments that all of them share."""
    shared = importlib.import_module("t5rank.types")
    return _of_lists("t5rank.losses", "## Shared arguments", text(shared))


def metrics() -> str:
    """The page of the metrics."""
    return _of_lists("t5rank.metrics", "[Shared arguments](losses.md#shared-arguments)")


def transformations() -> str:
    """The page of the transformations."""
    return _of_lists(
        "t5rank.losses.transformations", "[Shared arguments](losses.md#shared-arguments)"
    )


def reranker() -> str:
    """The page of `Reranker`."""
    use = "[Rerank with a published model](../tutorials/rerank.md) shows it in use."
    return _of_names("Reranker", use, RERANKER)


def training() -> str:
    """The page of what training from Python takes."""
    use = "[Train from Python](../tutorials/train_in_python.md) shows how they fit together."
    return _of_names("Training", use, TRAINING)


def _of_lists(module_name: str, *shared: str) -> str:
    module = importlib.import_module(module_name)
    name = module_name.rpartition(".")[2]
    parts = [
        f"# {name.capitalize()}",
        FOR_LISTS[name],
        *shared,
        f"## `{module_name}`",
        text(module),
    ]
    for source, names in by_source(module).items():
        if source is not module:
            parts += [f"### {first_line(source)}", after_first_line(source)]
        parts += [entry(name, getattr(module, name)) for name in names]
    return joined(parts)


def _of_names(title: str, use: str, modules: dict[str, list[str]]) -> str:
    parts = [f"# {title}", use]
    for module_name, names in modules.items():
        module = importlib.import_module(module_name)
        parts += [f"## `{module_name}`", first_line(module) + "."]
        parts += [entry(name, operator.attrgetter(name)(module)) for name in names]
    return joined(parts)


def joined(parts: list[str]) -> str:
    """The text of a page."""
    return "\n\n".join(part for part in parts if part) + "\n"


def by_source(module: types.ModuleType) -> dict[types.ModuleType, list[str]]:
    """Public names, in the order of the modules and lines that they are written at."""
    members = [(name, getattr(module, name)) for name in module.__all__]
    sources: dict[types.ModuleType, list[str]] = {}
    for name, member in sorted(members, key=place):
        sources.setdefault(sys.modules[member.__module__], []).append(name)
    return sources


def place(item: tuple[str, Any]) -> tuple[str, int]:
    """The module and line of a member."""
    return item[1].__module__, inspect.getsourcelines(item[1])[1]


def entry(name: str, member: Any) -> str:
    """One function or class."""
    return f"#### `{name}`\n\n`{signature(name, member)}`\n\n{text(member)}"


def signature(name: str, member: Any) -> str:
    """The call, with the shared arguments left out."""
    parameters = dict(inspect.signature(member).parameters)
    parameters.pop("self", None)
    shared = SHARED if "labels" in parameters else set()
    own = [p for p in parameters.values() if p.name not in shared]
    given = [name for name in parameters if name in shared & {"scores", "labels"}]
    shown = [shown_parameter(p) for p in own]
    dots = ["..."] if len(own) + len(given) < len(parameters) else []
    return f"{name}({', '.join([*given, *shown, *dots])})"


def shown_parameter(parameter: inspect.Parameter) -> str:
    """A parameter with its default, if it is short."""
    default = parameter.default
    if default is inspect.Parameter.empty:
        return parameter.name
    shown = getattr(default, "__name__", repr(default))
    return f"{parameter.name}={'...' if '<' in shown else shown}"


def first_line(member: Any) -> str:
    """The first line of the docstring, as a title."""
    return (inspect.getdoc(member) or "").partition("\n")[0].rstrip(".")


def after_first_line(member: Any) -> str:
    """The docstring without its first line."""
    return (inspect.getdoc(member) or "").partition("\n")[2].strip()


def text(member: Any) -> str:
    """A docstring as Markdown."""
    doc = (inspect.getdoc(member) or "") + "\n"
    doc = SECTION.sub(lambda found: f"{found[1]}:\n\n{bullets(found[2])}\n\n", doc)
    doc = EXAMPLE.sub(lambda found: f"```python\n{found[1].strip()}\n```\n", doc)
    return re.sub(r"\n{3,}", "\n\n", doc).strip()


def bullets(lines: str) -> str:
    """`name: text` lines as a list."""
    items = re.sub(r"\n    +", " ", inspect.cleandoc("\n" + lines)).splitlines()
    named = (re.sub(r"^(\w+(?:, \w+)*):", r"* `\1`:", item) for item in items if item)
    return "\n".join(item if item.startswith("* ") else f"  {item.strip()}" for item in named)
