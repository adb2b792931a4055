"""Validation: whole lists, scored once as `Reranker` scores them, then looked at in two ways.

* Per list: means over the lists that there are, `mrr@10`, and over those with a relevant document,
  `answerable/mrr@10` (`t5rank.metrics.means`).
* As a run, where there are qrels: `run/RR@10`, by the rules of `t5rank.evaluation`, which are the
  official ones: the mean is over all queries of the qrels, one without a list counts 0, and what is
  relevant says the qrels, whether or not it is in the list.

Of a mixture, every task has its own figures, `TASK/mrr@10`, `TASK/run/RR@10`, beside those over the
lists of all.
"""

import itertools
import logging
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
from tqdm import tqdm

from t5rank.data.trec import Qrels, Run, read_qrels
from t5rank.evaluation import DEFAULT_MEASURES, evaluate, parse_measures
from t5rank.inference.scoring import ModelScorer
from t5rank.metrics.means import MeanMetrics, ScoredList
from t5rank.tasks.examples import read_lists
from t5rank.text.encoders import Encoder
from t5rank.train import data
from t5rank.train.data import ValidationList
from t5rank.train.retrieval import CollectionRetrieval
from t5rank.types import MetricFn, PyTree

CHUNK = 256  # lists scored together: enough to sort by length, few enough to hold in memory
_log = logging.getLogger(__name__)


