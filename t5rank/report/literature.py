"""Figures that others published, kept apart from ours and by their own first stages."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from t5rank.report.blocks import Block, Table
from t5rank.report.experiment import Headline
from t5rank.report.ranking import SetResults


def is_about(headline: Headline, results: SetResults) -> bool:
    """Whether a published figure names this very set."""
    return headline.set in (results.evaluation_set.name, results.evaluation_set.title)


def headlines(several: Sequence[Headline], title: str) -> Iterator[Block]:
    """Published figures in a table of their own, by set and first stage."""
    if several:
        ordered = sorted(several, key=lambda each: (each.set, each.first_stage, each.measure))
        yield Table(
            f"{title}, from the literature: other settings (models, training, candidates, queries "
            "may all differ), named by their own first stage. They are context for the figures "
            "above, not a ranking with them.",
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
