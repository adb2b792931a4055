"""The part of a report about one evaluation set."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from t5rank.report.blocks import Block, Heading, Paragraph
from t5rank.report.experiment import Experiment
from t5rank.report.figure_sections import figures
from t5rank.report.literature import headlines, is_about
from t5rank.report.query_sections import gains
from t5rank.report.rank_sections import ranks, scores
from t5rank.report.ranking import PERFECT, SetResults


def set_section(experiment: Experiment, results: SetResults, with_texts: bool) -> Iterator[Block]:
    title = results.evaluation_set.title
    yield Heading(2, title)
    yield Paragraph(_about(results))
    for scope in results.scopes:
        yield from figures(experiment, results, scope)
    published = [each for each in experiment.headlines if is_about(each, results)]
    yield from headlines(published, title)
    yield from gains(experiment, results, with_texts)
    yield from ranks(experiment, results)
    yield from scores(experiment, results)


def _about(results: SetResults) -> str:
    candidates = [*results.candidates.values()]
    grade = results.relevant_grade
    relevant = "relevant" if grade == 1 else f"relevant (grade {grade} or above)"
    documents = sum(map(len, results.relevant.values()))
    found = results.first_stage.ranks
    answered = len({query_id for query_id, _ in found})
    asked = len(results.relevant)
    return (
        f"First stage: {results.evaluation_set.first_stage}; {len(candidates):,} queries with "
        f"{np.mean(candidates):,.1f} candidates on average. The candidates have {len(found):,} of "
        f"the {documents:,} {relevant} documents ({_share(len(found), documents)}), and at least "
        f"one for {answered:,} of the {asked:,} queries that have one ({_share(answered, asked)}). "
        f"A reranker finds no others. The row '{PERFECT}' is the best that it can reach."
        f"{_gaps(results)}"
    )


def _gaps(results: SetResults) -> str:
    judged, given = results.qrels.keys(), results.candidates.keys()
    lacking, ignored = len(judged - given), len(given - judged)
    sentences = f" {lacking:,} judged queries have no candidates and count 0." if lacking else ""
    return sentences + (f" {ignored:,} queries are not judged and are left out." if ignored else "")


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "none"
