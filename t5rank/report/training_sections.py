"""The parts of a report about training: curves, costs, configurations, versions and inputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from t5rank.report import drawing
from t5rank.report.blocks import Block, Cell, Code, Details, Heading, Paragraph, Pictures, Table
from t5rank.report.pictures import file_name
from t5rank.report.results import Results
from t5rank.report.training import (
    Cost,
    TrainedModel,
    cost,
    curve,
    differences,
    validation_metrics,
)

_PER_MODEL = ("MODEL_DIR", "RANDOM_SEED")


def curves_section(results: Results) -> Iterator[Block]:
    """The learning curves of all arms."""
    every = [model for by_seed in results.models.values() for model in by_seed.values()]
    validations = [_validation(results, name) for name in validation_metrics(every)]
    losses = [*_losses(results)]
    if not losses and not any(validations):
        return
    yield Heading(2, "Learning curves")
    drawn = [picture for picture in validations if picture is not None]
    if drawn:
        yield Pictures(
            "Validation during training: means over seeds, bands from the lowest to the highest "
            "seed. Only steps that every seed has are drawn.",
            drawn,
        )
    if losses:
        yield Pictures(
            "Training loss, means over seeds with bands. Losses of different kinds cannot be "
            "compared: each arm has its own axis.",
            losses,
        )


def _validation(results: Results, name: str):
    lines = {}
    for index, arm in enumerate(results.experiment.arms):
        found = curve([*results.models.get(arm.name, {}).values()], "validation", name)
        if found is not None:
            lines[results.experiment.label(arm.name, found.seeds)] = (index, found)
    return drawing.curves(f"curve-{file_name(name)}", name, lines) if lines else None


def _losses(results: Results):
    for index, arm in enumerate(results.experiment.arms):
        found = curve([*results.models.get(arm.name, {}).values()], "train", "loss")
        if found is not None:
            label = results.experiment.label(arm.name, found.seeds)
            lines = {label: (index, found)}
            title = f"training loss, {label}"
            yield drawing.curves(f"loss-{file_name(arm.name)}", title, lines, is_loss=True)


def cost_section(results: Results) -> Iterator[Block]:
    rows: list[list[Cell | str]] = []
    costs: list[Cost] = []
    for arm, by_seed in results.models.items():
        for seed, model in by_seed.items():
            costs.append(cost(model))
            title = Cell(results.experiment.arm(arm).title, f"seed {seed}")
            rows.append([title, *_cost_cells(costs[-1])])
    if not rows:
        return
    yield Heading(2, "Cost")
    hours = [each.device_hours for each in costs]
    if None not in hours and len(hours) > 1:
        total = f"{sum(hours):.3f}"  # type: ignore[arg-type]
        rows.append(
            [Cell("Together", strong=True), "", "", "", Cell(total, strong=True), *[""] * 3]
        )
    yield Table(
        "Training of each model, over all its resumptions. The time is without validation. MFU: "
        "operations of the model as a share of the device's peak, if that is known.",
        ("Model", "Steps", "Documents", "Tokens", "Device hours", "Tokens/s", "MFU", "Devices"),
        rows,
    )
    if not all(each.measured for each in costs):
        yield Paragraph(
            "Some models have no run.json: their steps and tokens are those logged so far, and "
            "their times are not known.",
            "note",
        )


def _cost_cells(spent: Cost) -> list[Cell | str]:
    return [
        Cell(_number(spent.steps, ",.0f"), f"best: {spent.best:,}" if spent.best else ""),
        _number(spent.documents, ",.0f"),
        _number(spent.tokens, ",.0f"),
        _number(spent.device_hours, ".3f"),
        _number(spent.tokens_per_second, ",.0f"),
        _number(spent.mfu, ".1%"),
        spent.device or "-",
    ]


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def configuration_section(results: Results) -> Iterator[Block]:
    """The configurations, and their differences between the arms."""
    firsts = {
        arm: next(iter(by_seed.values())).configuration for arm, by_seed in results.models.items()
    }
    firsts = {arm: text for arm, text in firsts.items() if text}
    if not firsts:
        return
    yield Heading(2, "Configuration")
    titles = [results.experiment.arm(arm).title for arm in firsts]
    rows = differences(firsts, _PER_MODEL)
    if rows:
        yield Table(
            "Differences of the arms, from the configurations that were in use. Everything else "
            "is the same.",
            ("Setting", *titles),
            rows,
            text_columns=1 + len(titles),
        )
    elif len(firsts) > 1:
        yield Paragraph("The configurations of the arms are the same.")
    for arm, by_seed in results.models.items():
        yield from _unequal_seeds(results.experiment.arm(arm).title, by_seed)
    for arm, text in firsts.items():
        title = results.experiment.arm(arm)
        yield Details(f"{title.title}: config.gin of {title.recipe}", [Code(text)])
    yield Paragraph("Absolute paths are cut to their last name.", "note")


def _unequal_seeds(title: str, by_seed: Mapping[int, TrainedModel]) -> Iterator[Block]:
    texts = {str(seed): model.configuration for seed, model in by_seed.items()}
    rows = differences(texts, _PER_MODEL)
    if rows:
        yield Table(
            f"{title}: its seeds differ in more than the seed. Its figures mix these settings.",
            ("Setting", *(f"seed {seed}" for seed in texts)),
            rows,
            text_columns=1 + len(texts),
        )


def sources_section(results: Results) -> Iterator[Block]:
    inputs, versions = results.experiment.inputs, results.experiment.versions
    if inputs or versions:
        yield Heading(2, "Inputs and versions")
    if inputs:
        yield Table(
            "Input files.",
            ("File", "Checksum", "Bytes"),
            [[str(i["path"]), str(i["checksum"]), f"{i['size']:,}"] for i in inputs],
            text_columns=2,
        )
    if versions:
        rows: Sequence[Sequence[str]] = [[*item] for item in versions.items()]
        yield Table("Versions.", ("Package", "Version"), rows, text_columns=2)
