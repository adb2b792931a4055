"""Differences between the scores, rankings and figures of two models, such as int8 and float32."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import scipy.stats
from tqdm import tqdm

from t5rank import evaluation
from t5rank.data.ranked_list import RankedList
from t5rank.data.trec import Qrels, Run
from t5rank.formats.tables import markdown_table
from t5rank.inference.embedder import Embedder

# The scores of each of `(query, documents)`.
ScoreLists = Callable[[Sequence[tuple[str, Sequence[str]]], tqdm], list[np.ndarray]]
_QUERIES = 32  # how many are scored together


@dataclasses.dataclass(frozen=True)
class Agreement:
    """An int8 model compared with its float32 original on the same pairs.

    Attributes:
      queries: the number of queries.
      pairs: the number of pairs of all queries.
      mean_error: the mean of |int8 score - float32 score|.
      largest_error: the largest such difference.
      score_std: the standard deviation of the float32 scores, to compare the errors with.
      kendall_tau: Kendall's rank correlation within a query (tau-b), mean over queries.
      spearman_rho: Spearman's rank correlation within a query, mean over queries.
      measures: by name, the figures of float32 and int8; empty without qrels.
    """

    queries: int
    pairs: int
    mean_error: float
    largest_error: float
    score_std: float
    kendall_tau: float
    spearman_rho: float
    measures: dict[str, tuple[float, float]]

    def written_form(self) -> dict[str, Any]:
        """The content of `int8.json`."""
        form = dataclasses.asdict(self)
        form["measures"] = {
            name: {"float32": before, "int8": after, "change": after - before}
            for name, (before, after) in self.measures.items()
        }
        return form


def measured_agreement(
    float32: ScoreLists,
    int8: ScoreLists,
    lists: Sequence[RankedList],
    qrels: Qrels | None,
    measures: str = evaluation.DEFAULT_MEASURES,
) -> Agreement:
    """Scores all lists with both models. With qrels it also evaluates both on these queries."""
    before, after = (
        _scores(score, lists, name) for score, name in ((float32, "float32"), (int8, "int8"))
    )
    errors = np.abs(np.concatenate(after) - np.concatenate(before))
    ranked = [pair for pair in zip(before, after, strict=True) if np.ptp(pair, axis=1).all()]
    return Agreement(
        queries=len(lists),
        pairs=len(errors),
        mean_error=float(errors.mean()),
        largest_error=float(errors.max()),
        score_std=float(np.concatenate(before).std()),
        kendall_tau=_mean([scipy.stats.kendalltau(*pair).statistic for pair in ranked]),
        spearman_rho=_mean([scipy.stats.spearmanr(*pair).statistic for pair in ranked]),
        measures={} if qrels is None else _measures(before, after, lists, qrels, measures),
    )


def similarities(
    embedder: Embedder, lists: Sequence[tuple[str, Sequence[str]]], progress: tqdm
) -> list[np.ndarray]:
    """Those of each query with its documents, by a dual encoder."""
    queries = embedder.encode_queries([query for query, _ in lists])
    texts = [document for _, documents in lists for document in documents]
    vectors = embedder.encode_documents(texts, progress)
    ends = np.cumsum([len(documents) for _, documents in lists])
    of_lists = np.split(vectors, ends[:-1])
    return [documents @ query for query, documents in zip(queries, of_lists, strict=True)]


def _scores(score: ScoreLists, lists: Sequence[RankedList], name: str) -> list[np.ndarray]:
    scores: list[np.ndarray] = []
    total = sum(map(len, lists))
    with tqdm(desc=f"scoring in {name}", unit=" pairs", total=total, disable=None) as progress:
        for start in range(0, len(lists), _QUERIES):
            part = [(item.query, item.documents) for item in lists[start : start + _QUERIES]]
            scores += score(part, progress)
    return scores


def _mean(values: Sequence[float]) -> float:
    """The mean; 1 if no query has an order that could change."""
    return float(np.mean(values)) if values else 1.0


def _measures(
    before: Sequence[np.ndarray],
    after: Sequence[np.ndarray],
    lists: Sequence[RankedList],
    qrels: Qrels,
    measures: str,
) -> dict[str, tuple[float, float]]:
    judged = {item.query_id: qrels[item.query_id] for item in lists if item.query_id in qrels}
    one, other = (
        evaluation.evaluate(_run(lists, scores), judged, measures).aggregate
        for scores in (before, after)
    )
    return {name: (one[name], other[name]) for name in one}


def _run(lists: Sequence[RankedList], scores: Sequence[np.ndarray]) -> Run:
    return {
        item.query_id: dict(zip(item.doc_ids, map(float, found), strict=True))
        for item, found in zip(lists, scores, strict=True)
    }


def table(agreement: Agreement) -> str:
    """The agreement as a Markdown table."""
    rows = [
        ("mean score error", f"{agreement.mean_error:.4f}"),
        ("largest score error", f"{agreement.largest_error:.4f}"),
        ("standard deviation of the scores", f"{agreement.score_std:.4f}"),
        ("Kendall's tau within a query", f"{agreement.kendall_tau:.4f}"),
        ("Spearman's rho within a query", f"{agreement.spearman_rho:.4f}"),
        *(
            (name, f"{after:.4f} ({after - before:+.4f}; float32 {before:.4f})")
            for name, (before, after) in agreement.measures.items()
        ),
    ]
    heading = f"{agreement.pairs:,} pairs of {agreement.queries:,} held-out queries"
    return markdown_table([(heading, "int8"), *rows], text_columns=None, padded=False)


def readme(agreement: Agreement, is_dual_encoder: bool = False) -> str:
    """The README of an int8 model's folder."""
    what, loader = ("dual encoder", "Embedder") if is_dual_encoder else ("reranker", "Reranker")
    return (
        f"# A t5rank {what} in int8\n\n"
        f"`t5rank export --format onnx --int8` made it, and `{loader}.from_pretrained` loads it. "
        "Its encoder multiplies int8, so that its scores are near those of the float32 model, but "
        "not equal:\n\n"
        f"{table(agreement)}\n\n"
        "The pairs are from the run that was given for calibration. Calibration did not see their "
        "queries.\n"
    )
