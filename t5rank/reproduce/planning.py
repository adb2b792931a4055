"""The steps of an experiment, most of them commands; a step is done if its output exists."""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from t5rank.data import trec
from t5rank.data.folder import MANIFEST
from t5rank.data.jsonl import read_jsonl
from t5rank.report.experiment import Experiment
from t5rank.reproduce.designs import ArmDesign, Design, SetDesign, Stage
from t5rank.reproduce.searching import search_steps, texts_step
from t5rank.reproduce.steps import Step
from t5rank.runs.run_file import load_run

_FINISHED = ("finished", "stopped early")


@dataclass(frozen=True)
class Options:
    """What the user asks of an experiment.

    Attributes:
      data: the folder of the inputs.
      folder: the folder of the experiment.
      seeds: each arm is trained with each of these.
      initial_checkpoint: where the arms start, in place of the design's stages.
      bindings: gin's, for every training.
      workers: how many processes build lists.
      without_texts: whether the report shows ids in place of texts.
    """

    data: Path
    folder: Path
    seeds: tuple[int, ...] = (0, 1, 2)
    initial_checkpoint: str | None = None
    bindings: tuple[str, ...] = ()
    workers: int = 1
    without_texts: bool = False


def plan(design: Design, experiment: Experiment, options: Options) -> list[Step]:
    """The steps, in order.

    Raises:
      ValueError: the arms need a pretrained checkpoint, and none is given.
    """
    if design.pretrained and options.initial_checkpoint is None:
        raise ValueError(
            f"Experiment '{design.name}' starts from a pretrained T5; expected "
            "--initial_checkpoint, with a checkpoint that t5rank convert reads."
        )
    return list(_steps(design, experiment, options))


def _steps(design: Design, experiment: Experiment, options: Options) -> Iterator[Step]:
    start = options.initial_checkpoint
    yield from (_unpack(options, archive) for archive in design.archives)
    for part in ("train", "validation"):
        yield _lists(experiment, options, part, getattr(design, part))
    for each in design.sets:
        yield _lists(experiment, options, each.name, each.lists)
        yield _set(experiment, options, each)
        if each.collection is not None:
            yield texts_step(experiment, each, options.data)
    if start is None:
        for stage in design.stages:
            yield _lists(experiment, options, stage.name, stage.lists)
            yield _stage(design, experiment, options, stage, start)
            start = str(_stage_model(options, stage) / f"checkpoint_{stage.train_steps}")
    for seed in options.seeds:
        for arm in design.arms:
            yield _train(design, experiment, options, arm, seed, start)
            for each in design.sets:
                if each.collection is None:
                    yield _rerank(experiment, each, arm, seed)
                else:
                    yield from search_steps(experiment, each, arm, seed)
    texts = ("--without_texts",) if options.without_texts else ()
    command = ("report", str(options.folder), *texts)
    yield Step("Write the report", lambda: False, command)


def _unpacked(options: Options) -> Path:
    return options.folder / "unpacked"


def _unpack(options: Options, archive: str) -> Step:
    mark = _unpacked(options) / f"{archive}.done"

    def call() -> None:
        _unpacked(options).mkdir(parents=True, exist_ok=True)
        with tarfile.open(options.data / archive) as opened:
            opened.extractall(_unpacked(options), filter="data")
        mark.touch()

    return Step(f"Unpack {archive}", mark.exists, call=call)


def _lists(experiment: Experiment, options: Options, name: str, wanted: Sequence[str]) -> Step:
    folder = experiment.lists(name)
    places = {"data": options.data, "unpacked": _unpacked(options)}
    command = ("lists", str(folder), *(option.format(**places) for option in wanted))
    command += (f"--workers={options.workers}",) if options.workers > 1 else ()
    return Step(f"Build the lists '{name}'", (folder / MANIFEST).exists, command)