class Validation:
    """Validates parameters on a split of some tasks, on the same queries at each call.

    Args:
      tasks: the tasks' names.
      split: their split.
      encoder: the model's tokenization.
      scorer: the model's scores.
      metric_fns: name to metric, of the figures per list.
      qrels_files: task to its file of qrels; a task without has no figures as a run.
      measures: those figures, names of ir_measures.
      queries: so many queries of each task, those whose ids have the smallest CRC-32, out of its
        qrels or else of its lists. Their lists stay in memory. None takes all.
      topn: so many documents of each list, the first ones; None takes all.
      use_cached: read the output of seqio_cache_tasks.
      retrieval: searches a whole collection for the queries of the lists, see
        `t5rank.train.retrieval`; None does not.

    Raises:
      ValueError: bad measures or qrels, or a collection to search and no qrels, or several tasks.
    """

    def __init__(
        self,
        tasks: Sequence[str],
        split: str,
        encoder: Encoder,
        scorer: ModelScorer,
        metric_fns: Mapping[str, MetricFn],
        qrels_files: Mapping[str, str] | None = None,
        measures: str = DEFAULT_MEASURES,
        queries: int | None = None,
        topn: int | None = None,
        use_cached: bool = False,
        retrieval: CollectionRetrieval | None = None,
    ):
        self.tasks = tasks
        self._split = split
        self._encoder = encoder
        self._scorer = scorer
        self._metric_fns = metric_fns
        self._measures = " ".join(map(str, parse_measures(measures)))
        self._queries = queries
        self._topn = topn
        self._use_cached = use_cached
        self._kept: dict[str, list[ValidationList]] = {}
        self.qrels = {
            task: _of_queries(read_qrels(file), queries)
            for task, file in (qrels_files or {}).items()
        }
        if retrieval is not None and (len(tasks) > 1 or not self.qrels):
            raise ValueError(
                f"EVAL_COLLECTION has a collection to search for the tasks {[*tasks]}, of which "
                f"{[*self.qrels]} have qrels; expected one task with qrels. Set EVAL_QRELS."
            )
        self._retrieval = retrieval

    def names(self) -> list[str]:
        """The figures that it can give."""
        per_list = [*self._metric_fns, *(f"answerable/{name}" for name in self._metric_fns)]
        as_run = [f"run/{name}" for name in self._measures.split()]
        if self._retrieval is not None:
            as_run += self._retrieval.names()
        if len(self.tasks) == 1:
            return per_list + (as_run if self.qrels else [])
        return per_list + [
            f"{task}/{name}"
            for task in self.tasks
            for name in per_list + (as_run if task in self.qrels else [])
        ]

    def __call__(self, params: PyTree) -> dict[str, float]:
        """The figures, and how many lists they are of (`lists`, `answerable/lists`).

        Raises:
          ValueError: there is no list.
        """
        total = MeanMetrics(self._metric_fns)
        figures: dict[str, float] = {}
        for task in self.tasks:
            means, as_run = self._of_task(task, params)
            total.update(means)
            if len(self.tasks) > 1:
                of_task = means.means() | as_run
                figures |= {f"{task}/{name}": value for name, value in of_task.items()}
            else:
                figures = as_run
        return total.means() | figures

    def _of_task(self, task: str, params: PyTree) -> tuple[MeanMetrics, dict[str, float]]:
        """One pass: the figures per list, and those as a run."""
        means = MeanMetrics(self._metric_fns)
        qrels, run = self.qrels.get(task), Run()
        queries: dict[str, np.ndarray] = {}
        for chunk, results in self._results(self._lists(task), params):
            scores = [self._scorer.model.list_scores(part) for part in results]
            scored = [
                ScoredList(item.doc_ids, item.labels, part)
                for item, part in zip(chunk, scores, strict=True)
            ]
            means.add(scored)
            if qrels is not None:
                pairs = zip(chunk, scored, strict=True)
                run |= {i.query_id: dict(zip(s.doc_ids, s.scores, strict=True)) for i, s in pairs}
            if self._retrieval is not None:
                first = (part[0] for part in results)
                queries |= dict(zip((item.query_id for item in chunk), first, strict=True))
        if qrels is None:
            return means, {}
        found = evaluate(run, qrels, self._measures).aggregate
        figures = {f"run/{name}": value for name, value in found.items()}
        if self._retrieval is not None:
            figures |= self._retrieval(self._scorer.with_params(params), queries, qrels)
        return means, figures

    def _results(
        self, lists: Iterable[ValidationList], params: PyTree
    ) -> Iterator[tuple[list[ValidationList], list[np.ndarray]]]:
        """Some lists, and what the model gives of the inputs of each."""
        with tqdm(desc="validation", unit=" documents", leave=False, disable=None) as progress:
            for chunk in _chunks(lists):
                rows = [row for item in chunk for row in item.rows]
                results = self._scorer.with_params(params).score(rows, progress)
                ends = np.cumsum([len(item.rows) for item in chunk])
                yield chunk, np.split(results, ends[:-1])

    def _lists(self, task: str) -> Iterable[ValidationList]:
        if self._queries is None:
            return self._read(task)
        if task not in self._kept:
            self._kept[task] = self._chosen(task, self._queries)
        return self._kept[task]

    def _chosen(self, task: str, number: int) -> list[ValidationList]:
        if task in self.qrels:
            chosen = frozenset(self.qrels[task])
        else:
            found = read_lists(task, self._split, self._use_cached)
            chosen = chosen_queries((ranked.query_id for ranked in found), number)
        lists = list(self._read(task, chosen))
        _log.info(
            "Validation of '%s' on %d queries; %d have a list.", task, len(chosen), len(lists)
        )
        return lists

    def _read(self, task: str, queries: frozenset[str] | None = None) -> Iterator[ValidationList]:
        return data.validation_lists(
            task, self._encoder, self._split, self._use_cached, queries, self._topn
        )


def chosen_queries(query_ids: Iterable[str], number: int) -> frozenset[str]:
    """So many of the queries, the same ones in whatever order they come.

    >>> chosen_queries(["q1", "q2", "q3"], 2) == chosen_queries(["q3", "q2", "q1"], 2)
    True
    """
    by_hash = sorted(query_ids, key=lambda query_id: (zlib.crc32(query_id.encode()), query_id))
    return frozenset(by_hash[:number])


def _of_queries(qrels: Qrels, number: int | None) -> Qrels:
    if number is None:
        return qrels
    chosen = chosen_queries(qrels, number)
    return {query_id: judged for query_id, judged in qrels.items() if query_id in chosen}


def _chunks(lists: Iterable[ValidationList]) -> Iterator[list[ValidationList]]:
    iterator = iter(lists)
    while chunk := list(itertools.islice(iterator, CHUNK)):
        yield chunk
