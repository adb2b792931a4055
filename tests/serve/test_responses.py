import msgspec
import numpy as np
import pytest

from t5rank.serve import responses
from t5rank.serve.dialects import DIALECTS, EMBEDDING, Answer
from t5rank.serve.responses import as_json

DOCUMENTS = 200
LISTS = ("documents", "texts", "passages", "input", "text_2", "data_2", "items")


RERANKING = [dialect for dialect in DIALECTS if dialect not in EMBEDDING]


@pytest.fixture(params=RERANKING, ids=lambda dialect: dialect.name)
def value(request):
    """What a dialect answers to its example with many documents."""
    example = request.param.example
    name = next(name for name in LISTS if name in example)
    body = example | {name: example[name] * (DOCUMENTS // 2), "top_n": None, "top_k": None}
    scores = np.linspace(-1, 1, DOCUMENTS, dtype=np.float32)
    answer = Answer("m", scores, scores.astype(np.float64), 1, request.param.paths[0])
    return msgspec.convert(body, request.param.request).answer(answer)


def test_an_answer_is_encoded_as_a_whole_would_be(value):
    assert as_json(value).body == msgspec.json.encode(value)


def test_an_answer_is_encoded_in_pieces(value, monkeypatch):
    class Encoding:
        @staticmethod
        def encode(part):
            sizes.append(len(part) if isinstance(part, list) else 1)
            return msgspec.json.encode(part)

    sizes: list[int] = []
    monkeypatch.setattr(responses, "msgspec", type("msgspec", (), {"json": Encoding}))
    as_json(value)
    assert 1 < max(sizes) <= 64
