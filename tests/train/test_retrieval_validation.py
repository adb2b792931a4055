"""A collection is searched: the figures are those of the vectors by hand."""

import jax
import numpy as np
import pytest

from t5rank.evaluation import evaluate
from t5rank.inference.embedder import Embedder
from t5rank.models.config import T5Config
from t5rank.models.dual_encoder import DualEncoder, VectorHead
from t5rank.models.retrieval import RetrievalModel
from t5rank.text.encoders import make_encoder
from t5rank.text.templates import TextPrompts
from t5rank.text.vocabulary import Vocabulary
from t5rank.train.retrieval import CollectionRetrieval

TEXTS = {"d1": "a list of int", "d2": "the string is returned", "d3": "a dict", "d4": "open a file"}
QUERIES = {"q1": "which list", "q2": "a file or a string"}
QRELS = {"q1": {"d1": 1}, "q2": {"d4": 1, "d2": 1}, "q3": {"d3": 1}}


@pytest.fixture
def collection(tmp_path):
    file = tmp_path / "collection.tsv"
    file.write_text("".join(f"{doc_id}\t{text}\n" for doc_id, text in TEXTS.items()))
    return str(file)


def test_figures_are_those_of_the_vectors(collection, vocabulary_file):
    config = T5Config(1152, 16, 2, 1, 0, 8, 32, ("gelu", "linear"))
    model = RetrievalModel(DualEncoder(config, 8), VectorHead())
    shapes = {"encoder_input_tokens": (1, 1, 8)}
    params = model.get_initial_variables(jax.random.key(0), shapes)["params"]
    encoder = make_encoder(Vocabulary(vocabulary_file), TextPrompts(query="query: "), 32)
    embedder = Embedder.from_model(model, params, encoder)
    vectors = dict(zip(QUERIES, embedder.encode_queries([*QUERIES.values()]), strict=True))
    retrieval = CollectionRetrieval(collection, encoder, "RR@2 R@2")
    found = retrieval(embedder.scorer, vectors, QRELS)
    documents = embedder.encode_documents([*TEXTS.values()])
    run = {q: dict(zip(TEXTS, (documents @ v).tolist(), strict=True)) for q, v in vectors.items()}
    expected = evaluate(run, QRELS, "RR@2 R@2").aggregate
    assert found == pytest.approx({f"retrieval/{name}": value for name, value in expected.items()})
    assert retrieval.names() == [*found] and 0 < found["retrieval/R@2"] < 1
    assert np.ptp([*run["q1"].values()]) > 0


def test_it_is_for_dual_encoders(collection, vocabulary_file):
    pairs = make_encoder(Vocabulary(vocabulary_file), "{query} {document}", 32)
    with pytest.raises(ValueError, match="EVAL_COLLECTION is for dual encoders"):
        CollectionRetrieval(collection, pairs)
