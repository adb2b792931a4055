"""Figures that others published, apart from ours, with their own first stages."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from t5rank.report.blocks import Block, Table
from t5rank.report.experiment import Headline
from t5rank.report.ranking import SetResults


def is_about(headline: Headline, results: SetResults) -> bool:
    """Whether a published figure is about this set."""
    return headline.set in (results.evaluation_set.name, results.evaluation_set.title)


def headlines(several: Sequence[Headline], title: str) -> Iterator[Block]:
    """A table of published figures by set and first stage."""
    if several:
        ordered = sorted(several, key=lambda each: (each.set, each.first_stage, each.measure))
        yield Table(
            f"{title}, from the literature, named by their own first stage. Models, training, "
            "candidates and queries may all differ. They are context for the figures above, and "
            "cannot be ranked with them.",
            ("Set", "First stage", "System", "Source", "Measure", "Published"),
            [
                [
                    each.set,
                    each.first_stage,
                    each.system,
                    each.source,
                    each.measure,
                    f"{each.value:.4f}",
                ]
                for each in ordered
            ],
            text_columns=5,
        )
