import numpy as np
import pytest

from t5rank.serve import work as work_module
from t5rank.serve.errors import Refusal
from t5rank.serve.work import Work, best, check_queries
from t5rank.text.prompts import RANKT5, PairEncoder, Prompt
from t5rank.text.vocabulary import Vocabulary

LONG = " ".join(f"word{i}" for i in range(100))


@pytest.fixture(scope="module")
def encoder(vocabulary_file):
    return PairEncoder(Vocabulary(vocabulary_file), Prompt(RANKT5), 40)


def encode(encoder, work, most: int = 1000):
    return work_module.encode(encoder, work, most)


def document_tokens(encoder, rows, query: str) -> list[list[int]]:
    pieces = encoder.pieces(query)
    return [row[len(pieces.prefix) : -len(pieces.suffix)].tolist() for row in rows]


def test_without_options_inputs_are_those_of_offline_scoring(encoder):
    documents = ["a list", "", LONG]
    inputs = encode(encoder, work=Work([("q", documents)]))
    expected = encoder.encode("q", documents)
    for row, pair in zip(inputs.rows, expected, strict=True):
        np.testing.assert_array_equal(row, pair.tokens)
    assert inputs.cut == [2] == [i for i, pair in enumerate(expected) if pair.is_cut]
    assert inputs.tokens == sum(len(pair.tokens) for pair in expected)


def test_chunks_overlap_and_cover_the_document(encoder):
    inputs = encode(encoder, work=Work([("q", [LONG])], max_chunks=99))
    chunks = document_tokens(encoder, inputs.rows, "q")
    room = encoder.pieces("q").room
    stride = room - room // 4
    tokens = encoder.vocabulary.encode(LONG)
    assert inputs.cut == [] and inputs.owners.tolist() == [0] * len(chunks)
    assert chunks == [tokens[i : i + room] for i in range(0, len(tokens) - room + stride, stride)]
    assert chunks[-1][-1] == tokens[-1]


def test_no_more_chunks_than_asked_for(encoder):
    inputs = encode(encoder, work=Work([("q", ["short", LONG])], max_chunks=3))
    assert inputs.owners.tolist() == [0, 1, 1, 1]
    assert inputs.cut == [1]


def test_the_best_chunk_counts(encoder):
    inputs = encode(encoder, work=Work([("q", ["short", LONG])], max_chunks=3))
    scores = best(np.asarray([-5.0, -3.0, -1.0, -2.0], np.float32), inputs, 2)
    assert scores.tolist() == [-5.0, -1.0]


def test_the_end_can_be_kept(encoder):
    inputs = encode(encoder, work=Work([("q", [LONG])], keep_end=True))
    (chunk,) = document_tokens(encoder, inputs.rows, "q")
    assert chunk == encoder.vocabulary.encode(LONG)[-len(chunk) :]


def test_documents_can_be_cut_shorter(encoder):
    inputs = encode(encoder, work=Work([("q", [LONG, "a"])], max_document_tokens=5))
    chunks = document_tokens(encoder, inputs.rows, "q")
    assert chunks[0] == encoder.vocabulary.encode(LONG)[:5]
    assert inputs.cut == [0]


def test_what_must_not_be_cut_is_refused(encoder):
    with pytest.raises(ValueError, match=r"Document 1 has .* tokens; expected at most"):
        encode(encoder, work=Work([("q", ["a", LONG])], may_cut=False))


def test_documents_are_counted_over_all_lists(encoder):
    inputs = encode(encoder, work=Work([("q", ["a"]), ("other", [LONG, "b"])]))
    assert inputs.owners.tolist() == [0, 1, 2] and inputs.cut == [1]


def test_a_query_that_leaves_no_room_is_refused(encoder):
    with pytest.raises(ValueError, match="Only documents are cut"):
        encode(encoder, work=Work([(LONG, ["a"])]))


def test_a_query_of_far_too_many_letters_is_refused_before_it_is_tokenized(encoder):
    check_queries(encoder, Work([("a" * 64 * 40, [LONG])]))
    with pytest.raises(Refusal, match="2,561 letters; expected at most 2,560"):
        check_queries(encoder, Work([("q", ["a"]), ("a" * (64 * 40 + 1), ["a"])]))


def test_a_query_must_leave_a_document_one_token(encoder):
    query = ""
    while encoder.pieces(query).room > 1:
        query += " a"
    inputs = encode(encoder, work=Work([(query, ["b", ""])]))
    assert inputs.owners.tolist() == [0, 1]
    with pytest.raises(ValueError, match="Only documents are cut"):
        encode(encoder, work=Work([(query + " a", ["b"])]))


@pytest.mark.parametrize("documents", [["a"] * 11, [LONG * 99], [LONG, LONG]])
def test_too_many_chunks_are_refused(encoder, documents):
    with pytest.raises(ValueError, match="more than 10 chunks"):
        encode(encoder, Work([("q", documents)], max_chunks=10**9), most=10)
