"""Validation by retrieval: a whole collection is searched for the queries of the lists.

The figures are those of a run, by the rules of `t5rank.evaluation`: the mean is over all queries of
the qrels, and one without a list, whose text is not known, counts 0.
"""

import itertools
from collections.abc import Iterator, Mapping

import numpy as np
from tqdm import tqdm

from t5rank.data.documents import Documents
from t5rank.data.trec import Qrels
from t5rank.evaluation import evaluate, parse_measures
from t5rank.inference.embedder import Embedder
from t5rank.inference.scoring import ModelScorer
from t5rank.search import exact
from t5rank.text.encoders import Encoder
from t5rank.text.texts import TextEncoder

MEASURES = "RR@10 R@100"
_DEPTH = 1000  # of a measure without a cutoff


class CollectionRetrieval:
    """Searches a collection with the parameters of a step.

    Args:
      collection: its file, in any format that `t5rank encode` reads.
      encoder: the model's tokenization.
      measures: the figures, names of ir_measures.
      strict: whether broken lines are errors; if not, they are repaired.

    Raises:
      ValueError: the model reads queries and documents together, or the collection is malformed.
    """

    def __init__(
        self, collection: str, encoder: Encoder, measures: str = MEASURES, strict: bool = True
    ):
        if not isinstance(encoder, TextEncoder):
            raise ValueError(
                "EVAL_COLLECTION is for dual encoders; expected None for a reranker, which reads a "
                "query and a document together."
            )
        self._encoder = encoder
        self._measures = parse_measures(measures)
        cutoffs = [measure.params.get("cutoff") for measure in self._measures]
        self._depth = max(cutoff or _DEPTH for cutoff in cutoffs)
        self._documents = Documents([collection], strict=strict)

    def names(self) -> list[str]:
        """The figures that it gives."""
        return [f"retrieval/{measure}" for measure in self._measures]

    def __call__(
        self, scorer: ModelScorer, queries: Mapping[str, np.ndarray], qrels: Qrels
    ) -> dict[str, float]:
        """The figures.

        Args:
          scorer: the model with its parameters.
          queries: query id to vector.
          qrels: the judgements; only their queries are searched for.
        """
        wanted = {query_id: queries[query_id] for query_id in qrels if query_id in queries}
        blocks = self._blocks(Embedder(self._encoder, scorer))
        hits = exact.search(np.stack([*wanted.values()]), blocks, self._depth)
        run = {query_id: hits.run(number) for number, query_id in enumerate(wanted)}
        found = evaluate(run, qrels, " ".join(map(str, self._measures))).aggregate
        return {f"retrieval/{name}": value for name, value in found.items()}

    def _blocks(self, embedder: Embedder) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        with tqdm(
            desc="encoding the collection",
            total=self._documents.count,
            unit=" documents",
            leave=False,
            disable=None,
        ) as progress:
            pairs, again = itertools.tee(self._documents.read())
            ids = (doc_id.encode() for doc_id, _ in again)
            for vectors in embedder.document_stream((text for _, text in pairs), progress):
                yield vectors, np.asarray([*itertools.islice(ids, len(vectors))])
