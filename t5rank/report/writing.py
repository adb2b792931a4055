"""Writes DIR/report: one document, as an HTML page and as Markdown."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from t5rank.process.packages import check_installed
from t5rank.report import blocks
from t5rank.report.blocks import Block, Details, Document, Heading, Items, Paragraph, Pictures
from t5rank.report.experiment import read_experiment
from t5rank.report.figure_sections import overview
from t5rank.report.findings import LEGEND, findings
from t5rank.report.html import page
from t5rank.report.lists_sections import lists_section
from t5rank.report.literature import headlines, is_about
from t5rank.report.markdown import markdown
from t5rank.report.results import Results, compute_results
from t5rank.report.set_sections import set_section
from t5rank.report.starts import starts
from t5rank.report.training import without_folders
from t5rank.report.training_sections import (
    configuration_section,
    cost_section,
    curves_section,
    sources_section,
)


@dataclass(frozen=True)
class WrittenReport:
    """The files of a report.

    Attributes:
      page: the HTML file.
      markdown: the Markdown file.
      missing: missing pieces of the experiment, which the report names.
    """

    page: Path
    markdown: Path
    missing: tuple[str, ...]


def write_report(folder: str | os.PathLike[str], with_texts: bool = True) -> WrittenReport:
    """Writes DIR/report/index.html, report.md and its pictures.

    Args:
      folder: DIR, an experiment folder (see `t5rank.report.experiment`).
      with_texts: whether texts of queries and documents are shown. Set it to False if a licence
        forbids publishing them.

    Raises:
      ValueError: a file is malformed, or no run is complete.
      MissingExtra: matplotlib is not installed.
    """
    check_installed("report")
    results = compute_results(read_experiment(folder))
    document = Document(results.experiment.title, [*_blocks(results, with_texts)])
    output = Path(folder) / "report"
    output.mkdir(exist_ok=True)
    for old in output.glob("*.png"):  # those of an earlier report
        old.unlink()
    for picture in _pictures(document.blocks):
        (output / f"{picture.name}.png").write_bytes(picture.png)
    written = WrittenReport(output / "index.html", output / "report.md", tuple(results.missing))
    written.page.write_text(page(document))
    written.markdown.write_text(markdown(document))
    return written


def _blocks(results: Results, with_texts: bool) -> Iterator[Block]:
    experiment = results.experiment
    if results.missing:
        yield Paragraph(
            "Pieces of the experiment are missing. An arm that lacks a seed is not compared with "
            "others, and its figures name the number of seeds. Missing:",
            "warning",
        )
        yield Items(results.missing, "warning")
    sentences = [sentence for each in results.sets for sentence in findings(experiment, each)]
    if sentences:
        yield Paragraph(sentences[0], "lead")
        yield Paragraph(LEGEND, "note")
    if sentences[1:]:
        yield Items(sentences[1:])
    if len(results.sets) > 1:
        yield overview(experiment, results.sets)
    yield from _about(results)
    for each in results.sets:
        yield from set_section(experiment, each, with_texts)
    others = [
        h for h in experiment.headlines if not any(is_about(h, each) for each in results.sets)
    ]
    if others:
        yield Heading(2, "From the literature")
        yield from headlines(others, "Other sets")
    yield from curves_section(results)
    yield from cost_section(results)
    yield from configuration_section(results)
    yield from lists_section(results.manifests)
    yield from sources_section(results)


def _about(results: Results) -> Iterator[Block]:
    experiment = results.experiment
    yield Heading(2, "What was done")
    yield Paragraph(experiment.description)
    seeds = ", ".join(map(str, experiment.seeds))
    size = f" at size '{experiment.size}'" if experiment.size else ""
    yield Paragraph(
        f"Experiment '{experiment.name}'{size}: {len(experiment.arms)} arms, each trained with the "
        f"seeds {seeds} and evaluated on {len(experiment.sets)} set"
        f"{'s' * (len(experiment.sets) > 1)}."
    )
    yield Items([f"{arm.title} ({arm.name}): {arm.recipe}" for arm in experiment.arms])
    sentence = starts(experiment, results.models)
    if sentence is not None:
        yield Paragraph(sentence)
    yield blocks.Code(without_folders(experiment.command))


def _pictures(parts: Iterable[Block]) -> Iterator[blocks.Picture]:
    for block in parts:
        if isinstance(block, Pictures):
            yield from block.pictures
        elif isinstance(block, Details):
            yield from _pictures(block.blocks)