def _set(experiment: Experiment, options: Options, each: SetDesign) -> Step:
    qrels, first = experiment.qrels(each.name), experiment.first_stage(each.name)

    def call() -> None:
        qrels.parent.mkdir(parents=True, exist_ok=True)
        judged, run = _of_lists(experiment.lists(each.name))
        if each.qrels is not None:
            lists = experiment.lists(each.name)
            places = {"data": options.data, "unpacked": _unpacked(options), "lists": lists}
            judged = trec.read_qrels(each.qrels.format(**places))
        trec.write_qrels(qrels, judged)
        unfinished = first.with_suffix(".unfinished")
        trec.write_run(unfinished, run, "first_stage")
        unfinished.replace(first)
        (experiment.folder / "runs" / each.name).mkdir(parents=True, exist_ok=True)

    title = f"Write judgements and first stage of '{each.name}'"
    return Step(title, first.exists, call=call)


def _of_lists(folder: Path) -> tuple[trec.Qrels, trec.Run]:
    """The labels of lists as judgements, and their order as a run."""
    qrels: trec.Qrels = {}
    run: trec.Run = {}
    for item in read_jsonl(folder):
        labels = zip(item.doc_ids, item.labels, strict=True)
        qrels[item.query_id] = {doc_id: int(label) for doc_id, label in labels}
        run[item.query_id] = {doc_id: -float(n) for n, doc_id in enumerate(item.doc_ids, start=1)}
    return qrels, run


def _stage_model(options: Options, stage: Stage) -> Path:
    return options.folder / "start" / stage.name


def _stage(
    design: Design, experiment: Experiment, options: Options, stage: Stage, start: str | None
) -> Step:
    settings: dict[str, object] = {
        "MODEL_DIR": _stage_model(options, stage),
        "INITIAL_CHECKPOINT_PATH": start,
        "SPLITS": {"train": stage.name},
        "TRAIN_STEPS": stage.train_steps,
        "EVAL_PERIOD": 0,
    }
    bindings = (*stage.bindings, *options.bindings)
    command = _training(design, experiment, options, stage.gin_files, settings, bindings)
    done = _finished(_stage_model(options, stage))
    return Step(f"Train the start, '{stage.name}'", done, command)


def _train(
    design: Design,
    experiment: Experiment,
    options: Options,
    arm: ArmDesign,
    seed: int,
    start: str | None,
) -> Step:
    model = experiment.model(arm.name, seed)
    settings: dict[str, object] = {
        "MODEL_DIR": model,
        "INITIAL_CHECKPOINT_PATH": start,
        "SPLITS": {"train": "train", "validation": "validation"},
        "RANDOM_SEED": seed,
    }
    bindings = (*design.bindings, *arm.bindings, *options.bindings)
    command = _training(design, experiment, options, arm.gin_files, settings, bindings)
    return Step(f"Train '{arm.name}', seed {seed}", _finished(model), command)


def _training(
    design: Design,
    experiment: Experiment,
    options: Options,
    gin_files: Sequence[str],
    settings: dict[str, object],
    bindings: Sequence[str],
) -> tuple[str, ...]:
    settings |= {
        "DATA_DIR": experiment.folder / "lists",
        "VOCABULARY_FILE": options.data / design.vocabulary,
    }
    values = (f"{k}={str(v) if isinstance(v, Path) else v!r}" for k, v in settings.items())
    files = (f"--gin_file={file}" for file in gin_files)
    return ("train", *files, *(f"--gin.{binding}" for binding in (*values, *bindings)))


def _finished(model: Path) -> Callable[[], bool]:
    """Tells whether a training has ended. One of T5X is run once more, and then ends at once."""
    return lambda: (load_run(model) or {}).get("reason") in _FINISHED


def _rerank(experiment: Experiment, each: SetDesign, arm: ArmDesign, seed: int) -> Step:
    output = experiment.run(each.name, arm.name, seed)
    command = (
        "rerank",
        f"--model={experiment.model(arm.name, seed)}",
        f"--lists={experiment.lists(each.name)}",
        f"--output={output}",
        f"--tag={arm.name}-seed_{seed}",
    )
    return Step(f"Rerank '{each.name}' by '{arm.name}', seed {seed}", output.exists, command)
